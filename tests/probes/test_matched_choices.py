import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.bootstrap import draw_counts
from personascope.probes.matched_choices import matched_choices
from personascope.probes.nested import nested_ridge
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.probes.transfer import transfer_matrix

N, D = 240, 12
GROUPS = np.arange(N) // 6
PREFERENCES = ["preference", "preference of first", "preference of second"]


def material(offsets, *, strength=3.0, seed=0):
    """Own utilities along the first axis, and an offset of the whole persona."""
    rng = np.random.default_rng(seed)
    utilities = {name: rng.normal(size=N) for name in offsets}
    features = {
        name: rng.normal(size=(N, D)) + strength * np.outer(utilities[name], np.eye(D)[0]) + offset + 100 * np.eye(D)[9]
        for name, offset in offsets.items()
    }
    return features, utilities


def matrix(features, utilities):
    return transfer_matrix(features, utilities, GROUPS, layer=5, position="eot", n_resamples=80, seed=1)


def rows_of(frame):
    return {row["direction"]: row for row in frame.iter_rows(named=True)}


def test_preference_follows_the_utilities_and_identity_the_persona():
    features, utilities = material({"a": 0 * np.eye(D)[0], "b": 6 * np.eye(D)[5], "c": -6 * np.eye(D)[6]})
    found = matched_choices(matrix(features, utilities), features)
    assert len(found) == 3 * 4
    for first, second in ("ab", "ac", "bc"):
        rows = rows_of(found.filter(first=first, second=second))
        assert rows["preference"]["r"] > 0.85
        assert abs(rows["preference"]["offset"]) < 0.3
        assert rows["identity"]["offset_low"] > 4
        assert abs(rows["identity"]["r"]) < 0.25


def test_an_offset_along_the_preference_direction_shows_in_single_probes_at_its_size():
    # scores have sd sqrt(9 + 1) along the axis; b lies 2 higher on it whatever it is asked
    features, utilities = material({"a": 0 * np.eye(D)[0], "b": 2 * np.eye(D)[0]})
    rows = rows_of(matched_choices(matrix(features, utilities), features, threshold=0.5))
    for name in PREFERENCES[1:]:
        assert rows[name]["offset"] == pytest.approx(-2 / np.sqrt(10), abs=0.15)
        assert rows[name]["offset_high"] < 0
        assert rows[name]["r"] > 0.8


def test_numbers_are_those_of_ten_lines():
    features, utilities = material({"a": 0 * np.eye(D)[0], "b": 3 * np.eye(D)[5]}, strength=1.0)
    utilities["b"] = 0.5 * utilities["b"] + 7.0
    found = matrix(features, utilities)
    rows = rows_of(matched_choices(found, features, threshold=0.4))
    a, b = (utilities[name] - utilities[name].mean() for name in "ab")
    matched = np.abs(a - b) < 0.4 * np.sqrt((a.var() + b.var()) / 2)
    pooled = nested_ridge(
        np.concatenate([features["a"], features["b"]]),
        np.concatenate([utilities["a"], utilities["b"]])[:, None],
        np.tile(found.folds, 2),
        DEFAULT_ALPHAS,
    ).predictions[:, 0]
    identity = np.empty((2, N))
    for fold in range(4):
        test, seen = found.folds == fold, found.folds != fold
        means = [features[name][seen].mean(axis=0) for name in "ab"]
        for p, name in enumerate("ab"):
            identity[p, test] = (features[name][test] - (means[0] + means[1]) / 2) @ (means[0] - means[1])
    scores = {
        "preference": (pooled[:N], pooled[N:]),
        "preference of first": (found.predictions[:, 0, 0], found.predictions[:, 0, 1]),
        "preference of second": (found.predictions[:, 1, 0], found.predictions[:, 1, 1]),
        "identity": identity,
    }
    draws = [np.repeat(np.arange(N), counts[GROUPS]) for counts in draw_counts(40, 80, 1).astype(int)]
    for name, (one, other) in scores.items():
        row = rows[name]

        def r(k, one=one, other=other):
            return np.corrcoef((one - other)[k], (a - b)[k])[0, 1]

        def offset(k, one=one, other=other):
            spread = np.sqrt((one[k].var() + other[k].var()) / 2)
            return (one - other)[k][matched[k]].mean() / spread

        for prefix, compute, value in (("", r, row["r"]), ("offset_", offset, row["offset"])):
            low, high = np.percentile([compute(draw) for draw in draws], [2.5, 97.5])
            assert value == pytest.approx(compute(np.arange(N))), name
            assert (row[prefix + "low"], row[prefix + "high"]) == (pytest.approx(low), pytest.approx(high)), name
        assert (row["n_matched"], row["n"], row["n_groups"]) == (matched.sum(), N, 40)
        assert (row["layer"], row["position"]) == (5, "eot")


