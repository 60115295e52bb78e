"""Quarantine: a row with NaN or infinity stays in its shard, marked and with a reason, and is never read unasked."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from personascope.activations.layout import Layout
from personascope.errors import ActivationError, StoreError

REASON = "quarantined"  # key of the reason in a row's card


def reasons(residuals: Tensor, answers: Tensor, layers: tuple[int, ...], positions: tuple[str, ...]) -> dict[int, str]:
    """Why each row that is not finite must not be used, by its place in the shard.

    Args:
        residuals: shape (row, layer, position, d_model).
        answers: log-probabilities, shape (row, option + 1), the last those of all other tokens.
        layers: names of that axis.
        positions: names of that axis.
    """
    if _all_finite(residuals) and _all_finite(answers):
        return {}
    wrong = ~torch.isfinite(residuals).all(dim=-1)
    found = {}
    for row in torch.nonzero(wrong.flatten(1).any(dim=1) | ~torch.isfinite(answers).all(dim=1)).flatten().tolist():
        if wrong[row].any():
            layer, position = torch.nonzero(wrong[row])[0].tolist()
            kind = _kind(residuals[row, layer, position])
            found[row] = f"{kind} at layer {layers[layer]}, position {positions[position]!r}"
        else:
            found[row] = f"{_kind(answers[row])} in the answer's log-probabilities"
    return found


def require_some_finite(shard: int, found: dict[int, str], ids: list[str], dtype: torch.dtype) -> None:
    """Stop when the model is broken rather than a row: no row of a shard of at least two is finite.

    Raises:
        ActivationError: all rows of the shard are quarantined.
    """
    if len(found) == len(ids) > 1:
        raise ActivationError(
            f"Shard {shard}: all {len(ids)} rows have NaN or infinity; the first, {ids[0]!r}, has {found[0]}.",
            f"Residuals in {dtype} overflow, or the model's weights are damaged.",
            "Load the model in float32 or bfloat16 (float16 overflows in some models).",
        )


def require_marked(layout: Layout, marks: np.ndarray, cards: list[dict[str, object]]) -> None:
    """Hold marks and reasons of a shard together.

    Raises:
        StoreError: a row is marked without a reason, or has a reason without a mark.
    """
    if [bool(mark) for mark in marks] != [REASON in card for card in cards]:
        raise StoreError(f"Shard {layout.shard}: quarantine marks and reasons do not agree.")


def refusal(where: str, ids: list[str], why: list[str], n_rows: int) -> StoreError:
    """The error of a reader who did not ask for quarantined rows to be left out."""
    return StoreError(
        f"{where}: {len(ids)} of {n_rows} rows are quarantined; the first is {ids[0]!r}: {why[0]}.",
        "Their numbers are NaN or infinite: the model overflowed on these prompts.",
        "Look at store.quarantined; read through store.without_quarantined() and report how many were left out, or "
        "collect again in another dtype.",
    )


def _all_finite(values: Tensor) -> bool:
    # NaN and infinity reach the extremes, which are found twenty times faster than `isfinite` looks at every value.
    return values.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(values))).all())


def _kind(values: Tensor) -> str:
    return "NaN" if bool(torch.isnan(values).any()) else "infinity"
