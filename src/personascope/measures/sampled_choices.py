"""Sampled choices by persona: what came of them, how steady they are, and whether parser and judge agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError, nearest
from personascope.measures.intervals import CONFIDENCE
from personascope.measures.outcomes import OUTCOMES
from personascope.measures.tables import require_columns, require_unique

FIRST, SECOND = OUTCOMES[:2]
_KEYS = ["persona", "first", "second", "sample"]
_SHARES = (*OUTCOMES, "truncated", "contradiction")


def require_sampled(written: pl.DataFrame) -> None:
    """Hold that a table has one answer for each persona, first, second and sample, with a known outcome.

    Raises:
        DataError: a missing column or value, a repeated answer, or an unknown outcome.
    """
    require_columns(written, [*_KEYS, "outcome"])
    require_unique(written, _KEYS)
    strange = sorted(set(written["outcome"]) - set(OUTCOMES))
    if strange:
        raise DataError(
            f"Unknown outcome {strange[0]!r}.{nearest(strange[0], OUTCOMES)}",
            f"An outcome is one of {', '.join(OUTCOMES)}.",
            "Parse the answers first.",
        )


def with_pairs(written: pl.DataFrame) -> pl.DataFrame:
    """Adds task_a and task_b, the tasks of a pair in order of their ids, and pair, a label of both."""
    a, b = pl.min_horizontal("first", "second"), pl.max_horizontal("first", "second")
    return written.with_columns(task_a=a, task_b=b, pair=a + "\t" + b)


def sampled_outcomes(written: pl.DataFrame) -> pl.DataFrame:
    """Shares of outcomes, and how often the task shown first was chosen among the choices made.

    Intervals are Wilson's (1927) with each unordered pair as one observation however often it was asked, as in
    `measures.outcomes.refusal_rates`: cautious with several answers to a pair.

    Args:
        written: columns persona, first, second, sample, outcome, truncated, contradiction.

    Returns:
        Per persona one row for each outcome, for truncated and contradiction (which overlap with outcomes), and for
        "p_first": persona, what, share, low, high, count, n (answers; choices for p_first), n_pairs. Null shares where
        no choice was made.

    Raises:
        DataError: as `require_sampled`.
    """
    require_sampled(written)
    require_columns(written, ["truncated", "contradiction"])
    rows: list[dict[str, Any]] = []
    for (persona,), part in with_pairs(written).group_by("persona", maintain_order=True):
        for what in _SHARES:
            hit = part["outcome"] == what if what in OUTCOMES else part[what]
            rows.append({"persona": persona, "what": what, **_share(hit, part["pair"])})
        chosen = part.filter(pl.col("outcome").is_in([FIRST, SECOND]))
        rows.append({"persona": persona, "what": "p_first", **_share(chosen["outcome"] == FIRST, chosen["pair"])})
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(("share", "low", "high"), pl.Float64))


def sample_consistency(written: pl.DataFrame) -> pl.DataFrame:
    """Whether the same question is answered alike again, and alike when the order is swapped.

    `agreement` is the mean over ordered pairs with two choices or more of the chance that two different samples chose
    the same task, (c (c - 1) + d (d - 1)) / (n (n - 1)) for c and d choices of either; `chance` is what a coin with the
    persona's own preference for a place gives, p^2 + (1 - p)^2. `majority` is the mean share of the more frequent
    choice, 1 where there is one sample. A pair flips when the more frequent task differs between its orders, ties left
    out; choosing by place alone flips every pair.

    Args:
        written: columns persona, first, second, sample, outcome.

    Returns:
        One row per persona: persona, agreement, chance, majority, n_ordered (with two choices or more), n_chosen
        (ordered pairs with a choice), flip_rate, flip_low, flip_high (Wilson), n_pairs (with an untied majority in
        both orders). Null where nothing was asked that could tell.

    Raises:
        DataError: as `require_sampled`.
    """
    require_sampled(written)
    rows: list[dict[str, Any]] = []
    for (persona,), part in with_pairs(written).group_by("persona", maintain_order=True):
        counts = _counts(part)
        c, d = counts["chose_first"].to_numpy().astype(np.float64), counts["chose_second"].to_numpy().astype(np.float64)
        n = c + d
        again, some = n > 1, n > 0
        same = (c * (c - 1) + d * (d - 1))[again] / (n * (n - 1))[again]
        p_first = float(c.sum() / n.sum()) if some.any() else None
        modal = counts.filter(pl.col("chose_first") != pl.col("chose_second")).with_columns(
            modal=pl.when(pl.col("chose_first") > pl.col("chose_second")).then("first").otherwise("second")
        )
        both = modal.group_by("pair").agg(orders=pl.len(), differ=pl.col("modal").n_unique() > 1)
        flips = both.filter(pl.col("orders") == 2)
        flip = _share(flips["differ"], flips["pair"])
        rows.append(
            {
                "persona": persona,
                "agreement": float(same.mean()) if again.any() else None,
                "chance": None if p_first is None else p_first**2 + (1 - p_first) ** 2,
                "majority": float((np.maximum(c, d)[some] / n[some]).mean()) if some.any() else None,
                "n_ordered": int(again.sum()),
                "n_chosen": int(some.sum()),
                "flip_rate": flip["share"],
                "flip_low": flip["low"],
                "flip_high": flip["high"],
                "n_pairs": flip["n_pairs"],
            }
        )
    nullable = ("agreement", "chance", "majority", "flip_rate", "flip_low", "flip_high")
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(nullable, pl.Float64))


def judge_agreement(written: pl.DataFrame) -> pl.DataFrame:
    """Whether the judge reads what the parser reads, on the answers that the parser decided and the judge saw.

    Args:
        written: columns persona, first, second, sample, outcome, parsed_outcome, decided, judge_asked, judged_outcome
            (null where it was not asked or could not be read).

    Returns:
        One row per persona: persona, agreement (share of equal outcomes) with low and high (Wilson, pairs as
        observations), kappa (Cohen 1960; null where either gives one outcome only), n (answers that both read),
        n_judged, n_unread (asked, and nothing could be read), n_settled (undecided by the parser, and a choice or a
        refusal to the judge), n_undecided.

    Raises:
        DataError: as `require_sampled`.
    """
    require_sampled(written)
    require_columns(
        written, ["parsed_outcome", "decided", "judge_asked", "judged_outcome"], may_be_null=["judged_outcome"]
    )
    rows: list[dict[str, Any]] = []
    for (persona,), part in with_pairs(written).group_by("persona", maintain_order=True):
        heard = pl.col("judged_outcome").is_not_null()
        both = part.filter(pl.col("decided") & heard)
        share = _share(both["parsed_outcome"] == both["judged_outcome"], both["pair"])
        settled = part.filter(~pl.col("decided") & heard & (pl.col("judged_outcome") != OUTCOMES[3]))
        rows.append(
            {
                "persona": persona,
                "agreement": share["share"],
                "low": share["low"],
                "high": share["high"],
                "kappa": _kappa(both),
                "n": both.height,
                "n_judged": part.filter("judge_asked").height,
                "n_unread": part.filter(pl.col("judge_asked") & ~heard).height,
                "n_settled": settled.height,
                "n_undecided": part.filter(~pl.col("decided")).height,
            }
        )
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(("agreement", "low", "high", "kappa"), pl.Float64))


def _counts(part: pl.DataFrame) -> pl.DataFrame:
    """Choices of the first and second task by ordered pair; `pair`, and `straight` where task_a is first."""
    return part.group_by("first", "second", "pair", maintain_order=True).agg(
        chose_first=(pl.col("outcome") == FIRST).sum().cast(pl.Int64),
        chose_second=(pl.col("outcome") == SECOND).sum().cast(pl.Int64),
    )


def _kappa(both: pl.DataFrame) -> float | None:
    names = sorted(set(both["parsed_outcome"]) | set(both["judged_outcome"]))
    if len(names) < 2:
        return None
    one, other = (np.array([(both[name] == x).mean() for x in names]) for name in ("parsed_outcome", "judged_outcome"))
    observed = float(np.mean((both["parsed_outcome"] == both["judged_outcome"]).to_numpy()))
    expected = float(one @ other)
    return (observed - expected) / (1 - expected) if expected < 1 else None


def _share(hit: pl.Series, pair: pl.Series) -> dict[str, Any]:
    """share, low, high, count, n and n_pairs."""
    n, n_pairs = len(hit), pair.n_unique()
    if not n:
        return {"share": None, "low": None, "high": None, "count": 0, "n": 0, "n_pairs": 0}
    count = int(hit.sum())
    low, high = _wilson(count / n, n_pairs)
    return {"share": count / n, "low": low, "high": high, "count": count, "n": n, "n_pairs": n_pairs}


def _wilson(share: float, n: int) -> tuple[float, float]:
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    low, high = proportion_confint(share * n, n, alpha=1 - CONFIDENCE, method="wilson")
    return float(low), float(high)


def shares_of_a(part: pl.DataFrame) -> tuple[list[str], Float[np.ndarray, " pair"]]:
    """Pairs with choices in both orders, sorted, and the share that chose task_a, the mean of both orders.

    Averaging over orders rather than over answers keeps a preference for a place from tilting pairs that were refused
    more often in one order.
    """
    chosen = with_pairs(part).filter(pl.col("outcome").is_in([FIRST, SECOND]))
    took_a = (pl.col("outcome") == FIRST) == (pl.col("first") == pl.col("task_a"))
    orders = chosen.group_by("pair", "first").agg(share=took_a.mean())
    both = orders.group_by("pair").agg(n=pl.len(), share=pl.col("share").mean()).filter(pl.col("n") == 2).sort("pair")
    return both["pair"].to_list(), both["share"].to_numpy().astype(np.float64)
