"""Double-barrelled items: two statements behind one answer, found by how the coordinated parts begin.

"and" between two nouns ("stories or images") is harmless; between two statements or two predicates ("I plan ahead and
forget nothing") it leaves a respondent who holds one of them without an answer. Without a parser this is told by the
words that follow the conjunction: a new subject, or a verb in the form of the first one.
"""

from __future__ import annotations

import re

from personascope.instruments.audit.lexicons import lexicon
from personascope.instruments.audit.wording import words, words_and_commas

_LISTS = lexicon("coordination")
_CONJUNCTIONS = frozenset(_LISTS["conjunctions"])
_SUBJECTS = frozenset(_LISTS["subjects"])
_SKIPPED = frozenset(_LISTS["skipped"])
_VERBS = frozenset(_LISTS["verbs"])  # in a base form: one of these after the conjunction can be a second predicate
_NOUNS_TOO = frozenset(_LISTS["nouns_too"])
_OBJECTS = frozenset(_LISTS["after_verbs"])
_ING_NOUNS = frozenset(_LISTS["ing_nouns"])
_FIRST = frozenset({"i", "i'm", "i've", "i'd", "i'll"})
_PRONOUNS = frozenset({"them", "it", "him", "me", "myself", "us"})
_DETERMINERS = _PRONOUNS | frozenset(_LISTS["determiners"])
_LINKS = frozenset(_LISTS["links"])
_IDIOMS = tuple(_LISTS["idioms"])
_FINITE = frozenset({"am", "is", "are", "was", "has", "have", "does", "makes", "feels", "seems", "gets"})
_PATTERNS = tuple(
    re.compile(pattern.format(**_LISTS["parts"], pastimes="|".join(_LISTS["pastimes"]), subjects="|".join(_SUBJECTS)))
    for pattern in _LISTS["patterns"]
)
"""Over words and commas. Their groups name what joins the two statements."""


def double_barrel(text: str) -> str:
    """The conjunction with the word after it when two statements are joined, else an empty string."""
    found = words(text)
    line = " ".join(found)
    for at, word in enumerate(found):
        if word not in _CONJUNCTIONS or at == 0 or at + 1 == len(found):
            continue
        around = f" {' '.join(found[max(0, at - 1) : at + 3])} "
        if any(f" {idiom} " in around for idiom in _IDIOMS):
            continue
        if _after_comma(text, word) and _has_clause(found[at + 1 :]):
            return f"{word} {found[at + 1]}"
        after = _skip(found[at + 1 :])
        if after and _starts_statement(found[:at], word, found[at + 1 :], after):
            return f"{word} {found[at + 1]}"
    if "and/or" in text.casefold() or "and or" in line:
        return "and/or"
    marked = words_and_commas(text)
    return next((" ".join(seen.groups()) for pattern in _PATTERNS if (seen := pattern.search(marked))), "")


def _after_comma(text: str, conjunction: str) -> bool:
    """Whether the conjunction follows the only comma before it: with more of them it may close a list."""
    before, comma, _ = text.casefold().partition(f", {conjunction} ")
    return bool(comma) and "," not in before


def _has_clause(rest: list[str]) -> bool:
    """Whether a verb stands a little behind the conjunction, as one does before an object pronoun."""
    for verb, object_ in zip(rest[1:5], [*rest[2:6], ""], strict=False):
        if verb in _FINITE | _VERBS or (object_ in _PRONOUNS and verb not in _LINKS):
            return True
    return False


def _skip(rest: list[str]) -> list[str]:
    """Without leading adverbs and auxiliaries: what is left begins with the verb, where there is one."""
    while rest and (rest[0] in _SKIPPED or (rest[0].endswith("ly") and len(rest[0]) > 4) or rest[0].endswith("n't")):
        rest = rest[1:]
    return rest


def _starts_statement(before: list[str], conjunction: str, raw: list[str], after: list[str]) -> bool:
    """Whether the words after a conjunction begin a new statement or a second predicate of the first."""
    if raw[0] in _SUBJECTS and len(raw) > 1:
        # "between them and others", "myself and people like me": a subject only when a verb follows
        following = _skip(raw[1:])
        return bool(following) and (raw[0] in _FIRST or following[0] in _VERBS or following[0] in {"is", "was"})
    if raw[0] in {"my", "the", "a", "most"} and _FINITE & set(raw[1:5]):
        return bool(_FINITE & set(before))
    if raw[0] == "to" and "to" in before and len(raw) > 1:
        return raw[1] in _VERBS or raw[1] == "be"
    head = after[0]
    if len(after) > 1 and after[1] in _DETERMINERS and head not in _LINKS | _DETERMINERS and _has_base_verb(before):
        return True  # "take notes and file them": only a verb stands before an object pronoun or a determiner
    if head.endswith("ing") and head not in _ING_NOUNS:
        return len(after) > 1 and any(word.endswith("ing") and word not in _ING_NOUNS for word in before)
    if head not in _VERBS or not _has_base_verb(before):
        return False
    skipped = len(raw) - len(after)
    # "but" joins predicates far more often than nouns
    surely = head not in _NOUNS_TOO or skipped > 0 or conjunction in {"but", "yet"}
    return surely or (len(after) > 1 and after[1] in _OBJECTS)


def _has_base_verb(before: list[str]) -> bool:
    """Whether a predicate of the first person, or "to" with a verb, stands before the conjunction."""
    for at, word in enumerate(before[:-1]):
        rest = _skip(before[at + 1 :])
        if rest and (word in _FIRST or (word == "to" and rest[0] in _VERBS)):
            return True
    return False
