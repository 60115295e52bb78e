"""Audit a bank: run every check, gather what each says about each item, and sum up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from personascope.errors import DataError
from personascope.instruments.audit.balance import balance
from personascope.instruments.audit.discrimination import discrimination
from personascope.instruments.audit.duplicates import Duplicates, find_duplicates, spelling_threshold
from personascope.instruments.audit.embodiment import check_embodiment
from personascope.instruments.audit.examples import Examples, pole_items
from personascope.instruments.audit.findings import Finding
from personascope.instruments.audit.form import check_form, is_negated
from personascope.instruments.audit.headline import headline
from personascope.instruments.audit.judging import Judge, Opinion, ask_judge
from personascope.instruments.audit.keys import KeyRecovery, recover_keys
from personascope.instruments.audit.labels import note_facets, note_keys
from personascope.instruments.audit.recovery import FacetRecovery, recover_facets
from personascope.instruments.audit.report import Audit
from personascope.instruments.audit.similarity import dense_vectors, state_vectors
from personascope.instruments.audit.sources import SourceInstrument, source_overlap
from personascope.instruments.audit.wording import normal_form, words
from personascope.instruments.facet_definitions import FacetDefinition, load_facet_definitions
from personascope.instruments.items import ItemBank


def audit(
    bank: ItemBank,
    *,
    sources: Sequence[SourceInstrument] = (),
    neighbours: Mapping[str, FacetDefinition] | None = None,
    judge: Judge | None = None,
    vectors: Any = None,
    known_pairs: Sequence[tuple[str, str]] = (),
    states: Any = None,
    examples: Examples | None = None,
    answers: Any = None,
    facet_recall: float | None = None,
    key_recall: float | None = None,
) -> Audit:
    """Audit an item bank (the pipeline of Hommel & Arslan 2025 and AI-GENIE).

    Args:
        bank: the items.
        sources: instruments that items must not repeat.
        neighbours: definitions of the facets with their nearest neighbours; the built-in ones by default.
        judge: opinion of a reader who sees texts without labels; where it has one, it decides over the statistics.
        vectors: rows of a sentence encoder, shape (item, feature), for facets, keys and, given `known_pairs`, near
            copies; words and character n-grams alone without them.
        states: hidden states of a language model, shape (item, feature), for facets and keys.
        known_pairs: pairs of item ids that say the same, to calibrate the cosine of `vectors` on.
        examples: labelled texts to learn facets and keys from, with vectors and states where the items have them; the
            poles of `neighbours`, as words, by default.
        answers: raw agreement in [-1, 1] of at least 30 respondents or persona prompts, shape (respondent, item).
        facet_recall: share of the items with a wrong facet that the texts have to show up; by default only the clear
            cases are, at few false alarms. The summary says what was to be expected, and what 90 % would cost.
        key_recall: the same for items with a wrong key.

    Raises:
        DataError: an empty bank, or vectors, pairs, opinions or answers that do not fit it.
    """
    if not bank.items:
        raise DataError(f"The bank {bank.name!r} has no items.", "", "Add items.")
    definitions = load_facet_definitions() if neighbours is None else dict(neighbours)
    texts = [item.text for item in bank.items]
    opinions = [Opinion()] * len(texts) if judge is None else ask_judge(judge, texts)
    found: list[list[Finding]] = [check_form(item) for item in bank.items]
    tiers = []
    for own, item, opinion in zip(found, bank.items, opinions, strict=True):
        if item.key == -1 and is_negated(item.text):
            own.append(Finding("negated", "keep", "reversed by a negation"))
        tier, notes = check_embodiment(item.text, opinion.applicability or item.applicability)
        tiers.append(tier)
        own += notes
    near = None if vectors is None or not known_pairs else dense_vectors(vectors, len(texts))
    copies = find_duplicates(texts, vectors=near, known=_positions(bank, known_pairs))
    _note_copies(bank, copies, found)
    for source in sources:
        for own, overlap in zip(found, source_overlap(texts, source, copies.threshold), strict=True):
            own += [overlap] if overlap else []
    beside = Examples(pole_items(definitions, bank.facets)) if examples is None else examples.of(bank.facets)
    given, meanings = _together(vectors, beside.vectors, len(texts), dense_vectors)
    hidden, hidden_poles = _together(states, beside.states, len(texts), state_vectors)
    beside = Examples(beside.items, meanings, hidden_poles)
    group = beside.groups(texts, copies.cluster, spelling_threshold(texts))
    facets = recover_facets(bank.items, group, vectors=given, states=hidden, examples=beside)
    keyed = group[: len(texts) + beside.n_poles]
    keys = recover_keys(bank.items, keyed, vectors=given, states=hidden, examples=beside.poles())
    note_facets(bank.items, facets, facet_recall, opinions, beside, definitions, found)
    note_keys(bank.items, keys, key_recall, opinions, beside, found)
    answered = None if answers is None else discrimination(bank, answers)
    if answered is not None:
        for own, verdict, reason in zip(found, answered["verdict"], answered["reason"], strict=True):
            own += [Finding("answers", verdict, reason)] if reason else []
    columns = _columns(bank, tiers, opinions, copies, facets, keys, answered)
    return Audit(
        bank,
        tuple(tuple(own) for own in found),
        columns,
        balance(bank),
        headline(bank, columns, copies, facets, keys, given, (facet_recall, key_recall)),
    )


def _positions(bank: ItemBank, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    place = {item.id: n for n, item in enumerate(bank.items)}
    for pair in pairs:
        for name in pair:
            if name not in place:
                raise DataError(
                    f"The known pair {pair} names {name!r}, which is not in the bank.", "", "Correct the id."
                )
    return [(place[first], place[second]) for first, second in pairs]


def _note_copies(bank: ItemBank, copies: Duplicates, found: list[list[Finding]]) -> None:
    """Exact copies are dropped, near copies reviewed; the medoid of each cluster stands for it."""
    sizes = np.bincount(copies.cluster)
    forms = [normal_form(item.text) for item in bank.items]
    first_of: dict[str, int] = {}
    for place in sorted(range(len(forms)), key=lambda n: (copies.medoid[n] != n, n)):
        first = first_of.setdefault(forms[place], place)
        if sizes[copies.cluster[place]] == 1:
            continue
        if first != place:
            found[place].append(
                Finding("exact_copy", "drop", f"says the same, word for word, as {bank.items[first].id}")
            )
        elif copies.medoid[place] != place:
            near = int(copies.nearest[place])
            why = f"nearly copies {bank.items[near].id} (cosine {copies.nearest_cosine[place]:.2f})"
            found[place].append(Finding("near_copy", "review", why))


def _together(own: Any, others: Any, n: int, scaled: Callable[[Any, int], Any]) -> tuple[Any, Any]:
    """Rows of the bank and of the examples, centred and scaled together; None where there are none."""
    if own is None or others is None:
        return None if own is None else scaled(own, n), None
    both = scaled(np.concatenate([np.asarray(own), np.asarray(others)]), n + len(others))
    return both[:n], both[n:]


def _columns(
    bank: ItemBank,
    tiers: Sequence[str],
    opinions: Sequence[Opinion],
    copies: Duplicates,
    facets: FacetRecovery | None,
    keys: KeyRecovery | None,
    answered: pl.DataFrame | None,
) -> pl.DataFrame:
    n, ids = len(bank.items), [item.id for item in bank.items]
    sizes = np.bincount(copies.cluster)
    empty = [None] * n
    liked = [
        item.desirability if opinion.desirability is None else opinion.desirability
        for item, opinion in zip(bank.items, opinions, strict=True)
    ]
    values: dict[str, tuple[Any, Any]] = {
        "words": ([len(words(item.text)) for item in bank.items], pl.Int64),
        "negated": ([is_negated(item.text) for item in bank.items], pl.Boolean),
        "applicability": (list(tiers), pl.String),
        "desirability": (liked, pl.Float64),
        "cluster": ([ids[place] for place in copies.medoid], pl.String),
        "copies": (sizes[copies.cluster].tolist(), pl.Int64),
        "nearest": ([ids[near] if near >= 0 else None for near in copies.nearest], pl.String),
        "nearest_cosine": (copies.nearest_cosine.tolist(), pl.Float64),
        "other_facet": (empty if facets is None else [facets.nearest_other(place) for place in range(n)], pl.String),
        "facet_rank": (empty if facets is None else facets.rank.tolist(), pl.Int64),
        "doubt": (_doubt(n, facets, keys), pl.Float64),
        "facet_probability": (empty if facets is None else facets.own_probability.tolist(), pl.Float64),
        "key_probability": (empty if keys is None else keys.own_probability.tolist(), pl.Float64),
        "r_own": (empty if answered is None else answered["r_own"].to_list(), pl.Float64),
        "r_other": (empty if answered is None else answered["r_other"].to_list(), pl.Float64),
    }
    return pl.DataFrame({name: pl.Series(name, column, dtype=kind) for name, (column, kind) in values.items()})


def _doubt(n: int, facets: FacetRecovery | None, keys: KeyRecovery | None) -> list[float]:
    """Probability that facet or key is wrong."""
    right = np.ones(n)
    for recovery in (facets, keys):
        right *= 1.0 if recovery is None else recovery.trust
    return [float(value) for value in 1 - right]
