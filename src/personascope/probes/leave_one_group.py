"""Train on all groups but one and test on that one: does a probe read the target where it has never been?

A correlation pooled over the held-out groups credits differences between their means. So it stands beside the
correlations inside groups, which do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import N_RESAMPLES
from personascope.probes.controls import permutations
from personascope.probes.evaluate import check_targets, checked_rows
from personascope.probes.folds import Folds
from personascope.probes.group_scores import Summary, accuracy_summary, correlation_summary
from personascope.probes.leave_out import leave_out_ridge
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.shapes import Features, Targets

What: TypeAlias = Literal["pooled", "mean over groups", "weighted mean", "within groups", "group"]
_HIGH = 0.95
_SCHEMA = {
    **dict.fromkeys(("target", "persona", "position"), pl.String),
    "layer": pl.Int64,
    **dict.fromkeys(("what", "group", "metric"), pl.String),
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "n": pl.Int64,
    "n_groups": pl.Int64,
    **dict.fromkeys(("shuffled", "shuffled_high", "text_baseline", "encoder_baseline"), pl.Float64),
    **dict.fromkeys(("ceiling", "corrected"), pl.Float64),
}


@dataclass(frozen=True)
class GroupScore:
    """One number of a leave-one-group-out evaluation.

    Args:
        target: what was read.
        what: "pooled" over all rows; "mean over groups" (unweighted) or "weighted mean" (by rows) of the groups' own
            numbers; "within groups", with group means removed, or over pairs within groups; or one "group".
        group: name of the group, None for all others.
        metric: "r", or "accuracy" over pairs of rows: the share in which the predicted difference has the sign of the
            true one.
        value: the number, None where it is undefined (fewer than three rows, or a target that does not vary).
        low: of the 95 % bootstrap interval, with `high`: over rows for a group, over groups otherwise.
        high: see `low`.
        n: rows that count.
        n_groups: groups that count.
        shuffled: mean of the same number over shuffled targets.
        shuffled_high: their 95th percentile.
        text_baseline: the same number of the text baseline.
        encoder_baseline: the same of the encoder's, None without one.
        ceiling: of r, the root of the target's reliability (Spearman 1904); None where unknown.
    """

    target: str
    what: What
    group: str | None
    metric: Literal["r", "accuracy"]
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_groups: int
    shuffled: float | None
    shuffled_high: float | None
    text_baseline: float | None
    encoder_baseline: float | None
    ceiling: float | None

    @property
    def corrected(self) -> float | None:
        """The value as a share of its ceiling: r with the target's error taken out."""
        return None if not self.ceiling or self.value is None else self.value / self.ceiling


@dataclass(frozen=True)
class LeaveOneGroupOut:
    """All numbers of all targets at one layer and position.

    Args:
        scores: for each target and metric the pooled one, means, within groups, then each group.
        persona: whose activations; with `position` and `layer` where they come from.
        position: name of the token position.
        layer: decoder block.
    """

    scores: tuple[GroupScore, ...]
    persona: str
    position: str
    layer: int

    def score(self, target: str, what: What, metric: str = "r", group: str | None = None) -> GroupScore:
        """The one number that is meant.

        Raises:
            DataError: there is no such number.
        """
        wanted = (target, what, metric, group)
        for score in self.scores:
            if (score.target, score.what, score.metric, score.group) == wanted:
                return score
        raise DataError(f"No score {wanted} among {len(self.scores)}.", "", "Read .frame() for those there are.")

    def frame(self) -> pl.DataFrame:
        """One row per number: target, persona, position, layer, what, group, metric, value ... ceiling, corrected."""
        place = {"persona": self.persona, "position": self.position, "layer": self.layer}
        rows = [{**vars(score), **place, "corrected": score.corrected} for score in self.scores]
        return pl.DataFrame([{name: row[name] for name in _SCHEMA} for row in rows], schema=_SCHEMA)


