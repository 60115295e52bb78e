"""Scale scores: trait and acquiescence of each facet and domain, and whether the two keys agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.intervals import means_interval
from personascope.measures.reliability import correlate
from personascope.measures.tables import require_items

_MIN_FACETS = 3
_Keys: TypeAlias = tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]
_INTERVAL = {"low": pl.Float64, "high": pl.Float64}


def facet_scores(items: pl.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Trait and acquiescence of each persona on each facet.

    With m+ and m- the mean raw agreement over the facet's positively and negatively keyed items:
    trait = (m+ - m-) / 2 and acquiescence = (m+ + m-) / 2, both in [-1, 1]. Saying yes to everything moves only the
    acquiescence, whatever the numbers of items of either key; the plain keyed mean equals the trait only when
    these numbers are equal.

    Args:
        items: columns persona, item, facet, domain (null for interstitial facets), key (+1 or -1), agreement.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One row per persona and facet in order of first appearance: persona, domain, facet, trait, low, high (95 %
        percentile bootstrap of the trait over items within key), acquiescence, n_items, n_positive, n_negative.
        A facet with items of one key only has null trait, interval and acquiescence, since the two cannot
        be told apart; one with a single item of a key has a trait but a null interval.

    Raises:
        DataError: missing values, keys other than +1 and -1, or repeated items of a persona.
    """
    require_items(items, also=["facet"], nullable=["domain"])
    rows: list[dict[str, Any]] = []
    for (persona, domain, facet), part in _groups(items, ["persona", "domain", "facet"]):
        plus, minus = _by_key(part)
        score: dict[str, float | None] = {"trait": None, "low": None, "high": None, "acquiescence": None}
        if len(plus) and len(minus):
            low, high = means_interval([plus, minus], [0.5, -0.5], n_resamples=n_resamples, seed=seed)
            trait, acquiescence = float(plus.mean() - minus.mean()) / 2, float(plus.mean() + minus.mean()) / 2
            score = {"trait": trait, "low": low, "high": high, "acquiescence": acquiescence}
        counts = {"n_items": part.height, "n_positive": len(plus), "n_negative": len(minus)}
        rows.append({"persona": persona, "domain": domain, "facet": facet, **score, **counts})
    return pl.DataFrame(
        rows,
        schema_overrides={
            "trait": pl.Float64,
            "acquiescence": pl.Float64,
            "domain": items.schema["domain"],
            **_INTERVAL,
        },
        infer_schema_length=None,
    )


def domain_scores(items: pl.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Trait of each persona on each domain: the mean over the domain's facets, so that long facets do not dominate.

    Args:
        items: as for `facet_scores`; rows with a null domain (interstitial facets such as Altruism) stay out.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One row per persona and domain: persona, domain, trait, low, high (95 % percentile bootstrap over items within
        facet and key), acquiescence, n_items, facets (list of the averaged facets) and left_out (list of facets
        without items of both keys, which have no trait). Everything is null when no facet has one.

    Raises:
        DataError: as for `facet_scores`.
    """
    require_items(items, also=["facet"], nullable=["domain"])
    rows: list[dict[str, Any]] = []
    for (persona, domain), part in _groups(items.filter(pl.col("domain").is_not_null()), ["persona", "domain"]):
        keyed = {facet: _by_key(facet_part) for (facet,), facet_part in _groups(part, ["facet"])}
        scored = {facet: keys for facet, keys in keyed.items() if all(map(len, keys))}
        left_out = [facet for facet in keyed if facet not in scored]
        n_items = sum(len(plus) + len(minus) for plus, minus in scored.values())
        score = _domain_score(scored, n_resamples, seed)
        lists = {"n_items": n_items, "facets": list(scored), "left_out": left_out}
        rows.append({"persona": persona, "domain": domain, **score, **lists})
    if not rows:
        raise DataError("No item has a domain.", "Interstitial facets belong to none.", "Use facet_scores for them.")
    schema = {"trait": pl.Float64, **_INTERVAL, "acquiescence": pl.Float64}
    names = pl.List(pl.String)
    return pl.DataFrame(rows, schema_overrides={**schema, "facets": names, "left_out": names}, infer_schema_length=None)


def key_consistency(items: pl.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Whether positively and negatively keyed items tell the same story about a persona.

    For each persona the Pearson correlation over facets between the trait estimated from positive items alone (m+) and
    from negative items alone (-m-). Above .5 is expected of a person; r < 0 means that the scores are mostly bias.

    Args:
        items: columns persona, item, facet, key, agreement.
        n_resamples: bootstrap resamples (over facets).
        seed: of the bootstrap.

    Returns:
        One row per persona: persona, r, low, high (95 %), n (facets with items of both keys). r is null when all facets
        have the same mean on one of the keys, as for a persona that gives one answer to everything.

    Raises:
        DataError: as for `facet_scores`, or fewer than 3 facets with items of both keys.
    """
    require_items(items, also=["facet"])
    rows: list[dict[str, Any]] = []
    for (persona,), part in _groups(items, ["persona"]):
        keys = [_by_key(facet_part) for _, facet_part in _groups(part, ["facet"])]
        both = np.array([(plus.mean(), -minus.mean()) for plus, minus in keys if len(plus) and len(minus)])
        if len(both) < _MIN_FACETS:
            raise DataError(
                f"Persona {persona!r} has {len(both)} facets with items of both keys.",
                f"A correlation over facets needs at least {_MIN_FACETS}.",
                "Ask more facets, or facets with items of both keys.",
            )
        row: dict[str, Any] = {"persona": persona, "r": None, "low": None, "high": None, "n": len(both)}
        if np.all(np.ptp(both, axis=0) > 1e-12):
            result = correlate(both[:, 0], both[:, 1], n_resamples=n_resamples, seed=seed)
            row |= {"r": result.r, "low": result.low, "high": result.high}
        rows.append(row)
    return pl.DataFrame(rows, schema_overrides={"r": pl.Float64, **_INTERVAL}, infer_schema_length=None)


def _groups(frame: pl.DataFrame, by: Sequence[str]) -> Any:
    """Groups in order of first appearance; rows sorted by item, so that shuffled tables give equal resamples."""
    ordered = frame.with_row_index("_first").with_columns(pl.col("_first").min().over(by)).sort("_first", "item")
    return ordered.drop("_first").group_by(by, maintain_order=True)


def _by_key(part: pl.DataFrame) -> _Keys:
    """Raw agreement on positively and on negatively keyed items."""
    agreement, key = part["agreement"].to_numpy().astype(np.float64), part["key"].to_numpy()
    return agreement[key > 0], agreement[key < 0]


def _domain_score(scored: Mapping[str, _Keys], n_resamples: int, seed: int) -> dict[str, float | None]:
    if not scored:
        return {"trait": None, "low": None, "high": None, "acquiescence": None}
    strata = [stratum for keys in scored.values() for stratum in keys]
    means = np.array([stratum.mean() for stratum in strata])
    signs = np.tile([1.0, -1.0], len(scored)) / (2 * len(scored))
    low, high = means_interval(strata, list(signs), n_resamples=n_resamples, seed=seed)
    acquiescence = float(means @ np.abs(signs))
    return {"trait": float(means @ signs), "low": low, "high": high, "acquiescence": acquiescence}
