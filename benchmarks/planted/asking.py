"""Ask a planted respondent all that a study asks, through plans, stores and tables as for any model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.planted.persona_respondent import (
    BAND,
    D_MODEL,
    EVALUATED,
    Chooser,
    PersonaRespondent,
    Stream,
    choosers,
)
from benchmarks.planted.personas import PERSONAS, agreeing_utilities, planted_tasks
from benchmarks.planted.streams import streams
from personascope.activations.collect import collect
from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.experiments.elicitation import ChoiceMaterial, Elicited, answered_choices, choice_plan, task_plan
from personascope.experiments.preferences import preference_tables
from personascope.experiments.recipe_bases import ProbeStudy
from personascope.experiments.recipe_parts import ActivationsPart, PreferencesPart, ProbesPart
from personascope.experiments.rows import Rows, task_rows
from personascope.instruments.pairs import d_regular_pairs

DEGREE = 16
"""Of the design: 32 comparisons of every task, both orders counted."""
ORDER_BIAS = (1.5, -0.5, 0.8, 0.0, 2.5)
PLACE = (BAND[1], EVALUATED)
"""The layer in the middle of the band, and the position that is written at."""

Tables = Mapping[str, pl.DataFrame]


def recipe(personas: Sequence[str] = PERSONAS, *, seed: int = 0, resamples: int = 1000) -> ProbeStudy:
    """What the stages read of a recipe."""
    return ProbeStudy(
        name="planted",
        study="planted",
        seed=seed,
        resamples=resamples,
        preferences=PreferencesPart(personas=tuple(personas), degree=DEGREE),
        activations=ActivationsPart(positions=("answer", EVALUATED, "mean:item")),
        probes=ProbesPart(position=EVALUATED, shuffles=20, directions=20),
    )


def material(personas: Sequence[str] = PERSONAS) -> ChoiceMaterial:
    """The planted pool, these personas, and a d-regular design."""
    pool = planted_tasks().pool
    asked = tuple(persona for persona in choosers() if persona.name in personas)
    return ChoiceMaterial(pool, asked, tuple(d_regular_pairs(len(pool.tasks), DEGREE, 0)))


@dataclass(frozen=True, eq=False)
class Answers:
    """What a respondent chose, as tables and as it was answered."""

    elicited: Elicited
    tables: Tables


def chosen(chooser: Chooser, personas: Sequence[str] = PERSONAS, recipe_seed: int = 0) -> Answers:
    """Ask for choices and fit utilities."""
    asked, respondent = material(tuple(personas)), PersonaRespondent(chooser, _silent())
    rows = tuple(row for row in _rendered().rows if row.meta["persona"] in personas)
    plan = replace(_rendered(), rows=rows, context=_context(respondent, asked))
    elicited = Elicited(answered_choices(collected(plan, respondent)))
    return Answers(elicited, preference_tables(elicited, asked, recipe(personas, seed=recipe_seed)))


@cache
def _rendered() -> Plan:
    """The plan of all choices. Every respondent is asked with the same words, so they are rendered once."""
    blank = PersonaRespondent(Chooser(np.zeros((len(planted_tasks().topics), len(PERSONAS)))), _silent())
    return choice_plan(blank, material())  # type: ignore[arg-type]  # it has what plans need


def _silent() -> Stream:
    return Stream(np.zeros((len(PERSONAS), 1, D_MODEL)), np.zeros((len(PERSONAS), D_MODEL)))


def _context(respondent: PersonaRespondent, asked: ChoiceMaterial) -> dict[str, str]:
    return respondent.fingerprint() | {"data:tasks": asked.pool.hash()}


@cache
def usual() -> Answers:
    """The choices of the planted utilities, with order bias and nothing else."""
    return chosen(Chooser(agreeing_utilities(planted_tasks()), ORDER_BIAS))


@cache
def usual_streams() -> dict[str, Stream]:
    """All ways of writing the planted utilities."""
    return streams(agreeing_utilities(planted_tasks()))


def read(stream: Stream, *, everywhere: bool = False) -> ActivationStore:
    """Show every task alone to every persona: at all layers and positions, or at `PLACE`."""
    respondent = PersonaRespondent(Chooser(agreeing_utilities(planted_tasks())), stream)
    layer, position = PLACE
    kept = ActivationsPart(positions=("answer", EVALUATED, "mean:item"))
    kept = kept if everywhere else ActivationsPart(layers=(layer,), positions=(position,))
    return collected(task_plan(respondent, material(), kept), respondent)  # type: ignore[arg-type]


def collected(plan: Plan, respondent: PersonaRespondent) -> ActivationStore:
    """Fill a store, in a folder that goes when the process ends."""
    return collect(plan, respondent, Path(tempfile.mkdtemp(dir=_folder().name)) / plan.name)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="planted-")


def task_features(
    stream: Stream, answers: Answers | None = None, personas: Sequence[str] = PERSONAS
) -> dict[str, Rows]:
    """The rows of every persona at `PLACE`, with the utilities that were fitted."""
    store, utilities = read(stream), (usual() if answers is None else answers).tables["utilities"]
    return {persona: _rows_of(store, utilities, persona) for persona in personas}


def _rows_of(store: ActivationStore, utilities: pl.DataFrame, persona: str) -> Rows:
    return task_rows(store, utilities, persona, *PLACE)
