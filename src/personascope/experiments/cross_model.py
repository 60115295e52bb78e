"""Does a probe read this model's preferences, or what any model would make of the text? Two models read each other.

If another model's activations predict these utilities as well, nothing of them is this model's own.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress
from personascope.experiments.elicitation import TASKS, ChoiceMaterial
from personascope.experiments.encoding import encoded
from personascope.experiments.layers import over_layers
from personascope.experiments.probing import Stores, Tables
from personascope.experiments.recipe_bases import ProbeStudy
from personascope.experiments.rows import task_rows, utility_vector
from personascope.experiments.text_baselines import TextBaselines
from personascope.measures.reliability import correlate
from personascope.probes.evaluate import evaluate_ridge
from personascope.probes.folds import grouped_folds
from personascope.probes.results import results_frame


def cross_model_tables(
    labels: tuple[str, str],
    stores: tuple[Stores, Stores],
    tables: tuple[Tables, Tables],
    material: ChoiceMaterial,
    recipe: ProbeStudy,
    progress: Progress,
) -> dict[str, pl.DataFrame]:
    """Utilities of both models predicted from the activations of both, under the first persona.

    Returns:
        "cross_model": `ProbeResult.frame` with `model` (whose activations), `utilities_of`, and in `utility_r`,
        `utility_low` and `utility_high` how the utilities of the two models correlate, 1 with one's own.
    """
    persona, seed = material.personas[0], recipe.seed
    utilities = np.stack([utility_vector(own["utilities"], persona) for own in tables], axis=1)
    agreement = correlate(utilities[:, 0], utilities[:, 1], n_resamples=recipe.resamples, seed=seed)
    texts = [task.text for task in material.pool.tasks]
    groups = np.unique([task.topic for task in material.pool.tasks], return_inverse=True)[1]
    folds = grouped_folds(groups, recipe.probes.folds, seed)
    baselines = TextBaselines.of_scores(texts, encoded(texts), utilities, folds)

    def readings(label: str, store: ActivationStore) -> pl.DataFrame:
        def at_layer(layer: int) -> pl.DataFrame:
            own = tables[labels.index(label)]["utilities"]
            rows = task_rows(store, own, persona, layer, recipe.probes.position)
            results = evaluate_ridge(
                rows.features,
                utilities,
                names=list(labels),
                groups=groups,
                texts_predictions=baselines.words,
                encoder_predictions=baselines.encoder,
                persona=persona,
                position=recipe.probes.position,
                layer=layer,
                n_folds=recipe.probes.folds,
                n_shuffles=recipe.probes.shuffles,
                n_directions=recipe.probes.directions,
                seed=seed,
            )
            return results_frame(results).with_columns(pl.lit(label).alias("model"))

        return pl.concat(over_layers(at_layer, store.layers, progress, f"activations of {label}"))

    found = pl.concat([readings(label, own[TASKS]) for label, own in zip(labels, stores, strict=True)])
    ends = {"utility_r": agreement.r, "utility_low": agreement.low, "utility_high": agreement.high}
    one = pl.col("target") == pl.col("model")
    both = [pl.when(one).then(1.0).otherwise(value).alias(name) for name, value in ends.items()]
    return {"cross_model": found.with_columns(both).rename({"target": "utilities_of"})}
