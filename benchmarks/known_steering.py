"""Planted effects of steering against what the pipeline finds: closed forms, equalities, selectivity, other libraries.

Rows that are indented hold what a control is for: the effect is there, or a figure stays low where nothing was planted.
"""

from __future__ import annotations

import torch

from benchmarks.planted import closed_form_rows, equality_rows, parity_rows, selectivity_rows
from benchmarks.records import Record, show_so_far


def records() -> list[Record]:
    """All figures; under two minutes on one core, mostly imports and traces of other libraries."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny models gain nothing from a second one
    try:
        parts = (closed_form_rows.rows, equality_rows.rows, selectivity_rows.rows, parity_rows.rows)
        return [show_so_far(record) for part in parts for record in part()]
    finally:
        torch.set_num_threads(threads)
