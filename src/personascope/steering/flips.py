"""Flips: what a patched or ablated model chooses, beside what it chose before.

A row asks one pair in one order: its first task has label 0, its second label 1. Patching copies residuals from the
donor, the same pair in the other order. There are two kinds of rows, by what the donor said when left alone, and each
can show only one kind of transfer:

    donor chose        its label    after patching   outcome
    the same task      the other    same label       unchanged (the task was carried, or nothing)
    the same task      the other    other label      takes donor's label; the task chosen changes
    the other task     the same     same label       unchanged (the label was carried, or nothing)
    the other task     the same     other label      takes donor's task; the slot chosen changes

So P(takes label) is read from the rows of the first kind alone, P(takes task) from those of the second kind alone.
Read from labels, the chosen task changes exactly when the label does. Where the task was also carried out in writing,
pass what was carried out: then a flip is genuine (both change), label only (another label, the same task carried out)
or content only; and a row can take the donor's label and task at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from personascope.errors import ActivationError, DataError
from personascope.measures.wilson import wilson
from personascope.probes.bootstrap import draw_counts, percentile_interval

N_RESAMPLES = 1000
KINDS = ("unchanged", "genuine", "label only", "content only")
OUTCOMES = ("unchanged", "takes donor's label", "takes donor's task", "takes both", "neither is the donor's")
_RATES = {
    "label flips": pl.col("label_after") != pl.col("label_before"),
    "content flips": pl.col("task_after") != pl.col("task_before"),
    "genuine flips": pl.col("kind") == KINDS[1],
    "label-only flips": pl.col("kind") == KINDS[2],
    "content-only flips": pl.col("kind") == KINDS[3],
    "takes donor's label": pl.col("takes_label"),
    "takes donor's task": pl.col("takes_task"),
}


def patching_flips(
    before: Float[np.ndarray, "row option=2"],
    after: Float[np.ndarray, "row layer option=2"],
    first: Int[np.ndarray, " row"],
    second: Int[np.ndarray, " row"],
    layers: Sequence[int],
    *,
    carried_out_before: Int[np.ndarray, " row"] | None = None,
    carried_out_after: Int[np.ndarray, "row layer"] | None = None,
) -> pl.DataFrame:
    """What every row chose before and after its donor's residuals were copied into it; the module's table says how.

    Args:
        before: log-probabilities of both labels in the unpatched runs; each row is also the donor of its other order.
        after: of the patched runs.
        first: task shown first in each row; every pair stands once in each order.
        second: task shown second.
        layers: of `after`; a set of layers patched together can stand as one number.
        carried_out_before: task that was carried out in writing, -1 for neither; the chosen one when not given.
        carried_out_after: likewise after patching.

    Returns:
        One row for each layer and row: layer, row, pair, label_before, label_after, donor_label, task_before,
        task_after, donor_task, kind (of `KINDS`), takes_label (null unless the donor's label was another), takes_task
        (null unless its task was another, or none), outcome (of `OUTCOMES`).

    Raises:
        DataError: shapes that do not fit, a pair without both orders, writings given for one side only.
        ActivationError: NaN log-probabilities.
    """
    if before.shape != (len(first), 2) or after.shape != (len(first), len(layers), 2) or len(second) != len(first):
        raise DataError(
            f"Shapes {before.shape} and {after.shape} for {len(first)} first and {len(second)} second tasks and "
            f"{len(layers)} layers.",
            "Each row has two labels before, and two at each layer after.",
            "Pass one entry for each.",
        )
    if (carried_out_before is None) != (carried_out_after is None):
        raise DataError("What was carried out is known on one side only.", "", "Pass it before and after, or not.")
    pair, donor = _orders(first, second)
    tasks = np.stack([first, second], axis=1)
    label_before, label_after = chosen_labels(before), chosen_labels(after)
    row, layer = (index.reshape(-1) for index in np.indices(label_after.shape))
    task_before = tasks[np.arange(len(first)), label_before] if carried_out_before is None else carried_out_before
    task_after = np.take_along_axis(tasks, label_after, 1) if carried_out_after is None else carried_out_after
    table = pl.DataFrame(
        {
            "layer": np.array(layers)[layer],
            "row": row,
            "pair": pair[row],
            "label_before": label_before[row],
            "label_after": label_after.reshape(-1),
            "donor_label": label_before[donor][row],
            "task_before": task_before[row],
            "task_after": task_after.reshape(-1),
            "donor_task": task_before[donor][row],
        }
    )
    return _with_outcomes(table)


def flip_rates(
    flips: pl.DataFrame, *, by: Sequence[str] = ("layer",), n_resamples: int = N_RESAMPLES, seed: int = 0
) -> pl.DataFrame:
    """Rates of all kinds of flips, and of what is taken from the donor among the rows that can show it.

    Args:
        flips: what `patching_flips` returned, with further columns of `by` if there are any.
        by: columns that tell rates apart, such as ("direction", "layer").
        n_resamples: of a bootstrap over pairs, whose two orders stay together.
        seed: of the bootstrap.

    Returns:
        Columns by..., what, rate, low, high (Wilson, with pairs as observations), bootstrap_low, bootstrap_high, n
        (rows that can show it), n_pairs. Null rates where no row can.
    """
    pairs = flips["pair"].unique().sort()
    counts = draw_counts(len(pairs), n_resamples, seed)
    parts = []
    for keys, part in flips.group_by(*by, maintain_order=True):
        hit = (
            part.select("pair", **_RATES)
            .group_by("pair")
            .agg(pl.col(*_RATES).sum().name.suffix(" hits"), pl.col(*_RATES).count().name.suffix(" able"))
        )
        every = pl.DataFrame({"pair": pairs}).join(hit, on="pair", how="left", maintain_order="left").fill_null(0)
        hits, able = (
            every.select(f"{what} {kind}" for what in _RATES).to_numpy().astype(np.float64) for kind in ("hits", "able")
        )
        names = [pl.lit(key).alias(name) for key, name in zip(keys, by, strict=True)]
        parts.append(_rates(hits, able, counts).select(*names, pl.Series("what", list(_RATES)), pl.all()))
    return pl.concat(parts)


def ablation_flips(
    before: Float[np.ndarray, "row option=2"],
    after: Float[np.ndarray, "row direction option=2"],
    first: Int[np.ndarray, " row"],
    second: Int[np.ndarray, " row"],
    *,
    directions: Sequence[str],
    kinds: Sequence[str],
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """How far choices survive the removal of a direction.

    Agreement is the share of rows whose more probable label is that of the unablated model; swap flips are the share of
    pairs whose more probable task changes with the order.

    Args:
        before: log-probabilities of both labels without ablation.
        after: with each direction removed.
        first: task shown first in each row; every pair stands once in each order.
        second: task shown second.
        directions: names; `kinds` what each is ("probe", "isotropic", ...).
        kinds: see above.
        n_resamples: of a bootstrap over pairs.
        seed: of the bootstrap.

    Returns:
        One row for each direction, the unablated model first (direction "none", control "baseline"): direction,
        control, then for agreement and swap_flips the value, _low, _high (Wilson, pairs as observations),
        _bootstrap_low and _bootstrap_high; swap_flips_change (from the unablated model, paired) with _low and _high
        (bootstrap); n (rows), n_pairs.

    Raises:
        DataError: as `patching_flips`.
        ActivationError: as `patching_flips`.
    """
    if after.shape != (len(before), len(directions), 2) or len(kinds) != len(directions) or len(first) != len(before):
        raise DataError(
            f"Shapes {before.shape} and {after.shape} for {len(directions)} directions and {len(first)} rows.",
            "Each row has two labels for every direction.",
            "Pass one entry for each.",
        )
    pair, donor = _orders(first, second)
    labels = chosen_labels(np.concatenate([before[:, None], after], axis=1))
    one = np.flatnonzero(np.arange(len(pair)) < donor)
    one = one[np.argsort(pair[one])]
    same = (labels == labels[:, :1]).astype(np.float64)
    agreement = (same[one] + same[donor[one]]) / 2
    # the tasks swap places: the same label in both orders is another task
    flips = (labels[one] == labels[donor[one]]).astype(np.float64)
    counts = draw_counts(len(one), n_resamples, seed)
    columns: dict[str, Float[np.ndarray, " direction"]] = {}
    n = np.full(labels.shape[1], float(len(one)))
    for name, values in {"agreement": agreement, "swap_flips": flips}.items():
        share = values.mean(axis=0)
        ends = (*wilson(share, n), *percentile_interval(counts @ values / len(one)))
        suffixes = ("_low", "_high", "_bootstrap_low", "_bootstrap_high")
        columns |= {name: share} | {f"{name}{end}": x for end, x in zip(suffixes, ends, strict=True)}
    change = flips - flips[:, :1]
    low, high = percentile_interval(counts @ change / len(one))
    columns |= {"swap_flips_change": change.mean(axis=0), "swap_flips_change_low": low, "swap_flips_change_high": high}
    names = {"direction": ["none", *directions], "control": ["baseline", *kinds]}
    return pl.DataFrame({**names, **columns}).with_columns(n=pl.lit(len(before)), n_pairs=pl.lit(len(one)))


def chosen_labels(option_logprobs: Float[np.ndarray, "*cell option=2"]) -> Int[np.ndarray, "*cell"]:
    """The more probable label, 0 or 1; 0 in an exact tie.

    Raises:
        ActivationError: NaN.
    """
    broken = np.isnan(option_logprobs).any(axis=-1)
    if broken.any():
        raise ActivationError(
            f"{int(broken.sum())} of {broken.size} answers have NaN log-probabilities, first at "
            f"{np.argwhere(broken)[0].tolist()}.",
            "The intervention drove the logits out of range.",
            "Run in float32, or leave these rows out and say so.",
        )
    return (option_logprobs[..., 1] > option_logprobs[..., 0]).astype(np.int64)


def _orders(
    first: Int[np.ndarray, " row"], second: Int[np.ndarray, " row"]
) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " row"]]:
    """Number of each row's pair, and the row with its other order."""
    place = {order: row for row, order in enumerate(zip(first.tolist(), second.tolist(), strict=True))}
    alone = [order for order in place if order[::-1] not in place or order[0] == order[1]]
    if alone or len(place) < len(first):
        raise DataError(
            f"{len(first)} rows of {len(place)} different orders, {len(alone)} of them without their other order "
            f"(first {alone[:1]}).",
            "The donor of a row is its pair in the other order.",
            "Ask every pair once in each order.",
        )
    donor = np.array([place[order[::-1]] for order in place], dtype=np.int64)
    ends = np.sort(np.stack([first, second], axis=1), axis=1)
    return np.unique(ends, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64), donor


def _with_outcomes(table: pl.DataFrame) -> pl.DataFrame:
    label, task = pl.col("label_after") != pl.col("label_before"), pl.col("task_after") != pl.col("task_before")
    can_label = pl.col("donor_label") != pl.col("label_before")
    can_task = (pl.col("donor_task") != pl.col("task_before")) & (pl.col("donor_task") >= 0)
    kind = (
        pl.when(label & task)
        .then(pl.lit(KINDS[1]))
        .when(label)
        .then(pl.lit(KINDS[2]))
        .when(task)
        .then(pl.lit(KINDS[3]))
    )
    table = table.with_columns(
        kind=kind.otherwise(pl.lit(KINDS[0])),
        takes_label=pl.when(can_label).then(pl.col("label_after") == pl.col("donor_label")),
        takes_task=pl.when(can_task).then(pl.col("task_after") == pl.col("donor_task")),
    )
    by_label, by_task = pl.col("takes_label").fill_null(False), pl.col("takes_task").fill_null(False)
    taken = pl.when(by_label & by_task).then(pl.lit(OUTCOMES[3])).when(by_label).then(pl.lit(OUTCOMES[1]))
    taken = taken.when(by_task).then(pl.lit(OUTCOMES[2])).when(label | task).then(pl.lit(OUTCOMES[4]))
    return table.with_columns(outcome=taken.otherwise(pl.lit(OUTCOMES[0])))


def _rates(
    hits: Float[np.ndarray, "pair what"],
    able: Float[np.ndarray, "pair what"],
    counts: Float[np.ndarray, "resample pair"],
) -> pl.DataFrame:
    """Rates among the rows that can show them (`able` of each pair), and their intervals."""
    n, n_pairs = able.sum(axis=0), (able > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # nothing to be counted: no rate
        rate, draws = hits.sum(axis=0) / n, (counts @ hits) / (counts @ able)
    low, high = wilson(rate, n_pairs.astype(np.float64))
    columns = {"rate": rate, "low": low, "high": high}
    columns |= dict(zip(("bootstrap_low", "bootstrap_high"), percentile_interval(draws), strict=True))
    table = [pl.Series(name, values, nan_to_null=True) for name, values in columns.items()]
    return pl.DataFrame([*table, pl.Series("n", n.astype(np.int64)), pl.Series("n_pairs", n_pairs.astype(np.int64))])
