"""Transfer of utility probes and of facet probes between personas, and what it has to be told from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.collecting import Progress
from personascope.experiments.elicitation import ChoiceMaterial
from personascope.experiments.encoding import encoded, formatted
from personascope.experiments.layers import over_layers
from personascope.experiments.preferences import reliabilities
from personascope.experiments.probing import HEXACO, Stores, Tables
from personascope.experiments.recipe_bases import ProbeStudy
from personascope.experiments.rows import Rows, codes, item_rows, task_rows
from personascope.probes.diversity import diversity_ablation
from personascope.probes.geometry import cosine_with_null, persona_identity_directions
from personascope.probes.matched_choices import matched_choices
from personascope.probes.probe_bias import probe_bias
from personascope.probes.removal import remove_directions
from personascope.probes.tracking import persona_tracking
from personascope.probes.transfer import TransferMatrix, transfer_matrix
from personascope.probes.transfer_summaries import asymmetry, mean_transfer, weight_cosines

MIN_PERSONAS = 3
"""Fewer leave none out of those that are trained on."""
_REMOVED = 2


def transfer_tables(
    store: ActivationStore,
    tables: Tables,
    material: ChoiceMaterial,
    recipe: ProbeStudy,
    progress: Progress,
    *,
    further: bool = True,
) -> dict[str, pl.DataFrame]:
    """Transfer of utility probes between all personas at every layer, and what it could be instead.

    Returns:
        "transfer", "direction_cosines" (with persona identity), "transfer_asymmetry", "transfer_means" and
        "weight_cosines"; with `further` also "probe_bias" (the first persona as yardstick), "matched_choices",
        "persona_tracking" (directions of the first persona removed one by one) and, of three personas or more,
        "diversity".
    """
    names, topics = material.personas, codes(material.pool.frame()["topic"])
    texts = _formatted(material)

    def at_layer(layer: int) -> dict[str, pl.DataFrame]:
        rows = {name: task_rows(store, tables["utilities"], name, layer, recipe.probes.position) for name in names}
        matrix = _matrix(rows, topics, layer, recipe, reliabilities(tables), texts)
        X = np.concatenate([own.features for own in rows.values()])
        found = summaries(matrix, X) | {"direction_cosines": identity_cosines(matrix, rows, recipe.seed)}
        if further:
            found["probe_bias"] = probe_bias(matrix, reference=names[0])
            found["matched_choices"] = matched_choices(matrix, {name: own.features for name, own in rows.items()})
            found["persona_tracking"] = _tracking(rows, topics, layer, recipe)
        if further and len(names) >= MIN_PERSONAS:
            found["diversity"] = _diversity(rows, topics, layer, recipe)
        return found

    return _stacked(over_layers(at_layer, store.layers, progress, "transfer"))


def facet_transfer_tables(
    stores: Stores, tables: Tables, recipe: ProbeStudy, progress: Progress
) -> dict[str, pl.DataFrame]:
    """The same for keyed answers to items: are facets written in one code for all personas of the questionnaire?

    Facets are held out as topics are. Personas whose answers do not vary stay out; of fewer than two nothing is left.

    Returns:
        "facet_transfer", "facet_transfer_asymmetry", "facet_transfer_means" and "facet_weight_cosines".
    """
    store, items = stores[HEXACO], tables["hexaco_items"]
    spread = items.group_by("persona", maintain_order=True).agg((pl.col("key") * pl.col("agreement")).std().alias("sd"))
    names = spread.filter(pl.col("sd") > 0)["persona"].to_list()
    if len(names) < 2:
        return {}

    def at_layer(layer: int) -> dict[str, pl.DataFrame]:
        everyone = item_rows(store, tables, layer, recipe.probes.position)
        rows = {name: _of_persona(everyone, (items["persona"] == name).to_numpy()) for name in names}
        matrix = _matrix(rows, rows[names[0]].groups, layer, recipe)
        found = summaries(matrix, everyone.features)
        return {f"facet_{name}": table for name, table in found.items()}

    return _stacked(over_layers(at_layer, store.layers, progress, "facet transfer"))


def summaries(matrix: TransferMatrix, X: np.ndarray) -> dict[str, pl.DataFrame]:
    """The matrix, its asymmetries, its means over rows and columns, and the cosines of its probes."""
    return {
        "transfer": matrix.frame(),
        "transfer_asymmetry": asymmetry(matrix),
        "transfer_means": mean_transfer(matrix),
        "weight_cosines": weight_cosines(matrix, X),
    }


def _matrix(
    rows: Mapping[str, Rows],
    groups: np.ndarray,
    layer: int,
    recipe: ProbeStudy,
    reliable: Any = None,
    texts: Any = None,
) -> TransferMatrix:
    return transfer_matrix(
        {name: own.features for name, own in rows.items()},
        {name: own.target for name, own in rows.items()},
        groups,
        layer=layer,
        position=recipe.probes.position,
        n_folds=recipe.probes.folds,
        n_resamples=recipe.resamples,
        seed=recipe.seed,
        reliabilities=reliable,
        text_features=texts,
    )


def _tracking(rows: Mapping[str, Rows], topics: np.ndarray, layer: int, recipe: ProbeStudy) -> pl.DataFrame:
    first, *others = rows
    removal = remove_directions(
        rows[first].features,
        rows[first].target,
        groups=topics,
        name="utility",
        persona=first,
        position=recipe.probes.position,
        layer=layer,
        others={name: rows[name].features for name in others},
        n_steps=_REMOVED,
        n_folds=recipe.probes.folds,
        n_resamples=recipe.resamples,
        seed=recipe.seed,
    )
    utilities = {name: own.target for name, own in rows.items()}
    return persona_tracking(removal, utilities, topics, n_resamples=recipe.resamples, seed=recipe.seed)


def _diversity(rows: Mapping[str, Rows], topics: np.ndarray, layer: int, recipe: ProbeStudy) -> pl.DataFrame:
    return diversity_ablation(
        {name: own.features for name, own in rows.items()},
        {name: own.target for name, own in rows.items()},
        topics,
        layer=layer,
        position=recipe.probes.position,
        n_folds=recipe.probes.folds,
        n_resamples=recipe.resamples,
        seed=recipe.seed,
    )


def _formatted(material: ChoiceMaterial) -> dict[str, np.ndarray] | None:
    """Sentence embeddings of each task with each persona's system prompt; None without an encoder."""
    texts = [task.text for task in material.pool.tasks]
    systems = [persona.phrasings[0].system for persona in material.choosers]
    vectors = encoded([formatted(system, text) for system in systems for text in texts])
    return None if vectors is None else dict(zip(material.personas, np.split(vectors, len(systems)), strict=True))


def _of_persona(rows: Rows, mine: np.ndarray) -> Rows:
    texts = [text for text, own in zip(rows.texts, mine, strict=True) if own]
    return Rows(rows.features[mine], rows.target[mine], rows.groups[mine], texts)


def _stacked(by_layer: list[dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    return {name: pl.concat([tables[name] for tables in by_layer]) for name in by_layer[0]}


def identity_cosines(matrix: TransferMatrix, rows: Mapping[str, Rows], seed: int) -> pl.DataFrame:
    """Cosine of each persona's preference direction with every persona's identity direction, at the matrix's layer."""
    identity = persona_identity_directions({name: own.features for name, own in rows.items()})
    everyone = np.concatenate([own.features for own in rows.values()])
    found = []
    for name, weights in zip(matrix.personas, matrix.weights, strict=True):
        for other, direction in identity.items():
            cosine = cosine_with_null(weights, direction, everyone, seed=seed)
            row = {"direction": name, "other": other, "layer": matrix.layer, "n": len(everyone)}
            found.append(row | {"cosine": cosine.cosine, "null_high": cosine.null_high})
    return pl.DataFrame(found)
