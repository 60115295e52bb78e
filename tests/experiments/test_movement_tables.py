"""Tables of several runs: how much farther the first moved than the others."""

import numpy as np
import polars as pl
import pytest

from personascope.experiments.movement_tables import beyond_others

HOW = {"n_resamples": 50, "seed": 0}


def answered(**closed):
    """Items of runs that closed given shares of one gap, beside an error that all of them have in "before"."""
    rng = np.random.default_rng(0)
    n_facets, per_key = 12, 4
    facet = np.repeat(np.arange(n_facets), 2 * per_key)
    key = np.tile(np.repeat([1, -1], per_key), n_facets)
    own, gap = rng.normal(0, 0.1, n_facets)[facet], rng.normal(0.3, 0.1, n_facets)[facet]
    before, ideal = (part + rng.normal(0, 0.02, len(facet)) for part in (own, own + gap))
    items = pl.DataFrame(
        {
            "item": [f"i{n}" for n in range(len(facet))],
            "cluster": [f"c{n}" for n in range(len(facet))],
            "facet": [f"f{n}" for n in facet],
            "key": key,
            "before": before,
            "ideal": ideal,
        }
    )
    return {run: items.with_columns(after=pl.Series(own + share * gap)) for run, share in closed.items()}


def test_the_difference_of_two_runs_is_the_difference_of_what_they_closed():
    found = beyond_others(answered(first=0.6, second=0.2, third=0.7), HOW)
    whole = found.filter(pl.col("keys") == "both", ~pl.col("centred"))
    assert whole["run"].to_list() == ["first", "first"]
    more = dict(whole.select("other", "gap_closed").iter_rows())
    assert more["second"] == pytest.approx(0.4, abs=0.02)
    assert more["third"] == pytest.approx(-0.1, abs=0.02)
    low, high = whole.filter(pl.col("other") == "second").select("low", "high").row(0)
    assert low < more["second"] < high < 0.5


def test_runs_that_answer_alike_have_a_reason_in_place_of_a_number():
    found = beyond_others(answered(first=0.6, same=0.6, other=0.1), HOW)
    whole = {row["other"]: row for row in found.filter(pl.col("keys") == "both", ~pl.col("centred")).to_dicts()}
    assert whole["other"]["gap_closed"] is not None
    assert whole["same"]["gap_closed"] is None
    assert whole["same"]["refused"]


def test_the_order_of_items_does_not_matter():
    items = answered(first=0.6, second=0.2)
    turned = items | {"second": items["second"].reverse()}
    one, other = (beyond_others(part, HOW)["gap_closed"].to_numpy() for part in (items, turned))
    np.testing.assert_allclose(one, other, atol=1e-9)
