"""Upscale an item bank: a generator writes new items for every facet and key, and only those that pass the audit stay.

    specify -> generate -> form, embodiment, copies -> audit with the seed bank -> freeze

Generated items are unvalidated: nobody has shown that people, or models, answer them like those they were made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from personascope.errors import BudgetSpent, DataError, nearest
from personascope.instruments.audit.bank_audit import audit
from personascope.instruments.audit.embodiment import Applicability, check_embodiment
from personascope.instruments.audit.form import NEGATED_SHARE, check_form, is_negated
from personascope.instruments.audit.judging import Judge
from personascope.instruments.audit.sources import SourceInstrument
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.budget import Budget, Spending, estimated_tokens
from personascope.instruments.facet_definitions import FacetDefinition, load_facet_definitions
from personascope.instruments.items import ItemBank
from personascope.instruments.upscale_design import Design, State, Stratum
from personascope.instruments.upscale_ledger import Ledger
from personascope.instruments.upscale_prompts import Request, build_request, parse_candidates
from personascope.instruments.upscaled import FILTERS, Candidate, Upscaled

SPARE = 0.1
"""So many more than the quota are gathered before the audit, which drops some."""
_TOKENS_PER_ITEM = 40


def upscale(
    seed_bank: ItemBank,
    n_per_facet: int,
    generate: Callable[[str], str],
    *,
    facets: Sequence[str] | None = None,
    definitions: Mapping[str, FacetDefinition] | None = None,
    batch: int = 10,
    seed: int = 0,
    budget: Budget | None = None,
    idle_rounds: int = 4,
    generator: str = "unnamed",
    ledger: Path | None = None,
    sources: Sequence[SourceInstrument] = (),
    judge: Judge | None = None,
    allow_licensed: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Upscaled:
    """Let a generator write items until every facet and key has its quota, or the budget is spent.

    Args:
        seed_bank: exemplars; the new items are compared with all of them.
        n_per_facet: new items for each facet, half of them for each key: an even number.
        generate: prompt -> text. An error that it raises ends the run; what came before is in the ledger.
        facets: which of the bank's facets; all by default.
        definitions: of the facets; the built-in ones by default.
        batch: statements asked for in one prompt.
        seed: of the draw of exemplars.
        budget: calls and (estimated) tokens of the whole run, replayed ones included.
        idle_rounds: a facet and key is given up after so many rounds in a row without a new item.
        generator: name of what generates, stored with every item.
        ledger: JSONL file to which every answer is appended as it comes; an existing one is continued.
        sources: instruments that no item may repeat.
        judge: a reader that is not the generator (see `audit`).
        allow_licensed: show seed items of source "licensed" to the generator all the same.
        progress: called with ("items", accepted, wanted).

    Raises:
        DataError: licensed seed items, an odd or empty quota, an unknown facet, a facet without definition or seed
            items, or a ledger of another run.
        FileFormatError: a damaged ledger.
    """
    known = load_facet_definitions() if definitions is None else dict(definitions)
    chosen = _require(seed_bank, n_per_facet, facets, known, batch, idle_rounds, allow_licensed)
    strata = tuple((facet, key) for facet in chosen for key in (1, -1))
    own = {facet: known[facet] for facet in chosen}
    design = Design(
        seed_bank, own, strata, n_per_facet // 2, batch, seed, idle_rounds, generator, tuple(sources), judge
    )
    book, spending, state = Ledger(ledger, design.settings()), Spending(budget or Budget()), State()
    stopped = ""
    while not stopped:
        try:
            _gather(design, state, generate, book, spending, progress)
        except BudgetSpent as spent:
            stopped = f"budget spent: {spent.symptom}"
        _audit(design, state)
        short = [stratum for stratum in strata if len(state.open(stratum)) < design.per_key]
        if not short:
            stopped = stopped or "quotas met"
        elif not any(design.goes_on(state, stratum) for stratum in short):
            stopped = stopped or "no progress"
    return _finished(design, state, spending, stopped)


def _require(
    bank: ItemBank,
    n_per_facet: int,
    facets: Sequence[str] | None,
    definitions: Mapping[str, FacetDefinition],
    batch: int,
    idle_rounds: int,
    allow_licensed: bool,
) -> tuple[str, ...]:
    """The facets to fill, every condition checked before anything is generated."""
    if n_per_facet < 2 or n_per_facet % 2 or batch < 1 or idle_rounds < 1:
        raise DataError(
            f"{n_per_facet} items per facet in batches of {batch}, giving up after {idle_rounds} rounds.",
            "Half of a facet's items are keyed +, half -, so the number is even and at least 2; the others at least 1.",
            "Change the numbers.",
        )
    chosen = bank.facets if facets is None else tuple(dict.fromkeys(facets))
    if not allow_licensed:
        licensed = [item.id for item in bank.items if "licensed" in item.source.casefold().split()]
        if licensed:
            raise DataError(
                f"{len(licensed)} seed items are licensed, the first is {licensed[0]!r}.",
                "They would be copied into prompts, and what they lead to would be published.",
                "Use items that are free, or force it with allow_licensed where the licence permits it.",
            )
    for facet in chosen:
        if facet not in definitions:
            raise DataError(
                f"There is no definition of the facet {facet!r}.{nearest(facet, definitions)}",
                "Prompts are made of definitions.",
                "Correct the name, or pass definitions that contain it.",
            )
        for key in (1, -1):
            if not any(item.facet == facet and item.key == key for item in bank.items):
                raise DataError(
                    f"The seed bank has no item of facet {facet!r} keyed {key:+d}.",
                    "A generator needs exemplars of the key that it writes for.",
                    "Add seed items, or choose other facets.",
                )
    return chosen


def _gather(
    design: Design,
    state: State,
    generate: Callable[[str], str],
    book: Ledger,
    spending: Spending,
    progress: Callable[[str, int, int], None] | None,
) -> None:
    """Ask, facet by facet and key by key in turn, until each has its quota and a spare, or stays idle."""
    goal = design.per_key + max(1, round(SPARE * design.per_key)) if design.per_key > 1 else 1
    seen = {normal_form(item.text) for item in design.seed_bank.items}
    seen |= {normal_form(candidate.text) for candidate in state.candidates}
    busy = True
    while busy:
        busy = False
        for stratum in design.strata:
            if len(state.open(stratum)) >= goal or not design.goes_on(state, stratum):
                continue
            busy = True
            request = _request(design, state, stratum)
            reserved = estimated_tokens(request.prompt) + design.batch * _TOKENS_PER_ITEM
            spending.reserve(reserved)
            answer = book.replay(request)
            if answer is None:
                answer = generate(request.prompt)
                book.add(request, answer, parse_candidates(answer))
            spending.record(estimated_tokens(request.prompt) + estimated_tokens(answer))
            state.turns[stratum] += 1
            before = len(state.open(stratum))
            for text in parse_candidates(answer):
                state.candidates.append(_screened(design, state, request, text, seen))
                seen.add(normal_form(text))
            state.idle[stratum] = 0 if len(state.open(stratum)) > before else state.idle[stratum] + 1
            if progress:
                wanted = design.per_key * len(design.strata)
                have = sum(min(design.per_key, len(state.open(stratum))) for stratum in design.strata)
                progress("items", have, wanted)


def _request(design: Design, state: State, stratum: Stratum) -> Request:
    facet, key = stratum
    exemplars = [item for item in design.seed_bank.items if (item.facet, item.key) == stratum]
    written = [candidate.text for candidate in state.open(stratum)]
    turn = state.turns[stratum]
    return build_request(design.definitions[facet], key, turn, exemplars, written, batch=design.batch, seed=design.seed)


def _screened(design: Design, state: State, request: Request, text: str, seen: set[str]) -> Candidate:
    """A candidate with whatever speaks against it at once, before the audit of the whole."""
    number = sum((c.facet, c.key) == (request.facet, request.key) for c in state.candidates) + 1
    sign = "p" if request.key == 1 else "n"
    candidate = Candidate.of(request, f"{request.facet}_g{sign}{number:03d}", text)
    reasons = [finding.reason for finding in check_form(candidate.item()) if finding.check != "spaces"]
    tier, notes = check_embodiment(text, None)
    reasons += [note.reason for note in notes] if tier == "not" else []
    if normal_form(text) in seen:
        reasons.append("says the same, word for word, as an item that is there already")
    if request.key == -1 and is_negated(text):
        peers = state.open((request.facet, request.key))
        if sum(is_negated(peer.text) for peer in peers) + 1 > NEGATED_SHARE * max(design.per_key, len(peers) + 1):
            reasons.append("reversed by a negation, and a fifth of the reversed items already are")
    return candidate.with_reasons(reasons)


def _audit(design: Design, state: State) -> None:
    """Audit seed bank and open candidates together; what is not kept gets the reasons of the audit."""
    opened = state.open()
    if not opened:
        return
    seeds = design.seed_bank.items
    # seed items lie in prompts and may be anything; their ids must not clash with the candidates'
    renamed = tuple(item.model_copy(update={"id": f"seed {item.id}"}) for item in seeds)
    whole = ItemBank((*renamed, *(candidate.item() for candidate in opened)), "candidates")
    found = audit(whole, sources=design.sources, neighbours=design.definitions, judge=design.judge)
    table = found.frame()[len(seeds) :]
    with_seed = set(found.columns["cluster"][: len(seeds)])
    verdicts: dict[str, tuple[tuple[str, ...], Applicability, str]] = {}
    for row in table.iter_rows(named=True):
        reasons = [] if row["verdict"] == "keep" else [row["reasons"]]
        if row["cluster"] in with_seed and row["copies"] > 1 and not reasons:
            reasons.append(f"nearly copies a seed item (the cluster of {row['cluster'].removeprefix('seed ')})")
        verdicts[row["item"]] = (tuple(reasons), row["applicability"], row["cluster"])
    state.candidates = [
        candidate.judged(*verdicts[candidate.id]) if candidate.id in verdicts else candidate
        for candidate in state.candidates
    ]
    for stratum in design.strata:  # gains that the audit takes back are no progress
        now = len(state.open(stratum))
        state.stalled[stratum] = 0 if now > state.audited[stratum] else state.stalled[stratum] + 1
        state.audited[stratum] = now


def _finished(design: Design, state: State, spending: Spending, stopped: str) -> Upscaled:
    """The bank: of each facet and key the first items up to the quota; the others are listed as over it."""
    taken: Counter[Stratum] = Counter()
    told, kept = [], []
    for candidate in state.candidates:
        stratum = candidate.facet, candidate.key
        if not candidate.reasons and taken[stratum] == design.per_key:
            candidate = candidate.with_reasons(["passed, over the quota"])
        elif not candidate.reasons:
            taken[stratum] += 1
            kept.append(candidate)
        told.append(candidate)
    order = {stratum: place for place, stratum in enumerate(design.strata)}
    kept.sort(key=lambda candidate: order[candidate.facet, candidate.key])
    bank = ItemBank(tuple(candidate.item() for candidate in kept), "upscaled")
    missing = pl.DataFrame(
        [(f, k, taken[f, k], design.per_key) for f, k in design.strata if taken[f, k] < design.per_key],
        schema={"facet": pl.String, "key": pl.Int64, "items": pl.Int64, "wanted": pl.Int64},
        orient="row",
    )
    filters = [*FILTERS, *(["source instruments"] if design.sources else []), *(["judge"] if design.judge else [])]
    return Upscaled(
        bank, tuple(told), missing, design.generator, tuple(filters), spending.calls, spending.tokens, stopped
    )
