"""Preview of the organism study: what it is asked, and where it is pushed."""

from __future__ import annotations

from personascope.experiments.organism import organism_plans
from personascope.experiments.planted_tables import STATES, WHERE
from personascope.experiments.preview_parts import ROWS, preview_plan, preview_rows
from personascope.experiments.recipe_organism import OrganismRecipe
from personascope.report.selection import Selection, Steered


def preview_organism(recipe: OrganismRecipe, rows: int = ROWS) -> list[Selection]:
    """Choices, items and tasks of the organism; the base model is asked the same choices and items."""
    organism, _, plans = organism_plans(recipe)
    asked = plans[STATES[1]]
    steer = [Steered(place, sign=sign, layers=(organism.value.layer,)) for place, sign in WHERE.items()]
    pushed = preview_rows(organism.engine, "steered choices", asked[0].rows, rows, read=("answer",), steer=steer)
    return [*(preview_plan(organism.engine, plan, rows) for plan in asked), pushed]
