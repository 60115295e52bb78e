"""Choices under steering: what is taken when a task is pushed, by whom it was liked, in which slot, and how steadily.

P is P(first) or P(second) given that one of both labels is said, for every row (a pair in one order), against the
coefficient c. Every read-out is averaged over the rows of a pair, and pairs are what intervals resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.special import expit

from personascope.errors import DataError
from personascope.measures.tables import require_columns
from personascope.measures.wilson import wilson
from personascope.steering.coefficient_sweep import SweepAnswers
from personascope.steering.curves import Curves

Push: TypeAlias = Literal["contrast", "common"]
"""What +c does: "contrast" + on the first task and - on the second; "common" the same whatever the order."""
Chance = Float[np.ndarray, "row layer direction coefficient"]
_CELL = ("layer", "direction", "control", "coefficient")


def contrastive_curve(answers: SweepAnswers, pair: Int[np.ndarray, " row"]) -> Curves:
    """P(the task that is pushed up) for contrastive pushes: (P(first; c) + P(second; -c)) / 2.

    At -c the same push falls on the other slot. The mean of both has no position bias, and is antisymmetric about 1/2
    by construction: only its slope is a finding, and 1/2 at c = 0 says nothing.

    Args:
        answers: of a sweep with two options, + on the first task and - on the second.
        pair: pair number of each row; both orders of a pair share it.

    Raises:
        DataError: not two options, a pair without both orders.
    """
    first = _p_first(answers, pair)
    return _curves(answers, "P(chooses steered task)", (first + 1 - _mirrored(first)) / 2, pair)


def utility_curve(
    answers: SweepAnswers,
    pair: Int[np.ndarray, " row"],
    first_utility: Float[np.ndarray, " row"],
    second_utility: Float[np.ndarray, " row"],
) -> Curves:
    """P(the task of higher utility) when +c is on that task and -c on the other, whichever slot it stands in.

    P(first; c) in rows where the first task is the better one, P(second; -c) in the others. Nothing makes this curve
    antisymmetric: at c = 0 it is how often the better task is chosen anyway, and a push down has to overturn that.

    Args:
        answers: of a sweep with two options, + on the first task and - on the second.
        pair: pair number of each row; both orders of a pair share it.
        first_utility: utility of the task shown first in each row.
        second_utility: of the one shown second.

    Raises:
        DataError: as `contrastive_curve`; tasks of one utility; a better task that is not once first and once second.
    """
    first = _p_first(answers, pair)
    better_first = first_utility > second_utility
    tied = ~(better_first | (first_utility < second_utility))
    numbers, code, size = np.unique(pair, return_inverse=True, return_counts=True)
    uneven = 2 * np.bincount(code, weights=better_first) != size
    if tied.any() or uneven.any():
        number = int(pair[tied][0] if tied.any() else numbers[uneven][0])
        raise DataError(
            f"Pair {number} has no better task that stands first in one order and second in the other "
            f"({int(tied.sum())} rows have tied or unknown utilities, {int(uneven.sum())} pairs are uneven).",
            "Position bias cancels only if the better task is shown in both slots.",
            "Leave tied pairs out, and ask both orders.",
        )
    rows = np.where(better_first[:, None, None, None], first, 1 - _mirrored(first))
    return _curves(answers, "P(chooses task of higher utility)", rows, pair)


def single_task_curve(on_first: SweepAnswers, on_second: SweepAnswers, pair: Int[np.ndarray, " row"]) -> Curves:
    """P(the one task that is pushed): the mean of P(first; c on the first) and P(second; c on the second).

    Each task of a pair is pushed in each slot, so the curve is 1/2 at c = 0 by construction, but what + and - do is
    free: `Curves.effects` gives amplification and suppression apart.

    Args:
        on_first: of a sweep that pushes the first task only.
        on_second: of the same prompts and cells, pushing the second task only.
        pair: pair number of each row; both orders of a pair share it.

    Raises:
        DataError: as `contrastive_curve`; sweeps of different cells.
    """
    grids = [(a.layers, a.coefficients, a.directions, a.kinds) for a in (on_first, on_second)]
    if grids[0] != grids[1]:
        raise DataError(
            f"The sweeps of the first and the second task differ: {grids[0]} and {grids[1]}.",
            "The same push is averaged over both slots.",
            "Sweep the same layers, directions and coefficients.",
        )
    rows = np.concatenate([_p_first(on_first, pair), 1 - _p_first(on_second, pair)])
    mass = np.concatenate([_label_mass(on_first), _label_mass(on_second)])
    return Curves.of_rows(on_first, "P(chooses pushed task)", rows, mass, np.tile(pair, 2))


def position_curve(answers: SweepAnswers, pair: Int[np.ndarray, " row"], push: Push) -> Curves:
    """P(first): 1/2 without position bias.

    Under a contrastive push the first task is also the one pushed, so both signs are averaged, (P(first; c) +
    P(first; -c)) / 2, and the curve is even by construction.

    Args:
        answers: of a sweep with two options.
        pair: pair number of each row; both orders of a pair share it.
        push: what +c does.

    Raises:
        DataError: as `contrastive_curve`.
    """
    first = _p_first(answers, pair)
    return _curves(answers, "P(first)", (first + _mirrored(first)) / 2 if push == "contrast" else first, pair)


def order_flip_curve(answers: SweepAnswers, pair: Int[np.ndarray, " row"], push: Push) -> Curves:
    """Share of pairs whose more probable task changes with the order, under the same push on the same task.

    With a contrastive push, +c on a task that stands second is -c of its row. Each pair is read once with either task
    pushed up, so the curve is even by construction. An exact tie counts as half a flip.

    Args:
        answers: of a sweep with two options.
        pair: pair number of each row; exactly the two orders of a pair share it.
        push: what +c does.

    Raises:
        DataError: as `contrastive_curve`; a pair with more than two rows.
    """
    first = _p_first(answers, pair)
    numbers, size = np.unique(pair, return_counts=True)
    if (size != 2).any():
        raise DataError(
            f"Pair {numbers[size != 2][0]} has {size[size != 2][0]} rows.",
            "A flip is a difference between the two orders of one question.",
            "Pass one wording at a time.",
        )
    one, other = np.argsort(pair, kind="stable").reshape(-1, 2).T
    takes_first = (1 + np.sign(first - 0.5)) / 2
    here = takes_first[one]
    there = 1 - (_mirrored(takes_first) if push == "contrast" else takes_first)[other]
    flips = here * (1 - there) + there * (1 - here)
    flips = (flips + _mirrored(flips)) / 2 if push == "contrast" else flips
    mass = _label_mass(answers)
    return Curves.of_rows(answers, "order flips", flips, (mass[one] + mass[other]) / 2, pair[one])


def sampled_curve(answers: pl.DataFrame, read_out: str, *, by: Sequence[str] = ()) -> pl.DataFrame:
    """Shares of sampled answers, with Wilson's interval that takes pairs as observations however often each was asked.

    Args:
        answers: columns pair, layer, direction, control, coefficient, hit (whether the answer is what `read_out` says;
            null where it chose neither task).
        read_out: name of the share.
        by: further columns that tell curves apart, such as pair_type.

    Returns:
        Columns by..., read_out, layer, direction, control, coefficient, value, low, high, n (pairs with a choice),
        label_mass (share of the answers that chose at all), n_answers. Null shares where nothing was chosen.

    Raises:
        DataError: a missing column or value.
    """
    require_columns(answers, [*by, "pair", *_CELL, "hit"], may_be_null=["hit"])
    table = answers.group_by(*by, *_CELL, maintain_order=True).agg(
        value=pl.col("hit").cast(pl.Float64).mean(),
        n=pl.col("pair").filter(pl.col("hit").is_not_null()).n_unique().cast(pl.Int64),
        label_mass=pl.col("hit").is_not_null().mean(),
        n_answers=pl.len().cast(pl.Int64),
    )
    share = table["value"].fill_null(0.0).to_numpy().astype(np.float64)
    low, high = wilson(share, table["n"].to_numpy().astype(np.float64))
    ends = (pl.Series("low", low, nan_to_null=True), pl.Series("high", high, nan_to_null=True))
    return table.with_columns(*ends, pl.lit(read_out).alias("read_out")).select(
        *by, "read_out", *_CELL, "value", "low", "high", "n", "label_mass", "n_answers"
    )


def _curves(answers: SweepAnswers, read_out: str, rows: Chance, pair: Int[np.ndarray, " row"]) -> Curves:
    return Curves.of_rows(answers, read_out, rows, _label_mass(answers), pair)


def _p_first(answers: SweepAnswers, pair: Int[np.ndarray, " row"]) -> Chance:
    """P(first) given that one of the two labels is said."""
    n_rows, n_options = answers.option_logprobs.shape[0], answers.option_logprobs.shape[-1]
    numbers, size = np.unique(pair, return_counts=True)
    odd = size % 2 == 1
    if n_options != 2 or len(pair) != n_rows or odd.any():
        raise DataError(
            f"Answers to {n_rows} rows with {n_options} options and {len(pair)} pair numbers, of which "
            f"{int(odd.sum())} stand an odd number of times (first: {numbers[odd][:1].tolist()}).",
            "A choice has two options, and position bias cancels only over both orders of a pair.",
            "Ask every pair in both orders, with two labels.",
        )
    logprobs = answers.option_logprobs.astype(np.float64)
    with np.errstate(invalid="ignore"):  # no probability on either label: NaN, which the curves refuse by name
        return np.asarray(expit(logprobs[..., 0] - logprobs[..., 1]))


def _mirrored(values: Chance) -> Chance:
    """Values at -c: the grid is symmetric, as `Curves` holds."""
    return values[..., ::-1]


def _label_mass(answers: SweepAnswers) -> Chance:
    return np.asarray(1 - np.exp(answers.other_logmass.astype(np.float64)))
