"""Where a preference is written: a ridge probe of utilities at every layer, beside all of its controls.

`personascope run layer-sweep` adds facets, single choices, confounds, removals and a second model, and writes a page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cyclopts
import numpy as np

from personascope import collect, load_model, load_personas, load_tasks
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of, task_plan
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.measures.reliability import split_half
from personascope.models.encoder import load_encoder
from personascope.probes.evaluate import evaluate_ridge
from personascope.probes.folds import grouped_folds
from personascope.probes.results import results_frame
from personascope.probes.text_baseline import feature_baseline_scores, text_baseline_scores
from personascope.report.figures_probes import layer_curves

PERSONA, POSITION = "assistant", "eot"  # eot: the token that ends the user's turn


def main(*, model: str = "smollm2", per_topic: int = 6, out: Path = Path("runs/scripts/layer-sweep")) -> None:
    """Ask, cache, probe, with `per_topic` tasks of each topic. Run again, nothing is computed twice."""
    engine, pool = load_model(model), load_tasks().subset(per_topic)
    n, texts, topics = len(pool.tasks), pool.frame()["text"].to_list(), pool.frame()["topic"].to_numpy()

    # ask for choices in both orders; cache the residual stream of each task alone, after every block
    asked = ChoiceMaterial.regular(pool, [load_personas()[PERSONA]], degree=4, seed=0)
    answered = answered_choices(collect(choice_plan(engine, asked), engine, out / "choices"))
    store = collect(task_plan(engine, asked, ActivationsPart(positions=(POSITION,))), engine, out / "tasks")

    # fit utilities; a probe cannot be expected to predict them beyond the square root of their reliability
    own = outcomes_of(answered, PERSONA, asked.number())
    Y = own.fit(n_tasks=n).values[:, None]
    halves = split_half(own.first, own.second, own.p_first, n_tasks=n, weights=own.weights)
    print(f"split-half reliability {halves.r:.2f}, so at most r = {max(halves.r, 0) ** 0.5:.2f} is to be expected")

    # what the words alone give, on the folds of the probe: no topic is both trained and tested on
    folds = grouped_folds(topics, 4, seed=0)
    words = text_baseline_scores(texts, Y, folds)
    meanings = feature_baseline_scores(load_encoder().encode(texts).astype(np.float64), Y, folds)
    how: dict[str, Any] = {"names": ["utility"], "persona": PERSONA, "position": POSITION, "groups": topics}
    how |= {"n_folds": 4, "seed": 0, "texts_predictions": words, "encoder_predictions": meanings}
    table = results_frame([evaluate_ridge(store.layer(at, POSITION), Y, layer=at, **how)[0] for at in store.layers])

    # look at the whole curve: the best of many layers is best by luck as well
    print(table.select("layer", "value", "low", "high", "shuffled_high", "matched_direction_high", "over_text_low"))
    layer_curves(table).write_html(out / "layer_sweep.html")


if __name__ == "__main__":
    cyclopts.run(main)
