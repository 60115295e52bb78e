"""Choices between tasks: which are asked of whom, in both orders, at once or chosen round by round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import HasStores, Progress, collect_plan
from personascope.experiments.plans import answers_only, make_plan
from personascope.experiments.recipe_bases import ChoiceStudy
from personascope.experiments.recipe_parts import ActivationsPart, ElicitationPart
from personascope.instruments.pair_design import ActiveSettings, Pair, PairDesign
from personascope.instruments.pairs import d_regular_pairs, uniform_pairs
from personascope.instruments.personas import Persona, load_personas, pick_personas, require_wordings
from personascope.instruments.tasks import Task, TaskPool, load_tasks
from personascope.measures.outcomes import Outcomes
from personascope.models.engine import HookEngine
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE, TASK_ALONE

CHOICES, TASKS = "choices", "tasks"
"""Names of the stores that every study of preferences has."""
ROWS_PER_SHARD = 1024


@dataclass(frozen=True)
class ChoiceMaterial:
    """Which tasks are compared, and who chooses; the first persona is the baseline.

    `pairs` are those of everybody who has none of its own in `own_pairs`.
    """

    pool: TaskPool
    choosers: tuple[Persona, ...]
    pairs: tuple[Pair, ...]
    own_pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)

    @classmethod
    def regular(cls, pool: TaskPool, choosers: Sequence[Persona], *, degree: int, seed: int) -> ChoiceMaterial:
        """A d-regular design for each persona, drawn anew: seed, seed + 1 ... in their order.

        What is peculiar to a pair of tasks is an error of utilities. Personas that were asked the same pairs would
        share it, and their utilities would correlate for that alone, beyond what their reliabilities allow.

        Raises:
            DataError: no such design exists.
        """
        drawn = {
            persona.name: tuple(d_regular_pairs(len(pool.tasks), degree, seed + number))
            for number, persona in enumerate(choosers)
        }
        return cls(pool, tuple(choosers), drawn[choosers[0].name], drawn)

    def pairs_of(self, persona: str) -> tuple[Pair, ...]:
        """The pairs that a persona is asked."""
        return self.own_pairs.get(persona, self.pairs)

    @property
    def personas(self) -> list[str]:
        """Names of the choosers."""
        return [persona.name for persona in self.choosers]

    def number(self) -> dict[str, int]:
        """Index of each task in the pool by its id."""
        return {task.id: index for index, task in enumerate(self.pool.tasks)}


def load_choice_material(recipe: ChoiceStudy) -> ChoiceMaterial:
    """Load and cut down the tasks and personas that a recipe names, and draw the d-regular pairs.

    Raises:
        FileFormatError, DataError: as the loaders of `instruments`; no such design exists.
    """
    part = recipe.preferences
    pool = load_tasks(part.tasks)
    if part.per_topic is not None:
        pool = pool.subset(part.per_topic)
    personas = load_personas()
    if recipe.personas is not None:
        personas |= load_personas(recipe.personas)
    choosers = pick_personas(personas, list(part.personas))
    require_wordings(choosers, wordings_of(recipe), "preferences.wordings")
    return ChoiceMaterial.regular(pool, choosers, degree=part.degree, seed=recipe.seed)


def choice_prompt(engine: HookEngine, persona: Persona, first: Task, second: Task, *, wording: int = 0) -> Prompt:
    """A choice between two tasks, in this order, under one wording of a persona (by its number from 0)."""
    slots = {"task_a": first.text, "task_b": second.text}
    return render(engine.tokenizer, CHOICE, slots, system=persona.phrasings[wording].system)


def choice_plan(
    engine: HookEngine,
    material: ChoiceMaterial,
    *,
    name: str = CHOICES,
    pairs: Mapping[str, Sequence[Pair]] | None = None,
    wording: int = 0,
    rows_per_shard: int = ROWS_PER_SHARD,
) -> Plan:
    """Pairs in both orders; answers only, rows carry persona, first, second.

    `pairs` of each persona that is asked, by its name; by default those of the material, of everybody.
    """
    tasks = material.pool.tasks
    asked = {name: material.pairs_of(name) for name in material.personas} if pairs is None else pairs
    rows = tuple(
        Row(
            id=f"{persona.name}/{tasks[a].id}/{tasks[b].id}",
            prompt=choice_prompt(engine, persona, tasks[a], tasks[b], wording=wording),
            meta={"persona": persona.name, "first": tasks[a].id, "second": tasks[b].id},
        )
        for persona in material.choosers
        for i, j in asked.get(persona.name, ())
        for a, b in ((i, j), (j, i))
    )
    return make_plan(name, engine, rows, answers_only(rows_per_shard), CHOICE, {"tasks": material.pool.hash()})


def task_plan(engine: HookEngine, material: ChoiceMaterial, kept: ActivationsPart, name: str = TASKS) -> Plan:
    """Every task alone under every persona; activations only, rows carry persona, task."""
    rows = tuple(
        Row(
            id=f"{persona.name}/{task.id}",
            prompt=render(engine.tokenizer, TASK_ALONE, {"item": task.text}, system=persona.phrasings[0].system),
            meta={"persona": persona.name, "task": task.id},
        )
        for persona in material.choosers
        for task in material.pool.tasks
    )
    return make_plan(name, engine, rows, kept, TASK_ALONE, {"tasks": material.pool.hash()})


def answered_choices(store: ActivationStore) -> pl.DataFrame:
    """Log-probabilities of every choice in both orders, as `measures.choices` takes them."""
    return store.rows.select("persona", "first", "second").with_columns(
        logprob_first=pl.Series(store.option_logprobs[:, 0].astype(np.float64)),
        logprob_second=pl.Series(store.option_logprobs[:, 1].astype(np.float64)),
        other_logmass=pl.Series(store.other_logmass.astype(np.float64)),
    )


def outcomes_of(answered: pl.DataFrame, persona: str, number: Mapping[str, int]) -> Outcomes:
    """One persona's choices; a comparison weighs as much as the probability that any task was chosen.

    Args:
        answered: as of `answered_choices`.
        persona: whose.
        number: index of each task by its id.
    """
    own = answered.filter(pl.col("persona") == persona)
    return Outcomes.soft(
        *(np.array([number[task] for task in own[column]], dtype=np.int64) for column in ("first", "second")),
        *(np.exp(own[column].to_numpy()) for column in ("logprob_first", "logprob_second")),
    )


@dataclass(frozen=True)
class Elicited:
    """What was answered.

    Args:
        choices: of all pairs that are fitted, in the first wording (`answered_choices`).
        wordings: by number (from 2), of the d-regular pairs in each further wording, of the personas whose system
            message it changes.
        evaluation: of the pairs that are never fitted; None where none were asked.
        designs: of each persona where pairs were chosen by its own utilities.
        stores: rows and plan keys by name, for the provenance.
    """

    choices: pl.DataFrame
    wordings: Mapping[int, pl.DataFrame] = field(default_factory=dict)
    evaluation: pl.DataFrame | None = None
    designs: Mapping[str, PairDesign] = field(default_factory=dict)
    stores: Mapping[str, ActivationStore] = field(default_factory=dict)


def wordings_of(recipe: ChoiceStudy) -> int:
    """In how many wordings each persona is asked the d-regular pairs."""
    return recipe.preferences.wordings if isinstance(recipe.preferences, ElicitationPart) else 1


def first_plans(engine: HookEngine, material: ChoiceMaterial, recipe: ChoiceStudy) -> list[Plan]:
    """What is asked whatever the answers will be: the d-regular pairs, in each wording that changes the prompts."""
    plans = [choice_plan(engine, material)]
    # a wording that leaves a persona's system message as it is would ask the same prompts, and agree with itself
    for wording in range(1, wordings_of(recipe)):
        asked = {
            persona.name: material.pairs_of(persona.name)
            for persona in material.choosers
            if persona.phrasings[wording].system not in {one.system for one in persona.phrasings[:wording]}
        }
        name = f"{CHOICES}-wording-{wording + 1}"
        plans += [choice_plan(engine, material, name=name, pairs=asked, wording=wording)] if asked else []
    return plans


def elicit(
    engine: HookEngine, material: ChoiceMaterial, recipe: ChoiceStudy, run: HasStores, progress: Progress
) -> Elicited:
    """Ask all that a recipe wants asked; what is there already is not asked again.

    Rounds of chosen pairs are determined by the answers of those before, so that a resumed run asks the same.

    Raises:
        PersonascopeError: as `collect`.
    """
    part = recipe.preferences
    stores = {plan.name: collect_plan(plan, engine, run, progress) for plan in first_plans(engine, material, recipe)}
    answered = {name: answered_choices(store) for name, store in stores.items()}
    regular = answered.pop(CHOICES)
    wordings = {int(name.rpartition("-")[2]): frame for name, frame in answered.items()}
    if not isinstance(part, ElicitationPart):
        return Elicited(regular, stores=stores)
    designs: dict[str, PairDesign] = {}
    choices = [regular]
    if part.active is not None:
        settings = ActiveSettings(len(material.pool.tasks), part.degree, **part.active.model_dump(), seed=recipe.seed)
        starts = (replace(settings, seed=recipe.seed + number) for number in range(len(material.personas)))
        designs = {name: PairDesign.start(start) for name, start in zip(material.personas, starts, strict=True)}
        choices += _rounds(engine, material, part, designs, stores, (run, progress), regular)
    evaluation = None
    if part.evaluation_pairs:
        uniform = evaluation_pairs(material, part.evaluation_pairs, recipe.seed, designs)
        plan = choice_plan(engine, material, name=f"{CHOICES}-evaluation", pairs=uniform)
        stores[plan.name] = collect_plan(plan, engine, run, progress)
        evaluation = answered_choices(stores[plan.name])
    return Elicited(pl.concat(choices), wordings, evaluation, designs, stores)


def _rounds(
    engine: HookEngine,
    material: ChoiceMaterial,
    part: ElicitationPart,
    designs: dict[str, PairDesign],
    stores: dict[str, ActivationStore],
    run_and_progress: tuple[HasStores, Progress],
    regular: pl.DataFrame,
) -> Iterable[pl.DataFrame]:
    """Ask round after round until no persona's design goes on; `designs` and `stores` are brought up to date."""
    number, answered, count = material.number(), regular, 1
    while True:
        for persona, design in designs.items():
            if design.outcome is None:
                outcomes = outcomes_of(answered, persona, number)
                fitted = outcomes.fit(n_tasks=len(number), prior_sd=part.prior_sd)
                designs[persona] = design.advance(fitted.values)
        waiting = {persona: design.batch for persona, design in designs.items() if design.batch}
        if not waiting:
            return
        count += 1
        plan = choice_plan(engine, material, name=f"{CHOICES}-round-{count}", pairs=waiting)
        stores[plan.name] = collect_plan(plan, engine, *run_and_progress)
        new = answered_choices(stores[plan.name])
        answered = pl.concat([answered, new])
        yield new


