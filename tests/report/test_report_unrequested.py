"""The section on what narrow runs moved: marks and words follow the tables."""

from __future__ import annotations

import polars as pl
import pytest
from tuning_tables import tuning_tables

from personascope.report import figures_unrequested as drawn
from personascope.report import sentences_unrequested as spoken

FACETS = ["sincerity", "fairness", "patience", "diligence"]


@pytest.fixture(scope="module")
def tables():
    return tuning_tables(FACETS)


def test_what_was_taught_is_told_and_drawn_apart(tables):
    figure = drawn.facets_moved(tables)
    taught = [trace for trace in figure.data if trace.name == "taught"]
    assert [list(trace.x) for trace in taught] == [[pytest.approx(0.4)], []]
    assert sum(len(trace.x) for trace in figure.data) == 2 * len(FACETS)
    low, _, like, _ = spoken.units(tables["tuning_unrequested"])
    assert "taught were Sincerity by 0.40" in low and "1 moved (q < 0.05): Fairness +0.20" in low
    assert "none of these was taught" in like
    none = tables["tuning_unrequested"].with_columns(q=pl.lit(0.9))
    assert "none moved" in spoken.units(none)[0]
    untested = tables["tuning_unrequested"].with_columns(q=pl.lit(None, pl.Float64))
    assert "too few" in spoken.units(untested)[0]
    only = {"tuning_unrequested": tables["tuning_unrequested"].filter(of="facets")}
    assert drawn.topics_moved(only) is None and drawn.topics_moved(tables) is not None


def test_noise_is_called_noise(tables):
    frame = tables["tuning_unrequested_totals"]
    assert "more than noise" in spoken.totals(frame)[0] and "control run" in spoken.totals(frame)[0]
    assert "no more than noise is shown" in spoken.totals(frame.with_columns(p=pl.lit(0.5)))[0]
    assert "control run" not in spoken.totals(frame.filter(part="unrequested"))[0]


def test_a_persona_is_named_with_its_interval_or_with_the_reason_for_none(tables):
    facets, utilities, *_ = spoken.personas(tables["tuning_selected"])
    assert "Evil: 0.60 [0.30, 0.80]" in facets and "Meta: nothing can be said" in facets
    assert "Evil (between topics): 0.50" in utilities


def test_only_what_lies_beyond_random_directions_is_filled(tables):
    figure = drawn.way_to_personas(tables)
    assert [len(trace.x) for trace in figure.data] == [1, 1, 1, 1]
    assert "in 1 of 2 cells" in spoken.projection(tables["tuning_projection"])[0]
    never = tables["tuning_projection"].with_columns(beyond=pl.lit(value=False))
    assert "largest" not in spoken.projection(never)[0]
