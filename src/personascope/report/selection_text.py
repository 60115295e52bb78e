"""A selection of tokens in words and marks: the legend that terminal and page share, and the terminal's text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from textwrap import fill

from personascope.prompts.positions import resolve
from personascope.report.selection import Selection, Steered

_SHOWN = {" ": "·", "\n": "↵", "\t": "→"}
SIGNS = (
    "+ is along the direction and - against it: at the positive coefficients of a sweep, or as the first one that is "
    "added at a layer."
)


@dataclass(frozen=True)
class Run:
    """Neighbouring tokens to all of which the same happens: places in the prompt, positions, and what is done."""

    tokens: range
    read: tuple[str, ...]
    steered: tuple[Steered, ...]

    @property
    def mark(self) -> str:
        """That of what is done; * where several things with different marks are, "" where nothing is."""
        marks = list(dict.fromkeys(one.mark for one in self.steered))
        return marks[0] if len(marks) == 1 else "*" * bool(marks)


def runs(selection: Selection, row: int) -> list[Run]:
    """A prompt from its first to its last token."""
    happens = list(zip(selection.read_at(row), selection.steered_at(row), strict=True))
    changes = [index for index in range(1, len(happens)) if happens[index] != happens[index - 1]]
    return [Run(range(*ends), *happens[ends[0]]) for ends in pairwise([0, *changes, len(happens)])]


def visible(token: str) -> str:
    """A token's text with everything seen: spaces and new lines as signs, what has no shape as its code.

    Codes also stand for the signs themselves, and for characters that would turn or move the text around them.
    """
    return "".join(
        _SHOWN.get(character)
        or (
            character
            if character.isprintable() and character not in _SHOWN.values()
            else character.encode("unicode_escape").decode("ascii")
        )
        for character in token
    )


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers in short: "3-5, 9"."""
    groups = [[n for _, n in group] for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{one[0]}-{one[-1]}" if len(one) > 1 else str(one[0]) for one in groups)


def in_words(one: Steered) -> str:
    """What is done, where, after which layers, and whether generated tokens are changed too."""
    times = "" if abs(one.sign) == 1 else f" {abs(one.sign):g} times"
    what = {
        "add": f"the direction is {'added' if one.sign > 0 else 'subtracted'}{times}",
        "turn": f"the direction is {'added' if one.sign > 0 else 'subtracted'}{times} and the length kept",
        "clamp": "the part along the direction is set",
        "project out": "the part along the direction is taken out",
        "replace": "the residual stream is replaced",
    }.get(one.kind, "")
    after = f" after layer{'s' if len(one.layers) > 1 else ''} {ranges(sorted(one.layers))}" if one.layers else ""
    if one.kind == "nothing":
        return f"{one.where}: nothing is changed{after}, for what would be added is zero."
    if not one.reads_prompt and not one.goes_on:
        return f"{one.where}: {what}{after}, but neither in the prompt nor in generated tokens."
    when = {
        (True, True): "in the prompt, and it goes on through generated tokens",
        (True, False): "in the prompt only; generated tokens are left alone",
        (False, True): "in generated tokens only; the prompt is left alone",
    }[one.reads_prompt, one.goes_on]
    return f"{one.where}: {what}{after}, {when}."


def counts(selection: Selection) -> str:
    """How many prompts and tokens there are, and how many tokens are read and steered."""
    n = sum(map(len, selection.prompts))
    found = [run for row in range(len(selection.prompts)) for run in runs(selection, row)]
    read = sum(len(run.tokens) for run in found if run.read)
    steered = sum(len(run.tokens) for run in found if run.steered)
    some = f"{len(selection.prompts)} prompt{'s' * (len(selection.prompts) != 1)}"
    return f"{some}, {n:,} tokens in all: {read:,} read, {steered:,} steered."


def places(selection: Selection, row: int) -> list[str]:
    """Which tokens of a prompt, by number, in the order of the legend: "read at eot, 1 token: 133"."""
    found = [(f"read at {where}", where) for where in selection.read]
    found += [(f"steered at {one.where} ({one.how})", one.where) for one in selection.steered if one.reads_prompt]
    named = [(what, resolve(selection.prompts[row], where)) for what, where in found]
    return [f"{what}, {_tokens(len(tokens))}: {ranges(tokens)}" for what, tokens in named]


def heading(selection: Selection, row: int) -> str:
    """Number, name and length of a prompt."""
    name = f" ({visible(selection.names[row]).replace('·', ' ')})" if selection.names else ""
    return f"Prompt {row}{name}, {_tokens(len(selection.prompts[row]))}"


def _tokens(n: int) -> str:
    return f"{n} token{'s' * (n != 1)}"


def legend(selection: Selection) -> list[tuple[str, str]]:
    """(mark, meaning) of all that is done and, with the mark "read", of all that is read."""
    lines = [("read", reading(selection))] if selection.read else []
    lines += [(one.mark if one.reads_prompt else "", in_words(one)) for one in selection.steered]
    if any(run.mark == "*" for row in range(len(selection.prompts)) for run in runs(selection, row)):
        lines.append(("*", "several of these at once"))
    return lines


def reading(selection: Selection) -> str:
    """Which positions are read, and which of them over several tokens."""
    several = {
        where for where in selection.read if any(len(resolve(prompt, where)) > 1 for prompt in selection.prompts)
    }
    return "read: " + ", ".join(where + " (mean over its tokens)" * (where in several) for where in selection.read)


def signs(selection: Selection) -> str:
    """How the signs stand for characters that would not be seen; only of those that occur."""
    meanings = {" ": "a space", "\n": "a new line", "\t": "a tab", "\ufffd": "a piece of a longer character"}
    seen = {character for tokens in selection.tokens for token in tokens for character in token}
    found = [f"{_SHOWN.get(one, one)} is {what}" for one, what in meanings.items() if one in seen]
    return "Every token stands by itself" + "".join(f"; {meaning}" for meaning in found) + "."


def as_text(selection: Selection, width: int) -> str:
    """See `Selection.text`."""
    lines = [selection.title] if selection.title else []
    lines += [_folded(part, width) for part in (selection.note, counts(selection)) if part]
    lines.append(_folded(signs(selection), width))
    for mark, meaning in legend(selection):
        shown = {"read": "{ }", "": ""}.get(mark, f"[{mark} {mark}]")
        lines.append(fill(meaning, width, initial_indent=f"  {shown:6}", subsequent_indent=" " * 8))
    if any(one.mark in ("+", "-") for one in selection.steered):
        lines.append(_folded(SIGNS, width))
    for row in range(len(selection.prompts)):
        lines += ["", heading(selection, row), *_marked(selection, row, width)]
        lines += [f"  {place}" for place in places(selection, row)]
    return "\n".join(lines)


def _folded(text: str, width: int) -> str:
    return fill(text, width, break_long_words=False, break_on_hyphens=False)


def _marked(selection: Selection, row: int, width: int) -> list[str]:
    """The prompt's tokens and marks in lines: a new one after each new line of the prompt, and at `width`."""
    pieces: list[str] = []
    for mark, same in groupby(runs(selection, row), lambda run: run.mark):
        pieces += [f"[{mark}"] if mark else []
        for run in same:
            pieces += [f"{{{','.join(run.read)}:"] if run.read else []
            pieces += [
                visible(text) + "\n" * ("\n" in text)
                for text in selection.tokens[row][run.tokens.start : run.tokens.stop]
            ]
            pieces += ["}"] if run.read else []
        pieces += [f"{mark}]"] if mark else []
    lines = " ".join(pieces).split("\n")
    return [f"  {_indented(line.strip(), width)}" for line in lines if line.strip()]


def _indented(line: str, width: int) -> str:
    return fill(line, max(width - 2, 20), subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
