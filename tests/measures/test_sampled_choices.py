"""Sampled choices by persona against closed forms, planted answers and naive re-computations."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from personascope.errors import DataError
from personascope.measures.sampled_agreement import agreement_with_log_odds, sample_calibration
from personascope.measures.sampled_choices import (
    judge_agreement,
    sample_consistency,
    sampled_outcomes,
    shares_of_a,
)

TASKS = [f"t{number}" for number in range(6)]
VALUES = dict(zip(TASKS, np.linspace(2.0, -2.0, 6), strict=True))
ORDERED = list(itertools.permutations(TASKS, 2))


def answers(choose, samples: int = 3, persona: str = "p", ordered=ORDERED) -> pl.DataFrame:
    """One row per ordered pair and sample; `choose(first, second, sample)` says what happened."""
    rows = [
        {"persona": persona, "first": a, "second": b, "sample": s, "outcome": choose(a, b, s)}
        for a, b in ordered
        for s in range(samples)
    ]
    return pl.DataFrame(rows).with_columns(truncated=pl.lit(False), contradiction=pl.lit(False))


def by_value(a: str, b: str, _: int) -> str:
    return "first" if VALUES[a] > VALUES[b] else "second"


def by_place(*_) -> str:
    return "first"


def drawn(seed: int, bias: float = 0.0, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    return lambda a, b, s: (
        "first" if rng.random() < 1 / (1 + np.exp(-scale * (VALUES[a] - VALUES[b]) - bias)) else "second"
    )


def label_odds(bias: float = 0.0, persona: str = "p", sign: float = 1.0) -> pl.DataFrame:
    margin = np.array([sign * (VALUES[a] - VALUES[b]) + bias for a, b in ORDERED])
    logs = {"logprob_first": -np.log1p(np.exp(-margin)), "logprob_second": -np.log1p(np.exp(margin))}
    names = {"persona": persona, "first": [a for a, _ in ORDERED], "second": [b for _, b in ORDERED]}
    return pl.DataFrame({**names, **logs}).with_columns(other_logmass=pl.lit(-40.0))


def row_of(table: pl.DataFrame) -> dict:
    (row,) = table.to_dicts()
    return row


def test_shares_are_counts_over_answers_with_wilsons_interval_over_pairs() -> None:
    kinds = ("first", "second", "refusal", "other")
    table = sampled_outcomes(answers(lambda a, b, s: kinds[s], samples=4))
    shares = dict(table.select("what", "share").iter_rows())
    assert [shares[kind] for kind in kinds] == [0.25] * 4 and shares["p_first"] == 0.5 and shares["truncated"] == 0
    first = table.filter(pl.col("what") == "first").to_dicts()[0]
    n, z = 15, 1.959963985  # unordered pairs, not answers
    centre, half = 0.25 + z * z / (2 * n), z * np.sqrt(0.25 * 0.75 / n + z * z / (4 * n * n))
    assert (first["n"], first["n_pairs"], first["count"]) == (120, 15, 30)
    assert np.allclose(
        [first["low"], first["high"]], [(centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)]
    )


def test_refusals_are_in_the_shares_and_not_in_the_preference_for_a_place() -> None:
    table = sampled_outcomes(answers(lambda a, b, s: "refusal" if s else "first"))
    shares = dict(table.select("what", "share").iter_rows())
    assert shares["refusal"] == pytest.approx(2 / 3) and shares["p_first"] == 1.0
    nothing = sampled_outcomes(answers(lambda *_: "refusal")).filter(pl.col("what") == "p_first").to_dicts()[0]
    assert (nothing["share"], nothing["low"], nothing["n"]) == (None, None, 0)


def test_choosing_by_place_flips_every_pair_and_by_content_none() -> None:
    place, content = (row_of(sample_consistency(answers(how))) for how in (by_place, by_value))
    assert (place["flip_rate"], content["flip_rate"]) == (1.0, 0.0)
    assert place["agreement"] == content["agreement"] == 1.0
    assert (place["chance"], content["chance"]) == (1.0, 0.5)
    assert place["n_pairs"] == 15 and place["n_ordered"] == place["n_chosen"] == 30


def test_agreement_of_samples_is_that_of_all_pairs_of_samples() -> None:
    frame = answers(drawn(1), samples=5)
    found = row_of(sample_consistency(frame))
    per_pair, majority = [], []
    for _, part in frame.group_by("first", "second", maintain_order=True):
        took = part["outcome"].to_list()
        per_pair.append(np.mean([x == y for x, y in itertools.combinations(took, 2)]))
        majority.append(max(took.count("first"), took.count("second")) / 5)
    assert found["agreement"] == pytest.approx(np.mean(per_pair))
    assert found["majority"] == pytest.approx(np.mean(majority))


def test_coins_agree_by_chance_and_a_single_sample_says_nothing_of_agreement() -> None:
    coin = row_of(sample_consistency(answers(drawn(3, scale=0.0), samples=40)))
    assert abs(coin["agreement"] - coin["chance"]) < 0.02
    single = row_of(sample_consistency(answers(by_value, samples=1)))
    assert (single["agreement"], single["n_ordered"], single["flip_rate"]) == (None, 0, 0.0)


def test_the_judge_agrees_as_scikit_learn_counts_it() -> None:
    rng = np.random.default_rng(0)
    frame = answers(drawn(0)).with_columns(decided=pl.lit(True), judge_asked=pl.lit(True))
    read = frame["outcome"].to_list()
    heard = [
        ("refusal" if draw < 0.2 else None if draw < 0.3 else one)
        for one, draw in zip(read, rng.random(90), strict=True)
    ]
    frame = frame.with_columns(parsed_outcome=pl.col("outcome"), judged_outcome=pl.Series(heard))
    found = row_of(judge_agreement(frame))
    both = [(one, other) for one, other in zip(read, heard, strict=True) if other]
    assert found["agreement"] == pytest.approx(np.mean([one == other for one, other in both]))
    assert found["kappa"] == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)))
    assert (found["n"], found["n_judged"], found["n_unread"]) == (len(both), 90, heard.count(None))
    undecided = frame.with_columns(decided=pl.lit(False))
    assert row_of(judge_agreement(undecided))["n_settled"] == len(both) and row_of(judge_agreement(undecided))["n"] == 0


def test_content_agrees_with_the_corrected_sign_whatever_the_bias_of_the_labels() -> None:
    for bias in (0.0, 9.0):
        found = row_of(agreement_with_log_odds(answers(by_value), label_odds(bias), n_resamples=200))
        assert found["agreement_corrected"] == 1.0 and found["agreement_corrected_chance"] == pytest.approx(0.5)
        assert found["r"] > 0.8 and found["n_pairs"] == 15 and found["agreement_corrected_n"] == 90
    assert found["agreement_same_order"] == pytest.approx(0.5)  # labels always say the first
    turned = row_of(agreement_with_log_odds(answers(by_value), label_odds(sign=-1.0), n_resamples=200))
    assert turned["agreement_corrected"] == 0.0 and turned["r"] < -0.8


def test_a_shared_preference_for_a_place_is_agreement_at_chance() -> None:
    found = row_of(agreement_with_log_odds(answers(by_place), label_odds(9.0), n_resamples=200))
    assert found["agreement_same_order"] == found["agreement_same_order_chance"] == 1.0
    assert found["agreement_corrected"] == pytest.approx(0.5) == found["agreement_corrected_chance"]
    assert (found["r"], found["n_pairs"]) == (None, 15)  # every pair is split evenly


def test_which_task_of_a_pair_has_the_smaller_id_does_not_matter() -> None:
    renamed = dict(zip(TASKS, ["z", "b", "y", "a", "x", "c"], strict=True))
    frame, odds = answers(drawn(2)), label_odds()
    names = [pl.col(name).replace_strict(renamed) for name in ("first", "second")]
    one = row_of(agreement_with_log_odds(frame, odds, n_resamples=100))
    other = row_of(agreement_with_log_odds(frame.with_columns(names), odds.with_columns(names), n_resamples=100))
    for name in ("r", "agreement_corrected", "agreement_same_order", "agreement_corrected_chance", "n_pairs"):
        assert one[name] == pytest.approx(other[name]), name


def test_refusals_and_even_odds_take_no_part_in_agreement() -> None:
    frame = answers(lambda a, b, s: "refusal" if s else by_value(a, b, s))
    found = row_of(agreement_with_log_odds(frame, label_odds(), n_resamples=100))
    assert found["agreement_corrected_n"] == 30 and found["agreement_corrected"] == 1.0
    even = row_of(agreement_with_log_odds(frame, label_odds(sign=0.0), n_resamples=100))
    assert (even["agreement_corrected"], even["agreement_corrected_n"]) == (None, 0)


def test_the_interval_resamples_pairs_with_all_their_answers() -> None:
    few, many = (
        row_of(
            agreement_with_log_odds(
                answers(
                    lambda a, b, s: by_value(*sorted((a, b)), s) if "t0" in (a, b) else by_value(a, b, s), samples=n
                ),
                label_odds(),
                n_resamples=400,
            )
        )
        for n in (1, 8)
    )
    width = [one["agreement_corrected_high"] - one["agreement_corrected_low"] for one in (few, many)]
    assert width[0] == pytest.approx(width[1]) and width[0] > 0  # copies of an answer add nothing


def test_share_of_a_is_the_mean_of_both_orders() -> None:
    frame = answers(lambda a, b, s: "refusal" if (a < b and s) else "first", ordered=[("t0", "t1"), ("t1", "t0")])
    pairs, share = shares_of_a(frame)
    assert pairs == ["t0\tt1"] and share.tolist() == [0.5]
    lone, _ = shares_of_a(frame.filter(pl.col("first") == "t0"))
    assert lone == []


def test_pairs_without_log_odds_are_named() -> None:
    with pytest.raises(DataError, match=r"'q'.*'t0' and 't1'"):
        agreement_with_log_odds(answers(by_value, persona="q"), label_odds())


def test_hard_choices_need_one_sample_and_noisy_ones_more() -> None:
    hard = sample_calibration(answers(by_value), TASKS)
    assert hard["rank_r"].to_list() == pytest.approx([1.0] * 3)
    assert hard["rank_r_apart"].to_list()[:2] == pytest.approx([1.0] * 2) and hard["rank_r_apart"][2] is None
    noisy = sample_calibration(answers(drawn(5, scale=0.3), samples=5), TASKS)
    assert noisy["rank_r"][-1] == pytest.approx(1.0) and noisy["rank_r"][0] < noisy["rank_r"][3] <= 1.0
    assert noisy["k"].to_list() == list(range(1, 6)) and noisy["n_subsets"].to_list() == [5] * 4 + [1]
    assert noisy["n_answers"].to_list() == [30.0 * k for k in range(1, 6)]
    apart = [r for r in noisy["rank_r_apart"] if r is not None]
    assert np.mean(apart) < np.mean(noisy["rank_r"].to_list()[:-1])


def test_calibration_leaves_refusals_out_and_needs_whole_samples() -> None:
    table = sample_calibration(answers(lambda a, b, s: "refusal" if s == 1 else by_value(a, b, s)), TASKS)
    assert table["n_answers"].to_list() == [20.0, 40.0, 60.0] and table["n_subsets"][0] == 2
    nothing = sample_calibration(answers(lambda *_: "refusal"), TASKS)
    assert nothing["rank_r"].null_count() == 3
    with pytest.raises(DataError, match="2 to 3 samples"):
        sample_calibration(answers(by_value)[1:], TASKS)
    with pytest.raises(DataError, match="unknown task 't5'"):
        sample_calibration(answers(by_value), TASKS[:5])


@pytest.mark.parametrize("table", [sampled_outcomes, sample_consistency, lambda f: sample_calibration(f, TASKS)])
def test_bad_tables_are_refused(table) -> None:
    good = answers(by_value)
    with pytest.raises(DataError, match="Did you mean 'first'"):
        table(good.with_columns(outcome=pl.lit("frist")))
    with pytest.raises(DataError, match="more than once"):
        table(pl.concat([good, good[:1]]))
    with pytest.raises(DataError, match="no column 'outcome'"):
        table(good.drop("outcome"))


def test_personas_are_kept_apart() -> None:
    both = pl.concat([answers(by_place), answers(by_value, persona="q")])
    found = sample_consistency(both)
    assert found["persona"].to_list() == ["p", "q"] and found["flip_rate"].to_list() == [1.0, 0.0]
    odds = pl.concat([label_odds(), label_odds(persona="q")])
    agreed = agreement_with_log_odds(both, odds, n_resamples=100)
    assert agreed["agreement_corrected"].to_list() == pytest.approx([0.5, 1.0])
