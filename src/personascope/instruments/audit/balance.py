"""Balance of a bank: items per facet and key, response orthogonality, and desirability matched between the keys."""

from __future__ import annotations

import polars as pl

from personascope.instruments.audit.form import NEGATED_SHARE, is_negated
from personascope.instruments.items import ItemBank

DESIRABILITY_GAP = 1.0
"""On [-1, 1]: with a larger gap between the keys, wanting to look good reads as the trait."""


def balance(bank: ItemBank) -> pl.DataFrame:
    """One row per facet, in the bank's order.

    Columns: facet, domain, plus, minus (items keyed + and -), orthogonality (the share keyed -; .5 lets trait and
    yea-saying be told apart best), negated (share of the items keyed - that are reversed by a negation),
    desirability_plus, desirability_minus, gap (their difference; null where no item of a key has a desirability),
    note (what to mend).
    """
    rows = []
    for facet in bank.facets:
        own = [item for item in bank.items if item.facet == facet]
        plus, minus = [i for i in own if i.key == 1], [i for i in own if i.key == -1]
        negated = sum(is_negated(item.text) for item in minus) / len(minus) if minus else None
        liked = [
            [item.desirability for item in side if item.desirability is not None] for side in (plus, minus)
        ]  # matched only where both keys have been rated
        means = [sum(values) / len(values) if values else None for values in liked]
        gap = None if means[0] is None or means[1] is None else means[0] - means[1]
        notes = []
        if not plus or not minus:
            notes.append("one key only: trait and yea-saying cannot be told apart")
        elif len(plus) != len(minus):
            notes.append("unequal keys")
        if negated is not None and negated > NEGATED_SHARE:
            notes.append(f"{negated:.0%} of the reversed items are reversed by a negation")
        if gap is not None and abs(gap) > DESIRABILITY_GAP:
            notes.append(f"desirability differs by {gap:+.2f} between the keys")
        rows.append(
            {
                "facet": facet,
                "domain": own[0].domain,
                "plus": len(plus),
                "minus": len(minus),
                "orthogonality": len(minus) / len(own),
                "negated": negated,
                "desirability_plus": means[0],
                "desirability_minus": means[1],
                "gap": gap,
                "note": "; ".join(notes),
            }
        )
    numbers = ("orthogonality", "negated", "desirability_plus", "desirability_minus", "gap")
    schema = {"facet": pl.String, "domain": pl.String, "plus": pl.Int64, "minus": pl.Int64}
    return pl.DataFrame(rows, schema=schema | dict.fromkeys(numbers, pl.Float64) | {"note": pl.String})
