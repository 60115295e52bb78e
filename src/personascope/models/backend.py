"""What every backend offers: run prompts, get residual rows and option log-probabilities back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from personascope.models.intervention import Intervention
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt


@dataclass(frozen=True)
class Outputs:
    """What was read while the prompts ran, in the order of the prompts.

    Args:
        residuals: `resid_post` at the asked layers and positions, shape (row, layer, position, d_model), in the
            model's dtype, on the CPU.
        option_logprobs: log of the summed probability of each label's spellings, shape (row, option), float32.
        other_logmass: log-probability of every token outside the options, shape (row,), float32; 0 without options.
    """

    residuals: Float[Tensor, "row layer position d_model"]
    option_logprobs: Float[Tensor, "row option"]
    other_logmass: Float[Tensor, " row"]


@runtime_checkable
class Backend(Protocol):
    """One model that answers prompts; the hook engine is the reference, other libraries adapt to it (`as_backend`)."""

    name: str
    n_layers: int
    d_model: int
    interventions: list[Intervention]
    """What `run` adds before its own interventions; `with steer(...)` sets it, and takes it back."""

    def fingerprint(self) -> dict[str, str]:
        """Everything about the backend that can change a number: weights, dtype, tokenizer, settings, versions."""
        ...

    def run(
        self,
        prompts: Sequence[Prompt],
        *,
        layers: Sequence[int] = (),
        positions: Sequence[str] = ("answer",),
        options: Options | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Outputs:
        """Run the prompts and return what was asked for; with `options=None` the answer fields have 0 columns."""
        ...
