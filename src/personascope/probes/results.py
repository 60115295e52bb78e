"""One probe's result, which cannot exist without its controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from personascope.errors import DataError
from personascope.probes.controls import Controls

Kind = Literal["ridge", "logistic"]
Metric = Literal["r", "accuracy", "balanced_accuracy"]

_SCHEMA = {
    "target": pl.String,
    "persona": pl.String,
    "position": pl.String,
    "layer": pl.Int64,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "shuffled": pl.Float64,
    "shuffled_high": pl.Float64,
    "p_value": pl.Float64,
    "random_direction": pl.Float64,
    "random_direction_high": pl.Float64,
    "matched_direction": pl.Float64,
    "matched_direction_high": pl.Float64,
    "text_baseline": pl.Float64,
    "encoder_baseline": pl.Float64,
    "over_text": pl.Float64,
    "over_text_low": pl.Float64,
    "over_text_high": pl.Float64,
    "within_group": pl.Float64,
    "penalty": pl.Float64,
}


@dataclass(frozen=True)
class ProbeResult:
    """How well a probe read one target at one layer and position, on rows it was not trained on.

    Args:
        target: what was read.
        kind: "ridge" or "logistic".
        persona: whose activations.
        position: name of the token position.
        layer: 0-based decoder block.
        metric: "r" (Pearson, pooled over folds), "accuracy" or "balanced_accuracy".
        value: the metric; `low` and `high` its 95 % bootstrap interval over groups.
        n: rows tested, in `n_groups` groups.
        penalty: chosen alpha or C, median over folds.
        within_group: the metric after removing group means from prediction and target: what is left when knowing the
            group is worth nothing. None where the target does not vary within groups, and for classes.
        controls: what the value must be compared with.
        over_text_low: with `over_text_high` the 95 % interval of `over_text`, from the same resamples for the probe and
            both text baselines; None where it was not computed.

    Raises:
        DataError: `controls` is not a `Controls`, or a number is not finite.
    """

    target: str
    kind: Kind
    persona: str
    position: str
    layer: int
    metric: Metric
    value: float
    low: float
    high: float
    n: int
    n_groups: int
    penalty: float
    within_group: float | None
    controls: Controls
    over_text_low: float | None = None
    over_text_high: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.controls, Controls):
            raise DataError(
                f"A probe result for {self.target!r} at layer {self.layer} has no controls.",
                "A probe's number means nothing beside no shuffled, random or text baseline.",
                "Use evaluate_ridge, evaluate_logistic or evaluate_choices, which measure them.",
            )
        numbers = {name: getattr(self, name) for name in ("value", "low", "high", "penalty")}
        optional = {name: getattr(self, name) for name in ("over_text_low", "over_text_high")}
        numbers |= {name: number for name, number in optional.items() if number is not None}
        bad = [name for name, number in numbers.items() if not math.isfinite(number)]
        if bad:
            raise DataError(
                f"{self.target!r} at layer {self.layer}, position {self.position!r}: {', '.join(bad)} not finite.",
                f"The metric is undefined on these {self.n} rows in {self.n_groups} groups.",
                "Check that the target varies and that there are enough groups.",
            )

    @property
    def over_text(self) -> float:
        """The value minus the better of the text baselines and chance: what the words alone do not give."""
        return self.value - self.controls.best_text

    def frame(self) -> pl.DataFrame:
        """One row: place, metric, value, interval, n, the controls, over_text, within_group and penalty."""
        return results_frame([self])


def results_frame(results: Sequence[ProbeResult]) -> pl.DataFrame:
    """One row per result, with the columns of `ProbeResult.frame`; empty but typed when there are none."""
    rows = [{**vars(result.controls), **vars(result), "over_text": result.over_text} for result in results]
    return pl.DataFrame([{name: row[name] for name in _SCHEMA} for row in rows], schema=_SCHEMA)
