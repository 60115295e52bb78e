"""Adaptive interviews against sums written out, against themselves, and what time and memory they take."""

from __future__ import annotations

import resource
import subprocess
import sys
from time import perf_counter

import numpy as np
import torch

from benchmarks.records import Record, at_most, largest
from personascope.instruments.items import load_items
from personascope.instruments.responses import Responses
from personascope.interviews import planners
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.metrics import identification
from personascope.interviews.population import draw_people, synthetic_population
from personascope.interviews.twins import Twins

LARGE = (22_786, 240, 7)
"""People, items and options of the published HEXACO sample whose bank must fit into little memory."""
MIDDLE = (2_017, 181, 7)
SECONDS, MEGABYTES = 2.0, 200.0


def records() -> list[Record]:
    """Every planted answer beside ours."""
    return [*_brute_force(), _leak(), *_people(), _seconds(), _memory()]


def random_bank(n: int, items: int, options: int, seed: int = 0) -> Responses:
    """People of a few traits, as many as asked for."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 6)) @ rng.normal(size=(6, items)) / 2 + rng.normal(size=(n, items))
    cuts = np.linspace(-1.8, 1.8, options - 1)
    values = (1 + (y[..., None] > cuts).sum(axis=-1)).astype(np.int8)
    return Responses(values, tuple(f"q{i}" for i in range(items)), tuple(f"p{i}" for i in range(n)), options)


def _brute_force() -> list[Record]:
    """Information and prediction by sums over every person and option, on 6 x 5 x 3 and on a bank of some size."""
    found = []
    for name, size, limit in (("6 x 5 x 3", (6, 5, 3), 1e-6), ("200 x 30 x 7", (200, 30, 7), 1e-5)):
        bank = random_bank(*size, seed=1)
        twins = Twins(bank, sigma=0.9, epsilon=0.1)
        belief = twins.begin(1)
        p = twins.answers[np.arange(size[1])[None], bank.values - 1]  # person, item, option
        weights = np.ones(size[0])
        for item, option in ((1, 2), (3, 0)):
            belief.observe(np.array([item]), np.array([option]))
            weights *= p[:, item, option]
        weights /= weights.sum()
        predicted = np.einsum("r,rqa->qa", weights, p)
        within = np.einsum("r,rq->q", weights, -(p * np.log2(p)).sum(axis=-1))
        information = -(predicted * np.log2(predicted)).sum(axis=-1) - within
        gaps = np.concatenate([
            np.abs(belief.information()[0] - information), np.abs(belief.predict()[0] - predicted).ravel()
        ])  # fmt: skip
        found.append(largest(f"factorised against dense, {name}", gaps, limit, "bits and probabilities"))
    return found


def _leak() -> Record:
    """Answers that are not asked for are permuted; the questions must stay the same."""
    twins = Twins(random_bank(300, 40, 5))
    truth = np.arange(50)
    answers = twins.draw(truth, 3)
    moved = []
    for planner in (planners.by_information(), planners.two_steps(4), planners.static(twins)):
        first = conduct(twins, planner, answers, stop=Stop(10))
        other = np.random.default_rng(1).permuted(answers, axis=1)
        np.put_along_axis(other, first.asked, np.take_along_axis(answers, first.asked, 1).astype(np.int8), 1)
        moved.append(float((conduct(twins, planner, other, stop=Stop(10)).asked != first.asked).sum()))
    return largest("questions that unasked answers change", np.array(moved), 0.0, "three planners, 50 interviews")


def _people() -> list[Record]:
    """Synthetic people: planners in their order, and intervals that hold what they should."""
    bank = load_items().subset(None, 2)
    model = synthetic_population(bank)
    traits, values = draw_people(model, 600, 0)
    answers = Responses(values, model.items, tuple(map(str, range(600))), 5)
    twins, truth = Twins(answers), np.arange(200)
    retest = twins.draw(truth, 1)
    bits = {}
    for planner in (
        planners.at_random(), planners.static(twins), planners.by_information(), planners.hindsight(truth, retest)
    ):  # fmt: skip
        held = conduct(twins, planner, retest, stop=Stop(8))
        bits[planner.name] = float(identification(twins, held, truth, [8], n_resamples=100)["log2_p"][0])
    steps = np.diff([bits[name] for name in ("random", "information", "hindsight")])
    told = conduct(model, planners.by_trait_variance(), values[:300], stop=Stop(30))
    belief = model.begin(300)
    for place in range(30):
        belief.observe(told.asked[:, place], told.answers[:, place] - 1)
    mean, sd = belief.traits()
    inside = np.abs(mean - traits[:300]) < 1.96 * sd
    rmse, expected = np.sqrt(((mean - traits[:300]) ** 2).mean()), np.sqrt((sd**2).mean())
    shown = ", ".join(f"{name} {value:.2f}" for name, value in bits.items())
    return [
        largest("random < information < hindsight", -steps, 0.0, f"log2 p after 8 questions: {shown}"),
        largest(
            "95 % intervals of facets: coverage - .95", np.abs(np.array([inside.mean() - 0.95])), 0.02, "30 answers"
        ),
        largest(
            "error of facets against its own sd, ratio - 1", np.abs(np.array([rmse / expected - 1])), 0.05, "30 answers"
        ),
    ]


def _seconds() -> Record:
    """300 interviews of 40 questions on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        twins = Twins(random_bank(*MIDDLE))
        truth = np.arange(300)
        answers = twins.draw(truth, 0)
        conduct(twins, planners.by_information(), answers[:10], stop=Stop(2))
        seconds = []
        for _ in range(3):
            started = perf_counter()
            conduct(twins, planners.by_information(), answers, stop=Stop(40))
            seconds.append(perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return at_most("300 interviews x 40 questions, seconds", np.array(seconds), SECONDS, f"one thread, {MIDDLE}")


def _memory() -> Record:
    """Memory that a large bank and its interviews add to a process that has loaded everything else."""
    code = "from benchmarks.known_interviews import added_megabytes; print(added_megabytes())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return at_most("22,786 x 240 x 7, megabytes", np.array([float(run.stdout)]), MEGABYTES, "bank and 20 interviews")


def added_megabytes() -> float:
    """Peak memory over that of the libraries and of the responses, in a process of its own."""
    small = Twins(random_bank(50, 20, 7))
    conduct(small, planners.by_information(), small.draw(np.arange(20), 0), stop=Stop(5))
    n, items, options = LARGE
    values = np.random.default_rng(0).integers(1, options + 1, (n, items), dtype=np.int8)
    bank = Responses(values, tuple(f"q{i}" for i in range(items)), tuple(f"p{i}" for i in range(n)), options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    twins = Twins(bank)
    conduct(twins, planners.by_information(), values[:20], stop=Stop(10))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
