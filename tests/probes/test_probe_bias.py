import numpy as np
import pandas as pd
import pingouin
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.probes.bootstrap import draw_counts
from personascope.probes.probe_bias import partial_correlation, probe_bias
from personascope.probes.transfer import transfer_matrix

D = 12
N = 240
GROUPS = np.arange(N) // 6


def matrix(features, utilities, n_resamples=100):
    return transfer_matrix(features, utilities, GROUPS, layer=5, position="eot", n_resamples=n_resamples, seed=1)


def tastes(names, seed=0):
    """Utilities that correlate .5 with each other."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=N)
    return {name: np.sqrt(0.5) * common + np.sqrt(0.5) * rng.normal(size=N) for name in names}


def value(frame, train, test, third, kind):
    row = frame.filter(train=train, test=test, third=third, kind=kind)
    assert len(row) == 1
    return row["r"][0]


def regressed(x, y, *given):
    """Correlation of what linear regression on `given` leaves of x and y."""
    design = np.column_stack([np.ones(len(x)), *given])
    rest = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
    return np.corrcoef(*rest)[0, 1]


def test_partial_correlation_is_pingouins():
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), columns=list("xyzw"))
    r = {a + b: np.array([data[a].corr(data[b])]) for a in "xyzw" for b in "xyzw"}
    one = partial_correlation(r["xy"], r["xz"], r["yz"])
    assert one[0] == pytest.approx(pingouin.partial_corr(data, "x", "y", "z")["r"].iloc[0], abs=1e-12)
    given_w = [partial_correlation(r[p], r[p[0] + "w"], r[p[1] + "w"]) for p in ("xy", "xz", "yz")]
    expected = pingouin.partial_corr(data, "x", "y", ["z", "w"])["r"].iloc[0]
    assert partial_correlation(*given_w)[0] == pytest.approx(expected, abs=1e-12)


def test_values_and_intervals_are_those_of_regression_residuals():
    utilities = tastes("abcd")
    rng = np.random.default_rng(1)
    features = {name: rng.normal(size=(N, D)) + np.outer(u, np.eye(D)[0]) for name, u in utilities.items()}
    found = matrix(features, utilities)
    frame = probe_bias(found, reference="d")
    predicted = found.predictions[:, 0, 1]
    cases = {
        ("a", "raw"): lambda r: np.corrcoef(predicted[r], utilities["a"][r])[0, 1],
        ("b", "raw"): lambda r: np.corrcoef(predicted[r], utilities["b"][r])[0, 1],
        ("d", "raw"): lambda r: np.corrcoef(predicted[r], utilities["d"][r])[0, 1],
        ("a", "partial"): lambda r: regressed(predicted[r], utilities["a"][r], utilities["b"][r]),
        ("d", "partial"): lambda r: regressed(predicted[r], utilities["d"][r], utilities["b"][r]),
        ("c", "double partial"): lambda r: regressed(
            predicted[r], utilities["c"][r], utilities["b"][r], utilities["a"][r]
        ),
        ("d", "double partial"): lambda r: regressed(
            predicted[r], utilities["d"][r], utilities["b"][r], utilities["a"][r]
        ),
    }
    rows = frame.filter(train="a", test="b")
    assert set(zip(rows["third"], rows["kind"], strict=True)) == set(cases)
    assert len(rows) == len(cases)
    draws = [np.repeat(np.arange(N), c[GROUPS]) for c in draw_counts(40, 100, 1).astype(int)]
    for (third, kind), compute in cases.items():
        row = rows.filter(third=third, kind=kind).row(0, named=True)
        low, high = np.percentile([compute(draw) for draw in draws], [2.5, 97.5])
        assert row["r"] == pytest.approx(compute(np.arange(N))), (third, kind)
        assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high)), (third, kind)
        assert (row["layer"], row["position"], row["n"], row["n_groups"]) == (5, "eot", N, 40)


def test_a_probe_of_what_the_tested_persona_prefers_leaves_nothing_for_the_trained_one():
    utilities = tastes("abc")
    rng = np.random.default_rng(1)
    features = {name: rng.normal(size=(N, D)) + 20 * np.outer(u, np.eye(D)[0]) for name, u in utilities.items()}
    frame = probe_bias(matrix(features, utilities))
    for train, test in ("ab", "ba", "ac"):
        assert value(frame, train, test, test, "raw") > 0.98
        assert value(frame, train, test, train, "raw") == pytest.approx(0.5, abs=0.12)
        assert abs(value(frame, train, test, train, "partial")) < 0.2


def test_a_probe_of_what_the_trained_persona_likes_follows_it_on_any_activations():
    # all activations carry all three tastes, each in its place: the probe of a reads a's wherever it looks
    utilities = tastes("abc")
    rng = np.random.default_rng(1)
    content = 20 * sum(np.outer(u, np.eye(D)[i]) for i, u in enumerate(utilities.values()))
    frame = probe_bias(matrix({name: rng.normal(size=(N, D)) + content for name in "abc"}, utilities))
    assert value(frame, "a", "b", "a", "raw") > 0.98
    assert value(frame, "a", "b", "b", "raw") == pytest.approx(0.5, abs=0.12)
    assert value(frame, "a", "b", "a", "partial") > 0.95
    assert abs(value(frame, "a", "b", "c", "double partial")) < 0.2


def test_what_is_determined_has_no_partial_correlation():
    utilities = tastes("abc")
    utilities["b"] = 2 * utilities["a"] + 1
    rng = np.random.default_rng(1)
    features = {name: rng.normal(size=(N, D)) + np.outer(u, np.eye(D)[0]) for name, u in utilities.items()}
    frame = probe_bias(matrix(features, utilities))
    gone = frame.filter(pl.col("r").is_null())
    found = set(zip(gone["train"], gone["test"], gone["third"], gone["kind"], strict=True))
    # given b, nothing of a is left, nor of c's partner: given c and a, nothing of b
    assert {("a", "b", "a", "partial"), ("a", "b", "c", "double partial"), ("c", "a", "b", "double partial")} <= found
    assert not any(kind == "raw" for *_, kind in found)
    assert gone["low"].null_count() == gone["high"].null_count() == len(gone)
    assert frame.filter(train="a", test="c", third="a", kind="partial")["r"].null_count() == 0


def test_the_reference_adds_no_row_twice():
    utilities = tastes("abc")
    rng = np.random.default_rng(1)
    features = {name: rng.normal(size=(N, D)) for name in "abc"}
    found = matrix(features, utilities)
    without, with_it = probe_bias(found), probe_bias(found, reference="c")
    # 6 pairs: two raw, one partial, one double partial; of the 2 pairs without c, one raw and one partial more
    assert len(without) == 6 * 4
    assert len(with_it) == 6 * 4 + 2 * 2
    assert with_it.unique(["train", "test", "third", "kind"]).height == len(with_it)
    with pytest.raises(DataError, match=r"(?s)'cc' is none of \['a', 'b', 'c'\]"):
        probe_bias(found, reference="cc")