def test_neither_units_nor_zero_of_the_utilities_nor_the_order_of_personas_matter():
    features, utilities = material({"a": 0 * np.eye(D)[0], "b": np.eye(D)[0]})
    plain = rows_of(matched_choices(matrix(features, utilities), features))
    moved = {"a": 5 * utilities["a"] + 3, "b": 5 * utilities["b"] - 8}
    scaled = rows_of(matched_choices(matrix(features, moved), features))
    reverse = [dict(reversed(part.items())) for part in (features, utilities)]
    turned = rows_of(matched_choices(matrix(*reverse), features))
    for name in [*PREFERENCES[1:], "identity"]:
        assert scaled[name]["n_matched"] == plain[name]["n_matched"]
        assert scaled[name]["r"] == pytest.approx(plain[name]["r"])
        assert scaled[name]["offset"] == pytest.approx(plain[name]["offset"])
    # the scores of both sides change places; the identity direction turns around as well
    assert turned["preference"]["r"] == pytest.approx(plain["preference"]["r"])
    assert turned["preference"]["offset"] == pytest.approx(-plain["preference"]["offset"])
    assert turned["identity"]["r"] == pytest.approx(-plain["identity"]["r"])
    assert turned["identity"]["offset"] == pytest.approx(plain["identity"]["offset"])


def test_a_share_of_tasks_can_be_matched_in_place_of_a_threshold():
    features, utilities = material({"a": np.zeros(D), "b": np.eye(D)[5]})
    found = matrix(features, utilities)
    assert matched_choices(found, features, quantile=0.25)["n_matched"].to_list() == [60] * 4
    assert matched_choices(found, features, quantile=1.0)["n_matched"].to_list() == [N] * 4


def test_what_does_not_exist_is_null():
    features, utilities = material({"a": np.zeros(D), "b": np.eye(D)[5]})
    nobody = matched_choices(matrix(features, utilities), features, threshold=1e-9)
    assert nobody["n_matched"].to_list() == [0] * 4
    assert nobody["offset"].null_count() == nobody["offset_low"].null_count() == 4
    assert nobody["r"].null_count() == 0
    utilities["b"] = utilities["a"] + 1.0
    same = matched_choices(matrix(features, utilities), features)
    assert same["r"].null_count() == same["high"].null_count() == 4
    assert same["n_matched"].to_list() == [N] * 4
    assert same["offset"].null_count() == 0


def test_other_features_and_impossible_thresholds_are_refused():
    features, utilities = material({"a": np.zeros(D), "b": np.eye(D)[5]})
    found = matrix(features, utilities)
    with pytest.raises(DataError, match=r"Features of \['a'\] for a matrix of \['a', 'b'\]"):
        matched_choices(found, {"a": features["a"]})
    with pytest.raises(DataError, match="do not match"):
        matched_choices(found, features | {"b": features["b"][:-1]})
    for options in ({"threshold": 0.0}, {"threshold": np.nan}, {"quantile": 0.0}, {"quantile": 1.1}):
        with pytest.raises(DataError, match="Threshold"):
            matched_choices(found, features, **options)
