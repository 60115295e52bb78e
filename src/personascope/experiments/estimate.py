"""What a recipe would compute: rows, tokens, disk, and minutes from a short timing of the model on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

from personascope.activations.plan import Plan
from personascope.experiments.asking import (
    Material,
    choice_plan,
    choice_prompt,
    hexaco_plan,
    item_prompt,
    load_material,
    task_plan,
)
from personascope.experiments.demo import load_recipe_model
from personascope.experiments.recipe import Recipe
from personascope.models.engine import HookEngine
from personascope.prompts.positions import resolve
from personascope.prompts.templates import ORDERS

TIMED_PROMPTS = 24


@dataclass(frozen=True)
class PlanLine:
    """One part of a study: rows, prompt tokens, tokens left to compute, bytes on disk, estimated minutes."""

    part: str
    rows: int
    tokens: int
    computed_tokens: int
    bytes: int
    minutes: float


def estimate(recipe: Recipe) -> list[PlanLine]:
    """Plan every part of the study without computing it; only a few prompts are run, for the timing.

    Raises:
        PersonascopeError: everything that `run` would find wrong before its first row.
    """
    material = load_material(recipe)
    engine = load_recipe_model(recipe)
    plans = [make(engine, material, recipe.activations) for make in (hexaco_plan, choice_plan, task_plan)]
    rate = _tokens_per_second(engine, plans[0])
    width = engine.dtype.itemsize
    lines = []
    for plan in plans:
        summary = plan.summary(engine.d_model, width)
        minutes = summary.unique_tokens / rate / 60
        lines.append(PlanLine(plan.name, summary.rows, summary.tokens, summary.unique_tokens, summary.bytes, minutes))
    return [*lines, _steering_line(engine, material, recipe, rate)]


def _tokens_per_second(engine: HookEngine, plan: Plan) -> float:
    prompts = [row.prompt for row in plan.rows[:TIMED_PROMPTS]]
    engine.run(prompts[:2], options=plan.options)
    before, started = engine.work.tokens, time.monotonic()
    engine.run(prompts, layers=plan.layers, positions=plan.positions, options=plan.options)
    return (engine.work.tokens - before) / (time.monotonic() - started)


def _steering_line(engine: HookEngine, material: Material, recipe: Recipe, rate: float) -> PlanLine:
    """Sweeps run only the tokens from the first steered one on, and only the blocks above the steered layer."""
    part = recipe.steering
    tasks = material.pool.tasks
    pairs = [material.pairs[number] for number in range(min(part.pairs, len(material.pairs)))]
    asked = [(choice_prompt(engine, material.choosers[0], tasks[i], tasks[j]), "from:task_a") for i, j in pairs] * 2
    items = material.bank.subset([part.facet]).items
    asked += [
        (item_prompt(engine, material.respondents[0], item, order), "from:item") for item in items for order in ORDERS
    ]
    steered = sum(len(resolve(prompt, where)) for prompt, where in asked)
    n_cells = (len(part.coefficients) - 1) * (1 + part.random_directions)
    blocks = sum(engine.n_layers - 1 - layer for layer in part.layers) / engine.n_layers
    computed = round(steered * n_cells * blocks) + sum(len(prompt) for prompt, _ in asked)
    rows = len(asked) * (1 + n_cells * len(part.layers))
    tokens = sum(len(prompt) for prompt, _ in asked) * (1 + n_cells * len(part.layers))
    return PlanLine("steering", rows, tokens, computed, 0, computed / rate / 60)
