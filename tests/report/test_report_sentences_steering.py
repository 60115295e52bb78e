"""What is said of steered choices: effects beside random ones, chance, construction, and what lies out of range."""

import polars as pl
import pytest

from personascope.report.sentences_random import as_much, counted, signed_estimate, verdict
from personascope.report.sentences_steering import curves, dose, effects, position

ENDS = ("amplification", "suppression", "swing")


def effect(effect="swing", value=0.3, direction="probe", coefficient=0.1, half=0.05, **changes):
    row = {"persona": "poet", "target": "contrast", "pair_type": "all", "read_out": "P(chooses steered task)"}
    row |= {"effect": effect, "layer": 7, "direction": direction, "coefficient": coefficient, "value": value}
    ends = {"low": None, "high": None} if half is None else {"low": value - half, "high": value + half}
    return row | ends | {"n": 60, "label_mass": 0.88} | changes


def frame(*rows):
    return pl.DataFrame(rows, infer_schema_length=None)


def randoms(*values, **changes):
    return [effect(value=value, direction=f"random {n}", **changes) for n, value in enumerate(values, start=1)]


def test_an_effect_beyond_all_random_directions_is_said_with_chance_n_and_mass():
    (text,) = effects(frame(effect(), *randoms(0.1, -0.2, 0.05)))
    assert text == (
        "+ on one task, − on the other (Poet). The swing is larger than that of every random direction in the only "
        "cell (layer × strength), where a meaningless direction would win about 0.2; in 1 of them its interval "
        "excludes 0. "
        "It is largest at layer 7 and strength 0.10 (picked on the same data, so optimistic): P(chooses steered task) "
        "swings by +0.30 [0.25, 0.35] between + and − (n = 60, lowest label mass 0.88); none of 3 random directions "
        "does as much, the largest 0.20. Its halves, + against none and none against −, are equal by construction."
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (randoms(0.4, 0.1), "In none of 1 cell (layer × strength) is the swing larger than that of every random"),
        (randoms(0.4, 0.1), "1 of 2 random directions does as much, the largest 0.40"),
        (randoms(-0.4, 0.5), "2 of 2 random directions do as much, the largest 0.50"),
        ([], "There are no random directions to compare with."),
        ([effect(value=0.02, direction="other layer")], "The direction of another layer, put in there, gives +0.020"),
    ],
)
def test_an_absent_effect_is_said_to_be_absent(rows, said):
    assert said in effects(frame(effect(), *rows))[0]


def test_an_effect_against_the_sign_and_one_whose_interval_holds_zero_are_counted_apart():
    cells = [effect(value=-0.3), effect(value=0.2, coefficient=0.2, half=0.3), effect(value=0.1, coefficient=0.4)]
    control = [row for c in (0.1, 0.2, 0.4) for row in randoms(0.01, coefficient=c)]
    (text,) = effects(frame(*cells, *control))
    assert "in all 3 cells (layer × strength), where a meaningless direction would win about 1.5" in text
    assert "in 2 of them its interval excludes 0, 1 of these against the direction's sign." in text


def test_what_lies_outside_the_usable_range_is_not_counted_and_not_the_largest():
    rows = [effect(outside_usable=False), effect(value=0.9, coefficient=0.4, outside_usable=True)]
    rows += [row | {"outside_usable": False} for row in randoms(0.1)]
    (text,) = effects(frame(*rows))
    assert "in the only cell (layer × strength) (1 outside the usable range not counted)" in text
    assert "swings by +0.30" in text
    (text,) = effects(frame(effect(outside_usable=True)))
    assert "That push lies outside the usable range." in text


def test_amplification_and_suppression_are_told_apart_where_construction_leaves_them_free():
    rows = [effect(name, value, target="one task") for name, value in zip(ENDS, (0.1, 0.2, 0.3), strict=True)]
    rows += [effect(name, 0.15, direction="random 1", target="one task") for name in ENDS]
    (text,) = effects(frame(*rows))
    assert (
        "Apart: amplification +0.10 [0.050, 0.15] (1 of 1 random directions does as much, the largest 0.15) and "
        "suppression +0.20 [0.15, 0.25] (none of 1 random direction does as much, the largest 0.15)."
    ) in text
    assert "by construction" not in text


def test_types_of_pairs_are_compared_in_the_cell_of_the_whole():
    types = {"benign-benign": 0.4, "harmful-benign": 0.1}
    rows = [effect(value=value, pair_type=name, n=20) for name, value in types.items()]
    rows += [effect(value=0.2, pair_type=name, direction="random 1") for name in types]
    _, text = effects(frame(effect(), *randoms(0.1), *rows, effect(value=0.9, pair_type="x", coefficient=0.4)))
    assert text == (
        "The same push by type of pair: benign-benign +0.40 [0.35, 0.45] (n = 20, none of 1 random direction does as "
        "much, the largest 0.20); harmful-benign +0.10 [0.050, 0.15] (n = 20, 1 of 1 random directions does as much, "
        "the largest 0.20)."
    )


def test_without_a_value_no_swing_is_claimed():
    (text,) = effects(frame(effect(value=0.0, half=None)).with_columns(value=pl.lit(None, pl.Float64)))
    assert text == "+ on one task, − on the other (Poet). No swing of the probe direction could be computed."


