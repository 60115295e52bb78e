import numpy as np
import polars as pl
import pytest
from benchmarks.respondents import ask, bank, content_responder, desirability_responder, noisy

from personascope.measures.desirability import keyed_items, within_cells


def test_slope_and_r_are_those_of_a_regression_with_fixed_effects():
    part = noisy(3).filter((pl.col("persona") == "meta") & (pl.col("order") == "ascending"))
    rng = np.random.default_rng(4)
    part = part.with_columns(desirability=pl.Series(rng.uniform(-1, 1, part.height)))
    x, y = part["desirability"].to_numpy(), part["agreement"].to_numpy()
    cells = part.select(pl.concat_str("facet", "key")).to_series().to_dummies().to_numpy().astype(float)
    dx, dy = (v - cells @ np.linalg.lstsq(cells, v, rcond=None)[0] for v in (x, y))
    found = within_cells(part, n_resamples=500, seed=0)
    assert found.slope == pytest.approx(np.polyfit(dx, dy, 1)[0])
    assert found.r == pytest.approx(np.corrcoef(dx, dy)[0, 1])
    assert found.slope_low < found.slope < found.slope_high
    assert found.r_low < found.r < found.r_high


def test_a_desirability_responder_and_a_trait_are_told_apart_where_desirable_items_are_keyed_positive():
    items = keyed_items(ask({"good": desirability_responder, "content": content_responder()}, bank(desirable_key=0.4)))
    good, content = (within_cells(part, n_resamples=50, seed=0) for part in items.partition_by("persona"))
    assert (good.slope, good.r) == (pytest.approx(1), pytest.approx(1))
    assert (content.slope, content.r) == (pytest.approx(0, abs=1e-9), None)  # nothing varies within facet and key
    assert (content.slope_low, content.slope_high) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))


def test_unrated_items_and_single_items_of_a_cell_do_not_count():
    items = keyed_items(noisy(5)).filter(pl.col("persona") == "meta")
    unrated = items.with_columns(desirability=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("desirability"))
    assert within_cells(unrated, n_resamples=50, seed=0).n == items.height - 3
    alone = within_cells(items.unique(["facet", "key"]), n_resamples=50, seed=0)
    assert (alone.slope, alone.slope_low, alone.r, alone.n) == (None, None, None, 0)
