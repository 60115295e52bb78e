"""A synthetic population that answers HEXACO items: what is believed of a respondent of whom nothing is known yet.

An item's propensity is key x loading x facet + a loading on the readiness to agree + noise; facets share what is their
domain's, domains correlate as people's do. All of it is in data/population.yaml with its sources; how items differ is
drawn at random, as nobody has measured them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int8

from personascope.errors import DataError
from personascope.files import read_yaml
from personascope.instruments.facets import DOMAIN_OF
from personascope.instruments.items import ItemBank
from personascope.interviews.latent import LatentTraits

FACTS = Path(__file__).parent / "data" / "population.yaml"
ACQUIESCENCE = "acquiescence"
_BETWEEN = "HEA"
"""Domains between which Altruism lies."""
_LEAST_NOISE = 0.05


def synthetic_population(bank: ItemBank, n_options: int = 5, seed: int = 0) -> LatentTraits:
    """The population as a respondent model of a bank's items.

    Args:
        bank: HEXACO items, of any facets.
        n_options: K.
        seed: of what differs between items.

    Returns:
        A model whose latent traits are the bank's facets and, last, acquiescence; it reports the facets.

    Raises:
        DataError: a facet that is none of HEXACO, or no options.
    """
    facts, facets = _facts(), bank.facets
    unknown = [facet for facet in facets if facet not in DOMAIN_OF]
    if unknown:
        raise DataError(
            f"The population has no facet {unknown[0]!r}.", "It knows those of HEXACO.", "Give responses of people."
        )
    if n_options < 2:
        raise DataError(f"{n_options} options.", "There is nothing to choose.", "Give at least 2.")
    covariance = np.zeros((len(facets) + 1, len(facets) + 1))
    covariance[:-1, :-1], covariance[-1, -1] = _facet_correlations(facets, facts), 1.0
    rng = np.random.default_rng(seed)
    keys = np.array([item.key for item in bank.items], dtype=float)
    strength = np.clip(rng.normal(facts["loading"], facts["loading_sd"], len(keys)), 0.2, 0.95)
    loadings = np.zeros((len(keys), len(facets) + 1))
    loadings[np.arange(len(keys)), [facets.index(item.facet) for item in bank.items]] = keys * strength
    loadings[:, -1] = facts["acquiescence"]
    difficulty = keys * facts["keyed_mean"] + rng.normal(0, facts["difficulty_sd"], len(keys))
    explained = np.einsum("qd,de,qe->q", loadings, covariance, loadings)
    return LatentTraits(
        items=tuple(item.id for item in bank.items),
        loadings=loadings,
        thresholds=difficulty[:, None] + _spaced(facts["cuts"], n_options)[None],
        noise=np.maximum(1 - explained, _LEAST_NOISE),
        mean=np.zeros(len(facets) + 1),
        covariance=covariance,
        names=facets,
        reported=np.eye(len(facets), len(facets) + 1),
    )


def draw_people(
    model: LatentTraits, n: int, seed: int
) -> tuple[Float[np.ndarray, "respondent reported"], Int8[np.ndarray, "respondent item"]]:
    """People of a population: the traits that the model reports, and answers to all items, options from 1."""
    rng = np.random.default_rng(seed)
    # numpy's own draw goes by singular vectors, whose signs hang on the processor: so people are the same anywhere
    theta = model.mean + rng.normal(size=(n, len(model.mean))) @ np.linalg.cholesky(model.covariance).T
    y = theta @ model.loadings.T + rng.normal(size=(n, len(model.items))) * np.sqrt(model.noise)
    return theta @ model.targets.T, ((y[..., None] > model.thresholds).sum(axis=-1) + 1).astype(np.int8)


@cache
def _facts() -> dict[str, Any]:
    return dict(read_yaml(FACTS))


def _facet_correlations(facets: tuple[str, ...], facts: dict[str, Any]) -> Float[np.ndarray, "facet facet"]:
    """Facets of one domain share `facet_share`; those of two domains as much of it as the domains correlate."""
    names, between = list(facts["domains"]), np.array(facts["domain_correlations"])
    member = np.zeros((len(facets), len(names)))
    for row, facet in enumerate(facets):
        domain = DOMAIN_OF[facet]
        member[row, [names.index(one) for one in (_BETWEEN if domain is None else domain)]] = 1
    member /= np.sqrt(np.einsum("fd,de,fe->f", member, between, member))[:, None]
    shared: Float[np.ndarray, "facet facet"] = facts["facet_share"] * member @ between @ member.T
    np.fill_diagonal(shared, 1.0)
    return shared


def _spaced(cuts: list[float], n_options: int) -> Float[np.ndarray, " cut"]:
    """Thresholds for another number of options, at the same shares of the way from the first option to the last."""
    known = np.linspace(0, 1, len(cuts) + 2)[1:-1]
    wanted = np.linspace(0, 1, n_options + 1)[1:-1]
    inner = np.interp(wanted, known, cuts)
    slope_low, slope_high = (cuts[1] - cuts[0]) / (known[1] - known[0]), (cuts[-1] - cuts[-2]) / (known[-1] - known[-2])
    inner = np.where(wanted < known[0], cuts[0] + (wanted - known[0]) * slope_low, inner)
    return np.where(wanted > known[-1], cuts[-1] + (wanted - known[-1]) * slope_high, inner)
