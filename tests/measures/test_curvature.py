import numpy as np
import pytest
from scipy import sparse

from personascope.errors import ConvergenceError
from personascope.measures import curvature
from personascope.measures.curvature import Curvature

N, PRECISION = 30, 0.25


def hessian(precision=PRECISION, n_edges=120):
    rng = np.random.default_rng(0)
    first = rng.integers(N, size=n_edges)
    second = (first + rng.integers(1, N, size=n_edges)) % N
    design = np.zeros((n_edges, N + 1))
    design[np.arange(n_edges), first], design[np.arange(n_edges), second], design[:, N] = 1, -1, 1
    return design.T @ (rng.uniform(0.1, 0.25, n_edges)[:, None] * design) + np.diag([*[precision] * N, 1e-4])


@pytest.mark.parametrize("dense", [True, False])
def test_solve_is_the_inverse_on_right_hand_sides_of_zero_sum(dense):
    matrix = hessian()
    rhs = np.random.default_rng(1).normal(size=N + 1)
    rhs[:N] -= rhs[:N].mean()
    solved = Curvature(sparse.csr_array(matrix), PRECISION, dense=dense).solve(rhs)
    np.testing.assert_allclose(solved, np.linalg.solve(matrix, rhs), atol=1e-8)


def test_dense_errors_are_the_diagonal_of_the_centred_inverse_for_any_prior():
    for precision in (4.0, 0.25, 1e-6):
        errors, order_error = Curvature(sparse.csr_array(hessian(precision)), precision, dense=True).standard_errors()
        inverse = np.linalg.inv(hessian(precision))
        center = np.eye(N) - 1 / N
        np.testing.assert_allclose(errors, np.sqrt(np.diag(center @ inverse[:N, :N] @ center)), rtol=1e-6)
        assert order_error == pytest.approx(np.sqrt(inverse[N, N]))


@pytest.mark.parametrize("precision", [4.0, 0.25, 1e-6])
def test_probed_errors_are_the_dense_ones_and_repeatable(precision):
    matrix = sparse.csr_array(hessian(precision))
    dense, order_dense = Curvature(matrix, precision, dense=True).standard_errors()
    probed, order_probed = Curvature(matrix, precision, dense=False).standard_errors()
    again, _ = Curvature(matrix, precision, dense=False).standard_errors()
    assert np.abs(probed / dense - 1).max() < 4 * curvature.PROBED_ERROR
    # Leaving the shared shift in would add 1.5 % here.
    assert (probed / dense).mean() == pytest.approx(1, abs=0.004)
    assert order_probed == pytest.approx(order_dense)
    np.testing.assert_array_equal(probed, again)


def test_the_known_terms_are_the_diagonal_of_the_series():
    found = Curvature(sparse.csr_array(hessian()), PRECISION, dense=False)
    stiff = hessian()
    stiff[:N, :N] += found.stiffness / N
    inverse = np.diag(1 / np.diag(stiff))
    rest = np.diag(np.diag(stiff)) - stiff
    series = inverse + inverse @ rest @ inverse + inverse @ rest @ inverse @ rest @ inverse
    np.testing.assert_allclose(found._known_diagonal, np.diag(series), rtol=1e-10)


def test_a_loose_solution_is_within_its_tolerance_and_sums_to_zero():
    matrix, rhs = hessian(), np.random.default_rng(1).normal(size=N + 1)
    rhs[:N] -= rhs[:N].mean()
    for tolerance in (0.1, 1e-3):
        x = Curvature(sparse.csr_array(matrix), PRECISION, dense=False).solve(rhs, tolerance)
        assert 1e-8 < np.linalg.norm(matrix @ x - rhs) / np.linalg.norm(rhs) < 2 * tolerance
        assert abs(x[:N].sum()) < 1e-12


def test_a_matrix_that_is_not_positive_definite_is_an_error():
    matrix = np.eye(3)
    matrix[2, 2] = -1.0
    with pytest.raises(ConvergenceError, match="singular in float64"):
        Curvature(sparse.csr_array(matrix), 1.0, dense=True).solve(np.zeros(3))


def test_conjugate_gradients_that_stall_are_an_error(monkeypatch):
    monkeypatch.setattr(curvature, "_MAX_ITERATIONS", 2)
    rhs = np.append(np.resize([1.0, -1.0], N), 0.5)
    with pytest.raises(ConvergenceError, match="did not solve the 31 x 31"):
        Curvature(sparse.csr_array(hessian()), PRECISION, dense=False).solve(rhs)
