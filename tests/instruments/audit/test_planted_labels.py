"""Wrong facets planted in the built-in bank and in a published one: what sentence vectors find, and false alarms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmarks.planted import plant

from personascope.instruments.audit import Audit, audit
from personascope.instruments.audit.examples import Examples, learning_items
from personascope.instruments.facet_definitions import load_facet_definitions
from personascope.instruments.items import Item, ItemBank, load_items
from personascope.models.encoder import load_encoder

IPIP = Path(__file__).parents[3].parent / "shared" / "data" / "ipip_hexaco_240_items.csv"


@pytest.fixture(scope="module")
def encode() -> Callable[[list[str]], np.ndarray]:
    """Each text is encoded once for all plantings."""
    encoder, known = load_encoder(), dict[str, np.ndarray]()

    def rows(texts: list[str]) -> np.ndarray:
        new = [text for text in texts if text not in known]
        known.update(zip(new, encoder.encode(new), strict=True))
        return np.stack([known[text] for text in texts])

    return rows


def audited(bank: ItemBank, taught: tuple[Item, ...], encode, facet_recall: float) -> Audit:
    rows = encode([item.text for item in (*bank.items, *taught)])
    n = len(bank.items)
    return audit(bank, vectors=rows[:n], examples=Examples(taught, rows[n:]), facet_recall=facet_recall)


def rates(found: Audit, bad: set[str]) -> tuple[float, float, float]:
    frame = found.frame()
    flagged = frame["checks"].str.split(",").list.contains("facet").to_numpy()
    planted = frame["item"].is_in(list(bad)).to_numpy()
    # by suspicion a planted item comes before nearly every good one
    doubt = 1 - frame["facet_probability"].to_numpy()
    auc = (doubt[planted][:, None] > doubt[~planted]).mean()
    return flagged[planted].mean(), flagged[~planted].mean(), auc


def test_nine_in_ten_wrong_facets_in_the_built_in_bank_are_found_though_nothing_vouches(encode) -> None:
    told = []
    for seed in range(3):
        bank, bad = plant("cross_facet", seed)
        taught = tuple(item for item in learning_items(bank, load_facet_definitions()) if item.source == "definition")
        told.append(rates(audited(bank, taught, encode, 0.92), bad))
    recall, alarms, auc = np.mean(told, axis=0)
    print(f"built-in: recall {recall:.3f}, false alarms {alarms:.3f}, AUC {auc:.3f}")
    assert recall >= 0.9 and alarms <= 0.16 and auc >= 0.94


@pytest.mark.skipif(not IPIP.is_file(), reason="the IPIP-HEXACO items are not beside this repository")
def test_nine_in_ten_wrong_facets_in_a_published_bank_are_found(encode) -> None:
    told = []
    for seed in range(5):
        bank, bad = plant("cross_facet", seed, file=IPIP, n=24)
        told.append(rates(audited(bank, learning_items(bank, load_facet_definitions()), encode, 0.95), bad))
    recall, alarms, auc = np.mean(told, axis=0)
    print(f"IPIP: recall {recall:.3f}, false alarms {alarms:.3f}, AUC {auc:.3f}")
    assert recall >= 0.9 and alarms <= 0.25 and auc >= 0.92


def test_vectors_beat_words(encode) -> None:
    bank = load_items().form("200")
    taught = learning_items(bank, load_facet_definitions())
    by_meaning = audited(bank, taught, encode, 0.9).measures.filter(name="facet recovery")["value"][0]
    by_words = audit(bank, examples=Examples(taught)).measures.filter(name="facet recovery")["value"][0]
    assert by_meaning > by_words + 0.1
