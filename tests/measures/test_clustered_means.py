"""Means by condition with a bootstrap over questions, against hand-made numbers and scipy's bootstrap."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.clustered_means import clustered_means
from personascope.measures.intervals import means_interval

HOW = {"n_resamples": 4000, "seed": 0}


def answers(values: dict[str, list[float | None]], cell: str = "a") -> pl.DataFrame:
    rows = [{"cell": cell, "question": name, "score": value} for name, own in values.items() for value in own]
    return pl.DataFrame(rows, schema={"cell": pl.String, "question": pl.String, "score": pl.Float64})


def test_answers_to_one_question_are_averaged_first() -> None:
    found = clustered_means(answers({"q1": [1.0, 3.0], "q2": [8.0]}), "score", by=["cell"], cluster="question", **HOW)
    assert found["value"].to_list() == [5.0]  # and not (1 + 3 + 8) / 3
    assert found["n"].to_list() == [2]
    assert found.select("low", "high").row(0) == (2.0, 8.0)


def test_the_interval_is_that_of_a_bootstrap_over_questions() -> None:
    values = np.random.default_rng(1).normal(size=15)
    frame = answers({f"q{number}": [float(value)] * 3 for number, value in enumerate(values)})
    found = clustered_means(frame, "score", by=["cell"], cluster="question", **HOW)
    low, high = means_interval([values], [1.0], n_resamples=4000, seed=1)
    assert found["low"][0] == pytest.approx(low, abs=0.05)
    assert found["high"][0] == pytest.approx(high, abs=0.05)


def test_null_values_are_left_out_and_one_question_has_no_interval() -> None:
    frame = pl.concat([answers({"q1": [None, 2.0], "q2": [None]}), answers({"q1": [None]}, "b")])
    found = clustered_means(frame, "score", by=["cell"], cluster="question", **HOW)
    assert found.rows() == [("a", 2.0, None, None, 1), ("b", None, None, None, 0)]


def test_truth_values_are_shares() -> None:
    frame = answers({"q1": [1.0], "q2": [0.0]}).with_columns(pl.col("score") == 1)
    assert clustered_means(frame, "score", by=["cell"], cluster="question", **HOW)["value"].to_list() == [0.5]


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(DataError, match="score"):
        clustered_means(answers({"q": [1.0]}).drop("score"), "score", by=["cell"], cluster="question", **HOW)
