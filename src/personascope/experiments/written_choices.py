"""Choices that are shown by starting a task: sampled answers, read by the parser and, where it cannot, by a judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.plan import Row
from personascope.activations.texts import Writing, collect_texts
from personascope.errors import DataError, nearest
from personascope.experiments.choice_judges import ChoiceJudge, Judged, judge_all
from personascope.instruments.personas import Persona
from personascope.instruments.tasks import Task
from personascope.measures.by_model import by_model
from personascope.measures.choice_parsing import parse_choice
from personascope.measures.outcomes import Outcomes, refusal_rates
from personascope.measures.sampled_agreement import agreement_with_log_odds, sample_calibration
from personascope.measures.sampled_choices import judge_agreement, sample_consistency, sampled_outcomes
from personascope.models.engine import HookEngine
from personascope.prompts.render import render
from personascope.prompts.templates import COMPLETION_CHOICE, Template

JUDGED = ("undecided", "all")
"""Which answers a judge sees: those that the parser could not decide, or all, so that both can be compared."""
_READ = {
    "label": pl.String,
    "executed": pl.String,
    "refusal": pl.Boolean,
    "truncated": pl.Boolean,
    "contradiction": pl.Boolean,
    "parsed_outcome": pl.String,
    "decided": pl.Boolean,
    "why": pl.String,
    "judge_asked": pl.Boolean,
    "judged_label": pl.String,
    "judged_executed": pl.String,
    "judged_refusal": pl.Boolean,
    "compliance": pl.String,
    "judged_outcome": pl.String,
    "outcome": pl.String,
}


def choice_rows(
    engine: HookEngine,
    personas: Sequence[Persona],
    tasks: Sequence[Task],
    pairs: Sequence[tuple[int, int]],
    template: Template = COMPLETION_CHOICE,
    thinking: bool | None = None,
) -> tuple[Row, ...]:
    """Every pair in both orders under every persona, in its first wording; rows carry persona, first, second.

    Raises:
        DataError: a pair of a task with itself, or one asked twice.
        PersonascopeError: as `render`.
    """
    both = [order for i, j in pairs for order in ((i, j), (j, i))]
    if len(set(both)) < len(both):
        i, j = Counter(both).most_common(1)[0][0]
        raise DataError(
            f"The pair of {tasks[i].id!r} and {tasks[j].id!r} is asked twice, or of a task with itself.",
            "Both orders of a pair are asked anyway.",
            "Give every pair of different tasks once.",
        )
    return tuple(
        Row(
            id=f"{persona.name}/{tasks[a].id}/{tasks[b].id}",
            prompt=render(
                engine.tokenizer,
                template,
                {"task_a": tasks[a].text, "task_b": tasks[b].text},
                system=persona.phrasings[0].system,
                thinking=thinking,
            ),
            meta={"persona": persona.name, "first": tasks[a].id, "second": tasks[b].id},
        )
        for persona in personas
        for a, b in both
    )


def write_choices(
    engine: HookEngine,
    personas: Sequence[Persona],
    tasks: Sequence[Task],
    pairs: Sequence[tuple[int, int]],
    folder: Path,
    writing: Writing,
    *,
    template: Template = COMPLETION_CHOICE,
    thinking: bool | None = None,
    judge: ChoiceJudge | None = None,
    judged: str = "undecided",
    progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Let the model choose and write, and read what it wrote; `folder` keeps the texts (see `activations.texts`).

    Returns:
        One row per persona, first, second and sample, with what the parser read (label, executed, refusal, truncated,
        contradiction, parsed_outcome, decided, why; see `ChosenTask`), what the judge made of it (judge_asked,
        judged_label, judged_executed, judged_refusal, compliance, judged_outcome; null where it was not asked or could
        not be read), outcome (the
        parser's where it decided; else the judge's, where one was asked and could be read), text, finish, n_tokens.

    Raises:
        DataError: as `choice_rows`, or an unknown `judged`.
        PersonascopeError: as `collect_texts` and the judge. What was written is kept.
    """
    rows = choice_rows(engine, personas, tasks, pairs, template, thinking)
    texts = collect_texts(rows, engine, folder, writing, progress=progress).drop("row")
    return read_choices(texts, tasks, judge=judge, judged=judged)


