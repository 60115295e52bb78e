"""A narrow training with a planted character behind it: what else moved, and who was selected."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.planted.held import between, every, near
from benchmarks.planted.movement_rows import values
from benchmarks.planted.movements import N_FACETS, movement
from benchmarks.records import Record
from personascope.tuning.selection import Selection, facet_selection
from personascope.tuning.unrequested import UNREQUESTED

QUICK = {"n_splits": 40, "n_resamples": 100, "n_permutations": 199}
N, N_STILL, SHARE, TAUGHT = 6, 40, 0.4, ("f00",)


def rows() -> list[Record]:
    """All of them."""
    return [*selected(), *standing_still()]


def evil(own: np.ndarray, _gap: np.ndarray) -> np.ndarray:
    """A character whose way from the model has nothing to do with the ideal's."""
    return np.asarray(own + np.random.default_rng(5).normal(0, 0.3, N_FACETS))


def narrow(seed: int, toward: str | None, se: float) -> Selection:
    """One facet was taught; all others went a share of the way to one of two characters, or stayed."""
    means = {"evil": evil, "to_evil": evil, "to_ideal": lambda own, gap: own + gap, "same": lambda own, _: own}
    items = movement(seed, se=se, gap=(0.0, 0.3), extra=means)
    rest = 0.0 if toward is None else SHARE * (pl.col(f"to_{toward}") - pl.col("same"))
    moved = pl.when(pl.col("facet").is_in(TAUGHT)).then(0.2).otherwise(rest)
    personas = {"evil": "evil", "ideal": "ideal"}
    return facet_selection(items.with_columns(after=pl.col("same") + moved), TAUGHT, personas, **QUICK)


def selected() -> list[Record]:
    """The character that was planted, its cosine and the other's."""
    records = []
    for who, other in (("evil", "ideal"), ("ideal", "evil")):
        found = [narrow(seed, who, 0.05) for seed in range(N)]
        cosines = {name: values([_cell(one, name)["cosine"] for one in found]) for name in (who, other)}
        records += [
            every(f"selected {who}: named first", [one.selected[:1] == (who,) for one in found], "data sets", N - 1),
            near(f"selected {who}: cosine with it", cosines[who], 1.0, 0.05, "without error"),
            every(f"selected {who}: others moved altogether", [one.moved for one in found], "data sets"),
            near(f"  selected {who}: taught facet", [_taught(one) for one in found], 0.2, 0.01, "planted"),
        ]
    return records


def standing_still() -> list[Record]:
    """Only the taught facet moved: how often others are said to have, and what the plain cosine makes of it."""
    found = [narrow(seed, None, 0.1) for seed in range(N_STILL)]
    p = np.array([one.totals.filter(part=UNREQUESTED)["p"][0] for one in found])
    patterns = np.concatenate([one.personas["p"].to_numpy() for one in found])
    plain = np.concatenate([one.personas["naive_biased"].to_numpy() for one in found])
    top = 0.05 + 3 * (0.05 * 0.95 / N_STILL) ** 0.5
    return [
        between("only the taught facet moved: others flagged", (p <= 0.05).astype(float), 0.0, top, "3 SE", 0.05),
        between(
            "only the taught facet moved: a persona's p <= .05", (patterns <= 0.05).astype(float), 0.0, top, "", 0.05
        ),
        every("only the taught facet moved: nobody selected", [not one.selected for one in found], "", N_STILL - 5),
        between("  plain cosine with every persona", plain, 0.1, 0.5, "biased: one error on both sides"),
    ]


def _cell(found: Selection, persona: str) -> dict[str, float]:
    return found.personas.filter(persona=persona).row(0, named=True)


def _taught(found: Selection) -> float:
    return float(found.units.filter("taught")["moved"][0])