def evaluation_pairs(
    material: ChoiceMaterial, n: int, seed: int, designs: Mapping[str, PairDesign] | None = None
) -> dict[str, tuple[Pair, ...]]:
    """So many pairs for each persona, drawn uniformly from those that it was not asked.

    Raises:
        DataError: fewer pairs are left.
    """
    asked = {name: material.pairs_of(name) for name in material.personas}
    asked |= {name: design.pairs for name, design in (designs or {}).items()}
    n_tasks = len(material.pool.tasks)
    return {
        name: tuple(uniform_pairs(n_tasks, n, seed + number, exclude=pairs))
        for number, (name, pairs) in enumerate(asked.items())
    }


def design_table(designs: Mapping[str, PairDesign]) -> pl.DataFrame:
    """One row per persona and round: persona, round, pairs (so far), rank_r (with the round before), outcome."""
    rows: list[dict[str, object]] = []
    for persona, design in designs.items():
        totals = np.cumsum(design.round_sizes).tolist()
        correlations = [None, *design.correlations, *[None] * len(totals)]
        rows += [
            {
                "persona": persona,
                "round": number + 1,
                "pairs": total,
                "rank_r": correlations[number],
                "outcome": design.outcome if number + 1 == len(totals) else None,
            }
            for number, total in enumerate(totals)
        ]
    schema = {"persona": pl.String, "round": pl.Int64, "pairs": pl.Int64, "rank_r": pl.Float64, "outcome": pl.String}
    return pl.DataFrame(rows, schema=schema)