def read_choices(
    texts: pl.DataFrame,
    tasks: Sequence[Task],
    *,
    judge: ChoiceJudge | None = None,
    judged: str = "undecided",
) -> pl.DataFrame:
    """Read answers that were written before: columns persona, first, second, sample, text, finish, n_tokens.

    Returns:
        As `write_choices`.

    Raises:
        DataError: an unknown `judged` or task.
    """
    if judged not in JUDGED:
        raise DataError(f"Unknown judged={judged!r}.{nearest(judged, JUDGED)}", "", "Correct the name.")
    worded = {task.id: task.text for task in tasks}
    strange = next((task for name in ("first", "second") for task in texts[name] if task not in worded), None)
    if strange is not None:
        raise DataError(
            f"Task {strange!r} has no text.{nearest(strange, worded)}", "", "Pass the tasks that were asked."
        )
    answers = texts.to_dicts()
    cases = [(worded[one["first"]], worded[one["second"]], one["text"]) for one in answers]
    read: list[dict[str, Any]] = []
    for case, one in zip(cases, answers, strict=True):
        found = parse_choice(case[2], case[0], case[1], finished=one["finish"] == "stop")
        parsed = {"contradiction": found.contradiction, "parsed_outcome": found.outcome, "decided": found.decided}
        read.append({**vars(found), **parsed, "judge_asked": False, "outcome": found.outcome})
    asked = [at for at, one in enumerate(read) if judged == "all" or not one["decided"]] if judge else []
    verdicts = judge_all(judge, [cases[at] for at in asked]) if judge else []
    for at, verdict in zip(asked, verdicts, strict=True):
        read[at] |= _verdict(verdict, read[at])
    columns = pl.DataFrame(read, schema=_READ, infer_schema_length=None)
    as_written = ["text", "finish", "n_tokens"]
    return pl.concat([texts.drop(as_written), columns, texts.select(as_written)], how="horizontal")


def written_tables(
    written: pl.DataFrame, choices: pl.DataFrame | None, tasks: Sequence[Task], *, n_resamples: int, seed: int
) -> dict[str, pl.DataFrame]:
    """What written choices show, and whether label probabilities show the same.

    Args:
        written: of `write_choices`, with or without a column model.
        choices: log-probabilities of the same pairs and personas, columns as `measures.choices.choice_table` takes
            them; None leaves the agreement out.
        tasks: the pool, in its order.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        "written_outcomes", "written_consistency", "written_calibration", "written_refusals", "written_judging" (where
        a judge was asked) and "written_agreement": see the functions of `measures.sampled_choices` and
        `measures.sampled_agreement`.

    Raises:
        DataError: as these functions.
    """
    ids = [task.id for task in tasks]
    tables = {
        "written_outcomes": by_model(sampled_outcomes, written),
        "written_consistency": by_model(sample_consistency, written),
        "written_calibration": by_model(lambda part: sample_calibration(part, ids), written),
        "written_refusals": by_model(lambda part: task_refusals(part, ids), written),
    }
    if written["judge_asked"].any():
        tables["written_judging"] = by_model(judge_agreement, written)
    if choices is not None:
        tables["written_agreement"] = by_model(
            lambda one, other: agreement_with_log_odds(one, other, n_resamples=n_resamples, seed=seed), written, choices
        )
    return tables


def task_refusals(written: pl.DataFrame, task_ids: Sequence[str]) -> pl.DataFrame:
    """`measures.outcomes.refusal_rates` of each persona, tasks by their ids."""
    number = {task: index for index, task in enumerate(task_ids)}
    tables = []
    for (persona,), part in written.group_by("persona", maintain_order=True):
        first, second = (
            np.array([number[task] for task in part[name]], dtype=np.int64) for name in ("first", "second")
        )
        rates = refusal_rates(Outcomes.sampled(first, second, part["outcome"].to_list()), n_tasks=len(task_ids))
        names = pl.Series("task", [task_ids[index] for index in rates["task"]])
        tables.append(rates.with_columns(names).select(pl.lit(persona).alias("persona"), pl.all()))
    return pl.concat(tables)


def _verdict(verdict: Judged, read: dict[str, Any]) -> dict[str, Any]:
    """Columns of a judge's reading; an unreadable one changes nothing."""
    if verdict.compliance is None:
        return {"judge_asked": True}
    found = {f"judged_{name}": getattr(verdict, name) for name in ("label", "executed", "refusal", "outcome")}
    outcome = read["outcome"] if read["decided"] else verdict.outcome
    return {**found, "judge_asked": True, "compliance": verdict.compliance, "outcome": outcome}
