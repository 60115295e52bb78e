"""The reference engine: a Hugging Face decoder with plain PyTorch hooks.

What peers recompute, it computes once: shared token prefixes (prefix tree), no logits but at the answer, no block
above the last one needed. Rows are gathered inside the hook, so no full hidden state outlives its layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from personascope.models import tree
from personascope.models.anatomy import dissect
from personascope.models.answers import Answers
from personascope.models.backend import Outputs
from personascope.models.batching import Budget
from personascope.models.frozen_cache import Block, block_of, frozen_cache, past_of
from personascope.models.hashes import computing_facts
from personascope.models.intervention import Intervention, change_all, steering_of
from personascope.models.passes import (
    BlockCall,
    Inputs,
    LayerListener,
    call_body,
    inputs_of,
    listening,
    recording_calls,
)
from personascope.models.reads import Reads
from personascope.models.requests import (
    require_all_ran,
    require_distinct_layers,
    require_interventions,
    require_layers,
    require_lengths,
    require_prompt_phase,
)
from personascope.models.tree import Segment, children_of, plan_tree
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

if TYPE_CHECKING:
    from personascope.models.adapters import Adapter

Listen = Callable[[list[Segment]], LayerListener]
_TOKEN_BITS = 32
"""More than any token id has."""


@dataclass
class Work:
    """What the engine has computed since it was made; the currency of the count tests.

    Args:
        tokens: real tokens through block 0; `padded_tokens` with padding.
        block_calls: calls of a decoder block; `block_tokens` tokens through them, padding included.
        head_rows: rows that went through the unembedding.
    """

    tokens: int = 0
    padded_tokens: int = 0
    block_calls: int = 0
    block_tokens: int = 0
    head_rows: int = 0


class HookEngine:
    """One model with its tokenizer, answering `run` (see `Backend`) and `sweep` (models/sweep.py).

    Args:
        model: a Hugging Face causal language model in eval mode.
        tokenizer: its fast tokenizer.
        name: how the model is called in results.
        identity: facts that go into the fingerprint, such as revision and weight hash.
        token_budget: padded tokens per forward pass, less once it ran out of memory; by default 1024 on a CPU, whose
            caches hold no more, and 8192 elsewhere.
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
        token_budget: int | None = None,
        reuse_prefixes: bool = True,
    ) -> None:
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        self.anatomy = dissect(model)
        self.n_layers = len(self.anatomy.layers)
        self.d_model = int(model.config.get_text_config().hidden_size)
        self.max_length = int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
        self.token_budget = token_budget or (1024 if self.device.type == "cpu" else 8192)
        self.reuse_off = "" if reuse_prefixes else "switched off by the user"
        self.reuse_off = self.reuse_off or self.anatomy.reuse_refused
        self.resume_off = self.anatomy.reuse_refused
        self.budget = Budget(name, self.token_budget)
        self.work = Work()
        self._block_returns = 0  # length of the tuple that a block returns, 0 for a bare tensor
        self.interventions: list[Intervention] = []
        self.adapter: Adapter | None = None  # see models/adapters.py
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
        return {
            **self._identity,
            **({} if self.adapter is None else self.adapter.facts()),
            **computing_facts(self.name, self.model, self.interventions),
            "backend": "hooks",
            "batching": f"{self.token_budget} tokens, {tree.MIN_SHARED_LENGTH} shared, {tree.MIN_SAVED_TOKENS} saved, "
            f"past / {tree.PAST_TOKENS_PER_NEW}",
            "prefix_reuse": f"off: {self.reuse_off}" if self.reuse_off else "on",
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
        require_layers(self, layers)
        require_distinct_layers(layers)
        asked = [*self.interventions, *interventions]
        require_interventions(self, asked, prompts)
        require_prompt_phase(asked)
        active = [intervention for intervention in asked if intervention.acts]
        reads = Reads(prompts, layers, positions if layers else ())
        answers = Answers(prompts, options)
        last = self.n_layers - 1 if options else max(layers, default=-1)
        roots = self.plan(prompts, active) if last >= 0 else []

        def listen(batch: list[Segment]) -> LayerListener:
            gather = reads.gather(batch, self.device)
            steering = steering_of(batch, prompts, active, self.device)

            def on_layer(layer: int, hidden: Tensor) -> Tensor:
                hidden = change_all(hidden, steering.get(layer, []))
                if layer in reads.layers:
                    reads.take(layer, hidden, gather)
                if layer == last:
                    if options and batch[0].is_leaf:
                        self.work.head_rows += answers.read(batch, hidden, self.anatomy.logits)
                    reads.commit(gather)
                return hidden

            return on_layer

        with torch.inference_mode():
            self.walk(roots, (), last, listen)
        return Outputs(reads.residuals(self.dtype, self.d_model), answers.option_logprobs, answers.other_logmass)

    def plan(
        self, prompts: Sequence[Prompt], steered: Sequence[Intervention] = (), *, cut: bool = False
    ) -> list[Segment]:
        """The prefix tree. Steered tokens are shared only among rows that are steered alike.

        Args:
            prompts: what will run.
            steered: all that may act on them.
            cut: no segment runs across a prompt's first steered token.
        """
        wheres = list(dict.fromkeys(intervention.where for intervention in steered))
        own = {intervention.where for intervention in steered if intervention.rows is not None}
        require_lengths(self, prompts, self.max_length)
        keys, cuts = [], []
        for row, prompt in enumerate(prompts):
            named = {where: resolve(prompt, where) for where in wheres}
            key = [token << len(wheres) for token in prompt.ids]
            for bit, (where, tokens) in enumerate(named.items()):
                for token in tokens:
                    # a row that is given its own activations shares nothing from there on
                    key[token] |= 1 << bit if where not in own else (row + 1) << (len(wheres) + _TOKEN_BITS)
            keys.append(key)
            cuts.append(0 if self.reuse_off or not cut else min((t.start for t in named.values()), default=0))
        shareable = [0 if self.reuse_off else len(prompt) - 1 for prompt in prompts]
        return plan_tree([prompt.ids for prompt in prompts], shareable, keys=keys, cuts=cuts)

    def walk(self, segments: list[Segment], blocks: tuple[Block, ...], last: int, listen: Listen) -> None:
        """Depth first: compute the leaves in batches, then each batch of inner segments and its descendants."""
        leaves = [segment for segment in segments if segment.is_leaf]
        for _ in self.budget.each_batch(leaves, lambda batch: self.forward(batch, blocks, last, listen(batch))):
            pass
        inner = [segment for segment in segments if not segment.is_leaf]
        for batch, block in self.budget.each_batch(
            inner, lambda batch: self.forward(batch, blocks, last, listen(batch), keep=True)
        ):
            assert block is not None
            self.walk(children_of(batch), (*blocks, block), last, listen)

    def forward(
        self,
        batch: list[Segment],
        blocks: tuple[Block, ...],
        last: int,
        listener: LayerListener,
        *,
        keep: bool = False,
    ) -> Block | None:
        """One pass of segments through blocks 0..last, after the keys and values of the segments before them.

        With `keep` it returns their own keys and values, in which each segment's row is its `slot`.
        """
        past = past_of(batch, blocks, self.device)
        inputs = inputs_of(batch, past)
        cache = frozen_cache(past, self.n_layers, keep=keep) if keep or past else None
        self.work.tokens += int(inputs.real.sum())
        self.work.padded_tokens += inputs.ids.numel()

        def counted(layer: int, hidden: Tensor) -> Tensor:
            self.work.block_calls += 1
            self.work.block_tokens += inputs.ids.numel()
            return listener(layer, hidden)

        with listening(self.anatomy.layers, last, counted) as returned:
            call_body(self.anatomy, inputs, cache, max_length=self.max_length, like=next(self.model.parameters()))
        require_all_ran(self, len(returned), last + 1)
        self._block_returns = returned[-1]
        return block_of(cache, batch, last + 1) if keep and cache else None

    def block_calls(self, inputs: Inputs, cache: Any, wanted: range) -> dict[int, BlockCall]:
        """What the body would give to the `wanted` blocks for these inputs; no block is computed."""
        with recording_calls(self.anatomy.layers, wanted, self._block_returns) as calls:
            call_body(self.anatomy, inputs, cache, max_length=self.max_length, like=next(self.model.parameters()))
        return calls
