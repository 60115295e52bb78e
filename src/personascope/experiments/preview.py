"""What a recipe would read and steer, token by token: the first prompts of every part, before anything runs.

Prompts and positions are cut out of the plans that a run computes, so a position that any prompt lacks is found here.
"""

from __future__ import annotations

from collections.abc import Callable

from personascope.errors import RecipeError
from personascope.experiments.asking import demo_plans, load_material
from personascope.experiments.demo import load_recipe_model
from personascope.experiments.elicitation import choice_prompt, load_choice_material
from personascope.experiments.hexaco import study_plans
from personascope.experiments.induced_shifts import load_moved
from personascope.experiments.plans import load_model_part
from personascope.experiments.preference_study import preference_plans
from personascope.experiments.preview_organism import preview_organism
from personascope.experiments.preview_parts import ROWS, preview_plan, preview_written
from personascope.experiments.preview_responder import preview_responder
from personascope.experiments.preview_steering import (
    preview_cross_steering,
    preview_facet_steering,
    preview_steering_sweep,
)
from personascope.experiments.preview_tuning import preview_ideal_self
from personascope.experiments.probe_study import Asked, load_asked, load_probed_model
from personascope.experiments.questionnaires import item_prompt, load_study_questionnaire, rating_template
from personascope.experiments.recipe import (
    HexacoRecipe,
    LayerSweepRecipe,
    PreferencesRecipe,
    Recipe,
    ShiftsRecipe,
    TransferRecipe,
)
from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_interview import InterviewRecipe
from personascope.experiments.recipe_organism import OrganismRecipe
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.recipe_steering import CrossSteeringRecipe, FacetSteeringRecipe, SteeringSweepRecipe
from personascope.experiments.recipe_tuning import IdealSelfRecipe
from personascope.experiments.steering_study import FROM_ITEM, PUSH_FIRST_TASK
from personascope.experiments.written_answers import written_parts, written_rows
from personascope.experiments.written_choices import choice_rows
from personascope.instruments.personas import pick_personas
from personascope.prompts.templates import ORDERS
from personascope.report.selection import Selection, Steered, show_selection


def preview(recipe: Study, rows: int = ROWS) -> list[Selection]:
    """The first prompts of every part of a study, with the tokens that are read and steered.

    Args:
        recipe: of any study.
        rows: prompts of each part.

    Raises:
        PersonascopeError: everything that `run_study` would find wrong before its first row.
    """
    return _PREVIEW[type(recipe)](recipe, rows)


def preview_demo(recipe: Recipe, rows: int = ROWS) -> list[Selection]:
    """Three plans, and what is steered: one task up and the other down, and all tokens from an item on."""
    material = load_material(recipe)
    engine = load_recipe_model(recipe)
    plans = demo_plans(engine, material, recipe.activations)
    part, tasks = recipe.steering, material.pool.tasks
    both = [order for i, j in material.pairs[:rows] for order in ((i, j), (j, i))][:rows]
    choices = [choice_prompt(engine, material.choosers[0], tasks[a], tasks[b]) for a, b in both]
    questionnaire = material.questionnaire
    templates = [rating_template(engine, questionnaire.scale, order) for order in ORDERS]
    bank = questionnaire.bank.subset([part.facet])
    items = [
        item_prompt(engine, questionnaire.respondents[0], item, template)
        for item in bank.items[:rows]
        for template in templates
    ][:rows]
    how = (
        f"Coefficients {', '.join(f'{value:g}' for value in part.coefficients)}, one layer at a time, also of "
        f"{part.random_directions} random directions; labels are read at answer."
    )
    shown = (
        (
            f"steered choices, {part.pairs} pairs in all",
            choices,
            PUSH_FIRST_TASK,
            f"{how} The pairs are drawn at random; these are the first there are.",
        ),
        (f"steered items of {part.facet}, {len(bank.items)} in all", items, FROM_ITEM, how),
    )
    organism = [] if recipe.organism is None else preview_organism(OrganismRecipe.beside(recipe, recipe.organism), rows)
    return [
        *[preview_plan(engine, plan, rows) for plan in plans],
        *[
            show_selection(
                engine.tokenizer,
                prompts,
                read=("answer",),
                steer=[Steered(at, sign=sign, layers=part.layers) for at, sign in where.items()],
                title=title,
                note=note,
            )
            for title, prompts, where, note in shown
        ],
        *organism[:-1],  # it is asked here, not steered
    ]


