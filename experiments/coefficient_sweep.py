"""Does a preference direction cause choices? Strengths of both signs at three layers, beside random directions.

`personascope run steering-sweep` adds calibration, single tasks, pair types, words, ablation, patching and a page.
"""

from __future__ import annotations

from pathlib import Path

import cyclopts
import numpy as np

from personascope import collect, load_model, load_personas, load_tasks
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of, task_plan
from personascope.experiments.probe_study import ridge_direction
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.recipe_steering import PushPart
from personascope.experiments.rows import Rows
from personascope.experiments.steered_choices import PUSHES, choice_options, choice_rows_of, pushed_pairs
from personascope.report.figures_steering import push_curves
from personascope.steering.choice_read_outs import contrastive_curve, utility_curve
from personascope.steering.coefficient_sweep import SweepGrid, stored_coefficient_sweep
from personascope.steering.dose_response import dose_response

PERSONA, POSITION, STRENGTHS = "assistant", "mean:item", (-0.4, -0.2, 0.0, 0.2, 0.4)


def main(*, model: str = "smollm2", per_topic: int = 6, out: Path = Path("runs/scripts/coefficient-sweep")) -> None:
    """Ask, cache, fit, push, with `per_topic` tasks of each topic. Run again, nothing is computed twice."""
    engine, pool, persona = load_model(model), load_tasks().subset(per_topic), load_personas()[PERSONA]
    asked = ChoiceMaterial.regular(pool, [persona], degree=4, seed=0)
    answered = answered_choices(collect(choice_plan(engine, asked), engine, out / "choices"))
    utilities = outcomes_of(answered, PERSONA, asked.number()).fit(n_tasks=len(pool.tasks)).values
    layers = tuple(engine.n_layers * k // 4 for k in (1, 2, 3))
    kept = ActivationsPart(layers=layers, positions=(POSITION,))
    store = collect(task_plan(engine, asked, kept), engine, out / "tasks")
    # no direction is fitted on a task that is pushed
    pushed = pushed_pairs(asked, PushPart(pairs=6, held_out=0.5), seed=0)
    fitted = np.array([task.id not in pushed.held_out for task in pool.tasks])
    features = {layer: store.layer(layer, POSITION)[fitted] for layer in layers}
    topics = pool.frame()["topic"].to_numpy()[fitted]
    known = {layer: Rows(features[layer], utilities[fitted], topics, []) for layer in layers}
    directions = [ridge_direction(engine, store, known[at], at, POSITION, "higher utility", seed=0) for at in layers]
    # + on the first task and - on the second, in both orders; five random directions of the same length beside it
    rows = choice_rows_of(engine, asked, pushed, persona)
    grid = SweepGrid.of(directions, coefficients=STRENGTHS, where=PUSHES["contrast"], features=features)
    answers = stored_coefficient_sweep(engine, rows, grid, choice_options(engine, rows), out / "sweep")
    pair = np.array([int(row.meta["pair"]) for row in rows])
    curves, number = contrastive_curve(answers, pair), asked.number()
    doses = dose_response(curves.frame()).filter(control="probe")
    print(doses.select("layer", "slope", "turns_plus", "n_random", "p"))
    # those slopes are antisymmetric by construction; this is not: does the push overturn what is liked?
    worth = [[utilities[number[row.meta[slot]]] for row in rows] for slot in ("first", "second")]
    print(utility_curve(answers, pair, *map(np.array, worth)).frame().filter(control="probe"))
    steepest = {"layer": doses["layer"][doses["slope"].abs().arg_max()]}
    push_curves(curves.frame(), ("layer",), steepest).write_html(out / "coefficient_sweep.html")


if __name__ == "__main__":
    cyclopts.run(main)
