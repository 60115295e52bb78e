"""Reading which of two tasks an answer chose, began, declined, or was cut off in: fields of their own, never merged.

The answers are those to `prompts.templates.COMPLETION_CHOICE`. What the answer says it chose and which task it began
are two findings that may differ. A refusal is never the choice of the task that is refused, and a label in the middle
of a sentence is no choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scipy.stats import binom

from personascope.measures.answer_text import folded, without_thoughts
from personascope.measures.choice_claims import (
    OPENING,
    Tasks,
    Unit,
    Which,
    clauses,
    declines,
    headings,
    read_unit,
    without_labels,
)

Executed = Literal["a", "b", "both", "neither", "unclear"]
Outcome = Literal["first", "second", "refusal", "other"]
EXECUTED = ("a", "b", "both", "neither", "unclear")

_LEAD = 6
"""Clauses of the opening."""
_BODY_WORDS = 300
_COPIED_WORDS = 5
_CHANCE = 0.1
"""Share of a task's words that turn up in a text on something else, at least."""
_LEVEL = 0.05
_MIN_SHARED = 2
_STRONG = 4
"""So many words of a task outweigh a refusal that comes before them."""
_COMMON = (
    "the and for are but not you all any can her was one our out has him his how its may new now old see two way who "
    "did get let put say she too use that this with have from they will would there their what about which when your "
    "more than then them these some into only other such just should could been were each make made like over also "
    "very after most where why write explain give show find list describe create task tasks answer step steps using "
    "because between both does how why sure here first second following"
)
_STOP = frozenset(_COMMON.split())
_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ed", "ies", "ly", "es", "s", "e", "y")


@dataclass(frozen=True)
class ChosenTask:
    """What an answer to a choice between two tasks shows.

    Args:
        label: the task that the opening of the answer says it chose, "a" being the one shown first; None when it does
            not say, or takes both.
        executed: the task whose content was begun, by words that only one of the tasks has: "neither" when nothing
            but labels, refusals and copies of the tasks is there, "unclear" when the words do not decide.
        refusal: declines the task that it chose, or declines without taking up the other.
        truncated: ran into the limit of length. Such an answer with a label is a choice.
        why: what was seen, for a person who looks into it.
    """

    label: Which | None
    executed: Executed
    refusal: bool
    truncated: bool
    why: str

    @property
    def contradiction(self) -> bool:
        """Whether one task is named and another begun, or both."""
        return self.label is not None and self.executed in ({"a", "b", "both"} - {self.label})

    @property
    def outcome(self) -> Outcome:
        """One of `measures.outcomes.OUTCOMES`; see `outcome_of`."""
        return outcome_of(self.label, self.executed, self.refusal)

    @property
    def decided(self) -> bool:
        """Whether no judge is needed: an outcome was read and nothing contradicts it."""
        return self.outcome != "other" and not self.contradiction


def outcome_of(label: Which | None, executed: Executed, refusal: bool) -> Outcome:
    """The outcome that fields of an answer amount to.

    A refusal is a refusal, whatever label it bears. Else the label decides, also against the task that was begun (which
    stays on record as a contradiction); without a label, the task that was begun; else "other".
    """
    if refusal:
        return "refusal"
    chosen = label or (executed if executed in ("a", "b") else None)
    return "other" if chosen is None else "first" if chosen == "a" else "second"


def parse_choice(text: str, task_a: str, task_b: str, *, finished: bool) -> ChosenTask:
    """Read one answer to a choice between two tasks that was to open with a label and carry the task out.

    The label is read from the opening alone, after fillers and after clauses that decline: as a heading ("**Task B:**",
    "Option A", "B)"), or as the object of a choice ("I choose the second task"). Headings of both tasks are a copy of
    the question or an attempt at both, and no label. A clause that declines ("I cannot complete Task B") chooses
    nothing; what it declines is looked for in the opening and right after the label.

    Which task was begun is a test of words: of the h distinct words of the answer that only one task has, out of its
    n, h >= 2 and P(Binomial(n, q) >= h) <= .05, where q, the chance rate, is that of the other task's own words,
    (h' + 1) / (n' + 2), at least .1. Copies of a task (five words in a row), labels and declining clauses are left out
    first.

    Args:
        text: the answer as sampled, thoughts included.
        task_a: the task shown first.
        task_b: the task shown second.
        finished: False when the answer ran into a limit of length.
    """
    spoken = without_thoughts(text)
    if spoken is None:
        return ChosenTask(None, "unclear", False, not finished, "the thoughts are unfinished")
    plain = folded(OPENING.sub(lambda match: f"{(match[1] or match[2].upper())}: ", spoken))
    if not plain.strip():
        return ChosenTask(None, "neither", False, not finished, "empty")
    body, copied = _without_copies(plain, task_a, task_b)
    label, declined, why = _opening(plain, finished)
    executed, shared = _executed(body, task_a, task_b)
    if headings(plain) == {"a", "b"} and executed in ("a", "b"):
        executed = "unclear"  # one of them may be a copy that was cut off or reworded
    if copied == {"a", "b"} and executed == "neither":
        why = "only copies the tasks"
    took = executed if max(shared) >= _STRONG or (declined in ("a", "b") and executed != declined) else None
    refusal = declined is not None and not _takes_up(label, declined, took)
    if refusal and executed == "unclear":
        executed = "neither" if sum(shared) == 0 else "unclear"
    return ChosenTask(label, executed, refusal, not finished, why)


