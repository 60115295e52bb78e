"""Defects planted in the built-in bank: how many `items check` finds, and how many good items it flags for the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.planted import plant
from benchmarks.records import Record, at_least, at_most
from personascope.experiments.item_bank import check_bank
from personascope.instruments.audit import Audit
from personascope.instruments.items import ItemBank

Flagged = Callable[[pl.DataFrame], pl.Series]
RECALL = 0.9


def by_check(name: str) -> Flagged:
    """Items that a check spoke of."""
    return lambda frame: frame["checks"].str.split(",").list.contains(name)


KINDS: dict[str, tuple[Flagged, float | None]] = {
    "exact_copy": (lambda frame: frame["copies"] > 1, RECALL),
    "near_copy": (lambda frame: frame["copies"] > 1, RECALL),
    "cross_facet": (by_check("facet"), RECALL),
    "wrong_key": (by_check("key"), RECALL),
    "embodied": (lambda frame: frame["applicability"] != "applicable", RECALL),
    "double_barrelled": (by_check("double_barrelled"), RECALL),
    "embodied_held_out": (lambda frame: frame["applicability"] != "applicable", None),
    "double_barrelled_held_out": (by_check("double_barrelled"), None),
}
"""How each kind of defect shows, and the recall that is asked; None where it is only reported."""


def records() -> list[Record]:
    """Recall and false alarms of every kind of defect."""
    return [record for kind, (shows, asked) in KINDS.items() for record in found(kind, shows, asked, seeds=(0,))]


def found(
    kind: str,
    shows: Flagged,
    asked: float | None,
    *,
    seeds: Sequence[int],
    file: Path | None = None,
    n: int = 40,
    alarms: float = 0.2,
) -> list[Record]:
    """Two records: the share of planted items that are flagged, and of the others."""
    rates = []
    for seed in seeds:
        bank, bad = plant(kind, seed, file=file, n=n)
        frame = checked(bank).frame()
        flagged, planted = shows(frame).to_numpy(), frame["item"].is_in(list(bad)).to_numpy()
        # an item that was copied shares the cluster of its copy without being at fault
        good = ~planted & ~(flagged & (frame["copies"] > 1).to_numpy())
        rates.append((flagged[planted].mean(), flagged[good].mean()))
    recall, false = np.array(rates).T
    name = f"{kind.replace('_', ' ')}{'' if file is None else f', {file.stem}'}"
    return [
        at_least(f"{name}: recall", recall, asked, f"{int(planted.sum())} planted in {len(bank.items)}"),
        at_most(f"{name}: false alarms", false, alarms, "for the same reason, among the others"),
    ]


def checked(bank: ItemBank) -> Audit:
    """What `items check` makes of a bank in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planted.csv"
        path.write_text(bank.frame().write_csv(), encoding="utf-8")
        return check_bank(path)
