import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from personascope.errors import DataError
from personascope.probes.folds import fold_numbers
from personascope.probes.leave_one_group import (
    _ceilings,
    leave_one_group_folds,
    leave_one_group_out,
    leave_one_group_predictions,
)
from personascope.probes.text_baseline import feature_baseline_scores

PLACE = {"persona": "self", "position": "eot", "layer": 3}


def rows(n_groups=12, size=12, d=40, seed=0):
    """Features with three dimensions that tell groups apart and one that does not; a target of either."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), size)
    level, own = rng.normal(size=(n_groups, 2))[groups], rng.normal(size=n_groups * size)
    X = rng.normal(size=(len(groups), d)) / 2
    X[:, :2] += 3 * level
    X[:, 2] += 2 * own
    Y = np.stack([level.sum(axis=1), own], axis=1) + 0.2 * rng.normal(size=(len(groups), 2))
    return X, Y, groups


def leave_out(X, Y, groups, **options):
    texts = np.random.default_rng(9).normal(size=Y.shape)
    options = {**PLACE, "names": ["between", "own"], "texts_predictions": texts, "n_resamples": 200, **options}
    return leave_one_group_out(X, Y, groups=groups, **options)


def test_differences_between_groups_are_credited_when_pooled_and_not_inside():
    found = leave_out(*rows())
    assert found.score("between", "pooled").value > 0.9
    for what in ("mean over groups", "weighted mean", "within groups"):
        assert abs(found.score("between", what).value) < 0.25
        assert found.score("between", what).low < 0 < found.score("between", what).high
        assert found.score("own", what).value > 0.8 > found.score("own", what).shuffled_high
        assert found.score("own", what).low > 0.7
        assert abs(found.score("own", what).shuffled) < 0.15
    assert found.score("between", "pooled", "accuracy").value > 0.85
    assert abs(found.score("between", "within groups", "accuracy").value - 0.5) < 0.1
    assert found.score("own", "within groups", "accuracy").value > 0.8
    assert abs(found.score("own", "within groups", "accuracy").shuffled - 0.5) < 0.05


def test_predictions_are_those_of_a_plain_loop():
    # rows come three times over, so that left-out rows alone would be remembered and small penalties look best
    groups, rng = np.repeat(np.arange(5), 6), np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(10, 8)), 3, axis=0) + 0.01 * rng.normal(size=(30, 8))
    Y = np.repeat(rng.normal(size=(10, 1)), 3, axis=0)
    alphas = (0.5, 50.0, 5000.0)
    found = leave_one_group_predictions(X, Y[:, :1], groups, alphas)
    for group in range(5):
        train = groups != group
        Z = StandardScaler().fit(X[train])
        errors = []
        for alpha in alphas:
            total = 0.0
            for inner in set(range(5)) - {group}:
                kept, held = train & (groups != inner), groups == inner
                model = Ridge(alpha=alpha).fit(Z.transform(X[kept]), Y[kept, 0])
                total += ((model.predict(Z.transform(X[held])) - Y[held, 0]) ** 2).sum()
            errors.append(total)
        model = Ridge(alpha=alphas[int(np.argmin(errors))]).fit(Z.transform(X[train]), Y[train, 0])
        assert found[~train, 0] == pytest.approx(model.predict(Z.transform(X[~train])))


def test_a_group_is_predicted_without_its_labels():
    X, Y, groups = rows()
    changed = Y + 100.0 * (groups == 4)[:, None] * np.random.default_rng(0).normal(size=Y.shape)
    plain, moved = (leave_one_group_predictions(X, values, groups, (1.0, 100.0)) for values in (Y, changed))
    assert np.array_equal(plain[groups == 4], moved[groups == 4])
    assert not np.array_equal(plain, moved)


def test_text_baselines_go_through_the_same_numbers():
    X, Y, groups = rows()
    F = X[:, :3] + np.random.default_rng(1).normal(size=(144, 3))
    folds = leave_one_group_folds(groups)
    assert np.array_equal(fold_numbers(folds, 144), groups)
    encoder = feature_baseline_scores(F, Y, folds)
    found = leave_out(X, Y, groups, encoder_predictions=encoder)
    swapped = leave_out(X, Y, groups, texts_predictions=encoder)
    assert found.score("own", "pooled").encoder_baseline == pytest.approx(np.corrcoef(encoder[:, 1], Y[:, 1])[0, 1])
    for score, other in zip(found.scores, swapped.scores, strict=True):
        assert score.encoder_baseline == other.text_baseline
        assert other.encoder_baseline is None
    per_group = [np.corrcoef(encoder[groups == g, 1], Y[groups == g, 1])[0, 1] for g in range(12)]
    assert found.score("own", "mean over groups").encoder_baseline == pytest.approx(np.mean(per_group))


def test_the_ceiling_is_the_root_of_the_reliability():
    X, Y, groups = rows()
    found = leave_out(X, Y, groups, reliability=[0.5, 0.8])
    pooled, within = found.score("own", "pooled"), found.score("own", "within groups")
    assert pooled.ceiling == pytest.approx(np.sqrt(0.8))
    assert pooled.corrected == pytest.approx(pooled.value / np.sqrt(0.8))
    assert within.corrected == pytest.approx(within.value / within.ceiling)
    assert found.score("between", "pooled").ceiling == pytest.approx(np.sqrt(0.5))
    # nothing but error is left within groups
    assert found.score("between", "within groups").ceiling is None
    assert found.score("own", "pooled", "accuracy").ceiling is None
    assert found.score("own", "mean over groups").corrected is None


def test_within_groups_more_of_the_variance_is_error():
    # variances 1.44 between groups, 1 within and 0.64 of error, five rows a group
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40_000), 5)
    y = 1.2 * rng.normal(size=40_000)[groups] + rng.normal(size=200_000) + 0.8 * rng.normal(size=200_000)
    found = _ceilings(y, groups, 2.44 / 3.08)
    assert found["pooled"] == pytest.approx(np.sqrt(2.44 / 3.08))
    assert found["within groups"] == pytest.approx(np.sqrt(1 / 1.64), abs=0.01)


def test_the_frame_has_a_row_per_number():
    X, Y, groups = rows(n_groups=4)
    names = ["sun", "moon", "tree", "river"]
    frame = leave_out(X, Y, groups, group_names=names, n_shuffles=3, n_resamples=20).frame()
    assert len(frame) == 2 * 2 * (4 + 4)
    assert frame.filter(pl.col("what") != "group")["group"].null_count() == 16
    own = frame.filter(target="own", metric="r", what="group")
    assert own["group"].to_list() == names
    assert own["n"].to_list() == [12] * 4
    mean = frame.filter(target="own", metric="r", what="mean over groups").row(0, named=True)
    assert mean["value"] == pytest.approx(own["value"].mean())
    assert (mean["n"], mean["n_groups"], mean["ceiling"], mean["layer"]) == (48, 4, None, 3)
    found = leave_out(X, Y, groups, n_shuffles=3, n_resamples=20)
    assert found.score("own", "group", group="2").n == 12
    with pytest.raises(DataError, match="No score"):
        found.score("own", "group", group="9")


def test_bad_input_is_refused():
    X, Y, groups = rows(n_groups=4)
    with pytest.raises(DataError, match="2 groups"):
        leave_out(X, Y, groups // 2)
    with pytest.raises(DataError, match="with 3 names"):
        leave_out(X, Y, groups, group_names=["a", "b", "c"])
    for reliability in ([0.5], [0.5, 0.0], [0.5, 1.1]):
        with pytest.raises(DataError, match="Reliabilities"):
            leave_out(X, Y, groups, reliability=reliability)
    with pytest.raises(DataError, match="0 shuffles"):
        leave_out(X, Y, groups, n_shuffles=0)