def _takes_up(label: Which | None, declined: str, took: str | None) -> bool:
    """Whether a task is taken up all the same: another one than is declined, or the labelled one in substance."""
    if label is None:
        return took in ("a", "b") and took != declined
    return declined not in (label, "both", "unnamed") or took == label


def _opening(plain: str, finished: bool) -> tuple[Which | None, Tasks | Literal["unnamed"] | None, str]:
    """(label, what is declined, what was seen)."""
    headed = headings(plain)
    units = list(_lead(plain))
    claims = [unit for unit in units if unit.label]
    if headed == {"a", "b"}:
        return None, None, "heads both tasks"
    if len({unit.label for unit in claims}) > 1:
        return None, None, "claims differ: " + "; ".join(repr(unit.text) for unit in claims)
    first = claims[0] if claims else None
    if not finished and re.fullmatch(r"\W*[AB]", plain):
        return None, None, f"cut off: {plain!r} may have gone on"
    # what is declined without a name before a choice is taken back by the choice
    at = units.index(first) if first else 0
    refusing = [unit for unit in units if unit.declined and not (units.index(unit) < at and unit.declined == "unnamed")]
    declined = _joined([unit.declined for unit in refusing if unit.declined])
    why = "; ".join(
        repr(unit.text[:80]) for unit in ([first] if first else []) + [u for u in refusing if u is not first]
    )
    return (first.label if first else None), declined, why or "no label at the opening"


def _lead(plain: str) -> Iterator[Unit]:
    """Units of the opening; a label heads only what comes first, fillers and refusals aside."""
    may_head, after = True, 0
    for text in clauses(plain)[:_LEAD]:
        unit = read_unit(text, may_head=may_head)
        if after >= 2 and not unit.label:
            return
        yield unit
        after += bool(after or unit.label)
        may_head = may_head and not unit.label and (bool(unit.declined) or not unit.rest)


def _joined(declined: list[Tasks | Literal["unnamed"]]) -> Tasks | Literal["unnamed"] | None:
    named = {one for one in declined if one != "unnamed"}
    if not named:
        return "unnamed" if declined else None
    return named.pop() if len(named) == 1 else "both"


def _without_copies(plain: str, task_a: str, task_b: str) -> tuple[str, set[str]]:
    """The text without words copied from a task, `_COPIED_WORDS` in a row or all of it, and which tasks were copied."""
    places = list(re.finditer(r"\w+", plain))
    words = [place.group().casefold() for place in places]
    kept, copied = list(plain), set()
    for name, task in (("a", task_a), ("b", task_b)):
        source = re.findall(r"\w+", folded(task).casefold())
        run = min(_COPIED_WORDS, len(source))
        runs = {tuple(source[at : at + run]) for at in range(len(source) - run + 1)} if run else set()
        for at in range(len(words) - run + 1):
            if tuple(words[at : at + run]) in runs:
                start, stop = places[at].start(), places[at + run - 1].end()
                kept[start:stop] = [character if character == "\n" else " " for character in plain[start:stop]]
                copied |= {name}
    return "".join(kept), copied


def _executed(body: str, task_a: str, task_b: str) -> tuple[Executed, tuple[int, int]]:
    """The task that was begun, and how many of each task's own words the answer has."""
    parts = clauses(body)
    said = [part for at, part in enumerate(parts) if at >= _LEAD or not declines(part)]
    words = set(_words(without_labels(" ".join(said)))[:_BODY_WORDS])
    in_a, in_b = set(_words(task_a)), set(_words(task_b))
    own = (in_a - in_b, in_b - in_a)
    hits = (len(own[0] & words), len(own[1] & words))
    if not words:
        return "neither", hits
    sizes = (len(own[0]), len(own[1]))
    a, b = _beyond(hits[0], sizes[0], hits[1], sizes[1]), _beyond(hits[1], sizes[1], hits[0], sizes[0])
    if a != b:
        return ("a" if a else "b"), hits
    both = all(_beyond(hit, size, 0, 1_000) for hit, size in zip(hits, sizes, strict=True))
    return ("both" if both else "unclear"), hits


def _beyond(hits: int, size: int, other_hits: int, other_size: int) -> bool:
    chance = max(_CHANCE, (other_hits + 1) / (other_size + 2))
    return hits >= _MIN_SHARED and float(binom.sf(hits - 1, size, min(chance, 1.0))) <= _LEVEL


def _words(text: str) -> list[str]:
    """Content words without their endings; pairs of characters where a script has no spaces."""
    found = []
    for word in re.findall(r"[^\W_]+", folded(text).casefold()):
        if re.search(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", word):
            found += [word[at : at + 2] for at in range(len(word) - 1)]
        elif (len(word) > 2 and word not in _STOP) or word.isdecimal():
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
