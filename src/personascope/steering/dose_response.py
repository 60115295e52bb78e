"""Dose and response: how steep a steering curve is at 0, how straight, where it turns back, and whether that is chance.

With h the smallest swept |c|, C the largest usable one, and v(c) the curve:

    slope        = (v(h) - v(-h)) / (2 h)                    per unit of the coefficient
    saturation   = 1 - ((v(C) - v(-C)) / (2 C)) / slope      0 straight, 1 all is lost again, < 0 steeper outside
    linearity    = R^2 of the straight line through all usable v(c)
    p            = (1 + #{random: |slope| >= this |slope|}) / (1 + #random)      (Phipson & Smyth 2010)

Outward from 0 on either side a curve should go on in the direction of its slope. It turns back at its peak when it
later falls from there by more than the interval of that fall; a fall within the interval is noise. What lies past a
peak or outside the usable range is marked, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.tables import require_columns, require_unique
from personascope.probes.bootstrap import percentile_interval

RANDOM = ("isotropic", "covariance-matched")
"""Kinds of directions that mean nothing."""
_PLACE = ("layer", "direction", "control")
_TIE = 1e-12
Values = Float[np.ndarray, " coefficient"]
Draws = Float[np.ndarray, "resample coefficient"]


def dose_response(
    curve: pl.DataFrame,
    *,
    draws: Float[np.ndarray, "resample row"] | None = None,
    usable: Mapping[int, tuple[float, float]] | None = None,
    by: Sequence[str] = ("read_out",),
) -> pl.DataFrame:
    """One row for each curve of a frame.

    Args:
        curve: columns of `by` and layer, direction, control, coefficient, value, low, high; each curve has c = 0 and
            both signs.
        draws: bootstrap draws of `value`, one column for each row of `curve` (`Curves.draws`, reshaped). Without them
            the slope has no interval, and a fall counts where the intervals of both points lie apart, which is
            stricter.
        usable: layer -> lowest and highest coefficient at which answers are still coherent; all where not given.
        by: columns that tell targets apart, such as ("target", "read_out", "pair_type").

    Returns:
        Columns of `by`, layer, direction, control, step (h), slope, slope_low, slope_high, linearity (null for fewer
        than three usable points or a flat curve), saturation (null without a slope), peak_plus (coefficient of the
        peak at c >= 0), peak_plus_value, turns_plus, peak_minus, peak_minus_value, turns_minus, monotone_low,
        monotone_high (range around 0 in which the curve does not turn back), usable_low, usable_high,
        slope_outside_usable, n_random, p (null for random directions and without any).

    Raises:
        DataError: a missing column, two values at one coefficient, a curve without 0 or both signs of its smallest
            strength, draws that do not fit, no intervals and no draws.
    """
    require_columns(curve, [*by, *_PLACE, "coefficient", "value", "low", "high"], may_be_null=["low", "high"])
    require_unique(curve, [*by, *_PLACE, "coefficient"])
    if draws is not None and draws.shape[1] != curve.height:
        raise DataError(
            f"Draws of shape {draws.shape} for {curve.height} rows.", "Each row has its own draws.", "Pass all of them."
        )
    if draws is None and curve["low"].null_count() + curve["high"].null_count():
        raise DataError(
            "The curve has neither intervals nor draws.",
            "Whether a curve turns back cannot be told from noise without either.",
            "Ask more pairs or items.",
        )
    rows: list[dict[str, Any]] = []
    indexed = curve.with_row_index("_row").sort("coefficient")
    for keys, part in indexed.group_by(*by, *_PLACE, maintain_order=True):
        names = dict(zip((*by, *_PLACE), keys, strict=True))
        own = None if draws is None else draws[:, part["_row"].to_numpy()]
        ranges = (usable or {}).get(names["layer"], (-np.inf, np.inf))
        rows.append({**names, "_row": part["_row"].min(), **_shape(part, own, ranges, names)})
    floats = ("slope_low", "slope_high", "linearity", "saturation")
    table = pl.DataFrame(rows, schema_overrides=dict.fromkeys(floats, pl.Float64), infer_schema_length=None)
    return _with_chance(table.sort("_row").drop("_row"), by)


def mark_effects(curve: pl.DataFrame, summary: pl.DataFrame, *, by: Sequence[str] = ("read_out",)) -> pl.DataFrame:
    """The curve's rows with `past_peak` (beyond a peak from which it turns back) and `outside_usable`.

    Args:
        curve: as passed to `dose_response`.
        summary: what it returned; `by` as passed to it.
        by: see above.

    Raises:
        DataError: a curve that the summary does not have.
    """
    keys = [*by, *_PLACE]
    ends = ["monotone_low", "monotone_high", "usable_low", "usable_high"]
    joined = curve.join(summary.select(*keys, *ends), on=keys, how="left", maintain_order="left")
    if joined["monotone_low"].null_count():
        raise DataError("The summary lacks some curves.", "Their peaks are unknown.", "Summarise the same frame.")
    c = pl.col("coefficient")
    return joined.with_columns(
        past_peak=(c < pl.col("monotone_low")) | (c > pl.col("monotone_high")),
        outside_usable=(c < pl.col("usable_low")) | (c > pl.col("usable_high")),
    ).drop(ends)


def mark_unusable(effects: pl.DataFrame, usable: Mapping[int, tuple[float, float]]) -> pl.DataFrame:
    """Effects of both signs of a strength with `outside_usable`: whether either sign of it does damage.

    Args:
        effects: columns layer and coefficient (positive).
        usable: layer -> lowest and highest coefficient that do none; a layer that it lacks has no limits.
    """
    limits = pl.DataFrame(
        [(layer, min(-low, high)) for layer, (low, high) in usable.items()],
        schema={"layer": effects.schema["layer"], "limit": pl.Float64},
        orient="row",
    )
    joined = effects.join(limits, on="layer", how="left", maintain_order="left")
    return joined.with_columns(outside_usable=(pl.col("coefficient") > pl.col("limit")).fill_null(value=False)).drop(
        "limit"
    )


def _shape(
    part: pl.DataFrame, draws: Draws | None, usable: tuple[float, float], names: Mapping[str, Any]
) -> dict[str, Any]:
    """Slope, straightness and peaks of one curve, sorted by coefficient."""
    c, v, low, high = (part[name].to_numpy().astype(np.float64) for name in ("coefficient", "value", "low", "high"))
    step = float(np.abs(c[c != 0]).min(initial=np.inf))
    if 0.0 not in c or step not in c or -step not in c:
        raise DataError(
            f"The curve of {names} has the coefficients {c.tolist()}.",
            "A slope at 0 needs the smallest strength with both signs, and a peak is sought outward from 0.",
            "Sweep both signs, and 0.",
        )
    up, down = int(np.flatnonzero(c == step)[0]), int(np.flatnonzero(c == -step)[0])
    slope = float((v[up] - v[down]) / (2 * step))
    interval = None if draws is None else percentile_interval((draws[:, up] - draws[:, down]) / (2 * step))
    inside = (c >= usable[0]) & (c <= usable[1])
    sign = -1.0 if slope < 0 else 1.0
    # seen outward from 0 along the slope, the curve rises at c > 0; at c < 0 it rises when turned upside down
    plus = _peak(c, v, (low, high), draws, sign, np.flatnonzero(c >= 0))
    minus = _peak(c, v, (low, high), draws, -sign, np.flatnonzero(c <= 0)[::-1])
    return {
        "step": step,
        "slope": slope,
        "slope_low": None if interval is None else float(interval[0]),
        "slope_high": None if interval is None else float(interval[1]),
        "linearity": _linearity(c[inside], v[inside]),
        "saturation": _saturation(c[inside], v[inside], slope),
        **{f"{name}_plus{end}": x for (name, end), x in zip(_PEAK, plus, strict=True)},
        **{f"{name}_minus{end}": x for (name, end), x in zip(_PEAK, minus, strict=True)},
        "monotone_low": minus[0] if minus[2] else float(c.min()),
        "monotone_high": plus[0] if plus[2] else float(c.max()),
        "usable_low": float(usable[0]),
        "usable_high": float(usable[1]),
        "slope_outside_usable": bool(step > usable[1] or -step < usable[0]),
    }


_PEAK = (("peak", ""), ("peak", "_value"), ("turns", ""))


def _peak(
    c: Values, v: Values, ends: tuple[Values, Values], draws: Draws | None, sign: float, path: np.ndarray
) -> tuple[float, float, bool]:
    """Coefficient and value of the peak along `path`, and whether the curve turns back from it."""
    upper_end, lower_end = (ends[1], ends[0]) if sign > 0 else (ends[0], ends[1])
    peak = int(path[0])
    for at in path[1:].tolist():
        if sign * v[at] > sign * v[peak]:
            peak = at
            continue
        if draws is None:
            falls = sign * lower_end[peak] > sign * upper_end[at]
        else:
            falls = percentile_interval(sign * (draws[:, peak] - draws[:, at]))[0] > 0
        if falls:
            return float(c[peak]), float(v[peak]), True
    return float(c[peak]), float(v[peak]), False


def _linearity(c: Values, v: Values) -> float | None:
    if len(c) < 3 or np.ptp(v) <= _TIE:
        return None
    return float(np.corrcoef(c, v)[0, 1] ** 2)


def _saturation(c: Values, v: Values, slope: float) -> float | None:
    both = [x for x in c.tolist() if x > 0 and -x in c]
    if not both or abs(slope) <= _TIE:
        return None
    largest = max(both)
    chord = (v[c == largest][0] - v[c == -largest][0]) / (2 * largest)
    return float(1 - chord / slope)


def _with_chance(table: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Adds n_random and p: how often a random direction at the same layer is at least as steep."""
    keys = [*by, "layer"]
    random = table.filter(pl.col("control").is_in(RANDOM)).group_by(keys).agg(steep=pl.col("slope").abs())
    joined = table.join(random, on=keys, how="left", maintain_order="left")
    n, p = [], []
    for slope, control, steep in joined.select("slope", "control", "steep").iter_rows():
        n.append(len(steep or []))
        k = sum(other >= abs(slope) - _TIE for other in steep or [])
        p.append(None if control in RANDOM or not steep else (1 + k) / (1 + len(steep)))
    return table.with_columns(pl.Series("n_random", n, dtype=pl.Int64), pl.Series("p", p, dtype=pl.Float64))
