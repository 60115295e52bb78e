"""What is said and drawn of a model organism."""

import polars as pl
from organism_tables import organism_tables

from personascope.report import figures_organism as drawn
from personascope.report import sentences_organism as spoken

TABLES = organism_tables(["assistant", "evil"], ["math", "poetry", "advice", "planning"])


def test_recovery_stands_beside_the_base():
    utilities, traits = spoken.recovered(TABLES["planted_recovery"])
    assert "Assistant 0.90 [0.70, 1.00] (base 0.000 [−0.20, 0.10])" in utilities
    assert utilities.endswith("The interval lies above 0 for 2 of 2 personas.")
    assert traits.startswith(
        "Correlation of traits with what was planted, over 40 facets, by items that were not taught"
    )


def test_probes_that_miss_the_direction_are_counted_out():
    (text,) = spoken.cosines(TABLES["planted_cosines"])
    assert "Assistant +0.40 and Evil +0.050" in text
    assert "1 of 2 lie beyond 0.080" in text


def test_opposition_transfer_and_steering_have_their_yardsticks():
    (opposed,) = spoken.opposition(TABLES["planted_opposition"])
    assert "Assistant and Evil −0.75 [−0.90, 0.10] (planted −1.00, base 0.000)" in opposed
    same, other = spoken.transfer(TABLES["planted_transfer"])
    assert "Assistant 0.60 [0.40, 0.80]" in same and "Assistant on Evil 0.60" in other
    (pushed,) = spoken.steering(TABLES["planted_steering"])
    assert "Evil 2.00 [1.90, 2.10] (along random directions at most 0.10)" in pushed


def test_figures_have_both_states_and_every_topic():
    figure = drawn.recovered(TABLES)
    assert [trace.name for trace in figure.data] == ["organism", "base"]
    assert all(len(trace.x) == 4 for trace in figure.data)
    figure = drawn.topics(TABLES)
    assert [trace.name for trace in figure.data] == ["organism", "base", "planted"] * 2
    assert [len(trace.x) for trace in figure.data] == [4, 4, 3] * 2
    planted = TABLES["planted_utilities"].filter(pl.col("persona") == "evil", pl.col("is_taught"))["planted"].unique()
    assert sorted(figure.data[5].x) == sorted(planted)
