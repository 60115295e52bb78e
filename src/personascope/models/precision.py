"""Is half precision good enough? The engine in bfloat16 against the same weights in float32, beside the library's own.

Sharing prefixes and batching change the order of roundings, so two bfloat16 computations of one prompt differ by
rounding, and neither is right. What can be asked is that ours is no further from float32 than a plain forward pass of
the library is, and that answers flip only where float32 itself was nearly undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from personascope.instruments.items import load_items
from personascope.instruments.personas import load_personas
from personascope.models.engine import HookEngine
from personascope.prompts.labels import Options, resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import likert_template

ERROR_RATIO = 1.1
"""Our error may be this many times the library's."""
_NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "arm_bf16")
AGREEMENT = 0.995
"""Share of prompts whose most probable option must be float32's, near ties apart."""


@dataclass(frozen=True)
class Precision:
    """Half precision judged against float32.

    Args:
        ours, library: mean over rows and layers of |x - float32| / |float32| of the residual rows, by the engine and by
            a plain forward pass.
        noise: three times the root mean square error of the log-odds between two options in the library's own pass.
        agreement: share of prompts on which ours and float32 prefer the same option, prompts whose margin in float32
            is below the noise left out.
        near_ties: prompts so left out; `n` all prompts.
    """

    ours: float
    library: float
    noise: float
    agreement: float
    near_ties: int
    n: int

    @property
    def ratio(self) -> float:
        """Our error by the library's."""
        return self.ours / self.library

    @property
    def ok(self) -> bool:
        """Within both limits."""
        return self.ratio <= ERROR_RATIO and self.agreement >= AGREEMENT


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = device.type == "cpu" and any(torch.cpu.get_capabilities().get(name) for name in _NATIVE_BFLOAT16)
    return torch.bfloat16 if native else torch.float32


def judging_prompts(tokenizer: Any) -> tuple[list[Prompt], Options]:
    """Forty items of the built-in bank, asked on a scale of five; as plain text where there is no chat template."""
    template = likert_template("ascending")
    framing = load_personas()["self"].phrasings[0].framing
    texts = [item.text for item in load_items().form("200").items[::5]]
    if tokenizer.chat_template:
        prompts = [render(tokenizer, template, {"framing": framing, "item": text}) for text in texts]
    else:
        whole = [template.user.format(framing=framing, item=text) + "\n" + template.answer_prefix for text in texts]
        prompts = [Prompt(tuple(tokenizer(text)["input_ids"]), text, {}) for text in whole]
    return prompts, resolve_options(tokenizer, prompts[0].text.splitlines()[-1], template.labels)


def judge_precision(
    engine: HookEngine, reference: HookEngine, prompts: Sequence[Prompt], options: Options
) -> Precision:
    """Compare an engine in half precision, and the library's plain passes with its model, with float32.

    Args:
        engine: the model in half precision.
        reference: the same weights in float32.
        prompts: real prompts, several with a shared prefix.
        options: labels of their answers.
    """
    layers = range(engine.n_layers - 1)  # the library shows its last block only after the final norm
    ours = engine.run(prompts, layers=layers, options=options)
    exact = reference.run(prompts, layers=layers, options=options)
    rows, scores = _plain(engine, prompts, options)
    margins = exact.option_logprobs.topk(2, dim=1).values
    noise = 3 * float((_odds(scores) - _odds(exact.option_logprobs)).square().mean().sqrt())
    clear = margins[:, 0] - margins[:, 1] > noise
    same = ours.option_logprobs.argmax(dim=1) == exact.option_logprobs.argmax(dim=1)
    return Precision(
        ours=_error(ours.residuals[:, :, 0], exact.residuals[:, :, 0]),
        library=_error(rows, exact.residuals[:, :, 0]),
        noise=noise,
        agreement=float(same[clear].float().mean()) if clear.any() else 1.0,
        near_ties=int((~clear).sum()),
        n=len(prompts),
    )


def _plain(engine: HookEngine, prompts: Sequence[Prompt], options: Options) -> tuple[Tensor, Tensor]:
    """Residual rows (row, layer, d_model) and option log-probabilities of whole prompts, one at a time."""
    rows, scores = [], []
    with torch.inference_mode():
        for prompt in prompts:
            output = engine.model(input_ids=torch.tensor([prompt.ids], device=engine.device), output_hidden_states=True)
            rows.append(torch.stack([state[0, -1] for state in output.hidden_states[1:-1]]).cpu())
            logprobs = output.logits[0, -1].float().log_softmax(dim=-1).cpu()
            scores.append(torch.stack([logprobs[list(tokens)].logsumexp(dim=0) for tokens in options.token_ids]))
    return torch.stack(rows), torch.stack(scores)


def _error(found: Tensor, exact: Tensor) -> float:
    """Mean over rows and layers of the relative L2 error, shapes (row, layer, d_model)."""
    difference = (found.double() - exact.double()).norm(dim=-1)
    return float((difference / exact.double().norm(dim=-1).clamp_min(1e-12)).mean())


def _odds(logprobs: Tensor) -> Tensor:
    """Log-odds of every option against every other, shape (row, option, option)."""
    return logprobs[:, :, None] - logprobs[:, None, :]
