import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.probes.bootstrap import draw_counts
from personascope.probes.evaluate import fit_direction_weights
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


def resampled_rows(seed, n_resamples):
    for counts in draw_counts(40, n_resamples, seed).astype(int):
        yield np.repeat(np.arange(160), counts[GROUPS])


def test_intervals_resample_whole_groups_of_predictions_and_utilities_together():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[0] + np.eye(D)[1]}, noise=1.0)
    found = matrix(features, utilities, seed=4, n_resamples=200, reliabilities={"a": 0.64, "b": 0.81})
    predicted, r, gaps, corrected = found.predictions[:, 0, 1], [], [], []
    for rows in resampled_rows(4, 200):
        r.append(np.corrcoef(predicted[rows], utilities["b"][rows])[0, 1])
        agreement = np.corrcoef(utilities["a"][rows], utilities["b"][rows])[0, 1]
        gaps.append(r[-1] - agreement)
        corrected.append(r[-1] / 0.9 - agreement / 0.72)
    for name, values in (("", r), ("difference_", gaps), ("difference_corrected_", corrected)):
        expected = np.percentile(values, [2.5, 97.5])
        assert cell(found, "a", "b", name + "low") == pytest.approx(expected[0])
        assert cell(found, "a", "b", name + "high") == pytest.approx(expected[1])
    assert found.resampled()[:, 0, 1] == pytest.approx(np.array(r))


def test_tasks_that_come_in_copies_are_not_taken_for_independent_ones():
    features, utilities = personas({"a": np.eye(D)[0]}, noise=2.0)
    copies = [{name: np.repeat(rows[:40], 4, axis=0) for name, rows in part.items()} for part in (features, utilities)]
    one = [{name: rows[:40] for name, rows in part.items()} for part in (features, utilities)]
    many = matrix(*copies, alphas=[100.0])
    few = transfer_matrix(*one, np.arange(40), layer=0, position="eot", n_resamples=300, alphas=[25.0])
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.02)


def test_transfer_along_a_shared_direction_is_what_the_persona_itself_allows_however_utilities_agree():
    rng = np.random.default_rng(0)
    for agreement in (-0.8, 0.0, 0.8):
        common, own = rng.normal(size=(2, 160))
        utilities = {"a": common, "b": agreement * common + np.sqrt(1 - agreement**2) * own}
        features = {name: rng.normal(size=(160, D)) + 2 * np.outer(u, np.eye(D)[0]) for name, u in utilities.items()}
        found = matrix(features, utilities)
        assert cell(found, "a", "b") == pytest.approx(cell(found, "b", "b"), abs=0.03)
        assert cell(found, "a", "b") > 0.8


def test_correction_recovers_correlations_of_what_is_measured():
    # truth and errors of equal size, exactly uncorrelated: reliability .5 for both, who agree wholly in truth
    rng = np.random.default_rng(0)
    parts = np.linalg.qr(np.column_stack([np.ones(160), rng.normal(size=(160, 3))]))[0][:, 1:] * np.sqrt(160)
    true, errors = parts[:, 0], {"a": parts[:, 1], "b": parts[:, 2]}
    features = {name: rng.normal(size=(160, 2)) + 10 * np.outer(true, np.eye(2)[0]) for name in "ab"}
    utilities = {name: true + error for name, error in errors.items()}
    found = matrix(features, utilities, reliabilities={"a": 0.5, "b": 0.5})
    assert cell(found, "a", "b", "utility_r") == pytest.approx(0.5)
    assert cell(found, "a", "b") == pytest.approx(np.sqrt(0.5), abs=0.04)
    assert cell(found, "a", "b", "difference_low") > 0.05
    assert cell(found, "a", "b", "r_corrected") == pytest.approx(1.0, abs=0.06)
    assert cell(found, "a", "b", "utility_r_corrected") == pytest.approx(1.0)
    assert cell(found, "a", "b", "difference_corrected") == pytest.approx(0.0, abs=0.06)
    assert cell(found, "a", "b", "difference_corrected_low") < 0 < cell(found, "a", "b", "difference_corrected_high")
    assert np.diag(found.utility_r_corrected) == pytest.approx(np.ones(2))
    assert np.diag(found.utility_r_corrected_low) == pytest.approx(np.ones(2))


def test_values_above_one_stay_and_hopeless_reliabilities_give_none():
    features, utilities = personas({name: np.eye(D)[0] for name in "abcd"})
    given = {"a": 0.25, "b": 0.0999, "c": -0.2, "d": np.nan}
    frame = matrix(features, utilities, reliabilities=given).frame().filter(pl.col("train") == "a")
    names = ["r_corrected", "r_corrected_low", "difference_corrected", "utility_r_corrected_high"]
    assert frame["r_corrected"].to_list() == [pytest.approx(2 * frame["r"][0]), None, None, None]
    assert frame["r_corrected"][0] > 1
    for name in names:
        assert frame[name].null_count() == 3, name
    without = matrix(features, utilities).frame()
    assert all(without[name].null_count() == 16 for name in names)


