"""Which tokens of a prompt are read and which are steered, shown before anything runs.

Positions are resolved by the same function that reads and steers, so what is shown is what will happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import polars as pl

from personascope.errors import DataError
from personascope.models.intervention import Intervention, Phase
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.shapes import Vector

Kind = Literal["add", "turn", "clamp", "project out", "replace", "nothing"]
_SIGNED = ("add", "turn")
_ALONG = 1e-4
"""So far may the cosine of two offsets be from -1 for the second to count as the first one turned round."""


@dataclass(frozen=True)
class Steered:
    """What is to be done at a position; unlike an `Intervention` it needs no vector, so it can stand in a plan.

    Args:
        where: a position of `prompts.positions`.
        kind: "add", "turn" (add and keep the length), "clamp", "project out", "replace", or "nothing".
        sign: of a direction that is added, or how many times it is; of no meaning for the other kinds.
        layers: 0-based decoder blocks after which it is done; () where none is named yet.
        phase: as of `Intervention`.
    """

    where: str
    kind: Kind = "add"
    sign: float = 1.0
    layers: tuple[int, ...] = ()
    phase: Phase | None = None

    @property
    def reads_prompt(self) -> bool:
        """Whether it changes tokens of the prompt."""
        return self.kind != "nothing" and self.phase != "generation"

    @property
    def goes_on(self) -> bool:
        """Whether it changes generated tokens; the rule is that of `Intervention`."""
        rows = () if self.kind == "replace" else None
        like = Intervention(0, np.zeros(1, np.float32), self.where, rows=rows, phase=self.phase)
        return self.kind != "nothing" and like.goes_on

    @property
    def mark(self) -> str:
        """One character: + and - of a direction, 0 of what is taken out, = of what is set; "" of nothing."""
        if self.kind in _SIGNED:
            return "+" if self.sign > 0 else "-"
        return {"project out": "0", "clamp": "=", "replace": "="}.get(self.kind, "")

    @property
    def how(self) -> str:
        """The kind, of directions with sign and, unless it is 1, weight: "add +", "add -0.5", "clamp"."""
        weight = "" if abs(self.sign) == 1 else f"{abs(self.sign):g}"
        return f"{self.kind} {self.mark}{weight}" if self.kind in _SIGNED else self.kind

    def cells(self) -> list[str]:
        """In words, once for each layer: "layer 8 mean:task_a add +"."""
        words = f"{self.where} {self.how}"
        return [f"layer {layer} {words}" for layer in self.layers] or [words]


@dataclass(frozen=True)
class Selection:
    """Prompts token by token, with what is read and what is steered; made by `show_selection`.

    Args:
        prompts: what is shown.
        names: of the prompts, or empty.
        tokens: the text of every token, by prompt.
        read: positions that are read.
        steered: what is done, in the order given, each with all its layers.
        title: of the whole.
        note: a sentence or two for the reader.
    """

    prompts: tuple[Prompt, ...]
    names: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    read: tuple[str, ...]
    steered: tuple[Steered, ...]
    title: str = ""
    note: str = ""

    def read_at(self, row: int) -> list[tuple[str, ...]]:
        """For every token of a prompt the positions that read it."""
        places = {where: resolve(self.prompts[row], where) for where in self.read}
        return [
            tuple(where for where, tokens in places.items() if index in tokens)
            for index in range(len(self.prompts[row]))
        ]

    def steered_at(self, row: int) -> list[tuple[Steered, ...]]:
        """For every token of a prompt what is done to it while the prompt is read."""
        places = [(one, resolve(self.prompts[row], one.where)) for one in self.steered if one.reads_prompt]
        return [tuple(one for one, tokens in places if index in tokens) for index in range(len(self.prompts[row]))]

    def spans_at(self, row: int) -> list[tuple[str, ...]]:
        """For every token of a prompt the names of the spans that it lies in."""
        spans = self.prompts[row].spans.items()
        return [
            tuple(name for name, (start, stop) in spans if start <= index < stop)
            for index in range(len(self.prompts[row]))
        ]

    def frame(self) -> pl.DataFrame:
        """One row per prompt and token.

        Columns row, index, token_id, token (text), spans, read (positions), steered (as `Steered.cells`).
        """
        columns: dict[str, list[Any]] = {
            "row": [row for row, prompt in enumerate(self.prompts) for _ in prompt.ids],
            "index": [index for prompt in self.prompts for index in range(len(prompt))],
            "token_id": [token for prompt in self.prompts for token in prompt.ids],
            "token": [text for tokens in self.tokens for text in tokens],
            "spans": [list(at) for row in range(len(self.prompts)) for at in self.spans_at(row)],
            "read": [list(at) for row in range(len(self.prompts)) for at in self.read_at(row)],
            "steered": [
                [cell for one in at for cell in one.cells()]
                for row in range(len(self.prompts))
                for at in self.steered_at(row)
            ],
        }
        numbers = {name: pl.Int64() for name in ("row", "index", "token_id")}
        lists = {name: pl.List(pl.String()) for name in ("spans", "read", "steered")}
        return pl.DataFrame(columns, schema={**numbers, "token": pl.String(), **lists})

    def text(self, width: int = 100) -> str:
        """For a terminal: legend, then every prompt as tokens with marks, folded at `width` characters."""
        from personascope.report.selection_text import as_text

        return as_text(self, width)

    def html(self) -> str:
        """A self-contained page: all text is escaped, nothing is loaded and no script runs."""
        from personascope.report.selection_page import page

        return page([self])

    def _repr_html_(self) -> str:
        from personascope.report.selection_page import fragment

        return fragment([self])


def show_selection(
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    read: Sequence[str] = (),
    steer: Sequence[Intervention | Steered] | Mapping[str, float] = (),
    names: Sequence[str] = (),
    title: str = "",
    note: str = "",
) -> Selection:
    """Show which tokens of some prompts are read and which are steered. No model is needed.

    Args:
        tokenizer: that of the prompts; token ids are decoded one by one.
        prompts: rendered prompts.
        read: names of positions.
        steer: interventions, or what is planned (`Steered`), or position -> sign as a coefficient sweep takes it.
            The sign of an intervention is "-" where its offset is the opposite of the first one added at its layer.
        names: of the prompts, as many as there are prompts, or none.
        title: of what is shown.
        note: a sentence or two for the reader.

    Raises:
        SpanError: unknown position word, or a prompt without the span that a position names.
        DataError: another number of names than of prompts.
    """
    if names and len(names) != len(prompts):
        raise DataError(f"{len(names)} names for {len(prompts)} prompts.", "", "Give one for each, or none.")
    steered = _planned(steer)
    for prompt in prompts:
        for where in (*read, *(one.where for one in steered)):
            resolve(prompt, where)
    decode = _decoder(tokenizer)
    tokens = tuple(tuple(decode(token) for token in prompt.ids) for prompt in prompts)
    positions = tuple(dict.fromkeys(read))
    return Selection(tuple(prompts), tuple(names), tokens, positions, steered, title, note)


def _planned(steer: Sequence[Intervention | Steered] | Mapping[str, float]) -> tuple[Steered, ...]:
    """What is done in words; what differs in the layer only becomes one."""
    if isinstance(steer, Mapping):
        return tuple(Steered(where, "add" if sign else "nothing", float(sign)) for where, sign in steer.items())
    first: dict[int, Vector] = {}
    layers: dict[Steered, list[int]] = {}
    for one in steer:
        what = one if isinstance(one, Steered) else _in_plan(one, first)
        layers.setdefault(replace(what, layers=()), []).extend(what.layers)
    return tuple(replace(what, layers=tuple(dict.fromkeys(own))) for what, own in layers.items())


def _in_plan(one: Intervention, first: dict[int, Vector]) -> Steered:
    """An intervention in words; `first` has the first offset that is added at each layer, and is brought up to date."""
    kind = _kind(one)
    sign = _sign(first.setdefault(one.layer, one.offset), one.offset) if kind in _SIGNED else 1.0
    return Steered(one.where, kind, sign, (one.layer,), one.phase)


def _kind(one: Intervention) -> Kind:
    if not one.acts:
        return "nothing"
    if one.rows is not None:
        return "replace"
    if one.erase is not None:
        return "clamp" if np.any(one.offset) else "project out"
    return "turn" if one.keep_norm else "add"


def _sign(first: Vector, offset: Vector) -> float:
    return -1.0 if np.dot(first, offset) < (_ALONG - 1) * np.linalg.norm(first) * np.linalg.norm(offset) else 1.0


def _decoder(tokenizer: Any) -> Callable[[int], str]:
    """Text of a token by its id.

    Decoded alone, many tokens lose the space that they begin with, so each is decoded behind another whose text is
    then taken off.
    """
    ahead = list(tokenizer("a", add_special_tokens=False)["input_ids"][-1:])

    def text(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    before = text(ahead)

    @cache
    def decode(token: int) -> str:
        both = text([*ahead, token])
        own = both.removeprefix(before) if both.startswith(before) else text([token])
        return own or str(tokenizer.convert_ids_to_tokens(token))

    return decode
