import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from personascope.errors import DataError
from personascope.probes.constrained_ridge import ConstrainedRidge
from personascope.probes.controls import covariance_matched_directions
from personascope.probes.folds import grouped_folds
from personascope.probes.removal import remove_directions
from personascope.probes.spectrum import Spectrum

HOW = {"name": "utility", "persona": "self", "position": "eot", "layer": 3, "n_resamples": 200}


def planted_rank(k, n=3000, d=12, seed=0):
    """A target along k directions whose variances differ, so that ridge needs k of its own to reach it all."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(d, d))).Q
    spread = np.r_[np.linspace(0.5, 2.0, k) if k > 1 else [1.0], np.ones(d - k)]
    Z = rng.normal(size=(n, d)) * spread
    if k == 2:
        spread[2:] = 1.0
    y = (Z[:, :k] / spread[:k]).sum(axis=1)
    return Z @ rotation.T, y + 0.3 * rng.normal(size=n), rotation[:, :k]


@pytest.mark.parametrize("k", [1, 2])
def test_a_planted_signal_is_gone_after_its_rank_and_not_after_random_removals(k):
    X, y, planted = planted_rank(k)
    found = remove_directions(X, y, groups=np.arange(3000) // 4, n_steps=3, **HOW)
    assert found.r[0] > 0.9
    assert (found.r[:k] > 0.35).all()
    assert (np.abs(found.r[k:]) < 0.25).all()
    assert found.random_r.mean(axis=0)[k] > 0.6
    assert (found.shuffled_high < 0.1).all()
    assert (found.low <= found.r).all()
    assert (found.r <= found.high).all()
    # what was planted lies in the span of the first k directions
    inside = found.directions[:k] @ np.linalg.qr(planted.sum(axis=1)[:, None] if k == 1 else planted).Q
    assert np.linalg.svd(inside)[1].min() > 0.9


def test_removal_is_the_plain_loop():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 90)) * np.exp(rng.normal(size=90)) + 5
    y = X[:, :4].sum(axis=1) + rng.normal(size=60)
    found = remove_directions(X, y, groups=np.arange(60), n_steps=3, n_random=2, alphas=(20.0,), seed=5, **HOW)
    predicted, random = np.empty((4, 60)), np.empty((2, 4, 60))
    for fold, (train, test) in enumerate(grouped_folds(np.arange(60), 4, 5)):
        scaler = StandardScaler().fit(X[train])
        start = scaler.transform(X[train]), scaler.transform(X[test])
        seen, unseen = start
        for step in range(4):
            model = Ridge(alpha=20.0).fit(seen, y[train])
            predicted[step, test] = model.predict(unseen)
            w = model.coef_ / np.linalg.norm(model.coef_)
            seen, unseen = (rows - np.outer(rows @ w, w) for rows in (seen, unseen))
        # random directions live among the components of the training rows
        spectrum = Spectrum.of(X[train])
        draws = covariance_matched_directions(spectrum.rotated(), 6, seed=[5, 4, 3, fold])
        back = np.linalg.lstsq(start[0], spectrum.rotated(), rcond=None)[0]
        for draw in range(2):
            for step in range(4):
                basis = np.linalg.qr(back @ draws[:, 3 * draw : 3 * draw + step]).Q
                seen, unseen = (rows - rows @ basis @ basis.T for rows in start)
                random[draw, step, test] = Ridge(alpha=20.0).fit(seen, y[train]).predict(unseen)
    assert found.r == pytest.approx([np.corrcoef(row, y)[0, 1] for row in predicted])
    for draw in range(2):
        assert found.random_r[draw] == pytest.approx([np.corrcoef(row, y)[0, 1] for row in random[draw]])


def test_directions_are_orthonormal_and_silence_the_probes_one_by_one():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(80, 120)) * np.exp(rng.normal(size=120))
    y = X[:, :3].sum(axis=1) + rng.normal(size=80)
    found = remove_directions(X, y, groups=np.arange(80), alphas=(30.0,), **HOW)
    assert found.directions.shape == (4, 120)
    assert found.directions @ found.directions.T == pytest.approx(np.eye(4))
    first = Ridge(alpha=30.0).fit(StandardScaler().fit_transform(X), y).coef_ / X.std(axis=0)
    assert found.directions[0] == pytest.approx(first / np.linalg.norm(first))
    # more of the direction means more of the target
    assert np.corrcoef(X @ found.directions[0], y)[0, 1] > 0


def test_weights_are_those_of_ridge_on_projected_rows():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 7)), rng.normal(size=(40, 2))
    ridge = ConstrainedRidge(X, y, np.ones(40, dtype=bool), 2, 1, [0])
    for _ in range(2):
        ridge.remove(ridge.weights(np.full((1, 2), 3.0))[0])
    found = ridge.weights(np.array([[3.0, 8.0], [0.5, 0.5]]))
    rows = ridge.spectrum.rotated()
    for column, alpha in [(0, 3.0), (1, 8.0)]:
        gone = ridge.removed[column]
        assert gone.T @ gone == pytest.approx(np.eye(2), abs=1e-12)
        projected = rows - rows @ gone @ gone.T
        assert found[0, column] == pytest.approx(Ridge(alpha=alpha).fit(projected, y[:, column]).coef_)
    ridge.forget()
    assert ridge.removed.shape == (2, 7, 0)


def test_test_rows_choose_neither_penalty_nor_direction():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(48, 60)), rng.normal(size=48)
    predictions = []
    for values in (y, np.where(np.isin(np.arange(48), grouped_folds(np.arange(48), 4, 0)[2][1]), y + 50 * X[:, 0], y)):
        kept = []
        original = ConstrainedRidge.predict

        def keep(self, rows, weights, kept=kept, original=original):
            result = original(self, rows, weights)
            if len(result) == 1:
                kept.append(result[0, :, 0])
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ConstrainedRidge, "predict", keep)
            remove_directions(X, values, groups=np.arange(48), n_steps=2, **HOW)
        predictions.append(kept)
    # three predictions a fold, one a step: those of the third fold saw the same training rows
    assert all(np.array_equal(a, b) for a, b in zip(predictions[0][6:9], predictions[1][6:9], strict=True))
    assert not np.array_equal(predictions[0][0], predictions[1][0])


def test_one_decomposition_per_training_set(decompositions):
    rng = np.random.default_rng(5)
    remove_directions(rng.normal(size=(40, 60)), rng.normal(size=40), groups=np.arange(40), **HOW)
    # all rows, four folds, six pairs of folds
    assert len(decompositions) == 11


def test_within_group_r_is_small_where_only_groups_differ():
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(20), 10)
    level = rng.normal(size=(20, 3))[groups]
    X = np.concatenate([level, rng.normal(size=(200, 10))], axis=1) + 0.1 * rng.normal(size=(200, 13))
    found = remove_directions(X, level.sum(axis=1) + 0.3 * rng.normal(size=200), groups=groups, **HOW)
    assert found.r[0] > 0.9
    assert abs(found.within_group[0]) < 0.2
    constant = remove_directions(X, level[:, 0], groups=groups, **HOW)
    assert constant.within_group == (None,) * 5


def test_the_frame_has_a_row_per_step_and_kind():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, 20))
    found = remove_directions(X, X[:, 0], groups=np.arange(60), n_steps=2, n_random=3, **HOW)
    frame = found.frame()
    assert frame.columns == [
        *("target", "persona", "position", "layer", "step", "removed", "draw"),
        *("r", "low", "high", "within_group", "shuffled_high", "n"),
    ]
    assert frame["removed"].value_counts().sort("removed")["count"].to_list() == [3, 9]
    assert frame.filter(removed="probe")["draw"].null_count() == 3
    second = frame.filter(removed="random", draw=1, step=2).row(0, named=True)
    assert (second["r"], second["low"], second["n"]) == (found.random_r[1, 2], found.random_low[1, 2], 60)
    assert second["shuffled_high"] == found.shuffled_high[2]
    # before anything is removed there is nothing random about it
    assert found.random_r[:, 0] == pytest.approx(np.full(3, found.r[0]))
    assert dataclasses.is_dataclass(found)


def test_bad_input_is_refused():
    rng = np.random.default_rng(8)
    X, y, rows = rng.normal(size=(40, 6)), rng.normal(size=40), np.arange(40)
    for options in ({"n_steps": 0}, {"n_random": 0}, {"n_shuffles": 0}):
        with pytest.raises(DataError, match="random draws"):
            remove_directions(X, y, groups=rows, **HOW, **options)
    with pytest.raises(DataError, match="'utility' does not vary"):
        remove_directions(X, np.ones(40), groups=rows, **HOW)
    with pytest.raises(DataError, match="vary in 4 dimensions; 4 are"):
        remove_directions(X[:, :4], y, groups=rows, **HOW)
    with pytest.raises(DataError, match="2 folds are too few"):
        remove_directions(X, y, groups=rows, n_folds=2, **HOW)
    with pytest.raises(DataError, match="does not vary over"):
        remove_directions(X, (rows == 3).astype(float), groups=rows, **HOW)
