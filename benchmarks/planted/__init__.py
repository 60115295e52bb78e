"""Defects to be planted in a good bank.

Near copies were written by hand before any threshold was set. The word lists were extended after a look at the embodied
and the double-barrelled sentences, so recall on them is what the lists hold, not what they find in sentences to come.
The held-out files come nearer to that: they were written before the last rules, and what the rules missed among them
was never listed; but the last rules for double-barrelled sentences were written by one who knew them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from personascope.instruments.facets import DOMAIN_OF
from personascope.instruments.items import Item, ItemBank, load_items

FOLDER = Path(__file__).parent
TEXTS = {
    kind: (FOLDER / name).read_text(encoding="utf-8").splitlines()
    for kind, name in (
        ("embodied", "embodied.txt"),
        ("double_barrelled", "double_barrelled.txt"),
        ("near_copy", "near_copies.txt"),
        ("embodied_held_out", "embodied_held_out.txt"),
        ("double_barrelled_held_out", "double_barrelled_held_out.txt"),
    )
}


def plant(kind: str, seed: int = 0, *, file: Path | None = None, n: int = 40) -> tuple[ItemBank, set[str]]:
    """The built-in bank, or that of a file, with n defects of one kind planted in it, and the planted items' ids."""
    good, draw = load_items(file), np.random.default_rng(seed)
    chosen = [good.items[place] for place in draw.choice(len(good.items), n, replace=False)]
    if kind == "exact_copy":
        added = [item.model_copy(update={"id": f"bad{n}", "text": item.text.upper()}) for n, item in enumerate(chosen)]
    elif kind in TEXTS:
        added = [
            good.items[11 * n % len(good.items)].model_copy(
                update={"id": f"bad{n}", "text": text, "applicability": None, "desirability": None}
            )
            for n, text in enumerate(TEXTS[kind])
        ]
    else:
        changed = {item.id: n for n, item in enumerate(chosen)}
        items = [_mislabelled(item, kind, good.facets, draw) if item.id in changed else item for item in good.items]
        return ItemBank(tuple(items), kind), set(changed)
    order = draw.permutation(len(good.items) + len(added))
    both = [*good.items, *added]
    return ItemBank(tuple(both[place] for place in order), kind), {item.id for item in added}


def _mislabelled(item: Item, kind: str, facets: tuple[str, ...], draw: np.random.Generator) -> Item:
    if kind == "wrong_key":
        return item.model_copy(update={"key": -item.key})
    others = [facet for facet in facets if facet != item.facet]
    facet = others[int(draw.integers(len(others)))]
    return item.model_copy(update={"facet": facet, "domain": DOMAIN_OF[facet]})
