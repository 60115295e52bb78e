"""What a probe has to survive: topics left out one by one, topic means and text taken away, directions removed.

All at `probes.position`, for the first persona's utilities (groups: topics) and, where items were asked, for keyed
answers to items under all personas of the questionnaire (groups: facets).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from sklearn.decomposition import PCA

from personascope.experiments.collecting import Progress
from personascope.experiments.elicitation import TASKS, ChoiceMaterial
from personascope.experiments.encoding import encoded
from personascope.experiments.layers import over_layers
from personascope.experiments.preferences import reliabilities
from personascope.experiments.probing import HEXACO, Stores, Tables
from personascope.experiments.recipe import LayerSweepRecipe
from personascope.experiments.rows import Rows, item_rows, task_rows
from personascope.experiments.text_baselines import TextBaselines
from personascope.probes.confounds import evaluate_without_text, evaluate_without_topic_means
from personascope.probes.folds import Folds, grouped_folds
from personascope.probes.leave_one_group import leave_one_group_folds, leave_one_group_out
from personascope.probes.removal import remove_directions
from personascope.probes.topic_means import topic_balanced_folds

_MOST_COMPONENTS, _ROWS_PER_COMPONENT = 50, 5


def control_tables(
    stores: Stores, tables: Tables, material: ChoiceMaterial, recipe: LayerSweepRecipe, progress: Progress
) -> dict[str, pl.DataFrame]:
    """Returns "leave_one_group", "confounds" (`ProbeResult.frame` with variance_left) and "removals"."""
    store, layers = stores[TASKS], stores[TASKS].layers
    persona, position = material.personas[0], recipe.probes.position

    def tasks(layer: int) -> Rows:
        return task_rows(store, tables["utilities"], persona, layer, position)

    def items(layer: int) -> Rows:
        return item_rows(stores[HEXACO], tables, layer, position)

    reliable = reliabilities(tables)[persona]
    topics = list(dict.fromkeys(task.topic for task in material.pool.tasks))
    targets = [_Target("utility", persona, tasks(layers[0]), topics, max(reliable, 0.0) or None, recipe)]
    readers = [tasks]
    if HEXACO in stores:
        facets = tables["hexaco_items"]["facet"].unique(maintain_order=True).to_list()
        targets.append(_Target("item score", "all", items(layers[0]), facets, None, recipe))
        readers.append(items)

    def at_layer(layer: int) -> list[dict[str, pl.DataFrame]]:
        return [target.tables(read(layer).features, layer) for target, read in zip(targets, readers, strict=True)]

    found = [part for parts in over_layers(at_layer, layers, progress, "controls") for part in parts]
    return {name: pl.concat([part[name] for part in found if name in part]) for name in found[0]}


def _components(vectors: np.ndarray) -> np.ndarray:
    """Principal components of sentence embeddings, few against the rows, as text to be removed.

    With as many text features as rows, what they predict of the activations is not wholly removed (see
    `evaluate_without_text`). Components know nothing of the target.
    """
    n = min(_MOST_COMPONENTS, len(np.unique(vectors, axis=0)) // _ROWS_PER_COMPONENT)
    return np.asarray(PCA(max(1, n), svd_solver="full").fit_transform(vectors))


class _Target:
    """One target with what all layers share: its groups, and the text baselines of every way of folding."""

    def __init__(
        self,
        name: str,
        persona: str,
        rows: Rows,
        group_names: Sequence[str],
        reliability: float | None,
        recipe: LayerSweepRecipe,
    ) -> None:
        part, seed = recipe.probes, recipe.seed
        self.name, self.recipe, self.rows = name, recipe, rows
        self.Y, self.group_names = rows.target[:, None], group_names
        self.reliability = None if reliability is None else [reliability]
        self.vectors = encoded(rows.texts)
        self.components = None if self.vectors is None else _components(self.vectors)
        self.text_codes = np.unique(rows.texts, return_inverse=True)[1]
        balanced = topic_balanced_folds(self.text_codes, rows.groups, part.folds, seed)
        self.grouped = self._texts(grouped_folds(rows.groups, part.folds, seed))
        self.one_out = self._texts(leave_one_group_folds(rows.groups))
        self.balanced = self._texts(balanced, topics=rows.groups)
        self.place: dict[str, Any] = {"persona": persona, "position": part.position}
        self.how: dict[str, Any] = {"n_folds": part.folds, "n_shuffles": part.shuffles, "seed": seed}
        self.resamples: dict[str, Any] = {"n_resamples": recipe.resamples}

    def _texts(self, folds: Folds, **topics: Any) -> TextBaselines:
        return TextBaselines.of_scores(self.rows.texts, self.vectors, self.Y, folds, **topics)

    def tables(self, X: np.ndarray, layer: int) -> dict[str, pl.DataFrame]:
        """All controls at one layer."""
        place = {**self.place, "layer": layer, **self.resamples}
        left_out = leave_one_group_out(
            X,
            self.Y,
            names=[self.name],
            groups=self.rows.groups,
            texts_predictions=self.one_out.words,
            encoder_predictions=self.one_out.encoder,
            group_names=self.group_names,
            reliability=self.reliability,
            n_shuffles=self.recipe.probes.shuffles,
            seed=self.recipe.seed,
            **place,
        )
        found = {"leave_one_group": left_out.frame(), "confounds": self._confounds(X, place)}
        if self.recipe.removals:
            removal = remove_directions(
                X,
                self.rows.target,
                groups=self.rows.groups,
                name=self.name,
                n_steps=self.recipe.removals,
                **place,
                **self.how,
            )
            found["removals"] = removal.frame()
        return found

    def _confounds(self, X: np.ndarray, place: dict[str, Any]) -> pl.DataFrame:
        directions: dict[str, Any] = {"n_directions": self.recipe.probes.directions}
        demeaned = evaluate_without_topic_means(
            X,
            self.Y,
            names=[self.name],
            topics=self.rows.groups,
            groups=self.text_codes,
            texts_predictions=self.balanced.words,
            encoder_predictions=self.balanced.encoder,
            **place,
            **self.how,
            **directions,
        )
        frames = [result.frame().with_columns(variance_left=pl.lit(None, pl.Float64)) for result in demeaned]
        if self.components is not None:
            without = evaluate_without_text(
                X,
                self.Y,
                self.components,
                names=[self.name],
                groups=self.rows.groups,
                texts_predictions=self.grouped.words,
                encoder_predictions=self.grouped.encoder,
                **place,
                **self.how,
                **directions,
            )
            frames += [result.frame() for result in without]
        return pl.concat(frames)
