"""Taste and pairs: which of two, or thumb up or down, as interviews with two options.

    P(i before j | theta) = Phi((b_ij + (a_i - a_j) . theta) / noise)

(Thurstone 1927; with people in place of theta the model of pairwise personalisation). For one respondent's utilities a
is the identity and theta are the utilities themselves; for people's taste a are item embeddings that a ratings matrix
was fitted with, and theta is where a person stands among them. Both are `LatentTraits`, so every planner asks them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int8
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.interviews.latent import LatentTraits

Pair = tuple[int, int]
ORDER = "order"
"""Name of the trait that is a liking for whatever is shown first."""
FIRST, SECOND = 2, 1
"""Options: the first of a pair is chosen, or the second."""


def all_pairs(n: int) -> list[Pair]:
    """Every pair once; which of the two comes first alternates, so that order cannot pass for liking."""
    return [(i, j) if (i + j) % 2 else (j, i) for i in range(n) for j in range(i + 1, n)]


def preference_model(
    names: Sequence[str],
    pairs: Sequence[Pair] | None = None,
    *,
    prior_sd: float = 3.0,
    order_sd: float = 1.0,
) -> LatentTraits:
    """One respondent's utilities of some things, to be found out by pairs.

    Args:
        names: of the things.
        pairs: that may be asked, (shown first, shown second); all by default.
        prior_sd: of a utility, in units of the noise of one choice.
        order_sd: of the liking for what comes first.

    Returns:
        A model whose items are pairs ("a|b"), whose options are 1 (the second) and 2 (the first), and which reports the
        utilities, with mean zero over the things.

    Raises:
        DataError: a thing compared with itself, a pair twice, or things that no chain of pairs ties together.
    """
    pairs = all_pairs(len(names)) if pairs is None else list(pairs)
    require_comparable(len(names), pairs)
    n = len(names)
    rows = np.arange(len(pairs))
    first, second = np.array(pairs).T
    loadings = np.zeros((len(pairs), n + 1))
    loadings[rows, first], loadings[rows, second], loadings[:, n] = 1.0, -1.0, 1.0
    centred = np.eye(n, n + 1)
    centred[:, :n] -= 1 / n
    return LatentTraits(
        items=tuple(f"{names[i]}|{names[j]}" for i, j in pairs),
        loadings=loadings,
        thresholds=np.zeros((len(pairs), 1)),
        noise=np.ones(len(pairs)),
        mean=np.zeros(n + 1),
        covariance=np.diag([*[prior_sd**2] * n, order_sd**2]),
        names=tuple(names),
        reported=centred,
    )


def taste_model(ratings: LatentTraits, pairs: Sequence[Pair] | None = None) -> LatentTraits:
    """People's taste as pairs, from a model that was fitted to a ratings matrix (`fit_ordinal`).

    Args:
        ratings: its items are what is rated; loadings are their embeddings.
        pairs: that may be asked; all by default.

    Raises:
        DataError: as `preference_model`.
    """
    n = len(ratings.items)
    pairs = all_pairs(n) if pairs is None else list(pairs)
    require_comparable(n, pairs)
    first, second = np.array(pairs).T
    liked = -ratings.thresholds.mean(axis=1)  # the lower its thresholds, the more an item is liked by everybody
    return LatentTraits(
        items=tuple(f"{ratings.items[i]}|{ratings.items[j]}" for i, j in pairs),
        loadings=ratings.loadings[first] - ratings.loadings[second],
        thresholds=(liked[second] - liked[first])[:, None],
        noise=ratings.noise[first] + ratings.noise[second],
        mean=ratings.mean,
        covariance=ratings.covariance,
        names=ratings.names,
        reported=ratings.reported,
    )


def pairs_of_ratings(ratings: Responses, pairs: Sequence[Pair] | None = None, least: int = 1) -> Responses:
    """Which of two a person rated higher; a pair is missing where a rating is, or where they differ by less.

    Args:
        ratings: of people.
        pairs: all by default.
        least: difference of two ratings that counts.

    Raises:
        DataError: as `preference_model`, or a difference of which every pair would count.
    """
    if least < 1:
        raise DataError(f"least is {least}.", "Equal ratings prefer nothing.", "Give at least 1.")
    pairs = all_pairs(len(ratings.items)) if pairs is None else list(pairs)
    require_comparable(len(ratings.items), pairs)
    first, second = np.array(pairs).T
    one, two = (ratings.values[:, columns].astype(int) for columns in (first, second))
    gap = one - two
    known = (one != MISSING) & (two != MISSING) & (np.abs(gap) >= least)
    values = np.where(known, np.where(gap > 0, FIRST, SECOND), MISSING).astype(np.int8)
    items = tuple(f"{ratings.items[i]}|{ratings.items[j]}" for i, j in pairs)
    return Responses(values, items, ratings.respondents, 2)


def thumbs(ratings: Responses, up: int) -> Responses:
    """Ratings as thumbs: 2 from some option on, 1 below.

    Args:
        ratings: of people.
        up: lowest option that is a thumb up.

    Raises:
        DataError: an option below which there is none.
    """
    if not 2 <= up <= ratings.n_options:
        raise DataError(f"up is {up}.", "Some options must be thumbs up and some down.", f"2 to {ratings.n_options}.")
    values = np.where(ratings.values == MISSING, MISSING, np.where(ratings.values >= up, 2, 1)).astype(np.int8)
    return Responses(values, ratings.items, ratings.respondents, 2)


def binned(scores: Float[np.ndarray, "respondent item"], n_options: int) -> Int8[np.ndarray, "respondent item"]:
    """Sliders and other continuous ratings as options of equal share, over all respondents; NaN is missing.

    Raises:
        DataError: infinite scores, or fewer than two options.
    """
    if n_options < 2 or np.isinf(scores).any():
        raise DataError(
            f"{n_options} options, {int(np.isinf(scores).sum())} infinite scores.",
            "",
            "Give finite scores, two options.",
        )
    edges = np.nanquantile(scores, np.linspace(0, 1, n_options + 1)[1:-1])
    options = np.searchsorted(edges, np.nan_to_num(scores), side="right") + 1
    found: Int8[np.ndarray, "respondent item"] = np.where(np.isnan(scores), MISSING, options).astype(np.int8)
    return found


def require_comparable(n: int, pairs: Sequence[Pair]) -> None:
    """Hold that pairs are of two different things, stand once, and tie all things together.

    Raises:
        DataError: they do not.
    """
    odd = next(((i, j) for i, j in pairs if i == j or not (0 <= i < n and 0 <= j < n)), None)
    if odd is not None:
        raise DataError(f"The pair {odd} is none of {n} things.", "A pair is of two different things.", "Correct it.")
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise DataError("A pair stands twice.", "In either order it is the same question.", "Leave one out.")
    i, j = np.array(pairs).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(pairs)), (i, j)), shape=(n, n))
    parts = connected_components(graph, directed=False)[0]
    if parts > 1:
        raise DataError(
            f"The pairs leave {parts} groups of things that are never compared with each other.",
            "How the groups lie to each other cannot be told.",
            "Add pairs between them.",
        )
