"""What is said of a layer sweep's controls: plainly where a number is not above what it is compared with."""

import polars as pl
import pytest

from personascope.report.findings_sweep import split_target, surviving_layer
from personascope.report.sentences_sweep import confounds, groups_left_out, removals


def left_out(what="pooled", group=None, **changes):
    row = {"target": "utility", "persona": "poet", "position": "eot", "layer": 7, "what": what, "group": group}
    row |= {"metric": "r", "value": 0.4, "low": 0.3, "high": 0.5, "n": 80, "n_groups": 8, "shuffled_high": 0.1}
    return row | {"text_baseline": 0.2, "encoder_baseline": 0.25, "ceiling": None} | changes


def frame(*rows):
    return pl.DataFrame(rows, infer_schema_length=None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "The interval lies above shuffled labels (95th percentile 0.10)."),
        ({}, "The interval lies above the better text baseline (words 0.20, encoder 0.25)."),
        ({"encoder_baseline": 0.35}, "That is above the better text baseline (words 0.20, encoder 0.35), but the"),
        ({"text_baseline": 0.4}, "That is not above the better text baseline (words 0.40, encoder 0.25)."),
        ({"encoder_baseline": None}, "(words 0.20, no encoder)"),
        ({"shuffled_high": 0.4}, "That is not above shuffled labels (95th percentile 0.40)."),
        ({"value": -0.1, "shuffled_high": -0.2}, "That is not above 0, so nothing is read there."),
        ({"ceiling": 0.8}, "the target allows r = 0.80 at most"),
        ({}, "Within groups there is no correlation to show"),
        ({}, "No single group has an r of its own."),
        ({"value": None}, "no pooled correlation over groups left out could be computed"),
    ],
)
def test_each_verdict_on_groups_left_out_is_said_plainly(changes, said):
    text, caution = groups_left_out(frame(left_out(**changes)))
    assert said in text
    assert "optimistic" in caution


def test_all_numbers_are_those_of_the_layer_with_the_best_pooled_r_and_of_r_alone():
    rows = [left_out(), left_out(layer=3, value=0.1), left_out(metric="accuracy", layer=1, value=0.9)]
    rows += [left_out("within groups", value=0.2, low=0.15), left_out("within groups", layer=3, value=0.8)]
    rows += [left_out("mean over groups", value=0.21), left_out("group", "math", value=0.3, low=0.1)]
    rows += [
        left_out("group", "poetry", value=-0.3, low=-0.5, high=-0.1),
        left_out("group", "coding", value=0.1, low=-0.1),
    ]
    text, _ = groups_left_out(frame(*rows, left_out("group", "math", layer=3, value=0.99)))
    assert "pooled r is highest at layer 7, 0.40 [0.30, 0.50] over 8 groups (n = 80)" in text
    assert "Within groups, where knowing the group is worth nothing, r is 0.20 [0.15, 0.50]" in text
    assert "The mean of the groups' own r is 0.21" in text
    assert "In 1 of 3 groups the interval of r lies above 0, and in 1 of 3 r is above the better text baseline" in text
    assert "runs from −0.30 (Poetry) to 0.30 (Math)" in text


def confound(target="utility, text removed", **changes):
    row = {"target": target, "persona": "poet", "position": "eot", "layer": 5, "metric": "r", "value": 0.3, "low": 0.2}
    row |= {"high": 0.4, "n": 80, "shuffled_high": 0.1, "text_baseline": 0.2, "encoder_baseline": 0.1}
    return row | {"over_text": 0.1, "over_text_low": -0.1, "over_text_high": 0.3, "variance_left": 0.6} | changes


def test_what_was_taken_away_is_named_with_the_share_of_variance_left():
    (text,) = confounds(frame(confound(), confound(layer=2, value=0.1, variance_left=0.8)))
    assert text.startswith("Utility, text removed: best at layer 5, r = 0.30 [0.20, 0.40], n = 80.")
    assert "by 0.10 [−0.10, 0.30], which is not distinguishable from 0" in text
    assert "0.60 of the activations' variance is left there (0.60 to 0.80 over layers)" in text
    assert "nothing was taken away" not in text


def test_a_text_that_predicts_nothing_of_the_activations_is_said_to_take_nothing_away():
    assert "so nothing was taken away" in confounds(frame(confound(variance_left=1.0)))[0]


def test_without_an_encoder_the_text_was_not_taken_away():
    text, missing = confounds(frame(confound("utility, topic means removed", variance_left=None)))
    assert "variance" not in text
    assert missing.startswith("Without a sentence encoder")


def test_targets_are_split_at_the_last_comma():
    own = split_target(pl.DataFrame({"target": ["a, b, text removed", "plain"]}))
    assert own.select("of", "without").rows() == [("a, b", "text removed"), ("plain", "")]


def removal(values, random=(0.38, 0.39), shuffled=0.1, **changes):
    kinds = [("probe", None, values), *(("random", draw, [values[0], r]) for draw, r in enumerate(random))]
    rows = []
    for removed, draw, curve in kinds:
        for step, r in zip((0, len(values) - 1) if removed == "random" else range(len(values)), curve, strict=True):
            row = {"target": "utility", "layer": 4, "step": step, "removed": removed, "draw": draw, "r": r}
            rows.append(row | {"low": r - 0.1, "high": r + 0.1, "shuffled_high": shuffled, "n": 80} | changes)
    return frame(*rows)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (removal([0.4, 0.2, 0.05]), "r is 0.40 [0.30, 0.50] before any removal and 0.050 [−0.050, 0.15] after 2 of"),
        (removal([0.4, 0.05, 0.0]), "With 1 removed it is no longer above the 95th percentile of shuffled labels."),
        (removal([0.4, 0.3, 0.2]), "It never falls to the 95th percentile of shuffled labels"),
        (removal([0.4, 0.2, 0.05]), "leaves r = 0.38 to 0.39 (2 draws), all above."),
        (removal([0.4, 0.39, 0.385]), "so the probe's directions matter no more than random ones"),
        (removal([0.4, 0.2], random=()), "There are no random removals to compare with."),
        (removal([0.09, 0.0]), "not above shuffled labels (95th percentile 0.10), so there is nothing"),
        (removal([-0.01, -0.2], shuffled=-0.1), "so there is nothing whose removal could be followed"),
    ],
)
def test_each_course_of_removals_is_said_plainly(table, said):
    (text,) = removals(table)
    assert said in text


def test_the_section_opens_at_the_layer_of_its_first_sentence():
    own = frame(left_out(), left_out(layer=3, value=0.5), left_out("group", "a", layer=9, value=0.9))
    assert surviving_layer({"leave_one_group": own, "removals": removal([0.4, 0.1])}) == 3
    assert surviving_layer({"removals": removal([0.4, 0.1])}) == 4
    assert surviving_layer({"leave_one_group": frame(left_out(value=None))}) is None
