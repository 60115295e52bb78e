import numpy as np
import pytest

from personascope.errors import DataError, DirectionError
from personascope.probes.geometry import cosine_frame, cosine_matrix, cosine_with_null, persona_identity_directions


def test_cosines_are_those_of_known_angles():
    vectors = np.array([[1.0, 0.0], [2.0, 2.0], [-3.0, 0.0]])
    expected = [[1, np.sqrt(0.5), -1], [np.sqrt(0.5), 1, -np.sqrt(0.5)], [-1, -np.sqrt(0.5), 1]]
    assert cosine_matrix(vectors) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_without_a_direction_is_refused(bad):
    with pytest.raises(DirectionError, match="Vector 1 of 2"):
        cosine_matrix(np.array([[1.0, 2.0], [bad, bad]]))


def test_the_isotropic_band_holds_95_percent_of_random_directions():
    rng = np.random.default_rng(0)
    v = rng.normal(size=300)
    found = cosine_with_null(rng.normal(size=300), v)
    draws = rng.normal(size=(20_000, 300))
    cosines = np.abs(draws @ v) / np.linalg.norm(draws, axis=1) / np.linalg.norm(v)
    assert (cosines <= found.null_high).mean() == pytest.approx(0.95, abs=0.005)


def test_the_covariance_band_holds_95_percent_of_directions_with_that_covariance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 50)) * np.r_[np.full(5, 30.0), np.ones(45)] + 10
    v = X[0] - X[1]
    found = cosine_with_null(X[2] - X[3], v, X, n=4000, seed=1)
    draws = rng.multivariate_normal(np.zeros(50), np.cov(X.T), size=20_000)
    cosines = np.abs(draws @ v) / np.linalg.norm(draws, axis=1) / np.linalg.norm(v)
    assert (cosines <= found.null_high).mean() == pytest.approx(0.95, abs=0.012)
    # rows fill about five dimensions, so chance cosines are far larger than in fifty
    assert found.null_high > 2 * cosine_with_null(X[2] - X[3], v).null_high


def test_the_cosine_does_not_depend_on_the_null():
    u, v = np.random.default_rng(0).normal(size=(2, 20))
    X = np.random.default_rng(1).normal(size=(30, 20))
    expected = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    assert cosine_with_null(u, v).cosine == pytest.approx(expected)
    assert cosine_with_null(u, v, X).cosine == pytest.approx(expected)


def test_identity_directions_are_where_each_persona_sits_against_the_others():
    rng = np.random.default_rng(0)
    offsets = {"self": np.zeros(8), "evil": 5 * np.eye(8)[0], "helpful": 5 * np.eye(8)[1]}
    shared = rng.normal(size=(50, 8))
    found = persona_identity_directions({name: (shared + o).astype(np.float32) for name, o in offsets.items()})
    assert found["evil"] == pytest.approx(5 * np.eye(8)[0] - 2.5 * np.eye(8)[1], abs=1e-5)
    assert sum(found.values()) == pytest.approx(np.zeros(8), abs=1e-5)
    with pytest.raises(DataError, match="1 persona"):
        persona_identity_directions({"self": shared})


def test_the_frame_has_a_row_for_each_two_directions():
    rng = np.random.default_rng(0)
    directions = {name: rng.normal(size=30) for name in ("utility", "trait", "identity")}
    frame = cosine_frame(directions, layer=5)
    assert frame.columns == ["direction", "other", "layer", "cosine", "null_high"]
    assert len(frame) == 6
    pairs = list(zip(frame["direction"], frame["other"], strict=True))
    assert len(set(pairs)) == 6
    assert all(one != other for one, other in pairs)
    assert frame["null_high"].unique().to_list() == [pytest.approx(1.96 / np.sqrt(30))]


def test_the_frame_agrees_with_single_cosines():
    rng = np.random.default_rng(0)
    directions, X = {name: rng.normal(size=30) for name in "ab"}, rng.normal(size=(40, 30))
    frame = cosine_frame(directions, layer=5, X=X, n=100, seed=3)
    for row in frame.iter_rows(named=True):
        single = cosine_with_null(directions[row["direction"]], directions[row["other"]], X, n=100, seed=3)
        assert (row["cosine"], row["null_high"]) == pytest.approx((single.cosine, single.null_high))
        assert row["layer"] == 5


def test_rows_that_do_not_vary_have_no_covariance():
    with pytest.raises(DataError, match="do not vary"):
        cosine_with_null(np.ones(3), np.ones(3), np.ones((5, 3)))
    with pytest.raises(DataError, match="at least two rows"):
        cosine_with_null(np.ones(3), np.ones(3), np.ones((1, 3)))
