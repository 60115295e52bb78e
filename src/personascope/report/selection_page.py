"""A selection of tokens as HTML: a page of its own, or a part of a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from personascope.report import selection_text as words
from personascope.report.selection import Selection

_CLASSES = {"+": "plus", "-": "minus", "read": "read", "": ""}
"""By mark; all other marks share one class."""


@dataclass(frozen=True)
class ShownToken:
    """One box: what stands in it, what pointing at it says, and whether a line ends behind it."""

    text: str
    title: str
    ends_line: bool


@dataclass(frozen=True)
class ShownRun:
    """Boxes of one look, and what begins with them."""

    label: str
    css: str
    tokens: list[ShownToken]


def page(selections: Sequence[Selection], title: str = "What is read and what is steered") -> str:
    """A self-contained page of selections: all text is escaped, nothing is loaded and no script runs."""
    return _rendered(selections, title=title, whole=True)


def fragment(selections: Sequence[Selection]) -> str:
    """The same without a page around it; its styles touch nothing else."""
    return _rendered(selections, title="", whole=False)


def _rendered(selections: Sequence[Selection], **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("personascope.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assert environment.loader is not None
    styles, _, _ = environment.loader.get_source(environment, "selection.css")
    return environment.get_template("selection.html.j2").render(
        selections=selections,
        words=words,
        css=lambda mark: _CLASSES.get(mark, "other"),
        runs=_runs,
        styles=Markup(styles),  # noqa: S704
        **values,
    )


def _runs(selection: Selection, row: int) -> list[ShownRun]:
    shown = []
    before: list[str] = []
    for run in words.runs(selection, row):
        acting = [*run.read, *dict.fromkeys(f"{one.where} {one.mark}" for one in run.steered)]
        label = ", ".join(what for what in acting if what not in before)
        css = _CLASSES.get(run.mark, "other") + " read" * bool(run.read)
        shown.append(ShownRun(label, css, _tokens(selection, row, run)))
        before = acting
    return shown


def _tokens(selection: Selection, row: int, run: words.Run) -> list[ShownToken]:
    spans = selection.spans_at(row)
    steered = [cell for one in run.steered for cell in one.cells()]
    shown = []
    for index in run.tokens:
        text = selection.tokens[row][index]
        facts = [f"token {index}, id {selection.prompts[row].ids[index]}"]
        for what, found in (("in", spans[index]), ("read", run.read), ("steered", steered)):
            facts += [f"{what}: {', '.join(found)}"] if found else []
        shown.append(ShownToken(words.visible(text), "\n".join(facts), "\n" in text))
    return shown
