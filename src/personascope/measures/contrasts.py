"""Contrasts between personas, paired by item: effect, interval, permutation p, correction for many, and bias split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError, nearest
from personascope.measures.intervals import cell_means, percentile_interval
from personascope.measures.multiplicity import EXACT_LIMIT, N_FLIPS, Method, adjust, max_t, sign_batches
from personascope.measures.pairing import PairedGroup, codes_of, paired_groups

MIN_ITEMS = 6
ONE_KEY = "items of one key only"
_NUMBERS = ["difference", "low", "high", "difference_positive", "difference_negative", "p", "q"]
_Row: TypeAlias = dict[str, Any]


def paired_contrasts(
    items: pl.DataFrame,
    pairs: Sequence[tuple[str, str]] = (("meta", "self"), ("helpful", "self")),
    by: str = "facet",
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
    cluster: str | None = None,
    method: Method = "bh",
    extra: Sequence[Literal["holm", "max_t"]] = (),
    family: Literal["contrast", "all"] = "contrast",
    min_items: int = MIN_ITEMS,
    n_flips: int = N_FLIPS,
) -> pl.DataFrame:
    """Difference in trait between two personas on the same items, for each facet or domain.

    With d the item's raw agreement under the first persona minus under the second, and d+ and d- its means over
    positively and negatively keyed items, difference = (d+ - d-) / 2. This is the difference of `facet_scores` traits,
    and the plain mean of key * d when the keys are balanced. A persona that just says yes more often moves d+ and
    d- alike and the difference not at all, so both are given beside it. For `by="domain"` all three are means over the
    domain's facets that have items of both keys, as in `domain_scores`, so that long facets do not dominate.

    The p value is two-sided from flipping the signs of the items' shares of the difference (Fisher 1935): it supposes
    that each is symmetric around zero without an effect. Items of one cluster flip together. q is adjusted over the
    groups of one contrast (`adjust`).

    Args:
        items: columns persona, item, key, agreement and `by` (for "domain" also facet); one row per persona and item.
        pairs: (persona, reference) for each contrast.
        by: column that groups items; items where it is null stay out.
        seed: of bootstrap and random flips.
        n_resamples: bootstrap resamples.
        cluster: column that names each item's cluster of near duplicates (null: the item stands alone). Items of one
            cluster are not independent: clusters are resampled, then their items (`resampled_means`).
        method: correction that gives q.
        extra: further corrections, as columns p_holm and p_max_t (`multiplicity.max_t`, whose flips are joint).
        family: whether the groups of each contrast are corrected apart or those of all contrasts together.
        min_items: fewest independent items (clusters, where given) for a p value. With five, no sign-flip p can
            fall below .05.
        n_flips: random sign patterns where there are too many for all.

    Returns:
        One row per contrast and group: contrast ("meta - self"), persona, reference, `by`, difference, low, high (95 %
        percentile bootstrap over items within facet and key), difference_positive (d+), difference_negative (d-), p,
        q, p_holm and p_max_t where asked, n (items), se (of the bootstrap), d_z (difference by the standard deviation
        of the item differences within facet and key), n_clusters, untested (why p is null), and for domains left_out
        (facets with items of one key). A group with items of one key only has null difference, interval, p and q:
        trait and yea-saying cannot be told apart there. It and groups with too few items are not in the family.

    Raises:
        DataError: an unknown persona, items that only one of the two answered or that are described in two ways, or as
            `facet_scores`; an unknown correction.
    """
    groups = paired_groups(items, pairs, by, cluster=cluster)
    rows: list[tuple[int, PairedGroup, int, _Row]] = []
    for group in groups:
        numbers = _contrast_rows(group, seed, n_resamples, n_flips, min_items)
        rows += [(c, group, k, numbers[k]) for k, c in enumerate(group.contrasts)]
    rows.sort(key=lambda row: row[0])
    for which in (range(len(pairs)),) if family == "all" else ([c] for c in range(len(pairs))):
        tested = [row for row in rows if row[0] in which and row[3]["p"] is not None]
        _add_corrections(tested, method, extra, seed, n_flips)
    names = [{"contrast": f"{a} - {b}", "persona": a, "reference": b} for a, b in pairs]
    table = pl.DataFrame(
        [{**names[c], by: group.name, **row, "left_out": list(group.left_out)} for c, group, _, row in rows],
        schema_overrides=_schema(extra) | {by: items.schema[by]},
        infer_schema_length=None,
    )
    last = ["n", "se", "d_z", "n_clusters", "untested", *(["left_out"] if by == "domain" else [])]
    return table.select("contrast", "persona", "reference", by, *_NUMBERS, *(f"p_{name}" for name in extra), *last)


def sign_flip_p(values: Float[np.ndarray, " item"], *, seed: int = 0, n_flips: int = N_FLIPS) -> float:
    """Two-sided permutation p value of sum(values) when every sign is a fair coin.

    Exact over all 2^n sign patterns for n <= 12; otherwise (1 + hits) / (1 + n_flips) from random patterns (Phipson &
    Smyth 2010), which is never zero.

    Args:
        values: shape (item,).
        seed: of the random patterns.
        n_flips: number of random patterns.
    """
    n, hits = len(values), 0
    # Patterns with equal sums must count as ties although rounding tells them apart.
    limit = abs(values.sum()) - 1e-12 * float(np.abs(values).sum())
    for signs in sign_batches(n, n_flips=n_flips, seed=seed):
        hits += int((np.abs(signs @ values) >= limit).sum())
    return hits / 2**n if n <= EXACT_LIMIT else (1 + hits) / (1 + n_flips)


def _contrast_rows(group: PairedGroup, seed: int, n_resamples: int, n_flips: int, min_items: int) -> list[_Row]:
    n, n_clusters = len(group.d), group.n_clusters
    blank = dict.fromkeys([*_NUMBERS, "p_holm", "p_max_t", "se", "d_z"])
    rows: list[_Row] = [{**blank, "n": n, "n_clusters": n_clusters, "untested": None} for _ in group.contrasts]
    if not n:
        return [row | {"untested": ONE_KEY} for row in rows]
    means = cell_means(np.ones((1, n)), group.d, group.cells)[0]
    resampled = group.resampled(n_resamples, seed) if group.has_interval else None
    shares, spread = group.shares, _spread(group.d, means[group.cells], len(group.signs))
    for k, row in enumerate(rows):
        for name, sign in (("difference_positive", 1), ("difference_negative", -1)):
            row[name] = float(means[group.signs == sign, k].mean()) if (group.signs == sign).any() else None
        if not group.has_trait:
            row["untested"] = ONE_KEY
            continue
        row["difference"] = difference = float(shares[:, k].sum())
        row["d_z"] = difference / float(spread[k]) if spread[k] > 0 else None
        if resampled is not None:
            row["low"], row["high"] = percentile_interval(resampled[:, k])
            row["se"] = float(np.nanstd(resampled[:, k], ddof=1))
        if n_clusters < min_items:
            row["untested"] = f"{n_clusters} independent items, fewer than {min_items}"
        else:
            summed = np.bincount(codes_of(group.clusters), weights=shares[:, k])
            row["p"] = sign_flip_p(summed, seed=seed, n_flips=n_flips)
    return rows


def _spread(
    d: Float[np.ndarray, "item contrast"], centre: Float[np.ndarray, "item contrast"], n_cells: int
) -> Float[np.ndarray, " contrast"]:
    """Standard deviation of the differences around their cell's mean; 0 where it is not defined or only rounding."""
    freedom = len(d) - n_cells
    if freedom < 1:
        return np.zeros(d.shape[1])
    spread = np.sqrt(((d - centre) ** 2).sum(axis=0) / freedom)
    return np.where(spread > 1e-12, spread, 0.0)


