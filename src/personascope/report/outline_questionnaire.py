"""The page of a questionnaire: who it says it is, how far that can be trusted, and how alike the models are."""

from __future__ import annotations

from personascope.report import figures_effects as effects
from personascope.report import figures_hexaco as hexaco
from personascope.report import figures_read_outs as read_outs
from personascope.report import figures_statistics as drawn
from personascope.report import figures_study as study
from personascope.report import sentences, sentences_study
from personascope.report import sentences_read_outs as asked
from personascope.report import sentences_statistics as statistics
from personascope.report.outline import Outline, Part, Tables, no_figure, no_words
from personascope.report.rows import domains_of


def _domains(tables: Tables) -> dict[str, str | None] | None:
    return domains_of(tables["hexaco_facets"]) if "hexaco_facets" in tables else None


QUESTIONNAIRE = (
    Outline(
        "profile",
        "Who it says it is",
        (
            Part(
                "hexaco_facets",
                "facet-profile",
                "Facet profile. One row per facet, one dot per persona; Altruism lies between the domains.",
                sentences.facets,
                lambda tables, styles: hexaco.facet_profile(tables["hexaco_facets"], styles),
            ),
            Part(
                "hexaco_domains",
                "domain-profile",
                "Domain profile. The mean over each domain's facets.",
                no_words,
                lambda tables, styles: hexaco.domain_profile(tables["hexaco_domains"], styles),
            ),
        ),
        "Intervals are over items, not over wordings or models. A score near 0 can mean no opinion as well as a "
        "balanced one, and what a model says of itself is not what it does.",
    ),
    Outline(
        "contrasts",
        "Who it would be",
        (
            Part(
                "hexaco_contrasts",
                "facet-contrasts",
                "Differences paired by item, with 95 % intervals. A filled dot with a star has q < .05.",
                sentences.contrasts,
                lambda tables, styles: hexaco.contrasts(tables["hexaco_contrasts"], _domains(tables), styles),
            ),
            Part(
                "hexaco_shrunken",
                "shrunken-contrasts",
                "Each facet drawn toward the mean of its contrast, as far as its error makes it doubtful. Intervals do "
                "not count the error of the spread between facets.",
                statistics.shrunken,
                lambda tables, styles: effects.shrunken(tables["hexaco_shrunken"], _domains(tables), styles),
            ),
            Part(
                "hexaco_equivalence",
                "equivalence",
                "Facets shown to lie within the margin (equivalent), not so and apart from 0 (different), and neither "
                "(undecided). Hover for their names.",
                statistics.equivalence,
                lambda tables, _: drawn.equivalence(tables["hexaco_equivalence"]),
            ),
            Part("hexaco_power", "power", "", statistics.power, lambda _tables, _styles: None),
        ),
        "q is corrected over the facets of one contrast only. A neutral wording such as a placebo shows how much any "
        "change of words moves the answers; differences of that size say nothing about the persona.",
    ),
    Outline(
        "answers",
        "Trust in the answers",
        (
            Part(
                "hexaco_quality",
                "answer-quality",
                "What speaks for and against the answers, by persona.",
                sentences.answer_quality,
                lambda tables, styles: hexaco.answer_quality(tables["hexaco_quality"], styles),
            ),
            Part(
                "hexaco_items",
                "single-items",
                "Every statement of one persona. Hover to read it.",
                sentences.items,
                lambda tables, styles: hexaco.single_items(tables["hexaco_items"], _domains(tables), styles),
            ),
        ),
        "Where the label mass is low the model did not mean to answer with a label at all; where acquiescence is "
        "large, a raw answer shows the habit of saying yes before it shows a trait.",
    ),
    Outline(
        "bias",
        "Bias apart",
        (
            Part(
                "hexaco_bias",
                "bias-panels",
                "Response bias by persona, each with its 95 % interval.",
                sentences_study.bias,
                lambda tables, styles: study.bias_panels(tables["hexaco_bias"], styles),
            ),
            Part(
                "hexaco_adjusted",
                "adjusted-contrasts",
                "Contrasts as they are (hollow) and between items of equal desirability (filled), with 95 % intervals.",
                statistics.adjusted,
                lambda tables, styles: effects.adjusted(tables["hexaco_adjusted"], _domains(tables), styles),
            ),
        ),
        "A respondent without any trait can be far from 0 on these; a trait score beside a large bias is a small "
        "difference of large numbers.",
    ),
    Outline(
        "wordings",
        "Does it hang on the words",
        (
            Part(
                "hexaco_specifications",
                "specification-curve",
                "Every contrast under every wording and anchor order, on the items that all wordings were asked.",
                sentences_study.wordings,
                lambda tables, styles: study.wordings(tables["hexaco_specifications"], styles),
            ),
            Part("hexaco_components", "components", "", sentences_study.components, no_figure),
            Part(
                "hexaco_icc",
                "wording-agreement",
                "Agreement over wordings of each profile and each contrast, with 95 % intervals.",
                statistics.icc,
                lambda tables, styles: drawn.icc(tables["hexaco_icc"], styles),
            ),
            Part(
                "hexaco_d_study",
                "d-study",
                "How reliable the score of a persona on one facet would be with other numbers of items and wordings.",
                statistics.d_study,
                lambda tables, _: drawn.d_study(tables["hexaco_d_study"]),
            ),
        ),
        "Intervals are over items within one wording; the scatter between wordings is what a single wording hides.",
    ),
    Outline(
        "asking",
        "Does it hang on how one asks",
        (
            Part(
                "hexaco_variants",
                "asking-variants",
                "Other labels, scales and wordings against the main way of asking. Filled: profile of a persona; "
                "hollow: contrast between two.",
                asked.variants,
                lambda tables, styles: read_outs.variants(tables["hexaco_variants"], styles),
            ),
            Part(
                "hexaco_read_outs",
                "read-outs",
                "Ratings expected from probabilities against those that were written: agreement over items, difference "
                "in mean, and what became of the written answers.",
                asked.read_outs,
                lambda tables, styles: read_outs.read_outs(tables["hexaco_read_outs"], styles),
            ),
            Part("hexaco_reasons", "reasons", "", asked.reasons, no_figure, asked.quotes),
        ),
        "Ways of asking that agree may share a habit of answering. A reasoning is what the model wrote beside its "
        "rating, not a record of what moved it.",
    ),
    Outline(
        "just-helpful",
        "Not just helpful",
        (
            Part(
                "hexaco_just_helpful",
                "just-helpful-profile",
                "Each facet's change under meta against its change under helpful.",
                sentences_study.just_helpful,
                study.just_helpful,
            ),
        ),
        "Both changes share the answers as self, whose errors alone make a slope of about one half; the slope given "
        "here has that taken out, the dots have not.",
    ),
    Outline(
        "short-form",
        "Short form against the rest",
        (
            Part(
                "hexaco_short_and_rest",
                "short-and-rest",
                "Each facet's contrast from the short form's items against that from all other items.",
                sentences_study.short_and_rest,
                lambda tables, styles: study.short_and_rest(tables["hexaco_short_and_rest"], styles),
            ),
        ),
        "Where changes are small beside their errors, a low correlation says nothing against either set of items.",
    ),
)
COMPARISON = (
    Outline(
        "models",
        "Models side by side",
        (
            Part(
                "hexaco_between_models",
                "model-correlations",
                "Correlation between models over facets, of contrasts and of profiles.",
                sentences_study.between_models,
                lambda tables, _: study.between_models(tables["hexaco_between_models"]),
            ),
        ),
        "Two models are two cases, not a sample of models; profiles can agree because the items, not the models, do.",
    ),
)
"""Sections on several models together."""
