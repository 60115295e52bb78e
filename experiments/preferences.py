"""What a model prefers under several personas, and how far that can be trusted.

`personascope run preferences` adds other wordings, chosen pairs, ratings and written choices, and writes a page.
"""

from __future__ import annotations

from pathlib import Path

import cyclopts
import polars as pl
from scipy.stats import binomtest

from personascope import collect, load_model, load_personas, load_tasks
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of
from personascope.experiments.elicitation import evaluation_pairs as pairs_never_fitted
from personascope.measures.choices import choice_table, order_bias
from personascope.measures.reliability import split_half
from personascope.measures.transitivity import CHANCE, transitivity
from personascope.report.figures_preferences import utilities_by_topic

PERSONAS = ["assistant", "evil", "poet", "placebo_character"]  # the placebo's prompt has words but no character


def main(*, model: str = "smollm2", per_topic: int = 2, out: Path = Path("runs/scripts/preferences")) -> None:
    """Ask, fit, test, with `per_topic` tasks of each topic. Run again, nothing is asked twice."""
    engine, pool, personas = load_model(model), load_tasks().subset(per_topic), load_personas()
    n, who = len(pool.tasks), tuple(personas[name] for name in PERSONAS)

    # ask everybody pairs of its own in both orders, and others that nothing is fitted on
    asked = ChoiceMaterial.regular(pool, who, degree=6, seed=0)
    held_out = choice_plan(engine, asked, pairs=pairs_never_fitted(asked, n, seed=0))
    answered = answered_choices(collect(choice_plan(engine, asked), engine, out / "choices"))
    unseen = choice_table(answered_choices(collect(held_out, engine, out / "held-out")))

    # fit utilities; do they agree between halves of the pairs, have a scale at all, and predict the pairs held out?
    utilities, trust = [], []
    for persona in PERSONAS:
        own = outcomes_of(answered, persona, asked.number())
        fitted = own.fit(n_tasks=n)
        utilities.append(fitted.frame(list(asked.number())).with_columns(persona=pl.lit(persona)))
        halves = split_half(own.first, own.second, own.p_first, n_tasks=n, weights=own.weights)
        value = dict(zip(asked.number(), fitted.values, strict=True))
        pairs = unseen.filter(pl.col("persona") == persona).select("task_a", "task_b", "log_odds_a").rows()
        hits = sum((value[a] > value[b]) == (log_odds > 0) for a, b, log_odds in pairs)
        low, high = binomtest(hits, len(pairs)).proportion_ci(method="wilson")  # chance is .5
        found = {"split_half": halves.r, "cyclic": transitivity(own, fitted).cyclic, "cyclic_chance": CHANCE}
        trust.append({"persona": persona, **found, "accuracy": hits / len(pairs), "low": low, "high": high})

    # where many pairs flip with the order, single answers say little; utilities are of both orders together
    bias = order_bias(choice_table(answered)).select("persona", "position_bias", "sd_log_odds", "flip_share", "n_pairs")
    print(bias.join(pl.DataFrame(trust), on="persona", maintain_order="left"))
    shown = pl.concat(utilities).join(pool.frame().rename({"id": "task"}), on="task", maintain_order="left")
    utilities_by_topic(shown.rename({"standard_error": "se"})).write_html(out / "preferences.html")


if __name__ == "__main__":
    cyclopts.run(main)
