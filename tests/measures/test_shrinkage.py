import numpy as np
import polars as pl
import pytest

from personascope.errors import ConvergenceError, DataError
from personascope.measures import shrinkage
from personascope.measures.contrasts import paired_contrasts
from personascope.measures.shrinkage import shrink, shrunken_contrasts

FACETS = [f"facet {i}" for i in range(24)]


def family(seed, tau, se, n=24, mean=0.1):
    rng = np.random.default_rng(seed)
    truth = rng.normal(mean, tau, n)
    errors = np.broadcast_to(np.asarray(se, dtype=np.float64), (n,)).copy()
    return truth, truth + rng.normal(0, errors), errors


def test_without_error_the_estimates_are_the_raw_effects():
    _, effects, errors = family(0, 0.2, 1e-8)
    found = shrink(FACETS, effects, errors)
    np.testing.assert_allclose(found.effects["shrunken"], effects, atol=1e-12)
    np.testing.assert_allclose(found.effects["weight"], 1.0)
    assert found.tau == pytest.approx(effects.std(ddof=1))


@pytest.mark.parametrize("method", ["pm", "dl"])
def test_without_differences_between_facets_the_estimates_are_the_grand_mean(method):
    # Effects closer together than their errors: DerSimonian & Laird's tau^2 is negative and must count as 0.
    effects, errors = np.linspace(0.09, 0.11, 24), np.linspace(0.05, 0.2, 24)
    found = shrink(FACETS, effects, errors, method=method)
    mean = np.average(effects, weights=errors**-2)
    assert found.tau == 0
    np.testing.assert_allclose(found.effects["shrunken"], mean)
    assert found.mean == pytest.approx(mean)
    half = (found.effects["high"] - found.effects["low"]).to_numpy() / 2
    np.testing.assert_allclose(half, 1.959964 * (errors**-2).sum() ** -0.5, rtol=1e-6)


def test_with_equal_errors_everything_has_a_closed_form():
    _, effects, errors = family(1, 0.2, 0.1)
    found = shrink(FACETS, effects, errors)
    tau2 = effects.var(ddof=1) - 0.01
    weight = tau2 / (tau2 + 0.01)
    assert found.tau == pytest.approx(tau2**0.5, rel=1e-4)
    expected = effects.mean() + weight * (effects - effects.mean())
    np.testing.assert_allclose(found.effects["shrunken"], expected, atol=1e-5)
    half = 1.959964 * np.sqrt(weight * 0.01 + (1 - weight) ** 2 * (tau2 + 0.01) / 24)
    np.testing.assert_allclose((found.effects["high"] - found.effects["low"]) / 2, half, rtol=1e-4)
    assert shrink(FACETS, effects, errors, method="dl").tau == pytest.approx(found.tau, rel=1e-4)


def test_tau_and_the_facet_effects_are_recovered():
    rng = np.random.default_rng(2)
    taus, inside, gains = [], [], []
    for seed in range(60):
        truth, effects, errors = family(seed, 0.15, rng.uniform(0.05, 0.15, 24))
        found = shrink(FACETS, effects, errors)
        table = {name: found.effects[name].to_numpy() for name in ("low", "high", "shrunken")}
        taus.append(found.tau)
        inside.append(((table["low"] <= truth) & (truth <= table["high"])).mean())
        gains.append(((table["shrunken"] - truth) ** 2).sum() / ((effects - truth) ** 2).sum())
    assert np.mean(taus) == pytest.approx(0.15, abs=0.015)
    assert 0.92 < np.mean(inside) < 0.98
    assert np.mean(gains) < 0.85


def test_shifting_and_scaling_shifts_and_scales():
    _, effects, errors = family(3, 0.1, np.linspace(0.05, 0.2, 24))
    one, other = shrink(FACETS, effects, errors), shrink(FACETS, 3 * effects - 1, 3 * errors)
    np.testing.assert_allclose(other.effects["shrunken"], 3 * one.effects["shrunken"] - 1, atol=1e-4)


@pytest.mark.parametrize(
    ("effects", "errors", "message"),
    [
        ([0.1], [0.1], "1 names, 1 effects"),
        ([0.1, np.nan, np.inf], [0.1, 0.1, 0.1], "2 of 3 effects"),
        ([0.1, 0.2, 0.3], [0.1, 0.0, 0.1], "1 standard errors are not positive: facet 1"),
    ],
)
def test_unusable_effects_are_refused(effects, errors, message):
    with pytest.raises(DataError, match=message):
        shrink(FACETS[: len(effects)], np.array(effects), np.array(errors))


def test_a_variance_that_misses_its_equation_is_not_returned():
    _, effects, errors = family(4, 0.2, 0.1)
    with pytest.raises(ConvergenceError, match="misses the Paule-Mandel equation"):
        shrinkage._require_solved(effects, errors**2, 0.0)
    with pytest.raises(ConvergenceError):
        shrinkage._require_solved(effects, errors**2, 1.0)


def test_contrasts_are_shrunken_each_in_its_own_family_and_facets_of_one_key_are_counted():
    rng = np.random.default_rng(5)
    rows = [
        {"persona": p, "item": f"{f}{i}", "facet": f, "key": 1 if f == "one key" or i % 2 else -1}
        for p in ("self", "meta", "helpful")
        for f in ("a", "b", "c", "one key")
        for i in range(8)
    ]
    items = pl.DataFrame(rows).with_columns(agreement=pl.Series(rng.uniform(-1, 1, len(rows))))
    contrasts = paired_contrasts(items, n_resamples=200)
    found = shrunken_contrasts(contrasts)
    assert found["contrast"].to_list() == ["meta - self"] * 3 + ["helpful - self"] * 3
    assert found["facet"].to_list() == ["a", "b", "c"] * 2
    assert found["n_left_out"].to_list() == [1] * 6
    part = contrasts.filter(pl.col("contrast") == "meta - self").drop_nulls("difference")
    alone = shrink(["a", "b", "c"], part["difference"].to_numpy(), part["se"].to_numpy())
    np.testing.assert_allclose(found["shrunken"][:3], alone.effects["shrunken"])
