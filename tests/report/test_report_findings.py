"""The numbers behind the paragraphs, on tables small enough to check by hand."""

import polars as pl
import pytest
from report_tables import table

from personascope.report.findings import (
    beats_shuffled,
    beats_text,
    best_rows,
    best_text,
    best_transfer,
    excludes_zero,
    pushes,
    strongest_cosine_layer,
    strongest_push,
)


def sweep(values, layer=3, target="choice"):
    """A steering table from {direction: {coefficient: value}}; intervals are value ± 0.05."""
    rows = [
        (target, "score", layer, coefficient, direction, value, value - 0.05, value + 0.05, 10, 0.9 - abs(coefficient))
        for direction, curve in values.items()
        for coefficient, value in curve.items()
    ]
    columns = "target read_out layer coefficient direction value low high n label_mass"
    return table(rows, columns)


def probe_row(**changes):
    row = {"value": 0.4, "low": 0.3, "high": 0.5, "shuffled_high": 0.2, "text_baseline": 0.25}
    row |= {"metric": "r", "encoder_baseline": 0.3, "over_text": 0.1, "over_text_low": 0.02}
    return row | changes


def test_an_interval_excludes_zero_only_when_both_ends_are_on_one_side():
    frame = pl.DataFrame({"low": [0.1, -0.2, -0.1, 0.0, None], "high": [0.2, -0.1, 0.1, 0.2, None]})
    assert frame.select(excludes_zero()).to_series().to_list() == [True, True, False, False, False]


def test_the_best_row_of_each_persona_is_its_maximum_over_layers_and_positions():
    frame = pl.DataFrame(
        {
            "target": ["t"] * 5 + ["other"],
            "persona": ["a", "a", "b", "b", "c", "a"],
            "layer": [1, 2, 1, 2, 1, 9],
            "value": [0.3, 0.2, 0.5, 0.6, None, 0.99],
        }
    )
    assert [(row["persona"], row["layer"]) for row in best_rows(frame, "t")] == [("b", 2), ("a", 1)]


@pytest.mark.parametrize(
    ("changes", "shuffled", "text"),
    [
        ({}, True, True),
        ({"shuffled_high": 0.4}, False, True),
        ({"over_text_low": 0.0}, True, False),
        ({"over_text_low": None}, True, False),
        ({"shuffled_high": None}, False, True),
        ({"value": -0.1, "shuffled_high": -0.2}, False, False),
        ({"value": -0.1, "shuffled_high": -0.2, "metric": "accuracy"}, True, True),
    ],
)
def test_beating_a_control_is_strict_and_needs_the_control(changes, shuffled, text):
    row = probe_row(**changes)
    assert (beats_shuffled(row), beats_text(row)) == (shuffled, text)


def test_the_better_text_baseline_is_the_one_to_beat_and_may_be_missing():
    assert best_text(probe_row()) == 0.3
    assert best_text(probe_row(encoder_baseline=None)) == 0.25
    assert best_text(probe_row(encoder_baseline=None, text_baseline=None)) is None


def test_the_best_transfer_layer_ignores_a_persona_tested_on_itself():
    frame = pl.DataFrame(
        {
            "train": ["a", "a", "a", "a"],
            "test": ["a", "b", "a", "b"],
            "layer": [1, 1, 2, 2],
            "position": ["eot"] * 4,
            "r": [0.9, 0.1, 0.2, 0.3],
        }
    )
    assert best_transfer(frame) == (2, "eot")
    assert best_transfer(frame.filter(pl.col("train") == pl.col("test"))) is None


def test_the_strongest_cosine_counts_either_sign_and_skips_nulls():
    assert strongest_cosine_layer(pl.DataFrame({"layer": [1, 2, 3], "cosine": [0.2, -0.4, None]})) == 2


def test_damage_of_both_signs_is_no_effect():
    """A push that lowers the read-out alike at +c and -c has a half difference of zero."""
    (push,) = pushes(sweep({"probe": {-0.1: 0.2, 0.0: 0.5, 0.1: 0.2}, "random 1": {-0.1: 0.4, 0.1: 0.5}}), "choice")
    assert push.effect == 0
    assert not push.beyond_random
    assert not push.apart


def test_an_effect_is_compared_with_the_largest_random_one_at_the_same_coefficient():
    curves = {
        "probe": {-0.2: 0.2, -0.1: 0.45, 0.0: 0.5, 0.1: 0.55, 0.2: 0.8},
        "random 1": {-0.2: 0.5, -0.1: 0.6, 0.0: 0.5, 0.1: 0.4, 0.2: 0.5},
        "random 2": {-0.2: 0.45, -0.1: 0.5, 0.0: 0.5, 0.1: 0.5, 0.2: 0.55},
    }
    weak, strong = pushes(sweep(curves), "choice")
    assert (weak.coefficient, strong.coefficient) == (0.1, 0.2)
    assert weak.effect == pytest.approx(0.05)
    assert weak.largest_random == pytest.approx(0.1)
    assert (weak.beyond_random, strong.beyond_random) == (False, True)
    assert (weak.apart, strong.apart) == (False, True)
    assert strong.n_random == 2
    assert strong.label_mass == pytest.approx(0.7)
    assert strongest_push([weak, strong]) is strong


def test_a_negative_effect_counts_by_its_size():
    (push,) = pushes(sweep({"probe": {-0.1: 0.9, 0.1: 0.1}, "random 1": {-0.1: 0.5, 0.1: 0.6}}), "choice")
    assert push.effect == pytest.approx(-0.4)
    assert push.beyond_random


def test_coefficients_without_their_opposite_are_left_out():
    assert pushes(sweep({"probe": {0.0: 0.5, 0.1: 0.9}}), "choice") == []


def test_without_random_directions_nothing_is_beyond_them():
    (push,) = pushes(sweep({"probe": {-0.1: 0.1, 0.1: 0.9}}), "choice")
    assert push.largest_random is None
    assert not push.beyond_random


def test_targets_and_layers_are_kept_apart():
    both = pl.concat(
        [
            sweep({"probe": {-0.1: 0.4, 0.1: 0.6}, "random 1": {-0.1: 0.5, 0.1: 0.5}}, layer=1),
            sweep({"probe": {-0.1: 0.3, 0.1: 0.7}, "random 1": {-0.1: 0.9, 0.1: 0.1}}, layer=2),
            sweep({"probe": {-0.1: 0.0, 0.1: 1.0}}, target="facet:patience"),
        ]
    )
    assert [(push.layer, push.beyond_random) for push in pushes(both, "choice")] == [(1, True), (2, False)]
