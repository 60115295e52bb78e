"""Corrections for testing many groups at once: adjusted p values, and joint permutation of the largest statistic."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Literal, TypeAlias, TypeVar, get_args

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

from personascope.errors import DataError, nearest
from personascope.measures.intervals import batch_size

Method: TypeAlias = Literal["bh", "by", "holm"]
Group = TypeVar("Group", bound=Hashable)

EXACT_LIMIT = 12
N_FLIPS = 10_000


def adjust(p: Float[np.ndarray, " test"], method: Method = "bh") -> Float[np.ndarray, " test"]:
    """Adjusted p values of one family of tests.

    "bh" (Benjamini & Hochberg 1995) controls the false discovery rate of independent or positively dependent tests,
    as facets of one domain are; "by" (Benjamini & Yekutieli 2001) under any dependence; "holm" (Holm 1979) the
    chance of a single false claim, for facets that are to be named.

    Args:
        p: p values of the family, shape (test,).
        method: see above.

    Raises:
        DataError: an unknown method, values that are NaN (with their count) or outside [0, 1].
    """
    if method not in get_args(Method):
        raise DataError(
            f"Unknown correction {method!r}.{nearest(str(method), get_args(Method))}",
            f"The corrections are {', '.join(get_args(Method))}.",
            "Pass one of them.",
        )
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise DataError(
            f"{int(np.isnan(p).sum())} of {len(p)} p values are NaN and {int((bad & ~np.isnan(p)).sum())} outside "
            "[0, 1].",
            "A test without a p value is not in the family, and leaving it out unseen would change the correction.",
            "Leave untested groups out before correcting, and report how many.",
        )
    if not len(p):
        return np.array(p, dtype=np.float64)
    if method == "holm":
        from statsmodels.stats.multitest import multipletests

        return np.asarray(multipletests(p, method="holm")[1])
    return np.asarray(stats.false_discovery_control(p, method=method))


def max_t(
    differences_by_group: Mapping[Group, Float[np.ndarray, " _"]],
    *,
    units: Mapping[Group, Shaped[np.ndarray, " _"]] | None = None,
    n_flips: int = N_FLIPS,
    seed: int = 0,
) -> dict[Group, float]:
    """Step-down max-T p values of all groups from joint sign flips (Westfall & Young 1993, algorithm 4.1).

    With x_gu the sum of group g's differences in unit u, the statistic is T_g = |sum_u x_gu| / sqrt(sum_u x_gu^2). Its
    variance under sign flips is 1 in every group, and within a group it rises with Student's t, so groups of any size
    compete on one scale. p of the group with the j-th largest T is the share of flips in which any group from the
    j-th on reaches it, made non-decreasing. Since all groups see the same flips, their dependence is kept: copies of
    one group cost nothing, independent groups about what Holm asks.

    Args:
        differences_by_group: differences of each group's items. To test a trait difference under unbalanced keys,
            give each item's share of it (`paired_contrasts` does).
        units: label of each item, per group; items with one label flip together, within a group (near duplicates) and
            across groups (one item in several contrasts). Without it each item of each group flips on its own.
        n_flips: random sign patterns; all 2^n are taken when there are n <= 12 units.
        seed: of the random patterns.

    Returns:
        p of each group, in the order given; never zero for random patterns (Phipson & Smyth 2010).

    Raises:
        DataError: no group, a group without items, NaN or infinite differences (with their count), or labels that do
            not match the differences.
    """
    names = list(differences_by_group)
    _require_finite(differences_by_group)
    if units is None:
        ends = np.cumsum([len(differences_by_group[name]) for name in names])
        codes = np.arange(ends[-1])
    else:
        _require_labels(differences_by_group, units)
        codes = np.unique(np.concatenate([units[name] for name in names]), return_inverse=True)[1]
    x = np.zeros((int(codes.max()) + 1, len(names)))
    group = np.repeat(np.arange(len(names)), [len(differences_by_group[name]) for name in names])
    np.add.at(x, (codes, group), np.concatenate([differences_by_group[name] for name in names]))
    scale = np.sqrt((x**2).sum(axis=0))
    x /= np.where(scale > 0, scale, 1.0)
    observed = np.abs(x.sum(axis=0))
    order = np.argsort(-observed, kind="stable")
    hits, n = np.zeros(len(names)), len(x)
    for signs in sign_batches(n, n_flips=n_flips, seed=seed):
        flipped = np.abs(signs @ x)[:, order]
        still_in = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        # Patterns with equal sums must count as ties although rounding tells them apart.
        hits += (still_in >= observed[order] - 1e-9).sum(axis=0)
    p = hits / 2**n if n <= EXACT_LIMIT else (1 + hits) / (1 + n_flips)
    p = np.maximum.accumulate(p)
    ranked = dict(zip(order.tolist(), p.tolist(), strict=True))
    return {name: ranked[g] for g, name in enumerate(names)}


def sign_batches(n: int, *, n_flips: int, seed: int) -> Iterator[Float[np.ndarray, "flip unit"]]:
    """Sign patterns of n units in batches of bounded memory: all 2^n for n <= 12, otherwise `n_flips` random ones."""
    if n <= EXACT_LIMIT:
        yield 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return
    rng = np.random.default_rng(seed)
    step = batch_size(n)
    for start in range(0, n_flips, step):
        yield rng.integers(0, 2, size=(min(step, n_flips - start), n), dtype=np.int8) * 2.0 - 1.0


def _require_finite(differences: Mapping[Group, Float[np.ndarray, " _"]]) -> None:
    if not differences or any(not len(values) for values in differences.values()):
        empty = [name for name, values in differences.items() if not len(values)]
        raise DataError(
            f"{len(differences)} groups, of which {empty} have no items." if empty else "There is no group to test.",
            "Each group needs its items' differences.",
            "Leave empty groups out.",
        )
    bad = {name: int((~np.isfinite(values)).sum()) for name, values in differences.items()}
    total = sum(bad.values())
    if total:
        first = next(name for name, count in bad.items() if count)
        raise DataError(
            f"{total} differences are NaN or infinite, in {sum(map(bool, bad.values()))} of {len(bad)} groups; "
            f"the first is {first!r} ({bad[first]} of {len(differences[first])}).",
            "A difference that is not known cannot be flipped, and is never left out unseen.",
            "Leave such items out of every group before testing, and report how many.",
        )


def _require_labels(
    differences: Mapping[Group, Float[np.ndarray, " _"]], units: Mapping[Group, Shaped[np.ndarray, " _"]]
) -> None:
    wrong = [name for name, values in differences.items() if name not in units or len(units[name]) != len(values)]
    if wrong:
        raise DataError(
            f"The unit labels of {len(wrong)} groups do not match their differences, first {wrong[0]!r}.",
            "Every item needs the label of the unit that it flips with.",
            "Pass one label per item for every group, or none at all.",
        )
