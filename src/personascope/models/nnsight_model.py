"""A user's own nnsight model, answering the same calls as the hook engine: in this process or on an NDIF server."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Iterator
from typing import Any

import torch

from personascope.errors import ModelError
from personascope.files import sha256_json
from personascope.models.anatomy import dissect
from personascope.models.equal_lengths import Batch, EqualLengthBackend, Rows
from personascope.models.transformer_lens import last_logits_only


class NnsightBackend(EqualLengthBackend):
    """Runs prompts through an `nnsight.TransformersModel` or `nnsight.LanguageModel` (nnsight 0.8 or newer).

    Blocks are found by structure in the wrapped Hugging Face module. Prompts go through `trace` in batches of one
    length; means over a position's tokens and the scores of the options are computed inside the trace, so that only
    these rows are saved (and travel, when remote). Without options the trace stops after the last block needed.

    Warning:
        With `remote=True` (or a server's address) nnsight unpickles what the server returns
        (`torch.load(weights_only=False)`): whoever controls that server, or the connection to it, can run code on this
        machine. personascope itself never unpickles; here it cannot prevent it, so it asks for `trust_server=True`.

    Args:
        model: the nnsight model; weights that are not loaded yet are loaded now, unless it is remote.
        name: how the model is called in results; the repository id by default. Directions are tied to this name: give
            the name under which they were fitted.
        remote: None for this process; "local" sends the trace through nnsight's serialisation and runs it in this
            process, the rehearsal of a remote run; True or an address sends it to NDIF.
        trust_server: you trust the remote server with this machine.
        token_budget: tokens per forward pass; one prompt at least.

    Raises:
        ModelError: `remote` without `trust_server`, a vLLM model (its blocks hand on two summands of the residual
            stream, and personascope has not been tested on it), or not a plain decoder.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str | None = None,
        remote: bool | str | None = None,
        trust_server: bool = False,
        token_budget: int = 2048,
    ) -> None:
        self.remote = remote or False
        self.is_elsewhere = self.remote not in (False, "local")
        if self.is_elsewhere and not trust_server:
            raise ModelError(
                f"remote={remote!r} lets a server run code on this machine.",
                "nnsight unpickles what the server returns (torch.load with weights_only=False).",
                "Pass trust_server=True if you trust it, or use remote=None or remote='local'.",
            )
        _require_transformers(model)
        if not self.is_elsewhere:
            model.dispatch()
        anatomy = dissect(model._module)
        self._layers_path = next(path for path, part in model._module.named_modules() if part is anatomy.layers)
        config = model._module.config
        super().__init__(
            model,
            name=str(name or model.repo_id or type(model._module).__name__),
            config=config,
            n_layers=len(anatomy.layers),
            d_model=int(config.get_text_config().hidden_size),
            token_budget=token_budget,
        )

    @property
    def module(self) -> Any:
        """The wrapped Hugging Face module; without weights when they are on a server."""
        return self.wrapped._module

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.wrapped.tokenizer

    def _facts(self) -> dict[str, str]:
        version = importlib.metadata.version("nnsight")
        return {"backend": "nnsight", "nnsight": version, "remote": str(self.remote) if self.remote else "no"}

    def _weights(self) -> str:
        if self.is_elsewhere:  # not here to be hashed
            return "remote " + sha256_json([self.wrapped.repo_id, self.wrapped.revision])
        return super()._weights()

    def _forward(self, batch: Batch) -> Rows:
        """Everything inside the trace is torch and plain values: a server does not have this package."""
        model, blocks, remote = self.wrapped, self.wrapped.get(self._layers_path), self.remote
        ids, option_ids, layers, n_targets = batch.ids, batch.option_ids, batch.layers, batch.n_targets
        slot, token, target, share = batch.slot, batch.token, batch.target, batch.share
        steps = [
            (s.layer, s.slot, s.token, s.change.offset, s.change.erase, s.change.keep_norm, s.change.replaces)
            for s in batch.steps
        ]
        touched = sorted({*layers, *[step[0] for step in steps]})
        residuals = scores = None
        encoding = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with _kept_path(), model.trace(encoding, remote=remote, **last_logits_only(self.module)) as tracer:
            means = {}
            for layer in touched:
                output = blocks[layer].output
                hidden = output[0] if isinstance(output, tuple) else output
                for where, slots, tokens, offset, erase, keep_norm, replaces in steps:
                    if where == layer:  # `Change.of`, in words that a server knows
                        hidden = hidden.clone()
                        rows = hidden[slots, tokens]
                        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
                        changed = offset.to(rows) if replaces else rows
                        if erase is not None:
                            changed = changed - (changed @ erase.to(rows).T) @ erase.to(rows)
                        if not replaces:
                            changed = changed + offset.to(rows)
                        if keep_norm:
                            length = changed.norm(dim=-1, keepdim=True).clamp_min(1e-12)
                            changed = changed * (rows.norm(dim=-1, keepdim=True) / length)
                        hidden[slots, tokens] = changed.to(hidden.dtype)
                        blocks[layer].output = (hidden, *output[1:]) if isinstance(output, tuple) else hidden
                if layer in layers:
                    exact = torch.promote_types(hidden.dtype, torch.float32)
                    rows = hidden[slot, token].to(exact) * share.to(exact).to(hidden.device)[:, None]
                    empty = torch.zeros((n_targets, hidden.shape[-1]), dtype=exact, device=hidden.device)
                    means[layer] = empty.index_add_(0, target.to(hidden.device), rows).cpu()
            if layers:
                residuals = torch.stack([means[layer] for layer in layers]).save()  # type: ignore[attr-defined]
            if option_ids is None:
                tracer.stop()
            else:
                logits = model.output.logits[:, -1]
                logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
                inside = option_ids.to(logits.device)
                rest = logits.index_fill(1, inside, -torch.inf).logsumexp(dim=-1, keepdim=True)
                scores = torch.cat([logits[:, inside], rest], dim=1).cpu().save()  # type: ignore[attr-defined]
        return Rows(residuals, scores)


@contextlib.contextmanager
def _kept_path() -> Iterator[None]:
    """Put the module search path back in order: remote="local" hides parts of it, and returns them at the end."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


def _require_transformers(model: Any) -> None:
    """Raise ModelError unless nnsight wraps a Hugging Face causal language model in the plain way."""
    kinds = [kind.__module__ for kind in type(model).__mro__]
    if any(kind.startswith("nnsight.modeling.vllm") for kind in kinds):
        raise ModelError(
            "nnsight models on vLLM are not supported.",
            "vLLM's blocks return two summands of the residual stream, and their sum has not been tested here.",
            "Load the model as nnsight.TransformersModel.",
        )
    if not hasattr(getattr(model, "_module", None), "config") or not hasattr(model, "dispatch"):
        raise ModelError(
            f"A {type(model).__name__} is no language model.",
            "personascope needs the tokenizer and the Hugging Face configuration.",
            "Wrap the model as nnsight.TransformersModel(model, tokenizer=tokenizer).",
        )
