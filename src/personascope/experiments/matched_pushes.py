"""Pushes that are matched to training: what is asked under steering, and how strong a push moves it as far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.activations.plan import Row
from personascope.direction import Direction
from personascope.experiments.collecting import Progress
from personascope.experiments.facet_steering import measured_rows
from personascope.experiments.questionnaires import Questionnaire, rating_template
from personascope.experiments.recipe_tuning import OWN, ComparisonPart, IdealSelfRecipe
from personascope.experiments.tuned_answers import TestItems
from personascope.instruments.items import ItemBank
from personascope.measures.likert import score_likert
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell, Intervention
from personascope.models.sweep import sweep
from personascope.prompts.labels import resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.templates import ORDERS
from personascope.steering.interventions import add
from personascope.tuning.matching import Match, matched_coefficient

_SIGNS = (1.0, -1.0)


@dataclass(frozen=True)
class Comparison:
    """What all ways of moving the model are compared on.

    Args:
        engine: the model, without an adapter.
        asked: how items are asked.
        items: test and validation items.
        before: `scores` of all items before training.
        texts: neutral passages as replies.
        recipe: of the study.
        how: n_resamples and seed.
        progress: told which way of moving the model is compared.
    """

    engine: HookEngine
    asked: Questionnaire
    items: TestItems
    before: pl.DataFrame
    texts: Sequence[Prompt]
    recipe: IdealSelfRecipe
    how: Mapping[str, Any]
    progress: Progress

    @property
    def part(self) -> ComparisonPart:
        """Its settings."""
        assert self.recipe.comparison is not None
        return self.recipe.comparison

    def rows(self, persona: str, bank: ItemBank) -> list[Row]:
        """Items as a persona is asked them, in both anchor orders."""
        own = tuple(one for one in self.asked.respondents if one.name == persona)
        return measured_rows(self.engine, replace(self.asked, respondents=own), bank)

    def steered(self, persona: str, bank: ItemBank, cells: Sequence[Cell]) -> Swept:
        """Keyed scores of the items under every cell."""
        rows = self.rows(persona, bank)
        prompts = [row.prompt for row in rows]
        labels = rating_template(self.engine, self.asked.scale, ORDERS[0]).labels
        options = resolve_options(self.engine.tokenizer, prompts[0].text.splitlines()[-1], labels)
        found = sweep(self.engine, prompts, cells, options)
        n_options = len(labels)
        scored = score_likert(
            found.option_logprobs.double().numpy().reshape(-1, n_options),
            found.other_logmass.double().numpy().reshape(-1),
            n_options=n_options,
            descending=np.repeat([row.meta["order"] == "descending" for row in rows], len(cells)),
        )
        shape = (len(ORDERS), len(bank.items), len(cells))
        key = np.array([item.key for item in bank.items])
        agreement = scored.agreement.reshape(shape).mean(axis=0)
        return Swept(bank, key[:, None] * agreement, scored.label_mass.reshape(shape).mean(axis=(0, 1)))


@dataclass(frozen=True, eq=False)
class Swept:
    """Scores under steering.

    Args:
        bank: the items.
        score: keyed, both orders averaged, shape (item, cell).
        label_mass: mean over prompts, shape (cell,).
    """

    bank: ItemBank
    score: Float[np.ndarray, "item cell"]
    label_mass: Float[np.ndarray, " cell"]

    def column(self, cell: int, name: str) -> pl.DataFrame:
        """Columns item and `name`."""
        return pl.DataFrame({"item": [item.id for item in self.bank.items], name: self.score[:, cell]})


def plain_slope(items: pl.DataFrame, key: int | None = None) -> float:
    """Sum of gap times movement over facets by the sum of squared gaps; biased, and alike for all that share a gap.

    Args:
        items: `paired`; keys weigh alike in each facet.
        key: of the items that count; None for both.
    """
    own = items if key is None else items.filter(pl.col("key") == key)
    # in the order of the items: groups that come as they are finished would be summed in another order every time
    keyed = own.group_by("facet", "key", maintain_order=True).agg(
        x=(pl.col("ideal") - pl.col("before")).mean(), y=(pl.col("after") - pl.col("before")).mean()
    )
    facets = keyed.group_by("facet", maintain_order=True).agg(pl.col("x", "y").mean())
    x, y = facets["x"].to_numpy(), facets["y"].to_numpy()
    return float(x @ y / (x @ x))


def matched(data: Comparison, ways: Mapping[str, Direction], base: pl.DataFrame, target: float) -> dict[str, Match]:
    """The strength at which each direction moves the validation items as far as training did.

    Of both signs the one is followed that moves further toward the target on the grid, which is asked of all directions
    in one sweep: an unsteered pass costs more than a few cells.

    Args:
        data: see `Comparison`.
        ways: directions with strength 1.
        base: `paired` of the validation items; only before and ideal are read.
        target: `plain_slope` of the tuned model on them. The error of the gap is the same on both sides.
    """
    coefficients = data.part.coefficients
    known: dict[tuple[str, float], float] = {}

    def ask(pushes: Sequence[tuple[str, float]]) -> None:
        cells = [(push(data, strength * ways[name]),) for name, strength in pushes]
        swept = data.steered(OWN, data.items.validation, cells)
        for number, one in enumerate(pushes):
            moved = base.drop("after").join(swept.column(number, "after"), on="item", maintain_order="left")
            known[one] = plain_slope(moved)

    def response(name: str, strength: float) -> float:
        if (name, strength) not in known:
            ask([(name, strength)])
        return known[name, strength]

    ask([(name, sign * coefficient) for name in ways for sign in _SIGNS for coefficient in coefficients])
    goal = np.sign(target) or 1.0
    found = {}
    for name in ways:
        data.progress(f"match {name}", 0, 1)
        sign = max(_SIGNS, key=lambda one: max(goal * known[name, one * coefficient] for coefficient in coefficients))
        found[name] = matched_coefficient(partial(response, name), target, [sign * one for one in coefficients])
        data.progress(f"match {name}", 1, 1)
    return found


def push(data: Comparison, direction: Direction) -> Intervention:
    """The direction, with its strength, added where the study steers."""
    return add(direction, data.part.where, model=data.engine.name, d_model=data.engine.d_model)
