"""Names, texts and numbers as a reader sees them, on the page and inside figures."""

from __future__ import annotations

import html
import textwrap
import unicodedata
from collections.abc import Iterable

MISSING = "not available"
_SPECIAL = {
    "social_self_esteem": "Social self-esteem",
    "sentient_ai": "Sentient AI",
    "eot": "end of the user's turn (eot)",
    "answer": "start of the answer (answer)",
    "all": "all personas pooled",
}
_LONGEST_NAME = 44
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def pretty(name: str) -> str:
    """A stored name as words: `greed_avoidance` -> "Greed avoidance", `meta - self` -> "Meta − Self"."""
    if name in _SPECIAL:
        return _SPECIAL[name]
    if " - " in name:
        return " − ".join(pretty(part) for part in name.split(" - "))
    if name.startswith("facet:"):
        return f"Facet: {pretty(name.removeprefix('facet:')).lower()}"
    words = " ".join(name.replace("_", " ").split())
    words = words[:1].upper() + words[1:]
    return words if len(words) <= _LONGEST_NAME else words[: _LONGEST_NAME - 1] + "…"


def figure_text(text: str) -> str:
    """Escape a text for plotly, which reads tags such as <b> and <a href> in every label and hover."""
    return html.escape(" ".join(text.split()), quote=False)


def label(name: str) -> str:
    """A stored name as an axis, legend or hover label of a figure."""
    return figure_text(pretty(name))


def wrapped(text: str, width: int = 58) -> str:
    """An item or task text for a hover box: escaped, in lines of at most `width` characters."""
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(text, width))


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign; one more digit below 0.1, so that small effects do not all read 0.00."""
    if value is None:
        return MISSING
    return _fixed(value, digits + (abs(value) < 0.0995))


def two_decimals(value: float) -> str:
    """A number for the cell of a table or map, where all should have the same width."""
    return _fixed(value, 2)


def _fixed(value: float, digits: int) -> str:
    shown = f"{value:.{digits}f}"
    return shown.replace("-", "−") if float(shown) else shown.lstrip("-")  # no "−0.00"


def signed(value: float | None) -> str:
    """A difference: always with its sign."""
    return f"+{number(value)}" if value is not None and value > 0 else number(value)


def probability(name: str, value: float | None) -> str:
    """A p or q value with its name, "q = 0.031" or "q < 0.001"."""
    if value is not None and value < 0.001:
        return f"{name} < 0.001"
    return f"{name} = {MISSING if value is None else _fixed(value, 3)}"


def count(n: int | None) -> str:
    """A number of things that may not have been counted."""
    return MISSING if n is None else str(n)


def count_range(counts: Iterable[int | None]) -> str:
    """Smallest to largest of the counts that are known, once when they are the same."""
    known = [n for n in counts if n is not None]
    return " to ".join(map(str, dict.fromkeys([min(known), max(known)]))) if known else MISSING


def percent(part: float) -> str:
    """A share as a percentage; none at all is a plain 0, which no rounding gives."""
    return f"{number(100 * part, 1)} %" if part else "0 %"


def plural(word: str, n: int) -> str:
    """A word for n things: plain for one of them."""
    return word if n == 1 else f"{word}s"


def spread(values: Iterable[float | None]) -> str:
    """Smallest to largest of the values that are not null, once when they read the same."""
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    ends = number(min(known)), number(max(known))
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def excerpt(text: str, length: int) -> str:
    """A text from outside in one line of at most `length` characters, cut between words where it can be.

    Control characters, lone surrogates and marks that reorder the text around them are dropped. It is not escaped:
    the page escapes paragraphs and quotes, figures need `figure_text`.
    """
    line = " ".join("".join(" " if char.isspace() else char for char in text if not _unseen(char)).split())
    if len(line) <= length:
        return line
    head = line[: length - 1]
    cut = head if line[length - 1] == " " else head.rpartition(" ")[0] or head
    return f"{cut.rstrip()}…"


def _unseen(char: str) -> bool:
    return char in _REORDERING or (unicodedata.category(char) in ("Cc", "Cs") and not char.isspace())


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval in brackets, or a plain statement that there is none."""
    return "[no interval]" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def estimate(value: float | None, low: float | None, high: float | None) -> str:
    """A value followed by its 95 % interval."""
    return f"{number(value)} {interval(low, high)}"


def listed(names: list[str]) -> str:
    """Names in a sentence: "A", "A and B", "A, B and C"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def share(part: int, whole: int) -> str:
    """A count of a count: "none of the 25", "3 of 25", "all 25"."""
    if part == 0:
        return f"none of the {whole}"
    return f"all {whole}" if part == whole else f"{part} of {whole}"


def layer_runs(layers: str) -> str:
    """Layers as runs: "12, 13, 14, 20" -> "12 to 14, 20"; another text stays as it is."""
    names = [name.strip() for name in layers.split(",")]
    if not all(name.isdecimal() for name in names):
        return layers
    runs: list[list[int]] = []
    for layer in sorted(int(name) for name in names):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def share_of(part: int, whole: int, word: str) -> str:
    """A count of named things: "none of the 2 layers", "2 of 3 layers", "all 3 layers", "the only layer"."""
    return f"the only {word}" if part == whole == 1 else f"{share(part, whole)} {plural(word, whole)}"
