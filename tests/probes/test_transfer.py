import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.bootstrap import draw_counts
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.nested import nested_ridge
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.probes.transfer import transfer_matrix

GROUPS = np.arange(160) // 4
D = 20


def personas(directions, *, noise=0.3, seed=0):
    """Each persona has features of its own and utilities along its direction of them."""
    rng = np.random.default_rng(seed)
    features, utilities = {}, {}
    for name, direction in directions.items():
        features[name] = rng.normal(size=(160, D))
        utilities[name] = features[name] @ direction + noise * rng.normal(size=160)
    return features, utilities


def matrix(features, utilities, **options):
    return transfer_matrix(features, utilities, GROUPS, layer=3, position="eot", **{"n_resamples": 300, **options})


def cell(found, train, test, name="r"):
    i, j = found.personas.index(train), found.personas.index(test)
    return getattr(found, name)[i, j]


def test_shared_opposite_and_unshared_directions_are_told_apart():
    one, other = np.eye(D)[0], np.eye(D)[1]
    found = matrix(*personas({"self": one, "same": one, "against": -one, "apart": other}))
    for train in found.personas:
        assert cell(found, train, train) > 0.85
    assert cell(found, "self", "same") > 0.85
    assert cell(found, "same", "self") > 0.85
    assert cell(found, "self", "against") < -0.85
    assert abs(cell(found, "self", "apart")) < 0.25
    assert cell(found, "self", "apart", "low") < 0 < cell(found, "self", "apart", "high")
    # features are a persona's own, so utilities agree by chance only: transfer is far above them
    assert cell(found, "self", "same", "difference_low") > 0.5
    assert cell(found, "self", "against", "difference_high") < -0.5


def test_a_probe_that_repeats_its_own_persona_is_not_above_the_utilities():
    # both personas see the same features; the second prefers something that no feature carries
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, D))
    u = X[:, 0]
    mixed = 0.6 * u + 0.8 * rng.normal(size=160)
    found = matrix({"a": X, "b": X}, {"a": u, "b": mixed})
    assert cell(found, "a", "b", "utility_r") == pytest.approx(np.corrcoef(u, mixed)[0, 1])
    assert cell(found, "a", "b", "difference") == pytest.approx(0.0, abs=0.05)
    assert cell(found, "a", "b", "difference_low") < 0.02


def test_tested_tasks_are_never_trained_on_under_another_persona():
    # the same random features and utilities for both: a probe that had seen the task would know the answer
    rng = np.random.default_rng(0)
    X, u = rng.normal(size=(160, 400)), rng.normal(size=160)
    found = matrix({"a": X, "b": X.copy()}, {"a": u, "b": u.copy()})
    assert np.abs(found.r).max() < 0.35
    assert found.utility_r == pytest.approx(np.ones((2, 2)))


def test_a_cell_is_the_pooled_out_of_fold_correlation():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[0] + np.eye(D)[1]})
    found = matrix(features, utilities, seed=4)
    numbers = fold_numbers(grouped_folds(GROUPS, 4, 4), 160)
    nested = nested_ridge(features["a"], utilities["a"][:, None], numbers, DEFAULT_ALPHAS, [features["b"]])
    assert cell(found, "a", "b") == pytest.approx(np.corrcoef(nested.elsewhere[0][:, 0], utilities["b"])[0, 1])
    assert cell(found, "a", "a") == pytest.approx(np.corrcoef(nested.predictions[:, 0], utilities["a"])[0, 1])


def test_intervals_resample_predictions_and_utilities_together():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[0] + np.eye(D)[1]}, noise=1.0)
    found = matrix(features, utilities, seed=4, n_resamples=200)
    numbers = fold_numbers(grouped_folds(GROUPS, 4, 4), 160)
    nested = nested_ridge(features["a"], utilities["a"][:, None], numbers, DEFAULT_ALPHAS, [features["b"]])
    predicted, gaps = nested.elsewhere[0][:, 0], []
    for counts in draw_counts(160, 200, 4).astype(int):
        rows = np.repeat(np.arange(160), counts)
        r = np.corrcoef(predicted[rows], utilities["b"][rows])[0, 1]
        gaps.append(r - np.corrcoef(utilities["a"][rows], utilities["b"][rows])[0, 1])
    expected = np.percentile(gaps, [2.5, 97.5])
    assert cell(found, "a", "b", "difference_low") == pytest.approx(expected[0])
    assert cell(found, "a", "b", "difference_high") == pytest.approx(expected[1])


def test_decompositions_grow_with_personas_not_with_pairs(decompositions):
    matrix(*personas({name: np.eye(D)[0] for name in "abc"}))
    assert len(decompositions) == 3 * 10


def test_the_frame_has_a_row_for_each_ordered_pair():
    found = matrix(*personas({"a": np.eye(D)[0], "b": np.eye(D)[1]}))
    frame = found.frame()
    differences = ["utility_r", "difference", "difference_low", "difference_high"]
    assert frame.columns == ["train", "test", "layer", "position", "r", "low", "high", *differences, "n"]
    assert list(zip(frame["train"], frame["test"], strict=True)) == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert frame["r"].to_list() == found.r.ravel().tolist()
    assert frame["n"].unique().to_list() == [160]
    assert frame["layer"].unique().to_list() == [3]


def test_personas_must_have_the_same_tasks():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[1]})
    with pytest.raises(DataError, match=r"Features of \['a', 'b'\], utilities of \['a'\]"):
        matrix(features, {"a": utilities["a"]})
    with pytest.raises(DataError, match="do not match"):
        matrix({**features, "b": features["b"][:-1]}, utilities)
    with pytest.raises(DataError, match="do not match"):
        matrix({**features, "b": features["b"][:-1]}, {**utilities, "b": utilities["b"][:-1]})
    with pytest.raises(DataError, match=r"Utilities of \['b'\] do not vary"):
        matrix(features, {**utilities, "b": np.ones(160)})