def test_within_groups_is_the_correlation_without_group_means():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[0]}, noise=1.0)
    found = matrix(features, utilities)
    rest = [values.copy() for values in (found.predictions[:, 0, 1], utilities["b"])]
    for values in rest:
        for group in range(40):
            values[group == GROUPS] -= values[group == GROUPS].mean()
    assert cell(found, "a", "b", "within_group") == pytest.approx(np.corrcoef(*rest)[0, 1])
    topics = matrix(features, utilities | {"b": np.random.default_rng(0).normal(size=40)[GROUPS]}).frame()
    assert topics["within_group"].is_null().to_list() == [False, True, False, True]


def test_the_encoder_goes_through_the_same_transfer_and_its_difference_is_paired():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[0]}, noise=0.5)
    rng = np.random.default_rng(9)
    texts = {name: np.column_stack([u, rng.normal(size=(160, 7))]) for name, u in utilities.items()}
    texts = {name: rows + rng.normal(size=(160, 8)) for name, rows in texts.items()}
    reversed_order = dict(reversed(texts.items()))
    found = matrix(features, utilities, text_features=reversed_order, seed=2)
    alone = matrix(texts, utilities, seed=2)
    assert found.encoder_r == pytest.approx(alone.r)
    assert found.encoder_low == pytest.approx(alone.low)
    assert found.encoder_high == pytest.approx(alone.high)
    assert found.over_encoder == pytest.approx(found.r - alone.r)
    expected = np.percentile(found.resampled() - alone.resampled(), [2.5, 97.5], axis=0)
    assert found.over_encoder_low == pytest.approx(expected[0])
    assert found.over_encoder_high == pytest.approx(expected[1])
    assert matrix(features, utilities).frame()["encoder_r"].null_count() == 4
    with pytest.raises(DataError, match=r"Features of \['a'\]"):
        matrix(features, utilities, text_features={"a": texts["a"]})
    with pytest.raises(DataError, match="do not match"):
        matrix(features, utilities, text_features={**texts, "b": texts["b"][:-1]})


def test_weights_are_those_of_a_probe_on_all_tasks():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[1]})
    found = matrix(features, utilities, seed=3)
    for number, name in enumerate("ab"):
        expected = fit_direction_weights(features[name], utilities[name], GROUPS, seed=3)
        assert found.weights[number] == pytest.approx(expected)


def test_decompositions_grow_with_personas_not_with_pairs(decompositions):
    rng = np.random.default_rng(0)
    wide = {name: rng.normal(size=(160, 200)) for name in "abc"}
    matrix(wide, {name: rng.normal(size=160) for name in "abc"})
    # 10 for predictions out of fold, 5 for weights on all tasks
    assert len(decompositions) == 3 * 15


def test_the_frame_has_a_row_for_each_ordered_pair():
    found = matrix(*personas({"a": np.eye(D)[0], "b": np.eye(D)[1]}))
    frame = found.frame()
    differences = ["utility_r", "difference", "difference_low", "difference_high"]
    assert frame.columns[:12] == ["train", "test", "layer", "position", "r", "low", "high", *differences, "n"]
    corrected = ["r_corrected", "utility_r_corrected", "difference_corrected"]
    intervals = [name + end for name in corrected for end in ("", "_low", "_high")]
    encoder = ["encoder_r", "encoder_low", "encoder_high", "over_encoder", "over_encoder_low", "over_encoder_high"]
    assert frame.columns[12:] == ["within_group", *intervals, *encoder, "n_groups"]
    assert {frame.schema[name] for name in (*intervals, *encoder)} == {pl.Float64}
    assert list(zip(frame["train"], frame["test"], strict=True)) == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert frame["r"].to_list() == found.r.ravel().tolist()
    assert frame["n"].unique().to_list() == [160]
    assert frame["n_groups"].unique().to_list() == [40]
    assert frame["layer"].unique().to_list() == [3]


def test_impossible_reliabilities_are_refused():
    features, utilities = personas({"a": np.eye(D)[0], "b": np.eye(D)[1]})
    with pytest.raises(DataError, match="reliability of persona 'b' is missing"):
        matrix(features, utilities, reliabilities={"a": 0.9})
    with pytest.raises(DataError, match=r"reliability of persona 'b' is 1.1"):
        matrix(features, utilities, reliabilities={"a": 0.9, "b": 1.1})


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