def leave_one_group_out(
    X: Features,
    Y: Targets,
    *,
    names: Sequence[str],
    groups: Shaped[np.ndarray, " row"],
    texts_predictions: Targets,
    persona: str,
    position: str,
    layer: int,
    encoder_predictions: Targets | None = None,
    group_names: Sequence[str] | None = None,
    reliability: Sequence[float] | None = None,
    n_shuffles: int = 20,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
) -> LeaveOneGroupOut:
    """How well ridge probes read each target in groups that they were not trained on, one group at a time.

    The penalty is chosen on the other groups, by leaving each of them out in closed form (see `leave_out`).

    Args:
        X: residual stream, shape (row, d_model).
        Y: targets, shape (row, target).
        names: name of each target.
        groups: group (topic) of each row.
        texts_predictions: of `text_baseline_scores(texts, Y, leave_one_group_folds(groups))`, shape (row, target).
        persona: whose activations; with `position` and `layer` copied into the result.
        position: name of the token position.
        layer: decoder block.
        encoder_predictions: of `feature_baseline_scores` with those folds.
        group_names: names of the groups in sorted order of their labels; by default the labels.
        reliability: of each target over all rows, in (0, 1]. For "within groups" it becomes the share of the variance
            within groups that is not error, if the error is as large in every group.
        n_shuffles: permutations of the targets over all rows.
        seed: of shuffles and bootstrap.
        n_resamples: bootstrap resamples.
        alphas: penalties to choose from.

    Raises:
        DataError: as `evaluate_ridge`, fewer than three groups, or names or reliabilities that do not fit.
        ActivationError: features that are not finite.
    """
    X, codes, n_groups = checked_rows(X, groups, len(Y))
    texts = check_targets(Y, names, texts_predictions, encoder_predictions)
    labels = [str(label) for label in np.unique(groups)] if group_names is None else list(group_names)
    _check(n_groups, labels, names, reliability, n_shuffles)
    shuffles = permutations(codes, n_shuffles, seed)
    everything = np.concatenate([Y[None], Y[shuffles]]).transpose(1, 0, 2).reshape(len(Y), -1)
    predictions = leave_one_group_predictions(X, everything, codes, alphas)
    scores: list[GroupScore] = []
    metrics: tuple[tuple[Literal["r", "accuracy"], Callable[..., Summary]], ...] = (
        ("r", correlation_summary),
        ("accuracy", accuracy_summary),
    )
    for t, name in enumerate(names):
        own = slice(t, None, len(names))
        for metric, summarise in metrics:
            found = summarise(predictions[:, own], everything[:, own], codes, n_resamples, seed)
            baselines = [summarise(text[:, [t]], Y[:, [t]], codes, 0, seed).values[:, 0] for text in texts]
            ceilings = _ceilings(Y[:, t], codes, reliability[t]) if metric == "r" and reliability else {}
            scores += _scores(name, metric, found, baselines, labels, ceilings)
    return LeaveOneGroupOut(tuple(scores), persona, position, layer)


def leave_one_group_predictions(
    X: Features, Y: Targets, codes: Int[np.ndarray, " row"], alphas: Sequence[float]
) -> Targets:
    """Predictions (row, target) of every group, numbered from 0, by probes trained and tuned on the others."""
    predictions = np.empty(Y.shape)
    for group in range(int(codes.max()) + 1):
        test = codes == group
        fit = leave_out_ridge(X[~test], Y[~test], alphas, codes[~test])
        predictions[test] = X[test] @ fit.coef + fit.intercept
    return predictions


def leave_one_group_folds(groups: Shaped[np.ndarray, " row"]) -> Folds:
    """One fold per group, in sorted order of their labels."""
    codes = np.unique(groups, return_inverse=True)[1]
    return [(np.flatnonzero(codes != group), np.flatnonzero(codes == group)) for group in range(int(codes.max()) + 1)]


def _scores(
    name: str,
    metric: Literal["r", "accuracy"],
    found: Summary,
    baselines: Sequence[Float[np.ndarray, " number"]],
    labels: Sequence[str],
    ceilings: dict[What, float | None],
) -> list[GroupScore]:
    whats: list[What] = ["pooled", "mean over groups", "weighted mean", "within groups"]
    kinds: list[tuple[What, str | None]] = [*((what, None) for what in whats), *(("group", label) for label in labels)]
    scores = []
    for k, (what, group) in enumerate(kinds):
        value, shuffled = found.values[k, 0], found.values[k, 1:]
        known = shuffled[np.isfinite(shuffled)]
        scores.append(
            GroupScore(
                target=name,
                what=what,
                group=group,
                metric=metric,
                value=_or_none(value),
                low=_or_none(found.low[k]),
                high=_or_none(found.high[k]),
                n=int(found.n[k]),
                n_groups=int(found.n_groups[k]),
                shuffled=float(known.mean()) if len(known) else None,
                shuffled_high=float(np.quantile(known, _HIGH)) if len(known) else None,
                text_baseline=_or_none(baselines[0][k]),
                encoder_baseline=_or_none(baselines[1][k]) if baselines[1:] else None,
                ceiling=ceilings.get(what),
            )
        )
    return scores


def _ceilings(y: np.ndarray, codes: np.ndarray, reliability: float) -> dict[What, float | None]:
    """The root of the reliability over all rows, and of that within groups if errors are alike everywhere."""
    n, n_groups = len(y), int(codes.max()) + 1
    means = (np.bincount(codes, weights=y) / np.bincount(codes))[codes]
    error = (1 - reliability) * y.var(ddof=1)
    squares = float(((y - means) ** 2).sum())
    within = 1 - error * (n - n_groups) / squares if squares > 0 else 0.0
    return {"pooled": math.sqrt(reliability), "within groups": math.sqrt(within) if within > 0 else None}


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _check(
    n_groups: int, labels: Sequence[str], names: Sequence[str], reliability: Sequence[float] | None, n_shuffles: int
) -> None:
    if n_groups < 3 or len(labels) != n_groups or n_shuffles < 1:
        raise DataError(
            f"{n_groups} groups with {len(labels)} names and {n_shuffles} shuffles.",
            "One group is tested and two choose the penalty; a number means nothing beside no shuffle.",
            "Pass at least three groups, one name for each, and a shuffle.",
        )
    if reliability is not None and (len(reliability) != len(names) or not all(0 < value <= 1 for value in reliability)):
        raise DataError(
            f"Reliabilities {list(reliability)} of {len(names)} targets.",
            "Each target has one, above 0 and at most 1.",
            "Pass None where it is unknown.",
        )
