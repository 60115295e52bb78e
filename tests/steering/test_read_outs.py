"""Read-outs of a sweep against closed forms on answers made by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from personascope.errors import DataError
from personascope.steering.coefficient_sweep import SweepAnswers
from personascope.steering.read_outs import choice_curve, facet_curve

GRID = (-0.2, -0.1, 0.0, 0.1, 0.2)
NAMES, KINDS = ("probe", "random 1"), ("probe", "isotropic")


def answers_of(logprobs: np.ndarray) -> SweepAnswers:
    """From log-probabilities (row, direction, coefficient, option) that sum to 1."""
    full = logprobs[:, None].astype(np.float32)
    other = np.full(full.shape[:-1], -np.inf, dtype=np.float32)
    return SweepAnswers((7,), GRID, NAMES, KINDS, full, other)


def choices(effect: float, position_bias: float, preference: np.ndarray) -> SweepAnswers:
    """P(A) = expit(bias +- preference + effect * c) for both orders of each pair; random directions do nothing."""
    slope = np.array([effect, 0.0])[:, None] * np.array(GRID)
    signed = np.stack([preference, -preference], axis=1).reshape(-1)
    p_first = expit(position_bias + signed[:, None, None] + slope)
    return answers_of(np.log(np.stack([p_first, 1 - p_first], axis=-1)))


def probe_values(frame: pl.DataFrame, direction: str = "probe") -> np.ndarray:
    return frame.filter(pl.col("direction") == direction).sort("coefficient")["value"].to_numpy()


def test_position_bias_alone_leaves_the_choice_curve_flat_at_one_half() -> None:
    frame = choice_curve(choices(0.0, 2.5, np.zeros(6)), np.repeat(np.arange(6), 2))
    assert np.allclose(frame["value"], 0.5, atol=1e-6)


def test_an_effect_shows_with_its_sign_and_size() -> None:
    frame = choice_curve(choices(5.0, 0.0, np.zeros(6)), np.repeat(np.arange(6), 2))
    assert np.allclose(probe_values(frame), expit(5.0 * np.array(GRID)), atol=1e-6)
    assert np.allclose(probe_values(frame, "random 1"), 0.5, atol=1e-6)
    assert frame["n"].unique().to_list() == [6]


def test_the_choice_curve_is_antisymmetric_about_one_half() -> None:
    frame = choice_curve(choices(3.0, 1.0, np.linspace(-2, 2, 8)), np.repeat(np.arange(8), 2))
    values = probe_values(frame)
    assert np.allclose(values + values[::-1], 1.0, atol=1e-6)
    assert (frame["low"] <= frame["value"]).all() and (frame["value"] <= frame["high"]).all()


def likert(agreement: np.ndarray, descending: np.ndarray) -> SweepAnswers:
    """Two-point answers on labels 1..5 whose expected agreement is as given, shape (row, direction, coefficient)."""
    p_high = (agreement + 1) / 2
    p = np.zeros((*agreement.shape, 5))
    p[..., 4], p[..., 0] = p_high, 1 - p_high
    p[descending] = p[descending][..., ::-1]
    with np.errstate(divide="ignore"):
        return answers_of(np.log(np.maximum(p, 1e-12)))


def items() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four + and four - items, each in both anchor orders."""
    item = np.repeat(np.arange(8), 2)
    return item, np.where(item < 4, 1, -1), np.tile([False, True], 8)


def test_yea_saying_moves_both_keys_and_not_the_facet() -> None:
    item, key, descending = items()
    shift = np.array(GRID)[None, None] * np.ones((16, 2, 1))
    frame = facet_curve(likert(0.1 + shift, descending), item, key, descending)
    assert np.allclose(frame["value"], 0.0, atol=1e-6)
    assert np.allclose(frame["positive_items"], frame["negative_items"], atol=1e-6)
    assert np.ptp(frame["positive_items"].to_numpy()) == pytest.approx(0.4, abs=1e-6)


def test_a_trait_moves_the_facet_and_the_keys_apart() -> None:
    item, key, descending = items()
    shift = key[:, None, None] * np.array(GRID)[None, None] * np.array([1.0, 0.0])[:, None]
    frame = facet_curve(likert(shift, descending), item, key, descending)
    assert np.allclose(probe_values(frame), GRID, atol=1e-6)
    assert np.allclose(probe_values(frame, "random 1"), 0.0, atol=1e-6)


def test_a_label_preference_cancels_between_anchor_orders() -> None:
    item, key, descending = items()
    liking = np.where(descending, -0.6, 0.6)[:, None, None] * np.ones((16, 2, 5))
    frame = facet_curve(likert(liking, descending), item, key, descending)
    assert np.allclose(frame["value"], 0.0, atol=1e-6)
    assert np.allclose(frame["positive_items"], 0.0, atol=1e-6)


def test_the_interval_covers_the_scatter_of_items_within_keys() -> None:
    item, key, descending = items()
    own = np.repeat(np.random.default_rng(3).normal(0, 0.3, 8).clip(-0.9, 0.9), 2)
    frame = facet_curve(likert(own[:, None, None] * np.ones((16, 2, 5)), descending), item, key, descending)
    width = (frame["high"] - frame["low"]).to_numpy()
    assert np.all(width > 0.05)
    plus, minus = own[::2][:4], own[::2][4:]
    assert np.allclose(frame["value"], (plus.mean() - minus.mean()) / 2, atol=1e-6)


def test_items_of_one_key_are_refused() -> None:
    item, _, descending = items()
    with pytest.raises(DataError, match="one key only"):
        facet_curve(likert(np.zeros((16, 2, 5)), descending), item, np.ones(16, dtype=int), descending)
