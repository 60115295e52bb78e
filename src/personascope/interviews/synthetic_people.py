"""Synthetic people: answers drawn one after the other from a respondent model, and whether they are like people.

Each answer is drawn from what the model expects after the answers before it, so that answers hang together as the model
has it, and each is somebody new. Models that answer for people tend to make them too much alike, and may repeat people
they have seen; both are looked at, beside the same comparison between two halves of the people themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.interviews.respondents import Belief, Chosen, RespondentModel

MOST_SYNTHETIC = 0.5
"""Share of rows beyond which synthetic people would be trained on each other."""
_AT_ONCE = 256


def sample_people(model: RespondentModel, n: int, *, seed: int = 0, name: str = "synthetic") -> Responses:
    """People whom nobody has met: every item answered once, in an order of its own for each.

    Args:
        model: of respondents.
        n: how many.
        seed: of orders and answers; a person hangs on the seed and their number alone.
        name: their ids begin with it.
    """
    blocks = []
    for start in range(0, n, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, n))
        rngs = [np.random.default_rng([seed, number]) for number in numbers]
        orders = np.stack([rng.permutation(len(model.items)) for rng in rngs])
        belief, rows = model.begin(len(orders)), np.arange(len(orders))
        values = np.zeros((len(orders), len(model.items)), dtype=np.int8)
        for items in orders.T:
            p = _expected(belief, items)
            drawn = np.array([rng.random() for rng in rngs])
            options = (drawn[:, None] > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
            belief.observe(items, options)
            values[rows, items] = options + 1
        blocks.append(values)
    ids = tuple(f"{name}-{number + 1}" for number in range(n))
    return Responses(np.concatenate(blocks), tuple(model.items), ids, model.n_options)


def _expected(belief: Belief, items: Chosen) -> Float[np.ndarray, "interview option"]:
    """p(answer) of one item of each interview; nothing is worked out for the others, of which there may be hundreds."""
    found = np.zeros((belief.n, 0))
    for item in np.unique(items):
        rows = np.flatnonzero(items == item)
        p = belief.pick(rows).predict(np.array([item]))[:, 0]
        if not found.shape[1]:
            found = np.zeros((belief.n, p.shape[1]))
        found[rows] = p
    return found


@dataclass(frozen=True, eq=False)
class Likeness:
    """How far synthetic people are from people.

    Args:
        distances: one row per measure: measure ("mean", "sd", "correlation": root mean squared difference over items or
            pairs of items, in options or r; "eigenvalues": of the correlations, root mean squared; "spread": sd of
            people's mean answers, synthetic by real), value, halves (the same between two halves of the people).
        copies: ids of synthetic people who answer as some person does in all but `tolerance` of the items, with the id
            of that person.
    """

    distances: pl.DataFrame
    copies: tuple[tuple[str, str], ...]


def compare_people(synthetic: Responses, people: Responses, *, tolerance: float = 0.05, seed: int = 0) -> Likeness:
    """Compare means, spreads, correlations and eigenvalues, and look for copies.

    Args:
        synthetic: from `sample_people`.
        people: the reference.
        tolerance: share of items in which a copy may differ.
        seed: of the halves.

    Raises:
        DataError: no reference, other items or options, or too few of either for correlations.
    """
    if not len(people.respondents) or not len(synthetic.respondents):
        raise DataError("There is nobody to compare with.", "The reference is empty.", "Give answers of people.")
    if synthetic.items != people.items or synthetic.n_options != people.n_options:
        raise DataError("Synthetic people answered other items than people.", "", "Take the same items, in one order.")
    if min(len(people.respondents), len(synthetic.respondents)) < 8:
        raise DataError("Fewer than 8 people.", "Their answers correlate by chance.", "Give more.")
    order = np.random.default_rng(seed).permutation(len(people.respondents))
    half = len(order) // 2
    own, one, two, made = (
        _moments(values)
        for values in (people.values, people.values[order[:half]], people.values[order[half:]], synthetic.values)
    )
    rows = [
        {"measure": name, "value": _gap(made[name], own[name]), "halves": _gap(one[name], two[name])}
        for name in ("mean", "sd", "correlation", "eigenvalues")
    ]
    spread = {"value": float(made["spread"] / own["spread"]), "halves": float(one["spread"] / two["spread"])}
    return Likeness(pl.DataFrame([*rows, {"measure": "spread", **spread}]), _copies(synthetic, people, tolerance))


def require_share(n_real: int, n_synthetic: int, most: float = MOST_SYNTHETIC) -> float:
    """The share of synthetic rows in what a model is trained on.

    Raises:
        DataError: more than `most`.
    """
    share = n_synthetic / max(1, n_real + n_synthetic)
    if share > most:
        raise DataError(
            f"{n_synthetic} of {n_real + n_synthetic} people are synthetic, a share of {share:.2f}.",
            f"Beyond {most:.2f} a model learns from itself more than from people.",
            "Give more people, or fewer synthetic ones.",
        )
    return share


def _moments(values: np.ndarray) -> dict[str, Float[np.ndarray, ...]]:
    answers = np.where(values == MISSING, np.nan, values.astype(float))
    filled = np.where(np.isnan(answers), np.nanmean(answers, axis=0), answers)
    sd = filled.std(axis=0)
    scaled = (filled - filled.mean(axis=0)) / np.maximum(sd, 1e-12)
    correlation = scaled.T @ scaled / len(scaled)
    apart = correlation[np.triu_indices(len(correlation), 1)]
    eigenvalues = np.linalg.eigvalsh(correlation)
    spread = np.asarray(filled.mean(axis=1).std())
    return {"mean": filled.mean(axis=0), "sd": sd, "correlation": apart, "eigenvalues": eigenvalues, "spread": spread}


def _gap(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.sqrt(np.mean((one - two) ** 2)))


def _copies(synthetic: Responses, people: Responses, tolerance: float) -> tuple[tuple[str, str], ...]:
    found = []
    for name, row in zip(synthetic.respondents, synthetic.values, strict=True):
        differ = (people.values != row).mean(axis=1)
        nearest = int(differ.argmin())
        if differ[nearest] <= tolerance:
            found.append((name, people.respondents[nearest]))
    return tuple(found)
