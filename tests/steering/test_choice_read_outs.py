"""Choice read-outs on a respondent whose curve has a closed form, and on small cases worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from scipy.special import expit
from statsmodels.stats.proportion import proportion_confint

from personascope.errors import ActivationError, DataError
from personascope.steering.choice_read_outs import (
    contrastive_curve,
    order_flip_curve,
    position_curve,
    sampled_curve,
    single_task_curve,
    utility_curve,
)
from personascope.steering.coefficient_sweep import SweepAnswers

GRID = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
U_ONE, U_OTHER = np.array([2.0, -1.0, 0.3]), np.array([0.5, 1.0, 0.1])
PAIR = np.repeat(np.arange(3), 2)
FIRST = np.stack([U_ONE, U_OTHER], axis=1).reshape(-1)
SECOND = np.stack([U_OTHER, U_ONE], axis=1).reshape(-1)


def answers_of(p_first: np.ndarray) -> SweepAnswers:
    """From P(first), shape (row, coefficient); 0.8 of the probability is on the labels."""
    with np.errstate(divide="ignore"):
        logprobs = np.log(0.8 * np.stack([p_first, 1 - p_first], axis=-1))[:, None, None]
    other = np.full(logprobs.shape[:-1], np.log(0.2), dtype=np.float32)
    return SweepAnswers((7,), tuple(GRID.tolist()), ("probe",), ("probe",), logprobs.astype(np.float32), other)


def respondent(bias: float, on_first: float, on_second: float) -> SweepAnswers:
    """Log-odds of the first: bias + u_first - u_second, and what a push c adds on either task."""
    return answers_of(expit(bias + (FIRST - SECOND)[:, None] + (on_first - on_second) * GRID))


def value(frame: pl.DataFrame) -> np.ndarray:
    return frame.sort("coefficient")["value"].to_numpy()


def test_the_utility_curve_has_its_closed_form_and_is_not_antisymmetric() -> None:
    answers = respondent(bias=0.7, on_first=5.0, on_second=-5.0)
    gap = np.abs(U_ONE - U_OTHER)[:, None]
    expected = (expit(0.7 + gap + 10 * GRID) + expit(-0.7 + gap + 10 * GRID)).mean(axis=0) / 2
    frame = utility_curve(answers, PAIR, FIRST, SECOND).frame(n_resamples=50)
    assert np.allclose(value(frame), expected, atol=1e-6)
    assert abs(expected[0] + expected[-1] - 1) > 0.05
    assert np.allclose(frame["label_mass"], 0.8, atol=1e-6)


def test_the_contrastive_curve_loses_utilities_and_keeps_the_slope() -> None:
    curve = value(contrastive_curve(respondent(0.7, 5.0, -5.0), PAIR).frame(n_resamples=50))
    assert np.allclose(curve + curve[::-1], 1.0)
    assert np.all(np.diff(curve) > 0.1)


def test_a_single_push_counts_for_the_task_that_it_is_on_in_either_slot() -> None:
    first, second = respondent(0.7, 5.0, 0.0), respondent(0.7, 0.0, 5.0)
    expected = np.mean(
        [expit(sign * 0.7 + d + 5 * GRID) for sign in (1, -1) for d in (*(U_ONE - U_OTHER), *(U_OTHER - U_ONE))], axis=0
    )
    curves = single_task_curve(first, second, PAIR)
    assert np.allclose(value(curves.frame(n_resamples=50)), expected, atol=1e-6)
    assert curves.value[0, 0, 2] == pytest.approx(0.5)


def test_a_push_that_only_drowns_a_task_is_suppression_without_amplification() -> None:
    pushed = np.where(GRID < 0, 0.1, 0.5)
    on_first, on_second = answers_of(np.tile(pushed, (6, 1))), answers_of(np.tile(1 - pushed, (6, 1)))
    effects = single_task_curve(on_first, on_second, PAIR).effects(n_resamples=50)
    by = {name: part["value"].to_numpy() for (name,), part in effects.group_by("effect")}
    assert np.allclose(by["amplification"], 0.0, atol=1e-6)
    assert np.allclose(by["suppression"], 0.4, atol=1e-6)
    assert np.allclose(by["swing"], 0.4, atol=1e-6)


def test_position_bias_is_told_apart_from_the_push() -> None:
    same = np.zeros(6)[:, None]
    contrast = answers_of(expit(1.0 + same + 5 * GRID))
    expected = (expit(1 + 5 * GRID) + expit(1 - 5 * GRID)) / 2
    assert np.allclose(value(position_curve(contrast, PAIR, "contrast").frame(n_resamples=5)), expected, atol=1e-6)
    # a push that is the same in both orders and drives the model to its first slot
    assert np.allclose(
        value(position_curve(contrast, PAIR, "common").frame(n_resamples=5)), expit(1 + 5 * GRID), atol=1e-6
    )


def test_flips_follow_the_pushed_task_through_both_orders() -> None:
    # a strong push wins in both slots: no flip although every label changes; weak, the first slot always wins
    rows = np.tile([0.1, 0.7, 0.9, 0.7, 0.9], (6, 1))
    answers = answers_of(rows)
    flips = value(order_flip_curve(answers, PAIR, "contrast").frame(n_resamples=5))
    # c = 0.2 up: first in its own order (0.9), and at -0.2 of the other order second (1 - 0.1): no flip
    assert flips.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    # the same push in both orders: one label in both orders is another task
    assert value(order_flip_curve(answers, PAIR, "common").frame(n_resamples=5)).tolist() == [1.0] * 5


def test_a_pair_is_read_with_either_task_pushed_up() -> None:
    one, other = [0.1, 0.1, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1, 0.9]
    flips = order_flip_curve(answers_of(np.array([one, other])), np.array([4, 4]), "contrast")
    # its own first task up: flips at -0.1 only; the other task up: at 0.1 only
    assert flips.value.reshape(-1).tolist() == [0.0, 0.5, 0.0, 0.5, 0.0]


def test_content_alone_never_flips_and_ties_flip_half() -> None:
    strict = answers_of(np.tile([[0.9], [0.1]], (3, 5)))
    assert not value(order_flip_curve(strict, PAIR, "contrast").frame(n_resamples=5)).any()
    assert value(order_flip_curve(answers_of(np.full((6, 5), 0.5)), PAIR, "common").frame(n_resamples=5))[0] == 0.5


def test_sampled_shares_take_pairs_as_observations() -> None:
    cell = {"layer": 7, "direction": "probe", "control": "probe", "coefficient": 0.1, "pair_type": "benign-benign"}
    hits = [(0, True), (0, True), (0, None), (1, True), (1, False), (2, None)]
    frame = pl.DataFrame([{**cell, "pair": pair, "hit": hit} for pair, hit in hits])
    row = sampled_curve(frame, "P(chooses steered task)", by=["pair_type"]).row(0, named=True)
    low, high = proportion_confint(0.75 * 2, 2, method="wilson")
    assert (row["value"], row["n"], row["n_answers"], row["pair_type"]) == (0.75, 2, 6, "benign-benign")
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["label_mass"] == pytest.approx(4 / 6)


def test_a_sampled_cell_of_refusals_alone_has_no_share() -> None:
    cell = {"layer": 7, "direction": "probe", "control": "probe", "coefficient": 0.1, "pair": 1}
    frame = pl.DataFrame([{**cell, "hit": None}] * 3, schema_overrides={"hit": pl.Boolean})
    row = sampled_curve(frame, "share").row(0, named=True)
    assert (row["value"], row["low"], row["high"], row["n"], row["label_mass"]) == (None, None, None, 0, 0.0)


def test_pairs_in_one_order_are_refused() -> None:
    with pytest.raises(DataError, match="odd number of times"):
        contrastive_curve(respondent(0, 1, -1), np.array([0, 0, 1, 1, 1, 2]))


def test_ties_and_orders_with_the_same_better_slot_are_refused() -> None:
    answers = respondent(0, 1, -1)
    with pytest.raises(DataError, match="2 rows have tied"):
        utility_curve(answers, PAIR, np.where(PAIR == 1, 0.0, FIRST), np.where(PAIR == 1, 0.0, SECOND))
    with pytest.raises(DataError, match=r"Pair 0 .* 3 pairs are uneven"):
        utility_curve(answers, PAIR, np.ones(6), np.zeros(6))


def test_third_options_other_cells_and_further_rows_are_refused() -> None:
    answers = respondent(0, 1, 0)
    three = dataclasses.replace(answers, option_logprobs=np.zeros((6, 1, 1, 5, 3), dtype=np.float32))
    with pytest.raises(DataError, match="3 options"):
        contrastive_curve(three, PAIR)
    with pytest.raises(DataError, match="differ"):
        single_task_curve(answers, dataclasses.replace(answers, layers=(8,)), PAIR)
    with pytest.raises(DataError, match="has 4 rows"):
        order_flip_curve(answers, np.array([0, 0, 0, 0, 1, 1]), "common")


def test_a_row_without_probability_on_either_label_is_refused() -> None:
    answers = respondent(0, 1, -1)
    logprobs = answers.option_logprobs.copy()
    logprobs[3, 0, 0, 4] = -np.inf
    with pytest.raises(ActivationError, match="unit 1 "):
        contrastive_curve(dataclasses.replace(answers, option_logprobs=logprobs), PAIR)
