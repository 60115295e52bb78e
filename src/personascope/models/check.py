"""The load-time self-check: four real prompts, every layer, against the library's own forward pass.

It proves that the hooks sit on the residual stream after each block (and not after the final norm), that answers read
through the norm and head equal the model's own logits, and that reusing shared prefixes and resuming from a layer
change nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from string import Formatter

import numpy as np
import torch
from torch import Tensor

from personascope.errors import ModelError, PersonascopeError
from personascope.models.engine import HookEngine
from personascope.models.intervention import Intervention
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options, resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE, likert_template

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
    """Check an engine; switch prefix reuse, or resuming in sweeps, off with a warning when it alone fails.

    Raises:
        ModelError: residuals or answers differ from the model's own forward pass.
    """
    prompts = [_prompt(engine, _SHARED + ending) for ending in _ENDINGS]
    limit = LIMITS.get(engine.dtype, 1e-2)
    own_off = engine.reuse_off
    engine.reuse_off = own_off or "being checked"
    try:
        plain = engine.run(prompts, layers=range(engine.n_layers)).residuals[:, :, 0]
    except ModelError as error:
        raise ModelError(
            f"{engine.name} fails the load-time check: residuals equal nothing that could be read. {error.symptom}",
            error.cause,
            error.fix,
        ) from error
    finally:
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
            "The blocks, the final norm or the head of this architecture are not where the engine looks for them, "
            "or its weights are not finite.",
            "This architecture is not supported by the hook engine yet.",
        )
    if not engine.reuse_off:
        difference, engine.reuse_off = _try(lambda: _reuse_difference(engine, prompts, plain), limit)
        lines.append(CheckLine("prefix reuse equals full prompts", difference, limit))
        _warn(engine, "shared prefixes", engine.reuse_off, "every prompt is computed whole")
    if not engine.resume_off:
        difference, engine.resume_off = _try(lambda: _resume_difference(engine, prompts), limit)
        lines.append(CheckLine("resuming from a layer equals a whole pass", difference, limit))
        _warn(engine, "sweeps that resume from a layer", engine.resume_off, "sweeps run once per cell")
    return lines


def answer_format(engine: HookEngine) -> list[str]:
    """Whether the built-in templates work with the tokenizer: one line each, of what holds or of what is wrong.

    Rendering and label resolution enforce the same whenever a study asks; this says so beforehand.
    """
    tokenizer, lines = engine.tokenizer, []
    for template in (likert_template("ascending"), CHOICE):
        slots = {name: "Maps are fun." for _, name, _, _ in Formatter().parse(template.user) if name}
        try:
            prompt = render(tokenizer, template, slots)
            resolve_options(tokenizer, prompt.text.splitlines()[-1], template.labels)
        except PersonascopeError as error:
            lines.append(f"{template.name}: {error.symptom}")
            continue
        labels = ", ".join(template.labels)
        lines.append(f"{template.name}: beginning of sequence not doubled; each of {labels} is one token")
    return lines


def _try(compare: Callable[[], float], limit: float) -> tuple[float, str]:
    """(relative difference, why the trick is off or "")."""
    try:
        difference = compare()
    except Exception as error:  # a model that does not expect what the trick passes it may raise anything
        return float("inf"), f"self-check: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return difference, "" if difference <= limit else f"self-check: relative difference {difference:.1e}"


def _warn(engine: HookEngine, trick: str, reason: str, consequence: str) -> None:
    if reason:
        warnings.warn(f"{engine.name}: {trick} change results ({reason}); {consequence}.", stacklevel=3)


def _reuse_difference(engine: HookEngine, prompts: list[Prompt], plain: Tensor) -> float:
    return _difference(engine.run(prompts, layers=range(engine.n_layers)).residuals[:, :, 0], plain)


def _resume_difference(engine: HookEngine, prompts: list[Prompt]) -> float:
    """A sweep with offset zero after block 0, twice so that cells are stacked, against its own baseline cell."""
    zero = (Intervention(0, np.zeros(engine.d_model, dtype=np.float32), "answer"),)
    tokens = sorted({token for prompt in prompts for token in prompt.ids})
    options = Options(tuple(map(str, tokens)), tuple((token,) for token in tokens))
    logprobs = sweep(engine, prompts, [(), zero, zero], options).option_logprobs
    return _difference(logprobs[:, 1:], logprobs[:, :1].expand(-1, 2, -1))


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
            logits.append(output.logits[0, -1].cpu())
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
    scale = expected.double().abs().amax(dim=(0, 2), keepdim=True).clamp_min(1e-12)
    return float(((found.double() - expected.double()).abs() / scale).max())
