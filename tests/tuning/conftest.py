"""Planted movements; and a tiny random model with examples that it learns and rewordings to choose the epoch by."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

from taught import LIKED, RATE, REWORDED, THINGS, rated
from word_engine import word_engine

from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.tuning.examples import Example

SCALE = 0.2
"""Scores lie in [-1, 1]; ratios do not care."""


def plant(
    seed,
    *,
    truth=0.0,
    se=0.05,
    n_facets=25,
    per_key=6,
    mean=0.15,
    sd=0.2,
    turn=1,
    shift=0.0,
    item_sd=0.0,
    remainder=0.0,
    extra=(),
):
    """Keyed scores whose facets have gaps of `mean` and `sd`, of which `truth` was closed, with `se` for each facet.

    turn=-1 turns the sign of every error; shift adds to the raw agreement of every item after training; items differ by
    item_sd in all measurements alike; remainder is the sd of facet movement that has nothing to do with the gap; extra
    names measurements whose means are given by functions of the facets' (own, gap).
    """
    rng = np.random.default_rng(seed)
    own, gap, off = rng.normal(0, 0.3, n_facets), rng.normal(mean, sd, n_facets), rng.normal(0, 1, n_facets)
    n = 2 * per_key
    facet, key = np.repeat(np.arange(n_facets), n), np.tile(np.repeat([1, -1], per_key), n_facets)
    means = {"before": own, "ideal": own + gap, "after": own + truth * gap + remainder * off}
    means |= {name: function(own, gap) for name, function in dict(extra).items()}
    both = rng.normal(0, item_sd, len(facet)) if item_sd else 0.0
    scores = {}
    for name, mean_of in means.items():
        error = turn * rng.normal(0, se * n**0.5, len(facet))
        scores[name] = SCALE * (mean_of[facet] + both + error) + (key * shift if name == "after" else 0.0)
    about = {"item": np.arange(len(facet)), "facet": [f"f{f:02d}" for f in facet], "key": key}
    return pl.DataFrame(about | scores)


@pytest.fixture(scope="session")
def planted():
    return plant


@pytest.fixture(scope="session")
def tokenizer():
    """That of the embedded model."""
    return load_model("smollm2", threads=1).tokenizer


@pytest.fixture
def engine() -> HookEngine:
    """A fresh tiny random Llama that knows few words; equal every time."""
    return word_engine((" ".join(THINGS), RATE.user, LIKED, REWORDED))


@pytest.fixture
def examples(engine) -> list[Example]:
    """What is learned."""
    return rated(engine.tokenizer, LIKED)


@pytest.fixture
def reworded(engine) -> list[Example]:
    """The same in other words."""
    return rated(engine.tokenizer, REWORDED)
