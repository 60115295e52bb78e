import numpy as np
import polars as pl
import pytest
from benchmarks.respondents import (
    ask,
    bank,
    by_index,
    content_free,
    content_responder,
    even,
    first_position,
    one_lover,
    softened,
    yea_sayer,
)
from jaxtyping import TypeCheckError
from scipy.special import logsumexp

from personascope.errors import DataError
from personascope.measures.bias import bias_panel
from personascope.measures.label_prior import label_prior, subtract_prior

QUICK = {"n_resamples": 200, "seed": 0}


def test_the_prior_of_an_even_and_of_a_fixed_answer():
    styles = {
        "even": even,
        "first": first_position,
        "yea": yea_sayer,
    }
    table = label_prior(content_free(styles))
    found = {(row["persona"], row["index"]): row["value"] for row in table.iter_rows(named=True)}
    assert found["even", "prior_kl"] == pytest.approx(0, abs=1e-12)
    assert found["first", "prior_kl"] == pytest.approx(np.log(5))
    assert (found["first", "prior_order_bias"], found["first", "prior_agreement"]) == (
        pytest.approx(-1),
        pytest.approx(0, abs=1e-9),
    )
    assert found["yea", "prior_agreement"] == pytest.approx(1)
    assert table["low"].null_count() == table.height
    assert set(table["n"]) == {1}


def test_several_placeholders_give_the_prior_an_interval():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(5, 3.0), size=8)
    frame = pl.DataFrame(
        {
            "persona": ["self"] * 8,
            "item": [f"blank{i // 2}" for i in range(8)],
            "order": ["ascending", "descending"] * 4,
            "option_probabilities": (0.5 * p).tolist(),  # need not sum to 1
        }
    )
    row = label_prior(frame).row(0, named=True)
    assert row["value"] == pytest.approx(np.mean([(q * np.log(5 * q)).sum() for q in p]))
    assert row["low"] < row["value"] < row["high"]
    assert row["n"] == 4


def test_subtracting_the_prior_gives_back_the_content_and_both_are_reported():
    plain, lover = softened(content_responder()), one_lover(1.5, softened(content_responder()))
    items = bank()
    answers, blank = (
        ask({"one": lover}, items),
        content_free({"one": one_lover(1.5, even)}),
    )
    biased = by_index(bias_panel(answers, prior=blank, **QUICK), "one")
    clean = by_index(bias_panel(ask({"one": plain}, items), **QUICK), "one")
    assert biased["order_bias"]["value"] < -0.1
    assert biased["order_bias"]["value"] == by_index(bias_panel(answers, **QUICK), "one")["order_bias"]["value"]
    assert biased["order_bias_without_prior"]["value"] == pytest.approx(0, abs=1e-9)
    assert biased["trait_without_prior"]["value"] == pytest.approx(clean["trait"]["value"])
    assert biased["trait"]["value"] != pytest.approx(clean["trait"]["value"], abs=1e-3)
    assert biased["prior_order_bias"]["value"] < -0.1


def test_subtraction_in_logit_space_keeps_the_mass_and_the_odds_that_the_prior_does_not_touch():
    rng = np.random.default_rng(1)
    p = 0.7 * rng.dirichlet(np.ones(5), size=6)
    q = rng.dirichlet(np.ones(5))
    found = subtract_prior(np.log(p), np.log(q))
    np.testing.assert_allclose(logsumexp(found, axis=1), np.log(0.7))
    expected = p / q
    np.testing.assert_allclose(np.exp(found), 0.7 * expected / expected.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(subtract_prior(np.log(p), np.log(np.full(5, 0.2))), np.log(p))
    np.testing.assert_allclose(subtract_prior(found, -np.log(q)), np.log(p))
    np.testing.assert_allclose(subtract_prior(np.log(p), np.log(np.tile(0.01 * q, (6, 1)))), found)


def test_a_prior_that_cannot_be_subtracted_is_refused():
    answers, blank = ask({"first": first_position}, bank()), content_free({"first": first_position})
    with pytest.raises(DataError, match="not finite"):
        bias_panel(answers, prior=blank, **QUICK)
    with pytest.raises(DataError, match="no column 'option_probabilities'"):
        bias_panel(answers.drop("option_probabilities"), prior=blank, **QUICK)
    soft = content_free({"other": softened(first_position)})
    with pytest.raises(DataError, match="no label prior of persona 'first'"):
        bias_panel(answers, prior=soft, **QUICK)
    with pytest.raises(DataError, match="descending"):
        label_prior(soft.filter(pl.col("order") == "ascending"))
    with pytest.raises((DataError, TypeCheckError)):  # TypeCheckError where annotations are enforced
        subtract_prior(np.zeros((2, 5)), np.zeros(4))
    ragged = pl.DataFrame(
        {
            "persona": ["a", "a"],
            "order": ["ascending", "descending"],
            "option_probabilities": [[1.0, 0.0], [1.0, 0.0, 0.0]],
        }
    )
    with pytest.raises(DataError, match=r"lengths \[2, 3\]"):
        label_prior(ragged)
