"""Generalizability: how much of an answer is the persona, the item, the wording, and how many of each are needed.

A G-study of a fully crossed design with one answer in each cell, all factors random (Brennan 2001, "Generalizability
Theory", ch. 3 and 4). For an effect a, a set of factors such as {persona, item}, with n_j levels of factor j:

    MS(a) = SS(a) / prod_{j in a} (n_j - 1),    SS(a) = prod_{j not in a} n_j * sum over levels of a of effect(a)^2
    E MS(a) = sum over effects b that contain a of  var(b) * prod_{j not in b} n_j
    var(a) = sum over effects b that contain a of (-1)^(|b| - |a|) MS(b)  /  prod_{j not in a} n_j

A D-study with n'_j levels, for the object of measurement p (the persona):

    relative error = sum over effects a that contain p and more of  var(a) / prod_{j in a, j != p} n'_j
    absolute error = sum over all effects a but {p} of              var(a) / prod_{j in a, j != p} n'_j
    G = var(p) / (var(p) + relative error),    Phi = var(p) / (var(p) + absolute error)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.measures.by_model import by_model
from personascope.measures.tables import require_columns, require_unique

OBJECT = "persona"
_Effect = tuple[int, ...]


def g_study(answers: pl.DataFrame, *, factors: Sequence[str] | None = None, by: str | None = "facet") -> pl.DataFrame:
    """Variance components of keyed agreement over persona, item, phrasing and, where asked, order.

    Items are nested in facets, and each facet has its own. So the study is run on each facet alone, and the table holds
    the mean over facets of mean squares and estimates: var(persona) is that of a persona's score on one facet, and the
    coefficients are those of a facet score, not of a profile.

    Args:
        answers: one row for each cell of the crossed design: columns agreement, key (+1 or -1; answers are keyed, so
            that var(persona) is trait, not yea-saying), the factors, and `by`; optionally model (each is taken alone).
        factors: columns that are crossed, the persona among them; by default persona, item, phrasing, and order where
            the table has it. Order has two levels in all; taking it as random treats them as a sample of wordings.
        by: column that items are nested in; None for a single study.

    Returns:
        One row per effect: component ("persona x item"; the largest one also holds all error), factors (list), df
        (summed over facets), mean_square, estimate (may be negative), variance (the estimate, or 0 when it is
        negative), negative (whether it was), share (of the sum of variances), n_facets (that were pooled).

    Raises:
        DataError: a cell of the design that lacks (named) or occurs twice, a factor of fewer than 2 levels, no persona
            among the factors, or answers that do not vary at all.
    """
    return by_model(lambda part: _g_study(part, factors, by), answers)


def d_study(components: pl.DataFrame, **levels: Sequence[int]) -> pl.DataFrame:
    """Coefficients for every combination of numbers of items, phrasings and so on: "how many prompts do I need".

    Args:
        components: what `g_study` returned.
        **levels: the numbers of levels to try, for each factor but the persona: `item=(10, 20), phrasing=(1, 2, 5)`.

    Returns:
        One row per combination: n_item, n_phrasing ..., relative_error and absolute_error (variances), g (reliability
        of the ranking of personas) and phi (dependability of a persona's score itself), both null when nothing varies.

    Raises:
        DataError: a factor without numbers, an unknown one, or a number below 1.
    """

    def table(part: pl.DataFrame) -> pl.DataFrame:
        _check_levels(part, levels)
        rows: list[dict[str, Any]] = []
        for chosen in product(*levels.values()):
            n = dict(zip(levels, chosen, strict=True))
            relative, absolute = _errors(part, n)
            g, phi = (_reliability(_universe(part), error) for error in (relative, absolute))
            numbers = {"relative_error": relative, "absolute_error": absolute, "g": g, "phi": phi}
            rows.append({f"n_{name}": count for name, count in n.items()} | numbers)
        may_be_null = {"g": pl.Float64, "phi": pl.Float64}
        return pl.DataFrame(rows, schema_overrides=may_be_null, infer_schema_length=None)

    return by_model(table, components)


def levels_needed(
    components: pl.DataFrame, *, target: float = 0.8, factor: str = "phrasing", **fixed: int
) -> pl.DataFrame:
    """The smallest number of levels of one factor, phrasings by default, for which G, and Phi, reaches a target.

    Every error is a + b / n in the number n of levels, so the answer is exact, and there is a limit that no number of
    phrasings exceeds: more items are needed then.

    Args:
        components: what `g_study` returned.
        target: of the coefficient, between 0 and 1.
        factor: whose number of levels is sought.
        **fixed: number of levels of each of the other factors: `item=20`.

    Returns:
        Two rows, coefficient "g" and "phi": target, factor, n (null when the target is out of reach), limit (the
        coefficient with infinitely many levels, null when nothing varies).

    Raises:
        DataError: as `d_study`, or a target outside (0, 1).
    """
    if not 0 < target < 1:
        raise DataError(f"A coefficient of {target} is no target.", "It lies between 0 and 1.", "Ask for .8, say.")

    def table(part: pl.DataFrame) -> pl.DataFrame:
        _check_levels(part, {factor: (1,), **{name: (n,) for name, n in fixed.items()}})
        ends = [_errors(part, {factor: n, **fixed}) for n in (1.0, np.inf)]
        allowed = _universe(part) * (1 - target) / target
        rows = []
        for name, place in (("g", 0), ("phi", 1)):
            one, limit = (end[place] for end in ends)
            n = None
            if limit < allowed or one <= allowed > 0:
                n = 1 if one <= allowed else int(np.ceil((one - limit) / (allowed - limit) * (1 - 1e-12)))
            reliability = _reliability(_universe(part), limit)
            rows.append({"coefficient": name, "target": target, "factor": factor, "n": n, "limit": reliability})
        return pl.DataFrame(rows, schema_overrides={"n": pl.Int64, "limit": pl.Float64})

    return by_model(table, components)


def _g_study(answers: pl.DataFrame, factors: Sequence[str] | None, by: str | None) -> pl.DataFrame:
    crossed = list(factors or ["persona", "item", "phrasing", *(["order"] if "order" in answers.columns else [])])
    if OBJECT not in crossed or len(crossed) < 2 or len(set(crossed)) < len(crossed):
        raise DataError(
            f"Factors {crossed}.", f"They are {OBJECT!r} and at least one more, each once.", "Name the columns."
        )
    require_columns(answers, [*crossed, "agreement", "key", *([by] if by else [])])
    require_unique(answers, [*crossed, *([by] if by else [])])
    parts = answers.partition_by(by, maintain_order=True) if by else [answers]
    found = [_anova(_cells(part, crossed, f" of {by} {part[by][0]!r}" if by else "")) for part in parts]
    effects = list(found[0])
    estimates = np.array([np.mean([one[effect][2] for one in found]) for effect in effects])
    scale = float(np.abs(estimates).max())
    if scale == 0:
        raise DataError("All answers are the same.", "There is no variance to take apart.", "Check the read-out.")
    variances = np.where(estimates > 1e-12 * scale, estimates, 0.0)
    return pl.DataFrame(
        {
            "component": [" x ".join(crossed[axis] for axis in effect) for effect in effects],
            "factors": [[crossed[axis] for axis in effect] for effect in effects],
            "df": [sum(one[effect][0] for one in found) for effect in effects],
            "mean_square": [float(np.mean([one[effect][1] for one in found])) for effect in effects],
            "estimate": estimates,
            "variance": variances,
            "negative": estimates < -1e-12 * scale,
            "share": variances / variances.sum(),
            "n_facets": [len(parts)] * len(effects),
        }
    )


def _cells(part: pl.DataFrame, crossed: Sequence[str], where: str) -> Float[np.ndarray, "*level"]:
    """Keyed agreement as an array with one axis for each factor."""
    names = [part[factor].unique(maintain_order=True).to_list() for factor in crossed]
    for factor, levels in zip(crossed, names, strict=True):
        if len(levels) < 2:
            raise DataError(
                f"Factor {factor!r}{where} has {len(levels)} level: {levels[0]!r}.",
                "The variance between levels is not seen on one.",
                "Ask more of them, or leave the factor and its column out.",
            )
    place = [{level: index for index, level in enumerate(levels)} for levels in names]
    y = np.full([len(levels) for levels in names], np.nan)
    keyed = (part["key"] * part["agreement"]).to_list()
    for cell, value in zip(part.select(crossed).iter_rows(), keyed, strict=True):
        y[tuple(places[level] for places, level in zip(place, cell, strict=True))] = value
    missing = np.argwhere(np.isnan(y))
    if len(missing):
        lacking = {factor: levels[at] for factor, levels, at in zip(crossed, names, missing[0], strict=True)}
        raise DataError(
            f"The design{where} lacks {lacking} ({len(missing)} of {y.size} cells).",
            "Mean squares take apart only a design in which every combination was asked once.",
            "Ask the missing cells, or leave one of their levels out altogether.",
        )
    return y


def _anova(y: Float[np.ndarray, "*level"]) -> dict[_Effect, tuple[int, float, float]]:
    """Degrees of freedom, mean square and variance estimate of every effect, small effects first."""
    axes = range(y.ndim)
    effects = [effect for size in range(1, y.ndim + 1) for effect in combinations(axes, size)]
    deviation: dict[_Effect, Any] = {(): y.mean(keepdims=True)}
    df, mean_square = {}, {}
    for effect in effects:
        others = tuple(axis for axis in axes if axis not in effect)
        inside = [part for size in range(len(effect)) for part in combinations(effect, size)]
        deviation[effect] = y.mean(axis=others, keepdims=True) - sum(deviation[part] for part in inside)
        df[effect] = int(np.prod([y.shape[axis] - 1 for axis in effect]))
        mean_square[effect] = float(_size(y, others) * (deviation[effect] ** 2).sum() / df[effect])
    table = {}
    for effect in effects:
        above = [b for b in effects if set(effect) <= set(b)]
        total = sum((-1) ** (len(b) - len(effect)) * mean_square[b] for b in above)
        others = tuple(axis for axis in axes if axis not in effect)
        table[effect] = (df[effect], mean_square[effect], float(total / _size(y, others)))
    return table


def _size(y: Float[np.ndarray, "*level"], axes: Sequence[int]) -> int:
    return int(np.prod([y.shape[axis] for axis in axes]))


def _universe(components: pl.DataFrame) -> float:
    return float(components.filter(pl.col("component") == OBJECT)["variance"][0])


def _errors(components: pl.DataFrame, n: Mapping[str, int | float]) -> tuple[float, float]:
    """Relative and absolute error variance for given numbers of levels, which may be infinite."""
    relative = absolute = 0.0
    for factors, variance in components.select("factors", "variance").iter_rows():
        if factors != [OBJECT]:
            error = variance / float(np.prod([n[factor] for factor in factors if factor != OBJECT]))
            absolute += error
            relative += error if OBJECT in factors else 0.0
    return relative, absolute


def _reliability(universe: float, error: float) -> float | None:
    return universe / (universe + error) if universe + error > 0 else None


def _check_levels(components: pl.DataFrame, levels: Mapping[str, Sequence[int]]) -> None:
    require_columns(components, ["component", "factors", "variance"])
    wanted = sorted({factor for factors in components["factors"] for factor in factors} - {OBJECT})
    if sorted(levels) != wanted or any(not counts or min(counts) < 1 for counts in levels.values()):
        raise DataError(
            f"Numbers of levels {levels} for the factors {wanted}.",
            "Each factor but the persona needs its numbers, all at least 1.",
            "Pass for example item=(10, 20), phrasing=(1, 2, 5).",
        )
