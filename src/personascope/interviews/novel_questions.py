"""Questions that no questionnaire holds: a language model writes them, copies are dropped, their worth is estimated.

What cannot be an item is dropped too, by the checks that the audit of item banks makes of one item's form.

Nobody has answered a new question, so what its answer would tell is estimated by a model that reads words: how much it
expects of the answers to target items after each answer that it expects to the new one (`LanguageModel.information`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Integer

from personascope.errors import DataError
from personascope.instruments.audit.duplicates import find_duplicates
from personascope.instruments.audit.findings import worst
from personascope.instruments.audit.form import check_form
from personascope.instruments.items import Item
from personascope.instruments.option_codes import MISSING
from personascope.instruments.upscale_prompts import parse_candidates
from personascope.interviews.language_model import LanguageModel, TranscriptBelief
from personascope.interviews.metrics import surprises

_SHOWN = 6
_REQUEST = """Statements that people rate about themselves, from "strongly disagree" to "strongly agree":
{examples}
Write {batch} further statements of this kind, one per line, each about something that none of these speaks of."""


@dataclass(frozen=True)
class NovelQuestions:
    """What was written.

    Args:
        texts: id ("new-1", ...) -> statement.
        n_written: lines that were written in all, as statements.
        n_unfit: of these, those whose form speaks against them (`instruments.audit.form`): not about oneself, no
            sentence, too short or too long.
        n_copies: of the others, those that say what the bank or another one says.
        n_requests: how often the model was asked.
    """

    texts: dict[str, str]
    n_written: int
    n_unfit: int
    n_copies: int
    n_requests: int


def write_questions(
    write: Callable[[str], str],
    bank: Mapping[str, str],
    n: int,
    *,
    batch: int = 5,
    most: int | None = None,
    least: int = 1,
    seed: int = 0,
) -> NovelQuestions:
    """Let a model write statements until there are n that differ from the bank's and from each other.

    Every request shows other statements, those that were written among them, so that the model is led away from them.

    Args:
        write: from a request to an answer, e.g. `experiments.item_bank.model_writer`.
        bank: item id -> statement.
        n: how many are wanted.
        batch: statements of a request.
        most: requests after which it stops with what there is; by default 4 n / batch.
        least: fewer than these are an error.
        seed: of what is shown.

    Raises:
        DataError: fewer than `least` usable ones were written.
    """
    rng, texts, known = np.random.default_rng(seed), list[str](), list(bank.values())
    limit, written, unfit, asked = (most if most is not None else -(-4 * n // batch)), 0, 0, 0
    while len(texts) < n and asked < limit:
        shown = [known[at] for at in rng.permutation(len(known))[:_SHOWN]] + texts[-_SHOWN:]
        answer = write(_REQUEST.format(examples="\n".join(f"- {text}" for text in shown), batch=batch))
        candidates, asked = parse_candidates(answer)[:batch], asked + 1
        fit = [text for text in candidates if _is_fit(text)]
        written, unfit = written + len(candidates), unfit + len(candidates) - len(fit)
        texts = _without_copies(known, texts, fit)
    if len(texts) < least:
        raise DataError(
            f"{len(texts) or 'No'} new question{'s were' if len(texts) > 1 else ' was'} written in {asked} requests.",
            f"Of {written} lines {unfit} are no statements about oneself, and the others say what the bank says."
            if written
            else "The answers hold no statements.",
            "Ask a larger model, or raise its temperature.",
        )
    return NovelQuestions(
        {f"new-{i + 1}": text for i, text in enumerate(texts[:n])}, written, unfit, written - unfit - len(texts), asked
    )


def _is_fit(text: str) -> bool:
    """Whether the form of a statement is that of an item."""
    return worst(check_form(Item(id="new", facet="no_facet", key=1, text=text))) == "keep"


def _without_copies(known: Sequence[str], texts: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """The texts with those candidates behind them that are near copies of nothing before them."""
    everything = [*known, *texts, *candidates]
    pairs = find_duplicates(everything).pairs
    start = len(known) + len(texts)
    copies = set(pairs.filter(pl.col("second") >= start)["second"].to_list())
    return [*texts, *(text for at, text in enumerate(candidates, start=start) if at not in copies)]


def estimated_gains(belief: TranscriptBelief, questions: Sequence[str]) -> pl.DataFrame:
    """What each question is expected to tell about the model's targets, by the model itself.

    Args:
        belief: of a `LanguageModel` with targets, whose texts hold the questions.
        questions: item ids, none of them a target or asked before.

    Returns:
        One row per interview and question: interview, item, gain (bits about the targets, summed), entropy (of the
        answer, in bits).

    Raises:
        DataError: no targets, or a question that is one of them or was asked.
    """
    model: LanguageModel = belief.model
    if not model.targets:
        raise DataError("The model has no targets.", "A question is worth what it tells of others.", "Give targets.")
    place = {item: column for column, item in enumerate(model.items)}
    asked = {item for history in belief.histories for item, _ in history}
    spent = [item for item in questions if item in model.targets or place[item] in asked]
    if spent:
        raise DataError(f"{spent[0]!r} is a target or was asked.", "It tells nothing new.", "Leave it out.")
    columns = np.array([place[item] for item in questions], dtype=np.int64)
    gains, entropies = belief.information_of(columns)
    rows, which = (index.ravel() for index in np.indices(gains.shape))
    return pl.DataFrame(
        {
            "interview": rows,
            "item": [questions[int(at)] for at in which],
            "gain": gains.ravel(),
            "entropy": entropies.ravel(),
        }
    )


def realised_gains(
    belief: TranscriptBelief,
    questions: Sequence[str],
    answers: Integer[np.ndarray, "interview question"],
    truth: Integer[np.ndarray, "interview target"],
) -> pl.DataFrame:
    """What the answers that people gave told of the targets: what `estimated_gains` was an expectation of.

    Args:
        belief: of a `LanguageModel` with targets.
        questions: item ids that people have answered.
        answers: theirs to the questions, options from 1, -1 where there is none.
        truth: theirs to the model's targets.

    Returns:
        One row per interview and question: interview, item, gain (bits that the answer took off the surprise of the
        targets, summed; below 0 where it misled, NaN where an answer is missing).
    """
    model: LanguageModel = belief.model
    place = {item: column for column, item in enumerate(model.items)}
    targets = np.array([place[target] for target in model.targets])
    before = surprises(belief.predict(targets), truth.astype(int))
    rows = []
    for column, item in enumerate(questions):
        given = answers[:, column].astype(int)
        known = np.flatnonzero(given != MISSING)
        gain = np.full(len(given), np.nan)
        if len(known):
            after = belief.pick(known)
            after.observe(np.full(len(known), place[item]), given[known] - 1)
            gain[known] = (before[known] - surprises(after.predict(targets), truth[known].astype(int))).sum(axis=1)
        rows += [{"interview": row, "item": item, "gain": float(value)} for row, value in enumerate(gain)]
    return pl.DataFrame(rows, schema={"interview": pl.Int64, "item": pl.String, "gain": pl.Float64})
