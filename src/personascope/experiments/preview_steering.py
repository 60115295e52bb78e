"""What the studies that steer would read and steer: their plans, then every kind of push on its own prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from personascope.activations.plan import Row
from personascope.experiments.facet_steering import fitting_plan, measured_items, measured_rows
from personascope.experiments.necessity import FROM_TASKS
from personascope.experiments.plans import load_model_part
from personascope.experiments.preview_parts import ROWS, preview_plan, preview_rows
from personascope.experiments.probe_study import load_asked, load_probed_model
from personascope.experiments.questionnaires import load_questionnaire
from personascope.experiments.recipe_steering import (
    CrossSteeringRecipe,
    FacetSteeringRecipe,
    NecessityPart,
    OpenAnswersPart,
    SteeringSweepRecipe,
)
from personascope.experiments.steered_choices import PUSHES, choice_rows_of, pushed_pairs
from personascope.experiments.steered_texts import open_answer_rows, open_prompts_of, scenario_rows
from personascope.experiments.steering_study import FROM_ITEM
from personascope.experiments.steering_sweep import require_pushed_layers
from personascope.experiments.written_choices import choice_rows
from personascope.instruments.personas import Persona, load_personas, pick_personas
from personascope.instruments.scenarios import SLOTS, load_scenarios
from personascope.models.engine import HookEngine
from personascope.models.requests import require_layers
from personascope.report.selection import Selection, Steered

_LABELS = "Labels are read at answer."
_WRITES = "The model writes its answer after these prompts."


def preview_steering_sweep(recipe: SteeringSweepRecipe, rows: int = ROWS) -> list[Selection]:
    """Plans, sweeps of choices, what is written under steering, and what is taken out or patched."""
    asked = load_asked(recipe, None)
    engine = load_probed_model(recipe.model, recipe)
    require_pushed_layers(engine, recipe)
    push, material = recipe.push, asked.material
    pushed = pushed_pairs(material, push, recipe.seed)
    choices = choice_rows_of(engine, material, pushed, material.choosers[0])
    shown = [preview_plan(engine, plan, rows) for plan in asked.plans(engine, recipe)]
    for name, where in PUSHES.items():
        layers = push.layers if name == "contrast" else (push.layer,)
        shown.append(_swept(engine, f"sweep-{name}", choices, rows, where, layers, push.coefficients))
    if recipe.written is not None:
        part = recipe.written
        written = choice_rows(engine, material.choosers[:1], material.pool.tasks, pushed.pairs[: part.pairs])
        how = _planned(PUSHES["contrast"], (push.layer,))
        note = f"{_WRITES} {_strengths(part.coefficients)}"
        shown.append(preview_rows(engine, "written choices under steering", written, rows, steer=how, note=note))
    if recipe.answers is not None:
        known = load_personas() | ({} if recipe.personas is None else load_personas(recipe.personas))
        speakers = pick_personas(known, list(recipe.answers.personas))
        shown += _answers(engine, speakers, recipe.answers, push.layer, rows)
    if recipe.necessity is not None:
        shown += _necessity(engine, recipe.necessity, choices, push.layer, rows)
    return shown


def preview_cross_steering(recipe: CrossSteeringRecipe, rows: int = ROWS) -> list[Selection]:
    """Plans, and the choices of every persona that are pushed."""
    asked = load_asked(recipe, None)
    engine = load_probed_model(recipe.model, recipe)
    push, material = recipe.push, asked.material
    require_layers(engine, push.layers)
    pushed = pushed_pairs(material, push, recipe.seed)
    where = PUSHES["contrast"]
    return [
        *[preview_plan(engine, plan, rows) for plan in asked.plans(engine, recipe)],
        *[
            _swept(engine, f"sweep-{persona.name}", own, rows, where, push.layers, push.coefficients)
            for persona in material.choosers
            for own in [choice_rows_of(engine, material, pushed, persona)]
        ],
    ]


def preview_facet_steering(recipe: FacetSteeringRecipe, rows: int = ROWS) -> list[Selection]:
    """The plan that directions are fitted on, and the items that are measured under steering."""
    asked = load_questionnaire(recipe.hexaco, recipe.personas)
    measured = measured_items(recipe, asked.bank)
    engine = load_model_part(recipe.model)
    items = measured_rows(engine, asked, measured)
    layers, strengths = (recipe.layer,), (-recipe.strength, 0.0, recipe.strength)
    shown = [preview_plan(engine, fitting_plan(engine, asked, recipe), rows)]
    shown.append(_swept(engine, "sweep-facets", items, rows, FROM_ITEM, layers, strengths))
    for facet in recipe.curves:
        own = [row for row in items if row.meta["facet"] == facet]
        shown.append(_swept(engine, f"sweep-{facet}", own, rows, FROM_ITEM, layers, recipe.coefficients))
    return shown


def _planned(where: Mapping[str, float], layers: tuple[int, ...]) -> list[Steered]:
    return [Steered(position, sign=sign, layers=layers) for position, sign in where.items()]


def _strengths(coefficients: Sequence[float]) -> str:
    values = ", ".join(f"{value:g}" for value in coefficients)
    return f"Coefficients {values}, one layer at a time, beside random directions."


def _swept(
    engine: HookEngine,
    name: str,
    swept: Sequence[Row],
    rows: int,
    where: Mapping[str, float],
    layers: tuple[int, ...],
    coefficients: Sequence[float],
) -> Selection:
    note = f"{_strengths(coefficients)} {_LABELS}"
    return preview_rows(engine, name, swept, rows, read=("answer",), steer=_planned(where, layers), note=note)


def _answers(
    engine: HookEngine, speakers: Sequence[Persona], part: OpenAnswersPart, layer: int, rows: int
) -> Iterator[Selection]:
    """Free answers, of which every token is steered, and messages of which one span is."""
    note = f"{_WRITES} {_strengths(part.coefficients)}"
    asked = open_answer_rows(engine, speakers, open_prompts_of(part))
    yield preview_rows(engine, "open answers", asked, rows, steer=_planned({"all": 1.0}, (layer,)), note=note)
    scenarios = load_scenarios().subset(part.scenarios).scenarios if part.scenarios else ()
    messages = scenario_rows(engine, scenarios)
    for span in SLOTS if messages else ():
        steer = _planned({f"mean:{span}": 1.0}, (layer,))
        yield preview_rows(engine, f"messages, {span} span", messages, rows, steer=steer, note=note)


def _necessity(
    engine: HookEngine, part: NecessityPart, choices: Sequence[Row], layer: int, rows: int
) -> Iterator[Selection]:
    """Choices without the direction, and choices with rows of another prompt."""
    out = [Steered(FROM_TASKS, "project out", layers=(layer,))]
    note = f"Also after all layers from {layer} on, beside random subspaces. {_LABELS}"
    yield preview_rows(engine, "ablation", choices, rows, read=("answer",), steer=out, note=note)
    layers = tuple(range(engine.n_layers)) if part.patched_layers == "all" else part.patched_layers
    for where in part.patched:
        donors = "the same pair in the other order, of another pair, or its own"
        note = f"By what is there in {donors}; one layer at a time, and all at once. {_LABELS}"
        steer = [Steered(where, "replace", layers=layers)]
        yield preview_rows(engine, f"patching at {where}", choices, rows, read=("answer",), steer=steer, note=note)
