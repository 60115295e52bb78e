"""Adaptive interviews on published answers of people, against tables of another implementation.

AMBI: whom of 2,017 people do the answers belong to? Interviewees are drawn from the noisy-twin model itself (a
simulated retest), so that bits are optimistic; what counts is the order of the planners. SPI: how well are 35 items
predicted that are never asked, of 600 people who are not among the 3,400 that the Gaussian model is fitted on? Which
people and items the table held out is not known, and hard items are hard for every planner: errors are divided by the
error with nothing asked, theirs by theirs and ours by ours, and ours is the mean of several random splits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.known_people import spi
from benchmarks.records import Record
from personascope.instruments.responses import Responses, load_responses
from personascope.interviews import planners
from personascope.interviews.fitting import fit_gaussian
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.latent import LatentTraits
from personascope.interviews.metrics import identification, prediction
from personascope.interviews.planners import Planner
from personascope.interviews.twins import Twins

AMBI = {"random": -4.21, "fixed": -3.92, "static": -2.94, "information": -2.02, "hindsight": 0.0}
"""Mean log2 posterior of the true person after 10 questions."""
AMBI_BITS = 0.3
SPI_NOTHING = 0.987
SPI = {
    "random": (0.929, 0.892, 0.841, 0.787),
    "largest variance": (0.943, 0.897, 0.856, 0.826),
    "trait variance": (0.911, 0.871, 0.816, 0.763),
    "held-out items": (0.887, 0.831, 0.764, 0.726),
}
"""Root mean squared error in item standard deviations after `ASKED` questions."""
ASKED = (5, 10, 20, 40)
SPI_SHARE = 0.02
SPLITS = 10


def records(folder: Path) -> list[Record]:
    """Both tables.

    Args:
        folder: holds openpsychometrics_ambi2019.tsv.gz, sapa_spi.csv.gz and sapa_spi_keys.json.

    Raises:
        FileFormatError: a file is missing or unreadable.
    """
    return [*_ambi(folder), *_spi(folder)]


def _ambi(folder: Path) -> list[Record]:
    columns = {f"Q{number}A": f"Q{number}" for number in range(1, 182)}
    twins = Twins(load_responses(folder / "openpsychometrics_ambi2019.tsv.gz", n_options=7, columns=columns))
    truth = np.random.default_rng(0).choice(len(twins.bank.respondents), 300, replace=False)
    answers = twins.draw(truth, 1)
    found = []
    for planner in (
        planners.at_random(),
        planners.in_order(n_items=len(twins.items)),
        planners.static(twins),
        planners.by_information(),
        planners.hindsight(truth, answers),
    ):
        held = conduct(twins, planner, answers, stop=Stop(10))
        row = identification(twins, held, truth, [10]).row(0, named=True)
        target = AMBI[planner.name]
        met = abs(row["log2_p"] - target) <= AMBI_BITS
        note = f"within {AMBI_BITS}; rank {row['rank']:.0f}, top-1 {row['top_1']:.2f}"
        name = f"AMBI log2 p after 10, {planner.name}"
        found.append(Record(name, row["log2_p"], row["low"], row["high"], target, met, row["n"], note))
    return found


def _spi(folder: Path) -> list[Record]:
    responses, _ = spi(folder)
    found = []
    for name, published in SPI.items():
        shares = np.stack([_errors(responses, _SPI_PLANNERS[name], seed) for seed in range(SPLITS)])
        for place, asked in enumerate(ASKED):
            own = shares[:, place]
            value, target = float(own.mean()), published[place] / SPI_NOTHING
            met = abs(value - target) <= SPI_SHARE
            note = f"within {SPI_SHARE}; of the error with nothing asked; range over splits"
            row = Record(f"SPI error after {asked}, {name}", value, own.min(), own.max(), target, met, SPLITS, note)
            found.append(row)
    return found


def _errors(responses: Responses, planner: Callable[[LatentTraits, tuple[str, ...]], Planner], seed: int) -> np.ndarray:
    """Errors on held-out items after each number of questions, as shares of that with nothing asked."""
    rng = np.random.default_rng(seed)
    people, items = rng.permutation(len(responses.respondents)), rng.permutation(len(responses.items))
    new, known = (_rows(responses, rows) for rows in (people[:600], people[600:]))
    held_out = tuple(responses.items[item] for item in items[:35])
    model = fit_gaussian(known)
    held = conduct(model, planner(model, held_out), new.values, stop=Stop(max(ASKED)), held_out=held_out, seed=seed)
    spread = known.values.std(axis=0)
    rmse = prediction(model, held, new.values, held_out, [0, *ASKED], spread=spread, n_resamples=2)["rmse"].to_numpy()
    shares: np.ndarray = rmse[1:] / rmse[0]
    return shares


def _rows(responses: Responses, rows: np.ndarray) -> Responses:
    names = tuple(responses.respondents[row] for row in rows)
    return Responses(responses.values[rows], responses.items, names, responses.n_options)


_SPI_PLANNERS: dict[str, Callable[[LatentTraits, tuple[str, ...]], Planner]] = {
    "random": lambda _model, _items: planners.at_random(),
    "largest variance": lambda model, _: planners.by_spread(model),
    "trait variance": lambda _model, _items: planners.by_trait_variance(),
    "held-out items": planners.by_items,
}
