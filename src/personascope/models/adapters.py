"""Fine-tuned models: a peft adapter beside the weights of a loaded model, switched on and off within one process.

peft puts the adapter's modules in the places of the ones they adapt. The blocks, the norms and the model itself stay
the same objects, so hooks sit where they sat. Off, an adapted module calls the base's own and nothing else: the answers
are the base model's, bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from personascope.errors import ModelError
from personascope.models.adapter_files import MERGE, AdapterFile, read_adapter
from personascope.models.adapter_landing import land
from personascope.models.anatomy import dissect
from personascope.models.engine import HookEngine

_PROBE_TOKENS = 24


@dataclass(frozen=True, eq=False, repr=False)
class Adapter:
    """An adapter on a model.

    Args:
        name: end of its folder's path, or its hub name.
        kind: what peft calls it, such as LORA.
        sha256: of its parameters and settings.
        trained_on: what its base model was called in training.
        n_parameters: how many numbers it holds.
        tuner: peft's model around the base, which is never called.
        layers: the adapted modules.
        restore: takes all of it off the model again.
    """

    name: str
    kind: str
    sha256: str
    trained_on: str
    n_parameters: int
    tuner: Any
    layers: tuple[Any, ...]
    restore: Callable[[], None]

    def __repr__(self) -> str:
        return f"Adapter({self.name!r}, {self.kind}, {self.sha256[:12]}, {len(self.layers)} modules)"

    @property
    def is_on(self) -> bool:
        """Whether it acts.

        Raises:
            ModelError: it was merged into the weights, or switched at a part of its modules, by calls of peft.
        """
        states = {not layer.disable_adapters for layer in self.layers}
        if len(states) != 1 or any(layer.merged for layer in self.layers):
            raise ModelError(
                f"The adapter {self.name!r} is neither on nor off.",
                "peft was asked to merge it, or to switch it at some modules only.",
                "Load the model again, and switch with `with switched(engine, on=...)`.",
            )
        return states.pop()

    def switch(self, *, on: bool) -> None:
        """Let it act or not; its parameters stay as frozen, or as trainable, as they are."""
        trained = [(parameter, parameter.requires_grad) for parameter in self.tuner.parameters()]
        for layer in self.layers:
            layer.enable_adapters(on)
        for parameter, flag in trained:
            parameter.requires_grad_(flag)

    def facts(self) -> dict[str, str]:
        """Fingerprint entries: what is attached. Whether it acts is read from the model (`hashes.computing_facts`)."""
        import peft

        return {"adapter": self.sha256, "peft": peft.__version__}


def attach(
    engine: HookEngine, source: Path | str, *, revision: str | None = None, may_be_fresh: bool = False
) -> Adapter:
    """Put a peft adapter on an engine's model, and leave it on.

    `load_model(name, adapter=...)` does this before its check; `attached` takes the adapter off again. The adapter is
    for answering: its hash is of what was read, so one that is trained further has to be saved and attached anew.

    Args:
        engine: a loaded model without an adapter.
        source: folder with adapter_config.json and adapter_model.safetensors, or a hub name.
        revision: of the hub.
        may_be_fresh: take an adapter that changes nothing yet, as before its first training step.

    Returns:
        The adapter, also found as `engine.adapter`.

    Raises:
        ModelError: peft is not installed, the model has an adapter already, the files cannot be used (`read_adapter`),
            they belong to a model of other modules or another width, a parameter was not found in the file or did not
            land in the model, the adapter changes nothing, or the model without it is not the base any more. The model
            is left as it was.
    """
    require_peft()
    _require_bare(engine)
    file = read_adapter(source, revision)
    restore = remember(engine.model)
    base = _logits(engine)
    try:
        tuner, layers = land(file, engine.model, engine.name)
        size = sum(tensor.numel() for tensor in file.parameters.values())
        adapter = Adapter(file.name, file.kind, file.sha256, file.trained_on, size, tuner, layers, restore)
        on = _logits(engine)
        adapter.switch(on=False)
        if not torch.equal(_logits(engine), base):
            raise _inexact(file)
        adapter.switch(on=True)
        if not may_be_fresh and torch.equal(on, base):
            raise _fresh(file, engine)
        anatomy = dissect(engine.model)
    except BaseException:
        restore()
        raise
    engine.adapter, engine.anatomy = adapter, anatomy
    return adapter


def detach(engine: HookEngine) -> None:
    """Take the adapter off an engine's model, which is then as it was before; nothing happens without one."""
    if engine.adapter is not None:
        engine.adapter.restore()
        engine.adapter, engine.anatomy = None, dissect(engine.model)


