"""The reference engine: a Hugging Face decoder with plain PyTorch hooks.

What peers recompute, it computes once: shared token prefixes (prefix tree), no logits but at the answer, no block
above the last one needed. Rows are gathered inside the hook, so no full hidden state outlives its layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from personascope.errors import ModelError
from personascope.files import sha256_json
from personascope.models.anatomy import dissect
from personascope.models.answers import Answers
from personascope.models.backend import Outputs
from personascope.models.frozen_cache import Block, Past, attention_masks, block_of, frozen_cache
from personascope.models.intervention import Intervention
from personascope.models.reads import Reads
from personascope.models.tree import Segment, ancestry, batches, plan_tree
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt


@dataclass
class Work:
    """What the engine has computed since it was made; the currency of the count tests.

    Args:
        tokens: real tokens through block 0; `padded_tokens` with padding.
        block_calls: calls of a decoder block.
        head_rows: rows that went through the unembedding.
    """

    tokens: int = 0
    padded_tokens: int = 0
    block_calls: int = 0
    head_rows: int = 0


class _Stop(BaseException):
    """Ends a forward pass after the last block that is needed; not an Exception, so that no library swallows it."""


LayerListener = Callable[[int, Tensor], Tensor]
BatchHandler = Callable[[list[Segment], Past | None], None]


class HookEngine:
    """One model with its tokenizer, answering `run` (see `Backend`) and `sweep` (models/sweep.py).

    Args:
        model: a Hugging Face causal language model in eval mode.
        tokenizer: its fast tokenizer.
        name: how the model is called in results.
        identity: facts that go into the fingerprint, such as revision and weight hash.
        token_budget: padded tokens per forward pass.
        reuse_prefixes: compute shared prefixes once; switched off by itself where that could change numbers.

    Raises:
        ModelError: the model is not a plain decoder.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        identity: dict[str, str] | None = None,
        token_budget: int = 2048,
        reuse_prefixes: bool = True,
    ) -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        self.anatomy = dissect(model)
        self.n_layers = len(self.anatomy.layers)
        self.d_model = int(model.config.get_text_config().hidden_size)
        self.max_length = int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
        self.token_budget = token_budget
        self.reuse_off = "" if reuse_prefixes else "switched off by the user"
        self.reuse_off = self.reuse_off or self.anatomy.reuse_refused
        self.resume_off = self.anatomy.reuse_refused
        self.work = Work()
        self.interventions: list[Intervention] = []
        self._identity = dict(identity or {})

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        weights: Tensor = next(self.model.parameters())
        return weights.dtype

    @property
    def device(self) -> torch.device:
        """Where the first weights live."""
        weights: Tensor = next(self.model.parameters())
        return weights.device

    def fingerprint(self) -> dict[str, str]:
        """Everything about this backend that can change a number."""
        attention = getattr(self.model.config, "_attn_implementation", None)
        steered = [[i.layer, i.where, i.offset.tolist()] for i in self.interventions]
        return {
            **self._identity,
            "model": self.name,
            "backend": "hooks",
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "attention": str(attention),
            "token_budget": str(self.token_budget),
            "prefix_reuse": f"off: {self.reuse_off}" if self.reuse_off else "on",
            "steered": sha256_json(steered) if steered else "no",
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
        }

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
            ModelError: a layer is out of range, an offset has another width, or a prompt is empty or too long.
        """
        self.check_layers(layers)
        self.check_interventions(interventions)
        active = [i for i in (*self.interventions, *interventions) if np.any(i.offset)]
        reads = Reads(prompts, layers, positions if layers else ())
        answers = Answers(prompts, options)
        last = self.n_layers - 1 if options else max(layers, default=-1)
        roots = self.plan(prompts, [[i.where for i in active]] * len(prompts)) if last >= 0 else []
        steering = [(i, torch.as_tensor(i.offset, device=self.device)) for i in active]

        def handle(batch: list[Segment], past: Past | None) -> None:
            self.forward(batch, past, last, listen(batch), keep=False)

        def listen(batch: list[Segment]) -> LayerListener:
            gather = reads.gather(batch, self.device)

            def on_layer(layer: int, hidden: Tensor) -> Tensor:
                for intervention, offset in steering:
                    if intervention.layer == layer and batch[0].is_leaf:
                        hidden = add_at(hidden, offset, batch, prompts, intervention.where)
                if layer in reads.layers:
                    reads.take(layer, hidden, gather)
                if options and layer == last and batch[0].is_leaf:
                    self.work.head_rows += answers.read(batch, hidden, self.anatomy.logits)
                return hidden

            return on_layer

        with torch.inference_mode():
            self.walk(roots, (), last, listen, handle)
        return Outputs(reads.residuals(self.dtype, self.d_model), answers.option_logprobs, answers.other_logmass)

    def plan(
        self, prompts: Sequence[Prompt], steered: Sequence[Sequence[str]], *, split_leaves: bool = False
    ) -> list[Segment]:
        """The prefix tree; nothing at or after a prompt's first steered token is shared."""
        for row, prompt in enumerate(prompts):
            if not 0 < len(prompt) <= self.max_length:
                raise ModelError(
                    f"Prompt {row} has {len(prompt)} tokens; {self.name} takes 1 to {self.max_length}.",
                    f"It ends with {prompt.text[-80:]!r}.",
                    "Shorten the persona, the template or the item.",
                )
        shareable = []
        for prompt, wheres in zip(prompts, steered, strict=True):
            first = min((resolve(prompt, where).start for where in wheres), default=len(prompt))
            shareable.append(0 if self.reuse_off else min(first, len(prompt) - 1))
        return plan_tree([prompt.ids for prompt in prompts], shareable, split_leaves=split_leaves)

    def walk(
        self,
        segments: list[Segment],
        blocks: tuple[Block, ...],
        last: int,
        listen: Callable[[list[Segment]], LayerListener],
        handle_leaves: BatchHandler,
    ) -> None:
        """Depth first: batch the leaves; compute inner segments in chunks, and their descendants before the next."""
        for batch in batches([s for s in segments if s.is_leaf], self.token_budget):
            handle_leaves(batch, _past_of(batch, blocks, self.device))
        for chunk in batches([s for s in segments if not s.is_leaf], self.token_budget):
            for slot, segment in enumerate(chunk):
                segment.slot = slot
            block = self.forward(chunk, _past_of(chunk, blocks, self.device), last, listen(chunk), keep=True)
            assert block is not None
            children = [child for segment in chunk for child in segment.children]
            self.walk(children, (*blocks, block), last, listen, handle_leaves)

    def forward(
        self, batch: list[Segment], past: Past | None, last: int, listener: LayerListener, *, keep: bool
    ) -> Block | None:
        """One forward pass of right-padded segments through blocks 0..last; returns their block when `keep`."""
        lengths = [len(segment.tokens) for segment in batch]
        ids = torch.zeros((len(batch), max(lengths)), dtype=torch.long)
        for slot, segment in enumerate(batch):
            ids[slot, : lengths[slot]] = torch.tensor(segment.tokens)
        starts = torch.tensor([segment.start for segment in batch])[:, None]
        positions = starts + torch.arange(max(lengths))
        real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        cache = frozen_cache(past, self.n_layers, keep=keep) if keep or past else None
        mask = None
        if past is not None:
            marked = torch.where(real, positions, -1).to(self.device)
            mask = attention_masks(past, marked, self.anatomy.attention_kinds, self.dtype)
        self.work.tokens += sum(lengths)
        self.work.padded_tokens += ids.numel()
        with self._hooks(last, listener), contextlib.suppress(_Stop):
            # padding keeps counting upwards: equal positions would look like packed sequences to the library. The
            # clamp meets padding only, and only after a past, whose mask keeps the library from looking
            self.anatomy.body(
                input_ids=ids.to(self.device),
                attention_mask=mask,
                position_ids=positions.clamp(max=self.max_length - 1).to(self.device),
                past_key_values=cache,
                use_cache=cache is not None,
            )
        return block_of(cache, lengths, starts[:, 0].tolist(), last + 1) if keep and cache else None

    @contextlib.contextmanager
    def _hooks(self, last: int, listener: LayerListener) -> Iterator[None]:
        """Let `listener` see and replace every block's output up to `last`, and stop there."""

        def hook(layer: int) -> Callable[..., Any]:
            def after(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                self.work.block_calls += 1
                hidden = output if isinstance(output, Tensor) else output[0]
                changed = listener(layer, hidden)
                if layer == last:
                    raise _Stop
                if changed is hidden:
                    return None
                return changed if isinstance(output, Tensor) else (changed, *output[1:])

            return after

        handles = [self.anatomy.layers[layer].register_forward_hook(hook(layer)) for layer in range(last + 1)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def check_layers(self, layers: Sequence[int]) -> None:
        """Raise ModelError for a layer that the model does not have."""
        wrong = [layer for layer in layers if not 0 <= layer < self.n_layers]
        if wrong:
            raise ModelError(
                f"{self.name} has no layer {wrong[0]}.",
                f"Its layers are 0 to {self.n_layers - 1}, counted from the embedding.",
                "Use numbers in that range.",
            )

    def check_interventions(self, interventions: Sequence[Intervention]) -> None:
        """Raise ModelError for an intervention that does not fit this model; a shorter offset would broadcast."""
        self.check_layers([intervention.layer for intervention in interventions])
        for shape in (intervention.offset.shape for intervention in interventions):
            if shape != (self.d_model,):
                raise ModelError(
                    f"An offset of shape {shape} cannot steer {self.name}.",
                    f"Its residual stream has shape ({self.d_model},).",
                    "Fit the direction on this model.",
                )


def _past_of(batch: list[Segment], blocks: tuple[Block, ...], device: torch.device) -> Past | None:
    if not blocks:
        return None
    chains = [ancestry(segment) for segment in batch]
    rows = tuple(torch.tensor([chain[depth].slot for chain in chains], device=device) for depth in range(len(blocks)))
    return Past(blocks, rows)


def add_at(hidden: Tensor, offset: Tensor, batch: list[Segment], prompts: Sequence[Prompt], where: str) -> Tensor:
    """A copy of `hidden` with `offset` added at the tokens that `where` names in each leaf's prompt."""
    entries = [
        (slot, token - segment.start)
        for slot, segment in enumerate(batch)
        for token in resolve(prompts[segment.rows[0]], where)
    ]
    slots, tokens = (torch.tensor(column, device=hidden.device) for column in zip(*entries, strict=True))
    steered = hidden.clone()
    steered[slots, tokens] += offset.to(hidden.dtype)
    return steered
