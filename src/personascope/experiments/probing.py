"""Probes at every layer for every target, and their transfer between personas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from personascope.activations.store import ActivationStore
from personascope.experiments.asking import Material
from personascope.experiments.layers import over_layers
from personascope.experiments.recipe import Recipe
from personascope.experiments.rows import Rows, codes, facet_mean_rows, item_rows, task_rows, utility_vector
from personascope.probes.evaluate import evaluate_ridge, fit_direction_weights
from personascope.probes.evaluate_choices import evaluate_choices
from personascope.probes.evaluate_classes import evaluate_logistic
from personascope.probes.folds import grouped_folds
from personascope.probes.geometry import cosine_with_null, persona_identity_directions
from personascope.probes.results import ProbeResult, results_frame
from personascope.probes.text_baseline import text_baseline_choices, text_baseline_scores
from personascope.probes.transfer import transfer_matrix

Progress = Callable[[str, int, int], None]
Stores = Mapping[str, ActivationStore]
Tables = Mapping[str, pl.DataFrame]
SCORES: dict[str, Callable[..., Rows]] = {"item score": item_rows, "facet score": facet_mean_rows}


def probe_tables(
    stores: Stores, tables: Tables, material: Material, recipe: Recipe, progress: Progress
) -> dict[str, pl.DataFrame]:
    """Every probe of the study with its controls, as one table.

    Targets: "utility" (ridge, per persona, folds by topic), "choice" (logistic on differences of the two tasks' rows,
    per persona, both tasks held out), "persona identity" (logistic, folds by topic), "item score" (ridge on each item
    under each persona) and "facet score" (ridge on the mean over a facet's items), both with folds by facet. Ridge
    runs at every position, logistic at `probes.position`.
    """
    with threadpool_limits(limits=1):
        prober = _Prober(stores, tables, material, recipe)
    by_layer = over_layers(prober.layer, stores["tasks"].layers, progress, "probes")
    return {"probes": results_frame([result for results in by_layer for result in results])}


class _Prober:
    """What all layers share: targets, groups and text baselines, computed once."""

    def __init__(self, stores: Stores, tables: Tables, material: Material, recipe: Recipe) -> None:
        self.stores, self.tables, self.recipe = stores, tables, recipe
        self.personas = [persona.name for persona in material.choosers]
        self.topics = codes(material.pool.frame()["topic"])
        self.texts = material.pool.frame()["text"].to_list()
        self.how: dict[str, Any] = {
            "n_folds": recipe.probes.folds,
            "n_shuffles": recipe.probes.shuffles,
            "n_directions": recipe.probes.directions,
            "seed": recipe.seed,
        }
        self.task_folds = grouped_folds(self.topics, recipe.probes.folds, recipe.seed)
        utilities = [utility_vector(tables["utilities"], persona) for persona in self.personas]
        self.utility_text = text_baseline_scores(self.texts, np.stack(utilities, axis=1), self.task_folds)
        self.pairs = {persona: self._margins(persona, material) for persona in self.personas}
        self.choice_text = {
            persona: text_baseline_choices(self.texts, *pairs, self.task_folds) for persona, pairs in self.pairs.items()
        }
        self.identity_text = text_baseline_scores(
            self.texts * len(self.personas), *self._identity(), kind="classification"
        )
        self.score_text = {name: self._score_text(make) for name, make in SCORES.items()}

    def layer(self, layer: int) -> list[ProbeResult]:
        """All probes of one layer."""
        results: list[ProbeResult] = []
        for position in self.stores["tasks"].positions:
            results += self.utilities(layer, position)
            results += self.scores(layer, position)
        results += self.choices(layer, self.recipe.probes.position)
        results.append(self.persona_identity(layer, self.recipe.probes.position))
        return results

    def utilities(self, layer: int, position: str) -> list[ProbeResult]:
        """Ridge to each persona's utilities, on its own activations."""
        results: list[ProbeResult] = []
        for number, persona in enumerate(self.personas):
            rows = task_rows(self.stores["tasks"], self.tables["utilities"], persona, layer, position)
            results += self._ridge("utility", rows, self.topics, self.utility_text[:, number], persona, layer, position)
        return results

    def scores(self, layer: int, position: str) -> list[ProbeResult]:
        """Ridge to keyed answers of items, and to facet scores, over all personas together."""
        results: list[ProbeResult] = []
        for name, make in SCORES.items():
            rows = make(self.stores["hexaco"], self.tables, layer, position)
            results += self._ridge(name, rows, rows.groups, self.score_text[name], "all", layer, position)
        return results

    def _score_text(self, make: Callable[..., Rows]) -> np.ndarray:
        """The text baseline of a score; its rows are the same at every layer and position."""
        store = self.stores["hexaco"]
        rows = make(store, self.tables, store.layers[0], store.positions[0])
        folds = grouped_folds(rows.groups, self.recipe.probes.folds, self.recipe.seed)
        return np.asarray(text_baseline_scores(rows.texts, rows.target, folds))

    def _ridge(
        self, name: str, rows: Rows, groups: np.ndarray, text: np.ndarray, persona: str, layer: int, position: str
    ) -> list[ProbeResult]:
        return evaluate_ridge(
            rows.features,
            rows.target[:, None],
            names=[name],
            groups=groups,
            texts_predictions=text[:, None],
            persona=persona,
            position=position,
            layer=layer,
            **self.how,
        )

    def choices(self, layer: int, position: str) -> list[ProbeResult]:
        """Logistic to which of two tasks is chosen, per persona."""
        return [
            evaluate_choices(
                task_rows(self.stores["tasks"], self.tables["utilities"], persona, layer, position).features,
                *self.pairs[persona],
                task_groups=self.topics,
                texts_predictions=self.choice_text[persona],
                persona=persona,
                position=position,
                layer=layer,
                **self.how,
            )
            for persona in self.personas
        ]

    def persona_identity(self, layer: int, position: str) -> ProbeResult:
        """Logistic to which persona reads a task, on tasks of topics not trained on."""
        rows = [
            task_rows(self.stores["tasks"], self.tables["utilities"], persona, layer, position).features
            for persona in self.personas
        ]
        names, _ = self._identity()
        return evaluate_logistic(
            np.concatenate(rows),
            names,
            name="persona identity",
            groups=np.tile(self.topics, len(self.personas)),
            texts_predictions=self.identity_text,
            persona="all",
            position=position,
            layer=layer,
            **self.how,
        )

    def _identity(self) -> tuple[np.ndarray, Any]:
        groups = np.tile(self.topics, len(self.personas))
        names = np.repeat(self.personas, len(self.topics))
        return names, grouped_folds(groups, self.recipe.probes.folds, self.recipe.seed)

    def _margins(self, persona: str, material: Material) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Task numbers of each pair and the order-corrected log-odds of the first."""
        number = {task.id: index for index, task in enumerate(material.pool.tasks)}
        own = self.tables["choices"].filter(pl.col("persona") == persona)
        first, second = (np.array([number[task] for task in own[column]]) for column in ("task_a", "task_b"))
        return first, second, own["log_odds_a"].to_numpy()


def transfer_tables(
    store: ActivationStore, tables: Tables, material: Material, recipe: Recipe, progress: Progress
) -> dict[str, pl.DataFrame]:
    """Transfer of utility probes between all personas, and their cosines with persona identity, at every layer."""
    personas = [persona.name for persona in material.choosers]
    topics, position = codes(material.pool.frame()["topic"]), recipe.probes.position

    def at_layer(layer: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        rows = {name: task_rows(store, tables["utilities"], name, layer, position) for name in personas}
        matrix = transfer_matrix(
            {name: own.features for name, own in rows.items()},
            {name: own.target for name, own in rows.items()},
            topics,
            layer=layer,
            position=position,
            n_folds=recipe.probes.folds,
            n_resamples=recipe.resamples,
            seed=recipe.seed,
        )
        return matrix.frame(), identity_cosines(rows, layer, recipe.seed)

    by_layer = over_layers(at_layer, store.layers, progress, "transfer")
    return {
        "transfer": pl.concat([matrix for matrix, _ in by_layer]),
        "direction_cosines": pl.concat([cosines for _, cosines in by_layer]),
    }


def identity_cosines(rows: Mapping[str, Rows], layer: int, seed: int) -> pl.DataFrame:
    """Cosine of each persona's preference direction with every persona's identity direction, at one layer."""
    identity = persona_identity_directions({name: own.features for name, own in rows.items()})
    everyone = np.concatenate([own.features for own in rows.values()])
    found = []
    for name, own in rows.items():
        weights = fit_direction_weights(own.features, own.target, own.groups, seed=seed)
        for other, direction in identity.items():
            cosine = cosine_with_null(weights, direction, everyone, seed=seed)
            row = {"direction": name, "other": other, "layer": layer, "n": len(everyone)}
            found.append(row | {"cosine": cosine.cosine, "null_high": cosine.null_high})
    return pl.DataFrame(found)