@contextlib.contextmanager
def attached(
    engine: HookEngine, source: Path | str, *, revision: str | None = None, may_be_fresh: bool = False
) -> Iterator[Adapter]:
    """Within the block the model has the adapter; on leaving it, after an error too, it is the base again.

    Arguments and errors are those of `attach`.
    """
    adapter = attach(engine, source, revision=revision, may_be_fresh=may_be_fresh)
    try:
        yield adapter
    finally:
        if engine.adapter is adapter:
            detach(engine)


@contextlib.contextmanager
def switched(engine: HookEngine, *, on: bool = False) -> Iterator[HookEngine]:
    """Within the block the adapter is off (or `on`); on leaving it, after an error too, it is as it was before.

    Blocks may stand within each other. Plans and stores must not: fingerprints differ, so a plan that was made with the
    adapter on is refused with it off.

    Raises:
        ModelError: the model has no adapter, or it was merged.
    """
    adapter = engine.adapter
    if adapter is None:
        raise ModelError(
            f"{engine.name} has no adapter to switch.",
            "",
            "Load it with load_model(name, adapter=...), or put one on with `with attached(engine, ...)`.",
        )
    before = adapter.is_on
    adapter.switch(on=on)
    try:
        yield engine
    finally:
        adapter.switch(on=before)


def require_peft() -> None:
    """Raises ModelError, with what to install, where peft is missing."""
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise ModelError("Adapters need the package peft.", str(error), "pip install peft") from error


def _require_bare(engine: HookEngine) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    if engine.adapter is not None or any(isinstance(module, BaseTunerLayer) for module in engine.model.modules()):
        name = repr(engine.adapter.name) if engine.adapter is not None else "of peft"
        raise ModelError(
            f"{engine.name} has the adapter {name} already.",
            "A second one on top of it would not be the model that either was trained to be.",
            "Leave the block that attached it, or load the model once more.",
        )


def remember(model: nn.Module) -> Callable[[], None]:
    """A function that puts every module back into its place."""
    places = [(home, name, module) for home in model.modules() for name, module in home._modules.items()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    own = vars(model).get("peft_config")

    def restore() -> None:
        for home, name, module in places:
            if home._modules[name] is not module:
                home.register_module(name, module)
        for parameter, flag in trained:
            parameter.requires_grad_(flag)
        vars(model).pop("peft_config", None)
        if own is not None:
            vars(model)["peft_config"] = own

    return restore


def _logits(engine: HookEngine) -> Tensor:
    """Of the library's own pass over some tokens from all over the vocabulary, shape (token, vocabulary)."""
    size = engine.model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, _PROBE_TOKENS + 1)[None] * 7919 % size
    with torch.inference_mode():
        logits: Tensor = engine.model(input_ids=ids.to(engine.device), use_cache=False).logits[0]
    return logits.nan_to_num()  # where the base itself is broken, the load-time check says so


def _inexact(file: AdapterFile) -> ModelError:
    return ModelError(
        f"The adapter {file.name!r} cannot be switched off exactly.",
        "With it off, the model is not what it was before it was attached.",
        MERGE,
    )


def _fresh(file: AdapterFile, engine: HookEngine) -> ModelError:
    zero = file.kind in ("LORA", "ADALORA") and not any(
        bool(tensor.any()) for key, tensor in file.tensors.items() if ".lora_B" in key
    )
    return ModelError(
        f"The adapter {file.name!r} changes nothing in {engine.name}.",
        "All its lora_B are zero: it was saved before it was trained."
        if zero
        else f"The logits of {_PROBE_TOKENS} tokens are the same with it and without, bit for bit.",
        "Take a later checkpoint. If it is meant: attach(engine, ..., may_be_fresh=True).",
    )
