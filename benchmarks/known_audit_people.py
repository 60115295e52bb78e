"""Wrong facets and keys planted in a published bank that the audit has never seen: recall and false alarms."""

from __future__ import annotations

from pathlib import Path

from benchmarks.known_audit import LABELS, mislabelled
from benchmarks.records import Record

N_PLANTED, SEEDS, MOST_ALARMS = 24, (0, 1, 2, 3, 4), 0.35


def records(folder: Path) -> list[Record]:
    """Median, smallest and largest over five plantings.

    Args:
        folder: holds ipip_hexaco_240_items.csv.
    """
    how = {"seeds": SEEDS, "file": folder / "ipip_hexaco_240_items.csv", "n": N_PLANTED, "alarms": MOST_ALARMS}
    return [record for kind in LABELS for record in mislabelled(kind, **how)]
