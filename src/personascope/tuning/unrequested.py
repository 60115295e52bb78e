"""Statistics of movement that nobody asked for: above noise or not, how long without error, whose pattern it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from personascope.errors import DataError, nearest
from personascope.measures.multiplicity import EXACT_LIMIT, N_FLIPS, sign_batches
from personascope.tuning.estimates import Estimate, estimate

N_PERMUTATIONS = 4_999
TAUGHT, UNREQUESTED, CONTROL = "taught", "unrequested", "control run"
_NUMBERS = ("mean_absolute", "floor", "floor_high", "p", "length", "low", "high", "naive_biased")


def total_row(
    part: str,
    shares: Float[np.ndarray, "cluster unit"],
    variances: Float[np.ndarray, " unit"],
    draws: Float[np.ndarray, "resample unit"],
    *,
    n: int,
    n_flips: int = N_FLIPS,
    seed: int = 0,
) -> dict[str, Any]:
    """How far some units (facets, topics) moved altogether, as a row of `total_frame`.

    The mean absolute movement is never 0, so it stands beside its noise floor: what it is when the signs of whole
    clusters' shares of the movement are fair coins, jointly for all units (`max_t` flips alike). The length is the root
    mean square movement with the error variances taken off, sqrt(max(0, mean(m^2 - v))); its interval does the same to
    bootstrap draws m*, whose scatter brings the error in once more, so 2 v are taken off there.

    Args:
        part: name of the row.
        shares: what each cluster adds to each unit's movement, shape (cluster, unit).
        variances: error variance of each unit's movement, shape (unit,).
        draws: movements in resamples of a bootstrap, shape (resample, unit).
        n: items or tasks.
        n_flips: random sign patterns; all of them with 12 clusters or fewer.
        seed: of the patterns.
    """
    moved = shares.sum(axis=0)
    observed = float(np.abs(moved).mean())
    flips = sign_batches(len(shares), n_flips=n_flips, seed=seed)
    null = np.concatenate([np.abs(signs @ shares).mean(axis=1) for signs in flips])
    hits = int((null >= observed - 1e-12).sum())
    p = hits / len(null) if len(shares) <= EXACT_LIMIT else (1 + hits) / (1 + len(null))
    length = float(np.sqrt(max(0.0, float((moved**2 - variances).mean()))))
    resampled = np.sqrt(np.maximum(0.0, (draws**2 - 2 * variances).mean(axis=1)))
    found = estimate(length, resampled, float(np.sqrt((moved**2).mean())))
    row: dict[str, Any] = {"part": part, "mean_absolute": observed, "floor": float(null.mean())}
    row |= {"floor_high": float(np.quantile(null, 0.95)), "p": float(p), "length": found.value}
    row |= {"low": found.low, "high": found.high, "naive_biased": found.naive_biased}
    return row | {"n_units": len(moved), "n": n, "n_clusters": len(shares)}


def total_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of `total_row` with their types."""
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(_NUMBERS, pl.Float64))


def permutation_p(
    products: Float[np.ndarray, "unit other"],
    groups: Int[np.ndarray, " unit"] | None = None,
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> float:
    """Two-sided p of the sum of products on the diagonal when it does not matter which unit goes with which.

    With y_f x_g in cell (f, g), the sum over f of y_f x_pi(f) is compared with its mean over permutations pi, which a
    shift that all units share does not change: the test is of the pattern.

    Args:
        products: square, shape (unit, unit).
        groups: units are permuted within these only; by default among all.
        n_permutations: random permutations; p is never zero (Phipson & Smyth 2010).
        seed: of the permutations.
    """
    n = len(products)
    group = np.zeros(n, dtype=np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    ordered = np.argsort(group, kind="stable")
    products, group = products[np.ix_(ordered, ordered)], group[ordered]
    same = group[:, None] == group[None, :]
    mean = float((products * same / same.sum(axis=1)).sum())
    observed = abs(float(products.diagonal().sum()) - mean)
    rng, hits, here = np.random.default_rng(seed), 0, np.arange(n)
    for _ in range(n_permutations):
        other = np.argsort(group + rng.random(n))
        hits += abs(float(products[here, other].sum()) - mean) >= observed - 1e-12
    return (1 + hits) / (1 + n_permutations)


def persona_frame(rows: list[dict[str, Any]], value: str) -> pl.DataFrame:
    """One row per persona (and level), with an estimate named `value`, its interval and p values."""
    kinds: dict[str, Any] = {"persona": pl.String}
    kinds |= dict.fromkeys((value, "low", "high", "p", "q", "p_signs", "naive_biased"), pl.Float64)
    if not rows:
        return pl.DataFrame(schema=kinds)
    return pl.DataFrame(rows, schema_overrides={**kinds, "refused": pl.String}, infer_schema_length=None)


def estimate_row(found: Estimate, name: str) -> dict[str, Any]:
    """An estimate as columns, its value under a name of its own."""
    row = dict(vars(found))
    return {name: row.pop("value"), **row}


def require_taught(taught: set[str], known: list[str], what: str) -> None:
    """Hold that what was taught is there, and that something else is; it may have been nothing of this kind.

    Raises:
        DataError: an unknown name, or nothing that was not taught.
    """
    unknown = sorted(taught - set(known))
    if unknown:
        raise DataError(
            f"No {what} {unknown[0]!r}.{nearest(unknown[0], known)}",
            f"The table has {', '.join(known)}.",
            f"Name each {what} that training was about.",
        )
    if len(set(known) - taught) < 3:
        raise DataError(
            f"{len(set(known) - taught)} of {len(known)} {what}s were not taught.",
            "Movement that nobody asked for is looked for in those, and a pattern needs at least three.",
            f"Measure more {what}s.",
        )


def require_personas(personas: dict[str, str], columns: list[str], own: dict[str, str]) -> None:
    """Hold that every persona has a column of its own.

    Args:
        personas: column by name.
        columns: of the table.
        own: the columns of the model itself by their role.

    Raises:
        DataError: a column that is not there, or that is one of the model's own.
    """
    for name, column in personas.items():
        if column not in columns:
            raise DataError(
                f"The table has no column {column!r} for the persona {name!r}.{nearest(column, columns)}",
                "Each persona is measured before training, on the same items.",
                "Join its scores first.",
            )
        role = next((role for role, given in own.items() if given == column), None)
        if role is not None:
            raise DataError(
                f"The persona {name!r} and the model {role} training are one column, {column!r}.",
                "A persona's profile is what sets it apart from the model itself.",
                "Pass the scores of the model as that persona.",
            )
