import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.stats import entropy

from personascope.errors import ActivationError, DataError
from personascope.measures.likert import item_answers, score_likert


def answers(masses, descending, n_options=None):
    masses = np.array(masses, dtype=float)
    with np.errstate(divide="ignore"):
        logprobs, other = np.log(masses), np.log(np.maximum(0, 1 - masses.sum(axis=1)))
    return score_likert(logprobs, other, n_options=n_options or masses.shape[1], descending=np.array(descending))


def test_each_label_of_five_maps_to_its_fifth_of_the_scale():
    scored = answers(np.eye(5), [False] * 5)
    np.testing.assert_allclose(scored.agreement, [-1, -0.5, 0, 0.5, 1], atol=1e-12)
    np.testing.assert_allclose(answers(np.eye(5), [True] * 5).agreement, [1, 0.5, 0, -0.5, -1], atol=1e-12)
    np.testing.assert_allclose(scored.entropy, 0, atol=1e-12)


def test_expected_score_is_taken_over_the_labels_alone_and_their_mass_is_reported():
    scored = answers([[0.1, 0.0, 0.0, 0.2, 0.1]], [False])
    expected = (1 * 0.25 + 4 * 0.5 + 5 * 0.25 - 1) / 4 * 2 - 1
    np.testing.assert_allclose(scored.agreement, [expected])
    np.testing.assert_allclose(scored.label_mass, [0.4])
    np.testing.assert_allclose(scored.entropy, [entropy([0.25, 0.5, 0.25])])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(1e-3, 1.0), min_size=2, max_size=9), st.floats(0.05, 0.99))
def test_reversing_labels_and_anchors_together_changes_nothing(raw, mass):
    p = mass * np.array(raw) / sum(raw)
    up, down = answers([p], [False]), answers([p[::-1]], [True])
    np.testing.assert_allclose(up.agreement, down.agreement, atol=1e-12)
    np.testing.assert_allclose(up.entropy, down.entropy, atol=1e-12)
    np.testing.assert_allclose(answers([p], [True]).agreement, -up.agreement, atol=1e-12)


def test_float32_log_probabilities_are_scored():
    p = np.full((3, 5), 0.18, dtype=np.float32)
    scored = score_likert(
        np.log(p), np.log(np.full(3, 0.1, dtype=np.float32)), n_options=5, descending=np.zeros(3, dtype=bool)
    )
    np.testing.assert_allclose(scored.agreement, 0, atol=1e-6)
    assert scored.frame().columns == ["agreement", "label_mass", "entropy"]
    assert scored.frame().height == 3


@pytest.mark.parametrize("where", ["option", "other"])
def test_nan_is_refused_with_its_row(where):
    logprobs, other = np.log(np.full((3, 2), 0.4)), np.log(np.full(3, 0.2))
    (logprobs if where == "option" else other)[1] = np.nan
    with pytest.raises(ActivationError, match="Row 1 has NaN"):
        score_likert(logprobs, other, n_options=2, descending=np.zeros(3, dtype=bool))


def test_logits_and_rows_without_label_mass_are_refused():
    no = np.zeros(1, dtype=bool)
    with pytest.raises(ActivationError, match="Row 0 puts probability"):
        score_likert(np.array([[3.0, 900.0]]), np.array([1.0]), n_options=2, descending=no)
    with pytest.raises(ActivationError, match="Row 0 puts probability 0 "):
        score_likert(np.full((1, 2), -np.inf), np.zeros(1), n_options=2, descending=no)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ActivationError, match="n_options 4"):
        answers([[0.2] * 5], [False], n_options=4)
    with pytest.raises((ActivationError, TypeCheckError)):  # TypeCheckError where annotations are enforced
        answers([[0.2] * 5], [False, True])


def frame(rows):
    return pl.DataFrame(rows, schema=["persona", "item", "order", "agreement", "label_mass"], orient="row")


def test_orders_are_averaged_and_half_their_difference_is_the_order_bias():
    table = item_answers(
        frame(
            [
                ("self", "b", "descending", 0.2, 0.5),
                ("self", "a", "ascending", 0.5, 0.9),
                ("self", "b", "ascending", -0.4, 0.7),
                ("self", "a", "descending", 0.5, 0.9),
            ]
        )
    )
    assert table["item"].to_list() == ["b", "a"]
    np.testing.assert_allclose(table["agreement"], [-0.1, 0.5])
    np.testing.assert_allclose(table["order_bias"], [-0.3, 0.0])
    np.testing.assert_allclose(table["label_mass"], [0.6, 0.9])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("self", "a", "ascending", 0.0, 1.0)], "Item 'a' of persona 'self' has no descending answer"),
        ([("self", "a", "descending", 0.0, 1.0)], "Item 'a' of persona 'self' has no ascending answer"),
        ([("self", "a", "ascending", 0.0, 1.0)] * 2, "occurs more than once"),
        ([("self", "a", "ascendign", 0.0, 1.0)], "Did you mean 'ascending'"),
        ([("self", "a", "ascending", float("nan"), 1.0)], "Row 0 has a missing or non-finite value"),
        ([("self", "a", "ascending", 0.0, None)], "Row 0 has a missing or non-finite value"),
    ],
)
def test_answers_that_cannot_be_averaged_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        item_answers(frame(rows))
