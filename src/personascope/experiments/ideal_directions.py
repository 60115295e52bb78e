"""Directions that may lead where training leads: ideal minus self, facets, preferences, and training's own shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.experiments.probe_study import ridge_direction
from personascope.experiments.questionnaires import FIRST
from personascope.experiments.recipe_tuning import IDEAL, OWN, IdealSelfRecipe
from personascope.experiments.rows import Rows
from personascope.experiments.tuned_answers import scores
from personascope.instruments.items import ItemBank
from personascope.models.engine import HookEngine
from personascope.models.hashes import model_hash
from personascope.shapes import Features, Vector

IDEAL_MINUS_SELF, FACETS, PREFERENCE, SHIFT = "ideal - self", "facets", "preference", "shift of training"


def persona_rows(
    store: ActivationStore, persona: str, items: Sequence[str], layer: int, position: str, wording: str = FIRST
) -> Features:
    """Rows of a persona's items in one wording, both anchor orders averaged, in the order given: (item, d_model)."""
    place = {item: number for number, item in enumerate(items)}
    rows = store.rows.select("persona", "item", "phrasing").with_row_index("row")
    own = rows.filter(
        (pl.col("persona") == persona) & (pl.col("phrasing") == wording) & pl.col("item").is_in(list(items))
    )
    features = store.layer(layer, position)[own["row"].to_numpy()]
    sums = np.zeros((len(items), features.shape[1]), dtype=np.float64)
    target = np.array([place[item] for item in own["item"]])
    np.add.at(sums, target, features)
    return np.asarray(sums / np.bincount(target, minlength=len(items))[:, None]).astype(np.float32)


def direction_at(
    engine: HookEngine, store: ActivationStore, vector: Vector, norm: float, means: str, fit: str, at: tuple[int, str]
) -> Direction:
    """A direction of this model, at (layer, position)."""
    return Direction(
        vector=vector.astype(np.float32),
        layer=at[0],
        position=at[1],
        model=engine.name,
        reference_norm=norm,
        means=means,
        fit=fit,
        model_hash=model_hash(engine.fingerprint()),
        data_hash=store.key,
    )


def facet_directions_at(
    engine: HookEngine, store: ActivationStore, bank: ItemBank, layer: int, position: str, seed: int
) -> dict[str, Direction]:
    """Each facet's direction: ridge weights for keyed answers to its items under all personas.

    Args:
        engine: the model.
        store: answers and rows of all items.
        bank: the items that may be fitted on.
        layer: of the rows.
        position: of the rows.
        seed: of the folds.
    """
    answered = scores(store, bank)
    personas = answered["persona"].unique(maintain_order=True).to_list()
    known = {(persona, item): score for persona, item, score in answered.select("persona", "item", "score").iter_rows()}
    found = {}
    for facet in bank.facets:
        own = [item for item in bank.items if item.facet == facet]
        ids = [item.id for item in own]
        rows = Rows(
            features=np.concatenate([persona_rows(store, persona, ids, layer, position) for persona in personas]),
            target=np.array([known[persona, id_] for persona in personas for id_ in ids]),
            groups=np.tile(np.arange(len(ids)), len(personas)),
            texts=[item.text for item in own] * len(personas),
        )
        means = f"answers to items of {facet} nearer to its + pole"
        found[facet] = ridge_direction(engine, store, rows, layer, position, means, seed)
    return found


def weighted(facets: Mapping[str, Direction], gaps: Mapping[str, float]) -> Vector:
    """Sum of the facets' unit vectors, each as far as its gap from self to ideal goes, shape (d_model,)."""
    return np.asarray(sum(gaps[name] * one.vector.astype(np.float64) for name, one in facets.items()), dtype=np.float64)


def gaps_of(store: ActivationStore, bank: ItemBank) -> dict[str, float]:
    """Ideal minus self of each facet over the items given: half the difference of + and - items' agreement."""
    keyed = scores(store, bank).group_by("facet", "persona", "key").agg(pl.col("score").mean())
    trait = keyed.group_by("facet", "persona").agg(pl.col("score").mean())
    known = {(facet, persona): score for facet, persona, score in trait.iter_rows()}
    return {facet: known[facet, IDEAL] - known[facet, OWN] for facet in bank.facets}


def ways_at(
    engine: HookEngine,
    base: ActivationStore,
    train: ItemBank,
    shift: Vector,
    preference: Direction | None,
    layer: int,
    recipe: IdealSelfRecipe,
) -> tuple[dict[str, Direction], dict[str, Direction]]:
    """Directions by way at one layer, and those of the facets.

    Args:
        engine: the model.
        base: its answers and rows before training.
        train: items that may be fitted on.
        shift: of training, shape (d_model,), in the units of the residual stream.
        preference: at this layer, or None.
        layer: whose rows are read.
        recipe: of the study.
    """
    position, ids = recipe.position, [item.id for item in train.items]
    own, ideal = (persona_rows(base, persona, ids, layer, position) for persona in (OWN, IDEAL))
    norm = float(np.linalg.norm(own.astype(np.float64), axis=1).mean())
    facets = facet_directions_at(engine, base, train, layer, position, recipe.seed)
    at = (layer, position)
    n = f"{len(ids)} items"
    ways = {
        IDEAL_MINUS_SELF: direction_at(
            engine, base, (ideal - own).mean(axis=0), norm, "the ideal self and not the self", f"difference, {n}", at
        ),
        FACETS: direction_at(
            engine,
            base,
            weighted(facets, gaps_of(base, train)),
            norm,
            "facets as the ideal self has them",
            f"ridge by facet, weighted by gaps, {n}",
            at,
        ),
        SHIFT: direction_at(engine, base, shift, norm, "what training did", "tuned minus base on validation items", at),
    }
    if preference is not None:
        ways[PREFERENCE] = direction_at(
            engine, base, preference.vector, norm, preference.means, f"{preference.fit}, at {preference.position}", at
        )
    return ways, facets
