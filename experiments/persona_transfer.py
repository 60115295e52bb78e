"""Do personas share one code for what they prefer? Probes of each persona, tested on the others.

`personascope run persona-transfer` adds facets, asymmetries and matched choices, and writes a page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cyclopts
import polars as pl

from personascope import collect, load_model, load_personas, load_tasks, transfer_matrix
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of, task_plan
from personascope.experiments.encoding import formatted
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.measures.reliability import split_half
from personascope.models.encoder import load_encoder
from personascope.report.figures_sharing import transfer_curves

PERSONAS, POSITION = ["assistant", "evil", "mathematician", "slacker"], "eot"  # eot: the end of the user's turn


def main(*, model: str = "smollm2", per_topic: int = 4, out: Path = Path("runs/scripts/persona-transfer")) -> None:
    """Ask, cache, transfer, with `per_topic` tasks of each topic. Run again, nothing is computed twice."""
    engine, pool, personas = load_model(model), load_tasks().subset(per_topic), load_personas()
    n, texts, topics = len(pool.tasks), pool.frame()["text"].to_list(), pool.frame()["topic"].to_numpy()
    # ask everybody pairs of its own (shared ones would share errors) in both orders; cache every task under everybody
    asked = ChoiceMaterial.regular(pool, [personas[name] for name in PERSONAS], degree=4, seed=0)
    answered = answered_choices(collect(choice_plan(engine, asked), engine, out / "choices"))
    kept = ActivationsPart(layers=tuple(engine.n_layers * k // 4 for k in (1, 2, 3)), positions=(POSITION,))
    store = collect(task_plan(engine, asked, kept), engine, out / "tasks")

    # errors of utilities lower what two personas can agree; a control must know by how much
    utilities, reliable = {}, {}
    for name in PERSONAS:
        own = outcomes_of(answered, name, asked.number())
        utilities[name] = own.fit(n_tasks=n).values
        reliable[name] = split_half(own.first, own.second, own.p_first, n_tasks=n, weights=own.weights).r

    # an encoder has no preferences, but it reads what kinds of task a persona's prompt names
    encoder, frames = load_encoder(), []
    systems = {one.name: one.phrasings[0].system for one in asked.choosers}
    words = {name: encoder.encode([formatted(system, text) for text in texts]) for name, system in systems.items()}
    how: dict[str, Any] = {"position": POSITION, "reliabilities": reliable, "text_features": words}
    for layer in store.layers:  # rows are in the order of the plan: persona by persona
        features = dict(zip(PERSONAS, store.layer(layer, POSITION).reshape(len(PERSONAS), n, -1), strict=True))
        frames.append(transfer_matrix(features, utilities, topics, layer=layer, **how).frame())

    # off the diagonal: sharing is r beyond utility_r, both corrected for errors, and beyond the encoder's r
    off = pl.concat(frames).filter(pl.col("train") != pl.col("test"))
    print(off.select("train", "test", "layer", "r", "utility_r", "difference_corrected_low", "over_encoder_low"))
    if (figure := transfer_curves(pl.concat(frames))) is not None:  # of one layer there are no curves
        figure.write_html(out / "persona_transfer.html")


if __name__ == "__main__":
    cyclopts.run(main)
