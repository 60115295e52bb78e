"""A persona's task preferences by chosen pairs: how many comparisons it takes to know what random ones tell.

The respondent is the packaged model organism under each of its personas, whose preferences are strong enough to be
found; it chooses the task whose label is likelier. Looked for are its utilities from all pairs, shown in both orders.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int8

from benchmarks.records import Record, at_most
from personascope.experiments.elicitation import choice_prompt
from personascope.experiments.organism import load_organism
from personascope.instruments.personas import Persona, load_personas, pick_personas
from personascope.instruments.tasks import Task, load_tasks
from personascope.interviews import planners
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.metrics import replay
from personascope.interviews.taste import FIRST, SECOND, all_pairs, preference_model
from personascope.models.engine import HookEngine
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import CHOICE

TASKS, LONGEST, AT, REPEATS = 30, 250, 150, 12
STEP = 10
SHARE = 0.6
"""Of random comparisons that chosen ones may take."""


def records() -> list[Record]:
    """For each persona the share of comparisons, and the correlation that they reach."""
    organism = load_organism(threads=2)
    pool = load_tasks().tasks
    tasks = [pool[at] for at in np.sort(np.random.default_rng(0).permutation(len(pool))[:TASKS])]
    found = []
    for persona in pick_personas(load_personas(), list(organism.truth.personas)):
        answers, utilities = choices(organism.engine, persona, tasks)
        share, r = needed(answers, utilities)
        note = f"for the r of {AT} random ones of {len(all_pairs(TASKS))} pairs, {r:.2f}"
        found.append(at_most(f"{persona.name}: chosen comparisons by random ones", np.array([share]), SHARE, note))
    return found


def choices(
    engine: HookEngine, persona: Persona, tasks: list[Task]
) -> tuple[Int8[np.ndarray, " pair"], Float[np.ndarray, " task"]]:
    """What is chosen of every pair in one order, and utilities from the log-odds in both orders by least squares."""
    pairs = all_pairs(len(tasks))
    context = choice_prompt(engine, persona, tasks[0], tasks[1]).text[-200:].splitlines()[-1]
    options = resolve_options(engine.tokenizer, context, CHOICE.labels)
    odds = []
    for order in (1, -1):
        prompts = [choice_prompt(engine, persona, *(tasks[at] for at in pair[::order])) for pair in pairs]
        read = engine.run(prompts, options=options).option_logprobs.double().numpy()
        odds.append(order * (read[:, 0] - read[:, 1]))
    design = np.zeros((len(pairs), len(tasks)))
    rows, (first, second) = np.arange(len(pairs)), np.array(pairs).T
    design[rows, first], design[rows, second] = 1, -1
    utilities: Float[np.ndarray, " task"] = np.linalg.lstsq(design, np.mean(odds, axis=0), rcond=None)[0]
    return np.where(odds[0] > 0, FIRST, SECOND).astype(np.int8), utilities


def needed(answers: Int8[np.ndarray, " pair"], utilities: Float[np.ndarray, " task"]) -> tuple[float, float]:
    """Chosen comparisons by random ones for the same mean correlation with the utilities, and that correlation."""
    model = preference_model([str(at) for at in range(len(utilities))])
    given, at = np.tile(answers, (REPEATS, 1)), range(STEP, LONGEST + 1, STEP)
    curves = {}
    for planner in (planners.at_random(), planners.by_trait_variance()):
        held = conduct(model, planner, given, stop=Stop(LONGEST))
        curves[planner.name] = {
            n: float(np.mean([np.corrcoef(mean, utilities)[0, 1] for mean in belief.traits()[0]]))
            for n, belief in replay(model, held, at, 0, REPEATS)
        }
    random, chosen = curves.values()
    return next((n for n, r in chosen.items() if r >= random[AT]), np.inf) / AT, random[AT]
