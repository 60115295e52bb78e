"""How far a score tells two labels apart, per persona, position and layer, and how personas differ in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from personascope.errors import DataError
from personascope.measures.intervals import percentile_interval
from personascope.measures.labelled_scores import (
    PLACE,
    Labelled,
    Weights,
    label_p,
    labelled_places,
    resampled_effects,
    resampling_weights,
)
from personascope.measures.multiplicity import Method, adjust
from personascope.measures.tables import require_columns

_NUMBERS = ("d_paired", "d", "d_z", "auc")
RANDOM_PERCENTILE = 95


def stimulus_effects(
    scores: pl.DataFrame,
    *,
    reference: str,
    random: pl.DataFrame | None = None,
    method: Method = "bh",
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Effect of the label on the score, positive when the positive label scores higher.

    d_paired is the mean difference between labels by the pooled standard deviation (of the two labels, within label) of
    the *reference* persona at the same place: personas then share one yardstick, and one whose scores merely spread out
    does not pass for one with a smaller effect. d divides by the persona's own pooled standard deviation, d_z by that
    of its differences, auc is the chance that a positive text scores above a negative one (ties count one half).

    Intervals are 95 % percentiles of a bootstrap over pairs, shared by all personas and by the reference's standard
    deviation; unpaired texts are drawn within their label. p is two-sided, from flipping the signs of pairs'
    differences (`contrasts.sign_flip_p`), or from exchanging labels where texts are unpaired.

    Args:
        scores: columns set, turn, persona, position and layer (null for a scorer that has none), scorer ("probe",
            "encoder" ...), item, pair (null for unpaired texts), positive (bool) and score. Every persona has the same
            items at a place.
        reference: persona whose standard deviation is the yardstick.
        random: scores of random directions: the columns of `scores` without scorer, and draw.
        method: correction over all rows of one set, turn and scorer.
        n_resamples: bootstrap resamples.
        seed: of bootstrap and permutations.

    Returns:
        One row per place and persona: the columns of `PLACE`, persona, difference (mean, in the score's unit),
        sd_reference, d_paired, low, high, d, d_low, d_high, d_z (null where unpaired), d_z_low, d_z_high, auc, auc_low,
        auc_high, p, q, n (pairs; the smaller label's texts where unpaired), paired, random_d95 (95th percentile of
        |d_paired| among random directions at this set, turn, position, layer and persona; null without `random`) and
        n_random. A number is null where a standard deviation in its denominator is zero.

    Raises:
        DataError: missing columns or values, an item twice, a pair without both labels, personas with different items,
            an unknown reference, fewer than two texts of a label.
    """
    rows: list[dict[str, Any]] = []
    for place, by_persona in labelled_places(scores, reference):
        weights = resampling_weights(by_persona[reference], n_resamples, seed)
        yard = by_persona[reference]
        for persona, labelled in by_persona.items():
            numbers = _effects(labelled, yard, weights)
            p = label_p(labelled, seed)
            rows.append({**place, "persona": persona, **numbers, "p": p, "n": labelled.n, "paired": labelled.paired})
    table = pl.DataFrame(rows, schema_overrides=_schema(), infer_schema_length=None)
    table = _with_random(_corrected(table, method), random, reference)
    ends = ["p", "q", "n", "paired", "random_d95", "n_random"]
    return table.select(*PLACE, "persona", *(c for c in _schema() if c not in ends), *ends)