def preview_hexaco(recipe: HexacoRecipe, rows: int = ROWS) -> list[Selection]:
    """For each model its plans on every scale, and prompts whose answers are written out."""
    asked = load_study_questionnaire(recipe)
    shown = []
    for part in recipe.models:
        engine = load_model_part(part)
        shown += [preview_plan(engine, plan, rows) for plan in study_plans(engine, part.label, asked, recipe).values()]
        for name, written in written_parts(recipe).items():
            title = f"{part.label}, {name} answers"
            shown.append(preview_written(engine, title, written_rows(engine, asked, written), rows))
    return shown


def preview_preferences(recipe: PreferencesRecipe, rows: int = ROWS) -> list[Selection]:
    """Plans of what is asked whatever the answers will be, and choices made by beginning the task."""
    material = load_choice_material(recipe)
    engine = load_model_part(recipe.model)
    shown = [preview_plan(engine, plan, rows) for plan in preference_plans(engine, material, recipe)]
    if recipe.written is not None:
        names = list(recipe.written.personas or material.personas)
        personas = pick_personas({persona.name: persona for persona in material.choosers}, names)
        written = [
            row
            for persona in personas
            for row in choice_rows(
                engine,
                [persona],
                material.pool.tasks,
                material.pairs_of(persona.name)[: recipe.written.pairs],
                thinking=recipe.written.thinking,
            )
        ]
        shown.append(preview_written(engine, "written choices", written, rows))
    return shown


def preview_probes(recipe: LayerSweepRecipe | TransferRecipe, rows: int = ROWS) -> list[Selection]:
    """Plans of a study of probes; those of a second model after those of the first."""
    asked = load_asked(recipe, recipe.hexaco)
    engine = load_probed_model(recipe.model, recipe)
    shown = [preview_plan(engine, plan, rows) for plan in asked.plans(engine, recipe)]
    other = recipe.other_model if isinstance(recipe, LayerSweepRecipe) else None
    if other is not None:
        kept = recipe.activations.model_copy(update={"layers": "all"})
        theirs = recipe.model_copy(update={"model": other, "activations": kept})
        engine = load_probed_model(other, theirs)
        plans = Asked(asked.material, None).plans(engine, theirs)
        shown += [preview_plan(engine, plan, rows, f"{other.label}, ") for plan in plans]
    return shown


def preview_shifts(recipe: ShiftsRecipe, rows: int = ROWS) -> list[Selection]:
    """Plans of the pool, then of every design and every set of stimuli."""
    moved = load_moved(recipe)
    engine = load_probed_model(recipe.model, recipe)
    plans = [*moved.asked.plans(engine, recipe), *moved.plans(engine, recipe).values()]
    return [preview_plan(engine, plan, rows) for plan in plans]


def preview_interviews(recipe: InterviewRecipe, rows: int = ROWS) -> list[Selection]:
    """Nothing: no language model is run.

    Raises:
        RecipeError: always, saying so.
    """
    raise RecipeError(
        f"{recipe.name} reads no tokens, so there are not {rows} prompts to show.",
        "Its respondents are rows of a table.",
        f"See what it would ask: personascope plan {recipe.name}.",
    )


_PREVIEW: dict[type[Study], Callable[..., list[Selection]]] = {
    Recipe: preview_demo,
    HexacoRecipe: preview_hexaco,
    PreferencesRecipe: preview_preferences,
    LayerSweepRecipe: preview_probes,
    TransferRecipe: preview_probes,
    ShiftsRecipe: preview_shifts,
    SteeringSweepRecipe: preview_steering_sweep,
    CrossSteeringRecipe: preview_cross_steering,
    FacetSteeringRecipe: preview_facet_steering,
    IdealSelfRecipe: preview_ideal_self,
    OrganismRecipe: preview_organism,
    InterviewRecipe: preview_interviews,
    ResponderRecipe: preview_responder,
}
"""By the study's recipe; a further study adds its line here."""
