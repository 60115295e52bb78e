"""What the page is made of, in the order of the study: which table gives which words and which figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from personascope.report import figures_hexaco as hexaco
from personascope.report import figures_preferences as preferences
from personascope.report import figures_probes as probes
from personascope.report import figures_study as study
from personascope.report import findings, sentences, sentences_causal, sentences_study
from personascope.report.figures_steering import steering_curves
from personascope.report.theme import Styles

Tables = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Part:
    """One table's share of a section."""

    table: str
    id: str
    caption: str
    words: Callable[[pl.DataFrame], list[str]]
    draw: Callable[[Tables, Styles], go.Figure | None]


@dataclass(frozen=True)
class Outline:
    """A section to be: its parts are shown when their tables are there."""

    id: str
    heading: str
    parts: tuple[Part, ...]
    care: str


def _domains(tables: Tables) -> dict[str, str | None] | None:
    return hexaco.domains_of(tables["hexaco_facets"]) if "hexaco_facets" in tables else None


def _own_directions(tables: Tables, styles: Styles) -> go.Figure | None:
    frame = tables["direction_cosines"]
    has_own = frame.filter(pl.col("direction") == pl.col("other")).height > 0
    return probes.own_direction_curves(frame, styles) if has_own else None


def _steering(tables: Tables, _: Styles) -> go.Figure:
    """The curves, opened at the first target's strongest layer, which is the one its paragraph speaks of."""
    frame = tables["steering"]
    target = frame["target"][0]
    found = findings.pushes(frame, target)
    return steering_curves(frame, target, findings.strongest_push(found).layer if found else None)


def _no_words(_: pl.DataFrame) -> list[str]:
    return []


STUDY = (
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
                _no_words,
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
            Part("hexaco_components", "components", "", sentences_study.components, lambda _tables, _styles: None),
        ),
        "Intervals are over items within one wording; the scatter between wordings is what a single wording hides.",
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
    Outline(
        "preferences",
        "What it prefers",
        (
            Part(
                "utilities",
                "topic-utilities",
                "Utilities by topic. Each dot is a task; hover to read it.",
                sentences.utilities,
                lambda tables, styles: preferences.utilities_by_topic(tables["utilities"], styles),
            ),
            Part(
                "preference_quality",
                "choice-quality",
                "Position bias beside the size of the preferences, and their reliability.",
                sentences.preferences,
                lambda tables, styles: preferences.choice_quality(tables["preference_quality"], styles),
            ),
            Part(
                "utility_correlations",
                "utility-correlations",
                "Correlation of utilities between personas. A star marks an interval that excludes 0.",
                sentences.correlations,
                lambda tables, _: preferences.utility_correlations(tables["utility_correlations"]),
            ),
        ),
        "Utilities are corrected for position, but where the position bias is many times the spread of preferences "
        "they rest on small differences of large numbers. Each is relative to this pool of tasks.",
    ),
    Outline(
        "probes",
        "Where it is written",
        (
            Part(
                "probes",
                "layer-curves",
                "Held-out score of the probe at each layer, with its controls.",
                sentences.probes,
                lambda tables, styles: probes.layer_curves(tables["probes"], styles),
            ),
        ),
        "A probe finds what can be read, not what is used. A score that the text alone also reaches says that the "
        "residual stream holds the words of the prompt, no more.",
    ),
    Outline(
        "transfer",
        "Do personas share it",
        (
            Part(
                "transfer",
                "transfer-maps",
                "Rows: persona the probe was trained on; columns: persona it was tested on. Hover for intervals; a "
                "star marks a difference whose interval lies above 0.",
                sentences_causal.transfer,
                lambda tables, _: probes.transfer_maps(tables["transfer"], findings.best_transfer(tables["transfer"])),
            ),
        ),
        "Personas that like the same tasks make probes transfer without any shared code for preference; only the third "
        "map, and only where its interval lies above 0, goes beyond that.",
    ),
    Outline(
        "directions",
        "Geometry of directions",
        (
            Part(
                "direction_cosines",
                "direction-map",
                "Cosines at one layer. A star marks those beyond the 95th percentile of random directions.",
                sentences_causal.directions,
                lambda tables, _: probes.direction_map(
                    tables["direction_cosines"], findings.strongest_cosine_layer(tables["direction_cosines"])
                ),
            ),
            Part(
                "direction_cosines",
                "own-directions",
                "Each persona's preference direction against its own identity direction, over layers.",
                _no_words,
                _own_directions,
            ),
        ),
        "In a space where a few dimensions carry most of the variance, unrelated directions can have large cosines; a "
        "large one says that the two share an axis, not that they mean the same.",
    ),
    Outline(
        "steering",
        "Does it cause it",
        (
            Part(
                "steering",
                "steering-curves",
                "Read-out against strength, with label mass below. Grey: random directions of the same length.",
                sentences_causal.steering,
                _steering,
            ),
        ),
        "A choice curve is symmetric about 1/2 by construction, so only its slope is a finding. Where the label mass "
        "falls the model stops answering, and the read-out describes the few answers that remain.",
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