def point(coefficient, value=0.6, **changes):
    row = {"persona": "poet", "target": "better task", "pair_type": "all", "read_out": "P", "layer": 7}
    row |= {"direction": "probe", "coefficient": coefficient, "value": value, "low": value - 0.1, "high": value + 0.1}
    return row | {"n": 60, "label_mass": 0.9, "past_peak": False, "outside_usable": False} | changes


def test_curves_are_said_with_their_start_and_with_what_lies_out_of_range():
    rows = [point(-0.1, outside_usable=True, label_mass=0.4), point(0.0), point(0.1, past_peak=True)]
    start, damage = curves(frame(*rows))
    assert start == (
        "Unsteered, Poet takes the task of higher utility with P = 0.60 [0.50, 0.70] (n = 60); a push against it has "
        "to overturn that."
    )
    assert "Of the 2 pushes along the probe direction" in damage
    assert "1 lie outside the usable range of their layer" in damage
    assert "and 1 lie past a peak from which the curve turns back. The label mass runs from 0.40 to 0.90." in damage


def test_construction_is_said_of_contrastive_pushes_alone():
    assert not any("antisymmetric" in text for text in curves(frame(point(0.1))))
    text = curves(frame(point(0.1, target="contrast")))[0]
    assert "is antisymmetric about 1/2 by construction" in text
    assert text.endswith("Only its slope is a finding.")
    assert curves(frame(point(0.1, direction="random 1"))) == ["There is no push along the probe direction to show."]


def slope(layer=7, value=1.2, direction="probe", **changes):
    row = {"persona": "poet", "target": "one task", "pair_type": "all", "read_out": "P", "layer": layer}
    row |= {"direction": direction, "step": 0.05, "slope": value, "slope_low": value - 0.2, "slope_high": value + 0.2}
    row |= {"linearity": 0.97, "saturation": 0.25, "turns_plus": False, "turns_minus": False, "n_random": 9, "p": 0.1}
    return row | {"slope_outside_usable": False} | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "read from ±0.050, is steepest at layer 7 (picked on the same data, so optimistic): +1.20 [1.00, 1.40] per",
        ),
        ({}, "none of 9 random directions does as much (p = 0.10; 0.10 is the smallest that 9 can show)."),
        ({"p": 0.3}, "2 of 9 random directions do as much (p = 0.30;"),
        ({"p": None, "n_random": 0}, "There are no random directions to compare with."),
        ({}, "Out to the largest usable strength 25.0 % of that slope is lost; a straight line has R² = 0.97."),
        ({"saturation": -0.5}, "Farther out the curve is steeper, by 50.0 %; a straight line has R² = 0.97."),
        ({"saturation": 0.0, "linearity": None}, "0 % of that slope is lost. The curve does not turn back"),
        ({"turns_minus": True}, "The curve turns back within the swept strengths."),
        ({"slope_outside_usable": True}, "; there even the smallest strength lies outside the usable range."),
        ({"slope_low": None}, "so optimistic): +1.20 per unit of the coefficient"),
    ],
)
def test_each_course_of_a_dose_is_said_plainly(changes, said):
    (text,) = dose(frame(slope(**changes)))
    assert text.startswith("Push on one task only (Poet). ")
    assert said in text


def test_layers_at_which_no_random_direction_is_as_steep_are_counted_beside_chance():
    rows = [slope(), slope(9, -0.4, p=0.5, turns_plus=True), slope(direction="random 1", value=5.0, p=None)]
    (text,) = dose(frame(*rows))
    assert (
        "It is steeper than every random direction at 1 of 2 layers, where a meaningless direction would be at about "
        "0.2" in text
    )
    assert "The curve turns back within the swept strengths at 1 of 2 layers." in text
    assert dose(frame(slope(slope=None)).cast({"slope": pl.Float64}))[0].endswith("No slope could be computed.")


def test_a_moved_place_is_said_beside_random_directions():
    rows = [point(c, value, read_out="P(first)") for c, value in ((-0.1, 0.55), (0.0, 0.6), (0.1, 0.8))]
    rows += [point(c, value, read_out="P(first)", direction="random 1") for c, value in ((0.0, 0.6), (0.1, 0.9))]
    text, even = position(frame(*rows))
    assert text == (
        "P(first): 0.60 without a push, moved most by +0.10 at layer 7 (picked on the same data, so optimistic), to "
        "0.80 [0.70, 0.90] (n = 60); 1 of 1 random directions does as much, the largest 0.30."
    )
    assert "even by construction" in even
    assert position(frame(point(0.1, read_out="order flips")))[0] == "order flips: no push could be compared with none."


def test_words_on_random_directions_agree_with_their_numbers():
    assert [counted(k, n) for k, n in ((0, 1), (0, 5), (1, 5), (5, 5))] == [
        "none of 1 random direction does",
        "none of 5 random directions does",
        "1 of 5 random directions does",
        "5 of 5 random directions do",
    ]
    assert as_much({"n_random": 0}) == "there are no random directions to compare with"
    assert signed_estimate(0.2, None, 0.3) == "+0.20"
    empty = frame(effect()).with_columns(n_random=pl.lit(0), as_much=pl.lit(0))
    assert verdict(empty, "layers", "swing") == "There are no random directions to compare with."
