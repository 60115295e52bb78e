"""When a prompt moves what is preferred, does the probe move with it? In full: `personascope run induced-shifts`."""

from __future__ import annotations

from pathlib import Path

import cyclopts
import polars as pl

from personascope import collect, load_model, load_personas, load_tasks
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of, task_plan
from personascope.experiments.encoding import formatted
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.shift_scores import BASELINE, choice_values, design_material, spread_out
from personascope.instruments.shifts import load_shift_design
from personascope.measures.shift_targets import target_shifts
from personascope.measures.shifts import shift_correlations, shift_table
from personascope.models.encoder import load_encoder
from personascope.probes.controls import covariance_matched_directions
from personascope.probes.ridge import RidgeProbe
from personascope.report.figures_shifts import shift_scatter


def main(*, model: str = "smollm2", per_topic: int = 5, out: Path = Path("runs/scripts/induced-shifts")) -> None:
    """Train once on `per_topic` tasks of each topic, move, compare. Run again, nothing is computed twice."""
    engine, encoder, pool = load_model(model), load_encoder(), load_tasks().subset(per_topic)
    layer, topics = engine.n_layers * 2 // 3, pool.frame()["topic"].to_numpy()
    kept = ActivationsPart(layers=(layer,), positions=("eot",))

    # the plain assistant on the pool, to train on; other tasks under prompts that love, hate or mention their subject
    plain = ChoiceMaterial.regular(pool, [load_personas()["assistant"]], degree=4, seed=0)
    design = spread_out(load_shift_design("targeted"), 4)  # groups of prompts that differ in nothing but valence
    moved = design_material(design, degree=2, seed=0)
    (choices, store), (new_choices, new_store) = (
        [collect(p, engine, out / name / p.name) for p in (choice_plan(engine, m), task_plan(engine, m, kept))]
        for name, m in (("plain", plain), ("moved", moved))
    )

    # three readers of the same tasks: the probe, an encoder that sees the same words, random directions
    X, new_X = store.layer(layer, "eot"), new_store.layer(layer, "eot")
    shown = [[(one, task) for one in m.choosers for task in m.pool.tasks] for m in (plain, moved)]
    F, new_F = (encoder.encode([formatted(one.phrasings[0].system, task.text) for one, task in m]) for m in shown)
    read = {"probe": (X, new_X), "encoder": (F, new_F)}
    y = outcomes_of(answered_choices(choices), "assistant", plain.number()).fit(n_tasks=len(topics)).values
    scores = {name: RidgeProbe().fit(old, y, groups=topics).predict(new) for name, (old, new) in read.items()}
    scores |= {f"random {n + 1}": new_X @ one for n, one in enumerate(covariance_matched_directions(X, 5, seed=0).T)}
    cells = new_store.rows.select(pl.col("persona").alias("condition"), "task")
    scored = pl.concat([cells.with_columns(scorer=pl.lit(name), score=pl.Series(s)) for name, s in scores.items()])

    # did the prompts move choices (valence: directed), and did scores follow, beyond the encoder's and off target too?
    table = shift_table(choice_values(new_choices), scored, design.frame(), baseline=BASELINE)
    print(target_shifts(table).filter(pl.col("contrast") == "directed").select("measure", "standardised", "p", "n"))
    found = shift_correlations(table, against="encoder").filter(pl.col("statistic") == "pearson")
    print(found.select("scorer", "cells", "value", "low", "high", "p", "difference_low", "n_clusters"))
    shift_scatter(table.with_columns(layer=pl.lit(layer))).write_html(out / "induced_shifts.html")


if __name__ == "__main__":
    cyclopts.run(main)
