"""The comparison of steering and tuning as one table, random directions as ranges."""

from __future__ import annotations

from collections.abc import Sequence

from personascope.report.findings import Row
from personascope.report.findings_tuning import run_name
from personascope.report.findings_tuning_compared import TUNED, causes, known, steered_rows, tuned_row, way_name
from personascope.report.outline import Grid, Tables
from personascope.report.wording import estimate, number, spread

_NONE = "–"
_COLUMNS = (
    "way",
    "strength",
    "gap closed",
    "plain slope",
    "+ items",
    "− items",
    "like tuned (r)",
    "drift of ideal",
    "KL",
    "perplexity ×",
    "label mass",
)
_PLAIN = ("slope_positive", "slope_negative", "like_tuned")
_CAPTION = (
    "Gap closed: of test items, with 95 % interval, or refused. Plain slopes, and those of + and − items, are biased "
    "by the same error in every row: compare rows, do not read them alone. Strength: fraction of the mean residual "
    "norm; matched on validation items to what training moved there. Drift: mean change of the ideal's facets. KL: "
    "nats a token of neutral text; it is not measured inside the tuned model. Random directions: smallest to largest."
)


def compared_grid(tables: Tables) -> Grid | None:
    """Tuned, every way of steering, the shift added, taken and held; under each of these the range of random ones."""
    frame = tables["tuning_compared"]
    rows = []
    tuned = tuned_row(frame)
    if tuned is not None:
        rows.append((way_name(TUNED, run_name(tuned["way"])), _NONE, *_cells(tuned)))
    rows += [(way_name(row["kind"], row["way"]), _strength(row), *_cells(row)) for row in steered_rows(frame)]
    for cause in causes(frame):
        rows.append((way_name(cause.kind, cause.own["way"]), _number(cause.own["strength"]), *_cells(cause.own)))
        if cause.random:
            rows.append((f"… {len(cause.random)} random directions", *_ranges(cause.random)))
    whole = tuple(tuple(_unbroken(cell) for cell in row) for row in rows)
    return Grid(_CAPTION, _COLUMNS, whole) if rows else None


def _strength(row: Row) -> str:
    if row["is_matched"]:
        return f"{number(row['strength'])}, matched"
    return "no match" if not row["strength"] else f"{number(row['strength'])}, no match (its peak)"


def _cells(row: Row) -> tuple[str, ...]:
    """Everything right of the strength; a way that moves nothing has nothing."""
    if row["slope"] is None and row["gap_closed"] is None:
        return (_NONE if row["refused"] is None else "refused", *[_NONE] * (len(_COLUMNS) - 3))
    closed = "refused" if row["gap_closed"] is None else estimate(row["gap_closed"], row["low"], row["high"])
    drift = _NONE if row["drift"] is None else estimate(row["drift"], row["drift_low"], row["drift_high"])
    plain = [_number(row[name]) for name in _PLAIN]
    if row["kind"] == TUNED:
        plain[-1] = _NONE
    damage = (_number(row[name]) for name in ("kl", "perplexity_ratio", "label_mass"))
    return (closed, f"{_number(row['slope'])} (biased)", *plain, drift, *damage)


def _ranges(rows: Sequence[Row]) -> tuple[str, ...]:
    names = ("strength", "gap_closed", "slope", *_PLAIN, "drift", "kl", "perplexity_ratio", "label_mass")
    cells = {name: spread(known(rows, name)) if known(rows, name) else _NONE for name in names}
    if not known(rows, "gap_closed") and any(row["refused"] for row in rows):
        cells["gap_closed"] = "refused"
    if cells["slope"] != _NONE:
        cells["slope"] += " (biased)"
    return tuple(cells[name] for name in names)


def _unbroken(cell: str) -> str:
    """An interval stays in one line."""
    return cell.replace(", ", ",\u00a0") if "[" in cell else cell


def _number(value: float | None) -> str:
    return _NONE if value is None else number(value)
