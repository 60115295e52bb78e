"""Answers before and after training: the same test items, further wordings, two statements to choose from, thoughts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress, collect_plan, named
from personascope.experiments.plans import answers_only, make_plan
from personascope.experiments.questionnaires import FIRST, Questionnaire, answer_table, item_table, questionnaire_plan
from personascope.experiments.recipe_parts import ActivationsPart, WrittenPart
from personascope.experiments.recipe_tuning import IDEAL, OTHER, OWN, IdealSelfRecipe
from personascope.experiments.runs import RunFolder
from personascope.experiments.written_answers import write_answers
from personascope.instruments.items import Item, ItemBank
from personascope.instruments.splits import ItemSplit
from personascope.measures.parsing import sampled_table
from personascope.models.engine import HookEngine
from personascope.prompts.render import render
from personascope.prompts.templates import FITS

BASE = "base"
LIKERT, WORDING, CHOICE, THOUGHTS = "likert", "wording", "forced choice", "thinking"
"""Forms in which movement is looked for; the first is the one that was taught."""


@dataclass(frozen=True)
class TestItems:
    """What is asked after training: the test items, in all wordings, and the validation items.

    Args:
        test: nothing of it was taught, and no epoch or strength chosen by it.
        validation: by which epochs and strengths are chosen.
        clusters: of near copies, by item.
    """

    __test__ = False  # not a test of pytest's

    test: ItemBank
    validation: ItemBank
    clusters: Mapping[str, str]

    @classmethod
    def of(cls, bank: ItemBank, split: ItemSplit) -> TestItems:
        """The parts of a split bank."""

        def part(ids: tuple[str, ...]) -> ItemBank:
            wanted = set(ids)
            return ItemBank(tuple(item for item in bank.items if item.id in wanted), bank.name)

        return cls(part(split.test), part(split.validation), split.clusters)


def base_plan(engine: HookEngine, asked: Questionnaire, items: TestItems, recipe: IdealSelfRecipe) -> Plan:
    """Every item under every persona; in further wordings the test items, as the self and as the ideal."""
    return _fewer(questionnaire_plan(BASE, engine, replace(asked, short=items.test), kept(recipe)))


def tuned_plan(
    engine: HookEngine, name: str, asked: Questionnaire, items: TestItems, recipe: IdealSelfRecipe, *, first: bool
) -> Plan:
    """The test items as self and ideal; the first run as the helpful assistant too, and in further wordings."""
    personas = (OWN, IDEAL, OTHER) if first else (OWN, IDEAL)
    again = tuple(persona for persona in asked.respondents if persona.name in personas)
    phrasings = asked.phrasings if first else 1
    whole = replace(asked, bank=items.test, short=items.test, phrasings=phrasings, respondents=again)
    return _fewer(questionnaire_plan(f"after-{name}", engine, whole, kept(recipe)))


def _fewer(plan: Plan) -> Plan:
    """Without the further wordings of personas that are not asked for in them."""
    rows = (row for row in plan.rows if row.meta["phrasing"] == FIRST or row.meta["persona"] in (OWN, IDEAL))
    return replace(plan, rows=tuple(rows))


def validation_plan(
    engine: HookEngine, name: str, asked: Questionnaire, items: TestItems, recipe: IdealSelfRecipe
) -> Plan:
    """The validation items as the model itself: what a strength is matched on."""
    own = tuple(persona for persona in asked.respondents if persona.name == OWN)
    few = replace(asked, bank=items.validation, respondents=own, phrasings=1)
    return questionnaire_plan(f"validation-{name}", engine, few, kept(recipe))


def kept(recipe: IdealSelfRecipe) -> ActivationsPart:
    """What is kept of the residual stream, where the shift is looked at."""
    return ActivationsPart(layers=recipe.layers, positions=(recipe.position,), rows_per_shard=recipe.rows_per_shard)


def choice_pairs(bank: ItemBank) -> list[tuple[Item, Item]]:
    """A + item and a - item of one facet, in the bank's order; each item stands in one pair at most."""
    found = []
    for facet in bank.facets:
        keyed = [[item for item in bank.items if item.facet == facet and item.key == key] for key in (1, -1)]
        found += list(zip(*keyed, strict=False))
    return found


def fits_plan(
    engine: HookEngine, name: str, asked: Questionnaire, items: TestItems, personas: tuple[str, ...], rows: int
) -> Plan:
    """Which of two opposite statements fits better, in both orders; rows carry persona, plus, minus and first."""
    found = []
    for persona in asked.respondents:
        if persona.name not in personas:
            continue
        wording = persona.phrasings[0]
        for plus, minus in choice_pairs(items.test):
            for first, second in ((plus, minus), (minus, plus)):
                slots = {"framing": wording.framing, "item_a": first.text, "item_b": second.text}
                prompt = render(engine.tokenizer, FITS, slots, system=wording.system, thinking=asked.thinking)
                meta = {"persona": persona.name, "plus": plus.id, "minus": minus.id, "first": first.id}
                found.append(Row(f"{persona.name}/{plus.id}/{minus.id}/{first.id}", prompt, meta))
    kept_rows = answers_only(rows)
    return make_plan(f"fits-{name}", engine, tuple(found), kept_rows, FITS, {"items": items.test.hash()})


