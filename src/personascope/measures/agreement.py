"""Agreement over wordings (ICC of profiles and of condition contrasts) and of expected with sampled answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError, nearest
from personascope.measures.by_model import by_model
from personascope.measures.intervals import means_interval
from personascope.measures.reliability import correlate
from personascope.measures.tables import require_columns, require_unique

MIN_FACETS = 5
MIN_VARIANTS = 2
MIN_ITEMS = 3


def variant_agreement(
    facets: pl.DataFrame, pairs: Sequence[tuple[str, str]] = (("meta", "self"),), *, variant: str = "phrasing"
) -> pl.DataFrame:
    """Whether a persona's profile, and a contrast between personas, is the same in every wording.

    Targets are the facets, raters the variants, both random: ICC(2,1) is the reliability of one wording, ICC(2,k) that
    of the mean over all k (Shrout & Fleiss 1979; ICC(A,1) and ICC(A,k) of McGraw & Wong 1996, whose intervals are
    used), by `pingouin.intraclass_corr`. A persona's ICC can be high only because facets differ in their mean for any
    respondent; that of the contrast says whether the *condition effect* keeps its profile over wordings.

    Args:
        facets: `facet_scores` of each variant: columns persona, facet, trait and `variant`; optionally model.
        pairs: (persona, reference) of the contrasts; () for none.
        variant: column that tells the wordings apart.

    Returns:
        Two rows per persona and per contrast: profile ("self" or "meta - self"), kind ("persona" or "contrast"),
        coefficient ("ICC(2,1)" or "ICC(2,k)"), icc, low, high (95 %; null where variants agree exactly but for a
        shift), n_facets, n_variants, n_left_out (facets without a trait score under any variant, as of one key only).

    Raises:
        DataError: an unknown persona, a facet without a score under some variant, fewer than 5 facets or 2 variants, or
            scores that are all the same.
    """
    return by_model(lambda part: _variant_agreement(part, pairs, variant), facets)


def expected_against_sampled(
    expected: pl.DataFrame, sampled: pl.DataFrame, *, n_resamples: int = 10_000, seed: int = 0
) -> pl.DataFrame:
    """Whether the log-probability read-out says what sampled answers say.

    Args:
        expected: columns persona, item, agreement, from `score_likert` and `item_answers`.
        sampled: columns persona, item, agreement: the mean of the item's parsed samples, null when none could be
            parsed. Of the same personas and items.
        n_resamples: bootstrap resamples over items.
        seed: of the bootstrap.

    Returns:
        One row per persona: persona, r, low, high (Pearson over items; null when either is constant), mean_difference
        (expected - sampled), difference_low, difference_high (95 % percentile bootstrap), n (items), n_left_out (items
        without a parsed sample).

    Raises:
        DataError: an item that only one table has, or fewer than 3 items with samples.
    """

    def table(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
        rows = [_read_outs(part, n_resamples, seed) for part in _paired(one, other)]
        schema = dict.fromkeys(("r", "low", "high", "difference_low", "difference_high"), pl.Float64)
        return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)

    return by_model(table, expected, sampled)


def _variant_agreement(facets: pl.DataFrame, pairs: Sequence[tuple[str, str]], variant: str) -> pl.DataFrame:
    require_columns(facets, ["persona", "facet", "trait", variant], may_be_null=["trait"])
    require_unique(facets, ["persona", "facet", variant])
    scored = pl.col("trait").is_not_null().any().over("persona", "facet")
    variants = facets[variant].unique(maintain_order=True).to_list()
    tables: dict[str, tuple[list[str], Float[np.ndarray, "facet variant"], int]] = {}
    for (persona,), part in facets.with_columns(scored=scored).group_by("persona", maintain_order=True):
        kept = part.filter(pl.col("scored"))
        names = kept["facet"].unique(maintain_order=True).to_list()
        matrix = _matrix(str(persona), kept, names, variants, variant)
        tables[str(persona)] = names, matrix, part["facet"].n_unique() - len(names)
    rows: list[dict[str, Any]] = []
    for persona, (_, matrix, left_out) in tables.items():
        rows += _icc(persona, "persona", matrix, left_out)
    for persona, reference in pairs:
        for name in (persona, reference):
            if name not in tables:
                raise DataError(
                    f"No scores of persona {name!r}.{nearest(name, tables)}", f"There are {list(tables)}.", "Score it."
                )
        (ours, first, left_out), (theirs, second, _) = tables[persona], tables[reference]
        if sorted(ours) != sorted(theirs):
            odd = sorted(set(ours) ^ set(theirs))
            raise DataError(
                f"Facet {odd[0]!r} is scored for only one of {persona!r} and {reference!r}.", "", "Ask both."
            )
        contrast = first - second[[theirs.index(name) for name in ours]]
        rows += _icc(f"{persona} - {reference}", "contrast", contrast, left_out)
    ends = dict.fromkeys(("icc", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=ends, infer_schema_length=None)


def _matrix(
    persona: str, part: pl.DataFrame, facets: list[str], variants: list[Any], variant: str
) -> Float[np.ndarray, "facet variant"]:
    """Trait of each facet under each variant; complete, or an error that names what lacks."""
    if len(facets) < MIN_FACETS or len(variants) < MIN_VARIANTS:
        raise DataError(
            f"Persona {persona!r} has {len(facets)} facets with a trait score under {len(variants)} variants.",
            f"An intraclass correlation needs at least {MIN_FACETS} facets and {MIN_VARIANTS} variants.",
            "Ask more facets, or more wordings.",
        )
    scores = {(facet, which): trait for facet, which, trait in part.select("facet", variant, "trait").iter_rows()}
    for facet in facets:
        for which in variants:
            if scores.get((facet, which)) is None:
                raise DataError(
                    f"Persona {persona!r} has no trait score on facet {facet!r} under {variant} {which!r}.",
                    "Variants are compared on the same facets.",
                    "Ask every item in every wording.",
                )
    return np.array([[scores[facet, which] for which in variants] for facet in facets], dtype=np.float64)


def _icc(profile: str, kind: str, matrix: Float[np.ndarray, "facet variant"], left_out: int) -> list[dict[str, Any]]:
    import pingouin  # slow to import

    n_facets, n_variants = matrix.shape
    if np.ptp(matrix) <= 1e-12:
        raise DataError(
            f"All {matrix.size} scores of {profile!r} are {matrix[0, 0]:.6g}.",
            "Without variance between facets there is no intraclass correlation.",
            "Check that the answers depend on the item at all.",
        )
    rest = matrix - matrix.mean(axis=0) - matrix.mean(axis=1, keepdims=True) + matrix.mean()
    exact = bool(np.abs(rest).max() <= 1e-9 * np.ptp(matrix))  # no error variance: the F distribution says nothing
    facet, variant = (axis.ravel() for axis in np.indices(matrix.shape))
    long = pl.DataFrame({"facet": facet, "variant": variant, "trait": matrix.ravel()}).to_pandas()
    before = dict(pingouin.options)
    pingouin.options["round.column.CI95"] = None  # pingouin rounds intervals to two decimals unless told not to
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            table = pingouin.intraclass_corr(long, targets="facet", raters="variant", ratings="trait")
    finally:
        pingouin.options.clear()
        pingouin.options.update(before)
    table = table.set_index("Type")
    rows = []
    for name, theirs in (("ICC(2,1)", "ICC(A,1)"), ("ICC(2,k)", "ICC(A,k)")):
        low, high = (None, None) if exact else map(float, table.at[theirs, "CI95"])
        numbers = {"icc": min(1.0, float(table.at[theirs, "ICC"])), "low": low, "high": high}
        counts = {"n_facets": n_facets, "n_variants": n_variants, "n_left_out": left_out}
        rows.append({"profile": profile, "kind": kind, "coefficient": name, **numbers, **counts})
    return rows


def _paired(expected: pl.DataFrame, sampled: pl.DataFrame) -> list[pl.DataFrame]:
    """Items of each persona with both read-outs: columns persona, item, agreement, sampled."""
    require_columns(expected, ["persona", "item", "agreement"])
    require_columns(sampled, ["persona", "item", "agreement"], may_be_null=["agreement"])
    for frame in (expected, sampled):
        require_unique(frame, ["persona", "item"])
    ours, theirs = (set(frame.select("persona", "item").iter_rows()) for frame in (expected, sampled))
    odd = sorted(ours ^ theirs)
    if odd:
        raise DataError(
            f"Item {odd[0][1]!r} of persona {odd[0][0]!r} has only one read-out ({len(odd)} such items).",
            "The two are compared on the same items; an item without a parsed sample is null, not absent.",
            "Pass both tables for the same personas and items.",
        )
    other = sampled.select("persona", "item", sampled="agreement")
    both = expected.join(other, on=["persona", "item"], maintain_order="left")
    parsed = both.filter(pl.col("sampled").is_not_null())
    if parsed.height:
        require_columns(parsed, ["sampled"])
    return both.partition_by("persona", maintain_order=True)


def _read_outs(part: pl.DataFrame, n_resamples: int, seed: int) -> dict[str, Any]:
    persona = part["persona"][0]
    used = part.filter(pl.col("sampled").is_not_null()).sort("item")
    if used.height < MIN_ITEMS:
        raise DataError(
            f"Persona {persona!r} has {used.height} items with parsed samples (of {part.height}).",
            f"Agreement of read-outs needs at least {MIN_ITEMS}.",
            "Sample more, or look at why the answers cannot be parsed.",
        )
    x, y = (used[name].to_numpy().astype(np.float64) for name in ("agreement", "sampled"))
    row: dict[str, Any] = {"persona": persona, "r": None, "low": None, "high": None}
    if min(np.ptp(x), np.ptp(y)) > 1e-12:
        found = correlate(x, y, n_resamples=n_resamples, seed=seed)
        row |= {"r": found.r, "low": found.low, "high": found.high}
    low, high = means_interval([x - y], [1.0], n_resamples=n_resamples, seed=seed)
    row |= {"mean_difference": float((x - y).mean()), "difference_low": low, "difference_high": high}
    return row | {"n": used.height, "n_left_out": part.height - used.height}
