"""Signs in the words of a free answer that it went wrong: repetition, length, emptiness, refusal."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from personascope.measures.answer_text import folded, without_thoughts
from personascope.measures.choice_claims import clauses, declines
from personascope.measures.tables import require_columns

GRAM = 4
"""Words of a run whose return counts as repetition."""
_OPENING = 6
"""Clauses of an answer among which a refusal is looked for, as in the reading of choices."""
_INNER_LIFE = re.compile(r"\b(?:preferences?|desires?|feelings?|opinions?)\b", re.IGNORECASE)
_LEADING_NO = re.compile(r"^\W*(?:neither|none|no|nope)\b[,.\s]*", re.IGNORECASE)


def distinct_n(text: str, n: int) -> float | None:
    """Distinct runs of `n` words by all runs of `n` words, in (0, 1]; None for a text of fewer than `n` words.

    Words are runs of letters and digits, upper and lower case being the same. Source: distinct-n of Li et al. (2016),
    "A Diversity-Promoting Objective Function for Neural Conversation Models", here within one answer.
    """
    words = _words(text)
    runs = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs) if runs else None


def repetition(text: str, n: int = GRAM) -> float | None:
    """Share of the runs of `n` words that occurred before in the text, 1 - `distinct_n`; a loop tends to 1."""
    distinct = distinct_n(text, n)
    return None if distinct is None else 1 - distinct


def refuses(text: str) -> bool:
    """Whether the opening of an answer declines, by its words (`measures.choice_claims.declines`); made for requests.

    Two things that decline a choice do not decline a request: "I have no feelings", and a bare "No" or "None of
    them". An answer that declines and then helps all the same counts as declining; whether it helped is for a judge
    (`experiments.rubrics.COMPLIANCE`). So does an apology that was itself asked for.
    """
    spoken = without_thoughts(text) or ""
    return any(_declines_request(clause) for clause in clauses(folded(spoken))[:_OPENING])


def text_quality(frame: pl.DataFrame, *, column: str = "text", tokenizer: Any | None = None) -> pl.DataFrame:
    """Adds what can be counted in free answers. Finished thoughts are left out, an unfinished one is an empty answer.

    Args:
        frame: one row for each answer, with its text.
        column: that holds the text.
        tokenizer: Hugging Face tokenizer; with one, n_tokens is counted, and replaces a column of that name.

    Returns:
        The frame with columns repetition (share of repeated runs of 4 words, null below 4 words), n_words, is_empty (no
        letter and no digit), refuses, and n_tokens with a tokenizer.

    Raises:
        DataError: no such column, no rows, or a missing text.
    """
    require_columns(frame, [column])
    spoken = [without_thoughts(text) or "" for text in frame[column]]
    counts = [len(_words(text)) for text in spoken]
    added = [
        pl.Series("repetition", [repetition(text) for text in spoken], pl.Float64),
        pl.Series("n_words", counts, pl.Int64),
        pl.Series("is_empty", [count == 0 for count in counts], pl.Boolean),
        pl.Series("refuses", [refuses(text) for text in spoken], pl.Boolean),
    ]
    if tokenizer is not None:
        ids = tokenizer(spoken, add_special_tokens=False)["input_ids"]
        added.append(pl.Series("n_tokens", [len(tokens) for tokens in ids], pl.Int64))
    return frame.with_columns(added)


def _declines_request(clause: str) -> bool:
    return declines(_LEADING_NO.sub("", _INNER_LIFE.sub("thing", clause))) is not None


def _words(text: str) -> list[str]:
    """Words in lower case, their apostrophes within: "don't" is one."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", folded(text).casefold())
