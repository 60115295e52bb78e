"""Doubt about labels: which items have a facet or a key that their texts, or a judge, make improbable.

Text statistics are calibrated probabilities, so the same numbers tell how many wrong labels a level of doubt finds, and
how many right ones it would send to review: a wrong label gets the probability that the item gives to that label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from personascope.instruments.audit.examples import Examples
from personascope.instruments.audit.findings import Finding
from personascope.instruments.audit.judging import Opinion
from personascope.instruments.audit.keys import KeyRecovery
from personascope.instruments.audit.recovery import FacetRecovery
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.facet_definitions import FacetDefinition
from personascope.instruments.items import Item

FACET_DOUBT = 0.005
"""Items whose own facet has a smaller probability than this are sent to review."""
KEY_DOUBT = 0.1
"""Items whose key has a smaller probability than this are sent to review."""


@dataclass(frozen=True)
class Doubt:
    """A level of doubt: labels of a smaller probability are sent to review.

    Args:
        level: the probability.
        recall: share of wrong labels, drawn at random, that lie below it.
        alarms: share of right labels that lie below it.
    """

    level: float
    recall: float
    alarms: float


def doubt(
    own: Float[np.ndarray, " item"],
    wrong: Float[np.ndarray, "item other"],
    trust: Float[np.ndarray, " item"],
    *,
    level: float,
    recall: float | None = None,
) -> Doubt:
    """The level of doubt, given outright or by the share of wrong labels that it has to find.

    Items count as much as their own label is trusted: in a bank with wrong labels a "wrong" one may be the right one.

    Args:
        own: probabilities of the labels that items have, shape (item,).
        wrong: probabilities of labels that they do not have, shape (item, other).
        trust: probability that an item's own label is right, shape (item,).
        level: the probability below which a label is doubted.
        recall: takes the level's place: the share of wrong labels to find.
    """
    if recall is not None:
        weights = np.broadcast_to(trust[:, None], wrong.shape).ravel()
        level = float(np.nextafter(np.quantile(wrong.ravel(), recall, method="inverted_cdf", weights=weights), 2.0))
    found = np.average((wrong < level).mean(axis=1), weights=trust)
    return Doubt(level, float(found), float(np.average(own < level, weights=trust)))


def doubt_of(recovery: FacetRecovery | KeyRecovery, recall: float | None) -> Doubt:
    """The level of doubt for facets or keys: clear cases only, or the share of wrong labels to find."""
    level = FACET_DOUBT if isinstance(recovery, FacetRecovery) else KEY_DOUBT
    return doubt(recovery.own_probability, recovery.wrong_probabilities, recovery.trust, level=level, recall=recall)


def note_facets(
    items: Sequence[Item],
    recovery: FacetRecovery | None,
    recall: float | None,
    opinions: Sequence[Opinion],
    examples: Examples,
    definitions: Mapping[str, FacetDefinition],
    found: Sequence[list[Finding]],
) -> None:
    """Note items that a judge, a verified item of the same words or, without these, the texts file elsewhere."""
    level = 0.0 if recovery is None else doubt_of(recovery, recall).level
    own = np.ones(len(items)) if recovery is None else recovery.own_probability
    for place, (item, opinion) in enumerate(zip(items, opinions, strict=True)):
        known = examples.verified.get(normal_form(item.text))
        if opinion.facet is not None:
            if opinion.facet != item.facet:
                found[place].append(Finding("facet", "review", f"a judge files it under {opinion.facet}"))
        elif known is not None:
            if known.facet != item.facet:
                why = f"stands word for word in the built-in bank, under {known.facet} ({known.id})"
                found[place].append(Finding("facet", "review", why))
        elif recovery is not None and own[place] < level:
            other = recovery.nearest_other(place)
            defined = definitions.get(item.facet)
            boundary = {near.facet: near.boundary for near in defined.neighbours} if defined else {}
            likelier = recovery.rank[place] > 1
            says = f"goes with {other} more than with" if likelier else f"may go with {other} as well as with"
            why = f"its text {says} {item.facet} (probability {own[place]:.3f})"
            found[place].append(Finding("facet", "review", f"{why}. {boundary.get(other, '')}".rstrip(". ")))


def note_keys(
    items: Sequence[Item],
    recovery: KeyRecovery | None,
    recall: float | None,
    opinions: Sequence[Opinion],
    examples: Examples,
    found: Sequence[list[Finding]],
) -> None:
    """Note items that a judge, a verified item of the same words or, without these, the texts key the other way."""
    level = 0.0 if recovery is None else doubt_of(recovery, recall).level
    own = np.ones(len(items)) if recovery is None else recovery.own_probability
    for place, (item, opinion) in enumerate(zip(items, opinions, strict=True)):
        known = examples.verified.get(normal_form(item.text))
        if opinion.key is not None and opinion.facet in (None, item.facet):
            if opinion.key != item.key:
                found[place].append(Finding("key", "review", f"a judge keys it {opinion.key:+d}, not {item.key:+d}"))
        elif known is not None:
            if known.facet == item.facet and known.key != item.key:
                why = f"stands word for word in the built-in bank, keyed {known.key:+d}, not {item.key:+d} ({known.id})"
                found[place].append(Finding("key", "review", why))
        elif recovery is not None and own[place] < level:
            says = "goes" if own[place] < 0.5 else "may go"
            why = f"its text {says} with items keyed {-item.key:+d} (probability of its own key {own[place]:.2f})"
            found[place].append(Finding("key", "review", why))
