"""Published human answers, scored by us: alphas that anyone can look up, and the sizes of public item banks.

Which cases count. In the codebook of BIG5 a 0 is a question that was missed. One of its 19,719 respondents missed all
50 and is dropped as empty; nobody else missed any, so dropping empty and dropping incomplete cases come to the same
19,718. AMBI (2,017) and SPI (4,000) hold complete cases only, nothing is dropped there. Alphas are of raw answers
after turning reversed items, over all respondents of the file, without further cleaning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.records import Record, at_least
from personascope.instruments.items import load_items
from personascope.instruments.keys import ScoringKey, load_key
from personascope.instruments.responses import Responses, load_responses
from personascope.measures.consistency import complete_cases, item_rest_correlations, scale_consistency

BIG5 = {"E": 0.892, "N": 0.869, "A": 0.832, "C": 0.813, "O": 0.794}
BIG5_N = 19_718
BIG5_UNKEYED = {"E": -0.40, "A": -0.03, "C": 0.05, "O": 0.27, "N": 0.71}
"""What comes out when nobody turns the reversed items: a wrong key is seen in one number."""
AMBI = {"X": (0.855, 9), "A": (0.797, 8), "E": (0.789, 7), "C": (0.739, 9), "H": (0.702, 4), "O": (0.681, 10)}
"""Alpha and number of the items that AMBI shares with IPIP-HEXACO, by domain."""
AMBI_ITEM_REST = 0.22
"""Every one of these items correlates at least so much with the rest of its domain."""
THREE_DECIMALS, TWO_DECIMALS = 0.0005, 0.005


def records(folder: Path, n_resamples: int = 400) -> list[Record]:
    """Every known figure beside ours.

    Args:
        folder: holds openpsychometrics_big5 (.tsv.gz, _items.csv), openpsychometrics_ambi2019 (likewise),
            ipip_hexaco_240_items.csv, sapa_spi.csv.gz and sapa_spi_keys.json.
        n_resamples: of the intervals around the alphas.

    Raises:
        FileFormatError: a file is missing or unreadable.
    """
    return [*_big5(folder, n_resamples), *_ambi(folder, n_resamples), *_ipip(folder), *_spi(folder)]


def unkeyed(key: ScoringKey) -> ScoringKey:
    """The same scales with no item reversed."""
    return ScoringKey({scale: tuple((item, 1) for item, _ in keyed) for scale, keyed in key.scales.items()}, key.name)


def big5(folder: Path) -> tuple[Responses, ScoringKey]:
    """The BIG5 answers and their key by domain."""
    key = load_key(folder / "openpsychometrics_big5_items.csv", scale_column="domain")
    answers = load_responses(folder / "openpsychometrics_big5.tsv.gz", n_options=5, columns=key.items, missing=(0,))
    return answers, key


def ambi(folder: Path) -> tuple[Responses, ScoringKey]:
    """The AMBI answers, and the key by domain of those items that are also in IPIP-HEXACO."""
    facets = load_key(folder / "openpsychometrics_ambi2019_items.csv", scale_column="facet_code")
    columns = {f"{item}A": item for item in facets.items}  # beside the answer (A) stand position (I) and time (E)
    answers = load_responses(folder / "openpsychometrics_ambi2019.tsv.gz", n_options=7, columns=columns)
    return answers, facets.grouped({facet: facet[0] for facet in facets.scales})


def spi(folder: Path) -> tuple[Responses, ScoringKey]:
    """The SPI answers, and the key of its 27 facets and 5 domains."""
    key = load_key(folder / "sapa_spi_keys.json")
    return load_responses(folder / "sapa_spi.csv.gz", n_options=6, columns=key.items), key


def _big5(folder: Path, n_resamples: int) -> list[Record]:
    answers, key = big5(folder)
    scored = scale_consistency(answers, key, respondents="people", n_resamples=n_resamples)
    raw = scale_consistency(answers, unkeyed(key), respondents="people", n_resamples=n_resamples)
    found = [_count("BIG5 respondents", len(answers.respondents), BIG5_N, "; ".join(answers.notes))]
    found += _alphas("BIG5 alpha", scored, BIG5, THREE_DECIMALS, "keyed")
    return found + _alphas("BIG5 alpha, un-keyed", raw, BIG5_UNKEYED, TWO_DECIMALS, "reversed items not turned")


def _ambi(folder: Path, n_resamples: int) -> list[Record]:
    answers, key = ambi(folder)
    scored = scale_consistency(answers, key, respondents="people", n_resamples=n_resamples)
    found = [
        _count(f"AMBI {domain} items", len(key.scales.get(domain, ())), n_items, "shared with IPIP-HEXACO")
        for domain, (_, n_items) in AMBI.items()
    ]
    targets = {domain: value for domain, (value, _) in AMBI.items()}
    rest = np.concatenate([_item_rest(answers, keyed) for keyed in key.scales.values()])
    found.append(at_least("AMBI item-rest r, smallest", rest.min(keepdims=True), AMBI_ITEM_REST, f"{len(rest)} items"))
    return found + _alphas("AMBI alpha", scored, targets, THREE_DECIMALS, "items shared with IPIP-HEXACO")


def _item_rest(answers: Responses, keyed: Sequence[tuple[str, int]]) -> np.ndarray:
    values, _ = complete_cases(answers, [item for item, _ in keyed], "The scale")
    return item_rest_correlations(values * np.array([sign for _, sign in keyed]))


def _ipip(folder: Path) -> list[Record]:
    bank = load_items(folder / "ipip_hexaco_240_items.csv")
    facets = Counter(item.facet for item in bank.items)
    signs = Counter(item.key for item in bank.items)
    return [
        _count("IPIP-HEXACO facets", len(facets), 24, ""),
        _count("IPIP-HEXACO facets of 10 items", list(facets.values()).count(10), 24, ""),
        _count("IPIP-HEXACO items keyed +", signs[1], 118, ""),
        _count("IPIP-HEXACO items keyed -", signs[-1], 122, ""),
    ]


def _spi(folder: Path) -> list[Record]:
    answers, key = spi(folder)
    scored = scale_consistency(answers, key, respondents="people", n_resamples=0)
    sizes = Counter(map(len, key.scales.values()))
    lowest = scored.sort("alpha").row(0, named=True)
    return [
        _count("SPI respondents", len(answers.respondents), 4_000, "; ".join(answers.notes)),
        _count("SPI facets of 5 items", sizes[5], 27, ""),
        _count("SPI domains of 14 items", sizes[14], 5, ""),
        _count("SPI scales scored", scored.height, 32, f"lowest alpha {lowest['alpha']:.3f}, {lowest['scale']}"),
        _count("SPI items that go against their scale", int(scored["negative_items"].list.len().sum()), 0, ""),
    ]


def _alphas(name: str, scored: pl.DataFrame, targets: Mapping[str, float], tolerance: float, note: str) -> list[Record]:
    """One record per scale; met when ours rounds to the known figure."""
    found = []
    for scale, target in targets.items():
        row = scored.row(by_predicate=pl.col("scale") == scale, named=True)
        met = abs(row["alpha"] - target) <= tolerance
        low, high = (row["alpha"] if end is None else end for end in (row["low"], row["high"]))
        found.append(Record(f"{name} {scale}", row["alpha"], low, high, target, met, row["n"], note))
    return found


def _count(name: str, value: int, target: int, note: str) -> Record:
    return Record(name, value, value, value, target, value == target, value, note)
