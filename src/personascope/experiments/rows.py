"""Rows for probes: features from a store beside their target, their group and their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.shapes import Features


@dataclass(frozen=True, eq=False)
class Rows:
    """Features (row, d_model), target (row,), integer groups (row,) and the texts that the model was shown."""

    features: Features
    target: np.ndarray
    groups: np.ndarray
    texts: list[str]

    def of(self, kept: np.ndarray) -> Rows:
        """Some of the rows, by a mask."""
        texts = [text for text, keep in zip(self.texts, kept, strict=True) if keep]
        return Rows(self.features[kept], self.target[kept], self.groups[kept], texts)


def codes(labels: pl.Series) -> np.ndarray:
    """Integers for labels, in order of first appearance."""
    number = {label: index for index, label in enumerate(labels.unique(maintain_order=True))}
    return np.array([number[label] for label in labels])


def utility_vector(utilities: pl.DataFrame, persona: str) -> np.ndarray:
    """One persona's utilities in the order of the pool, shape (task,)."""
    return utilities.filter(pl.col("persona") == persona)["utility"].to_numpy()


def task_rows(store: ActivationStore, utilities: pl.DataFrame, persona: str, layer: int, position: str) -> Rows:
    """Every task alone under one persona, with its utility; grouped by topic."""
    mine = (store.rows["persona"] == persona).to_numpy()
    own = utilities.filter(pl.col("persona") == persona)
    assert store.rows["task"].filter(mine).equals(own["task"]), "tasks and utilities are in the order of the pool"
    return Rows(
        features=store.layer(layer, position)[mine],
        target=own["utility"].to_numpy(),
        groups=codes(own["topic"]),
        texts=own["text"].to_list(),
    )


def item_rows(store: ActivationStore, tables: Mapping[str, pl.DataFrame], layer: int, position: str) -> Rows:
    """Every item under every persona, both anchor orders averaged, with its keyed answer; grouped by facet."""
    items = tables["hexaco_items"]
    return Rows(
        features=_both_orders(store, items, layer, position),
        target=(items["key"] * items["agreement"]).to_numpy(),
        groups=codes(items["facet"]),
        texts=items["text"].to_list(),
    )


def facet_mean_rows(store: ActivationStore, tables: Mapping[str, pl.DataFrame], layer: int, position: str) -> Rows:
    """Every facet under every persona: the mean row of its items, with the facet's trait score; grouped by facet.

    Facets with items of one key only have no trait score and stay out.
    """
    items = tables["hexaco_items"]
    features = _both_orders(store, items, layer, position)
    cell = codes(items.select(pl.concat_str("persona", "facet", separator="/")).to_series())
    sums = np.zeros((cell.max() + 1, features.shape[1]), dtype=np.float64)
    np.add.at(sums, cell, features)
    means = (sums / np.bincount(cell)[:, None]).astype(np.float32)
    cells = items.group_by("persona", "facet", maintain_order=True).agg(pl.col("text").str.join(" "))
    scored = cells.join(
        tables["hexaco_facets"].select("persona", "facet", "trait"), on=["persona", "facet"], maintain_order="left"
    )
    kept = scored["trait"].is_not_null().to_numpy()
    scored = scored.filter(kept)
    return Rows(means[kept], scored["trait"].to_numpy(), codes(scored["facet"]), scored["text"].to_list())


def facet_rows(store: ActivationStore, items: pl.DataFrame, facet: str, layer: int, position: str) -> Rows:
    """The items of one facet under every persona, with their keyed answers; grouped by item."""
    own = (items["facet"] == facet).to_numpy()
    mine = items.filter(own)
    return Rows(
        features=_both_orders(store, items, layer, position)[own],
        target=(mine["key"] * mine["agreement"]).to_numpy(),
        groups=codes(mine["item"]),
        texts=mine["text"].to_list(),
    )


def _both_orders(store: ActivationStore, items: pl.DataFrame, layer: int, position: str) -> Features:
    """Mean over anchor orders of each persona's item, in the order of `items`, shape (row, d_model)."""
    place = {key: index for index, key in enumerate(items.select("persona", "item").iter_rows())}
    target = np.array([place[key] for key in store.rows.select("persona", "item").iter_rows()])
    rows = store.layer(layer, position)
    sums = np.zeros((len(items), rows.shape[1]), dtype=np.float64)
    np.add.at(sums, target, rows)
    return np.asarray(sums / np.bincount(target)[:, None]).astype(np.float32)
