"""What each sentence of an answer claims about the rating: a grammar of plain claims, and signs of doubt.

Nothing here guesses. A number counts only where a rating stands (alone, after "I'd say", after "Rating:" ...); ranges,
decimals, signs and numbers off the scale are marked as doubtful before anything is read, so that none of their digits
can be taken for a rating.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from personascope.errors import DataError

DOUBT = "\ufffd"
"""Stands in the text for a number that is no rating: a range, a decimal, a signed number, another denominator."""

_WORDS = {
    **{"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"},
    **{"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "eleven": "11"},
}
_NOUN = r"(?:rating|score|answer|response|reply|choice|number|selection|option|letter|evaluation|vote)"
_MINE = r"(?:(?:so|and|thus|therefore|my|the|final|overall|honest|own|chosen|best|this|personal|agreement)\s+){0,5}"
_ABOUT = r"(?:\s+(?:for|to|on|about)(?:\s+(?:this|the|that))?\s*(?:statement|item|question|one)?)?"
_NAMED = rf"{_MINE}{_NOUN}{_ABOUT}\s*(?:is|would be|will be|:|=|-|of|as|at)+\s*(?:a\s+|an\s+)?"
_SAID = (
    r"i(?:'d| would| will|'ll|'m| am)?(?:\s+(?:have to|rather|therefore|thus|definitely|probably|just|still))*\s+"
    r"(?:say|choose|pick|select|answer|reply|respond|rate|give|go|put|assign|vote|settle|at)"
    r"(?:\s+(?:that|with|on|for|as|at|it|this|myself|the|a|an|statement|of|by|" + _NOUN + r"))*\s*:?\s*"
)
_MARKERS = (
    rf"{_MINE}{_NOUN}{_ABOUT}\s*(?:is|would be|will be|:|=|-|of|as|at)*\s*(?:a\s+|an\s+)?",
    _SAID,
    r"(?:it's|it is|that's|that is|that would be|make it|call it)\s+(?:a\s+|an\s+)?",
    # any few words and a colon, but for those that lead to something else
    r"(?![^:=]*\b(?:statement|item|question|sentence|scale|step|reason|example|note)\b)"
    r"(?![^:=]*(?:\bnot|n't|\bnever|\bcannot)\s+(?:\w+\s+)?(?:say|choose|pick|select|give|rate|answer|be)\b)"
    r"(?![^:=]*\b(?:not|never|no|except|but|wrong)\s*[:=])"
    rf"[^\d{DOUBT}:=]{{1,40}}[:=]\s*",
)
_FILLER = (
    r"(?:so|well|ok|okay|sure|thus|therefore|hence|overall|honestly|personally|hmm+|i think|i believe|i guess|probably|"
    r"maybe|perhaps|definitely|to be honest|for this (?:statement|item)|in conclusion|in summary)\b[,:]?\s*"
)
_SHORT_TAIL = (
    r"(?:[分点點점]|(?:,\s*)?(?:definitely|probably|for sure|i think|i guess|i'd say|here|overall|please|points?)|"
    r"(?:(?:with|to|on|for)\s+)?(?:this|the|that)(?:\s+(?:statement|item|sentence|question|scale|one))?)"
)
_LONG_TAIL = (
    r"(?:\s*[,;:.\-]+\s+|,?\s*(?=(?:because|since|as|given|so|and|but|although|though|if|unless|however|or)\b)).+"
)
_NEGATED = re.compile(r"(?:\bnot|n't|\bnever|\bcannot|\bno|\bwithout|\bneither)\b(?:\s+\w+){0,3}[\s:]*$", re.IGNORECASE)
_HEDGE = re.compile(
    r"\b(?:but|if|unless|although|though|however|only|sometimes|except|or|not|depends|maybe|perhaps|could|almost|"
    r"actually|rather)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Claim:
    """What one sentence says.

    Args:
        value: the option, 1..K; None when it names no single option, or contradicts the scale.
        kind: "marked" (after "Rating:", "I'd say" ...), "alone" (a label or an anchor by itself), "pair" (a label with
            its anchor, as in a copy of the scale), "lead" (a label in front of prose, as in a numbered list), or
            "contradiction" (a label with an anchor that is not its own).
        why: what was seen.
    """

    value: int | None
    kind: str
    why: str


class Scale:
    """Labels and anchors of one question, compiled to patterns.

    Args:
        labels: label texts in the order shown, numbers or single capital letters.
        anchors: anchor texts in the order shown; without them words are no answer.

    Raises:
        DataError: labels of another kind, or not as many anchors as labels.
    """

    def __init__(self, labels: Sequence[str], anchors: Sequence[str]) -> None:
        self.is_numeric = all(label.isdecimal() for label in labels)
        if not self.is_numeric and not all(re.fullmatch("[A-Z]", label) for label in labels):
            raise DataError(
                f"Ratings with the labels {list(labels)} cannot be read from text.",
                "Labels must be numbers, or single capital letters.",
                "Ask with digits or letters.",
            )
        if anchors and len(anchors) != len(labels):
            raise DataError(
                f"There are {len(anchors)} anchors for {len(labels)} labels.",
                f"Anchors: {list(anchors)}; labels: {list(labels)}.",
                "Pass the anchors in the order shown, one for each label.",
            )
        self.values = {label: value for value, label in enumerate(labels, start=1)}
        self.anchors = {" ".join(a.casefold().split()): value for value, a in enumerate(anchors, start=1)}
        self.first, self.last = labels[0], labels[-1]
        words = "|".join(_WORDS)
        shape = rf"(?:\d+|{words})" if self.is_numeric else r"(?-i:[A-Z])"
        self.label = rf"(?<![\w.'])(?:{shape})(?![\w'])"
        longest_first = sorted(self.anchors, key=len, reverse=True)
        anchor = "|".join(re.escape(text) for text in longest_first) or r"(?!)"
        said = rf"(?:i\s+(?:do\s+|would\s+|must\s+)?|i'd\s+)?(?P<anchor>{anchor})(?!\w)"
        number = rf"(?P<label>{self.label}|{DOUBT})"
        tail = rf"(?:\s*{_SHORT_TAIL})*"
        between = r"\s*[=:.,\-]*\s*(?:(?:is|means|for)\s+)?"
        self.pair = re.compile(rf"{number}\s*[=:.,\-]\s*{said}", re.IGNORECASE)
        # words come first, as "I agree" would else be the label I with an anchor
        bodies = {
            "words": said,
            "pair": rf"{number}{between}{said}",
            "words and label": rf"{said}{between}{number}",
            "label": number,
        }
        self.shapes = {
            name: re.compile(rf"(?:{body}){tail}(?P<tail>{_LONG_TAIL})?", re.IGNORECASE | re.DOTALL)
            for name, body in bodies.items()
        }
        self.markers = tuple(re.compile(marker, re.IGNORECASE) for marker in _MARKERS)
        onward = r"(?:because|since|here|and|but|so|(?:to|on|for) (?:this|the (?:statement|item|scale)))"
        ends = rf"(?=\s*(?:$|[.,;:!\-]|\b{onward}\b))"
        self.inner = re.compile(rf"\b(?:{_NAMED}|{_SAID}){number}{ends}", re.IGNORECASE)
        digits = r"(?<![\w.])\d+(?!\w)"  # number words are too common in prose to count as mentions
        self.mention = re.compile(rf"{digits if self.is_numeric else self.label}|{DOUBT}")

    def value(self, text: str) -> int | None:
        """The option that a label names, None when it is off the scale."""
        return self.values.get(_WORDS.get(text.lower(), text))

    def _meant(self, anchor: str) -> int:
        return self.anchors[" ".join(anchor.casefold().split())]

    def mentions(self, text: str) -> set[int | None]:
        """Options that are mentioned anywhere in a text, None for doubtful numbers; other numbers are left out."""
        found = {match.group(): self.value(match.group()) for match in self.mention.finditer(text)}
        plain = {"I", "A"} if not self.is_numeric else set()  # words of English
        return {v for text, v in found.items() if (v is not None or text == DOUBT) and text not in plain}

    def doubts(self, text: str) -> str:
        """The text with mentions of the scale itself left out, and doubtful numbers replaced by `DOUBT`."""
        first, last = re.escape(self.first), re.escape(self.last)
        whole = rf"{first}\s*(?:-|to|through|and)\s*{last}"
        for mention in (
            r"(?:(?:on|using|with|from|in)\s+)?(?:(?:a|the|this|that|your)\s+)?(?:\b\w{1,20}\s+)?scale\s*"
            rf"(?:of|from|is|:|,|ranges from|runs from|goes from|between)?\s*{whole}(?!\w)",
            rf"(?<!\w){whole}\s+scale",
            rf"(?:on|from)\s+{whole}(?!\w)",
            rf"(?<=\w\s){whole}(?=\s*[:=])",
            r"(?<!\w)\d+[- ]point\s+scale",
        ):
            text = re.sub(mention, "", text, flags=re.IGNORECASE)
        if not self.is_numeric:
            return re.sub(rf"{self.label}(?:[ ]*(?:-|/|,|or|and|to|&)+[ ]*{self.label})+", DOUBT, text)
        number = rf"(?:(?<![\w.])(?:\d+|{'|'.join(_WORDS)})(?!\w)|{DOUBT})"
        text = re.sub(r"(?<![\d.,])(\d+)[.,]0+(?![\d.,])", r"\1", text)
        text = re.sub(r"(?<!\d)\d*[.,]\d+(?:[.,]\d+)*|(?<!\w)[+\-<>≤≥]\d+|(?<!\d)\d+\s*[+%]", DOUBT, text)
        text = re.sub(rf"(?:minus|negative)\s+{number}", DOUBT, text, flags=re.IGNORECASE)
        last_word = next((word for word, digits in _WORDS.items() if digits == self.last), self.last)
        out_of = rf"({number})[ ]*(?:/|out of|of)[ ]*(?:{last}|{last_word})(?![\w/])"
        text = re.sub(rf"(?<![/\d]){out_of}", r"\1", text, flags=re.IGNORECASE)
        join = r"[ ]*(?:(?:-|/|,|&|\.\.+|…|to|or|and|through|out of|of)[ ]*)+"
        return re.sub(rf"(?:between[ ]+)?{number}(?:{join}{number})+", DOUBT, text, flags=re.IGNORECASE)

    def read(self, sentence: str) -> Claim | None:
        """What a sentence (of `sentences`) claims, None when it is prose."""
        copied = list(self.pair.finditer(sentence))
        if len({match["label"] for match in copied}) > 1:
            wrong = [m.group() for m in copied if self.value(m["label"]) != self._meant(m["anchor"])]
            if wrong:
                return Claim(None, "contradiction", f"{wrong[0]!r}")
            sentence = self.pair.sub("", sentence)
        asks = sentence.rstrip().endswith("?")
        rest = sentence.strip(" .,;!:-#>•·=\t?")
        marked = False
        while not asks:
            if not self.is_numeric and re.fullmatch("[a-z]", rest):
                rest = rest.upper()
            claim = self._shaped(rest, marked)
            if claim:
                return claim
            filler = re.match(_FILLER, rest, re.IGNORECASE)
            marker = next((found for found in (m.match(rest) for m in self.markers) if found), None)
            step = filler or marker
            if not step or not step.end():
                break
            marked = marked or not filler
            rest = rest[step.end() :]
        inner = list(self.inner.finditer(sentence)) if not asks else []
        if inner:
            denied = any(_NEGATED.search(sentence[: match.start()]) for match in inner)
            values = {None if denied else self.value(match["label"]) for match in inner}
            return Claim(values.pop() if len(values) == 1 else None, "marked", f"{inner[-1].group()!r}")
        if len(sentence.split()) <= 5 and self.mentions(sentence):
            return Claim(None, "alone", f"unclear: {sentence!r}")
        return None

    def _shaped(self, text: str, marked: bool) -> Claim | None:
        """A claim by one of the four shapes: label and anchor, anchor and label, label, anchor."""
        for name, shape in self.shapes.items():
            match = shape.fullmatch(text)
            if not match:
                continue
            groups = match.groupdict()
            label, anchor, tail = groups.get("label"), groups.get("anchor"), groups["tail"] or ""
            values = {self.value(label)} if label else set()
            values |= {self._meant(anchor)} if anchor else set()
            value = values.pop() if len(values) == 1 else None
            if label and anchor and value is None:
                return Claim(None, "contradiction", f"{label!r} does not mean {anchor!r}")
            hedged = bool(_HEDGE.search(tail)) and (bool(anchor and not label) or bool(self.mentions(tail) - {value}))
            if name == "label" and tail and not marked:
                # "1. I plan ahead" may be an answer as well as the start of a list
                alone = not self.mentions(tail) - {value} and not tail.lstrip().startswith(".")
                return Claim(value if alone else None, "lead", f"{text!r}")
            kind = "marked" if marked else "pair" if name == "pair" and not tail else "alone"
            return Claim(None if hedged else value, kind, f"{text!r}")
        return None


def sentences(text: str, scale: Scale) -> list[str]:
    """Sentences of a text, each within a line; "4." at the start of a line stays with what follows it."""
    found = []
    for line in text.splitlines():
        parts = re.split(r"(?<=[.!?;])\s+", line)
        if len(parts) > 1 and re.fullmatch(rf"\W*{scale.label}\.", parts[0], re.IGNORECASE):
            parts[:2] = [f"{parts[0]} {parts[1]}"]
        found += [part for part in parts if part.strip()]
    return found
