"""What all adapters to other libraries share: batches of prompts of one length, and the rows that are read from them.

Prompts of one length need no padding, so no library's treatment of padding, masks or positions can change a number.
Nothing is computed once for several prompts here; for speed there is the hook engine.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor

from personascope.errors import ModelError
from personascope.models.answers import option_logprobs
from personascope.models.backend import Outputs
from personascope.models.hashes import RememberedHash, computing_facts, tokenizer_hashes
from personascope.models.intervention import Change, Intervention, change_of
from personascope.models.requests import (
    require_distinct_layers,
    require_interventions,
    require_layers,
    require_lengths,
    require_prompt_phase,
)
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt


@dataclass(frozen=True)
class Step:
    """An intervention in one batch: `change` is done after block `layer` at (slot, token), shape (entry,)."""

    layer: int
    slot: Int[Tensor, " entry"]
    token: Int[Tensor, " entry"]
    change: Change


@dataclass(frozen=True)
class Batch:
    """Prompts of one length, what to add to their residual stream, and what to read from it.

    Args:
        rows: which prompts of the run these are, shape (batch,).
        ids: token ids, shape (batch, token).
        layers: blocks whose output is read.
        last: the last block that has to run; the head as well when there are `option_ids`.
        slot, token, target, share: reading adds `share` times the row at (slot, token) to target row
            `slot * positions + position`, shape (entry,).
        n_targets: batch times positions.
        steps: what is done to the residual stream, in this order.
        option_ids: token ids of all labels after each other, or None when no answer is asked for.
    """

    rows: Int[Tensor, " batch"]
    ids: Int[Tensor, "batch token"]
    layers: tuple[int, ...]
    last: int
    slot: Int[Tensor, " entry"]
    token: Int[Tensor, " entry"]
    target: Int[Tensor, " entry"]
    share: Float[Tensor, " entry"]
    n_targets: int
    steps: tuple[Step, ...]
    option_ids: Int[Tensor, " option_token"] | None


@dataclass(frozen=True)
class Rows:
    """What one batch gave.

    Args:
        residuals: per layer in the order of `Batch.layers` the mean over each position's tokens, shape (layer, target,
            d_model), float32 or better; None when no layer was asked for.
        scores: logits at the last token of the `option_ids`, and last of all the log of the summed exponentials of all
            other tokens' logits, shape (batch, option token + 1); None without options.
    """

    residuals: Float[Tensor, "layer target d_model"] | None
    scores: Float[Tensor, "batch column"] | None


class EqualLengthBackend(ABC):
    """Implements `Backend` over `_forward`, which runs one batch through another library.

    Args:
        wrapped: the other library's model.
        name: how the model is called in results.
        config: the model's Hugging Face configuration.
        n_layers: number of decoder blocks.
        d_model: width of the residual stream.
        token_budget: tokens per forward pass; one prompt at least.
    """

    def __init__(self, wrapped: Any, *, name: str, config: Any, n_layers: int, d_model: int, token_budget: int) -> None:
        self.wrapped, self.name, self.n_layers, self.d_model = wrapped, name, n_layers, d_model
        self.max_length = int(getattr(config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
        self.token_budget = token_budget
        self.interventions: list[Intervention] = []
        self.is_running = False
        self._hash = RememberedHash()
        self._tokenizer_hashes: dict[str, str] | None = None

    @property
    @abstractmethod
    def module(self) -> Any:
        """The wrapped Hugging Face module."""

    @property
    @abstractmethod
    def tokenizer(self) -> Any:
        """The library's tokenizer, or None."""

    @abstractmethod
    def _forward(self, batch: Batch) -> Rows:
        """Run one batch; steps come before the layer is read."""

    @abstractmethod
    def _facts(self) -> dict[str, str]:
        """Fingerprint entries of the library: `backend`, its version, its settings."""

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        weights: Tensor = next(self.module.parameters())
        return weights.dtype

    @property
    def device(self) -> torch.device:
        """Where the first weights live."""
        weights: Tensor = next(self.module.parameters())
        return weights.device

    def fingerprint(self) -> dict[str, str]:
        """Everything about this backend that can change a number."""
        if self._tokenizer_hashes is None:
            self._tokenizer_hashes = tokenizer_hashes(self.tokenizer)
        return {
            "weights": self._weights(),
            **self._tokenizer_hashes,
            "transformers": transformers.__version__,
            **self._facts(),
            **computing_facts(self.name, self.module, self.interventions),
            "token_budget": str(self.token_budget),
        }

    def _weights(self) -> str:
        return self._hash.of(self.module)

    def run(
        self,
        prompts: Sequence[Prompt],
        *,
        layers: Sequence[int] = (),
        positions: Sequence[str] = ("answer",),
        options: Options | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Outputs:
        """Run prompts; see `Backend.run`. Interventions act before the layer is read.

        Raises:
            SpanError: a position is not in a prompt.
            ModelError: a layer is out of range or named twice, an offset has another width, a prompt is empty or too
                long, or the model was changed in a way that this adapter cannot read.
        """
        require_layers(self, layers)
        require_distinct_layers(layers)
        asked = [*self.interventions, *interventions]
        require_interventions(self, asked, prompts)
        require_prompt_phase(asked)
        active = [intervention for intervention in asked if intervention.acts]
        require_lengths(self, prompts, self.max_length)
        if self.module.training:
            raise ModelError(
                f"{self.name} is in training mode.", "Dropout would make every number random.", "Call its .eval()."
            )
        positions = positions if layers else ()
        residuals = torch.zeros((len(prompts), len(layers), len(positions), self.d_model), dtype=self.dtype)
        n_options = len(options.labels) if options else 0
        chosen = torch.zeros((len(prompts), n_options))
        other = torch.zeros(len(prompts))
        if not layers and options is None:
            return Outputs(residuals, chosen, other)
        for batch in self._batches(prompts, tuple(layers), positions, options, active):
            with torch.inference_mode(), self._marked():
                rows = self._forward(batch)
            if rows.residuals is not None and positions:
                shape = (len(layers), len(batch.rows), len(positions), self.d_model)
                residuals[batch.rows] = rows.residuals.cpu().to(self.dtype).view(shape).permute(1, 0, 2, 3)
            if rows.scores is not None and options is not None:
                chosen[batch.rows], other[batch.rows] = option_logprobs(rows.scores, _same, _among_scores(options))
        return Outputs(residuals, chosen, other)

    @contextlib.contextmanager
    def _marked(self) -> Iterator[None]:
        """Say that the calls of the model are ours: what steers a user's own calls (models/own_calls.py) waits."""
        self.is_running = True
        try:
            yield
        finally:
            self.is_running = False

    def _batches(
        self,
        prompts: Sequence[Prompt],
        layers: tuple[int, ...],
        positions: Sequence[str],
        options: Options | None,
        active: Sequence[Intervention],
    ) -> Iterator[Batch]:
        spans = [[resolve(prompt, position) for position in positions] for prompt in prompts]
        added = [[resolve(prompt, intervention.where) for prompt in prompts] for intervention in active]
        last = self.n_layers - 1 if options else max(layers)
        option_ids = torch.tensor([t for tokens in options.token_ids for t in tokens]) if options else None
        for rows in _equal_lengths(prompts, self.token_budget):
            entries = [
                (slot, token, slot * len(positions) + column, 1 / len(tokens))
                for slot, row in enumerate(rows)
                for column, tokens in enumerate(spans[row])
                for token in tokens
            ]
            slot, token, target, share = zip(*entries, strict=True) if entries else ((), (), (), ())
            yield Batch(
                rows=torch.tensor(rows),
                ids=torch.tensor([prompts[row].ids for row in rows]),
                layers=layers,
                last=last,
                slot=torch.tensor(slot, dtype=torch.long),
                token=torch.tensor(token, dtype=torch.long),
                target=torch.tensor(target, dtype=torch.long),
                share=torch.tensor(share, dtype=torch.float64),
                n_targets=len(rows) * len(positions),
                steps=tuple(
                    _step(intervention, rows, [where[row] for row in rows])
                    for intervention, where in zip(active, added, strict=True)
                    if intervention.layer <= last
                ),
                option_ids=option_ids,
            )


def _equal_lengths(prompts: Sequence[Prompt], token_budget: int) -> Iterator[list[int]]:
    """Rows of one length, as many at a time as the budget holds; shortest first."""
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(row)
    for length, rows in sorted(by_length.items()):
        size = max(1, token_budget // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _step(intervention: Intervention, rows: Sequence[int], where: Sequence[range]) -> Step:
    slots = [slot for slot, tokens in enumerate(where) for _ in tokens]
    tokens = [token for tokens in where for token in tokens]
    given = [(row, which) for row, tokens in zip(rows, where, strict=True) for which in range(len(tokens))]
    return Step(intervention.layer, torch.tensor(slots), torch.tensor(tokens), change_of(intervention, given))


def _among_scores(options: Options) -> Options:
    """The same labels over the columns of `Rows.scores`, whose last column stands for the rest of the vocabulary."""
    columns, start = [], 0
    for tokens in options.token_ids:
        columns.append(tuple(range(start, start + len(tokens))))
        start += len(tokens)
    return Options(options.labels, tuple(columns))


def _same(scores: Tensor) -> Tensor:
    return scores
