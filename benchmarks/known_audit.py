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
from personascope.instruments.items import Item, ItemBank, load_items

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
LABELS = ("cross_facet", "wrong_key")


def records() -> list[Record]:
    """Recall and false alarms of every kind of defect; those that are sentences of their own are planted together."""
    added: list[Item] = []
    of_kind: dict[str, set[str]] = {}
    for kind in KINDS:
        if kind not in LABELS:
            bank, bad = plant(kind)
            renamed = {name: f"{kind} {name}" for name in bad}
            added += [item.model_copy(update={"id": renamed[item.id]}) for item in bank.items if item.id in bad]
            of_kind[kind] = set(renamed.values())
    good = load_items().items
    frame = checked(ItemBank((*good, *added), "planted")).frame()
    told = []
    for kind, bad in of_kind.items():
        others = pl.col("item").is_in([item.id for item in good])
        own = frame.filter(pl.col("item").is_in(list(bad)) | others)
        told += _records(kind, [_rates(kind, own, bad)], len(bad))
    return told + [record for kind in LABELS for record in mislabelled(kind, seeds=(0,))]


def mislabelled(
    kind: str, *, seeds: Sequence[int], file: Path | None = None, n: int = 40, alarms: float = 0.2
) -> list[Record]:
    """Two records: the share of items with a wrong label that are flagged, and of the others; ranges over seeds."""
    rates = []
    for seed in seeds:
        bank, bad = plant(kind, seed, file=file, n=n)
        rates.append(_rates(kind, checked(bank).frame(), bad))
    return _records(kind, rates, n, "" if file is None else f", {file.stem}", alarms)


def _rates(kind: str, frame: pl.DataFrame, bad: set[str]) -> tuple[float, float]:
    flagged, planted = KINDS[kind][0](frame).to_numpy(), frame["item"].is_in(list(bad)).to_numpy()
    # an item that was copied shares the cluster of its copy without being at fault
    good = ~planted & ~(flagged & (frame["copies"] > 1).to_numpy())
    return float(flagged[planted].mean()), float(flagged[good].mean())


def _records(
    kind: str, rates: Sequence[tuple[float, float]], n: int, where: str = "", alarms: float = 0.2
) -> list[Record]:
    recall, false = np.array(rates).T
    name = f"{kind.replace('_', ' ')}{where}"
    return [
        at_least(f"{name}: recall", recall, KINDS[kind][1], f"{n} planted"),
        at_most(f"{name}: false alarms", false, alarms, "flagged for the same reason, among the others"),
    ]


def checked(bank: ItemBank) -> Audit:
    """What `items check` makes of a bank in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planted.csv"
        path.write_text(bank.frame().write_csv(), encoding="utf-8")
        return check_bank(path)
