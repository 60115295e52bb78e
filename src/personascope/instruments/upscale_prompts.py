"""What a generator is asked when a bank is upscaled, and how its answer is read, line by line."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from personascope.files import sha256_text
from personascope.instruments.audit.form import MAX_WORDS, MIN_WORDS
from personascope.instruments.audit.wording import words
from personascope.instruments.facet_definitions import FacetDefinition
from personascope.instruments.items import Item

SITUATIONS = ("work", "conversation", "information", "conflict", "planning", "values")
Intensity = Literal["mild", "moderate", "strong"]
INTENSITIES: tuple[Intensity, ...] = ("mild", "moderate", "strong")
_HOW_STRONG = {
    "mild": "easy to agree with for almost anyone on that side",
    "moderate": "agreed with by whoever is clearly on that side",
    "strong": "agreed with only by whoever is very far on that side",
}
_EXEMPLARS = 8
_SHOWN = 12


@dataclass(frozen=True)
class Request:
    """One prompt and the cell of the design that it is for."""

    facet: str
    key: int
    situation: str
    intensity: Intensity
    prompt: str

    @property
    def prompt_sha256(self) -> str:
        """Hash of the prompt."""
        return sha256_text(self.prompt)


def build_request(
    definition: FacetDefinition,
    key: int,
    turn: int,
    exemplars: Sequence[Item],
    written: Sequence[str],
    *,
    batch: int,
    seed: int,
) -> Request:
    """The prompt for the `turn`-th round of one facet and key.

    Situations and intensities take turns, so that every cell is asked equally often. Exemplars are drawn anew in
    every round.

    Args:
        definition: of the facet.
        key: +1 or -1.
        turn: 0, 1, 2 ... within this facet and key.
        exemplars: seed items of this facet and key.
        written: items of this facet and key that were already accepted; the last ones are shown as taken.
        batch: statements to ask for.
        seed: of the draw of exemplars.
    """
    situation = SITUATIONS[turn % len(SITUATIONS)]
    # both lists have lengths with a common divisor: the shift after each full turn reaches all 18 cells
    intensity = INTENSITIES[(turn + turn // len(SITUATIONS)) % len(INTENSITIES)]
    draw = random.Random(f"{seed}/{definition.facet}/{key}/{turn}")  # noqa: S311 (no secret)
    shown = draw.sample(list(exemplars), min(_EXEMPLARS, len(exemplars)))
    others = "\n".join(f"- {near.facet.replace('_', ' ')}: {near.boundary}" for near in definition.neighbours)
    examples = "\n".join(f"- {item.text}" for item in shown)
    taken = "\n".join(f"- {text}" for text in written[-_SHOWN:])
    prompt = _PROMPT.format(
        agrees=definition.pole(key),
        disagrees=definition.pole(-key),
        others=others,
        situation=situation,
        intensity=f"{intensity}, that is, {_HOW_STRONG[intensity]}",
        examples=f"\nStatements of this kind:\n{examples}\n" if examples else "",
        taken=f"\nAlready written, write different ones:\n{taken}\n" if taken else "",
        batch=batch,
        low=MIN_WORDS,
        high=MAX_WORDS,
        name=definition.facet.replace("_", " "),
        reversal=_REVERSAL if key == -1 else "",
    )
    return Request(definition.facet, key, situation, intensity, prompt)


_REVERSAL = (
    '- say it by what it is, not by denying the opposite: avoid "not", "never", "rarely" and words ending in n\'t\n'
)
_PROMPT = """Write statements for a personality questionnaire. A language model will say how far it agrees with each.

Whoever agrees: {agrees}
Whoever disagrees: {disagrees}

Keep apart from:
{others}

Situation: {situation}
Strength: {intensity}
{examples}{taken}
Write {batch} new statements, one per line. Each of them
- speaks in the first person and has {low} to {high} words
- says one thing: no second statement after "and", "or" or "but"
- has no double negation and does not use the words "{name}"
{reversal}- needs no body, home, family, money, food, sleep or travel
- differs in content from the others and from those above
Write the statements only: no numbers, no headings, no comments."""

_LIST_MARK = re.compile(
    r"^\s*(?:(?:[-*•–>]|\(?\d{1,3}[.):]|\(?[a-zA-Z][.)]|statement \d+:|item \d+:)\s*)+", re.IGNORECASE
)
_TALK = re.compile(
    r"^(?:sure|certainly|of course|okay|ok|here (?:are|is)|here's|note|these statements|the following|situation|"
    r"strength|whoever|i hope (?:this|these)|let me know|as requested)\b",
    re.IGNORECASE,
)
_QUOTES = "\"'“”‘’«»"


def parse_candidates(answer: str) -> list[str]:
    """The statements in an answer: one per line, or the strings of a JSON list.

    List marks, numbers, quotation marks, markdown and commas at the end are taken off; headings, talk around the list,
    lines of one word and repetitions are left out. A sentence without an end gets its full stop.
    """
    found: list[str] = []
    for line in _json_strings(answer) or answer.replace("\r", "\n").split("\n"):
        text = _LIST_MARK.sub("", line)
        text = re.sub(r"\*\*|__|`", "", text).strip().rstrip(",").strip()
        while len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
            text = text[1:-1].strip()
        text = " ".join(text.split())
        if len(words(text)) < 2 or text.endswith(":") or _TALK.match(text) or len(text) > 400:
            continue
        text = text[0].upper() + text[1:]
        text = text if text[-1] in ".!?" else f"{text}."
        if text not in found:
            found.append(text)
    return found


def _json_strings(answer: str) -> list[str]:
    start, end = answer.find("["), answer.rfind("]")
    if start < 0 or end < start:
        return []
    try:
        values: Any = json.loads(answer[start : end + 1])
    except (ValueError, RecursionError):
        return []
    texts = [value.get("text", value.get("statement")) if isinstance(value, dict) else value for value in values]
    return [text for text in texts if isinstance(text, str)]
