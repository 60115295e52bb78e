import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from personascope.errors import DataError
from personascope.probes.logistic import LogisticProbe

CS = (1e-3, 1e-2, 1e-1, 1.0)
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "folds and standardisation count rows, whatever their weight",
    "check_classifiers_one_label": "a single class raises DataError, which is not a ValueError",
    "check_array_api_input": "checked only when SCIPY_ARRAY_API is set",
}


def labelled(planted, n=90, d=12, k=3):
    X, Y, groups = planted(n, d, k)
    return X, np.array(["sad", "mad", "glad"])[(Y - Y.mean(axis=0)).argmax(axis=1)], groups


def naive_choice(X, y, groups, n_folds, seed):
    total = np.zeros(len(CS))
    for train, test in GroupKFold(n_folds, shuffle=True, random_state=seed).split(X, y, groups):
        for number, C in enumerate(CS):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=5000))
            proba = model.fit(X[train], y[train]).predict_proba(X[test])
            total[number] -= np.log(proba[np.arange(len(test)), np.searchsorted(model.classes_, y[test])]).sum()
    return CS[int(total.argmin())]


@pytest.mark.parametrize(("n", "d", "k"), [(90, 12, 3), (90, 12, 2), (40, 80, 3)])
def test_the_probe_chooses_and_fits_as_a_plain_loop_does(n, d, k, planted):
    X, y, groups = labelled(planted, n, d, k)
    probe = LogisticProbe(Cs=CS, n_inner_folds=3, seed=2).fit(X, y, groups=groups)
    chosen = naive_choice(X, y, groups, 3, 2)
    assert chosen == probe.C_
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=probe.C_, tol=1e-9, max_iter=5000)).fit(X, y)
    assert probe.classes_.tolist() == oracle.classes_.tolist()
    assert probe.predict_proba(X) == pytest.approx(oracle.predict_proba(X), abs=1e-4)
    assert probe.decision_function(X) == pytest.approx(oracle.decision_function(X), abs=1e-3)
    assert probe.predict(X).tolist() == oracle.predict(X).tolist()
    assert probe.score(X, y) == oracle.score(X, y)


def test_swapping_a_pair_and_its_answer_changes_nothing_without_intercept():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8)) + 1
    y = X @ rng.normal(size=8) + rng.logistic(size=60) > 0
    flip = rng.random(60) < 0.5
    probe = LogisticProbe(fit_intercept=False)
    plain = probe.fit(X, y).coef_
    swapped = clone(probe).fit(np.where(flip[:, None], -X, X), y ^ flip).coef_
    assert plain == pytest.approx(swapped, abs=1e-5 * np.abs(plain).max())
    assert probe.intercept_.tolist() == [0.0]


def test_weights_of_zero_leave_rows_out_of_the_fit(planted):
    X, y, _ = labelled(planted, k=2)
    weights = np.ones(len(y))
    weights[:30] = 0
    poisoned = np.where(np.arange(len(y)) < 30, np.where(y == "sad", "mad", "sad"), y)
    one = LogisticProbe(Cs=[0.1]).fit(X, y, sample_weight=weights)
    other = LogisticProbe(Cs=[0.1]).fit(X, poisoned, sample_weight=weights)
    assert one.coef_ == pytest.approx(other.coef_, rel=1e-6)


@pytest.mark.parametrize("Cs", [(0.1,), (1e-3, 1e-2, 1e-1, 1.0, 3.0)])
def test_a_fit_decomposes_once_per_inner_fold_and_once_more(Cs, planted, decompositions):
    X, y, _ = labelled(planted, 40, 60)
    LogisticProbe(Cs=Cs, n_inner_folds=5).fit(X, y)
    assert decompositions == [32] * 5 + [40]


def test_one_class_is_refused_by_name(planted):
    X, _, _ = labelled(planted)
    with pytest.raises(DataError, match="All 90 rows are of one class, 'x'"):
        LogisticProbe().fit(X, np.full(90, "x"))


@pytest.mark.parametrize("Cs", [[0.0], [-1.0], [float("inf")], []])
def test_a_penalty_that_is_not_positive_is_refused(Cs, planted):
    X, y, _ = labelled(planted)
    with pytest.raises(DataError, match="positive"):
        LogisticProbe(Cs=Cs).fit(X, y)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_it_keeps_the_manners_of_scikit_learn(fit_intercept, unchecked_annotations):
    probe = LogisticProbe(fit_intercept=fit_intercept)
    results = check_estimator(probe, expected_failed_checks=EXPECTED_FAILURES, on_skip=None)
    assert {r["check_name"] for r in results if r["status"] != "passed"} == set(EXPECTED_FAILURES)
