"""What training did besides what it was for: predictions of neutral text, tuned against base in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personascope.errors import DataError
from personascope.models.adapters import switched
from personascope.models.engine import HookEngine
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

_SCORED = "mean:reply"


@dataclass(frozen=True)
class TextDamage:
    """Predictions of neutral passages by the tuned model against the base's.

    Args:
        kl: KL(base || tuned) of the next-token distributions along the passages, nats per token.
        perplexity_base: of all tokens together.
        perplexity_tuned: the same with the adapter on.
        n_texts: passages.
        n_tokens: their scored tokens.
    """

    kl: float
    perplexity_base: float
    perplexity_tuned: float
    n_texts: int
    n_tokens: int


def text_damage(engine: HookEngine, texts: Sequence[Prompt]) -> TextDamage:
    """Read passages with the adapter off and on, and compare every prediction over the whole vocabulary.

    Args:
        engine: with an adapter (`models.adapters.attached`).
        texts: neutral requests with a passage as the reply (`render(..., reply=passage)`), whose tokens are scored.

    Raises:
        DataError: no texts.
        ModelError: the model has no adapter.
        SpanError: a text without a reply.
    """
    if not texts:
        raise DataError("There are no texts to measure damage on.", "", "Pass some neutral passages.")
    kl = base = tuned = 0.0
    n = 0
    for text in texts:
        places = resolve(text, _SCORED)
        with switched(engine, on=False):
            off = _predictions(engine, text, places)
        with switched(engine, on=True):
            on = _predictions(engine, text, places)
        said = torch.tensor(text.ids)[list(places)]
        kl += float((off.exp() * (off - on)).sum())
        base -= float(off.gather(1, said[:, None]).sum())
        tuned -= float(on.gather(1, said[:, None]).sum())
        n += len(places)
    ends = [float(torch.exp(torch.tensor(total / n, dtype=torch.float64))) for total in (base, tuned)]
    return TextDamage(kl / n, ends[0], ends[1], len(texts), n)


def _predictions(engine: HookEngine, text: Prompt, places: range) -> Tensor:
    """Log-probabilities over the vocabulary of the tokens at `places`, shape (token, vocabulary), float64."""
    ids = torch.tensor([text.ids], device=engine.device)
    with torch.inference_mode():
        logits = engine.model(input_ids=ids, use_cache=False).logits[0, places.start - 1 : places.stop - 1]
    predicted: Tensor = logits.double().log_softmax(dim=-1).cpu()
    return predicted
