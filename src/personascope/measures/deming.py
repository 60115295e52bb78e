"""Errors-in-variables slope with known, correlated errors (generalised Deming regression), for two facet profiles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from personascope.errors import DataError


def deming_slope(
    x: Float[np.ndarray, " facet"],
    y: Float[np.ndarray, " facet"],
    var_x: Float[np.ndarray, " facet"],
    var_y: Float[np.ndarray, " facet"],
    cov_xy: Float[np.ndarray, " facet"],
    *,
    equation_error: bool = True,
) -> float:
    """Slope through the origin when x and y have errors of known variances and covariance.

    With the moments M_ab = sum_f a_f b_f, the summed error covariances S_ab and L the smallest root of
    det(M - L S) = 0, slope = (M_xy - l S_xy) / (M_xx - l S_xx) (Fuller 1987, Measurement Error Models, ch. 1 to 3).
    l = L is generalised Deming regression: maximum likelihood when the true points lie on the line exactly; with
    equal variances and no covariance it is orthogonal regression. l = min(1, L) allows for facets that lie off the
    line by more than error: then L is too large, and known errors are taken off once. `scipy.odr` knows no error
    that x and y share, and goes away with SciPy 1.19.

    Args:
        x: explaining profile, shape (facet,).
        y: explained profile, shape (facet,).
        var_x: error variance of each x.
        var_y: error variance of each y.
        cov_xy: covariance of the two errors.
        equation_error: whether true points may lie off the line.

    Raises:
        DataError: values that are not finite, or an x without any length beyond its error.
    """
    if not np.isfinite(np.concatenate([x, y, var_x, var_y, cov_xy])).all():
        raise DataError("A profile or its error has NaN or infinite values.", "", "Leave such facets out first.")
    profile = np.column_stack([y, x])
    shared = np.array([[var_y.sum(), cov_xy.sum()], [cov_xy.sum(), var_x.sum()]])
    slope = float(moment_slope(profile.T @ profile, shared, equation_error))
    if not np.isfinite(slope):
        raise DataError("x is not longer than its error.", "No slope can stand on noise.", "Ask more items.")
    return slope


def moment_slope(
    moments: Float[np.ndarray, "*batch 2 2"], error: Float[np.ndarray, "2 2"], equation_error: bool
) -> Float[np.ndarray, "*batch"]:
    """`deming_slope` of moment matrices, y first."""
    myy, mxy, mxx = moments[..., 0, 0], moments[..., 0, 1], moments[..., 1, 1]
    syy, sxy, sxx = error[0, 0], error[0, 1], error[1, 1]
    middle = mxx * syy + myy * sxx - 2 * mxy * sxy
    c, a = mxx * myy - mxy**2, syy * sxx - sxy**2
    with np.errstate(divide="ignore", invalid="ignore"):
        # The form that stays exact when the two errors are copies of each other (a = 0).
        root = 2 * c / (middle + np.sqrt(np.maximum(middle**2 - 4 * a * c, 0)))
        taken = np.nan_to_num(np.minimum(root, 1) if equation_error else root, nan=0.0)
        return np.asarray((mxy - taken * sxy) / (mxx - taken * sxx))


def corrected_cosine(moments: Float[np.ndarray, "2 2"], error: Float[np.ndarray, "2 2"]) -> float | None:
    """Cosine of the profiles without their errors; None when one of them is not longer than its error."""
    true = moments - error
    if min(true[0, 0], true[1, 1]) <= 0:
        return None
    return float(np.clip(true[0, 1] / np.sqrt(true[0, 0] * true[1, 1]), -1, 1))
