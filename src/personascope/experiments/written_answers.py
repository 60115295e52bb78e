"""Answers that are written out instead of read from label probabilities: sampled ratings, and ratings with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from personascope.activations.plan import Row
from personascope.activations.texts import Writing, collect_texts
from personascope.experiments.questionnaires import Questionnaire, item_prompt, known_items, rating_template, short_form
from personascope.experiments.recipe import HexacoRecipe
from personascope.experiments.recipe_parts import ReasonedPart, WrittenPart
from personascope.instruments.items import ItemBank
from personascope.measures.agreement import MIN_ITEMS, expected_against_sampled
from personascope.measures.by_model import by_model
from personascope.measures.parsing import KINDS, parse_rating, parse_reasoned, sampled_table
from personascope.models.engine import HookEngine
from personascope.prompts.scales import agreement_anchors
from personascope.prompts.templates import ORDERS, RATING, Template, reasoned_template

SAMPLED, REASONED = "sampled", "reasoned"
_AGREEMENT = ("r", "low", "high", "mean_difference", "difference_low", "difference_high", "n", "n_left_out")


def written_parts(recipe: HexacoRecipe) -> dict[str, WrittenPart]:
    """What a recipe wants written, by the name of the read-out."""
    parts = {SAMPLED: recipe.hexaco.sampled, REASONED: recipe.hexaco.reasoned}
    return {name: part for name, part in parts.items() if part is not None}


def written_rows(engine: HookEngine, asked: Questionnaire, part: WrittenPart) -> tuple[Row, ...]:
    """Prompts in the first wording of each persona, in both anchor orders; rows carry persona, item and order.

    Nothing is prefilled for a sampled rating, so that refusing stays possible. A reasoned one begins with its heading,
    unless the model is to think first.
    """
    names = part.personas or tuple(persona.name for persona in asked.respondents)
    return tuple(
        Row(
            id=f"{persona.name}/{item.id}/{order}",
            prompt=item_prompt(engine, persona, item, template, thinking=part.thinking),
            meta={"persona": persona.name, "item": item.id, "order": order},
        )
        for persona in asked.respondents
        if persona.name in names
        for order in ORDERS
        for template in [_template(engine, asked, part, persona.name, order)]
        for item in short_form(asked.bank, part.form).items
    )


def write_answers(
    engine: HookEngine,
    asked: Questionnaire,
    part: WrittenPart,
    folder: Path,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Let the model write and read what it wrote; `folder` keeps the texts (see `activations.texts`).

    Returns:
        One row per persona, item, order and sample: kind, value, why (see `parse_rating`), wish and reasoning (empty
        unless they were asked for and written), text, finish, n_tokens.

    Raises:
        PersonascopeError: as `collect_texts`.
    """
    # small models go on with a second form; without a prefilled heading the first one would stop the answer
    stop = (RATING,) if isinstance(part, ReasonedPart) and not part.thinking else ()
    writing = Writing(part.max_new_tokens, part.temperature, part.samples, seed, stop)
    texts = collect_texts(written_rows(engine, asked, part), engine, folder, writing, progress=progress).drop("row")
    statements = {item.id: item.text for item in asked.bank.items}
    labels = rating_template(engine, asked.scale, ORDERS[0]).labels
    read = [_read(row, part, asked.scale.options, labels, statements[row["item"]]) for row in texts.to_dicts()]
    schema = {"kind": pl.String, "value": pl.Int64, "why": pl.String, "wish": pl.String, "reasoning": pl.String}
    columns = pl.DataFrame(read, schema=schema)
    as_written = ["text", "finish", "n_tokens"]
    return pl.concat([texts.drop(as_written), columns, texts.select(as_written)], how="horizontal")


def written_tables(
    written: Mapping[str, pl.DataFrame], items: pl.DataFrame, bank: ItemBank, n_options: int, how: Mapping[str, Any]
) -> dict[str, pl.DataFrame]:
    """What written answers say, and whether the label probabilities say the same.

    Args:
        written: by read-out, tables of `write_answers` with a column model that comes first.
        items: `item_table` of the same models.
        bank: what was asked.
        n_options: K.
        how: n_resamples and seed.

    Returns:
        "hexaco_sampled" (`sampled_table`, with the read-out), "hexaco_read_outs" (agreement with the label
        probabilities by persona, and shares of values, refusals and unparsed answers), and "hexaco_reasons" where
        reasons were asked for.
    """
    if not written:
        return {}
    said, agreement = [], []
    for name, answers in written.items():
        own = by_model(lambda part: sampled_table(part, n_options=n_options), answers)
        said.append(own.with_columns(read_out=pl.lit(name)))
        agreement.append(_agreement(own, items, how).with_columns(read_out=pl.lit(name)))
    tables = {"hexaco_sampled": pl.concat(said), "hexaco_read_outs": pl.concat(agreement)}
    if REASONED in written:
        known = known_items(bank).select("item", "facet", "domain", "key", pl.col("text").alias("statement"))
        tables["hexaco_reasons"] = written[REASONED].join(known, on="item", how="left", maintain_order="left")
    return tables


def _template(engine: HookEngine, asked: Questionnaire, part: WrittenPart, persona: str, order: str) -> Template:
    scale = asked.scale
    if not isinstance(part, ReasonedPart):
        return rating_template(engine, scale, order).without_prefix()
    condition, anchors = "meta" if persona == "meta" else "self", agreement_anchors(scale.options)
    template = reasoned_template(condition, order, anchors, labels=scale.labels, tokenizer=engine.tokenizer)
    return template.without_prefix() if part.thinking else template


def _read(
    row: Mapping[str, Any], part: WrittenPart, n_options: int, labels: tuple[str, ...], statement: str
) -> dict[str, Any]:
    anchors = agreement_anchors(n_options)
    shown: dict[str, Any] = {
        "anchors": anchors if row["order"] == ORDERS[0] else anchors[::-1],
        "labels": labels,
        "statement": statement,
    }
    if isinstance(part, ReasonedPart):
        found = parse_reasoned(row["text"], n_options, **shown)
        return {**vars(found.rating), "wish": found.wish, "reasoning": found.reasoning}
    rating = parse_rating(row["text"], n_options, finished=row["finish"] == "stop", **shown)
    return {**vars(rating), "wish": "", "reasoning": ""}


def _agreement(said: pl.DataFrame, items: pl.DataFrame, how: Mapping[str, Any]) -> pl.DataFrame:
    """By model and persona: agreement with the label probabilities, where enough was parsed, and the shares."""
    who = ["model", "persona"]
    counts = said.group_by(who, maintain_order=True).agg(
        pl.col("agreement").is_not_null().sum().alias("parsed"),
        pl.col("n").sum().alias("n_answers"),
        *((pl.col(f"n_{kind}").sum() / pl.col("n").sum()).alias(f"{kind}_share") for kind in KINDS),
    )
    enough = said.join(counts.filter(pl.col("parsed") >= MIN_ITEMS), on=who, how="semi", maintain_order="left")
    expected = items.join(enough, on=[*who, "item"], how="semi", maintain_order="left")
    shares = counts.drop("parsed")
    if enough.is_empty():
        integers = dict.fromkeys(("n", "n_left_out"), pl.Int64)
        empty = [pl.lit(None, integers.get(name, pl.Float64)).alias(name) for name in _AGREEMENT]
        return shares.with_columns(empty).select(*who, *_AGREEMENT, *shares.columns[2:])
    found = expected_against_sampled(expected, enough, **how)
    return shares.join(found, on=who, how="left", maintain_order="left").select(*who, *_AGREEMENT, *shares.columns[2:])
