"""Steering a user's own calls of a Hugging Face, TransformerLens or nnsight model, by PyTorch hooks on its blocks."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from personascope.errors import ModelError
from personascope.models import passes
from personascope.models.anatomy import Anatomy, dissect
from personascope.models.call_rows import CallRows
from personascope.models.decoding import steps_of
from personascope.models.equal_lengths import EqualLengthBackend
from personascope.models.intervention import Cell, Intervention, Steering, change_all
from personascope.models.nnsight_model import NnsightBackend
from personascope.models.passes import hidden_of
from personascope.models.requests import require_interventions
from personascope.models.transformer_lens import TransformerLensBackend
from personascope.prompts.prompt import Prompt

Undo = Callable[[], None]


@dataclass(frozen=True)
class BareModel:
    """A Hugging Face decoder in a user's hands: what interventions must fit.

    Args:
        module: the model.

    Raises:
        ModelError: it has an encoder, or is no plain decoder.
    """

    module: Any

    def __post_init__(self) -> None:
        if getattr(self.module.config, "is_encoder_decoder", False):
            raise ModelError(
                f"A {self.name} has an encoder and a decoder.",
                "It has no one residual stream that a prompt and its answer share.",
                "Steer a causal language model.",
            )
        dissect(self.module)

    @property
    def name(self) -> str:
        """Its class: what it is called by whoever loaded it is not known."""
        return type(self.module).__name__

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(dissect(self.module).layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.module.config.get_text_config().hidden_size)


@contextlib.contextmanager
def own_calls(
    target: BareModel | EqualLengthBackend,
    interventions: Sequence[Intervention],
    prompts: Sequence[Prompt] | None = None,
) -> Iterator[None]:
    """Do what the interventions say in every call of the model in the block; the model is restored on leaving it.

    A call is a forward pass, however it comes about: `model(**inputs)`, `generate`, a bridge's `run_with_hooks`, a
    trace. Calls that an adapter of ours makes in `run` are left alone: what it steers it adds itself.

    Args:
        target: the model, or the adapter of the library's model.
        interventions: what is done, in this order.
        prompts: what rows of calls begin with; needed at positions with a span, and where rows are replaced (`rows`
            are given for the prompts in this order). See `CallRows` for what counts as prompt without them.

    Raises:
        ModelError: an intervention does not fit the model; a call's rows cannot be told (see `CallRows.place`); a block
            did not run; on leaving, that the model was never called, or that an intervention never changed a token.
        SpanError: a position is not in a prompt that was called.
    """
    require_interventions(target, interventions, prompts)
    acting = tuple(one for one in interventions if one.acts)
    anatomy = dissect(target.module)
    padding = getattr(getattr(target, "tokenizer", None), "pad_token_id", None)
    if padding is None:
        padding = getattr(target.module.config.get_text_config(), "pad_token_id", None)
    calls = _Calls(target, anatomy, acting, CallRows(acting, prompts, padding))
    with contextlib.ExitStack() as stack:
        for layer in sorted({one.layer for one in acting}):
            stack.callback(_after_block(target, anatomy.layers[layer], layer, functools.partial(calls.after, layer)))
        for module in dict.fromkeys([target.module, anatomy.body]):
            stack.callback(module.register_forward_pre_hook(calls.enter, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(calls.leave, always_call=True).remove)
        for owner in dict.fromkeys([target.module, getattr(target, "wrapped", target.module)]):
            for name in ("generate", "generate_stream"):
                if isinstance(owner, nn.Module) and hasattr(owner, name):
                    stack.callback(_mark_generation(owner, name, calls.rows))
        yield
    calls.require_done()


class _Calls:
    """The call that is under way, what is done in it, and what has been done since the block was entered."""

    def __init__(self, target: BareModel | EqualLengthBackend, anatomy: Anatomy, acting: Cell, rows: CallRows) -> None:
        self.target, self.anatomy, self.acting, self.rows = target, anatomy, acting, rows
        self.outermost: nn.Module | None = None  # of the modules that are running; its arguments say most
        self.given: dict[str, Any] = {}
        self.steering: dict[int, Steering] | None = None  # of the decoder's call, by layer
        self.touched: dict[int, set[int]] = {}  # interventions that act in it, by layer
        self.written: tuple[object, dict[int, Steering]] = False, {}
        self.ran: set[int] = set()
        self.done: set[int] = set()
        self.n_calls = 0
        self.is_left_alone = False

    def enter(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Before the model runs, and before the decoder in it, which may be called alone."""
        if self.outermost is None or module is self.target.module:
            names = list(inspect.signature(type(module).forward).parameters)[1:]
            self.outermost, self.given = module, {**dict(zip(names, arguments, strict=False)), **keywords}
        if module is not self.anatomy.body:
            return
        adapter_runs = isinstance(self.target, EqualLengthBackend) and self.target.is_running
        is_traced = isinstance(self.given.get("input_ids"), FakeTensor)  # shapes without numbers, as in nnsight's scan
        self.is_left_alone = adapter_runs or is_traced
        self.n_calls += not is_traced
        if adapter_runs:
            self.done.update(range(len(self.acting)))  # the adapter sees to it
        self.steering, self.touched, self.ran = {}, {}, set()
        if self.acting and not self.is_left_alone:
            self._require_no_engine()
            rows = self.rows.place(self.given)
            # what is done to generated tokens is the same in every call, and working it out in each would be felt
            key = all(row.start >= len(row.prompt) for row in rows) and [list(row.columns) for row in rows]
            if not key or key != self.written[0]:
                device = next(value.device for value in self.given.values() if isinstance(value, Tensor))
                steering = {layer: steps_of(layer, rows, device) for layer in {one.layer for one in self.acting}}
                self.written = key, steering
            self.steering = self.written[1]
            for number, one in enumerate(self.acting):
                if number not in self.done and any(row.named_by(one) for row in rows):
                    self.touched.setdefault(one.layer, set()).add(number)

    def after(self, layer: int, hidden: Tensor) -> Tensor:
        """What goes on from a block."""
        if self.is_left_alone and self.steering is not None:
            return hidden
        if self.steering is None or layer in self.ran:
            raise ModelError(
                f"Block {layer} of {self.target.name} ran {'outside of a call' if self.steering is None else 'twice'}.",
                "Which tokens it holds is known in a call of the whole model, where each block runs once.",
                "Call the model. A hook engine over it is steered by steer(engine, ...).",
            )
        self.ran.add(layer)
        self.done |= self.touched.get(layer, set())
        return change_all(hidden, self.steering[layer])

    def leave(self, module: nn.Module, _arguments: Any, output: Any) -> None:
        """After the decoder, and after the model; without an output where an exception ended it."""
        steering, given = self.steering or {}, self.given
        if module is self.anatomy.body:
            self.steering = None
        if module is self.outermost:
            self.outermost, self.given = None, {}
        if module is self.anatomy.body and output is not None and not self.is_left_alone:
            silent = [layer for layer, steps in steering.items() if steps and layer not in self.ran]
            if silent:
                raise ModelError(
                    f"Block {silent[0]} of {self.target.name} did not call its hook.",
                    "The model skips it, or calls it where hooks do not see it, so it was not steered.",
                    "Steer at another layer.",
                )
            self.rows.keep(output, given)

    def require_done(self) -> None:
        """Raise ModelError when nothing was steered, or one of the interventions has changed no token."""
        if not self.n_calls:
            raise ModelError(
                f"{self.target.name} was never called in the block that steers it.",
                "What was called was another copy of it, or ran on a server.",
                "Call the model that was given to steer.",
            )
        idle = [one for number, one in enumerate(self.acting) if number not in self.done]
        if idle:
            raise ModelError(
                f"Nothing was steered after block {idle[0].layer} at {idle[0].where!r}, phase {idle[0].phase!r}.",
                "No call in the block held such a token, or all of them ended below that block.",
                "Call the model on such tokens (phase 'generation': let it generate), or leave this step out.",
            )

    def _require_no_engine(self) -> None:
        if any(hook.__module__ == passes.__name__ for hook in self.anatomy.layers[0]._forward_hooks.values()):
            raise ModelError(
                f"A hook engine ran {self.target.name} in a block that steers the model's own calls.",
                "It batches prompts in ways of its own, so its tokens cannot be told from its calls.",
                "Steer the engine: steer(engine, ...).",
            )


