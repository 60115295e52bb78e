"""Doubt about labels: which items have a facet or a key that their texts, or a judge, make improbable.

Text statistics are calibrated probabilities, so the same numbers tell how many wrong labels a level of doubt finds, and
how many right ones it would send to review: a wrong label gets the probability that the item gives to that label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from personascope.instruments.audit.findings import Finding
from personascope.instruments.audit.judging import Opinion
from personascope.instruments.audit.keys import KeyRecovery
from personascope.instruments.audit.recovery import FacetRecovery
from personascope.instruments.facet_definitions import FacetDefinition
from personascope.instruments.items import Item

FACET_DOUBT = 0.005
"""Items whose own facet has a smaller probability than this are sent to review."""
KEY_DOUBT = 0.1
"""Items whose key has a smaller cross-validated probability than this are sent to review."""


@dataclass(frozen=True)
class Doubt:
    """A level of doubt: labels of a smaller probability are sent to review.

    Args:
        level: the probability.
        recall: share of wrong labels, drawn at random, that lie below it.
        alarms: share of the bank's own labels that lie below it; false alarms, as far as the bank is right.
    """

    level: float
    recall: float
    alarms: float


def doubt(
    own: Float[np.ndarray, " label"], wrong: Float[np.ndarray, " wrong"], *, level: float, recall: float | None = None
) -> Doubt:
    """The level of doubt, given outright or by the share of wrong labels that it has to find.

    Args:
        own: probabilities of the labels that items have, shape (label,).
        wrong: probabilities of labels that they do not have, shape (wrong,).
        level: the probability below which a label is doubted.
        recall: takes the level's place: the share of wrong labels to find.
    """
    if recall is not None:
        level = float(np.nextafter(np.quantile(wrong, recall, method="inverted_cdf"), 2.0))
    return Doubt(level, float((wrong < level).mean()), float((own < level).mean()))


def note_facets(
    items: Sequence[Item],
    recovery: FacetRecovery | None,
    level: float,
    opinions: Sequence[Opinion],
    definitions: Mapping[str, FacetDefinition],
    found: Sequence[list[Finding]],
) -> None:
    """Note items that a judge or, where it has no opinion, the words file under another facet."""
    own = np.ones(len(items)) if recovery is None else recovery.own_probability
    for place, (item, opinion) in enumerate(zip(items, opinions, strict=True)):
        if opinion.facet is not None:
            if opinion.facet != item.facet:
                found[place].append(Finding("facet", "review", f"a judge files it under {opinion.facet}"))
        elif recovery is not None and own[place] < level:
            other = recovery.nearest_other(place)
            defined = definitions.get(item.facet)
            boundary = {near.facet: near.boundary for near in defined.neighbours} if defined else {}
            why = f"its words go with {other} more than with {item.facet} (probability {own[place]:.3f})"
            found[place].append(Finding("facet", "review", f"{why}. {boundary.get(other, '')}".rstrip(". ")))


def note_keys(
    items: Sequence[Item],
    recovery: KeyRecovery | None,
    level: float,
    opinions: Sequence[Opinion],
    found: Sequence[list[Finding]],
) -> None:
    """Note items that a judge or, where it has no opinion, the words key the other way."""
    own = np.ones(len(items)) if recovery is None else recovery.own_probability
    for place, (item, opinion) in enumerate(zip(items, opinions, strict=True)):
        if opinion.key is not None and opinion.facet in (None, item.facet):
            if opinion.key != item.key:
                found[place].append(Finding("key", "review", f"a judge keys it {opinion.key:+d}, not {item.key:+d}"))
        elif recovery is not None and own[place] < level:
            why = f"its words go with items keyed {-item.key:+d} (probability of its own key {own[place]:.2f})"
            found[place].append(Finding("key", "review", why))
