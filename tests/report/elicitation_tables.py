"""Tables of a preferences study, computed by the measures where they are quick, from made-up utilities and answers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl

from personascope.experiments.stated_ratings import rating_agreement
from personascope.measures.outcomes import Outcomes, refusal_rates
from personascope.measures.persona_space import (
    extreme_tasks,
    persona_clusters,
    persona_map,
    persona_profiles,
    representatives,
)
from personascope.measures.sampled_agreement import agreement_with_log_odds, sample_calibration
from personascope.measures.sampled_choices import judge_agreement, sample_consistency, sampled_outcomes

QUICK = {"n_resamples": 100, "seed": 0}
WRITERS = 2


def elicitation_tables(utilities: pl.DataFrame, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """All tables of the sections on trust, written choices and persona space.

    Args:
        utilities: columns persona, task, topic, text, utility.
        rng: for what the answers differ by.
    """
    return {**_trust(utilities, rng), **_ratings(utilities, rng), **written(utilities, rng), **space(utilities)}


def space(utilities: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Profiles, map, clusters and extremes, as the measures give them."""
    reliable = dict.fromkeys(utilities["persona"].unique(), 0.8)
    found = persona_map(utilities, reliabilities=reliable, n_permutations=100, **QUICK)
    clusters = persona_clusters(utilities, n_resamples=40)
    texts = utilities.select("task", "text").unique("task", keep="first")
    return {
        "persona_profiles": persona_profiles(utilities, **QUICK),
        "persona_extremes": extreme_tasks(utilities).join(texts, on="task", maintain_order="left"),
        "persona_map": found.scores,
        "persona_components": found.components,
        "persona_correlations": found.correlations,
        "persona_clusters": clusters.members,
        "persona_cluster_counts": clusters.candidates,
        "persona_representatives": representatives(clusters).with_columns(pl.col("members").list.join(", ")),
    }


def _trust(utilities: pl.DataFrame, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    personas = utilities["persona"].unique(maintain_order=True).to_list()
    n_tasks = utilities["task"].n_unique()
    retest, accuracy, circles, design = [], [], [], []
    for index, persona in enumerate(personas):
        r, right, circle = rng.uniform(-0.1, 0.6), rng.uniform(0.42, 0.8), rng.uniform(0.16, 0.26)
        retest.append((persona, 2, r, r - 0.2, r + 0.2, r, n_tasks, 1.0))
        accuracy.append((persona, right, right - 0.12, right + 0.11, 0.5, 60))
        excess = rng.normal(0.005, 0.01)
        ends = (excess - 0.015, excess + 0.015, None, 900, 0, False)
        circles.append((persona, circle, circle - 0.03, circle + 0.03, circle - excess, excess, *ends, 0.25))
        for number in range(1, 4):
            rank_r = None if number == 1 else 1 - 0.2 / number - 0.02 * rng.random()
            outcome = ("budget", "converged")[index % 2] if number == 3 else None
            design.append((persona, number, 160 + 60 * number, rank_r, outcome))
    return {
        "preference_retest": _table(retest, "persona wording r low high rank_r n shared_pairs"),
        "preference_accuracy": _table(accuracy, "persona accuracy low high chance n"),
        "preference_circles": _table(
            circles,
            "persona cyclic low high expected excess excess_low excess_high majority n_triads n_tied sampled chance",
        ).with_columns(pl.col("majority").cast(pl.Float64)),
        "preference_design": _table(design, "persona round pairs rank_r outcome"),
    }


def _ratings(utilities: pl.DataFrame, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    noise = [pl.Series(rng.normal(0, sd, utilities.height)) for sd in (0.3, 0.1)]
    ratings = utilities.select(
        "persona",
        "task",
        rating=3.4 + 0.3 * pl.col("utility") + noise[0],
        order_bias=0.5 + noise[1],
        label_mass=pl.lit(0.93),
    )
    asked = utilities.select("persona", "task", "utility")
    return {"stated_ratings": ratings, "rating_agreement": rating_agreement(ratings, asked, **QUICK)}


def written(utilities: pl.DataFrame, rng: np.random.Generator, samples: int = 3) -> dict[str, pl.DataFrame]:
    """Three answers to both orders of some pairs by the first personas, of which some refuse and some say nothing."""
    personas = utilities["persona"].unique(maintain_order=True).to_list()[:WRITERS]
    tasks = utilities["task"].unique(maintain_order=True).to_list()[:7]
    answers, odds = [], []
    for persona in personas:
        own = utilities.filter(pl.col("persona") == persona).select("task", "utility")
        liking = dict(own.iter_rows())
        for one, other in combinations(tasks, 2):
            for first, second in ((one, other), (other, one)):
                lean = 2 * (liking[first] - liking[second]) + 0.8
                p = 1 / (1 + np.exp(-lean))
                odds.append((persona, first, second, float(np.log(0.9 * p)), float(np.log(0.9 * (1 - p)))))
                for sample in range(samples):
                    kinds = ["first", "second", "refusal", "other"]
                    outcome = str(rng.choice(kinds, p=[0.85 * p, 0.85 * (1 - p), 0.05, 0.1]))
                    judged = outcome if rng.random() < 0.9 else "other"
                    flags = (rng.random() < 0.1, False, outcome != "other", True, judged, outcome)
                    answers.append((persona, first, second, sample, outcome, *flags))
    names = "persona first second sample outcome truncated contradiction decided judge_asked judged_outcome"
    frame = _table(answers, f"{names} parsed_outcome")
    choices = _table(odds, "persona first second logprob_first logprob_second")
    choices = choices.with_columns(other_logmass=pl.lit(float(np.log(0.1))))
    return {
        "written_outcomes": sampled_outcomes(frame),
        "written_consistency": sample_consistency(frame),
        "written_calibration": sample_calibration(frame, tasks),
        "written_refusals": _refusals(frame, tasks),
        "written_judging": judge_agreement(frame),
        "written_agreement": agreement_with_log_odds(frame, choices, **QUICK),
    }


def _refusals(frame: pl.DataFrame, tasks: list[str]) -> pl.DataFrame:
    number = {task: index for index, task in enumerate(tasks)}
    tables = []
    for (persona,), part in frame.group_by("persona", maintain_order=True):
        sides = (np.array([number[task] for task in part[name]]) for name in ("first", "second"))
        rates = refusal_rates(Outcomes.sampled(*sides, part["outcome"].to_list()), n_tasks=len(tasks))
        names = pl.Series("task", [tasks[index] for index in rates["task"]])
        tables.append(rates.with_columns(names).select(pl.lit(persona).alias("persona"), pl.all()))
    return pl.concat(tables)


def _table(rows: list[tuple], columns: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=columns.split(), orient="row", infer_schema_length=None)
