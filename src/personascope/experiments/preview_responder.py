"""Preview of the study of a reading model: what it reads, what it is taught, where it is pushed."""

from __future__ import annotations

from personascope.activations.plan import Row
from personascope.experiments.preview_parts import ROWS, preview_plan, preview_rows
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.responder_material import lessons
from personascope.experiments.responder_plans import answer_rows, reader, reading_plans
from personascope.experiments.responder_study import load_responder
from personascope.models.engine import HookEngine
from personascope.prompts.prompt import Prompt
from personascope.report.selection import Selection, Steered
from personascope.tuning.examples import Example


def preview_responder(recipe: ResponderRecipe, rows: int = ROWS) -> list[Selection]:
    """Next answers, states after transcripts, lessons, and next answers under a push."""
    material, engine = load_responder(recipe)
    shown = [preview_plan(engine, plan, rows) for plan in reading_plans(engine, material, recipe, "untrained").values()]
    train, _ = lessons(engine, material, recipe)
    taught = [Row(example.id, _with_answers(engine, example), {}) for example in train]
    read = tuple(f"last:answer_{n + 1}" for n in range(min(len(example.places) for example in train[:rows])))
    note = "The marked tokens are the person's answers, on which alone the loss falls."
    shown.append(preview_rows(engine, "training", taught, rows, read=read, note=note))
    part, probes = recipe.steering, recipe.probes
    if part is not None and probes is not None:
        asked = answer_rows(reader(engine, material, recipe), material, part.interviews, (probes.answers,))
        steer = [Steered(part.where, layers=(part.layer,))]
        note = f"Along each domain's direction and {part.random_directions} random ones, at both signs of the strength."
        shown.append(preview_rows(engine, "steered answers", asked, rows, read=("answer",), steer=steer, note=note))
    return shown


def _with_answers(engine: HookEngine, example: Example) -> Prompt:
    """A transcript as one prompt, with a span for each answer that is taught."""
    spans = {f"answer_{number}": (place, place + 1) for number, place in enumerate(example.places, start=1)}
    return Prompt(example.ids, engine.tokenizer.decode(example.ids), spans)
