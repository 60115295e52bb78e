"""The methods of a questionnaire study in words, from its tables: for a reader who wants to repeat or cite it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from personascope.report.wording import MISSING, listed, two_decimals

_SCORING = """
Scoring. The answer to an item is the expected rating over the probabilities of the labels, renormalised, mapped to
[-1, 1] and averaged over ascending and descending anchors. Probability outside the labels is reported as label mass and
never replaced by the midpoint. With m+ and m- the mean agreement over positively and negatively keyed items,
trait = (m+ - m-) / 2 and acquiescence = (m+ + m-) / 2. A domain is the mean of its facets; altruism belongs to none.
"""
_STATISTICS = """
Statistics. Contrasts are paired by item. Intervals are 95 % percentile bootstrap intervals over clusters of
near-duplicate items within facet and key ({resamples:,} resamples, seed {seed}); p is from random sign flips; q is
Benjamini and Hochberg over the facets of a contrast, beside Holm and the joint max-T. Shrunken effects are empirical
Bayes over facets (Paule and Mandel). Equivalence is tested by two one-sided tests within .10. The regression of
meta - self on helpful - self takes account of error in both, and of the self answers that they share.
"""


def methods_text(tables: Mapping[str, pl.DataFrame], *, seed: int, resamples: int) -> list[str]:
    """Paragraphs on material, scoring, statistics and exclusions.

    Args:
        tables: of the study; `answers` and `hexaco_items` must be among them, the columns model and applicability of
            `answers` need not.
        seed: of every bootstrap.
        resamples: of every bootstrap.
    """
    answers, items = tables["answers"], tables["hexaco_items"]
    statistics = _STATISTICS.format(resamples=resamples, seed=seed)
    paragraphs = (_material(answers, items), _other_ways(tables), _SCORING, statistics, _exclusions(answers))
    return [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph]


def _material(answers: pl.DataFrame, items: pl.DataFrame) -> str:
    n_items, n_facets = items["item"].n_unique(), items["facet"].n_unique()
    models, personas = (_names(answers, name) for name in ("model", "persona"))
    of_models = f" of {', '.join(models)}" if models else ""
    wordings = answers["phrasing"].n_unique()
    asked = answers.filter(pl.col("phrasing") != "1")["item"].n_unique()
    further = "The second wording" if wordings == 2 else f"Wordings 2 to {wordings}"
    more = f" {further} of each persona put {asked:,} of them." if wordings > 1 else ""
    return (
        f"Material. {n_items:,} items on {n_facets} facets, one item to a prompt, were asked{of_models} under the "
        f"personas {', '.join(personas)}, in both anchor orders: {len(answers):,} answers.{more} Scores are "
        "of the first wording."
    )


def _other_ways(tables: Mapping[str, pl.DataFrame]) -> str:
    """Other scales and answers that were written out; empty where neither was asked for."""
    texts = []
    if "variants" in tables:
        variants = tables["variants"]
        names = listed(_names(variants, "variant"))
        texts.append(f"{variants['item'].n_unique():,} items were also asked on other scales: {names}.")
    for table, what in (("sampled", "a rating"), ("reasoned", "a rating with its reasons")):
        if table in tables:
            own = tables[table]
            texts.append(
                f"{own['item'].n_unique():,} items were answered by writing {what} under "
                f"{listed(_names(own, 'persona'))} ({len(own):,} answers), read by a parser that takes a value, a "
                "refusal, or neither."
            )
    return f"Other ways of asking. {' '.join(texts)}" if texts else ""


def _exclusions(answers: pl.DataFrame) -> str:
    masses = answers["label_mass"].fill_nan(None).drop_nulls().to_list()
    low = two_decimals(min(masses)) if masses else MISSING
    kept = ""
    if "applicability" in answers.columns:
        as_if = answers.filter(pl.col("applicability") != "applicable")["item"].n_unique()
        kept = f" Items kept that a respondent without a body answers only as if: {as_if}." if as_if else ""
    return f"Exclusions. None: every answer is in the scores.{kept} The lowest label mass of any answer is {low}."


def _names(answers: pl.DataFrame, name: str) -> list[str]:
    """Distinct values of a column in order of appearance; none where it is absent."""
    return answers[name].drop_nulls().unique(maintain_order=True).to_list() if name in answers.columns else []
