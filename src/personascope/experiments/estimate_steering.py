"""What the studies that steer would compute: a sweep runs the steered tokens once per cell, above the steered layer."""

from __future__ import annotations

from collections.abc import Sequence

from personascope.activations.plan import Row
from personascope.experiments.estimate import PlanLine, further_pairs, plan_line, tokens_per_second
from personascope.experiments.facet_steering import fitting_plan, measured_items, measured_rows
from personascope.experiments.plans import load_model_part
from personascope.experiments.probe_study import load_asked, load_probed_model
from personascope.experiments.questionnaires import load_questionnaire
from personascope.experiments.recipe_steering import (
    CrossSteeringRecipe,
    FacetSteeringRecipe,
    SteeringSweepRecipe,
)
from personascope.experiments.steered_choices import choice_rows_of, pushed_pairs
from personascope.experiments.steering_sweep import require_pushed_layers
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers
from personascope.prompts.positions import resolve


def estimate_steering_sweep(recipe: SteeringSweepRecipe) -> list[PlanLine]:
    """Lines of the steering study; what is written, calibrated, ablated and patched is not counted."""
    asked = load_asked(recipe, None)
    engine = load_probed_model(recipe.model, recipe)
    require_pushed_layers(engine, recipe)
    push, material = recipe.push, asked.material
    rows = choice_rows_of(engine, material, pushed_pairs(material, push, recipe.seed), material.choosers[0])
    plans = asked.plans(engine, recipe)
    rate = tokens_per_second(engine, plans[0])
    n_directions = 1 + push.random_directions
    strengths = len(push.coefficients) - 1
    swept = n_directions + (push.other_layer is not None)
    return [
        *[plan_line(plan, engine, rate) for plan in plans],
        *further_pairs(plans[0], material, recipe, rate=rate),
        sweep_line("sweep of layers", engine, rows, "from:task_a", dict.fromkeys(push.layers, swept * strengths), rate),
        sweep_line("sweeps of one task", engine, rows, "from:task_a", {push.layer: 2 * n_directions * strengths}, rate),
    ]


def estimate_cross_steering(recipe: CrossSteeringRecipe) -> list[PlanLine]:
    """Lines of the study of steering across personas; probes and statistics are not counted."""
    asked = load_asked(recipe, None)
    engine = load_probed_model(recipe.model, recipe)
    push, material = recipe.push, asked.material
    require_layers(engine, push.layers)
    pushed = pushed_pairs(material, push, recipe.seed)
    rows = [row for persona in material.choosers for row in choice_rows_of(engine, material, pushed, persona)]
    plans = asked.plans(engine, recipe)
    rate = tokens_per_second(engine, plans[0])
    cells = (2 + push.random_directions) * (len(push.coefficients) - 1)
    return [
        *[plan_line(plan, engine, rate) for plan in plans],
        *further_pairs(plans[0], material, recipe, rate=rate),
        sweep_line("sweeps", engine, rows, "from:task_a", dict.fromkeys(push.layers, cells), rate),
    ]


def estimate_facet_steering(recipe: FacetSteeringRecipe) -> list[PlanLine]:
    """Lines of the study of facet steering; statistics are not counted."""
    asked = load_questionnaire(recipe.hexaco, recipe.personas)
    measured = measured_items(recipe, asked.bank)
    engine = load_model_part(recipe.model)
    plan = fitting_plan(engine, asked, recipe)
    rate = tokens_per_second(engine, plan)
    rows = measured_rows(engine, asked, measured)
    cells = 2 * (len(measured.facets) + recipe.random_directions)
    return [plan_line(plan, engine, rate), sweep_line("sweep", engine, rows, "from:item", {recipe.layer: cells}, rate)]


def sweep_line(
    name: str, engine: HookEngine, rows: Sequence[Row], where: str, cells: dict[int, int], rate: float
) -> PlanLine:
    """Every row once unsteered, and its steered tokens under every cell through the blocks above its layer."""
    prompts = [row.prompt for row in rows]
    tokens = sum(map(len, prompts))
    steered = sum(len(resolve(prompt, where)) for prompt in prompts)
    blocks = sum(n * (engine.n_layers - 1 - layer) for layer, n in cells.items()) / engine.n_layers
    computed = tokens + round(steered * blocks)
    n_cells = 1 + sum(cells.values())
    return PlanLine(name, len(rows) * n_cells, tokens * n_cells, computed, 0, computed / rate / 60)
