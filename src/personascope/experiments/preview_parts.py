"""Parts of a study as selections of tokens: the first prompts of a plan, and of rows whose answers are written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from personascope.activations.plan import Plan, Row
from personascope.models.engine import HookEngine
from personascope.report.selection import Selection, show_selection
from personascope.report.selection_text import ranges

ROWS = 2
"""So many prompts of each part are shown: a choice in both orders."""


def preview_plan(engine: HookEngine, plan: Plan, rows: int, whose: str = "") -> Selection:
    """The first prompts of a plan, with where the residual stream is kept and where labels are read.

    `whose` goes before the plan's name in the title.
    """
    kept = (
        f"The residual stream is kept after layers {ranges(plan.layers)} at the positions below." if plan.layers else ""
    )
    labels = (
        f"The log-probabilities of the labels {', '.join(map(repr, plan.options.labels))} are read at answer."
        if plan.options is not None
        else ""
    )
    read = dict.fromkeys([*plan.positions, *(["answer"] if plan.options is not None else [])])
    note = " ".join(filter(None, [kept, labels]))
    return preview_rows(engine, whose + plan.name, plan.rows, rows, read=tuple(read), note=note)


def preview_rows(engine: HookEngine, name: str, all_rows: Sequence[Row], rows: int, **how: Any) -> Selection:
    """The first of some rows; further arguments as of `show_selection`."""
    shown = all_rows[:rows]
    title = f"{name}: {len(shown)} of {len(all_rows):,} prompts"
    return show_selection(
        engine.tokenizer, [row.prompt for row in shown], names=[row.id for row in shown], title=title, **how
    )


def preview_written(engine: HookEngine, name: str, all_rows: Sequence[Row], rows: int) -> Selection:
    """The first of some prompts after which the model writes, unsteered."""
    note = "The model writes its answer after these prompts; nothing is read inside the model and nothing is steered."
    return preview_rows(engine, name, all_rows, rows, note=note)
