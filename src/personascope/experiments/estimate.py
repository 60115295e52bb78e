"""What a recipe would compute: rows, tokens, disk, and minutes from a short timing of the model on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

from personascope.activations.plan import Plan
from personascope.experiments.elicitation import ChoiceMaterial, load_choice_material
from personascope.experiments.hexaco import study_plans
from personascope.experiments.induced_shifts import load_moved
from personascope.experiments.plans import load_model_part
from personascope.experiments.preference_study import preference_plans
from personascope.experiments.probe_study import load_asked, load_probed_model
from personascope.experiments.questionnaires import (
    load_study_questionnaire,
)
from personascope.experiments.recipe import (
    HexacoRecipe,
    LayerSweepRecipe,
    PreferencesRecipe,
    ShiftsRecipe,
    TransferRecipe,
)
from personascope.experiments.recipe_bases import ChoiceStudy
from personascope.experiments.recipe_parts import ElicitationPart
from personascope.experiments.written_answers import written_parts, written_rows
from personascope.experiments.written_choices import choice_rows
from personascope.instruments.personas import pick_personas
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.prompts.prompt import Prompt

TIMED_PROMPTS, TIMED_NEW_TOKENS = 24, 8


@dataclass(frozen=True)
class PlanLine:
    """One part of a study: rows, prompt tokens, tokens left to compute, bytes on disk, estimated minutes."""

    part: str
    rows: int
    tokens: int
    computed_tokens: int
    bytes: int
    minutes: float


def estimate_hexaco(recipe: HexacoRecipe) -> list[PlanLine]:
    """Lines for each model of a questionnaire study and each way of asking; its statistics are not counted."""
    asked = load_study_questionnaire(recipe)
    lines = []
    for part in recipe.models:
        engine = load_model_part(part)
        plans = study_plans(engine, part.label, asked, recipe)
        rate = tokens_per_second(engine, plans[""])
        lines += [plan_line(plan, engine, rate) for plan in plans.values()]
        for name, written in written_parts(recipe).items():
            prompts = [row.prompt for row in written_rows(engine, asked, written)]
            lines.append(
                written_line(f"{part.label}, {name}", engine, prompts, written.max_new_tokens, written.samples)
            )
    return lines


def written_line(name: str, engine: HookEngine, prompts: list[Prompt], longest: int, samples: int = 1) -> PlanLine:
    """Every answer is taken to be as long as it may be; bytes are those of the texts, at 4 for a token."""
    timed, length = prompts[:TIMED_PROMPTS], min(TIMED_NEW_TOKENS, longest)
    started = time.monotonic()
    generate(engine, timed, max_new_tokens=length, temperature=0, seed=0)
    seconds = (time.monotonic() - started) / (len(timed) * length)
    answers = len(prompts) * samples
    tokens = sum(map(len, prompts)) * samples
    written = answers * longest
    return PlanLine(name, answers, tokens + written, tokens + written, 4 * written, written * seconds / 60)


def estimate_preferences(recipe: PreferencesRecipe) -> list[PlanLine]:
    """Lines of a study of preferences; chosen pairs are counted up to their limit, statistics are not counted."""
    material = load_choice_material(recipe)
    engine = load_model_part(recipe.model)
    plans = preference_plans(engine, material, recipe)
    rate = tokens_per_second(engine, plans[0])
    lines = [plan_line(plan, engine, rate) for plan in plans] + further_pairs(plans[0], material, recipe, rate=rate)
    part = recipe.written
    if part is not None:
        names = list(part.personas or material.personas)
        personas = pick_personas({persona.name: persona for persona in material.choosers}, names)
        rows = [
            row
            for persona in personas
            for row in choice_rows(
                engine, [persona], material.pool.tasks, material.pairs_of(persona.name)[: part.pairs]
            )
        ]
        prompts = [row.prompt for row in rows]
        lines.append(written_line("written choices", engine, prompts, part.max_new_tokens, part.samples))
    return lines


def estimate_probes(recipe: LayerSweepRecipe | TransferRecipe) -> list[PlanLine]:
    """Lines of a layer sweep or a transfer study; probes and statistics are not counted."""
    asked = load_asked(recipe, recipe.hexaco)
    engine = load_probed_model(recipe.model, recipe)
    plans = asked.plans(engine, recipe)
    rate = tokens_per_second(engine, plans[0])
    lines = [plan_line(plan, engine, rate) for plan in plans]
    return lines + further_pairs(plans[0], asked.material, recipe, rate=rate)


def estimate_shifts(recipe: ShiftsRecipe) -> list[PlanLine]:
    """Lines of a study of induced shifts; probes and statistics are not counted."""
    moved = load_moved(recipe)
    engine = load_probed_model(recipe.model, recipe)
    plans = [*moved.asked.plans(engine, recipe), *moved.plans(engine, recipe).values()]
    rate = tokens_per_second(engine, plans[0])
    return [plan_line(plan, engine, rate) for plan in plans]


def further_pairs(plan: Plan, material: ChoiceMaterial, recipe: ChoiceStudy, rate: float) -> list[PlanLine]:
    """Pairs that are chosen by the answers, up to the limit, and those that are never fitted, as long as the first."""
    part = recipe.preferences
    if not isinstance(part, ElicitationPart):
        return []
    chosen = 0 if part.active is None else part.active.max_pairs - len(material.pairs)
    per_row = sum(len(row.prompt) for row in plan.rows) / len(plan.rows)
    lines = []
    for name, pairs in (("chosen pairs, at most", chosen), ("evaluation pairs", part.evaluation_pairs)):
        rows = 2 * pairs * len(material.choosers)
        if rows:
            tokens = round(rows * per_row)
            lines.append(PlanLine(name, rows, tokens, tokens, 0, tokens / rate / 60))
    return lines


def plan_line(plan: Plan, engine: HookEngine, tokens_per_second: float) -> PlanLine:
    """One plan at a rate of tokens per second."""
    summary = plan.summary(engine.d_model, engine.dtype.itemsize)
    minutes = summary.unique_tokens / tokens_per_second / 60
    return PlanLine(plan.name, summary.rows, summary.tokens, summary.unique_tokens, summary.bytes, minutes)


def tokens_per_second(engine: HookEngine, plan: Plan) -> float:
    """The model's speed on this machine, on the first prompts of a plan."""
    prompts = [row.prompt for row in plan.rows[:TIMED_PROMPTS]]
    engine.run(prompts[:2], options=plan.options)
    before, started = engine.work.tokens, time.monotonic()
    engine.run(prompts, layers=plan.layers, positions=plan.positions, options=plan.options)
    return (engine.work.tokens - before) / (time.monotonic() - started)
