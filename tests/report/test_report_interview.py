"""What is said, drawn and shown on a terminal of interviews."""

import polars as pl
import pytest
from interview_tables import interview_tables
from rich.console import Console

from personascope.report import figures_interview as drawn
from personascope.report import sentences_interview as spoken
from personascope.report.interview_tables import bar, profile_table

TABLES = interview_tables()


def test_who_is_found_soonest_is_named_beside_chance_and_bound():
    ranking, gain, bound = spoken.identified(TABLES["interview_identification"])
    assert "after 10 questions, over 300 interviews: information −0.010 [−0.21, 0.19], held-out items" in ranking
    assert "information, is 2.99 bits ahead of random questions. It has the right person first in 0.99" in gain
    assert "would stand at −0.010" in bound


def test_overlapping_intervals_are_said():
    frame = TABLES["interview_identification"].with_columns(low=pl.lit(-20.0), high=pl.lit(0.0))
    assert "their intervals overlap" in spoken.identified(frame)[1]
    frame = TABLES["interview_prediction"].with_columns(low=pl.lit(0.0), high=pl.lit(2.0))
    assert spoken.predicted(frame)[0].endswith("overlaps that of random questions.")


def test_who_predicts_best_is_said_for_each_model():
    twins, gaussian = spoken.predicted(TABLES["interview_prediction"])
    assert "predicted by twins: held-out items 0.92, random 0.97" in twins
    assert "(1.00 with nothing asked)" in gaussian


def test_planners_that_do_not_adapt_are_told_apart():
    same, moving = spoken.asked(TABLES["interview_questions"])
    assert same.endswith("for everybody: fixed.")
    assert "information (up to 9 items at one place)" in moving


def test_figures_have_a_line_and_a_band_for_each_planner():
    lines = [trace.name for trace in drawn.identified(TABLES).data if trace.mode == "lines+markers"]
    assert sorted(lines) == ["Fixed", "Held-out items", "Hindsight", "Information", "Random"]
    assert len(drawn.identified(TABLES).data) == 10
    shown = [trace for trace in drawn.predicted(TABLES).data if trace.showlegend]
    assert len(shown) == 4
    assert len(drawn.predicted(TABLES).data) == 16
    assert len(drawn.asked(TABLES).data) == 5


@pytest.mark.parametrize(("mean", "place"), [(-9.0, 0), (0.0, 10), (9.0, 20), (1.5, 15)])
def test_a_bar_has_its_mean_where_it_is(mean, place):
    line = bar(mean, mean - 0.6, mean + 0.6)
    assert len(line) == 21
    assert line.index("●") == place
    assert "◇" in bar(0.0, -1.0, 1.0, truth=2.0)


def test_a_profile_fits_a_narrow_terminal():
    rows = [("domain", "H", 0.4, -0.1, 0.9, 3), ("facet", "aesthetic_appreciation", -1.2, -2.0, -0.4, 1)]
    profile = pl.DataFrame(rows, schema=["level", "name", "mean", "low", "high", "n"], orient="row")
    console = Console(width=80, record=True)
    console.print(profile_table(profile, "domain"), profile_table(profile, "facet", {"aesthetic_appreciation": -0.7}))
    text = console.export_text()
    assert "Honesty-Humility" in text
    assert "+0.4 [-0.1, +0.9]" in text
    assert "Aesthetic appreciation" in text
    assert "-0.7" in text


def test_rounds_of_learning_are_said_with_the_one_that_was_kept():
    (text,) = spoken.rounds(TABLES["interview_rounds"])
    assert "0.050 [0.040, 0.060] as it was taught, 0.070 [0.060, 0.080] having learned from 40 interviews" in text
    assert text.endswith("Round 1 was kept.")
    falling = TABLES["interview_rounds"].with_columns(gain=-pl.col("number").cast(pl.Float64))
    (worse,) = spoken.rounds(falling)
    assert worse.endswith("No round was better than what it was taught.")
