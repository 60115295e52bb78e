"""Stated ratings: both anchor orders, expected ratings against a naive sum, and agreement with utilities."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

from word_engine import PERSONAS, POOL, TASKS, word_engine

from personascope.activations.collect import collect
from personascope.errors import DataError
from personascope.experiments.plans import answers_only
from personascope.experiments.stated_ratings import rating_agreement, rating_plan, rating_rows, stated_rating_table
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import LIKING, ORDERS, stated_rating_template

ENGINE = word_engine()


def test_rows_are_both_orders_of_every_task_and_both_resolve_to_the_same_tokens() -> None:
    rows = rating_rows(ENGINE, PERSONAS, TASKS)
    assert len(rows) == len({row.id for row in rows}) == len(PERSONAS) * len(TASKS) * 2
    ends = [row.prompt.text.splitlines()[-1] for row in rows]
    assert all(end.endswith("Rating: ") for end in ends)
    labels = [stated_rating_template(order).labels for order in ORDERS]
    assert len({resolve_options(ENGINE.tokenizer, end, own) for end in ends for own in labels}) == 1
    up, down = (next(row.prompt.text for row in rows if row.id == f"plain/t0/{order}") for order in ORDERS)
    assert f"1 = {LIKING[0]}" in up and f"1 = {LIKING[-1]}" in down and up != down


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    plan = rating_plan(ENGINE, PERSONAS, POOL, answers_only(4))
    assert plan.options is not None and plan.options.labels == tuple("1234567")
    return collect(plan, ENGINE, tmp_path_factory.mktemp("ratings"))


def test_expected_ratings_are_the_mean_over_both_orders(store) -> None:
    table = stated_rating_table(store)
    assert table.height == len(PERSONAS) * len(TASKS) and table["rating"].is_between(1, 7).all()
    p = np.exp(store.option_logprobs.astype(np.float64))
    expected: dict[tuple[str, str], dict[str, float]] = {}
    for row, masses in zip(store.rows.to_dicts(), p, strict=True):
        points = np.arange(1, 8) if row["order"] == "ascending" else np.arange(7, 0, -1)
        expected.setdefault((row["persona"], row["task"]), {})[row["order"]] = float(points @ masses / masses.sum())
    for one in table.to_dicts():
        naive = expected[one["persona"], one["task"]]
        assert one["rating"] == pytest.approx((naive["ascending"] + naive["descending"]) / 2, abs=1e-6)
        assert one["order_bias"] == pytest.approx((naive["ascending"] - naive["descending"]) / 2, abs=1e-6)
        assert 0 < one["label_mass"] < 1


def frames(noise: float = 0.0, n: int = 30) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(0)
    u = rng.normal(size=n)
    names = {"persona": ["p"] * n, "task": [f"t{k:02}" for k in range(n)]}
    return (
        pl.DataFrame({**names, "rating": 4 + 0.5 * u + noise * rng.normal(size=n)}),
        pl.DataFrame({**names, "utility": u, "topic": [f"topic{k % 5}" for k in range(n)]}),
    )


def test_agreement_is_pearsons_r_by_task_whatever_the_order_of_rows() -> None:
    ratings, utilities = frames(noise=0.5)
    (row,) = rating_agreement(ratings, utilities.reverse(), n_resamples=300).to_dicts()
    assert row["r"] == pytest.approx(stats.pearsonr(ratings["rating"], utilities["utility"]).statistic)
    assert row["rank_r"] == pytest.approx(stats.spearmanr(ratings["rating"], utilities["utility"]).statistic)
    assert row["low"] < row["r"] < row["high"] and row["n"] == 30
    (again,) = rating_agreement(ratings.reverse(), utilities, n_resamples=300).to_dicts()
    assert again == pytest.approx(row)


def test_constant_ratings_have_no_correlation_and_models_are_kept_apart() -> None:
    ratings, utilities = frames()
    (row,) = rating_agreement(ratings.with_columns(rating=pl.lit(4.0)), utilities).to_dicts()
    assert (row["r"], row["low"], row["n"]) == (None, None, 30)
    both = [pl.concat([f.select(pl.lit(m).alias("model"), pl.all()) for m in ("x", "y")]) for f in (ratings, utilities)]
    assert rating_agreement(*both, n_resamples=100)["model"].to_list() == ["x", "y"]


def test_tasks_of_only_one_table_and_too_few_are_named() -> None:
    ratings, utilities = frames()
    with pytest.raises(DataError, match="'t29'"):
        rating_agreement(ratings, utilities[:-1])
    with pytest.raises(DataError, match="rated 2 tasks"):
        rating_agreement(ratings[:2], utilities[:2])
    with pytest.raises(DataError, match="more than once"):
        rating_agreement(pl.concat([ratings, ratings[:1]]), utilities)
