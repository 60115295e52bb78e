import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from personascope.probes.spectrum import Spectrum


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30), (12, 12)])
def test_eigenvalues_are_the_squared_singular_values_of_the_standardised_rows(n, d, planted):
    X, _, _ = planted(n, d, 1)
    Z = StandardScaler().fit_transform(X)
    expected = np.sort(np.linalg.svd(Z, compute_uv=False) ** 2)
    assert Spectrum.of(X).eigenvalues == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("n", "d", "side"), [(30, 8, 8), (8, 30, 8), (12, 12, 12)])
def test_the_smaller_side_is_decomposed(n, d, side, planted, decompositions):
    Spectrum.of(planted(n, d, 1)[0])
    assert decompositions == [side]


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_components_of_the_training_rows_agree_whichever_way_they_are_made(n, d, planted):
    X, _, _ = planted(n, d, 1)
    spectrum = Spectrum.of(X)
    assert spectrum.own_features() == pytest.approx(spectrum.features(X), abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_raw_weights_do_to_raw_rows_what_components_do_to_components(n, d, planted):
    X, _, _ = planted(n, d, 1)
    spectrum = Spectrum.of(X)
    components = np.random.default_rng(1).normal(size=(len(spectrum.eigenvalues), 2))
    by_components = spectrum.features(X + 1) @ components
    by_weights = (X + 1 - spectrum.mean) @ spectrum.raw_weights(components)
    assert by_weights == pytest.approx(by_components, abs=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e4])
def test_a_constant_feature_is_not_blown_up(value):
    X = np.random.default_rng(0).normal(size=(50, 3))
    X[:, 1] = value
    spectrum = Spectrum.of(X)
    assert spectrum.scale[1] == 1.0
    assert np.abs(spectrum.rows[:, 1]).max() < 1e-10


def test_a_feature_that_varies_little_around_a_large_mean_is_still_scaled():
    X = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 1e-3] + [0.0, 5e4]
    assert Spectrum.of(X).rows[:, 1].std() == pytest.approx(1.0, abs=1e-6)


def test_without_centring_the_sign_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    X, signs = rng.normal(size=(20, 4)) + 1, rng.choice([-1.0, 1.0], size=(20, 1))
    one, other = Spectrum.of(X, centre=False), Spectrum.of(X * signs, centre=False)
    assert np.array_equal(one.mean, np.zeros(4))
    assert one.scale == pytest.approx(np.sqrt((X**2).mean(axis=0)))
    assert one.scale == pytest.approx(other.scale, rel=1e-14)


def test_float32_rows_are_computed_in_float64():
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert Spectrum.of(X).rows.dtype == np.float64
