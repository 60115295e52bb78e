"""Questionnaires: items under personas and wordings on a scale, as plans of rows and as tables of answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.experiments.plans import make_plan
from personascope.experiments.recipe import HexacoRecipe
from personascope.experiments.recipe_parts import ActivationsPart, Form, HexacoPart, ScalePart
from personascope.instruments.items import Item, ItemBank, load_items
from personascope.instruments.personas import Persona, load_personas, pick_personas, require_wordings
from personascope.measures.likert import item_answers, score_likert
from personascope.models.engine import HookEngine
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.scales import agreement_anchors
from personascope.prompts.templates import CONTENT_FREE, ORDERS, Template, likert_template

FIRST = "1"
"""The wording that is asked every item; all scores are of its answers."""
MAIN_SCALE = ScalePart()
_NOTHING = Item(id="content-free", facet="none", key=1, text=CONTENT_FREE)


@dataclass(frozen=True)
class Questionnaire:
    """Which items are asked of whom: the first wording of a persona is asked all of `bank`, further ones `short`.

    With `prior`, the first wording is also asked an item that says nothing. `thinking` is for `render`.
    """

    bank: ItemBank
    respondents: tuple[Persona, ...]
    phrasings: int = 1
    short: ItemBank | None = None
    prior: bool = False
    scale: ScalePart = MAIN_SCALE
    thinking: bool | None = None

    def asked(self, phrasing: int) -> tuple[Item, ...]:
        """Items of a wording, by its number from 0."""
        if phrasing == 0:
            return (*self.bank.items, *([_NOTHING] if self.prior else []))
        return (self.bank if self.short is None else self.short).items


def load_questionnaire(
    part: HexacoPart, personas_file: Path | None, *, phrasings: int = 1, form: Form | None = None
) -> Questionnaire:
    """Load and cut down the items and personas that a recipe names; `form` is what further wordings are asked.

    Raises:
        FileFormatError, DataError: as the loaders of `instruments`; a persona with fewer wordings than are asked.
    """
    bank = load_items(part.items)
    if part.form is not None:
        bank = bank.form(part.form)
    bank = bank.subset(part.facets, part.per_key)
    known = load_personas()
    if personas_file is not None:
        known |= load_personas(personas_file)
    respondents = tuple(pick_personas(known, list(part.personas)))
    require_wordings(respondents, phrasings, "hexaco.phrasings")
    return Questionnaire(bank, respondents, phrasings, short_form(bank, form))


def short_form(bank: ItemBank, form: Form | None) -> ItemBank:
    """The items of a form, or all of a bank whose items belong to none."""
    has_forms = any(item.form is not None for item in bank.items)
    return bank.form(form) if form is not None and has_forms else bank


def load_study_questionnaire(recipe: HexacoRecipe) -> Questionnaire:
    """What a questionnaire study asks on its main scale."""
    part = recipe.hexaco
    asked = load_questionnaire(part, recipe.personas, phrasings=part.phrasings, form=part.phrasing_form)
    return replace(asked, prior=part.prior, scale=part.scale, thinking=part.thinking)


def load_variants(recipe: HexacoRecipe, asked: Questionnaire) -> dict[str, Questionnaire]:
    """The same questionnaire on each further scale, by the scale's name: a short form, in the first wording only."""
    bank = short_form(asked.bank, recipe.hexaco.variant_form)
    return {
        scale.name: replace(asked, bank=bank, phrasings=1, short=None, prior=False, scale=scale)
        for scale in recipe.hexaco.variants
    }


def rating_template(engine: HookEngine, scale: ScalePart, order: str) -> Template:
    """How a rating on a scale is asked for; its labels are proved on the model's tokenizer."""
    anchors = agreement_anchors(scale.options)
    return likert_template(order, anchors, labels=scale.labels, wording=scale.wording, tokenizer=engine.tokenizer)


def item_prompt(
    engine: HookEngine,
    persona: Persona,
    item: Item,
    template: Template,
    *,
    phrasing: int = 0,
    thinking: bool | None = None,
) -> Prompt:
    """One item under one wording of a persona (by its number from 0)."""
    wording = persona.phrasings[phrasing]
    slots = {"framing": wording.framing, "item": item.text}
    return render(engine.tokenizer, template, slots, system=wording.system, thinking=thinking)


def questionnaire_plan(name: str, engine: HookEngine, asked: Questionnaire, kept: ActivationsPart) -> Plan:
    """Every item under every persona and wording in both anchor orders.

    Rows carry persona, item, order and phrasing ("1" is the first).
    """
    templates = {order: rating_template(engine, asked.scale, order) for order in ORDERS}
    rows = tuple(
        Row(
            id=f"{persona.name}/{phrasing + 1}/{item.id}/{order}",
            prompt=item_prompt(engine, persona, item, template, phrasing=phrasing, thinking=asked.thinking),
            meta={"persona": persona.name, "item": item.id, "order": order, "phrasing": str(phrasing + 1)},
        )
        for persona in asked.respondents
        for phrasing in range(asked.phrasings)
        for order, template in templates.items()
        for item in asked.asked(phrasing)
    )
    return make_plan(name, engine, rows, kept, templates[ORDERS[0]], {"items": asked.bank.hash()})


def answer_table(store: ActivationStore, bank: ItemBank) -> pl.DataFrame:
    """Every answer to an item of the bank.

    Columns persona, phrasing, order, item, agreement, label_mass, entropy, option_probabilities (in the order in which
    the prompt numbered the labels), and the item's own.
    """
    answers = score_likert(
        store.option_logprobs,
        store.other_logmass,
        n_options=store.option_logprobs.shape[1],
        descending=(store.rows["order"] == "descending").to_numpy(),
    )
    columns = [pl.Series(name, getattr(answers, name)) for name in ("agreement", "label_mass", "entropy")]
    long = store.rows.select("persona", "phrasing", "order", "item").with_columns(*columns, _probabilities(store))
    return long.filter(pl.col("item") != _NOTHING.id).join(
        known_items(bank), on="item", how="left", maintain_order="left"
    )


def prior_table(store: ActivationStore) -> pl.DataFrame:
    """Answers to the item that says nothing: persona, order, option_probabilities; no rows where it was not asked."""
    rows = store.rows.select("persona", "order", "item").with_columns(_probabilities(store))
    return rows.filter(pl.col("item") == _NOTHING.id).drop("item")


def _probabilities(store: ActivationStore) -> pl.Series:
    values = np.exp(store.option_logprobs.astype(np.float64))
    return pl.Series("option_probabilities", values.tolist(), dtype=pl.List(pl.Float64))


def known_items(bank: ItemBank) -> pl.DataFrame:
    """The bank's columns that tables of answers carry, by `item`."""
    wanted = ("facet", "domain", "key", "form", "applicability", "desirability", "cluster", "text")
    return bank.frame().select(pl.col("id").alias("item"), *wanted)


def item_table(answers: pl.DataFrame, bank: ItemBank, phrasing: str = FIRST) -> pl.DataFrame:
    """Answers under one wording, averaged over orders: persona, item, agreement, order_bias, label_mass, the item's."""
    own = answers.filter(pl.col("phrasing") == phrasing).select("persona", "item", "order", "agreement", "label_mass")
    return item_answers(own).join(known_items(bank), on="item", how="left", maintain_order="left")
