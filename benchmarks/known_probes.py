"""Planted personas against what the pipeline finds: preferences, probes, transfer, whose preferences, and controls.

One respondent in several versions (`benchmarks.planted.streams`) is asked through plans and stores, as any model is.
Rows named "trap" hold that what a control is for really happens where it is planted.
"""

from __future__ import annotations

from benchmarks.planted import control_rows, preference_rows, probe_rows, transfer_rows
from benchmarks.records import Record, show_so_far


def records() -> list[Record]:
    """All figures; some minutes on two cores."""
    parts = (preference_rows.rows, probe_rows.rows, transfer_rows.rows, control_rows.rows)
    return [show_so_far(record) for part in parts for record in part()]
