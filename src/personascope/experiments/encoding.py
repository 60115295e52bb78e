"""Sentence embeddings of texts, where an encoder is installed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from personascope.errors import ModelError
from personascope.models.encoder import load_encoder

_log = logging.getLogger(__name__)


def encoded(texts: Sequence[str]) -> Float[np.ndarray, "text feature"] | None:
    """Embeddings of the packaged sentence encoder in float64; None, with a warning, where it is not installed."""
    try:
        encoder = load_encoder()
    except ModelError as error:
        _log.warning("Probes are reported without a sentence-encoder baseline: %s", error)
        return None
    distinct = list(dict.fromkeys(texts))
    place = {text: index for index, text in enumerate(distinct)}
    rows = np.asarray(encoder.encode(distinct), dtype=np.float64)
    return rows[[place[text] for text in texts]]


def formatted(system: str, text: str) -> str:
    """What a text encoder is given of a prompt: the persona's words and the user's."""
    return f"{system}\n{text}".strip()
