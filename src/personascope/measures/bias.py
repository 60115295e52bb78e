"""Response bias of each persona: acquiescence, order, labels, desirability and style, told apart from its traits."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.instruments.items import ItemBank
from personascope.measures.by_model import by_model
from personascope.measures.desirability import keyed_items, within_cells
from personascope.measures.intervals import means_interval
from personascope.measures.label_prior import label_prior, option_probabilities, subtract_prior, without_prior
from personascope.measures.partial_effects import partial_effects, response_components
from personascope.measures.scales import key_consistency

__all__ = [
    "bias_panel",
    "label_prior",
    "partial_effects",
    "response_components",
    "response_orthogonality",
    "subtract_prior",
]

MIN_LABEL_MASS = 0.5
MAX_ORDER_BIAS = 0.2
MAX_SIGN_FLIPS = 0.25
MAX_ACQUIESCENCE_PER_TRAIT = 2.0
MAX_DESIRABILITY_R = 0.3
MAX_STYLE_SHARE = 0.5
HALF_STEP = 0.25
"""Half a step of a five-point scale: an answer is near the middle, or near an end, when it is at most this far away."""
_MIN_FACETS = 3
_Row = dict[str, Any]


def bias_panel(
    answers: pl.DataFrame, *, prior: pl.DataFrame | None = None, n_resamples: int = 2_000, seed: int = 0
) -> pl.DataFrame:
    """Every index of response bias of every persona, with intervals, and flags where a score should not be trusted.

    | index | what it is | flag |
    |---|---|---|
    | label_mass | mean probability on the labels | < .5 |
    | trait | root mean square facet trait, the variance of its error subtracted; n facets | |
    | acquiescence | mean over facets of the half sum of keyed means | absolute value > 2 trait, interval without 0 |
    | key_consistency | r over facets of the trait from + and from - items (`scales.key_consistency`) | < 0 |
    | order_bias | half of ascending minus descending agreement: preference for late labels | absolute value > .2 |
    | order_bias_absolute | its mean absolute value over items | > .2 |
    | sign_flips | share of items that are agreed with under one order and denied under the other | > .25 |
    | desirability_slope, _r | agreement on desirability within facet and key (`within_cells`) | absolute r > .3 |
    | extremity | mean absolute agreement, order by order | |
    | extreme_share | share of answers within .25 of full agreement or denial | > .5 |
    | midpoint_share | share of answers within .25 of the middle | > .5 |
    | extreme_mass, middle_mass | mean probability on the two end labels, on the middle label (K odd) | |
    | prior_kl, prior_agreement, prior_order_bias | see `label_prior` | |
    | *_without_prior | trait to sign_flips after `subtract_prior`; the raw ones always stand beside them | as above |

    An even guess and a firm middle both have an expected agreement of 0; only the masses tell them apart. Labels are
    numbered in the order shown, so a preference for the first place and one for the label "1" are the same here.

    Args:
        answers: columns persona, item, order ("ascending", "descending"), agreement, label_mass, facet, key;
            optionally model (each is taken alone), desirability (null: item left out of that index) and
            option_probabilities (list, in the order in which the prompt numbered the labels).
        prior: answers to content-free items as `label_prior` takes them; needs option_probabilities in `answers`.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One row per persona and index: persona, index, value, low, high (95 % percentile bootstrap over items, for
        acquiescence and desirability within facet and key; over facets for trait and key_consistency; over
        placeholders for the prior), n (items, facets or placeholders) and flag (text, null when nothing is amiss).
        What cannot be computed is null, with the reason as flag; an interval is null on a single observation.

    Raises:
        DataError: missing values, unknown orders, an item without both orders or with two keys; a prior that lacks.
    """
    how = {"n_resamples": n_resamples, "seed": seed}
    return by_model(lambda part, part_prior: _panel(part, part_prior, how), answers, prior)


def response_orthogonality(bank: ItemBank) -> pl.DataFrame:
    """How well the keys of each facet keep yea-saying out of its plain keyed mean.

    orthogonality = n- / (n+ + n-): .5 is balanced; at 0 and 1 all items have one key, and trait and acquiescence are
    the same thing. The plain keyed mean contains acquiescence with the weight 1 - 2 orthogonality.

    Returns:
        One row per facet in the order of the bank: facet, domain, n_positive, n_negative, orthogonality.
    """
    counts = (
        bank.frame()
        .group_by("facet", maintain_order=True)
        .agg(
            pl.col("domain").first(),
            n_positive=(pl.col("key") > 0).sum().cast(pl.Int64),
            n_negative=(pl.col("key") < 0).sum().cast(pl.Int64),
        )
    )
    return counts.with_columns(orthogonality=pl.col("n_negative") / (pl.col("n_positive") + pl.col("n_negative")))


def _panel(answers: pl.DataFrame, prior: pl.DataFrame | None, how: dict[str, int]) -> pl.DataFrame:
    items = keyed_items(answers)
    if "option_probabilities" in answers.columns:
        items = items.join(_masses(answers), on=["persona", "item"], maintain_order="left")
    corrected = None
    if prior is not None:
        corrected = keyed_items(without_prior(answers, prior))
        measured = label_prior(prior, n_resamples=how["n_resamples"], seed=how["seed"])
    rows: list[_Row] = []
    for (persona,), part in items.group_by("persona", maintain_order=True):
        part = part.sort("facet", "key", "item")
        found = [*_labels(part, how), *_content(part, how), *_desirability(part, how), *_style(part, how)]
        if corrected is not None:
            found += measured.filter(pl.col("persona") == persona).drop("persona").to_dicts()
            own = corrected.filter(pl.col("persona") == persona).sort("facet", "key", "item")
            found += [{**row, "index": f"{row['index']}_without_prior"} for row in _content(own, how)]
        rows += [{"persona": persona, "flag": None, **row} for row in found]
    schema = dict.fromkeys(("value", "low", "high"), pl.Float64) | {"flag": pl.String}
    table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return table.select("persona", "index", "value", "low", "high", "n", "flag")


def _masses(answers: pl.DataFrame) -> pl.DataFrame:
    """Probability on the end labels and on the middle one (null for an even number), mean of both orders."""
    p = option_probabilities(answers)
    middle = pl.Series(p[:, p.shape[1] // 2]) if p.shape[1] % 2 else pl.lit(None, pl.Float64)
    rows = answers.select("persona", "item").with_columns(extreme=pl.Series(p[:, 0] + p[:, -1]), middle=middle)
    return rows.group_by("persona", "item").agg(pl.col("extreme").mean(), pl.col("middle").mean())


def _labels(part: pl.DataFrame, how: dict[str, int]) -> list[_Row]:
    row = _mean("label_mass", part["label_mass"], how)
    if row["value"] < MIN_LABEL_MASS:
        row["flag"] = f"label mass {row['value']:.2f} < {MIN_LABEL_MASS}: most of the answer is not a rating"
    return [row]


def _content(part: pl.DataFrame, how: dict[str, int]) -> list[_Row]:
    """Trait, acquiescence and order; `part` is sorted by facet, key and item."""
    up, down = part["agreement"] + part["order_bias"], part["agreement"] - part["order_bias"]
    bias = _mean("order_bias", part["order_bias"], how)
    absolute = _mean("order_bias_absolute", part["order_bias"].abs(), how)
    flips = _mean("sign_flips", (up * down < 0).cast(pl.Float64), how)
    for row, limit, name in (
        (bias, MAX_ORDER_BIAS, "order bias"),
        (absolute, MAX_ORDER_BIAS, "mean absolute order bias"),
        (flips, MAX_SIGN_FLIPS, "share of sign flips"),
    ):
        if abs(row["value"]) > limit:
            row["flag"] = f"{name} {row['value']:.2f} beyond {limit}: answers depend on the order of the labels"
    return [*_trait_and_acquiescence(part, how), _consistency(part, how), bias, absolute, flips]


def _trait_and_acquiescence(part: pl.DataFrame, how: dict[str, int]) -> list[_Row]:
    agreement, key = part["agreement"].to_numpy().astype(np.float64), part["key"].to_numpy()
    facet = part["facet"].to_numpy()
    facets = [(agreement[(facet == f) & (key > 0)], agreement[(facet == f) & (key < 0)]) for f in np.unique(facet)]
    both = [(plus, minus) for plus, minus in facets if len(plus) and len(minus)]
    if not both:
        reason = "no facet has items of both keys: trait and acquiescence cannot be told apart"
        return [_row(index, None, None, None, 0, reason) for index in ("trait", "acquiescence")]
    trait = _trait(both, how)
    strata = [stratum for pair in both for stratum in pair]
    value = float(np.mean([stratum.mean() for stratum in strata]))
    low, high = means_interval(strata, [1 / len(strata)] * len(strata), **how)
    acquiescence = _row("acquiescence", value, low, high, sum(map(len, strata)))
    beyond_noise = abs(value) > 1e-9 and (low is None or high is None or low * high > 0)
    if beyond_noise and trait["value"] is not None and abs(value) > MAX_ACQUIESCENCE_PER_TRAIT * trait["value"]:
        acquiescence["flag"] = (
            f"|acquiescence| {abs(value):.2f} > {MAX_ACQUIESCENCE_PER_TRAIT:g} x trait {trait['value']:.2f}"
        )
    return [trait, acquiescence]


def _trait(both: list[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]], how: dict[str, int]) -> _Row:
    """Root mean square of facet traits; an error of variance v adds v to the mean square, so v is subtracted."""
    spread = [(plus, minus) for plus, minus in both if min(len(plus), len(minus)) > 1]
    if not spread:
        return _row("trait", None, None, None, 0, "no facet has two items of each key: the error cannot be seen")
    error = [(plus.var(ddof=1) / len(plus) + minus.var(ddof=1) / len(minus)) / 4 for plus, minus in spread]
    squares = np.array([(plus.mean() - minus.mean()) ** 2 / 4 for plus, minus in spread]) - error
    low, high = (
        None if end is None else float(np.sqrt(max(0.0, end))) for end in means_interval([squares], [1.0], **how)
    )
    return _row("trait", float(np.sqrt(max(0.0, squares.mean()))), low, high, len(squares))


def _consistency(part: pl.DataFrame, how: dict[str, int]) -> _Row:
    keys = part.group_by("facet").agg(pl.col("key").n_unique())
    n = keys.filter(pl.col("key") == 2).height
    if n < _MIN_FACETS:
        return _row("key_consistency", None, None, None, n, f"fewer than {_MIN_FACETS} facets have items of both keys")
    found = key_consistency(part, **how).row(0, named=True)
    flag = "key consistency is not defined: all facets have the same mean" if found["r"] is None else None
    if found["r"] is not None and found["r"] < 0:
        flag = f"key consistency {found['r']:.2f} < 0: the scores are mostly bias"
    return _row("key_consistency", found["r"], found["low"], found["high"], n, flag)


def _desirability(part: pl.DataFrame, how: dict[str, int]) -> list[_Row]:
    found = within_cells(part, **how)
    rated = part["desirability"].is_not_null().any()
    flag = None
    if found.slope is None:
        flag = "desirability does not vary within facet and key" if rated else "no item has a desirability rating"
    elif found.r is not None and abs(found.r) > MAX_DESIRABILITY_R:
        flag = f"|r| with desirability {abs(found.r):.2f} > {MAX_DESIRABILITY_R}"
    return [
        _row("desirability_slope", found.slope, found.slope_low, found.slope_high, found.n, flag),
        _row("desirability_r", found.r, found.r_low, found.r_high, found.n, flag),
    ]


def _style(part: pl.DataFrame, how: dict[str, int]) -> list[_Row]:
    # Averaged over orders, one who always takes the first label would look like one who takes the middle.
    sizes = [(part["agreement"] + sign * part["order_bias"]).abs() for sign in (1, -1)]
    shares = {
        "extremity": sizes,
        "extreme_share": [(size >= 1 - HALF_STEP - 1e-9).cast(pl.Float64) for size in sizes],
        "midpoint_share": [(size <= HALF_STEP + 1e-9).cast(pl.Float64) for size in sizes],
    }
    rows = [_mean(index, (one + other) / 2, how) for index, (one, other) in shares.items()]
    for row, place in ((rows[1], "the ends"), (rows[2], "the middle")):
        if row["value"] > MAX_STYLE_SHARE:
            row["flag"] = f"{row['value']:.2f} of the answers are near {place} of the scale"
    if "extreme" in part.columns:
        rows.append(_mean("extreme_mass", part["extreme"], how))
        rows += [] if part["middle"].has_nulls() else [_mean("middle_mass", part["middle"], how)]
    return rows


def _mean(index: str, values: pl.Series, how: dict[str, int]) -> _Row:
    numbers = values.to_numpy().astype(np.float64)
    low, high = means_interval([numbers], [1.0], **how)
    return _row(index, float(numbers.mean()), low, high, len(numbers))


def _row(
    index: str, value: float | None, low: float | None, high: float | None, n: int, flag: str | None = None
) -> _Row:
    return {"index": index, "value": value, "low": low, "high": high, "n": n, "flag": flag}
