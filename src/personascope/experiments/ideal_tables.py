"""Tables of the ideal-self study: its runs, where else movement shows, shifts of the stream, steering beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.experiments.ideal_directions import SHIFT, persona_rows, ways_at
from personascope.experiments.matched_pushes import Comparison
from personascope.experiments.movement_tables import Items, held_out_table, transfer_table
from personascope.experiments.profiles import answer_quality
from personascope.experiments.questionnaires import FIRST, answer_table, item_table
from personascope.experiments.recipe_tuning import OWN
from personascope.experiments.steered_or_tuned import comparison_tables
from personascope.experiments.taught_answers import Lesson
from personascope.experiments.tuned_answers import WORDING, paired, scores
from personascope.experiments.tuned_runs import Tuned, TunedRuns
from personascope.instruments.items import ItemBank
from personascope.shapes import Features
from personascope.tuning.examples import example_frame
from personascope.tuning.shift_geometry import shift_table, subspace_table
from personascope.tuning.training import Trained

Shifts = Mapping[str, Mapping[int, Features]]
"""Tuned minus base, by run and layer: rows (item, d_model) of the self."""
_SHOWN = 4


def run_tables(
    runs: TunedRuns,
    trained: Mapping[str, tuple[Trained, Lesson]],
    tuned: Mapping[str, Tuned],
    base: ActivationStore,
) -> dict[str, pl.DataFrame]:
    """Tables "tuning_runs", "tuning_history", "tuning_examples", "tuning_levels" and "tuning_side_effects"."""
    about, history, shown, levels, effects = [], [], [], [], []
    before = _quality(base, runs)
    for one in runs.recipe.runs:
        (made, lesson), own = trained[one.name], tuned[one.name]
        label = pl.lit(one.name).alias("run")
        losses = made.history
        about.append(
            {
                "run": one.name,
                "target": one.target,
                "seed": one.seed,
                "reasons": one.reasons,
                "held_out": ", ".join(one.held_out),
                "n_train": made.n_train,
                "n_validation": made.n_validation,
                "n_taught": made.n_taught,
                "best_epoch": made.best_epoch,
                "has_learned": made.has_learned,
                "untrained_loss": losses["validation_loss"][0],
                "validation_loss": losses.filter("best")["validation_loss"][0],
            }
        )
        history.append(losses.select(label, pl.all()))
        shown.append(example_frame(lesson.train[:_SHOWN]).select(label, pl.all()))
        levels.append(lesson.levels.select("run", "item", "level", "source"))
        after = _quality(own.store, runs)
        damage = own.damage
        effects.append(
            {
                "run": one.name,
                "kl": damage["kl"],
                "perplexity_ratio": damage["perplexity_tuned"] / damage["perplexity_base"],
                **{f"{name}_before": before[name] for name in before},
                **{f"{name}_after": after[name] for name in after},
                "n_tokens": int(damage["n_tokens"]),
            }
        )
    return {
        "tuning_runs": pl.DataFrame(about),
        "tuning_history": pl.concat(history),
        "tuning_examples": pl.concat(shown),
        "tuning_levels": pl.concat(levels),
        "tuning_side_effects": pl.DataFrame(effects),
        "tuning_split": runs.split.frame(),
    }


def _quality(store: ActivationStore, runs: TunedRuns) -> dict[str, float]:
    """Of the self on the test items: label mass, yea-saying, order bias, entropy of an answer in nats."""
    test = [item.id for item in runs.items.test.items]
    answers = answer_table(store, runs.asked.bank).filter(
        (pl.col("persona") == OWN) & (pl.col("phrasing") == FIRST) & pl.col("item").is_in(test)
    )
    found = answer_quality(item_table(answers, runs.asked.bank), runs.recipe).row(0, named=True)
    kept = {name: float(found[name]) for name in ("label_mass", "acquiescence", "order_bias")}
    return kept | {"entropy": float(answers["entropy"].to_numpy().mean())}


def transfer_tables(
    runs: TunedRuns,
    base: ActivationStore,
    first: Tuned,
    forms: Mapping[str, pl.DataFrame],
    items: Items,
    how: Mapping[str, Any],
) -> dict[str, pl.DataFrame]:
    """Tables "tuning_transfer" (first run, other wordings and forms) and "tuning_held_out" where a run held facets out.

    Args:
        runs: of the study.
        base: answers before training.
        first: the first run's.
        forms: scores before training in other forms.
        items: `paired` test items by run.
        how: n_resamples and seed.
    """
    elsewhere = {}
    clusters = runs.split.clusters
    for number in range(2, 2 + runs.recipe.transfer.wordings):
        before, after = (scores(store, runs.items.test, str(number)) for store in (base, first.store))
        elsewhere[f"{WORDING} {number}"] = paired(before, after, clusters)
    for form, before in forms.items():
        whole = paired(before, first.forms[form])
        elsewhere[form] = whole.drop_nulls(["before", "ideal", "after"])
    found = {}
    if elsewhere:
        found["tuning_transfer"] = transfer_table(items[runs.recipe.runs[0].name], elsewhere, how)
    held_out = {one.name: one.held_out for one in runs.recipe.runs if one.held_out}
    if held_out:
        found["tuning_held_out"] = held_out_table(items, held_out, how)
    return found


def shifts_of(runs: TunedRuns, base: ActivationStore, tuned: ActivationStore, bank: ItemBank) -> dict[int, Features]:
    """Tuned minus base of the self, by layer: rows (item, d_model), both anchor orders averaged."""
    ids, recipe = [item.id for item in bank.items], runs.recipe
    found = {}
    for layer in recipe.layers:
        after, before = (persona_rows(store, OWN, ids, layer, recipe.position) for store in (tuned, base))
        found[layer] = after - before
    return found


def geometry_tables(
    runs: TunedRuns,
    base: ActivationStore,
    tuned: Mapping[str, Tuned],
    preference: Mapping[int, Any],
) -> dict[str, pl.DataFrame]:
    """Tables "tuning_shift" (`shift_table`) and "tuning_subspace" (`subspace_table`) over layers."""
    recipe, test = runs.recipe, runs.items.test
    shifts: Shifts = {name: shifts_of(runs, base, own.store, test) for name, own in tuned.items()}
    ids = [item.id for item in test.items]
    clusters = [runs.split.clusters[id_] for id_ in ids]
    along, within = [], []
    for layer in recipe.layers:
        own = persona_rows(base, OWN, ids, layer, recipe.position)
        at = {name: by_layer[layer] for name, by_layer in shifts.items()}
        mean = next(iter(at.values())).mean(axis=0)
        ways, facets = ways_at(runs.engine, base, fitted(runs), mean, preference.get(layer), layer, recipe)
        named = {name: one.vector for name, one in ways.items() if name != SHIFT}
        along.append(shift_table(at, named, own, layer=layer, clusters=clusters, seed=recipe.seed))
        vectors = [one.vector for one in facets.values()]
        if len(vectors) < own.shape[1]:
            within.append(subspace_table(at, vectors, own, layer=layer, seed=recipe.seed))
    tables = {"tuning_shift": pl.concat(along)}
    return tables | ({"tuning_subspace": pl.concat(within)} if within else {})


def fitted(runs: TunedRuns) -> ItemBank:
    """The training items: directions may be fitted on them."""
    train = set(runs.split.train)
    return ItemBank(tuple(item for item in runs.asked.bank.items if item.id in train), runs.asked.bank.name)


def compared_tables(
    runs: TunedRuns,
    base: ActivationStore,
    first: Tuned,
    trained: Trained,
    items: pl.DataFrame,
    effects: pl.DataFrame,
    preference: Mapping[int, Any],
    how: Mapping[str, Any],
) -> dict[str, pl.DataFrame]:
    """Tables of `comparison_tables`: the first run beside steering, at one layer.

    The shift is measured on validation items, on which strengths are matched too; what is reported is of test items.
    """
    recipe, part = runs.recipe, runs.recipe.comparison
    assert part is not None and first.validation is not None
    before, valid = scores(base, runs.asked.bank), runs.items.validation
    ids = [item.id for item in valid.items]
    after, own = (persona_rows(store, OWN, ids, part.layer, recipe.position) for store in (first.validation, base))
    shift = (after - own).astype(np.float64).mean(axis=0)
    ways, _ = ways_at(runs.engine, base, fitted(runs), shift, preference.get(part.layer), part.layer, recipe)
    for name, one in ways.items():
        one.save(runs.run.path / "directions" / f"{name.replace(' ', '_')}-layer{part.layer:02d}")
    data = Comparison(runs.engine, runs.asked, runs.items, before, runs.texts(), recipe, how, runs.progress)
    about = effects.filter(run=recipe.runs[0].name).row(0, named=True)
    said = {"kl": about["kl"], "perplexity_ratio": about["perplexity_ratio"], "label_mass": about["label_mass_after"]}
    return comparison_tables(
        data,
        ways,
        items,
        paired(before, scores(first.validation, valid), runs.split.clusters),
        own,
        float(np.linalg.norm(shift)) / ways[SHIFT].reference_norm,
        trained.folder,
        said,
    )
