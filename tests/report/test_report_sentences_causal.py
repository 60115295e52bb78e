"""Paragraphs on transfer, angles and steering."""

import polars as pl
import pytest
from report_tables import table

from personascope.report import sentences_causal


def transfer(*differences):
    """One row per (difference, low, high) between personas a and b, c, ...; r = 0.3 [0.1, 0.5]."""
    rows = [
        ("a", f"b{number}", 5, "eot", 0.3, 0.1, 0.5, 0.2, *difference, 240)
        for number, difference in enumerate(differences)
    ]
    itself = ("a", "a", 5, "eot", 0.9, 0.8, 1.0, 1.0, 0.5, 0.4, 0.6, 240)
    columns = "train test layer position r low high utility_r difference difference_low difference_high n"
    return table([itself, *rows], columns)


def test_no_difference_above_zero_is_said_plainly():
    first, second = sentences_causal.transfer(transfer((0.1, -0.1, 0.3), (-0.2, -0.3, -0.1)))
    assert "mean r over 2 pairs of different personas is 0.30" in first
    assert "picked on the same data, so optimistic" in first
    assert second.startswith("In no pair does the probe transfer better")
    assert "+0.10 [−0.10, 0.30], n = 240" in second
    assert "In 1 of 2 it transfers worse" in second


def test_differences_above_zero_are_counted_without_the_persona_itself():
    _, second = sentences_causal.transfer(transfer((0.2, 0.1, 0.3), (0.1, -0.1, 0.2), (0.1, 0.05, 0.2)))
    assert second.startswith("In 2 of 3 pairs the probe transfers better")


def test_cosines_are_counted_against_what_chance_gives():
    frame = pl.DataFrame(
        {
            "direction": ["a"] * 40,
            "other": ["b"] * 40,
            "layer": list(range(40)),
            "cosine": [0.0] * 38 + [-0.3, 0.2],
            "null_high": [0.1] * 40,
        }
    )
    (text,) = sentences_causal.directions(frame)
    assert text.startswith("2 of 40 cosines lie beyond the 95th percentile of random directions, where about 2 would")
    assert "−0.30 between the preference direction of A and the identity direction of B at layer 38" in text
    (text,) = sentences_causal.directions(frame.with_columns(cosine=pl.lit(0.05)))
    assert text.startswith("None of the 40 cosines")


def sweep(probe, random):
    rows = [
        ("facet:patience", "facet score", 8, c, name, slope * c, slope * c - 0.01, slope * c + 0.01, 16, 0.9)
        for name, slope in {"probe": probe, **{f"random {i}": slope for i, slope in enumerate(random)}}.items()
        for c in (-0.2, -0.1, 0.0, 0.1, 0.2)
    ]
    columns = "target read_out layer coefficient direction value low high n label_mass"
    return table(rows, columns)


def test_steering_beyond_the_random_directions_is_counted_with_the_share_of_chance():
    (text,) = sentences_causal.steering(sweep(1.0, [0.1, -0.2, 0.3, 0.1, 0.0]))
    assert text.startswith("Facet: patience. Steering moves the read-out beyond every random direction")
    assert "in all 2 cells" in text
    assert "in 2 of them the intervals at both signs lie apart; 0 of them go against the direction's sign" in text
    assert "a meaningless direction would win about 0.3 cells" in text
    assert "0.20 [0.19, 0.21] at +0.20 and −0.20 [−0.21, −0.19] at −0.20 of layer 8" in text
    assert "the largest of 5 random directions has 0.060 (n = 16, label mass 0.90)" in text


def test_steering_that_random_directions_match_is_said_plainly():
    (text,) = sentences_causal.steering(sweep(0.2, [0.1, -0.2, 0.3]))
    assert "Steering does not move the read-out beyond the random directions in any of 2 cells" in text


def test_steering_the_wrong_way_is_not_sold_as_success():
    (text,) = sentences_causal.steering(sweep(-1.0, [0.1]))
    assert "2 of them go against the direction's sign" in text


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (pl.col("direction") == "probe", "There are no random directions to compare with"),
        (pl.col("coefficient") >= 0, "No coefficient was asked with both signs"),
    ],
)
def test_a_sweep_without_its_controls_cannot_be_judged(keep, said):
    (text,) = sentences_causal.steering(sweep(1.0, [0.1]).filter(keep))
    assert said in text