def _after_block(
    target: BareModel | EqualLengthBackend, block: nn.Module, layer: int, listener: Callable[[Tensor], Tensor]
) -> Undo:
    """Let `listener` change what leaves a block, before the library shows it to its user."""
    if isinstance(target, TransformerLensBackend):
        point: nn.Module = target.wrapped.blocks[layer].hook_out
        return point.register_forward_hook(lambda _module, _inputs, hidden: listener(hidden)).remove
    if isinstance(target, NnsightBackend):
        before = vars(block).get("_hf_hook")
        vars(block)["_hf_hook"] = _InnerHook(listener, before)
        return functools.partial(_restore, block, "_hf_hook", before)
    return block.register_forward_hook(lambda _module, _inputs, output: _changed(output, listener)).remove


class _InnerHook:
    """What nnsight runs around a block's own forward, inside of all that a trace shows; PyTorch's hooks run outside.

    It is the protocol of accelerate's hooks; one that is on the block already goes on within.
    """

    def __init__(self, listener: Callable[[Tensor], Tensor], within: Any) -> None:
        self.listener, self.within = listener, within

    def pre_forward(self, module: nn.Module, *arguments: Any, **keywords: Any) -> Any:
        """Arguments of the block."""
        return self.within.pre_forward(module, *arguments, **keywords) if self.within else (arguments, keywords)

    def post_forward(self, module: nn.Module, output: Any) -> Any:
        """Output of the block."""
        return _changed(self.within.post_forward(module, output) if self.within else output, self.listener)


def _changed(output: Any, listener: Callable[[Tensor], Tensor]) -> Any:
    changed = listener(hidden_of(output))
    return changed if isinstance(output, Tensor) else (changed, *output[1:])


def _mark_generation(owner: nn.Module, name: str, rows: CallRows) -> Undo:
    """Let `rows` know when a method that generates is at work: its calls do not say where the prompt ended."""
    before, original = vars(owner).get(name), getattr(owner, name)

    @functools.wraps(original)
    def generate(*arguments: Any, **keywords: Any) -> Any:
        given = [*arguments[:1], *(keywords.get(key) for key in ("inputs", "input", "input_ids", "attention_mask"))]
        columns = max((one.shape[1] for one in given if isinstance(one, Tensor) and one.ndim == 2), default=0)
        if inspect.isgeneratorfunction(inspect.unwrap(original)):
            return _marked(rows, columns, original(*arguments, **keywords))
        with rows.generating(columns):
            return original(*arguments, **keywords)

    vars(owner)[name] = generate
    return functools.partial(_restore, owner, name, before)


def _marked(rows: CallRows, columns: int, steps: Iterator[Any]) -> Iterator[Any]:
    with rows.generating(columns):
        yield from steps


def _restore(owner: nn.Module, name: str, before: Any) -> None:
    if before is None:
        del vars(owner)[name]
    else:
        vars(owner)[name] = before
