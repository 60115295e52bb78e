"""The page of preferences and what is behind them: utilities, probes, transfer, directions, steering."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from personascope.report import figures_preferences as preferences
from personascope.report import figures_probes as probes
from personascope.report import findings, sentences, sentences_causal
from personascope.report.figures_steering import steering_curves
from personascope.report.outline import Outline, Part, Tables, no_words
from personascope.report.theme import Styles


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


PREFERENCES = (
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
                "Held-out score of the probe at each layer, with its controls. Matched directions are random ones with "
                "the covariance of the activations.",
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
                no_words,
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
