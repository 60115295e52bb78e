"""What the organism study would compute."""

from __future__ import annotations

from personascope.experiments.estimate import PlanLine, plan_line, tokens_per_second
from personascope.experiments.organism import organism_plans
from personascope.experiments.planted_tables import STATES
from personascope.experiments.recipe_organism import OrganismRecipe


def estimate_organism(recipe: OrganismRecipe) -> list[PlanLine]:
    """Lines of the study; steering and statistics are not counted."""
    organism, _, plans = organism_plans(recipe)
    rate = tokens_per_second(organism.engine, plans[STATES[1]][0])
    return [plan_line(plan, organism.engine, rate) for state in STATES for plan in plans[state]]
