"""Flips: the four cases of patching by hand, rates against plain loops."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint

from personascope.errors import ActivationError, DataError
from personascope.steering.flips import ablation_flips, flip_rates, patching_flips

FIRST, SECOND = np.array([10, 20, 30, 40]), np.array([20, 10, 40, 30])


def logprobs(labels: np.ndarray | list[int] | list[list[int]]) -> np.ndarray:
    """Log-probabilities of .7 for the given label and .2 for the other."""
    taken = np.asarray(labels)
    return np.log(np.where(taken[..., None] == np.arange(2), 0.7, 0.2))


def cases(before: list[int], after: list[list[int]], **settings: np.ndarray) -> pl.DataFrame:
    layers = list(range(len(after[0])))
    return patching_flips(logprobs(before), logprobs(after), FIRST, SECOND, layers, **settings)


# tasks 10 and 20: task 10 in both orders (labels 0 and 1); tasks 30 and 40: the first in both (tasks 30 and 40)
BEFORE = [0, 1, 0, 0]


def test_the_four_cases() -> None:
    table = cases(BEFORE, [[0, 1], [1, 0], [0, 1], [0, 1]])
    assert table.filter(pl.col("layer") == 0).select("donor_label", "donor_task", "task_before").rows() == [
        (1, 10, 10),
        (0, 10, 10),
        (0, 40, 30),
        (0, 30, 40),
    ]
    kept, moved = (table.filter(pl.col("layer") == layer) for layer in (0, 1))
    assert kept["outcome"].to_list() == ["unchanged"] * 4
    assert moved["outcome"].to_list() == ["takes donor's label"] * 2 + ["takes donor's task"] * 2
    assert moved["task_after"].to_list() == [20, 20, 40, 30]
    assert moved["takes_label"].to_list() == [True, True, None, None]
    assert moved["takes_task"].to_list() == [None, None, True, True]
    assert kept["takes_label"].to_list() == [False, False, None, None]
    assert moved["kind"].to_list() == ["genuine"] * 4


def test_what_is_carried_out_tells_genuine_flips_from_new_labels() -> None:
    done_before = np.array([10, 10, 30, 40])
    done_after = np.array([[20], [10], [40], [-1]])
    table = cases(BEFORE, [[1], [0], [0], [0]], carried_out_before=done_before, carried_out_after=done_after)
    assert table["kind"].to_list() == ["genuine", "label only", "content only", "content only"]
    assert table["takes_task"].to_list() == [None, None, True, False]
    assert table["outcome"].to_list() == [
        "takes donor's label",
        "takes donor's label",
        "takes donor's task",
        "neither is the donor's",
    ]


def test_label_and_task_can_both_be_the_donors() -> None:
    done = np.array([20, 10, 30, 30])  # row 0 says 10 and does 20
    table = cases([0, 1, 0, 1], [[1]] * 4, carried_out_before=done, carried_out_after=np.array([[10]] * 4))
    assert table["outcome"][0] == "takes both"


def test_a_donor_that_did_neither_task_has_no_task_to_give() -> None:
    done = np.array([10, -1, 30, 40])
    table = cases(BEFORE, [[0]] * 4, carried_out_before=done, carried_out_after=done[:, None])
    assert table["takes_task"].to_list() == [None, False, False, False]


def test_rates_count_rows_that_can_show_them_by_layer() -> None:
    rates = flip_rates(cases(BEFORE, [[0, 1], [1, 1], [0, 1], [0, 0]]))
    found = {(r["layer"], r["what"]): (r["rate"], r["n"], r["n_pairs"]) for r in rates.iter_rows(named=True)}
    assert found[0, "label flips"] == (0.0, 4, 2)
    assert found[1, "label flips"] == found[1, "content flips"] == found[1, "genuine flips"] == (0.5, 4, 2)
    assert found[1, "label-only flips"] == (0.0, 4, 2)
    assert found[1, "takes donor's label"] == found[1, "takes donor's task"] == (0.5, 2, 1)
    row = rates.filter((pl.col("layer") == 1) & (pl.col("what") == "label flips")).row(0, named=True)
    assert (row["low"], row["high"]) == pytest.approx(proportion_confint(1, 2, method="wilson"))


def test_a_rate_without_rows_is_null() -> None:
    rates = flip_rates(cases([0, 0, 0, 0], [[0]] * 4))
    row = rates.filter(pl.col("what") == "takes donor's label").row(0, named=True)
    assert (row["rate"], row["low"], row["bootstrap_high"], row["n"]) == (None, None, None, 0)


def random_rows(n_pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    one, other = np.arange(n_pairs), n_pairs + np.arange(n_pairs)
    rng = np.random.default_rng(seed)
    order = rng.permutation(2 * n_pairs)
    return np.concatenate([one, other])[order], np.concatenate([other, one])[order], rng


def test_the_bootstrap_keeps_both_orders_of_a_pair_together() -> None:
    first, second, rng = random_rows(40, 3)
    before = logprobs(rng.integers(0, 2, 80))
    moves = rng.random(40) < 0.5  # both orders of a pair flip, or none
    labels = np.where(moves[np.minimum(first, second)], 1 - before.argmax(axis=1), before.argmax(axis=1))
    rates = flip_rates(patching_flips(before, logprobs(labels[:, None]), first, second, [0]), n_resamples=4000)
    row = rates.row(0, named=True)
    naive = np.quantile([rng.choice(moves, 40).mean() for _ in range(4000)], [0.025, 0.975])
    assert row["rate"] == pytest.approx(moves.mean())
    assert (row["bootstrap_low"], row["bootstrap_high"]) == pytest.approx(naive, abs=0.026)
    # among the pairs whose donor gives the other label, of which each resample has another number
    label = dict(zip(zip(first.tolist(), second.tolist(), strict=True), before.argmax(axis=1), strict=True))
    able = np.array([label[k, 40 + k] != label[40 + k, k] for k in range(40)])
    drawn = rng.integers(40, size=(4000, 40))
    naive = np.quantile((moves & able)[drawn].sum(axis=1) / able[drawn].sum(axis=1), [0.025, 0.975])
    row = rates.filter(pl.col("what") == "takes donor's label").row(0, named=True)
    assert (row["n"], row["n_pairs"]) == (2 * able.sum(), able.sum())
    assert (row["bootstrap_low"], row["bootstrap_high"]) == pytest.approx(naive, abs=0.03)


def test_ablation_agreement_and_swap_flips_by_hand() -> None:
    after = np.stack([[0, 1, 0, 0], [0, 0, 0, 1]], axis=1)
    table = ablation_flips(
        logprobs(BEFORE),
        logprobs(after),
        FIRST,
        SECOND,
        directions=["probe", "random 1"],
        kinds=["probe", "isotropic"],
    )
    assert table["direction"].to_list() == ["none", "probe", "random 1"]
    assert table["control"].to_list() == ["baseline", "probe", "isotropic"]
    assert table["agreement"].to_list() == [1.0, 1.0, 0.5]
    assert table["swap_flips"].to_list() == [0.5, 0.5, 0.5]
    assert table["swap_flips_change"].to_list() == [0.0, 0.0, 0.0]
    assert (table["n"][0], table["n_pairs"][0]) == (4, 2)
    assert table["agreement_low"][2] == pytest.approx(proportion_confint(1, 2, method="wilson")[0])


def test_ablation_intervals_are_those_of_a_plain_loop_in_any_order_of_rows() -> None:
    first, second, rng = random_rows(50, 8)
    before, after = rng.integers(0, 2, 100), rng.integers(0, 2, (100, 1))
    table = ablation_flips(
        logprobs(before), logprobs(after), first, second, directions=["probe"], kinds=["probe"], n_resamples=3000
    )
    row = {(f, s): k for k, (f, s) in enumerate(zip(first.tolist(), second.tolist(), strict=True))}
    both = [(row[k, 50 + k], row[50 + k, k]) for k in range(50)]
    agree = np.array([np.mean([after[k, 0] == before[k] for k in rows]) for rows in both])
    flips = np.array([[float(x[i] == x[j]) for i, j in both] for x in (before, after[:, 0])])
    assert table["agreement"][1] == pytest.approx(agree.mean())
    assert table["swap_flips"].to_list() == pytest.approx(flips.mean(axis=1).tolist())
    drawn = rng.integers(50, size=(3000, 50))
    naive = np.quantile((flips[1] - flips[0])[drawn].mean(axis=1), [0.025, 0.975])
    found = table.row(1, named=True)
    assert (found["swap_flips_change_low"], found["swap_flips_change_high"]) == pytest.approx(naive, abs=0.021)
    naive = np.quantile(agree[drawn].mean(axis=1), [0.025, 0.975])
    assert (found["agreement_bootstrap_low"], found["agreement_bootstrap_high"]) == pytest.approx(naive, abs=0.021)


def test_rows_without_a_donor_are_refused() -> None:
    before, after = logprobs([0, 1]), logprobs([[0], [1]])
    with pytest.raises(DataError, match="without their other order"):
        patching_flips(before, after, np.array([1, 3]), np.array([2, 4]), [0])
    with pytest.raises(DataError, match="2 rows of 1 different"):
        patching_flips(before, after, np.array([1, 1]), np.array([1, 1]), [0])


def test_half_known_writings_wrong_layers_and_nan_are_refused() -> None:
    with pytest.raises(DataError, match="one side only"):
        cases(BEFORE, [[0]] * 4, carried_out_before=np.array([10, 10, 30, 40]))
    with pytest.raises(DataError, match="2 layers"):
        patching_flips(logprobs(BEFORE), logprobs([[0]] * 4), FIRST, SECOND, [0, 1])
    with pytest.raises(DataError, match="for 2 directions"):
        ablation_flips(logprobs(BEFORE), logprobs([[0]] * 4), FIRST, SECOND, directions=["a", "b"], kinds=["a", "b"])
    broken = logprobs([[0]] * 4)
    broken[2, 0, 1] = np.nan
    with pytest.raises(ActivationError, match=r"first at \[2, 0\]"):
        patching_flips(logprobs(BEFORE), broken, FIRST, SECOND, [0])
