"""How the probes of different layers and of different things lie to each other, and how long the residual stream is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress
from personascope.experiments.elicitation import TASKS, ChoiceMaterial
from personascope.experiments.encoding import encoded
from personascope.experiments.layers import over_layers
from personascope.experiments.probing import HEXACO, Stores, Tables
from personascope.experiments.recipe_bases import ProbeStudy
from personascope.experiments.rows import Rows, facet_rows, task_rows
from personascope.experiments.text_baselines import TextBaselines
from personascope.probes.evaluate import column_correlations, evaluate_ridge, fit_direction_weights
from personascope.probes.folds import fold_numbers, grouped_folds
from personascope.probes.geometry import cosine_frame, cosine_matrix
from personascope.probes.nested import nested_ridge
from personascope.probes.results import results_frame
from personascope.probes.ridge import DEFAULT_ALPHAS

PREFERENCE = "preference"


def residual_norms(stores: Stores) -> pl.DataFrame:
    """Length of the residual stream: store, layer, position, mean, sd, n. A coefficient is a fraction of the mean."""
    rows: list[dict[str, Any]] = []
    for name, store in stores.items():
        for layer in store.layers:
            for position in store.positions:
                norms = np.linalg.norm(store.layer(layer, position).astype(np.float64), axis=1)
                ends = {"mean": float(norms.mean()), "sd": float(norms.std(ddof=1)), "n": len(norms)}
                rows.append({"store": name, "layer": layer, "position": position, **ends})
    return pl.DataFrame(rows)


def layer_agreement(
    store: ActivationStore, tables: Tables, material: ChoiceMaterial, recipe: ProbeStudy, progress: Progress
) -> pl.DataFrame:
    """Utility probes of the first persona between layers: cosines, and probes of one layer applied to another.

    Columns layer (trained), other (applied), cosine of the raw weights, r (out of fold by topic; the probe keeps the
    centre and scale of its own layer), n.
    """
    persona, position = material.personas[0], recipe.probes.position
    rows = {layer: task_rows(store, tables["utilities"], persona, layer, position) for layer in store.layers}
    features = [own.features.astype(np.float64) for own in rows.values()]
    own = rows[store.layers[0]]
    numbers = fold_numbers(grouped_folds(own.groups, recipe.probes.folds, recipe.seed), len(own.target))

    def at_layer(layer: int) -> tuple[np.ndarray, np.ndarray]:
        X = rows[layer].features.astype(np.float64)
        found = nested_ridge(X, own.target[:, None], numbers, DEFAULT_ALPHAS, others=features)
        applied = np.concatenate(found.elsewhere, axis=1)
        weights = fit_direction_weights(X, own.target, own.groups, seed=recipe.seed)
        return weights, column_correlations(applied, np.repeat(own.target[:, None], applied.shape[1], axis=1))

    by_layer = over_layers(at_layer, store.layers, progress, "between layers")
    cosines = cosine_matrix(np.stack([weights for weights, _ in by_layer]))
    return pl.DataFrame(
        [
            {
                "layer": layer,
                "other": other,
                "cosine": cosines[i, j],
                "r": float(by_layer[i][1][j]),
                "n": len(own.target),
            }
            for i, layer in enumerate(store.layers)
            for j, other in enumerate(store.layers)
        ]
    )


def facet_geometry(
    stores: Stores, tables: Tables, material: ChoiceMaterial, recipe: ProbeStudy, progress: Progress
) -> dict[str, pl.DataFrame]:
    """Directions of the first persona's preference and of every facet: what each reads, and their angles.

    A facet's direction is that of a ridge on keyed answers to its items under all personas of the questionnaire.

    Returns:
        "facet_probes" (`ProbeResult.frame`, items held out; facets with fewer items than folds stay out) and
        "facet_cosines" (`cosine_frame`, against random directions with the covariance of all these rows).
    """
    persona, position = material.personas[0], recipe.probes.position
    items, store = tables["hexaco_items"], stores[HEXACO]
    answered = items.group_by("facet", maintain_order=True).agg(
        pl.col("item").n_unique(), (pl.col("key") * pl.col("agreement")).std()
    )
    varies = answered.filter((pl.col("item") >= recipe.probes.folds) & (pl.col("key") > 0))["facet"].to_list()

    baselines = _facet_baselines(store, items, varies, recipe)

    def at_layer(layer: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        tasks = task_rows(stores[TASKS], tables["utilities"], persona, layer, position)
        facets = {facet: facet_rows(store, items, facet, layer, position) for facet in varies}
        probes = [_facet_probe(facet, rows, baselines[facet], layer, recipe) for facet, rows in facets.items()]
        directions = {
            name: fit_direction_weights(rows.features, rows.target, rows.groups, seed=recipe.seed)
            for name, rows in {PREFERENCE: tasks, **facets}.items()
        }
        everything = np.concatenate([tasks.features, *(rows.features for rows in facets.values())])
        return pl.concat(probes), cosine_frame(directions, layer=layer, X=everything, seed=recipe.seed)

    if not varies:
        return {}
    by_layer = over_layers(at_layer, store.layers, progress, "facet directions")
    return {
        "facet_probes": pl.concat([probes for probes, _ in by_layer]),
        "facet_cosines": pl.concat([cosines for _, cosines in by_layer]),
    }


def _facet_baselines(
    store: ActivationStore, items: pl.DataFrame, facets: Sequence[str], recipe: ProbeStudy
) -> dict[str, TextBaselines]:
    """Of every facet; its rows are the same at every layer."""
    found = {}
    for facet in facets:
        rows = facet_rows(store, items, facet, store.layers[0], recipe.probes.position)
        folds = grouped_folds(rows.groups, recipe.probes.folds, recipe.seed)
        found[facet] = TextBaselines.of_scores(rows.texts, encoded(rows.texts), rows.target[:, None], folds)
    return found


def _facet_probe(facet: str, rows: Rows, baselines: TextBaselines, layer: int, recipe: ProbeStudy) -> pl.DataFrame:
    part = recipe.probes
    results = evaluate_ridge(
        rows.features,
        rows.target[:, None],
        names=[facet],
        groups=rows.groups,
        texts_predictions=baselines.words,
        encoder_predictions=baselines.encoder,
        persona="all",
        position=part.position,
        layer=layer,
        n_folds=part.folds,
        n_shuffles=part.shuffles,
        n_directions=part.directions,
        seed=recipe.seed,
    )
    return results_frame(results)
