"""`as_backend(model)`: whatever model a user has in hand, as a backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from personascope.errors import ModelError
from personascope.models.backend import Backend

_CARRIED = "_personascope_backend"


def as_backend(model: Any) -> Backend:
    """A backend as it is; a TransformerLens bridge or an nnsight model in its adapter, with the default settings.

    The adapter is kept on the model, so that the same model gets the same adapter and its weights are hashed once; it
    goes when the model goes, and is left behind when the model is copied. Neither library is imported here.

    Raises:
        ModelError: the object is a bare Hugging Face model, which lacks a tokenizer and a name, or no model at all.
    """
    homes = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    # asked first: nnsight models answer to any name that their module knows
    if "nnsight" in homes or any(_is_bridge(kind) for kind in type(model).__mro__):
        carried = model.__dict__.get(_CARRIED)
        if carried is None or carried.model is not model:  # an edited nnsight model is a copy that carries it too
            carried = model.__dict__[_CARRIED] = _Carried(model, _adapter(model, is_nnsight="nnsight" in homes))
        return carried.backend  # type: ignore[no-any-return]
    if isinstance(model, Backend):
        return model
    if "transformers" in homes:
        raise ModelError(
            f"A bare {type(model).__name__} cannot be asked anything.",
            "Its tokenizer, and the name that results are kept under, are missing.",
            "Use HookEngine(model, tokenizer, name=...) from personascope.models.engine, or load_model(name).",
        )
    raise ModelError(
        f"A {type(model).__name__} is no model.",
        "A backend, a TransformerLens TransformerBridge or an nnsight model is needed.",
        "load_model(name) makes one from a name.",
    )


@dataclass(frozen=True, eq=False)
class _Carried:
    """The adapter on its model; it stays behind when the model is copied, or sent to a server."""

    model: Any
    backend: Backend

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


def _is_bridge(kind: type) -> bool:
    return kind.__name__ == "TransformerBridge" and kind.__module__.startswith("transformer_lens.")


def _adapter(model: Any, *, is_nnsight: bool) -> Backend:
    if is_nnsight:
        from personascope.models.nnsight_model import NnsightBackend

        return NnsightBackend(model)
    from personascope.models.transformer_lens import TransformerLensBackend

    return TransformerLensBackend(model)
