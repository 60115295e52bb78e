"""Planted preferences against fitted utilities; refusals and position preference, which must move none."""

from __future__ import annotations

import numpy as np

from benchmarks.planted.asking import DEGREE, ORDER_BIAS, Answers, chosen, material, usual
from benchmarks.planted.held import between, every, near
from benchmarks.planted.persona_respondent import Chooser
from benchmarks.planted.personas import PERSONAS, agreeing_utilities, planted_tasks
from benchmarks.records import Record
from personascope.errors import DataError
from personascope.experiments.elicitation import outcomes_of
from personascope.experiments.rows import utility_vector
from personascope.measures.utilities import fit_utilities

REFUSED, REFUSAL = tuple(range(0, 240, 8)), 0.9
FIRST = 4.0
"""Order bias, in logits, of a respondent that has no other preference."""


def rows() -> list[Record]:
    """All figures of preferences."""
    return [*recovered(), *refusals(), *position_only()]


def fitted(answers: Answers, personas: tuple[str, ...] = PERSONAS) -> np.ndarray:
    """Fitted utilities, shape (task, persona)."""
    return np.stack([utility_vector(answers.tables["utilities"], persona) for persona in personas], axis=1)


def recovered() -> list[Record]:
    """Utilities, order terms, label mass and agreement between personas."""
    answers, truth = usual(), agreeing_utilities(planted_tasks())
    found, quality, n = fitted(answers), answers.tables["preference_quality"], len(PERSONAS)
    r = [np.corrcoef(found[:, p], truth[:, p])[0, 1] for p in range(n)]
    slopes = [np.polyfit(truth[:, p], found[:, p], 1)[0] for p in range(n)]
    errors = np.abs(quality["order_term"].to_numpy() - ORDER_BIAS)
    agreed = np.abs(np.corrcoef(found.T) - np.corrcoef(truth.T))[np.triu_indices(n, 1)]
    mass = np.abs(answers.tables["choices"]["label_mass"].to_numpy() - 0.9)
    return [
        between("utilities: r with the planted ones, lowest persona", min(r), 0.99, 1.0, "32 comparisons a task", 1.0),
        between("utilities: slope on the planted ones", slopes, 0.9, 1.0, "the prior shrinks, by 1 in 10 at most", 1.0),
        near("order term: largest error, logits", errors.max(), 0.0, 0.1, "of 2.5 at most; shrunk with the utilities"),
        near("personas: largest error of their correlations", agreed.max(), 0.0, 0.02, "planted -.6 to .6"),
        near("label mass: largest error", mass.max(), 0.0, 1e-5, "planted .9"),
    ]


def refusals() -> list[Record]:
    """Tasks that are refused where they stand first: an outcome of its own, and what counting it as a loss would do."""
    name = PERSONAS[0]
    chooser = Chooser(agreeing_utilities(planted_tasks()), ORDER_BIAS, refused=REFUSED, refusal=REFUSAL)
    answers = chosen(chooser, PERSONAS[:2])
    before, after = (utility_vector(one.tables["utilities"], name) for one in (usual(), answers))
    own = outcomes_of(answers.elicited.choices, name, material().number())
    # all that is not the first, as if the second had been chosen
    naive = fit_utilities(own.first, own.second, own.chose_first / 0.9, n_tasks=len(before)).values
    shift, wrong = (float((u - before)[list(REFUSED)].mean()) for u in (after, naive))
    kept = np.corrcoef(after[list(REFUSED)], agreeing_utilities(planted_tasks())[list(REFUSED), 0])[0, 1]
    return [
        near("refusals: mean shift of refused tasks, logits", shift, 0.0, 0.05, f"{len(REFUSED)} of 240 tasks"),
        between(
            "refusals: r of refused tasks with the planted", kept, 0.99, 1.0, "half of their answers are left", 1.0
        ),
        between("trap: counted as choices of the other, mean shift", wrong, -9.0, -0.5, "must be visibly wrong"),
    ]


def position_only() -> list[Record]:
    """Whoever prefers the first, and nothing else: an order term and utilities that do not hang together."""
    n = len(planted_tasks().topics)
    noise = 0.5
    chooser = Chooser(np.zeros((n, len(PERSONAS))), (FIRST,) * len(PERSONAS), noise_sd=noise, seed=11)
    quality = chosen(chooser, PERSONAS[:2]).tables["preference_quality"]
    expected = noise / np.sqrt(2 * DEGREE)  # over 16 pairs in both orders
    order = FIRST - noise**2 / 2  # the mean of exp(-noise) is above 1
    halves = quality["split_half"].to_numpy()
    silent = Chooser(np.zeros((n, len(PERSONAS))), (FIRST,) * len(PERSONAS))
    try:
        chosen(silent, PERSONAS[:2])
        refused = False
    except DataError:
        refused = True
    return [
        near("position only: order term", quality["order_term"].to_numpy(), order, 0.03, "4 logits, less noise^2 / 2"),
        near(
            "position only: sd of utilities",
            quality["sd_utility"].to_numpy(),
            expected,
            0.3 * expected,
            "its noise alone",
        ),
        near(
            "position only: split-half reliability",
            halves,
            0.0,
            0.3,
            "3 standard errors of r over 240 tasks, stepped up",
        ),
        every(
            "position only, without noise: refused", [refused], "utilities that are all equal correlate with nothing"
        ),
    ]
