"""Small banks of people."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.instruments.responses import Responses
from personascope.models.engine import HookEngine
from personascope.models.tiny import tiny_model


def bank_of(values: np.ndarray, n_options: int) -> Responses:
    """Responses with ids of their own."""
    n, q = values.shape
    return Responses(
        values.astype(np.int8), tuple(f"q{i}" for i in range(q)), tuple(f"p{i}" for i in range(n)), n_options
    )


@pytest.fixture
def tiny_bank() -> Responses:
    """Six people, five items, three options; one answer is missing."""
    values = np.random.default_rng(0).integers(1, 4, (6, 5))
    values[2, 1] = -1
    return bank_of(values, 3)


@pytest.fixture(scope="module")
def bank() -> Responses:
    """200 people, 24 items of three traits, five options."""
    rng = np.random.default_rng(1)
    traits = rng.normal(size=(200, 3))
    loadings = np.kron(np.eye(3), np.ones((8, 1))) * rng.choice([-1, 1], 24)[:, None] * 0.8
    y = traits @ loadings.T + 0.6 * rng.normal(size=(200, 24))
    return bank_of(1 + (y[..., None] > np.array([-1.2, -0.4, 0.4, 1.2])).sum(axis=-1), 5)


@pytest.fixture(scope="session")
def engine(smollm2: HookEngine) -> HookEngine:
    """A tiny random Llama with the tokenizer and chat template of the embedded model."""
    size = len(smollm2.tokenizer)
    model = tiny_model("llama", vocab_size=size, max_position_embeddings=4096, tie_word_embeddings=False)
    return HookEngine(model, smollm2.tokenizer, name="random")
