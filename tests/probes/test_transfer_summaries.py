import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.bootstrap import draw_counts
from personascope.probes.geometry import cosine_matrix, cosine_with_null
from personascope.probes.transfer import transfer_matrix
from personascope.probes.transfer_summaries import asymmetry, mean_transfer, weight_cosines

D = 12
GROUPS = np.arange(120) // 6


def matrix(names="abc", seed=0):
    """Persona b carries its utilities in two places, a and c in one of them each, c with more noise."""
    rng = np.random.default_rng(seed)
    where = {"a": np.eye(D)[0], "b": np.eye(D)[0] + np.eye(D)[1], "c": np.eye(D)[1]}
    utilities = {name: rng.normal(size=120) for name in "abc"}
    features = {name: rng.normal(size=(120, D)) + np.outer(utilities[name], where[name]) for name in "abc"}
    features, utilities = ({name: part[name] for name in names} for part in (features, utilities))
    return transfer_matrix(features, utilities, GROUPS, layer=5, position="eot", n_resamples=100, seed=1)


def naive(found):
    """r of every cell in every resample of groups."""
    values = []
    for counts in draw_counts(20, 100, 1).astype(int):
        rows = np.repeat(np.arange(120), counts[GROUPS])
        both = found.predictions[rows], found.utilities[rows]
        n = len(found.personas)
        cells = [[np.corrcoef(both[0][:, i, j], both[1][:, j])[0, 1] for j in range(n)] for i in range(n)]
        values.append(cells)
    return np.array(values)


def test_the_gap_is_paired_over_resamples():
    found = matrix()
    frame = asymmetry(found)
    assert list(zip(frame["first"], frame["second"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    cells = naive(found)
    for row, (i, j) in zip(frame.iter_rows(named=True), [(0, 1), (0, 2), (1, 2)], strict=True):
        low, high = np.percentile(cells[:, i, j] - cells[:, j, i], [2.5, 97.5])
        assert row["r_first_to_second"] == found.r[i, j]
        assert row["r_second_to_first"] == found.r[j, i]
        assert row["gap"] == pytest.approx(found.r[i, j] - found.r[j, i])
        assert (row["gap_low"], row["gap_high"]) == (pytest.approx(low), pytest.approx(high))
        assert (row["layer"], row["position"], row["n"], row["n_groups"]) == (5, "eot", 120, 20)


def test_naming_personas_in_the_other_order_turns_the_gap_around():
    one, other = asymmetry(matrix("ab")), asymmetry(matrix("ba"))
    assert other["gap"][0] == pytest.approx(-one["gap"][0])
    assert other["gap_low"][0] == pytest.approx(-one["gap_high"][0])
    assert len(asymmetry(matrix("a"))) == 0


def test_means_leave_the_diagonal_out():
    found = matrix()
    frame, cells = mean_transfer(found), naive(found)
    out, back = (cells[:, 0, 1] + cells[:, 0, 2]) / 2, (cells[:, 1, 0] + cells[:, 2, 0]) / 2
    row = frame.row(0, named=True)
    assert row["persona"] == "a"
    assert row["outbound"] == pytest.approx((found.r[0, 1] + found.r[0, 2]) / 2)
    assert row["inbound"] == pytest.approx((found.r[1, 0] + found.r[2, 0]) / 2)
    assert row["gap"] == pytest.approx(row["outbound"] - row["inbound"])
    for name, values in (("outbound", out), ("inbound", back), ("gap", out - back)):
        expected = np.percentile(values, [2.5, 97.5])
        assert (row[name + "_low"], row[name + "_high"]) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert frame["outbound"].mean() == pytest.approx(frame["inbound"].mean())
    assert frame["n_others"].to_list() == [2, 2, 2]
    with pytest.raises(DataError, match="1 persona has no others"):
        mean_transfer(matrix("a"))


def test_cosines_are_those_of_the_weights_with_a_null_band():
    found = matrix()
    frame = weight_cosines(found)
    expected = cosine_matrix(found.weights)
    pairs = list(zip(frame["direction"], frame["other"], frame["cosine"], strict=True))
    for one, other, cosine in pairs:
        assert cosine == pytest.approx(expected["abc".index(one), "abc".index(other)])
    # a and c read different places, b reads both
    assert pairs[0][:2] == ("a", "b")
    assert pairs[0][2] > 0.4
    rows = np.random.default_rng(0).normal(size=(50, D)) * np.r_[10.0, np.ones(D - 1)]
    banded = weight_cosines(found, rows, n=150).row(0, named=True)
    same = cosine_with_null(found.weights[0], found.weights[1], rows, 150, seed=1)
    assert (banded["cosine"], banded["null_high"]) == (pytest.approx(same.cosine), pytest.approx(same.null_high))
