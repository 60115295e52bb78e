"""Contrasts between personas, paired by item: effect, interval, permutation p, false discovery rate, and bias split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from personascope.errors import DataError, nearest
from personascope.measures.intervals import means_interval
from personascope.measures.tables import require_items

EXACT_LIMIT = 12
N_FLIPS = 10_000


def paired_contrasts(
    items: pl.DataFrame,
    pairs: Sequence[tuple[str, str]] = (("meta", "self"), ("helpful", "self")),
    by: str = "facet",
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> pl.DataFrame:
    """Difference in trait between two personas on the same items, for each facet.

    With d the item's raw agreement under the first persona minus under the second, and d+ and d- its means over
    positively and negatively keyed items, difference = (d+ - d-) / 2. This is the difference of `facet_scores` traits,
    and the plain mean of key * d when the keys are balanced. A persona that just says yes more often moves d+ and
    d- alike and the difference not at all, so both are given beside it.

    The p value is two-sided from flipping the signs of the items' differences (Fisher 1935): it supposes that each is
    symmetric around zero without an effect. q is Benjamini & Hochberg (1995) over the groups of one contrast.

    Args:
        items: columns persona, item, key, agreement and `by`; one row per persona and item.
        pairs: (persona, reference) for each contrast.
        by: column that groups items; items where it is null stay out.
        seed: of bootstrap and random flips.
        n_resamples: bootstrap resamples.

    Returns:
        One row per contrast and group: contrast ("meta - self"), persona, reference, `by`, difference, low, high (95 %
        percentile bootstrap over items within key), difference_positive (d+), difference_negative (d-), p, q, n
        (items). A group with items of one key only has null difference, interval, p and q: trait and yea-saying
        cannot be told apart there.

    Raises:
        DataError: an unknown persona, items that only one of the two answered, or as `facet_scores`.
    """
    require_items(items, nullable=[by])
    rows: list[dict[str, Any]] = []
    for persona, reference in pairs:
        joined = _pair_items(items, persona, reference).filter(pl.col(by).is_not_null())
        names = {"contrast": f"{persona} - {reference}", "persona": persona, "reference": reference}
        groups = joined.group_by(by, maintain_order=True)
        family = [{**names, by: group, **_contrast(part, seed, n_resamples)} for (group,), part in groups]
        _add_q(family)
        rows += family
    if not rows:
        raise DataError(f"There is nothing to contrast: {len(pairs)} pairs, no item with a {by}.", "", "Pass both.")
    numbers = ["difference", "low", "high", "difference_positive", "difference_negative", "p", "q"]
    table = pl.DataFrame(rows, schema_overrides=dict.fromkeys(numbers, pl.Float64), infer_schema_length=None)
    return table.select("contrast", "persona", "reference", by, *numbers, "n")


def sign_flip_p(values: Float[np.ndarray, " item"], *, seed: int = 0, n_flips: int = N_FLIPS) -> float:
    """Two-sided permutation p value of sum(values) when every sign is a fair coin.

    Exact over all 2^n sign patterns for n <= 12; otherwise (1 + hits) / (1 + n_flips) from random patterns (Phipson &
    Smyth 2010), which is never zero.

    Args:
        values: shape (item,).
        seed: of the random patterns.
        n_flips: number of random patterns.
    """
    n = len(values)
    scale = float(np.abs(values).sum())
    exact = n <= EXACT_LIMIT
    if exact:
        signs = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_flips, n))
    # Patterns with equal sums must count as ties although rounding tells them apart.
    hits = np.abs(signs @ values) >= abs(values.sum()) - 1e-12 * scale
    return float(hits.mean()) if exact else float((1 + hits.sum()) / (1 + n_flips))


def _pair_items(items: pl.DataFrame, persona: str, reference: str) -> pl.DataFrame:
    """Items of both personas, sorted by group of first appearance, with d = raw agreement difference."""
    known = items["persona"].unique().sort().to_list()
    for name in (persona, reference):
        if name not in known:
            raise DataError(
                f"No answers of persona {name!r}.{nearest(name, known)}", f"The table has {known}.", "Ask it first."
            )
    ours, theirs = (items.filter(pl.col("persona") == name) for name in (persona, reference))
    unpaired = sorted(set(ours["item"]) ^ set(theirs["item"]))
    if unpaired:
        raise DataError(
            f"{len(unpaired)} items were answered by only one of {persona!r} and {reference!r}: "
            f"{', '.join(map(str, unpaired[:10]))}{' ...' if len(unpaired) > 10 else ''}.",
            "A paired contrast compares answers to the same items.",
            "Ask the missing items, or leave them out for both personas.",
        )
    answers = theirs.select("item", theirs="agreement")
    return ours.join(answers, on="item", maintain_order="left").with_columns(d=pl.col("agreement") - pl.col("theirs"))


def _contrast(part: pl.DataFrame, seed: int, n_resamples: int) -> dict[str, float | int | None]:
    part = part.sort("item")
    d, key = part["d"].to_numpy().astype(np.float64), part["key"].to_numpy()
    plus, minus = d[key > 0], d[key < 0]
    row: dict[str, float | int | None] = {
        "difference": None,
        "low": None,
        "high": None,
        "difference_positive": float(plus.mean()) if len(plus) else None,
        "difference_negative": float(minus.mean()) if len(minus) else None,
        "p": None,
        "n": len(d),
    }
    if len(plus) and len(minus):
        low, high = means_interval([plus, minus], [0.5, -0.5], n_resamples=n_resamples, seed=seed)
        shares = np.concatenate([plus / len(plus), -minus / len(minus)]) / 2
        row |= {"difference": float(shares.sum()), "low": low, "high": high, "p": sign_flip_p(shares, seed=seed)}
    return row


def _add_q(family: list[dict[str, Any]]) -> None:
    """Benjamini-Hochberg adjusted p values over the rows of one contrast that have a p."""
    tested = [row for row in family if row["p"] is not None]
    adjusted = stats.false_discovery_control([row["p"] for row in tested], method="bh") if tested else []
    for row in family:
        row["q"] = None
    for row, q in zip(tested, adjusted, strict=True):
        row["q"] = float(q)
