from itertools import combinations

import numpy as np
import pytest

from personascope.probes.group_scores import accuracy_summary, correlation_summary

SIZES = [4, 7, 2, 9, 5]
codes = np.repeat(np.arange(5), SIZES)


def columns(seed=0, n_columns=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(27, n_columns))
    return x, x + rng.normal(size=(27, n_columns))


def share_right(x, y, pairs):
    points = [0.5 + 0.5 * np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs if y[i] != y[j]]
    return np.mean(points)


def test_correlations_are_those_of_their_definitions():
    x, y = columns()
    found = correlation_summary(x, y, codes, 50, 0)
    for t in range(2):
        per_group = [np.corrcoef(x[codes == g, t], y[codes == g, t])[0, 1] for g in range(5)]
        assert found.values[0, t] == pytest.approx(np.corrcoef(x[:, t], y[:, t])[0, 1])
        known = [0, 1, 3, 4]
        assert found.values[1, t] == pytest.approx(np.mean([per_group[g] for g in known]))
        assert found.values[2, t] == pytest.approx(np.average([per_group[g] for g in known], weights=[4, 7, 9, 5]))
        centred = [v[:, t] - np.array([v[codes == g, t].mean() for g in range(5)])[codes] for v in (x, y)]
        assert found.values[3, t] == pytest.approx(np.corrcoef(*centred)[0, 1])
        assert found.values[[4, 5, 7, 8], t] == pytest.approx([per_group[g] for g in known])
    # two rows have no correlation to speak of
    assert np.isnan(found.values[6]).all()
    assert np.isnan([found.low[6], found.high[6]]).all()
    assert found.n.tolist() == [27, 25, 25, 27, *SIZES]
    assert found.n_groups.tolist() == [5, 4, 4, 5, 1, 1, 1, 1, 1]


def test_accuracies_are_those_of_their_definitions():
    x, y = columns()
    y, x = np.round(y), np.round(x * 2) / 2
    found = accuracy_summary(x, y, codes, 50, 0)
    for t in range(2):
        every = list(combinations(range(27), 2))
        inside = [pair for pair in every if codes[pair[0]] == codes[pair[1]]]
        assert found.values[0, t] == pytest.approx(share_right(x[:, t], y[:, t], every))
        assert found.values[3, t] == pytest.approx(share_right(x[:, t], y[:, t], inside))
        per_group = [
            share_right(x[:, t], y[:, t], [pair for pair in inside if codes[pair[0]] == g]) for g in (0, 1, 3, 4)
        ]
        assert found.values[[4, 5, 7, 8], t] == pytest.approx(per_group)
        assert found.values[1, t] == pytest.approx(np.mean(per_group))
        assert found.values[2, t] == pytest.approx(np.average(per_group, weights=[4, 7, 9, 5]))


def test_intervals_are_those_of_resampled_groups_and_rows():
    x, y = columns(n_columns=1)
    r, accuracy = (summary(x, y, codes, 100, 3) for summary in (correlation_summary, accuracy_summary))
    drawn = np.random.default_rng(3).integers(5, size=(100, 5))
    resampled = {"pooled": [], "mean": [], "inside": [], "pairs": []}
    for groups in drawn:
        rows = np.concatenate([np.flatnonzero(codes == g) for g in groups])
        resampled["pooled"].append(np.corrcoef(x[rows, 0], y[rows, 0])[0, 1])
        resampled["mean"].append(np.mean([r.values[4 + g, 0] for g in groups if g != 2] or [np.nan]))
        inside = [pair for g in groups for pair in combinations(np.flatnonzero(codes == g), 2)]
        resampled["inside"].append(share_right(x[:, 0], y[:, 0], inside))
        across = [(i, j) for a, b in combinations(groups, 2) if a != b for i in rows_of(a) for j in rows_of(b)]
        resampled["pairs"].append(share_right(x[:, 0], y[:, 0], inside + across))
    for name, summary, number in [
        ("pooled", r, 0),
        ("mean", r, 1),
        ("inside", accuracy, 3),
        ("pairs", accuracy, 0),
    ]:
        expected = np.nanquantile(resampled[name], [0.025, 0.975])
        assert (summary.low[number], summary.high[number]) == pytest.approx(tuple(expected)), name
    own = np.flatnonzero(codes == 3)
    picked = own[np.random.default_rng(3).integers(9, size=(100, 9))]
    expected = np.quantile([np.corrcoef(x[rows, 0], y[rows, 0])[0, 1] for rows in picked], [0.025, 0.975])
    assert (r.low[7], r.high[7]) == pytest.approx(tuple(expected))


def rows_of(group):
    return np.flatnonzero(codes == group)


def test_a_group_whose_target_does_not_vary_is_left_out():
    x, y = columns(n_columns=1)
    y[codes == 1] = 0.5
    for summary in (correlation_summary, accuracy_summary):
        found = summary(x, y, codes, 20, 0)
        assert np.isnan(found.values[5, 0])
        assert found.n_groups[1] == 3
        assert found.n[1] == 18
    flat = correlation_summary(x, np.arange(5.0)[codes][:, None], codes, 20, 0)
    assert np.isfinite(flat.values[0, 0])
    assert np.isnan(flat.values[1:, 0]).all()


def test_predictions_that_do_not_vary_are_right_by_halves():
    _, y = columns(n_columns=1)
    assert accuracy_summary(np.zeros((27, 1)), y, codes, 0, 0).values[[0, 1, 3], 0] == pytest.approx(np.full(3, 0.5))
    assert correlation_summary(np.zeros((27, 1)), y, codes, 0, 0).values[[0, 1, 3], 0] == pytest.approx(np.zeros(3))
