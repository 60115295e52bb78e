"""Regressions on items that tell trait, acquiescence, order and desirability apart by estimating them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.by_model import by_model
from personascope.measures.desirability import keyed_items
from personascope.measures.intervals import CONFIDENCE
from personascope.measures.pairing import pair_items

_EFFECTS = ("raw", "raw_low", "raw_high", "adjusted", "low", "high", "desirability_slope", "slope_low", "slope_high")


def partial_effects(
    answers: pl.DataFrame, pairs: Sequence[tuple[str, str]] = (("meta", "self"), ("helpful", "self"))
) -> pl.DataFrame:
    """Condition effect of each facet after adjusting for desirability, beside the raw one.

    With d_i the item's agreement under the first persona minus under the second (both orders averaged), by ordinary
    least squares over all items: d_i = b(facet_i, key_i) + s * desirability_i + e_i. The adjusted effect of a facet is
    (b(facet, +) - b(facet, -)) / 2, that between items of equal desirability; the raw effect is the same without s,
    over the same items. s, the change in how strongly agreement follows desirability, is identified within facet and
    key. Standard errors are robust to correlation within clusters of near duplicates; intervals use t with
    clusters - 1 degrees of freedom, which is liberal for facets of few items.

    Args:
        answers: columns persona, item, order, agreement, label_mass, facet, key, desirability (null: left out);
            optionally model, and cluster (of near duplicates; null or absent: each item is its own).
        pairs: (persona, reference) for each contrast.

    Returns:
        One row per contrast and facet: contrast, persona, reference, facet, raw, raw_low, raw_high, adjusted, low,
        high, desirability_slope (s), slope_low, slope_high (the same for all facets of a contrast), n (items used) and
        n_left_out (items without a rating). A facet without items of both keys has null effects, one with a single
        item of a key null intervals.

    Raises:
        DataError: an unknown persona, items that only one persona answered, or no item rated, or desirability that does
            not vary within facet and key.
    """
    return by_model(lambda part: _partial_effects(part, pairs), answers)


def response_components(answers: pl.DataFrame) -> pl.DataFrame:
    """Trait, acquiescence, order bias and desirability of each persona, estimated together.

    By ordinary least squares over items and orders: agreement = b(facet, key) + s * desirability + o * order + e,
    with order +1 under ascending and -1 under descending anchors. trait(facet) = (b(+) - b(-)) / 2, acquiescence is the
    mean over facets of (b(+) + b(-)) / 2 at desirability 0, o the preference for late labels. Each is free of the
    others even where desirable items are mostly of one key, which the single indices are not; a persona that is a
    mixture of styles has its weights recovered. Standard errors are clustered as in `partial_effects`.

    Args:
        answers: as for `partial_effects`. Where any item has a rating, items without one are left out; where none has,
            s is not estimated and trait and acquiescence are not adjusted.

    Returns:
        One row per persona and component: persona, component ("acquiescence", "order", "desirability", "trait"), facet
        (of a trait), weight, low, high (95 %), n (items).

    Raises:
        DataError: as `partial_effects`.
    """
    return by_model(_components, answers)


@dataclass(frozen=True)
class _Cells:
    """Dummies of the cells facet x key: `number` of each cell, its item count, and the design (row, cell)."""

    number: dict[tuple[str, int], int]
    count: dict[tuple[str, int], int]
    design: Float[np.ndarray, "row cell"]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Cells:
        keys = list(rows.select("facet", "key").iter_rows())
        number = {cell: index for index, cell in enumerate(dict.fromkeys(keys))}
        items = rows.unique("item").group_by("facet", "key").len()
        design = np.zeros((len(keys), len(number)))
        design[np.arange(len(keys)), [number[cell] for cell in keys]] = 1.0
        return cls(number, {(facet, key): n for facet, key, n in items.iter_rows()}, design)

    def weights(self, facet: str, sign: int, width: int) -> Float[np.ndarray, " parameter"] | None:
        """(b(+) + sign * b(-)) / 2 as a combination of parameters; None without items of both keys."""
        if (facet, 1) not in self.number or (facet, -1) not in self.number:
            return None
        combination = np.zeros(width)
        combination[[self.number[facet, 1], self.number[facet, -1]]] = 0.5, 0.5 * sign
        return combination

    def has_spread(self, facet: str) -> bool:
        """Whether both cells hold at least two items, so that scatter within them can be seen."""
        return min(self.count[facet, 1], self.count[facet, -1]) > 1


def _fit(y: Any, design: Any, clusters: pl.Series) -> Any:
    from statsmodels.regression.linear_model import OLS  # slow to import

    codes = np.unique(clusters.to_numpy(), return_inverse=True)[1]
    return OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)


def _estimate(fit: Any, combination: Any, shown: bool = True) -> tuple[float | None, float | None, float | None]:
    """A combination of parameters with its 95 % interval, which is withheld unless `shown`."""
    if combination is None:
        return None, None, None
    test = fit.t_test(combination)
    low, high = test.conf_int(alpha=1 - CONFIDENCE)[0]
    return float(np.squeeze(test.effect)), *((float(low), float(high)) if shown else (None, None))


def _require_varied(rows: pl.DataFrame) -> None:
    spread = rows.group_by("facet", "key").agg(pl.col("desirability").max() - pl.col("desirability").min())
    if rows.is_empty() or not (spread["desirability"] > 1e-9).any():
        raise DataError(
            f"Desirability does not vary within any facet and key ({rows.height} rows with a rating).",
            "Then it cannot be told from the trait and from yea-saying.",
            "Rate the desirability of the items, or vary it within each key.",
        )


def _partial_effects(answers: pl.DataFrame, pairs: Sequence[tuple[str, str]]) -> pl.DataFrame:
    items = keyed_items(answers)
    rows: list[dict[str, Any]] = []
    for persona, reference in pairs:
        both = pair_items(items, persona, reference)
        used = both.filter(pl.col("desirability").is_not_null())
        _require_varied(used)
        cells = _Cells.of(used)
        design = np.column_stack([cells.design, used["desirability"].to_numpy()])
        raw = _fit(used["d"].to_numpy(), cells.design, used["cluster"])
        adjusted = _fit(used["d"].to_numpy(), design, used["cluster"])
        width = design.shape[1]
        slope = _estimate(adjusted, np.eye(width)[-1])
        for facet in both["facet"].unique(maintain_order=True):
            combination, own = cells.weights(facet, -1, width), pl.col("facet") == facet
            shown = combination is not None and cells.has_spread(facet)
            first = _estimate(raw, None if combination is None else combination[:-1], shown)
            second = _estimate(adjusted, combination, shown)
            n = used.filter(own).height
            names = {"contrast": f"{persona} - {reference}", "persona": persona, "reference": reference, "facet": facet}
            numbers = dict(zip(_EFFECTS, (*first, *second, *slope), strict=True))
            rows.append({**names, **numbers, "n": n, "n_left_out": both.filter(own).height - n})
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(_EFFECTS, pl.Float64), infer_schema_length=None)


def _components(answers: pl.DataFrame) -> pl.DataFrame:
    items = keyed_items(answers)
    if items["desirability"].is_not_null().any():
        items = items.filter(pl.col("desirability").is_not_null())
        _require_varied(items)
    rows: list[dict[str, Any]] = []
    for (persona,), part in items.group_by("persona", maintain_order=True):
        shown = pl.concat(
            part.with_columns(y=pl.col("agreement") + sign * pl.col("order_bias"), order=pl.lit(float(sign)))
            for sign in (1, -1)
        )
        cells = _Cells.of(shown)
        terms = ["order"] + ["desirability"] * shown["desirability"].is_not_null().all()
        design = np.column_stack([cells.design, *(shown[term].to_numpy() for term in terms)])
        width = design.shape[1]
        fit = _fit(shown["y"].to_numpy(), design, shown["cluster"])
        facets = part["facet"].unique(maintain_order=True).to_list()
        both = [w for facet in facets if (w := cells.weights(facet, 1, width)) is not None]
        found = {("acquiescence", None): _estimate(fit, np.mean(both, axis=0) if both else None)}
        for place, term in enumerate(terms, start=width - len(terms)):
            found[term, None] = _estimate(fit, np.eye(width)[place])
        for facet in facets:
            combination = cells.weights(facet, -1, width)
            found["trait", facet] = _estimate(fit, combination, combination is not None and cells.has_spread(facet))
        for (component, facet), (weight, low, high) in found.items():
            numbers = {"weight": weight, "low": low, "high": high}
            rows.append({"persona": persona, "component": component, "facet": facet, **numbers, "n": part.height})
    schema = dict.fromkeys(("weight", "low", "high"), pl.Float64) | {"facet": pl.String}
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
