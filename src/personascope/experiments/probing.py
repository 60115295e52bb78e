"""Probes at every layer for every target, and their transfer between personas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress
from personascope.experiments.elicitation import TASKS, ChoiceMaterial
from personascope.experiments.encoding import encoded
from personascope.experiments.layers import over_layers, single_threaded
from personascope.experiments.recipe_bases import ProbeStudy
from personascope.experiments.rows import Rows, codes, facet_mean_rows, item_rows, task_rows, utility_vector
from personascope.experiments.text_baselines import TextBaselines
from personascope.probes.evaluate import evaluate_ridge
from personascope.probes.evaluate_choices import evaluate_choices
from personascope.probes.evaluate_classes import evaluate_logistic
from personascope.probes.folds import grouped_folds
from personascope.probes.results import ProbeResult, results_frame
from personascope.probes.text_baseline import text_baseline_scores

Stores = Mapping[str, ActivationStore]
Tables = Mapping[str, pl.DataFrame]
HEXACO = "hexaco"
SCORES: dict[str, Callable[..., Rows]] = {"item score": item_rows, "facet score": facet_mean_rows}


def probe_tables(
    stores: Stores, tables: Tables, material: ChoiceMaterial, recipe: ProbeStudy, progress: Progress
) -> dict[str, pl.DataFrame]:
    """Every probe of the study with its controls, as one table.

    Targets: "utility" (ridge, per persona, folds by topic), "choice" (logistic on differences of the two tasks' rows,
    per persona, both tasks held out), "persona identity" (logistic, folds by topic; of two personas or more), and where
    there is a store "hexaco", "item score" (ridge on each item under each persona) and "facet score" (ridge on the mean
    over a facet's items), both with folds by facet. Ridge runs at every position, logistic at `probes.position`.
    """
    with single_threaded():
        prober = _Prober(stores, tables, material, recipe)
    by_layer = over_layers(prober.layer, stores[TASKS].layers, progress, "probes")
    return {"probes": results_frame([result for results in by_layer for result in results])}


class _Prober:
    """What all layers share: targets, groups and text baselines, computed once."""

    def __init__(self, stores: Stores, tables: Tables, material: ChoiceMaterial, recipe: ProbeStudy) -> None:
        self.stores, self.tables, self.recipe = stores, tables, recipe
        self.personas = material.personas
        self.topics = codes(material.pool.frame()["topic"])
        self.texts = material.pool.frame()["text"].to_list()
        self.how: dict[str, Any] = {
            "n_folds": recipe.probes.folds,
            "n_shuffles": recipe.probes.shuffles,
            "n_directions": recipe.probes.directions,
            "seed": recipe.seed,
        }
        self.task_folds = grouped_folds(self.topics, recipe.probes.folds, recipe.seed)
        self.vectors = encoded(self.texts)
        utilities = [utility_vector(tables["utilities"], persona) for persona in self.personas]
        self.utility_text = TextBaselines.of_scores(
            self.texts, self.vectors, np.stack(utilities, axis=1), self.task_folds
        )
        self.pairs = {persona: self._margins(persona, material) for persona in self.personas}
        self.choice_text = {
            persona: TextBaselines.of_choices(self.texts, self.vectors, pairs, self.task_folds)
            for persona, pairs in self.pairs.items()
        }
        self.identity_text = self._identity_text()
        self.has_items = HEXACO in stores
        self.score_text = {name: self._score_text(make) for name, make in SCORES.items() if self.has_items}

    def layer(self, layer: int) -> list[ProbeResult]:
        """All probes of one layer."""
        results: list[ProbeResult] = []
        for position in self.stores[TASKS].positions:
            results += self.utilities(layer, position)
            results += self.scores(layer, position) if self.has_items else []
        results += self.choices(layer, self.recipe.probes.position)
        if self.identity_text is not None:
            results.append(self.persona_identity(layer, self.recipe.probes.position, self.identity_text))
        return results

    def utilities(self, layer: int, position: str) -> list[ProbeResult]:
        """Ridge to each persona's utilities, on its own activations."""
        results: list[ProbeResult] = []
        for number, persona in enumerate(self.personas):
            rows = task_rows(self.stores[TASKS], self.tables["utilities"], persona, layer, position)
            results += self._ridge(
                "utility", rows, self.topics, self.utility_text.column(number), persona, layer, position
            )
        return results

    def scores(self, layer: int, position: str) -> list[ProbeResult]:
        """Ridge to keyed answers of items, and to facet scores, over all personas together."""
        results: list[ProbeResult] = []
        for name, make in SCORES.items():
            rows = make(self.stores[HEXACO], self.tables, layer, position)
            results += self._ridge(name, rows, rows.groups, self.score_text[name], "all", layer, position)
        return results

    def _score_text(self, make: Callable[..., Rows]) -> TextBaselines:
        """The text baseline of a score; its rows are the same at every layer and position."""
        store = self.stores[HEXACO]
        rows = make(store, self.tables, store.layers[0], store.positions[0])
        folds = grouped_folds(rows.groups, self.recipe.probes.folds, self.recipe.seed)
        return TextBaselines.of_scores(rows.texts, encoded(rows.texts), rows.target[:, None], folds)

    def _ridge(
        self, name: str, rows: Rows, groups: np.ndarray, texts: TextBaselines, persona: str, layer: int, position: str
    ) -> list[ProbeResult]:
        return evaluate_ridge(
            rows.features,
            rows.target[:, None],
            names=[name],
            groups=groups,
            texts_predictions=texts.words,
            encoder_predictions=texts.encoder,
            persona=persona,
            position=position,
            layer=layer,
            **self.how,
        )

    def choices(self, layer: int, position: str) -> list[ProbeResult]:
        """Logistic to which of two tasks is chosen, per persona."""
        return [
            evaluate_choices(
                task_rows(self.stores[TASKS], self.tables["utilities"], persona, layer, position).features,
                *self.pairs[persona],
                task_groups=self.topics,
                texts_predictions=self.choice_text[persona].words,
                encoder_predictions=self.choice_text[persona].encoder,
                persona=persona,
                position=position,
                layer=layer,
                **self.how,
            )
            for persona in self.personas
        ]

    def persona_identity(self, layer: int, position: str, words: np.ndarray) -> ProbeResult:
        """Logistic to which persona reads a task, on tasks of topics not trained on."""
        rows = [
            task_rows(self.stores[TASKS], self.tables["utilities"], persona, layer, position).features
            for persona in self.personas
        ]
        names, _ = self._identity()
        return evaluate_logistic(
            np.concatenate(rows),
            names,
            name="persona identity",
            groups=np.tile(self.topics, len(self.personas)),
            texts_predictions=words,
            persona="all",
            position=position,
            layer=layer,
            **self.how,
        )

    def _identity(self) -> tuple[np.ndarray, Any]:
        groups = np.tile(self.topics, len(self.personas))
        names = np.repeat(self.personas, len(self.topics))
        return names, grouped_folds(groups, self.recipe.probes.folds, self.recipe.seed)

    def _identity_text(self) -> np.ndarray | None:
        """What the words of a task say of who reads it; None of one persona."""
        if len(self.personas) == 1:
            return None
        texts = self.texts * len(self.personas)
        return np.asarray(text_baseline_scores(texts, *self._identity(), kind="classification"))

    def _margins(self, persona: str, material: ChoiceMaterial) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Task numbers of each pair and the order-corrected log-odds of the first."""
        number = material.number()
        own = self.tables["choices"].filter(pl.col("persona") == persona)
        first, second = (np.array([number[task] for task in own[column]]) for column in ("task_a", "task_b"))
        return first, second, own["log_odds_a"].to_numpy()
