"""Planted movements and adapters against what tuning finds: shares of a gap, drift, training, shifts, matched pushes.

Rows that are indented hold what a control is for: an estimate is biased where it is said to be, or an effect is there.
"""

from __future__ import annotations

import warnings

import torch

from benchmarks.planted import drift_rows, matching_rows, movement_rows, selection_rows, shift_rows, training_rows
from benchmarks.records import Record, show_so_far


def records() -> list[Record]:
    """All figures; some two minutes on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny models gain nothing from a second one
    parts = [movement_rows.rows, drift_rows.rows, selection_rows.rows, matching_rows.rows]
    parts += [shift_rows.rows, training_rows.rows]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of peft, about a name of transformers
            return [show_so_far(record) for part in parts for record in part()]
    finally:
        torch.set_num_threads(threads)
