"""The page of a layer sweep: what a probe survives, between layers, facets, and another model."""

from __future__ import annotations

import plotly.graph_objects as go

from personascope.report import figures_layers as layers
from personascope.report import figures_sweep as sweep
from personascope.report import sentences_layers as between
from personascope.report import sentences_sweep as survived
from personascope.report.findings_sweep import facets_open_at, surviving_layer
from personascope.report.outline import Outline, Part, Tables, no_words
from personascope.report.theme import Styles


def _groups(tables: Tables, _: Styles) -> go.Figure | None:
    return sweep.group_dots(tables["leave_one_group"], surviving_layer(tables))


def _removals(tables: Tables, _: Styles) -> go.Figure:
    return sweep.removal_curves(tables["removals"], surviving_layer(tables))


def _preference(tables: Tables, _: Styles) -> go.Figure | None:
    return layers.preference_dots(tables["facet_cosines"], facets_open_at(tables))


def _facets(tables: Tables, _: Styles) -> go.Figure | None:
    return layers.facet_map(tables["facet_cosines"], facets_open_at(tables))


SWEEP = (
    Outline(
        "controls",
        "Does it survive its controls",
        (
            Part(
                "leave_one_group",
                "left-out-curves",
                "Each group (topic, or facet) left out of training in turn. A pooled r also credits differences "
                "between groups; one within groups does not.",
                survived.groups_left_out,
                lambda tables, _: sweep.left_out_curves(tables["leave_one_group"]),
            ),
            Part(
                "leave_one_group",
                "left-out-groups",
                "r inside each group when it was left out, at one layer. Choose another above.",
                no_words,
                _groups,
            ),
            Part(
                "confounds",
                "confound-curves",
                "What probes read without the means of groups, and without what the text predicts of the activations. "
                "Matched directions are random ones with the covariance of the activations.",
                survived.confounds,
                lambda tables, _: sweep.confound_curves(tables["confounds"]),
            ),
            Part(
                "confounds",
                "variance-left",
                "Share of the held-out activations' variance that a ridge from the text leaves; at the dashed line the "
                "text predicts nothing of them.",
                no_words,
                lambda tables, _: sweep.variance_left(tables["confounds"]),
            ),
            Part(
                "removals",
                "removal-curves",
                "r after removing the directions of one probe after another, or random ones, at one layer.",
                survived.removals,
                _removals,
            ),
        ),
        "With few rows in a group its own r is mostly noise. What ridge cannot predict from the text may still be in "
        "the text, and a target that survives removals may be carried by copies of one direction.",
    ),
    Outline(
        "layers",
        "Between layers",
        (
            Part(
                "layer_agreement",
                "layer-maps",
                "Left: cosines of the weights at every two layers. Right: r when the probe of one layer reads another; "
                "its diagonal is the ordinary held-out r.",
                between.between_layers,
                lambda tables, _: layers.layer_maps(tables["layer_agreement"]),
            ),
            Part(
                "residual_norms",
                "residual-norms",
                "Mean length of the residual stream by layer, for each kind of prompt and position.",
                between.norms,
                lambda tables, _: layers.norm_curves(tables["residual_norms"]),
            ),
        ),
        "A block adds to the residual stream, so neighbouring layers are alike whatever a probe reads; these cosines "
        "have no null, and only probes that beat their controls give them a meaning.",
    ),
    Outline(
        "facets",
        "Facets",
        (
            Part(
                "facet_probes",
                "facet-probes",
                "Held-out r of each facet at one layer, beside its controls.",
                between.facets,
                lambda tables, _: layers.facet_probe_dots(tables["facet_probes"], facets_open_at(tables)),
            ),
            Part(
                "facet_cosines",
                "facet-preference",
                "Cosine of each facet's direction with that of preference; grey: where 95 % of random directions lie.",
                between.facet_cosines,
                _preference,
            ),
            Part(
                "facet_cosines",
                "facet-map",
                "Cosines of the facets' directions, by HEXACO domain. A star marks those beyond the 95th percentile of "
                "random directions.",
                no_words,
                _facets,
            ),
        ),
        "A facet's probe is fitted to a few items, all of them answered by the same personas, so it may read which "
        "persona answers or the wording of an item, and facets may be alike for that alone.",
    ),
)
"""Sections on one model."""

ACROSS = (
    Outline(
        "cross-model",
        "Another model",
        (
            Part(
                "cross_model",
                "cross-model-curves",
                "Held-out r of each model's activations for each model's utilities, by layer of the model that is "
                "read. Matched directions are random ones with the covariance of the activations.",
                between.across_models,
                lambda tables, _: layers.cross_model_curves(tables["cross_model"]),
            ),
        ),
        "Two models that were trained on much the same text are no independent witnesses, and a larger one reads any "
        "text better: that it reads these utilities says little, that it does not says more.",
    ),
)
"""Sections whose tables speak of several models at once, whatever their column `model` holds."""
