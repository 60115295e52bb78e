"""The headline numbers of an audit, each with a note that says how to read it."""

from __future__ import annotations

from typing import Any

import polars as pl

from personascope.instruments.audit.balance import balance
from personascope.instruments.audit.duplicates import Duplicates
from personascope.instruments.audit.keys import KeyRecovery
from personascope.instruments.audit.labels import doubt_of
from personascope.instruments.audit.recovery import FacetRecovery
from personascope.instruments.audit.similarity import mean_cosines, topic_vectors
from personascope.instruments.items import ItemBank

SOUGHT = 0.9
"""The share of wrong labels for which the summary says how much would have to be read."""
_TIERS = {
    "applicable": "a respondent that is only text can agree or disagree truthfully",
    "as-if": "it can only imagine the situation",
    "not": "needs a body, a household or a biography",
}


def headline(
    bank: ItemBank,
    columns: pl.DataFrame,
    copies: Duplicates,
    facets: FacetRecovery | None,
    keys: KeyRecovery | None,
    given: Any,
    recalls: tuple[float | None, float | None],
) -> pl.DataFrame:
    """Columns name, value (null where there are too few items to tell), note."""
    rows = topic_vectors([item.text for item in bank.items]) if given is None else given
    within, between = mean_cosines(rows, [item.facet for item in bank.items])
    how = "TF-IDF of words and character n-grams" if given is None else "given vectors, centred"
    shares = columns["applicability"].value_counts()
    tiers = dict(zip(shares["applicability"].to_list(), shares["count"].to_list(), strict=True))
    per_facet = balance(bank)["orthogonality"].to_numpy()
    told_by = "words" if given is None else "words and given vectors"
    chance = f"own facet the likeliest by {told_by}; chance {1 / len(bank.facets):.2f}"
    chance += "" if facets is None else f"; AUC {facets.auc:.2f}"
    rated = any(item.desirability is not None for item in bank.items)
    by = f"{told_by} and rated desirability" if rated else told_by
    auc = "" if keys is None else f"own key the likelier one by {by}, near copies left out; AUC {keys.auc:.2f}"
    spread = f"share keyed -, .5 is best; by facet from {per_facet.min():.2f} to {per_facet.max():.2f}"
    told: list[tuple[str, float | None, str]] = [
        ("duplicate rate", copies.rate, f"superfluous copies; near from cosine {copies.threshold:.2f} on"),
        ("similarity within facets", within, f"mean cosine of two items, {how}"),
        ("similarity between facets", between, "lower than within, or the facets are not told apart"),
        ("facet recovery", facets.accuracy if facets else None, chance if facets else "too few items to tell"),
        _reading("facet reading", facets, recalls[0]),
        ("key recovery", keys.accuracy if keys else None, auc or "too few items to tell"),
        _reading("key reading", keys, recalls[1]),
        ("orthogonality", float(per_facet.mean()), spread),
        *[(name, tiers.get(name, 0) / len(bank.items), note) for name, note in _TIERS.items()],
    ]
    return pl.DataFrame(told, schema={"name": pl.String, "value": pl.Float64, "note": pl.String}, orient="row")


def _reading(
    name: str, recovery: FacetRecovery | KeyRecovery | None, recall: float | None
) -> tuple[str, float | None, str]:
    """What finding 9 in 10 wrong labels by the texts alone would cost, and what was flagged here."""
    if recovery is None:
        return name, None, "too few items to tell"
    cost, here = doubt_of(recovery, SOUGHT), doubt_of(recovery, recall)
    price = f"of the right labels would be read to find {SOUGHT:.0%} of the wrong ones without a judge or answers"
    return name, cost.alarms, f"{price}; flagged here: {here.recall:.0%} of the wrong, {here.alarms:.0%} of the right"
