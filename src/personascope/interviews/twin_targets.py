"""What an answer tells about something else than who of the bank it is: a trait, or answers that will not be asked."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from personascope.interviews.respondents import Scores, entropy_bits
from personascope.interviews.twins import TwinBelief


def score_moments(
    belief: TwinBelief, scores: Float[np.ndarray, "respondent trait"]
) -> tuple[Float[np.ndarray, "interview trait"], Float[np.ndarray, "interview trait"]]:
    """Mean and standard deviation of the scores of who it may be."""
    weights, of = belief.weights().double(), torch.from_numpy(np.asarray(scores, dtype=float))
    mean = weights @ of
    variance = (weights @ of**2 - mean**2).clamp(min=0)
    return mean.numpy(), variance.sqrt().numpy()


def score_reduction(belief: TwinBelief, scores: Float[np.ndarray, "respondent trait"]) -> Scores:
    """Expected fall of the summed variance of some scores: sum_a p(a) E[s | a]^2 - E[s]^2, shape (interview, item)."""
    weights, total = belief.weights(), 0.0
    p = belief.answered(belief.shares(weights))
    centred = scores - scores.mean(axis=0)
    for column in torch.from_numpy(centred.astype(np.float32)).T:
        weighted = belief.shares(weights * column, signed=True)
        sums = belief.answered(weighted)
        before = (weights * column).sum(dim=1).double().numpy()
        total = total + (sums**2 / np.maximum(p, 1e-12)).sum(axis=-1) - before[:, None] ** 2
    fall: Scores = np.maximum(np.asarray(total), 0)
    return fall


def score_information(belief: TwinBelief, scores: Float[np.ndarray, " respondent"], bins: int) -> Scores:
    """Expected information about in which of equally filled bins a score lies, in bits."""
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    inside = np.searchsorted(edges, scores, side="right")
    weights = belief.weights()
    joint = np.stack(
        [
            belief.answered(belief.shares(weights * torch.from_numpy((inside == number).astype(np.float32))))
            for number in range(bins)
        ],
        axis=-1,
    )
    return _mutual(joint)


def item_information(belief: TwinBelief, columns: Int[np.ndarray, " target"], candidates: int = 0) -> Scores:
    """Expected information about the answers to some items, each by itself, summed, in bits.

    Args:
        belief: what is known.
        columns: of the items; they score -inf, as they are not asked.
        candidates: only questions that tell most about the person are looked at, the others score -inf; 0: all.
    """
    model = belief.model
    first = belief.information()
    first[:, columns] = -np.inf
    n_items, n = len(model.items), belief.n
    many = n_items - len(columns) if candidates <= 0 else min(candidates, n_items - len(columns))
    best = np.argsort(-first, axis=1, kind="stable")[:, :many]
    found = np.full((n, n_items), -np.inf)
    weights = belief.weights()
    twins = torch.arange(model.n_options + 1, dtype=torch.int8)
    targets = (model.codes[columns].T[:, :, None] == twins).float()  # (respondent, target, twin)
    flat = targets.reshape(len(targets), -1)
    of_targets = model.answers[columns]
    for row in range(n):
        asked = (model.codes[best[row]][:, None] == twins[None, :, None]).float() * weights[row]
        together = (asked.reshape(-1, asked.shape[-1]) @ flat).double().numpy()
        shape = (many, len(twins), len(columns), len(twins))
        joint = np.einsum("qxty,qxa->qaty", together.reshape(shape), model.answers[best[row]], optimize=True)
        both = np.einsum("qaty,tyc->qatc", joint, of_targets, optimize=True)
        found[row, best[row]] = _mutual(both.transpose(0, 2, 1, 3)).sum(axis=-1)
    return found


def _mutual(joint: np.ndarray) -> np.ndarray:
    """Mutual information of the last two axes of a joint distribution, in bits."""
    one, two = joint.sum(axis=-1), joint.sum(axis=-2)
    together = entropy_bits(joint.reshape(*joint.shape[:-2], -1))
    bits: np.ndarray = np.maximum(entropy_bits(one) + entropy_bits(two) - together, 0)
    return bits
