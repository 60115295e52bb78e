"""How long the residual stream is at the tokens that are steered, and these tokens' rows themselves.

A coefficient is a fraction of that length. Rows are taken token by token: the mean row of a span is shorter than the
rows that steering adds to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from personascope.models.backend import Backend
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.shapes import Features


@dataclass(frozen=True)
class TokenNorm:
    """L2 norms of the residual stream after one layer, over all tokens that a position names in all prompts.

    Args:
        layer: 0-based block.
        position: e.g. "from:item".
        mean: mean norm; `sd` its standard deviation between tokens (0 for one token).
        n: number of tokens.
    """

    layer: int
    position: str
    mean: float
    sd: float
    n: int


def token_rows(
    backend: Backend, prompts: Sequence[Prompt], layers: Sequence[int], position: str
) -> dict[int, Features]:
    """Residual rows of every token that a position names, prompt after prompt: layer -> (row, d_model), float32.

    Raises:
        SpanError: the position is not in a prompt.
        ModelError: a layer is out of range or named twice, or a prompt is too long.
    """
    named = [resolve(prompt, position) for prompt in prompts]
    longest = max(map(len, named), default=0)
    # each token as a span of its own; shorter prompts repeat their last token, and the repetitions are dropped
    single = [
        Prompt(prompt.ids, prompt.text, {str(n): (token, token + 1) for n, token in _stretched(tokens, longest)})
        for prompt, tokens in zip(prompts, named, strict=True)
    ]
    read = backend.run(single, layers=layers, positions=[f"first:{n}" for n in range(longest)]).residuals
    kept = [read[row, :, : len(tokens)].float().numpy() for row, tokens in enumerate(named)]
    return {layer: np.concatenate([rows[index] for rows in kept]) for index, layer in enumerate(layers)}


def _stretched(tokens: range, length: int) -> list[tuple[int, int]]:
    return [(n, tokens[min(n, len(tokens) - 1)]) for n in range(length)]


def token_norms(rows: Mapping[int, Features], position: str) -> tuple[TokenNorm, ...]:
    """Norms of what `token_rows` read, one entry a layer.

    At "all", a few tokens can be hundreds of times as long as the others (massive activations, Sun et al. 2024); a
    standard deviation above the mean shows it, and such a mean is no measure for the rest.
    """
    found = []
    for layer, own in rows.items():
        norms = np.linalg.norm(own.astype(np.float64), axis=1)
        sd = float(norms.std(ddof=1)) if len(norms) > 1 else 0.0
        found.append(TokenNorm(layer, position, float(norms.mean()), sd, len(norms)))
    return tuple(found)
