"""A decoder that carries its embeddings unchanged to the final norm, so that what a push does is known in closed form.

Its blocks add nothing (`o_proj` and `down_proj` are zero). With h the embedding of the last token, g the weight of the
final norm and W the head, a push x v at that token after any block gives

    logits = (W * g) h' / sqrt(|h'|^2 / d + eps),    h' = h + x v.

The rows of the labels A and B are made to differ by 2 s u in W * g, so that with n(x) = sqrt(|h + x v|^2 / d + eps)

    P(A | A or B) = sigmoid(2 s (u.h + x u.v) / n(x)).

Along u this rises for ever; along (u + p) / sqrt(2) it turns back where h + x v comes nearest to u (h has - b p in it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax

from personascope.direction import Direction
from personascope.models.engine import HookEngine
from personascope.models.tiny import VOCABULARY, WIDTH, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt

CHOICE = Options(("A", "B"), ((5,), (6,)))
JUNK = 9
"""A token that a push along `junk` makes all but certain."""
NORM = 10.0
"""Length that coefficient 1 has."""
SLOPE = 0.25
"""s of the formula."""


@dataclass(frozen=True)
class Carrier:
    """The model and what is planted in it.

    Args:
        engine: over the model.
        axes: orthonormal rows, shape (d_model, d_model): u (read as A minus B), p (read by nothing, in all embeddings),
            unread (read by nothing, in no embedding), junk, and the rest.
        head: W * g, shape (vocabulary, d_model), float64.
        embedding: shape (vocabulary, d_model), float64.
        eps: of the final norm.
    """

    engine: HookEngine
    axes: np.ndarray
    head: np.ndarray
    embedding: np.ndarray
    eps: float

    @classmethod
    def of(cls, *, along: float = 3.0, against: float = 0.0, noise: float = 6.0) -> Carrier:
        """Embeddings along u - against p + noise; `noise` is the mean length of the part that differs by token."""
        draw = np.random.default_rng(0)
        axes = np.linalg.qr(draw.normal(size=(WIDTH, WIDTH)))[0].T
        rest = axes[4:]
        spread = draw.normal(size=(VOCABULARY, len(rest))) * noise / len(rest) ** 0.5
        sizes = along * draw.uniform(0.5, 1.5, (VOCABULARY, 1))
        embedding = sizes * axes[0] - against * axes[1] + spread @ rest
        head = draw.normal(size=(VOCABULARY, len(rest))) @ rest / len(rest) ** 0.5
        head[6] = head[5]
        head[5] += SLOPE * axes[0]
        head[6] -= SLOPE * axes[0]
        head[JUNK] += 20.0 * axes[3]
        model = tiny_model("llama")
        gain = model.model.norm.weight.detach().double().numpy()
        with torch.no_grad():
            for block in model.model.layers:
                block.self_attn.o_proj.weight.zero_()
                block.mlp.down_proj.weight.zero_()
            model.model.embed_tokens.weight.copy_(torch.from_numpy(embedding))
            model.lm_head.weight.copy_(torch.from_numpy(head / gain))
        engine = HookEngine(model, tiny_tokenizer(), name="carrier")
        return cls(engine, axes, head, embedding, float(model.config.rms_norm_eps))

    def prompts(self, n: int = 24) -> list[Prompt]:
        """Prompts with different last tokens; the second half of each is the span "item"."""
        draw = np.random.default_rng(1)
        last = draw.permutation(np.arange(10, VOCABULARY))[:n]
        return [self.prompt([*draw.integers(10, VOCABULARY, 7), token]) for token in last]

    def prompt(self, ids: Any, **spans: tuple[int, int]) -> Prompt:
        """One prompt of given tokens."""
        words = " ".join(f"w{token}" for token in ids)
        return Prompt(tuple(map(int, ids)), words, {"item": (len(ids) // 2, len(ids)), **spans})

    def direction(self, vector: np.ndarray, layer: int = 1, means: str = "A rather than B") -> Direction:
        """A direction of this model, with coefficients in tens of the residual stream's units."""
        return Direction(vector, layer, "answer", "carrier", NORM, means, "planted")

    def pushed(self, prompts: list[Prompt], pushes: np.ndarray) -> np.ndarray:
        """H' of every prompt under every push (push, d_model), shape (row, push, d_model)."""
        return np.asarray(self.embedding[[prompt.ids[-1] for prompt in prompts]][:, None] + pushes)

    def logprobs(self, rows: np.ndarray) -> np.ndarray:
        """Log-probabilities of the whole vocabulary after rows (..., d_model)."""
        return np.asarray(log_softmax(rows @ self.head.T / self.root_mean_square(rows), axis=-1))

    def p_first(self, rows: np.ndarray) -> np.ndarray:
        """P(A | A or B) after rows (..., d_model)."""
        scaled = 2 * SLOPE * (rows @ self.axes[0])[..., None] / self.root_mean_square(rows)
        return np.asarray(1 / (1 + np.exp(-scaled[..., 0])))

    def root_mean_square(self, rows: np.ndarray) -> np.ndarray:
        """What the final norm divides by, shape (..., 1)."""
        return np.asarray(np.sqrt((rows**2).mean(axis=-1, keepdims=True) + self.eps))
