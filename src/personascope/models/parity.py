"""Every backend against the reference, family by family: the largest difference of any residual row or log-probability.

The reference engine is held against Hugging Face's own `output_hidden_states`; the other backends against the engine.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from personascope.errors import ModelError
from personascope.models.backend import Backend, Outputs
from personascope.models.check import LIMITS
from personascope.models.embedded import EMBEDDED, is_installed
from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.models.tiny import FAMILIES, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

LIMIT = LIMITS[torch.float32]
POSITIONS = ("answer", "mean:item", "first:item", "all")
BACKENDS = ("hugging face", "transformer_lens", "nnsight", "nnsight remote='local'")
_PACKAGES = {"transformer_lens": "transformer-lens", "nnsight": "nnsight"}


@dataclass(frozen=True)
class ParityLine:
    """One cell of the matrix: a family on a backend.

    Args:
        family: a model type of `tiny.FAMILIES`, or the alias of an embedded model.
        backend: one of `BACKENDS`.
        difference: largest difference over rows, layers and positions, relative to the layer's largest absolute value,
            and over the options' log-probabilities, relative to the largest of them; None when nothing was compared.
        note: why nothing was compared, or what went wrong.
        limit: largest difference that passes.
    """

    family: str
    backend: str
    difference: float | None
    note: str = ""
    limit: float = LIMIT

    @property
    def ok(self) -> bool:
        """Whether the difference is within the limit (NaN is not); a cell that compared nothing has not failed."""
        return self.difference is None or self.difference <= self.limit

    @property
    def cell(self) -> str:
        """The cell as text: the difference, marked when it is too large, or the reason."""
        if self.difference is None:
            return self.note
        return f"{self.difference:.1e}" + ("" if self.ok else f" FAILED {self.note}".rstrip())


def parity(families: Sequence[str] = (*FAMILIES, *EMBEDDED), backends: Sequence[str] = BACKENDS) -> list[ParityLine]:
    """The matrix of families and backends in float32, row by row.

    Args:
        families: model types of `tiny.FAMILIES` (random weights, 4 layers) and aliases of embedded models.
        backends: which of `BACKENDS` to compare.

    Raises:
        ModelError: a family has no tiny configuration and no embedded model.
    """
    return [line for family in families for line in _row(family, backends)]


def _row(family: str, backends: Sequence[str]) -> Iterator[ParityLine]:
    if family in EMBEDDED and not is_installed(family):
        yield from (ParityLine(family, backend, None, f"not installed ({_install(family)})") for backend in backends)
        return
    engine = _reference(family)
    vocabulary = int(engine.model.get_output_embeddings().weight.shape[0])
    prompts = _prompts(vocabulary)
    options = Options(tuple("abcd"), ((5,), (6, 7), (8, vocabulary - 1), (9, 10, 11)))
    try:
        expected = engine.run(prompts, layers=range(engine.n_layers), positions=POSITIONS, options=options)
    except Exception as error:  # the reference itself cannot run it
        yield from (ParityLine(family, backend, float("inf"), _first_line(error)) for backend in backends)
        return
    for backend in backends:
        if backend == "hugging face":
            yield ParityLine(family, backend, _from_hugging_face(engine, prompts, options, expected))
        else:
            yield _cell(family, backend, engine, lambda other: _distance(other, prompts, options, expected))


def _reference(family: str) -> HookEngine:
    if family in EMBEDDED:
        return load_model(family)
    if family not in FAMILIES:
        raise ModelError(
            f"There is nothing to compare for the family {family!r}.", "", f"Use {', '.join((*FAMILIES, *EMBEDDED))}."
        )
    return HookEngine(tiny_model(family), tiny_tokenizer(), name=f"tiny-{family}")


def _install(family: str) -> str:
    return EMBEDDED[family].install


def _cell(family: str, backend: str, engine: HookEngine, compare: Callable[[Backend], float]) -> ParityLine:
    package = backend.split()[0]
    if importlib.util.find_spec(package) is None:
        return ParityLine(family, backend, None, f"not installed (pip install {_PACKAGES[package]})")
    try:
        other = _wrap(backend, engine)
    except ModelError as error:
        return ParityLine(family, backend, None, f"refused: {error.symptom}")
    except Exception as error:  # whatever a library raises on an architecture that it does not know
        return ParityLine(family, backend, None, f"not supported by that library: {_first_line(error)}")
    try:
        return ParityLine(family, backend, compare(other))
    except ModelError as error:
        return ParityLine(family, backend, None, f"refused: {error.symptom}")
    except Exception as error:  # it took the model and cannot run it
        return ParityLine(family, backend, float("inf"), _first_line(error))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"


def _wrap(backend: str, engine: HookEngine) -> Backend:
    """The same weights in another library; a copy, as TransformerLens puts its own parts into the model it is given."""
    model, tokenizer = copy.deepcopy(engine.model), copy.deepcopy(engine.tokenizer)
    if backend == "transformer_lens":
        from transformer_lens.model_bridge import TransformerBridge

        from personascope.models.transformer_lens import TransformerLensBackend

        bridge = TransformerBridge.boot_transformers(engine.name, hf_model=model, tokenizer=tokenizer, device="cpu")
        return TransformerLensBackend(bridge, name=engine.name)
    import nnsight

    from personascope.models.nnsight_model import NnsightBackend

    wrapped = nnsight.TransformersModel(model, tokenizer=tokenizer, task="text-generation")
    return NnsightBackend(wrapped, name=engine.name, remote="local" if "local" in backend else None)


def _prompts(vocabulary: int) -> list[Prompt]:
    """Prompts of ragged lengths with a shared beginning, longer than the tiny models' attention window."""
    draw = np.random.default_rng(0)
    shared = draw.integers(3, vocabulary, 12)
    prompts = []
    for length in (9, 5, 14, 5, 1):
        ids = (*map(int, shared), *map(int, draw.integers(3, vocabulary, length)))
        prompts.append(Prompt(ids, "random tokens", {"item": (10, len(ids) - length // 3)}))
    return prompts


def _distance(other: Backend, prompts: Sequence[Prompt], options: Options, expected: Outputs) -> float:
    found = other.run(prompts, layers=range(other.n_layers), positions=POSITIONS, options=options)
    return max(
        _relative(found.residuals, expected.residuals, (0, 2, 3)),
        _relative(_log_probabilities(found), _log_probabilities(expected), (0, 1)),
    )


def _log_probabilities(outputs: Outputs) -> Tensor:
    """Of the options and of everything else, which alone can be near 0: shape (row, option + 1)."""
    return torch.cat([outputs.option_logprobs, outputs.other_logmass[:, None]], dim=1)


def _from_hugging_face(engine: HookEngine, prompts: Sequence[Prompt], options: Options, expected: Outputs) -> float:
    """The engine's rows against the library's own: all blocks but the last, whose state is kept after the final norm.

    The last block is compared through the log-probabilities of the options.
    """
    states, chosen = [], []
    with torch.inference_mode():
        for prompt in prompts:
            output = engine.model(input_ids=torch.tensor([prompt.ids]), output_hidden_states=True)
            hidden = torch.stack(output.hidden_states[1:-1])[:, 0]
            means = [hidden[:, list(resolve(prompt, position))].mean(dim=1) for position in POSITIONS]
            states.append(torch.stack(means, dim=1))
            logprobs = output.logits[0, -1].double().log_softmax(-1)
            chosen.append(torch.stack([logprobs[list(tokens)].logsumexp(0) for tokens in options.token_ids]))
    return max(
        _relative(expected.residuals[:, :-1], torch.stack(states), (0, 2, 3)),
        _relative(expected.option_logprobs, torch.stack(chosen), (0, 1)),
    )


def _relative(found: Tensor, expected: Tensor, axes: tuple[int, ...]) -> float:
    """Largest difference, relative to the largest absolute value over `axes`."""
    scale = expected.double().abs().amax(dim=axes, keepdim=True).clamp_min(1e-12)
    return float(((found.double() - expected.double()).abs() / scale).max())
