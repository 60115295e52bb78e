"""Whether sampled choices say what label probabilities say, and how many samples of a pair are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy import stats

from personascope.errors import DataError
from personascope.measures.choices import choice_table
from personascope.measures.intervals import percentile_interval, resampled_means
from personascope.measures.outcomes import Outcomes
from personascope.measures.reliability import correlate
from personascope.measures.sampled_choices import FIRST, SECOND, require_sampled, shares_of_a, with_pairs
from personascope.shapes import RowValues

MIN_PAIRS = 3
_SIGNS = ("corrected", "same_order")


def agreement_with_log_odds(
    written: pl.DataFrame, choices: pl.DataFrame, *, n_resamples: int = 2_000, seed: int = 0
) -> pl.DataFrame:
    """Agreement of sampled choices with the label log-odds of the same pairs, by persona.

    Two signs are compared with: that of the order-corrected log-odds (`choice_table`), which says which task is
    preferred, and that of the log-odds in the order in which the answer saw the tasks, which holds the preference for
    a place too. Chance is the agreement of independent answers with the same shares of the first,
    p q + (1 - p)(1 - q); agreement in the same order can be high for nothing but a shared preference for a place.

    Args:
        written: columns persona, first, second, sample, outcome; refusals and unread answers are left out.
        choices: columns as for `choice_table`; the written pairs must be among them.
        n_resamples: bootstrap resamples of pairs, with all their answers.
        seed: of the bootstrap.

    Returns:
        One row per persona: persona, then for corrected and same_order: agreement_X, agreement_X_low,
        agreement_X_high, agreement_X_chance, agreement_X_n (answers; even log-odds are left out); r, r_low, r_high
        (Pearson over pairs, each in both directions, of the share that chose a task, both orders averaged, with the
        order-corrected log-odds; pairs are resampled; null for fewer than 3 pairs or no variance), n_pairs (with
        choices in both orders).

    Raises:
        DataError: as `require_sampled` and `choice_table`, or a written pair without log-odds.
    """
    require_sampled(written)
    corrected = choice_table(choices).select("persona", "task_a", "task_b", "log_odds_a")
    own_order = choices.select("persona", "first", "second", same=pl.col("logprob_first") - pl.col("logprob_second"))
    joined = (
        with_pairs(written)
        .join(corrected, on=["persona", "task_a", "task_b"], how="left", maintain_order="left")
        .join(own_order, on=["persona", "first", "second"], how="left", maintain_order="left")
    )
    lacking = joined.filter(pl.col("log_odds_a").is_null())
    if lacking.height:
        persona, first, second = lacking.select("persona", "first", "second").row(0)
        raise DataError(
            f"Persona {persona!r} has no log-odds of {first!r} and {second!r} ({lacking.height} answers).",
            "Both ways of asking must be of the same pairs.",
            "Ask the choices by label too, or leave these answers out.",
        )
    rows = []
    for (persona,), part in joined.group_by("persona", maintain_order=True):
        rows.append({"persona": persona, **_signs(part, n_resamples, seed), **_over_pairs(part, n_resamples, seed)})
    numbers = [f"agreement_{sign}{end}" for sign in _SIGNS for end in ("", "_low", "_high", "_chance")]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys([*numbers, "r", "r_low", "r_high"], pl.Float64))


def sample_calibration(written: pl.DataFrame, task_ids: Sequence[str], **fit: Any) -> pl.DataFrame:
    """Whether k samples of each ordered pair rank the tasks as all K samples do, for k = 1 .. K.

    The subset starts at each sample in turn and wraps around, so that none counts for more. The utilities of a subset
    share answers with those of all, which flatters r; `rank_r_apart` compares with the samples left out, which share
    the pairs only.

    Args:
        written: columns persona, first, second, sample, outcome.
        task_ids: the pool.
        fit: as for `fit_utilities`.

    Returns:
        One row per persona and k: persona, k, rank_r (Spearman, mean over subsets), lowest, highest (over subsets: the
        scatter of subsets, no confidence interval), rank_r_apart (null at k = K), n_answers (choices, mean over
        subsets), n_tasks (fewest with choices on both sides), n_subsets (with a defined r). Null where no r is
        defined.

    Raises:
        DataError: as `require_sampled`, a task outside the pool, or answers with different numbers of samples.
    """
    require_sampled(written)
    number = {task: index for index, task in enumerate(task_ids)}
    rows: list[dict[str, Any]] = []
    for (persona,), part in written.group_by("persona", maintain_order=True):
        samples = sorted(set(part["sample"]))
        sizes = part.group_by("first", "second").len()["len"]
        strange = next((task for name in ("first", "second") for task in part[name] if task not in number), None)
        if strange is not None or set(sizes) != {len(samples)}:
            raise DataError(
                f"Persona {persona!r}: "
                + (f"unknown task {strange!r}." if strange else f"{min(sizes)} to {max(sizes)} samples of a pair."),
                "Utilities from k samples are compared over one pool, with as many samples of every pair.",
                "Pass the whole pool and all that was written.",
            )
        whole = _utilities(part, number, fit)
        for k in range(1, len(samples) + 1):
            starts = range(len(samples)) if k < len(samples) else range(1)
            chosen = [{samples[(start + step) % len(samples)] for step in range(k)} for start in starts]
            rows.append({"persona": persona, "k": k, **_subsets(part, chosen, whole, number, fit)})
    numbers = ("rank_r", "lowest", "highest", "rank_r_apart", "n_answers")
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(numbers, pl.Float64))


_Fitted = tuple[Float[np.ndarray, " task"], Bool[np.ndarray, " task"], float]


def _subsets(
    part: pl.DataFrame, chosen: Sequence[set[int]], whole: _Fitted | None, number: dict[str, int], fit: dict[str, Any]
) -> dict[str, Any]:
    found: list[float] = []
    apart: list[float] = []
    answers: list[float] = []
    tasks: list[int] = []
    for subset in chosen:
        inside = pl.col("sample").is_in(list(subset))
        own, rest = (_utilities(part.filter(keep), number, fit) for keep in (inside, ~inside))
        answers.append(own[2] if own else 0.0)
        tasks.append(int((own[1] & whole[1]).sum()) if own and whole else 0)
        for one, into in ((whole, found), (rest, apart)):
            r = _rank_r(own, one)
            into.extend([] if r is None else [r])
    return {
        "rank_r": float(np.mean(found)) if found else None,
        "lowest": min(found) if found else None,
        "highest": max(found) if found else None,
        "rank_r_apart": float(np.mean(apart)) if apart else None,
        "n_answers": float(np.mean(answers)),
        "n_tasks": min(tasks),
        "n_subsets": len(found),
    }


def _utilities(part: pl.DataFrame, number: dict[str, int], fit: dict[str, Any]) -> _Fitted | None:
    """(utilities, tasks with a choice, choices made); None without any choice."""
    first, second = (np.array([number[task] for task in part[name]], dtype=np.int64) for name in ("first", "second"))
    made = np.isin(part["outcome"].to_numpy(), [FIRST, SECOND])
    if not made.any():
        return None
    outcomes = Outcomes.sampled(first, second, part["outcome"].to_list())
    met = np.zeros(len(number), dtype=bool)
    met[np.concatenate([first[made], second[made]])] = True
    return outcomes.fit(n_tasks=len(number), **fit).values, met, float(made.sum())


def _rank_r(one: _Fitted | None, other: _Fitted | None) -> float | None:
    if one is None or other is None:
        return None
    both = one[1] & other[1]
    x, y = one[0][both], other[0][both]
    if both.sum() < 3 or min(np.ptp(x), np.ptp(y)) <= 1e-12:
        return None
    return float(stats.spearmanr(x, y).statistic)


def _signs(part: pl.DataFrame, n_resamples: int, seed: int) -> dict[str, Any]:
    """Agreement with either sign, over the answers that chose."""
    chosen = part.filter(pl.col("outcome").is_in([FIRST, SECOND]))
    took_first = (chosen["outcome"] == FIRST).to_numpy()
    direction = np.where((chosen["first"] == chosen["task_a"]).to_numpy(), 1.0, -1.0)
    toward_first = {
        "corrected": chosen["log_odds_a"].to_numpy().astype(np.float64) * direction,
        "same_order": chosen["same"].to_numpy().astype(np.float64),
    }
    row: dict[str, Any] = {}
    for name, odds in toward_first.items():
        clear = odds != 0
        pairs = np.unique(chosen["pair"].to_numpy()[clear].astype(str), return_inverse=True)[1]
        found = _agreement(took_first[clear], odds[clear] > 0, pairs, n_resamples, seed)
        row |= {f"agreement_{name}{end}": value for end, value in found.items()}
    return row


def _agreement(
    took_first: Bool[np.ndarray, " answer"],
    odds_first: Bool[np.ndarray, " answer"],
    pairs: Int[np.ndarray, " answer"],
    n_resamples: int,
    seed: int,
) -> dict[str, Any]:
    n = len(took_first)
    if not n:
        return {"": None, "_low": None, "_high": None, "_chance": None, "_n": 0}
    agree: RowValues = (took_first == odds_first).astype(np.float64)
    p, q = float(took_first.mean()), float(odds_first.mean())
    low, high = None, None
    if pairs.max() > 0:
        one_cell = np.zeros(n, dtype=np.int64)
        means = resampled_means(agree[:, None], one_cell, pairs, n_resamples=n_resamples, seed=seed, within=False)
        low, high = percentile_interval(means[:, 0, 0])
    chance = p * q + (1 - p) * (1 - q)
    return {"": float(agree.mean()), "_low": low, "_high": high, "_chance": chance, "_n": n}


def _over_pairs(part: pl.DataFrame, n_resamples: int, seed: int) -> dict[str, Any]:
    """Correlation over pairs of how far a task was chosen over the other with its log-odds.

    Each pair enters in both directions, so that it does not matter which of its tasks is called a.
    """
    pairs, share = shares_of_a(part.drop("task_a", "task_b", "pair"))
    known = dict(part.select("pair", "log_odds_a").unique().iter_rows())
    odds = np.array([known[pair] for pair in pairs], dtype=np.float64)
    row: dict[str, Any] = {"r": None, "r_low": None, "r_high": None, "n_pairs": len(pairs)}
    x, y = (np.concatenate([values, -values]) for values in (share - 0.5, odds))
    if len(pairs) >= MIN_PAIRS and min(np.ptp(x), np.ptp(y)) > 1e-12:
        both_ways = np.tile(np.arange(len(pairs)), 2)
        found = correlate(x, y, n_resamples=n_resamples, seed=seed, groups=both_ways)
        row |= {"r": found.r, "r_low": found.low, "r_high": found.high}
    return row
