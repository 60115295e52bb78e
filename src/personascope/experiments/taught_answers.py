"""What each run is taught: ratings of training items, drawn from what the model answered, with or without reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from personascope.activations.plan import Row
from personascope.activations.texts import Writing, collect_texts
from personascope.errors import DataError
from personascope.experiments.collecting import Progress, named
from personascope.experiments.questionnaires import Questionnaire, rating_template
from personascope.experiments.recipe_tuning import IDEAL, OWN, POLES, IdealSelfRecipe, TaughtRun
from personascope.experiments.runs import RunFolder
from personascope.instruments.items import Item, load_items
from personascope.instruments.personas import Persona
from personascope.instruments.splits import ItemSplit
from personascope.models.engine import HookEngine
from personascope.prompts.render import render
from personascope.prompts.scales import agreement_anchors
from personascope.prompts.templates import ORDERS, REASONING, Template, reasoned_template
from personascope.tuning.examples import Example, make_example
from personascope.tuning.targets import label_of, pole_levels, target_levels

REASONS = "reasons"
_SPEAKER = {"meta": IDEAL, "shuffled": IDEAL, "self": OWN, "helpful": "helpful"}
"""Whose reasons go with the ratings that are taught."""


LEVELS = {"run": pl.String, "item": pl.String, "level": pl.Int64, "source": pl.String}


@dataclass(frozen=True)
class Lesson:
    """What one run is taught.

    Args:
        train: examples learned from.
        validation: examples that the epoch is chosen by.
        levels: table of `target_levels` over the items of both, with the run; empty where choices are taught.
    """

    train: list[Example]
    validation: list[Example]
    levels: pl.DataFrame


def lesson_of(
    engine: HookEngine,
    asked: Questionnaire,
    answers: pl.DataFrame,
    split: ItemSplit,
    run: TaughtRun,
    recipe: IdealSelfRecipe,
    folder: RunFolder,
    progress: Progress,
) -> Lesson:
    """The examples of one run; reasons are elicited where it teaches them.

    Args:
        engine: the model before training.
        asked: the questionnaire.
        answers: of all items (`answer_table`).
        split: of the items.
        run: what is taught.
        recipe: of the study.
        folder: keeps the reasons.
        progress: of the study.

    Raises:
        DataError: reasons that are mostly empty.
    """
    known = {item.id: item for item in asked.bank.items}
    taught = set(run.only or asked.bank.facets) - set(run.held_out)
    parts = [[id_ for id_ in part if known[id_].facet in taught] for part in (split.train, split.validation)]
    if run.target in POLES:
        further = never_asked(asked, split, taught, recipe)
        known |= {item.id: item for item in further}
        parts[0] += [item.id for item in further]
    keys = {id_: known[id_].key for part in parts for id_ in part}
    if run.target in POLES:
        levels = pole_levels(keys, POLES[run.target], asked.scale.options)
    else:
        levels = target_levels(answers, keys, run.target, seed=recipe.seed)
    both = recipe.training.both_orders or run.target in POLES
    orders = {id_: ORDERS if both else (ORDERS[n % 2],) for n, id_ in enumerate(keys)}
    said: Mapping[tuple[str, str], str] = {}
    if run.reasons:
        said = _reasons(engine, asked, levels, orders, known, run, recipe, folder, progress)
    own = next(persona for persona in asked.respondents if persona.name == OWN)
    chosen = {row["item"]: (row["level"], row["source"]) for row in levels.iter_rows(named=True)}
    templates = {order: rating_template(engine, asked.scale, order) for order in ORDERS}
    reasoned = {order: _reasoned(engine, asked, OWN, order) for order in ORDERS} if run.reasons else {}

    def example(id_: str, order: str) -> Example | None:
        level, source = chosen[id_]
        template = templates[order]
        answer = label_of(level, order, template.labels)
        if run.reasons:
            reason = said.get((source, order), "")
            if not reason:
                return None
            template, answer = reasoned[order], f"{answer}\n{REASONING} {reason}"
        slots = {"framing": own.phrasings[0].framing, "item": known[id_].text}
        return make_example(engine.tokenizer, f"{id_}/{order}", template, slots, answer, system=own.phrasings[0].system)

    found = [[made for id_ in part for order in orders[id_] if (made := example(id_, order))] for part in parts]
    wanted = [sum(len(orders[id_]) for id_ in part) for part in parts]
    if any(len(made) < n / 2 for made, n in zip(found, wanted, strict=True)):
        raise DataError(
            f"Run {run.name}: of {sum(wanted)} reasons {sum(wanted) - sum(map(len, found))} are empty.",
            "The model breaks off where its reasons should begin.",
            "Teach ratings alone (reasons: false), or raise reason_tokens.",
        )
    return Lesson(found[0], found[1], levels.select(pl.lit(run.name).alias("run"), pl.all()))


def never_asked(asked: Questionnaire, split: ItemSplit, facets: set[str], recipe: IdealSelfRecipe) -> list[Item]:
    """Items of these facets in the whole bank that the study does not ask, but for near copies of what it tests.

    A pole can be taught without an answer, so that a narrow training need not make do with the items that are asked.
    """
    tested = {split.clusters[id_] for id_ in (*split.test, *split.validation)}
    here = {item.id for item in asked.bank.items}
    return [
        item
        for item in load_items(recipe.hexaco.items).items
        if item.facet in facets and item.id not in here and f"cluster {item.cluster}" not in tested
    ]


def _reasoned(engine: HookEngine, asked: Questionnaire, condition: str, order: str) -> Template:
    anchors = agreement_anchors(asked.scale.options)
    return reasoned_template(condition, order, anchors, labels=asked.scale.labels, tokenizer=engine.tokenizer)


def _reasons(
    engine: HookEngine,
    asked: Questionnaire,
    levels: pl.DataFrame,
    orders: Mapping[str, Sequence[str]],
    known: Mapping[str, Item],
    run: TaughtRun,
    recipe: IdealSelfRecipe,
    folder: RunFolder,
    progress: Progress,
) -> dict[tuple[str, str], str]:
    """The reasoning that the persona gives for its own rating, by item and order; the rating is put before it.

    An item that is dealt the answer of another one is dealt its reasons too, in the order in which it is asked itself.
    """
    name = _SPEAKER[run.target]
    speaker = next(persona for persona in asked.respondents if persona.name == name)
    rows = [
        _reason_row(engine, asked, speaker, known[source], order, level)
        for id_, level, source in levels.select("item", "level", "source").iter_rows()
        for order in orders[id_]
    ]
    rows = list({row.id: row for row in rows}.values())
    writing = Writing(recipe.reason_tokens, temperature=0.7, seed=recipe.seed, stop=("\n",))
    name = f"{REASONS}-{run.target}"
    texts = collect_texts(rows, engine, folder.store(name), writing, progress=named(progress, name))
    return {
        (item, order): " ".join(text.split()) for item, order, text in texts.select("item", "order", "text").iter_rows()
    }


def _reason_row(engine: HookEngine, asked: Questionnaire, speaker: Persona, item: Item, order: str, level: int) -> Row:
    """The persona is asked for its rating and reasons, and has given the rating already."""
    condition = IDEAL if speaker.name == IDEAL else OWN
    template = _reasoned(engine, asked, condition, order)
    label = label_of(level, order, template.labels)
    begun = replace(template, answer_prefix=f"{template.answer_prefix}{label}\n{REASONING}")
    wording = speaker.phrasings[0]
    slots = {"framing": wording.framing, "item": item.text}
    prompt = render(engine.tokenizer, begun, slots, system=wording.system)
    return Row(f"{item.id}/{order}/{level}", prompt, {"item": item.id, "order": order})
