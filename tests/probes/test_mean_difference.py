import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid
from sklearn.utils.estimator_checks import check_estimator

from personascope.errors import DataError
from personascope.probes.mean_difference import MeanDifferenceProbe

EXPECTED_FAILURES = {"check_array_api_input": "checked only when SCIPY_ARRAY_API is set"}


def two(planted, n=60, d=8):
    X, Y, groups = planted(n, d, 1)
    return X, np.where(Y[:, 0] > Y.mean(), "yes", "no"), groups


def test_it_decides_as_nearest_centroid_does(planted):
    X, y, _ = two(planted)
    new = np.concatenate([X, 1.3 * X[::-1]])
    probe, oracle = MeanDifferenceProbe().fit(X, y), NearestCentroid().fit(X, y)
    assert probe.classes_.tolist() == oracle.classes_.tolist()
    assert probe.predict(new).tolist() == oracle.predict(new).tolist()
    squared = ((new[:, None] - oracle.centroids_) ** 2).sum(axis=2)
    assert 2 * probe.decision_function(new) == pytest.approx(squared[:, 0] - squared[:, 1], rel=1e-8, abs=1e-8)


def test_its_direction_is_that_of_discriminant_analysis_with_full_shrinkage(planted):
    X, y, _ = two(planted)
    expected = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=1.0).fit(X, y).coef_[0]
    found = MeanDifferenceProbe().fit(X, y).coef_[0]
    assert found / np.linalg.norm(found) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-8)


def test_order_and_shift_of_rows_do_not_matter_and_swapped_labels_turn_it_around(planted):
    X, y, _ = two(planted)
    order = np.random.default_rng(0).permutation(len(X))
    plain, moved = MeanDifferenceProbe().fit(X, y), MeanDifferenceProbe().fit(X[order] + 50, y[order])
    assert moved.coef_ == pytest.approx(plain.coef_, abs=1e-9)
    turned = MeanDifferenceProbe().fit(X, np.where(y == "yes", "no", "yes"))
    assert turned.coef_ == pytest.approx(-plain.coef_, abs=1e-12)


def test_balanced_groups_count_alike_however_many_rows_they_have(planted):
    X, y, groups = two(planted)
    repeats = np.where(groups == groups[0], 9, 1)
    spelled = [np.repeat(values, repeats, axis=0) for values in (X, y, groups)]
    plain = MeanDifferenceProbe(balance_groups=True).fit(X, y, groups)
    repeated = MeanDifferenceProbe(balance_groups=True).fit(*spelled)
    assert repeated.coef_ == pytest.approx(plain.coef_, abs=1e-9)
    assert MeanDifferenceProbe().fit(*spelled).coef_ != pytest.approx(plain.coef_, abs=1e-3)


def test_three_classes_and_missing_groups_are_refused(planted):
    X, y, _ = two(planted)
    with pytest.raises(ValueError, match="two classes"):
        MeanDifferenceProbe().fit(X, np.arange(60) % 3)
    with pytest.raises(DataError, match="groups"):
        MeanDifferenceProbe(balance_groups=True).fit(X, y)


def test_it_keeps_the_manners_of_scikit_learn(unchecked_annotations):
    results = check_estimator(MeanDifferenceProbe(), expected_failed_checks=EXPECTED_FAILURES, on_skip=None)
    assert {r["check_name"] for r in results if r["status"] != "passed"} == set(EXPECTED_FAILURES)
