"""What the ideal-self study would compute; training counts a token three times, and every beginning once per step."""

from __future__ import annotations

from collections.abc import Sequence

from personascope.experiments.estimate import PlanLine, plan_line, tokens_per_second
from personascope.experiments.estimate_steering import sweep_line
from personascope.experiments.facet_steering import measured_rows
from personascope.experiments.ideal_self import load_ideal_self
from personascope.experiments.plans import load_model_part
from personascope.experiments.questionnaires import rating_template
from personascope.experiments.recipe_training import AdapterPart
from personascope.experiments.recipe_tuning import OWN, IdealSelfRecipe
from personascope.experiments.tuned_answers import base_plan, tuned_plan
from personascope.models.requests import require_layers
from personascope.prompts.templates import ORDERS
from personascope.tuning.examples import Example, make_example
from personascope.tuning.packing import pack

BACKWARD = 3
"""Passes that a trained token costs: forward, and twice as much back."""


def estimate_ideal_self(recipe: IdealSelfRecipe) -> list[PlanLine]:
    """Lines of the study; reasons, other forms, bisection and statistics are not counted, nor early stopping."""
    asked, split, items = load_ideal_self(recipe)
    engine = load_model_part(recipe.model)
    require_layers(engine, recipe.layers)
    plan = base_plan(engine, asked, items, recipe)
    rate = tokens_per_second(engine, plan)
    lines = [plan_line(plan, engine, rate)]
    own = next(persona for persona in asked.respondents if persona.name == OWN)
    orders = ORDERS if recipe.training.both_orders else ORDERS[:1]
    examples = [
        make_example(
            engine.tokenizer,
            f"{item.id}/{order}",
            template,
            {"framing": own.phrasings[0].framing, "item": item.text},
            template.labels[0],
            system=own.phrasings[0].system,
        )
        for order in orders
        for template in [rating_template(engine, asked.scale, order)]
        for item in asked.bank.items
        if item.id in set(split.train)
    ]
    lines += [training_line(f"train {one.name}", examples, recipe.training, rate) for one in recipe.runs]
    for number, one in enumerate(recipe.runs):
        lines.append(plan_line(tuned_plan(engine, one.name, asked, items, recipe, first=number == 0), engine, rate))
    part = recipe.comparison
    if part is not None:
        rows = measured_rows(engine, asked, items.test)
        cells = {part.layer: 3 * part.random_directions + 11}
        lines.append(sweep_line("steering, test items", engine, rows, part.where, cells, rate))
        rows = measured_rows(engine, asked, items.validation)
        grid = {part.layer: 8 * len(part.coefficients)}
        lines.append(sweep_line("steering, validation items", engine, rows, part.where, grid, rate))
    return lines


def training_line(name: str, examples: Sequence[Example], training: AdapterPart, rate: float) -> PlanLine:
    """Training at a rate of tokens per second forward, its share of common beginnings being that of the first step."""
    batch = examples[: training.batch_size]
    packed = pack([one.ids for one in batch], [one.taught for one in batch])
    share = len(packed.ids) / sum(len(one.ids) for one in batch)
    tokens = training.epochs * sum(len(one.ids) for one in examples)
    computed = round(tokens * share)
    return PlanLine(name, training.epochs * len(examples), tokens, computed, 0, BACKWARD * computed / rate / 60)
