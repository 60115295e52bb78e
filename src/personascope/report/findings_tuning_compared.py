"""Ways of moving the model, side by side: training, steering matched to it, the shift added and taken, random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from personascope.report.findings import Row
from personascope.report.wording import pretty

TUNED, STEERED, ADDED, REMOVED, HELD = "tuned", "steered", "shift added", "shift removed", "shift held"
CAUSES = {
    ADDED: "added to the base",
    REMOVED: "taken from the tuned model",
    HELD: "held at the base's mean",
}
_RANDOM = "random"


@dataclass(frozen=True)
class Cause:
    """A shift that was added or taken, beside random directions of the same length.

    Args:
        kind: one of `CAUSES`.
        own: the row of training's own shift.
        random: rows of random directions.
    """

    kind: str
    own: Row
    random: tuple[Row, ...]

    @property
    def slopes(self) -> list[float]:
        """Plain slopes of the random directions, where there are any."""
        return [row["slope"] for row in self.random if row["slope"] is not None]


def tuned_row(frame: pl.DataFrame) -> Row | None:
    """What training did."""
    found = frame.filter(pl.col("kind") == TUNED).to_dicts()
    return found[0] if found else None


def steered_rows(frame: pl.DataFrame) -> list[Row]:
    """Every way of steering."""
    return frame.filter(pl.col("kind") == STEERED).to_dicts()


def causes(frame: pl.DataFrame) -> list[Cause]:
    """Added, taken and held, where they were tried."""
    found = []
    for kind in CAUSES:
        rows = frame.filter(pl.col("kind") == kind).to_dicts()
        own = [row for row in rows if not _is_random(row)]
        if own:
            found.append(Cause(kind, own[0], tuple(row for row in rows if _is_random(row))))
    return found


def without_random(frame: pl.DataFrame) -> pl.DataFrame:
    """Facets' movements of all that is no random direction."""
    return frame.filter(~pl.col("way").str.starts_with(_RANDOM))


def way_name(kind: str, way: str) -> str:
    """A row of the comparison in words."""
    if kind == TUNED:
        return f"Tuned ({way})"
    return pretty(way) if kind == STEERED else f"Shift {CAUSES.get(kind, kind)}"


def known(rows: Sequence[Row], name: str) -> list[float]:
    """Values of a column that are there."""
    return [row[name] for row in rows if row.get(name) is not None]


def _is_random(row: Row) -> bool:
    return str(row["way"]).startswith(_RANDOM)
