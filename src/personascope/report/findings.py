"""The few numbers each paragraph of the page rests on, picked from the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

STEERED = "probe"
TARGET = 0.8
"""A reliability that is often asked for, to read others against."""
VERDICTS = ("equivalent", "different", "undecided", "not tested")
Row = dict[str, Any]


def excludes_zero(low: str = "low", high: str = "high") -> pl.Expr:
    """Rows whose interval lies on one side of zero; null intervals do not."""
    return ((pl.col(low) > 0) | (pl.col(high) < 0)).fill_null(value=False)


def verdicts(frame: pl.DataFrame) -> pl.DataFrame:
    """Tests of equivalence with their `verdict`, one of VERDICTS.

    A facet is equivalent when its difference is shown to lie within the margin, different when it is not and the
    interval of the two one-sided tests excludes 0, undecided when that interval holds 0 and reaches beyond the margin.
    """
    untested = pl.any_horizontal(pl.col("equivalent", "low", "high").is_null())
    words = [pl.lit(verdict) for verdict in VERDICTS]
    judged = pl.when(untested).then(words[3]).when("equivalent").then(words[0])
    return frame.with_columns(verdict=judged.when(excludes_zero()).then(words[1]).otherwise(words[2]))


def best_rows(probes: pl.DataFrame, target: str) -> list[Row]:
    """For each persona of a target, the row of the layer and position with the highest value, best persona first.

    The choice is made on the same data as the value, so the value is optimistic.
    """
    own = probes.filter((pl.col("target") == target) & pl.col("value").is_not_null())
    best = own.sort("value", descending=True, maintain_order=True).unique("persona", keep="first", maintain_order=True)
    return best.to_dicts()


def beats_shuffled(row: Row) -> bool:
    """Whether a probe's value lies above the 95th percentile of probes fitted to shuffled labels, and r above 0.

    With groups held out, correlations of shuffled labels lie below 0 on average, and so may their percentile.
    """
    return row["shuffled_high"] is not None and row["value"] > row["shuffled_high"] and not reads_nothing(row)


def reads_nothing(row: Row) -> bool:
    """Whether the value is a correlation that is not above 0."""
    return bool(row["metric"] == "r" and row["value"] <= 0)


def best_text(row: Row) -> float | None:
    """The better of what words alone and a sentence encoder alone reach, which is what a probe has to beat."""
    known = [row[name] for name in ("text_baseline", "encoder_baseline") if row.get(name) is not None]
    return max(known, default=None)


def beats_text(row: Row) -> bool:
    """Whether the interval of value minus best text baseline, of resamples shared by both, lies above zero."""
    return row["over_text_low"] is not None and row["over_text_low"] > 0 and not reads_nothing(row)


def other_pairs(transfer: pl.DataFrame) -> pl.DataFrame:
    """Transfer to another persona: rows with train != test."""
    return transfer.filter(pl.col("train") != pl.col("test"))


def best_transfer(transfer: pl.DataFrame) -> tuple[int, str] | None:
    """(layer, position) with the highest mean r over pairs of different personas; None without such pairs."""
    means = other_pairs(transfer).group_by("layer", "position").agg(pl.col("r").mean()).drop_nulls("r")
    if means.is_empty():
        return None
    top = means.sort(["r", "layer"], descending=[True, False]).row(0, named=True)
    return top["layer"], top["position"]


def strongest_cosine_layer(cosines: pl.DataFrame) -> int:
    """The layer that holds the largest absolute cosine."""
    size = pl.col("cosine").abs().fill_null(-1.0)
    return int(cosines.sort(size, descending=True, maintain_order=True)["layer"][0])


@dataclass(frozen=True)
class Push:
    """What one direction does at +c and -c of one layer, beside random directions of the same length.

    Args:
        target, read_out, layer: which curve; coefficient c > 0.
        effect: (read-out at +c minus read-out at -c) / 2, in units of the read-out. Damage that does not depend on the
            sign of the push cancels.
        largest_random: largest absolute effect of the random directions at the same layer and c; null without any.
        plus, minus: (value, low, high) at +c and -c.
        n: units (pairs or items) behind each value; n_random directions.
        label_mass: the lower of the two label masses.
    """

    target: str
    read_out: str
    layer: int
    coefficient: float
    effect: float
    largest_random: float | None
    plus: tuple[float | None, ...]
    minus: tuple[float | None, ...]
    n: int
    n_random: int
    label_mass: float | None

    @property
    def beyond_random(self) -> bool:
        """Whether the effect is larger than that of every random direction."""
        return self.largest_random is not None and abs(self.effect) > self.largest_random

    @property
    def apart(self) -> bool:
        """Whether the intervals at +c and -c do not overlap."""
        (_, low, high), (_, other_low, other_high) = self.plus, self.minus
        if low is None or high is None or other_low is None or other_high is None:
            return False
        return low > other_high or high < other_low


def pushes(steering: pl.DataFrame, target: str) -> list[Push]:
    """Every (layer, c) of a target at which both signs of the probe direction were asked."""
    found = []
    own = steering.filter(pl.col("target") == target).sort("layer", pl.col("coefficient").abs())
    for (layer, size), part in own.filter(pl.col("coefficient") != 0).group_by(
        "layer", pl.col("coefficient").abs().round(9).alias("size"), maintain_order=True
    ):
        ends = {(row["direction"], row["coefficient"] > 0): row for row in part.iter_rows(named=True)}
        effects = {
            name: (ends[name, True]["value"] - ends[name, False]["value"]) / 2
            for name in part["direction"].unique(maintain_order=True)
            if _usable(ends, name)
        }
        if STEERED not in effects:
            continue
        plus, minus = ends[STEERED, True], ends[STEERED, False]
        random = [abs(effect) for name, effect in effects.items() if name != STEERED]
        masses = [row["label_mass"] for row in (plus, minus) if row["label_mass"] is not None]
        found.append(
            Push(
                target,
                plus["read_out"],
                int(layer),
                float(size),
                effects[STEERED],
                max(random, default=None),
                tuple(plus[name] for name in ("value", "low", "high")),
                tuple(minus[name] for name in ("value", "low", "high")),
                plus["n"],
                len(random),
                min(masses, default=None),
            )
        )
    return found


def strongest_push(found: list[Push]) -> Push:
    """The push with the largest absolute effect."""
    return max(found, key=lambda push: abs(push.effect))


def _usable(ends: dict[tuple[str, bool], Row], name: str) -> bool:
    return all((name, up) in ends and ends[name, up]["value"] is not None for up in (True, False))
