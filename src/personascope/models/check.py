"""The load-time self-check: four real prompts, every layer, against the library's own forward pass.

It proves that the hooks sit on the residual stream after each block (and not after the final norm), that answers read
through the norm and head equal the model's own logits, and that reusing shared prefixes changes nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from personascope.errors import ModelError
from personascope.prompts.prompt import Prompt

if TYPE_CHECKING:
    from personascope.models.engine import HookEngine

LIMITS = {torch.float32: 2e-5, torch.float64: 1e-10, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest difference relative to the largest absolute value of the layer. Wrong hooks differ by 1e-1 and more."""

_SHARED = (
    "A questionnaire asks about habits, plans and opinions. Read each statement with care and say how well it fits."
)
_ENDINGS = (
    " Letters are answered on the same day.",
    " Maps.",
    " New tools are tried before old ones.",
    " Quiet is best",
)


@dataclass(frozen=True)
class CheckLine:
    """One check: what was compared, the relative difference found, the limit, and whether it passed."""

    name: str
    difference: float
    limit: float

    @property
    def ok(self) -> bool:
        """Whether the difference is within the limit (NaN is not)."""
        return self.difference <= self.limit


def self_check(engine: HookEngine) -> list[CheckLine]:
    """Check an engine; switch prefix reuse off, with a warning, when it alone fails.

    Raises:
        ModelError: residuals or answers differ from the model's own forward pass.
    """
    prompts = [_prompt(engine, _SHARED + ending) for ending in _ENDINGS]
    limit = LIMITS.get(engine.dtype, 1e-2)
    own_off = engine.reuse_off
    engine.reuse_off = own_off or "being checked"
    plain = engine.run(prompts, layers=range(engine.n_layers)).residuals[:, :, 0]
    engine.reuse_off = own_off
    hidden, logits = _forward(engine, prompts)
    lines = [
        # the library's last hidden state is after the final norm, so the last block is checked through the logits
        CheckLine("residuals equal hidden_states", _difference(plain[:, :-1], hidden), limit),
        CheckLine("answers equal the model's logits", _logit_difference(engine, plain[:, -1], logits), limit),
    ]
    wrong = [line for line in lines if not line.ok]
    if wrong:
        raise ModelError(
            f"{engine.name} fails the load-time check: {wrong[0].name} (relative difference {wrong[0].difference:.1e}, "
            f"limit {wrong[0].limit:.0e}).",
            "The blocks, the final norm or the head of this architecture are not where the engine looks for them.",
            "This architecture is not supported by the hook engine yet.",
        )
    if not own_off:
        shared = engine.run(prompts, layers=range(engine.n_layers)).residuals[:, :, 0]
        lines.append(CheckLine("prefix reuse equals full prompts", _difference(shared, plain), limit))
        if not lines[-1].ok:
            engine.reuse_off = f"self-check: relative difference {lines[-1].difference:.1e}"
            warnings.warn(
                f"{engine.name}: shared prefixes change results ({engine.reuse_off}); every prompt is computed whole.",
                stacklevel=2,
            )
    return lines


def _prompt(engine: HookEngine, text: str) -> Prompt:
    return Prompt(ids=tuple(engine.tokenizer(text)["input_ids"]), text=text, spans={})


def _forward(engine: HookEngine, prompts: list[Prompt]) -> tuple[Tensor, Tensor]:
    """The library's own pass, prompt by prompt: hidden states of all blocks but the last, and logits, at the end."""
    states, logits = [], []
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([prompt.ids], device=engine.device)
            output = engine.model(input_ids=ids, output_hidden_states=True)
            states.append(torch.stack([state[0, -1] for state in output.hidden_states[1:-1]]).cpu())
            logits.append(output.logits[0, -1].float().cpu())
    return torch.stack(states), torch.stack(logits)


def _logit_difference(engine: HookEngine, last: Tensor, logits: Tensor) -> float:
    with torch.inference_mode():
        return _difference(engine.anatomy.logits(last.to(engine.device)).cpu()[:, None], logits[:, None])


def _difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference over rows and layers, relative to the layer's largest absolute value; (row, layer, width)."""
    if found.shape != expected.shape:
        return float("nan")
    if not expected.numel():
        return 0.0
    scale = expected.float().abs().amax(dim=(0, 2), keepdim=True).clamp_min(1e-12)
    return float(((found.float() - expected.float()).abs() / scale).max())
