"""Embodiment tiers: could a respondent that is only text truthfully agree or disagree?

A tag and not a verdict: results are reported with and without the items that need a body. The lexicon errs toward
silence on words that are mostly metaphors ("face a problem", "a point of view", "hand over"). No list of words is
complete: of sentences on topics that it had not been extended for it tagged two in three, so a judge belongs beside it.
"""

from __future__ import annotations

import re
from typing import Literal

from personascope.instruments.audit.findings import Finding
from personascope.instruments.audit.lexicons import lexicon
from personascope.instruments.audit.wording import words

Applicability = Literal["applicable", "as-if", "not"]


def _pattern(phrases: list[str]) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(phrases) + r")\b")


_LISTS = lexicon("embodiment")
_TIERS: tuple[tuple[Applicability, dict[str, re.Pattern[str]]], ...] = (
    ("not", {topic: _pattern(phrases) for topic, phrases in _LISTS["not"].items()}),
    ("as-if", {topic: _pattern(phrases) for topic, phrases in _LISTS["as-if"].items()}),
)


def embodiment(text: str) -> tuple[Applicability, str]:
    """The tier that the lexicon gives a text, with the topic and the words that decided ("food: dinner").

    "not" needs a body, a household or a biography; "as-if" can be imagined but never happens to a respondent that is
    only text; "applicable" shows neither.
    """
    line = " ".join(words(text))
    for tier, topics in _TIERS:
        for topic, pattern in topics.items():
            if seen := pattern.search(line):
                return tier, f"{topic}: {seen.group()}"
    return "applicable", ""


def check_embodiment(text: str, declared: Applicability | None) -> tuple[Applicability, list[Finding]]:
    """The tag of an item and the notes on it: what the bank declares stands, and the lexicon's doubt is noted.

    Args:
        text: of the item.
        declared: tier given by a judge or by the bank's author, None when nobody gave one.
    """
    tier, why = embodiment(text)
    if declared is None or declared == tier:
        return tier, [Finding("embodied", "keep", f"{tier}: {why}")] if why else []
    if why:
        return declared, [Finding("embodied", "keep", f"tagged {declared}; the lexicon says {tier}: {why}")]
    return declared, [Finding("embodied", "keep", f"tagged {declared}")]