def fits_table(store: ActivationStore, bank: ItemBank) -> pl.DataFrame:
    """By persona and pair: score, 2 P(+ statement) - 1, the mean of both orders.

    Pairs have no key. They are called + and - in turn, so that both halves of what estimates by key are filled.
    Columns persona, item (of the pair), facet, key, score, label_mass.
    """
    logprobs = store.option_logprobs.astype(np.float64)
    first = np.exp(logprobs - np.logaddexp.reduce(logprobs, axis=1, keepdims=True))[:, 0]
    rows = store.rows.select("persona", "plus", "minus", "first").with_columns(
        p_first=pl.Series(first), mass=pl.Series(np.exp(logprobs).sum(axis=1))
    )
    plus = pl.when(pl.col("first") == pl.col("plus")).then(pl.col("p_first")).otherwise(1 - pl.col("p_first"))
    pairs = rows.group_by("persona", "plus", "minus", maintain_order=True).agg(
        score=(2 * plus - 1).mean(), label_mass=pl.col("mass").mean()
    )
    facets = {item.id: item.facet for item in bank.items}
    turn = {plus_.id: 1 - 2 * (n % 2) for n, (plus_, _) in enumerate(choice_pairs(bank))}
    return pairs.select(
        "persona",
        pl.concat_str(["plus", "minus"], separator=" or ").alias("item"),
        pl.col("plus").replace_strict(facets, return_dtype=pl.String).alias("facet"),
        pl.col("plus").replace_strict(turn, return_dtype=pl.Int64).alias("key"),
        "score",
        "label_mass",
    )


def scores(store: ActivationStore, bank: ItemBank, wording: str = FIRST) -> pl.DataFrame:
    """Keyed score of every item of the bank in one wording: persona, item, facet, key, score, agreement, label_mass."""
    asked = answer_table(store, bank).filter(pl.col("item").is_in([item.id for item in bank.items]))
    table = item_table(asked, bank, wording)
    return table.select(
        "persona", "item", "facet", "key", (pl.col("key") * pl.col("agreement")).alias("score"), "agreement",
        "label_mass",
    )  # fmt: skip


def paired(before: pl.DataFrame, after: pl.DataFrame, clusters: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Scores of both models side by side, as the functions of `tuning` take them.

    Args:
        before: `scores` of the model before training, of more items perhaps.
        after: of the trained one.
        clusters: of near copies, by item.

    Returns:
        One row per item: item, facet, key, before, ideal, other (before training: self, meta, helpful), after,
        ideal_after, other_after (null where the persona was not asked), cluster; and the scores before training of
        every further persona under its name.
    """
    columns = {OWN: ("before", "after"), IDEAL: ("ideal", "ideal_after"), OTHER: ("other", "other_after")}
    items = after.unique("item", maintain_order=True).select("item", "facet", "key")
    for persona, names in columns.items():
        for frame, name in zip((before, after), names, strict=True):
            own = frame.filter(pl.col("persona") == persona).select("item", pl.col("score").alias(name))
            items = items.join(own, on="item", how="left", maintain_order="left")
    for persona in before["persona"].unique(maintain_order=True).to_list():
        if persona not in columns:
            own = before.filter(pl.col("persona") == persona).select("item", pl.col("score").alias(persona))
            items = items.join(own, on="item", how="left", maintain_order="left")
    cluster = pl.col("item") if clusters is None else pl.col("item").replace_strict(dict(clusters))
    return items.with_columns(cluster.alias("cluster"))


def thoughts(
    engine: HookEngine, name: str, asked: Questionnaire, items: TestItems, recipe: IdealSelfRecipe, run: RunFolder,
    progress: Progress,
) -> pl.DataFrame:  # fmt: skip
    """Scores of ratings that were written after thoughts, as `scores` gives them; null where none was parsed.

    Raises:
        TemplateError: the chat template has no switch for thoughts.
    """
    part = WrittenPart(form=None, personas=(OWN, IDEAL), max_new_tokens=recipe.transfer.max_new_tokens, thinking=True)
    whole = replace(asked, bank=items.test)
    folder = run.store(f"thoughts-{name}")
    how: dict[str, Any] = {"seed": recipe.seed, "progress": named(progress, f"thoughts-{name}")}
    said = sampled_table(write_answers(engine, whole, part, folder, **how), n_options=asked.scale.options)
    known = pl.DataFrame(
        [(item.id, item.facet, item.key) for item in items.test.items],
        schema={"item": pl.String, "facet": pl.String, "key": pl.Int64},
        orient="row",
    )
    return said.join(known, on="item", how="left", maintain_order="left").select(
        "persona", "item", "facet", "key", (pl.col("key") * pl.col("agreement")).alias("score")
    )


def other_forms(
    engine: HookEngine, name: str, asked: Questionnaire, items: TestItems, recipe: IdealSelfRecipe, run: RunFolder,
    progress: Progress,
) -> dict[str, pl.DataFrame]:  # fmt: skip
    """Scores by form, beside those of the scale: a choice between two statements, and ratings after thoughts."""
    found = {}
    if recipe.transfer.forced_choice:
        plan = fits_plan(engine, name, asked, items, (OWN, IDEAL), recipe.rows_per_shard)
        found[CHOICE] = fits_table(collect_plan(plan, engine, run, progress), items.test)
    if recipe.transfer.thinking:
        found[THOUGHTS] = thoughts(engine, name, asked, items, recipe, run, progress)
    return found
