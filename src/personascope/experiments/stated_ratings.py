"""Stated ratings: how much a model says that it would like to do each task, read from label probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.errors import DataError
from personascope.experiments.plans import make_plan
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.instruments.personas import Persona
from personascope.instruments.tasks import Task, TaskPool
from personascope.measures.by_model import by_model
from personascope.measures.likert import item_answers, score_likert
from personascope.measures.reliability import correlate
from personascope.measures.tables import require_columns, require_unique
from personascope.models.engine import HookEngine
from personascope.prompts.render import render
from personascope.prompts.templates import LIKING, ORDERS, stated_rating_template

MIN_TASKS = 3


def rating_rows(
    engine: HookEngine,
    personas: Sequence[Persona],
    tasks: Sequence[Task],
    anchors: Sequence[str] = LIKING,
    *,
    labels: str = "digits",
    thinking: bool | None = None,
) -> tuple[Row, ...]:
    """Every task under every persona, in its first wording and both anchor orders; rows carry persona, task, order.

    Raises:
        PersonascopeError: as `stated_rating_template` and `render`.
    """
    templates = _templates(engine, anchors, labels)
    return tuple(
        Row(
            id=f"{persona.name}/{task.id}/{order}",
            prompt=render(
                engine.tokenizer, template, {"item": task.text}, system=persona.phrasings[0].system, thinking=thinking
            ),
            meta={"persona": persona.name, "task": task.id, "order": order},
        )
        for persona in personas
        for order, template in templates.items()
        for task in tasks
    )


def rating_plan(
    engine: HookEngine,
    personas: Sequence[Persona],
    pool: TaskPool,
    kept: ActivationsPart,
    anchors: Sequence[str] = LIKING,
    *,
    labels: str = "digits",
    thinking: bool | None = None,
) -> Plan:
    """The rows of `rating_rows` with the labels of the scale, which are the same tokens in both orders.

    Raises:
        PersonascopeError: as `rating_rows` and `resolve_options`.
    """
    rows = rating_rows(engine, personas, pool.tasks, anchors, labels=labels, thinking=thinking)
    template = _templates(engine, anchors, labels)[ORDERS[0]]
    return make_plan("stated_ratings", engine, rows, kept, template, {"tasks": pool.hash()})


def stated_rating_table(store: ActivationStore) -> pl.DataFrame:
    """Expected ratings 1 .. K of a store of `rating_plan`, averaged over the anchor orders.

    Returns:
        One row per persona and task: persona, task, rating (1 is least, K most; label probabilities renormalised),
        order_bias (half of ascending minus descending, in points: positive leans to the labels that come last) and
        label_mass (probability on the labels, mean of both orders).

    Raises:
        DataError, ActivationError: as `item_answers` and `score_likert`.
    """
    n_options = store.option_logprobs.shape[1]
    answers = score_likert(
        store.option_logprobs,
        store.other_logmass,
        n_options=n_options,
        descending=(store.rows["order"] == "descending").to_numpy(),
    )
    asked = store.rows.select("persona", "order", item="task")
    averaged = item_answers(asked.hstack(answers.frame().select("agreement", "label_mass")))
    points = (n_options - 1) / 2
    return averaged.select(
        "persona",
        task="item",
        rating=1 + (pl.col("agreement") + 1) * points,
        order_bias=pl.col("order_bias") * points,
        label_mass="label_mass",
    )


def rating_agreement(
    ratings: pl.DataFrame, utilities: pl.DataFrame, *, n_resamples: int = 2_000, seed: int = 0
) -> pl.DataFrame:
    """Whether what a persona says it likes is what it chooses.

    Args:
        ratings: columns persona, task, rating, as `stated_rating_table` gives them.
        utilities: columns persona, task, utility, of the same personas and tasks; topic, where it is there, names the
            clusters of the bootstrap.
        n_resamples: bootstrap resamples of tasks, or of topics.
        seed: of the bootstrap.

    Returns:
        One row per persona: persona, r, low, high (Pearson, 95 % percentile bootstrap), rank_r (Spearman), n (tasks).
        Null where either is constant.

    Raises:
        DataError: a task that only one table has, a repeated one, or fewer than 3.
    """

    def table(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
        rows = [_correlation(part, n_resamples, seed) for part in _paired(one, other)]
        return pl.DataFrame(rows, schema_overrides=dict.fromkeys(("r", "low", "high", "rank_r"), pl.Float64))

    return by_model(table, ratings, utilities)


def _templates(engine: HookEngine, anchors: Sequence[str], labels: str) -> dict[str, Any]:
    return {
        order: stated_rating_template(order, anchors, labels=labels, tokenizer=engine.tokenizer) for order in ORDERS
    }


def _paired(ratings: pl.DataFrame, utilities: pl.DataFrame) -> list[pl.DataFrame]:
    """Both numbers of each task, by persona."""
    require_columns(ratings, ["persona", "task", "rating"])
    require_columns(utilities, ["persona", "task", "utility"])
    for frame in (ratings, utilities):
        require_unique(frame, ["persona", "task"])
    ours, theirs = (set(frame.select("persona", "task").iter_rows()) for frame in (ratings, utilities))
    odd = sorted(ours ^ theirs)
    if odd:
        raise DataError(
            f"Task {odd[0][1]!r} of persona {odd[0][0]!r} has a rating or a utility, not both ({len(odd)} such tasks).",
            "The two are compared on the same tasks.",
            "Ask the same tasks of the same personas in both ways.",
        )
    both = ratings.join(utilities, on=["persona", "task"], how="left", maintain_order="left")
    return both.partition_by("persona", maintain_order=True)


def _correlation(part: pl.DataFrame, n_resamples: int, seed: int) -> dict[str, Any]:
    persona = part["persona"][0]
    if part.height < MIN_TASKS:
        raise DataError(f"Persona {persona!r} rated {part.height} tasks.", f"{MIN_TASKS} are needed.", "Ask more.")
    part = part.sort("task")
    x, y = (part[name].to_numpy().astype(np.float64) for name in ("rating", "utility"))
    row: dict[str, Any] = {"persona": persona, "r": None, "low": None, "high": None, "rank_r": None, "n": part.height}
    if min(np.ptp(x), np.ptp(y)) <= 1e-12:
        return row
    topics = part["topic"].to_numpy() if "topic" in part.columns else np.arange(part.height)
    clusters = topics if len(set(topics)) >= MIN_TASKS else np.arange(part.height)
    found = correlate(x, y, n_resamples=n_resamples, seed=seed, groups=clusters)
    return {**row, **vars(found), "rank_r": float(stats.spearmanr(x, y).statistic)}