def persona_effect_differences(
    scores: pl.DataFrame, *, reference: str, method: Method = "bh", n_resamples: int = 2_000, seed: int = 0
) -> pl.DataFrame:
    """Difference in d_paired between each persona and the reference, on the same texts.

    Args:
        scores: as for `stimulus_effects`.
        reference: persona with which the others are compared, and whose standard deviation is the yardstick.
        method: correction over all rows of one set, turn and scorer.
        n_resamples: bootstrap resamples, shared with `stimulus_effects` for equal seeds.
        seed: of bootstrap and permutations.

    Returns:
        One row per place and persona other than the reference: the columns of `PLACE`, persona, reference, d_persona,
        d_reference, difference, low, high, flips (whether the two effects differ in sign and neither interval includes
        zero: attenuation alone is no flip), p (as in `stimulus_effects`, of the texts' differences between the
        two personas), q, n.

    Raises:
        DataError: as `stimulus_effects`, or no persona beside the reference.
    """
    rows: list[dict[str, Any]] = []
    for place, by_persona in labelled_places(scores, reference):
        yard = by_persona[reference]
        weights = resampling_weights(yard, n_resamples, seed)
        own = resampled_effects(yard, yard, weights)["d_paired"]
        for persona, labelled in by_persona.items():
            if persona == reference:
                continue
            other = resampled_effects(labelled, yard, weights)["d_paired"]
            low, high = percentile_interval(other[1:] - own[1:])
            both = [percentile_interval(draws[1:]) for draws in (other, own)]
            clear = [None not in ends and ends[0] * ends[1] > 0 for ends in both]  # type: ignore[operator]
            rows.append(
                {
                    **place,
                    "persona": persona,
                    "reference": reference,
                    "d_persona": _or_null(other[0]),
                    "d_reference": _or_null(own[0]),
                    "difference": _or_null(other[0] - own[0]),
                    "low": low,
                    "high": high,
                    "flips": bool(all(clear) and other[0] * own[0] < 0),
                    "p": label_p(labelled.minus(yard), seed),
                    "n": labelled.n,
                }
            )
    if not rows:
        raise DataError(f"There is no persona beside {reference!r}.", "", "Score the texts under another one as well.")
    floats = dict.fromkeys(("d_persona", "d_reference", "difference", "low", "high", "p"), pl.Float64)
    table = pl.DataFrame(rows, schema_overrides=floats, infer_schema_length=None)
    return _corrected(table, method).select(*(c for c in table.columns if c != "n"), "q", "n")


def _effects(labelled: Labelled, yard: Labelled, weights: Weights) -> dict[str, Any]:
    draws = resampled_effects(labelled, yard, weights)
    row: dict[str, Any] = {name: _or_null(draws[name][0]) for name in ("difference", "sd_reference")}
    for name in _NUMBERS:
        ends = ("low", "high") if name == "d_paired" else (f"{name}_low", f"{name}_high")
        values = draws.get(name, np.full(1, np.nan))
        row[name] = _or_null(values[0])
        row |= dict(zip(ends, percentile_interval(values[1:]) if np.isfinite(values[0]) else (None, None), strict=True))
    return row


def _corrected(table: pl.DataFrame, method: Method) -> pl.DataFrame:
    """Adds q, over all rows of one set, turn and scorer, and leaves the order as it is."""
    parts = [
        part.with_columns(q=pl.Series(adjust(part["p"].to_numpy(), method)))
        for _, part in table.with_row_index("_row").group_by("set", "turn", "scorer", maintain_order=True)
    ]
    return pl.concat(parts).sort("_row").drop("_row")


def _with_random(table: pl.DataFrame, random: pl.DataFrame | None, reference: str) -> pl.DataFrame:
    """Adds the 95th percentile of |d_paired| of random directions at the same place and persona."""
    if random is None:
        return table.with_columns(random_d95=pl.lit(None, pl.Float64), n_random=pl.lit(0, pl.Int64))
    require_columns(random, ["draw"])
    keys = [*(name for name in PLACE if name != "scorer"), "persona"]
    found: list[dict[str, Any]] = []
    named = random.with_columns(scorer=pl.col("draw").cast(pl.String)).drop("draw")
    for place, by_persona in labelled_places(named, reference):
        yard = by_persona[reference]
        for persona, labelled in by_persona.items():
            once = (np.ones((1, len(yard.positive))), np.ones((1, len(yard.negative))))
            found.append(
                {
                    **place,
                    "persona": persona,
                    "size": abs(float(resampled_effects(labelled, yard, once)["d_paired"][0])),
                }
            )
    band = (
        pl.DataFrame(found)
        .drop_nans("size")
        .group_by(keys)
        .agg(random_d95=pl.col("size").quantile(RANDOM_PERCENTILE / 100, "linear"), n_random=pl.len().cast(pl.Int64))
    )
    return table.join(band, on=keys, how="left", maintain_order="left").with_columns(pl.col("n_random").fill_null(0))


def _or_null(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _schema() -> dict[str, Any]:
    ends = {"d_paired": ("low", "high")} | {name: (f"{name}_low", f"{name}_high") for name in _NUMBERS[1:]}
    numbers = ["difference", "sd_reference", *(c for name in _NUMBERS for c in (name, *ends[name])), "p"]
    return dict.fromkeys(numbers, pl.Float64)
