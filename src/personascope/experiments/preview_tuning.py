"""Preview of the study that trains: what is asked, what is taught on which tokens, what is steered."""

from __future__ import annotations

from dataclasses import replace

from personascope.activations.plan import Row
from personascope.experiments.facet_steering import measured_rows
from personascope.experiments.ideal_self import load_ideal_self
from personascope.experiments.plans import load_model_part
from personascope.experiments.preview_parts import ROWS, preview_plan, preview_rows
from personascope.experiments.recipe_tuning import OWN, IdealSelfRecipe
from personascope.experiments.tuned_answers import base_plan, fits_plan
from personascope.models.requests import require_layers
from personascope.report.selection import Selection, Steered


def preview_ideal_self(recipe: IdealSelfRecipe, rows: int = ROWS) -> list[Selection]:
    """The items before training, two statements to choose from, and the test items under steering."""
    asked, _, items = load_ideal_self(recipe)
    engine = load_model_part(recipe.model)
    require_layers(engine, recipe.layers)
    shown = [preview_plan(engine, base_plan(engine, asked, items, recipe), rows)]
    if recipe.transfer.forced_choice:
        plan = fits_plan(engine, "base", asked, items, (OWN,), recipe.rows_per_shard)
        shown.append(preview_plan(engine, plan, rows))
    own = tuple(persona for persona in asked.respondents if persona.name == OWN)
    test: list[Row] = measured_rows(engine, replace(asked, respondents=own), items.test)
    taught = "Training: these prompts of other items, with a rating behind them on which alone the loss falls."
    part = recipe.comparison
    if part is None:
        return [*shown, preview_rows(engine, "test items", test, rows, read=("answer",), note=taught)]
    steer = [Steered(part.where, layers=(part.layer,))]
    note = f"{taught} Steered beside it, at the strength that moves answers as far, and along random directions."
    return [*shown, preview_rows(engine, "test items", test, rows, read=("answer",), steer=steer, note=note)]
