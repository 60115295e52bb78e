"""The usual ways to read and steer the residual stream, in this process: what ours is measured against.

Each is written as a careful user of that library writes it: sorted by length, batches of 16, no gradients, only the
wanted layers. Every capture returns the last position of every layer, shape (row, layer, d_model).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from personascope.models.engine import HookEngine
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

BATCH = 16
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Batch:
    """Right-padded rows: `rows` their places among all prompts, `last` the place of each one's last token."""

    rows: list[int]
    ids: Tensor
    mask: Tensor
    last: Tensor


def sorted_batches(prompts: Sequence[Prompt], device: torch.device = CPU) -> Iterator[Batch]:
    """Batches of 16 rows of similar length."""
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        lengths = torch.tensor([len(prompts[row]) for row in rows])
        ids = torch.zeros((len(rows), int(lengths.max())), dtype=torch.long)
        for slot, row in enumerate(rows):
            ids[slot, : lengths[slot]] = torch.tensor(prompts[row].ids)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        yield Batch(rows, ids.to(device), mask.to(device), (lengths - 1).to(device))


@torch.inference_mode()
def output_hidden_states(engine: HookEngine, prompts: Sequence[Prompt]) -> Tensor:
    """The everyday way: left padding, `output_hidden_states=True`; its last state comes after the final norm."""
    found = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        width = max(map(len, part))
        ids = torch.zeros((len(part), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(part):
            ids[row, width - len(prompt) :] = torch.tensor(prompt.ids)
            mask[row, width - len(prompt) :] = 1
        inputs = {"input_ids": ids.to(engine.device), "attention_mask": mask.to(engine.device)}
        states = engine.model(**inputs, output_hidden_states=True).hidden_states
        found.append(torch.stack([state[:, -1] for state in states[1:-1]], dim=1).cpu())
    return torch.cat(found)


@torch.inference_mode()
def tuned_hooks(engine: HookEngine, prompts: Sequence[Prompt]) -> Tensor:
    """A careful hook loop: no mask, rows gathered in the hook, logits of one position only."""
    layers = engine.anatomy.layers
    out = torch.empty((len(prompts), len(layers), engine.d_model), dtype=engine.dtype, device=engine.device)
    current: list[Batch] = []

    def hook(layer: int) -> Any:
        def after(_module: Any, _inputs: Any, output: Any) -> None:
            hidden = output if isinstance(output, Tensor) else output[0]
            out[current[0].rows, layer] = hidden[torch.arange(len(current[0].rows)), current[0].last]

        return after

    handles = [layer.register_forward_hook(hook(number)) for number, layer in enumerate(layers)]
    for batch in sorted_batches(prompts, engine.device):
        current[:] = [batch]
        engine.model(input_ids=batch.ids, use_cache=False, logits_to_keep=1)
    for handle in handles:
        handle.remove()
    return out.cpu()


class Lens:
    """TransformerLens on the same weights: `run_with_cache` with a names filter, `run_with_hooks` to steer."""

    def __init__(self, engine: HookEngine) -> None:
        from transformer_lens.model_bridge import TransformerBridge

        self.engine = engine
        self.bridge = TransformerBridge.boot_transformers(
            engine.model.config._name_or_path, dtype=engine.dtype, tokenizer=engine.tokenizer
        )

    @torch.inference_mode()
    def capture(self, prompts: Sequence[Prompt]) -> Tensor:
        """Residual rows by `run_with_cache`."""
        out = torch.empty((len(prompts), self.engine.n_layers, self.engine.d_model))
        for batch in sorted_batches(prompts):
            _, cache = self.bridge.run_with_cache(
                batch.ids,
                attention_mask=batch.mask,
                names_filter=lambda name: name.endswith("hook_out") and name.count(".") == 2,
            )
            for layer in range(self.engine.n_layers):
                out[batch.rows, layer] = cache[f"blocks.{layer}.hook_out"][torch.arange(len(batch.rows)), batch.last]
        return out

    @torch.inference_mode()
    def sweep(
        self, prompts: Sequence[Prompt], cells: Sequence[tuple[int, np.ndarray]], where: str, options: Options
    ) -> Tensor:
        """Option log-probabilities by `run_with_hooks`, one cell after the other."""
        found = torch.empty((len(cells), len(prompts), len(options.labels)))
        for batch in sorted_batches(prompts):
            steered = steered_tokens(batch, prompts, where)
            for number, (layer, offset) in enumerate(cells):
                addition = steered[:, :, None] * torch.from_numpy(offset)
                logits = self.bridge.run_with_hooks(
                    batch.ids,
                    attention_mask=batch.mask,
                    fwd_hooks=[(f"blocks.{layer}.hook_out", lambda hidden, hook, add=addition: hidden + add)],  # noqa: ARG005
                )
                found[number, batch.rows] = read_options(logits[torch.arange(len(batch.rows)), batch.last], options)
        return found


class NNsight:
    """nnsight on the same model: one trace per batch that saves the wanted rows and stops after the last block."""

    def __init__(self, engine: HookEngine) -> None:
        import nnsight

        self.engine = engine
        self.lm = nnsight.LanguageModel(engine.model, tokenizer=engine.tokenizer)

    @torch.inference_mode()
    def capture(self, prompts: Sequence[Prompt]) -> Tensor:
        """Residual rows from `.output`."""
        out = torch.empty((len(prompts), self.engine.n_layers, self.engine.d_model))
        blocks = self.lm.model.layers
        for batch in sorted_batches(prompts):
            slots, last = torch.arange(len(batch.rows)), batch.last
            with self.lm.trace({"input_ids": batch.ids, "attention_mask": batch.mask}) as tracer:
                saved = torch.stack([block.output[slots, last] for block in blocks], dim=1).save()
                tracer.stop()
            out[batch.rows] = saved
        return out

    @torch.inference_mode()
    def sweep(
        self, prompts: Sequence[Prompt], cells: Sequence[tuple[int, np.ndarray]], where: str, options: Options
    ) -> Tensor:
        """Option log-probabilities, one trace per cell and batch; logits of one position only where it allows that."""
        found = torch.empty((len(cells), len(prompts), len(options.labels)))
        blocks = self.lm.model.layers
        for batch in sorted_batches(prompts):
            slots, last, steered = torch.arange(len(batch.rows)), batch.last, steered_tokens(batch, prompts, where)
            for number, (layer, offset) in enumerate(cells):
                addition = steered[:, :, None] * torch.from_numpy(offset)
                with self.lm.trace({"input_ids": batch.ids, "attention_mask": batch.mask}):
                    blocks[layer].output = blocks[layer].output + addition
                    logits = self.lm.output.logits[slots, last].save()
                found[number, batch.rows] = read_options(logits, options)
        return found


@torch.inference_mode()
def tuned_sweep(
    engine: HookEngine, prompts: Sequence[Prompt], cells: Sequence[tuple[int, np.ndarray]], where: str, options: Options
) -> Tensor:
    """A careful hook loop: one hook a cell, the head on the rows that are read, shape (cell, row, option)."""
    found = torch.empty((len(cells), len(prompts), len(options.labels)))
    for batch in sorted_batches(prompts, engine.device):
        steered = steered_tokens(batch, prompts, where)
        for number, (layer, offset) in enumerate(cells):
            addition = (steered[:, :, None] * torch.from_numpy(offset)).to(engine.device, engine.dtype)
            handle = engine.anatomy.layers[layer].register_forward_hook(lambda _m, _i, out, add=addition: out + add)
            hidden = engine.model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
            handle.remove()
            rows = hidden[torch.arange(len(batch.rows)), batch.last]
            found[number, batch.rows] = read_options(engine.model.lm_head(rows), options)
    return found


def libraries(engine: HookEngine) -> dict[str, Lens | NNsight]:
    """The interpretability libraries on the engine's weights; a line is printed for each that is not installed."""
    found: dict[str, Lens | NNsight] = {}
    for name, library in {"transformer_lens": Lens, "nnsight": NNsight}.items():
        try:
            found[name] = library(engine)
        except ImportError:
            print(f"{name}: not installed")
    return found


def steered_tokens(batch: Batch, prompts: Sequence[Prompt], where: str) -> Tensor:
    """1 where a token is steered, shape (batch, token)."""
    steered = torch.zeros(batch.ids.shape)
    for slot, row in enumerate(batch.rows):
        tokens = resolve(prompts[row], where)
        steered[slot, tokens.start : tokens.stop] = 1
    return steered


def read_options(logits: Tensor, options: Options) -> Tensor:
    """Log-probability of each option, shape (row, option)."""
    logprobs = logits.double().log_softmax(dim=-1)
    return torch.stack([logprobs[:, list(ids)].logsumexp(dim=-1) for ids in options.token_ids], dim=1).float().cpu()
