"""Persona selection in preferences: after one topic was taught, what else is wanted more or less, and who wants it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, Shaped

from personascope.errors import DataError
from personascope.measures.contrasts import MIN_ITEMS, sign_flip_p
from personascope.measures.intervals import (
    cell_means,
    clusters_by_cell,
    percentile_interval,
    resampled_means,
    resampled_weights,
)
from personascope.measures.multiplicity import Method, adjust
from personascope.measures.pairing import codes_of
from personascope.measures.tables import require_columns, require_unique
from personascope.tuning.halves import N_RESAMPLES
from personascope.tuning.selection import Selection
from personascope.tuning.unrequested import (
    CONTROL,
    N_PERMUTATIONS,
    TAUGHT,
    UNREQUESTED,
    permutation_p,
    persona_frame,
    require_personas,
    require_taught,
    total_frame,
    total_row,
)

LEVELS = ("between topics", "within topics")
FEWEST_TASKS = 2
"""Of a topic, in as many clusters: below this the spread of its movement cannot be seen."""


@dataclass(frozen=True, eq=False)
class _Tasks:
    """Tasks in order of topic and id; topics that were taught and those that were not."""

    table: pl.DataFrame
    topic: Int[np.ndarray, " task"]
    clusters: Shaped[np.ndarray, " task"]
    topics: tuple[str, ...]
    taught: Bool[np.ndarray, " topic"]

    def column(self, name: str) -> Float[np.ndarray, " task"]:
        return self.table[name].cast(pl.Float64).to_numpy()

    def moved(self, to: str, start: str) -> Float[np.ndarray, " task"]:
        """Change of each task minus the mean over the topics that were not taught."""
        d = self.column(to) - self.column(start)
        means = np.bincount(self.topic, weights=d) / np.bincount(self.topic)
        return np.asarray(d - means[~self.taught].mean())


def utility_selection(
    tasks: pl.DataFrame,
    taught: Sequence[str],
    personas: Mapping[str, str] | None = None,
    *,
    before: str = "before",
    after: str = "after",
    again: str | None = None,
    control: str | None = None,
    cluster: str | None = None,
    method: Method = "bh",
    n_resamples: int = N_RESAMPLES,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> Selection:
    """Movement of utilities of topics that were not taught, and the personas whose preferences it goes toward.

    Utilities have zero mean over their pool, so a topic that rises pushes all others down. Movement is therefore taken
    relative to the mean over the topics that were not taught: theirs is what rose or fell among themselves. A topic's
    movement is the mean over its tasks; p flips the signs of its tasks (clusters) around that mean of topics.

    With y = after - before and x = persona - before, r is Pearson's over topic means ("between topics"), and over tasks
    minus their topic's mean ("within topics"); p permutes topics, or tasks within topics. Both differences carry the
    error of "before", which draws r up: with `again`, a second measurement of the model before training that shares no
    comparisons with the first, each takes it from another one, and r is only drawn toward 0 by error, as any r is.

    Args:
        tasks: one row per task: task, topic and utilities (logits) in the columns named next. Tasks with a null
            utility are left out and counted.
        taught: topics that training was about; none, where it was about something else.
        personas: column by name, of the model as that persona before training.
        before: column of the model as itself before training.
        after: column of the model as itself after training.
        again: column of the model as itself before training, from other comparisons.
        control: column of the model after a control run.
        cluster: column of near duplicates.
        method: correction that gives q, within either part of the topics, and among all rows of `personas`.
        n_resamples: bootstrap resamples of clusters of tasks within topics.
        n_permutations: random permutations.
        seed: of all of them.

    Returns:
        units: topic, taught, moved (logits), low, high, p, q, p_holm, n (tasks), n_clusters, untested. personas:
        persona, level (`LEVELS`), r, low, high, p, q, shares_error (no `again`), n_topics, n (tasks).

    Raises:
        DataError: a missing column, a utility that is not finite, a task twice, an unknown taught topic, fewer than
            three others with two independent tasks, or a persona whose column is missing or the model's own.
    """
    columns = dict(personas or {})
    used = [before, after, *columns.values(), *([again] if again else []), *([control] if control else [])]
    require_personas(columns, tasks.columns, {"before": before, "after": after})
    data, left_out, n_dropped = _tasks(tasks, set(taught), used, cluster)
    if np.array_equal(data.column(before), data.column(after)):
        raise DataError(
            f"{before!r} and {after!r} hold the same {data.table.height} utilities.",
            "One measurement was passed twice, or the adapter was off when the second was taken.",
            "Pass two measurements; after training, measure with the adapter on.",
        )
    settings = {"n_resamples": n_resamples, "seed": seed}
    moved = data.moved(after, before)
    means = _draws(data, moved, **settings)
    parts = {TAUGHT: data.taught, UNREQUESTED: ~data.taught}
    totals = [_total(part, data, moved, means, which, seed) for part, which in parts.items() if which.any()]
    if control is not None:
        other = data.moved(control, before)
        totals.append(_total(CONTROL, data, other, _draws(data, other, **settings), ~data.taught, seed))
    rows = []
    for name, column in columns.items():
        own = (before, before if again is None else again)
        rows += _resemblance(data, name, (after, column), own, n_permutations=n_permutations, **settings)
    if rows:
        for row, q in zip(rows, adjust(np.array([row["p"] for row in rows]), method), strict=True):
            row["q"] = float(q)
    units = _units(data, moved, means, method, seed)
    return Selection(units, total_frame(totals), persona_frame(rows, "r"), left_out, n_dropped)


def _tasks(
    tasks: pl.DataFrame, taught: set[str], used: Sequence[str], cluster: str | None
) -> tuple[_Tasks, tuple[str, ...], int]:
    nullable = [*dict.fromkeys(used), *([cluster] if cluster is not None else [])]
    require_columns(tasks, ["task", "topic", *nullable], may_be_null=nullable)
    require_unique(tasks, ["task"])
    for name in dict.fromkeys(used):
        require_columns(tasks.filter(pl.col(name).is_not_null()), [name])
    require_taught(taught, tasks["topic"].unique(maintain_order=True).to_list(), "topic")
    own = pl.format("task {}", pl.col("task"))
    label = own if cluster is None else pl.format("cluster {}", pl.col(cluster)).fill_null(own)
    table = tasks.with_columns(_cluster=label).drop_nulls(list(used)).sort("topic", "task")
    n_clusters = table.group_by("topic").agg(pl.col("_cluster").n_unique())
    enough = n_clusters.filter(pl.col("_cluster") >= FEWEST_TASKS)["topic"].to_list()
    left_out = tuple(sorted(set(tasks["topic"].to_list()) - set(enough)))
    table = table.filter(pl.col("topic").is_in(enough))
    names = tuple(table["topic"].unique(maintain_order=True).to_list())
    if len(set(names) - taught) < 3:
        raise DataError(
            f"{len(set(names) - taught)} topics that were not taught have {FEWEST_TASKS} independent tasks.",
            f"Left out: {', '.join(left_out)}." if left_out else "",
            "Measure more tasks of more topics.",
        )
    is_taught = np.array([name in taught for name in names])
    clusters = table["_cluster"].to_numpy().astype(str)
    return (
        _Tasks(table, codes_of(table["topic"].to_numpy().astype(str)), clusters, names, is_taught),
        left_out,
        len(tasks) - tasks.drop_nulls(list(used)).height,
    )


def _draws(
    data: _Tasks, moved: Float[np.ndarray, " task"], *, n_resamples: int, seed: int
) -> Float[np.ndarray, "resample topic"]:
    """Movement of each topic in each resample, relative to the mean over those that were not taught there."""
    means = resampled_means(
        moved[:, None], data.topic, data.clusters, n_resamples=n_resamples, seed=seed, within=False
    )[..., 0]
    return np.asarray(means - np.nanmean(means[:, ~data.taught], axis=1, keepdims=True))


def _units(
    data: _Tasks,
    moved: Float[np.ndarray, " task"],
    draws: Float[np.ndarray, "resample topic"],
    method: Method,
    seed: int,
) -> pl.DataFrame:
    k, rows = clusters_by_cell(data.topic, data.clusters), []
    for t, name in enumerate(data.topics):
        own = data.topic == t
        summed = np.bincount(codes_of(data.clusters[own]), weights=moved[own])
        low, high = percentile_interval(draws[:, t])
        row: dict[str, Any] = {"topic": name, "taught": bool(data.taught[t]), "moved": float(moved[own].mean())}
        row |= {"low": low, "high": high, "p": None, "q": None, "p_holm": None}
        row |= {"n": int(own.sum()), "n_clusters": int(k[t]), "untested": None}
        if k[t] < MIN_ITEMS:
            row["untested"] = f"{k[t]} independent tasks, fewer than {MIN_ITEMS}"
        else:
            row["p"] = sign_flip_p(summed, seed=seed)
        rows.append(row)
    for which in (True, False):
        tested = [row for row in rows if row["p"] is not None and row["taught"] is which]
        p = np.array([row["p"] for row in tested], dtype=np.float64)
        for row, q, holm in zip(tested, adjust(p, method), adjust(p, "holm"), strict=True):
            row |= {"q": float(q), "p_holm": float(holm)}
    numbers = dict.fromkeys(("moved", "low", "high", "p", "q", "p_holm"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides={**numbers, "untested": pl.String}, infer_schema_length=None)


def _total(
    part: str,
    data: _Tasks,
    moved: Float[np.ndarray, " task"],
    draws: Float[np.ndarray, "resample topic"],
    which: Bool[np.ndarray, " topic"],
    seed: int,
) -> dict[str, Any]:
    """The row of some topics together."""
    n, own = np.bincount(data.topic), which[data.topic]
    topic, codes = codes_of(data.topic[own]), codes_of(data.clusters[own])
    shares = np.zeros((int(codes.max()) + 1, int(which.sum())))
    np.add.at(shares, (codes, topic), moved[own] / n[data.topic[own]])
    kept = draws[:, which]
    kept = kept[np.isfinite(kept).all(axis=1)]
    return total_row(part, shares, kept.var(axis=0, ddof=1), kept, n=int(own.sum()), seed=seed)


def _resemblance(
    data: _Tasks,
    persona: str,
    to: tuple[str, str],
    own: tuple[str, str],
    *,
    n_resamples: int,
    n_permutations: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Both levels of one persona, over the tasks that were not taught."""
    kept = ~data.taught[data.topic]
    topic, clusters = codes_of(data.topic[kept]), data.clusters[kept]
    after, theirs, first, second = (data.column(name)[kept] for name in (*to, *own))
    # y and x from either measurement of the model before training, so that no product has its error twice
    values = np.column_stack([after - first, theirs - second, after - second, theirs - first])
    r = _correlations(np.ones((1, len(topic))), values, topic)[0]
    batches = resampled_weights(topic, clusters, n_resamples=n_resamples, seed=seed, within=False, held=len(values.T))
    draws = np.concatenate([_correlations(weights, values, topic) for weights in batches])
    means = cell_means(np.ones((1, len(topic))), values, topic)[0]
    rows = []
    for k, (level, columns, groups) in enumerate(
        ((LEVELS[0], means - means.mean(axis=0), None), (LEVELS[1], values - means[topic], topic))
    ):
        y, x, y_too, x_too = columns.T
        products = (np.outer(y, x) + np.outer(y_too, x_too)) / 2
        p = permutation_p(products, groups, n_permutations=n_permutations, seed=seed)
        low, high = percentile_interval(draws[:, k])
        row = {"persona": persona, "level": level, "r": float(r[k]), "low": low, "high": high, "p": p, "q": None}
        rows.append(row | {"shares_error": own[0] == own[1], "n_topics": len(means), "n": len(topic)})
    return rows


def _correlations(
    weights: Float[np.ndarray, "draw task"], values: Float[np.ndarray, "task 4"], topic: Int[np.ndarray, " task"]
) -> Float[np.ndarray, "draw level"]:
    """Correlation of y with x and of their twins, over the spread of their means, between topics and within them."""
    y, x, y_too, x_too = values.T
    six = np.column_stack([values, (y + y_too) / 2, (x + x_too) / 2])
    pairs = ((0, 1), (2, 3), (4, 4), (5, 5))
    means = cell_means(weights, six, topic)
    squares = cell_means(weights, np.column_stack([six[:, a] * six[:, b] for a, b in pairs]), topic)
    centred = means - means.mean(axis=1, keepdims=True)
    sizes = weights @ np.eye(means.shape[1])[topic]
    found = []
    for k, (a, b) in enumerate(pairs):
        inside = squares[..., k] - means[..., a] * means[..., b]
        found.append(np.stack([(centred[..., a] * centred[..., b]).sum(1), (sizes * inside).sum(1)], axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (found[0] + found[1]) / 2 / np.sqrt(found[2] * found[3])
    return np.asarray(np.clip(r, -1, 1))