def _add_corrections(
    tested: Sequence[tuple[int, PairedGroup, int, _Row]], method: Method, extra: Sequence[str], seed: int, n_flips: int
) -> None:
    """Write q and the further corrections into the rows of one family, all of which have a p."""
    p = np.array([row["p"] for *_, row in tested])
    adjusted = {"q": adjust(p, method)}
    if "holm" in extra:
        adjusted["p_holm"] = adjust(p, "holm")
    if "max_t" in extra and tested:
        differences = {i: group.shares[:, k] for i, (_, group, k, _) in enumerate(tested)}
        units = {i: group.clusters for i, (_, group, _, _) in enumerate(tested)}
        joint = max_t(differences, units=units, n_flips=n_flips, seed=seed)
        adjusted["p_max_t"] = np.array([joint[i] for i in range(len(tested))])
    for name, values in adjusted.items():
        for (*_, row), value in zip(tested, values, strict=True):
            row[name] = float(value)


def _schema(extra: Sequence[str]) -> dict[str, Any]:
    unknown = [name for name in extra if name not in ("holm", "max_t")]
    if unknown:
        raise DataError(
            f"Unknown correction {unknown[0]!r}.{nearest(unknown[0], ['holm', 'max_t'])}",
            "Beside q there are holm and max_t.",
            "Pass one of them; `method` names the correction that gives q.",
        )
    numbers = [*_NUMBERS, *(f"p_{name}" for name in extra), "se", "d_z"]
    return {**dict.fromkeys(numbers, pl.Float64), "untested": pl.String, "left_out": pl.List(pl.String)}
