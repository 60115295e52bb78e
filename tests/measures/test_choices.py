import itertools

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, log_expit

from personascope.errors import ActivationError, DataError
from personascope.measures.choices import choice_table, order_bias

UTILITY = {"a": 1.2, "b": 0.1, "c": -0.4, "d": -1.0}


def asked(content, position, mass=0.8, persona="self"):
    """Every ordered pair of the four tasks, answered with log-odds content * (u_first - u_second) + position."""
    rows = []
    for first, second in itertools.permutations(UTILITY, 2):
        odds = content * (UTILITY[first] - UTILITY[second]) + position
        rows.append(
            {
                "persona": persona,
                "first": first,
                "second": second,
                "logprob_first": np.log(mass) + log_expit(odds),
                "logprob_second": np.log(mass) + log_expit(-odds),
                "other_logmass": np.log1p(-mass) if mass < 1 else -np.inf,
            }
        )
    return pl.DataFrame(rows)


def test_content_and_position_are_taken_apart():
    table = choice_table(asked(1.0, 0.7))
    assert table.height == 6
    for row in table.iter_rows(named=True):
        assert row["task_a"] < row["task_b"]
        assert row["log_odds_a"] == pytest.approx(UTILITY[row["task_a"]] - UTILITY[row["task_b"]])
        assert row["position_bias"] == pytest.approx(0.7)
        assert row["label_mass"] == pytest.approx(0.8)


def test_a_content_stub_has_no_position_bias():
    summary = order_bias(choice_table(asked(1.0, 0.0)), n_resamples=100).row(0, named=True)
    assert summary["position_bias"] == pytest.approx(0)
    assert summary["flip_share"] == 0
    assert summary["p_first"] == pytest.approx(0.5)


def test_a_stub_that_takes_what_comes_first_has_no_preference():
    table = choice_table(asked(0.0, 3.0, mass=1.0))
    np.testing.assert_allclose(table["log_odds_a"], 0, atol=1e-12)
    summary = order_bias(table, n_resamples=100).row(0, named=True)
    assert summary["position_bias"] == pytest.approx(3.0)
    assert summary["flip_share"] == 1.0
    assert summary["p_first"] == pytest.approx(expit(3.0))
    assert summary["sd_log_odds"] == pytest.approx(0, abs=1e-12)
    assert summary["label_mass"] == pytest.approx(1.0)


def test_the_summary_counts_flips_and_probabilities_as_the_raw_rows_do():
    raw = asked(1.0, 0.6)
    log_odds = (raw["logprob_first"] - raw["logprob_second"]).to_numpy()
    chosen = [f if o > 0 else s for f, s, o in zip(raw["first"], raw["second"], log_odds, strict=True)]
    by_pair: dict[frozenset[str], set[str]] = {}
    for first, second, task in zip(raw["first"], raw["second"], chosen, strict=True):
        by_pair.setdefault(frozenset((first, second)), set()).add(task)
    flips = np.mean([len(tasks) == 2 for tasks in by_pair.values()])
    summary = order_bias(choice_table(raw), n_resamples=100).row(0, named=True)
    assert 0 < flips < 1
    assert summary["flip_share"] == pytest.approx(flips)
    assert summary["p_first"] == pytest.approx(expit(log_odds).mean())
    assert summary["n_pairs"] == 6
    assert summary["sd_log_odds"] == pytest.approx(choice_table(raw)["log_odds_a"].std())


def test_the_interval_of_the_position_bias_is_about_two_standard_errors_wide():
    rng = np.random.default_rng(0)
    bias = rng.normal(0.5, 1.0, 400)
    pairs = pl.DataFrame(
        {
            "persona": ["self"] * 400,
            "task_a": [f"a{i:03d}" for i in range(400)],
            "task_b": [f"b{i:03d}" for i in range(400)],
            "log_odds_a": rng.normal(size=400),
            "position_bias": bias,
            "label_mass": [0.9] * 400,
        }
    )
    row = order_bias(pairs).row(0, named=True)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * bias.std() / 20, rel=0.1)
    shuffled = order_bias(pairs.sample(fraction=1.0, shuffle=True, seed=1)).row(0, named=True)
    assert shuffled["low"] == pytest.approx(row["low"])


def test_personas_are_kept_apart_and_a_single_pair_has_no_interval():
    both = pl.concat([asked(1.0, 1.0, persona="evil"), asked(1.0, -1.0)])
    table = choice_table(both)
    summary = order_bias(table, n_resamples=100)
    assert summary["persona"].to_list() == ["evil", "self"]
    np.testing.assert_allclose(summary["position_bias"], [1.0, -1.0])
    single = order_bias(table.head(1)).row(0, named=True)
    assert (single["low"], single["high"], single["sd_log_odds"]) == (None, None, None)


def test_a_pair_that_lacks_an_order_is_named():
    raw = asked(1.0, 0.0)
    for first, second in (("a", "b"), ("b", "a")):
        lacking = raw.filter((pl.col("first") != first) | (pl.col("second") != second))
        with pytest.raises(DataError, match=f"never asked with '{first}' first and '{second}' second"):
            choice_table(lacking)


def test_rows_that_are_no_choice_are_refused():
    raw = asked(1.0, 0.0)
    with pytest.raises(DataError, match="compared with itself"):
        choice_table(raw.with_columns(second=pl.col("first")).unique(["first"]))
    with pytest.raises(DataError, match="more than once"):
        choice_table(pl.concat([raw, raw.head(1)]))
    with pytest.raises(DataError, match="Row 0 has a missing or non-finite"):
        choice_table(raw.with_columns(logprob_first=pl.lit(-np.inf)))
    with pytest.raises(ActivationError, match="Row 0 puts probability"):
        choice_table(raw.with_columns(other_logmass=pl.lit(0.0)))
