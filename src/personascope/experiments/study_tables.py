"""All tables of a questionnaire study, from its answers alone: scores, bias, statistics, wordings, models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import polars as pl

from personascope.errors import DataError
from personascope.experiments.profiles import answer_quality
from personascope.experiments.questionnaires import FIRST, item_table
from personascope.experiments.recipe import HexacoRecipe
from personascope.experiments.scale_variants import variant_table
from personascope.experiments.written_answers import REASONED, SAMPLED, written_tables
from personascope.instruments.items import ItemBank
from personascope.measures.agreement import variant_agreement
from personascope.measures.bias import bias_panel, partial_effects, response_orthogonality
from personascope.measures.by_model import by_model
from personascope.measures.contrasts import paired_contrasts
from personascope.measures.equivalence import equivalence
from personascope.measures.generalizability import d_study, g_study
from personascope.measures.power import contrast_power
from personascope.measures.profile_regression import regress_profiles
from personascope.measures.reliability import correlate
from personascope.measures.scales import domain_scores, facet_scores
from personascope.measures.shrinkage import shrunken_contrasts
from personascope.measures.specification import specification_curve

Tables = dict[str, pl.DataFrame]
Progress = Callable[[str, int, int], None]
_MIN_FACETS, _MIN_FACETS_ICC = 3, 5
D_STUDY_ITEMS, D_STUDY_PHRASINGS = (4, 8, 20, 40), (1, 2, 3, 5, 10)


def study_tables(given: Mapping[str, pl.DataFrame], bank: ItemBank, recipe: HexacoRecipe, progress: Progress) -> Tables:
    """Every table of the study but the answers, by name.

    Args:
        given: "answers" (`questionnaires.answer_table`) and, where they were asked for, "prior" (`prior_table`),
            "variants" (answers on other scales, with a column variant), "sampled" and "reasoned"
            (`written_answers.write_answers`), all with a column model that comes first.
        bank: the items that were asked.
        recipe: contrasts, resamples, seed.
        progress: called with ("scores", done, total).
    """
    answers = given["answers"]
    items = by_model(lambda own: item_table(own, bank), answers)
    how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
    pairs = recipe.hexaco.contrasts
    tables: Tables = {"hexaco_items": items}
    steps: list[Callable[[], Tables]] = [
        lambda: {"hexaco_facets": by_model(lambda own: facet_scores(own, **how), items)},
        lambda: {"hexaco_domains": by_model(lambda own: domain_scores(own, **how).drop("facets", "left_out"), items)},
        lambda: {"hexaco_quality": by_model(lambda own: answer_quality(own, recipe), items)},
        lambda: _contrast_tables(items, pairs, how),
        lambda: {
            "hexaco_bias": bias_panel(_first(answers), prior=given.get("prior"), **how),
            "hexaco_orthogonality": response_orthogonality(bank),
        },
        lambda: _desirability(answers, pairs),
        lambda: _wordings(answers, bank, pairs, how),
        lambda: _other_scales(given, bank, pairs, how),
        lambda: written_tables(
            {name: given[name] for name in (SAMPLED, REASONED) if name in given},
            items,
            bank,
            recipe.hexaco.scale.options,
            how,
        ),
        lambda: _just_helpful(items, recipe, how),
        lambda: _short_and_rest(items, pairs, how),
        lambda: _between_models(tables, how),
    ]
    for done, step in enumerate(steps):
        progress("scores", done, len(steps))
        tables |= step()
    progress("scores", len(steps), len(steps))
    return {name: table for name, table in tables.items() if not table.is_empty()}


def _first(answers: pl.DataFrame) -> pl.DataFrame:
    return answers.filter(pl.col("phrasing") == FIRST)


def _contrast_tables(items: pl.DataFrame, pairs: Sequence[tuple[str, str]], how: dict[str, Any]) -> Tables:
    """Contrasts by facet and by domain, shrunken, and tested for equivalence."""

    def contrasts(by: str) -> pl.DataFrame:
        more: dict[str, Any] = {"cluster": "cluster", "extra": ("holm", "max_t"), **how}
        found = by_model(lambda own: paired_contrasts(own, pairs, by, **more), items)
        return found.drop("left_out", strict=False)

    facets = contrasts("facet")
    return {
        "hexaco_contrasts": facets,
        "hexaco_domain_contrasts": contrasts("domain"),
        "hexaco_shrunken": by_model(shrunken_contrasts, facets),
        "hexaco_equivalence": by_model(lambda own: equivalence(own, pairs, method="t", **how), items),
        "hexaco_power": by_model(contrast_power, facets),
    }


def _desirability(answers: pl.DataFrame, pairs: Sequence[tuple[str, str]]) -> Tables:
    """Contrasts adjusted for how desirable agreeing is; nothing for a bank without ratings."""
    rated = answers["desirability"].drop_nulls()
    if rated.n_unique() < 2:
        return {}
    return {"hexaco_adjusted": partial_effects(_first(answers), pairs)}


def _wordings(answers: pl.DataFrame, bank: ItemBank, pairs: Sequence[tuple[str, str]], how: dict[str, Any]) -> Tables:
    """The contrasts under every wording and order, on the items that all wordings were asked; and the G-study."""
    n_phrasings = answers["phrasing"].n_unique()
    asked = answers.group_by("item").agg(pl.col("phrasing").n_unique())
    common = answers.join(asked.filter(pl.col("phrasing") == n_phrasings).select("item"), on="item", how="semi")

    def under(own: pl.DataFrame) -> pl.DataFrame:
        found = [
            paired_contrasts(part, pairs, "domain", **how).select(
                pl.lit(phrasing).alias("phrasing"), pl.lit(order).alias("order"), pl.all().exclude("left_out")
            )
            for (phrasing, order), part in own.group_by("phrasing", "order", maintain_order=True)
        ]
        return pl.concat(found)

    curves = by_model(under, common).drop_nulls("difference")

    def robustness(own: pl.DataFrame) -> pl.DataFrame:
        keyed = own.with_columns(group=pl.concat_str("contrast", "domain", separator=" / "))
        found = specification_curve(keyed, ["phrasing", "order"], "group")
        return found.frame()

    tables = {"hexaco_specifications": by_model(robustness, curves)}
    if n_phrasings > 1:
        components = g_study(common)
        scores = [
            by_model(lambda part, of=phrasing: facet_scores(item_table(part, bank, of), **how), own).with_columns(
                phrasing=pl.lit(phrasing)
            )
            for (phrasing,), own in common.group_by("phrasing", maintain_order=True)
        ]
        if common["facet"].n_unique() >= _MIN_FACETS_ICC:
            tables["hexaco_icc"] = variant_agreement(pl.concat(scores), pairs)
        tables |= {
            "hexaco_components": components.drop("factors"),
            "hexaco_d_study": d_study(components, item=D_STUDY_ITEMS, phrasing=D_STUDY_PHRASINGS, order=(2,)),
        }
    return tables


def _other_scales(
    given: Mapping[str, pl.DataFrame], bank: ItemBank, pairs: Sequence[tuple[str, str]], how: dict[str, Any]
) -> Tables:
    if "variants" not in given:
        return {}
    return {"hexaco_variants": variant_table(given["answers"], given["variants"], bank, pairs, how)}


def _just_helpful(items: pl.DataFrame, recipe: HexacoRecipe, how: dict[str, Any]) -> Tables:
    """Is the ideal self the ideal assistant? Only where meta, helpful and self were all asked."""
    if not {"self", "meta", "helpful"} <= set(recipe.hexaco.personas) or items["facet"].n_unique() < _MIN_FACETS:
        return {}
    tables: list[tuple[str, pl.DataFrame]] = []
    for (model,), own in items.group_by("model", maintain_order=True):
        try:
            found = regress_profiles(own.drop("model"), cluster="cluster", **how)
        except DataError as error:  # helpful differs from self by no more than its error: that is the finding
            tables.append(("hexaco_just_helpful", _named(model, pl.DataFrame({"statement": [error.symptom]}))))
            continue
        tables.append(("hexaco_just_helpful", _named(model, found.frame().drop("left_out"))))
        tables.append(("hexaco_just_helpful_residuals", _named(model, found.residuals)))
    names = dict.fromkeys(name for name, _ in tables)
    return {
        name: pl.concat([table for other, table in tables if other == name], how="diagonal_relaxed") for name in names
    }


def _named(model: object, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.lit(str(model)).alias("model"), pl.all())


def _short_and_rest(items: pl.DataFrame, pairs: Sequence[tuple[str, str]], how: dict[str, Any]) -> Tables:
    """Do the form of 200 and the items written after it tell the same story? Only where both were asked."""
    short = items.filter(pl.col("form").is_in(["60", "200"]))
    rest = items.filter(pl.col("form") == "full")
    if short.is_empty() or rest.is_empty():
        return {}

    def contrasts(part: pl.DataFrame, name: str) -> pl.DataFrame:
        found = by_model(lambda own: paired_contrasts(own, pairs, **how), part)
        kept = ("difference", "low", "high", "se", "n")
        return found.select("model", "contrast", "facet", *[pl.col(one).alias(f"{name}_{one}") for one in kept])

    both = contrasts(short, "short").join(
        contrasts(rest, "rest"), on=["model", "contrast", "facet"], maintain_order="left"
    )
    gap = pl.col("rest_difference") - pl.col("short_difference")
    error = (pl.col("short_se") ** 2 + pl.col("rest_se") ** 2).sqrt()
    return {"hexaco_short_and_rest": both.drop_nulls().with_columns(gap=gap, gap_se=error, z=gap / error)}


def _between_models(tables: Tables, how: dict[str, Any]) -> Tables:
    """Correlation over facets of each contrast, and of each persona's profile, between every two models."""
    profiles = {
        "contrast": (tables["hexaco_contrasts"], "difference"),
        "persona": (tables["hexaco_facets"], "trait"),
    }
    rows: list[dict[str, Any]] = []
    for kind, (table, value) in profiles.items():
        for (name,), part in table.drop_nulls(value).group_by(kind, maintain_order=True):
            wide = part.pivot("model", index="facet", values=value).drop_nulls()
            for x, y in combinations([column for column in wide.columns if column != "facet"], 2):
                if len(wide) < _MIN_FACETS:
                    continue
                found = correlate(wide[x].to_numpy(), wide[y].to_numpy(), **how)
                rows.append({"profile": kind, "subject": name, "model_x": x, "model_y": y, **vars(found)})
    return {"hexaco_between_models": pl.DataFrame(rows)} if rows else {}
