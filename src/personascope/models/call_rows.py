"""Where in its own sequence each token of a user's call stands: over padding, cached decoding and prompts in pieces.

A call is read from its arguments: token ids, attention mask, cache. What was read before is remembered with its cache.
A token's position is its number among the real tokens of its row; tokens behind the row's prompt are generated ones.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from personascope.errors import ModelError
from personascope.models.decoding import Placed
from personascope.models.intervention import Cell
from personascope.prompts.prompt import Prompt

_CACHES = ("past_key_values", "cache_params", "state", "mems")
"""Names under which the library hands a model what it has read, and gets it back."""
_UNKNOWN = -1
"""Stands for a token of which only the embedding was given, or that was read elsewhere."""

_Known = tuple[int, Prompt]
"""A prompt and its number."""


@dataclass(frozen=True)
class _Seen:
    """Rows from their beginning: ids and real tokens by column, and each row's prompt with its number."""

    ids: Int[Tensor, "row column"]
    real: Bool[Tensor, "row column"]
    prompts: tuple[_Known, ...] = ()

    def up_to(self, rows: int, columns: int) -> _Seen:
        """So many rows and columns of it: a cache may have been repeated, cropped, or filled elsewhere."""
        ids = torch.full((rows, columns), _UNKNOWN)
        real = torch.ones((rows, columns), dtype=torch.bool)
        if rows != len(self.ids) and not bool((self.ids == self.ids[:1]).all() and (self.real == self.real[:1]).all()):
            return _Seen(ids, real)  # rows of the cache were picked, and nothing says which
        width = min(columns, self.ids.shape[1])
        ids[:, :width], real[:, :width] = self.ids[:, :width], self.real[:, :width]
        return _Seen(ids, real, self.prompts if rows == len(self.ids) else self.prompts[:1] * rows)


class CallRows:
    """Tells, call by call, which tokens of which prompt stand where.

    Without `prompts` a row's prompt is whatever is read before anything is generated: all of a call without a past, of
    a call of several tokens after one, and in `generating` all that it was begun with. A call of one token after a
    past is a generated token.

    Args:
        cell: what is done to every row.
        prompts: what rows begin with, in any order; more of them than rows is fine.
        padding: the token that pads; a run of it that ends a row, in a batch without a mask or a past, is padding.
    """

    def __init__(self, cell: Cell, prompts: Sequence[Prompt] | None, padding: int | None) -> None:
        self.cell, self.prompts, self.padding = cell, prompts, padding
        self._by_ids: dict[tuple[int, ...], list[int]] = {}
        for number, prompt in enumerate(prompts or ()):
            self._by_ids.setdefault(prompt.ids, []).append(number)
        self._caches: WeakKeyDictionary[Any, _Seen] = WeakKeyDictionary()
        self._latest: _Seen | None = None
        self._prompt_columns: int | None = None  # of the generation that is under way
        self._is_begun = False

    @contextlib.contextmanager
    def generating(self, columns: int) -> Iterator[None]:
        """Calls in the block are one generation, begun with this many columns, or with all of its first call."""
        before = self._prompt_columns, self._is_begun
        self._prompt_columns, self._is_begun = columns, False
        try:
            yield
        finally:
            self._prompt_columns, self._is_begun = before

    def place(self, given: Mapping[str, Any]) -> list[Placed]:
        """The rows of a call with these arguments.

        Raises:
            ModelError: a row is of none of the prompts, or of several that are steered differently; a position needs
                prompts; it cannot be told which tokens are padding, or how many were read before.
        """
        self._require_prompts()
        seen, past = self._read(given)
        width = seen.ids.shape[1] - past
        before = seen.real[:, :past].sum(dim=1).tolist()
        here = [[column for column in range(width) if real[column]] for real in seen.real[:, past:].tolist()]
        known = [
            one if one and len(one[1]) <= start else None
            for one, start in zip(seen.prompts or [None] * len(before), before, strict=True)
        ]
        trailing = [0] * len(here) if past else self._trailing(seen.ids, given)
        goes_on = self._is_begun or width == 1
        if self._prompt_columns is not None and not self._is_begun:
            self._prompt_columns, self._is_begun = max(self._prompt_columns, past + width), True
        if self.prompts is None:
            read = [start + len(columns) - pad for start, columns, pad in zip(before, here, trailing, strict=True)]
            known = [(0, _anonymous(length)) for length in self._lengths(seen.real, past, read, known)]
        placed = []
        for row, one in enumerate(known):
            if one is None or (self.prompts is not None and not goes_on):
                tokens = tuple(seen.ids[row, seen.real[row]].tolist())
                one = self._find(row, Placed(self.cell, 0, _anonymous(0), here[row], before[row]), tokens)
            stop = len(here[row])
            if trailing[row]:  # unless the prompt itself ends with such tokens
                stop = max(stop - trailing[row], len(one[1]) - before[row])
                seen.real[row, [past + column for column in here[row][stop:]]] = False
            placed.append(Placed(self.cell, *one, here[row][:stop], before[row]))
        self._latest = replace(seen, prompts=tuple((one.number, one.prompt) for one in placed))
        return placed

    def keep(self, output: Any, given: Mapping[str, Any]) -> None:
        """Remember the last call's rows with the cache that holds them now: what was returned, or what was given."""
        returned = dict(output) if isinstance(output, Mapping) else {}
        cache = cache_of({**given, **{name: value for name, value in returned.items() if value is not None}})
        if cache is not None and self._latest is not None:
            with contextlib.suppress(TypeError):  # a list of tensors cannot be known again, and is refused if it comes
                self._caches[cache] = self._latest

    def _require_prompts(self) -> None:
        named = [one.where for one in self.cell if one.where not in ("all", "answer") or one.rows is not None]
        if self.prompts is None and named:
            raise ModelError(
                f"Where {named[0]!r} is in a call of your own cannot be told without the prompts.",
                "A call has token ids, and no names of their parts.",
                "Pass the rendered prompts: steer(..., prompts=prompts).",
            )

    def _read(self, given: Mapping[str, Any]) -> tuple[_Seen, int]:
        """The call's rows with what was read before them, and how many columns that is."""
        ids: Any = given.get("input_ids")
        embeddings: Any = given.get("inputs_embeds")
        mask = given.get("attention_mask")
        if ids is None and (embeddings is None or self.prompts is not None):
            raise ModelError(
                "The model was called without input_ids.",
                "Rows are matched to prompts by their token ids.",
                "Call it with input_ids, or steer at 'all' or 'answer' without prompts.",
            )
        if mask is not None and not (isinstance(mask, Tensor) and mask.ndim == 2):
            raise ModelError(
                "The attention mask is not one number a token.",
                "Which tokens are padding cannot be told from it. Static caches, among others, lead to such masks.",
                "Call the model with an attention_mask of shape (row, token) and its default cache.",
            )
        rows, width = (embeddings[..., 0] if ids is None else ids).shape
        cache = cache_of(given)
        past = mask.shape[1] - width if mask is not None and mask.shape[1] > width else self._length(cache)
        seen = (self._remembered(cache) or _Seen(torch.zeros(1, 0).long(), torch.ones(1, 0).bool())).up_to(rows, past)
        own = ids.cpu() if ids is not None else torch.full((rows, width), _UNKNOWN)
        real = torch.cat([seen.real, torch.ones((rows, width), dtype=torch.bool)], dim=1)
        if mask is not None:
            real[:, -mask.shape[1] :] = mask.cpu() != 0
        return replace(seen, ids=torch.cat([seen.ids, own], dim=1), real=real), past

    def _remembered(self, cache: Any) -> _Seen | None:
        with contextlib.suppress(TypeError):
            return self._caches.get(cache)
        return None

    def _length(self, cache: Any) -> int:
        """How many columns are in a cache."""
        with contextlib.suppress(ValueError, AttributeError):  # states of recurrent models do not count
            return 0 if cache is None else int(cache.get_seq_length())
        seen = self._remembered(cache)
        if seen is None and not hasattr(cache, "get_seq_length"):
            raise ModelError(
                f"How many tokens are in a {type(cache).__name__} of states cannot be told.",
                "Positions are counted from the beginning of each row.",
                "Call this model without a state.",
            )
        return 0 if seen is None else seen.ids.shape[1]

    def _trailing(self, ids: Tensor, given: Mapping[str, Any]) -> list[int]:
        """How many padding tokens end each row of a first call that does not say which tokens are padding."""
        # in `generate` the library says it, and leaves out masks of ones
        if given.get("attention_mask") is not None or self._prompt_columns is not None or self.padding is None:
            return [0] * len(ids)
        run: list[int] = (ids == self.padding).long().flip(1).cumprod(dim=1).sum(dim=1).tolist()
        return run if len(ids) > 1 else [0]

    def _lengths(self, real: Tensor, past: int, read: list[int], known: Sequence[_Known | None]) -> list[int]:
        """Of each row's prompt; `read` tokens of the row are read when this call ends."""
        lengths = read
        if self._prompt_columns is not None:
            to_come = max(0, self._prompt_columns - real.shape[1])
            lengths = [tokens + to_come for tokens in real[:, : self._prompt_columns].sum(dim=1).tolist()]
        elif past and real.shape[1] == past + 1:
            lengths = [len(one[1]) if one else length - 1 for one, length in zip(known, read, strict=True)]
        at_answer = any(one.where == "answer" and one.reads_prompt for one in self.cell)
        if at_answer and any(one and len(one[1]) < length for one, length in zip(known, lengths, strict=True)):
            raise ModelError(
                "The prompt goes on where an earlier call ended it, and 'answer' was steered there.",
                "Of a prompt that is read in pieces, no call says that it is the last.",
                "Pass the rendered prompts: steer(..., prompts=prompts).",
            )
        return lengths

    def _find(self, place: int, row: Placed, tokens: tuple[int, ...]) -> _Known:
        """The longest prompt that a row starts with, or one that goes on where the row ends so far, and its number."""
        numbers = self._by_ids.get(tokens) or self._longest_in(tokens) or self._going_on(tokens)
        if not numbers:
            raise ModelError(
                f"Row {place} of the call starts with none of the {len(self.prompts or ())} prompts.",
                f"Its tokens are {list(tokens[:20])}{' ...' if len(tokens) > 20 else ''}.",
                "Pass all prompts of the call to steer(..., prompts=prompts), and their own token ids to the model.",
            )
        could_be = [(number, (self.prompts or ())[number]) for number in numbers]
        done = [_done(replace(row, number=number, prompt=prompt)) for number, prompt in could_be]
        for number, one in zip(numbers, done, strict=True):
            if one != done[0]:
                raise ModelError(
                    f"Row {place} of the call can be prompt {numbers[0]} or {number}, which are steered differently.",
                    "Their tokens are the same as far as they are known here.",
                    "Read prompts in one call in the block, or leave one of the two out.",
                )
        return could_be[0]

    def _longest_in(self, tokens: tuple[int, ...]) -> list[int]:
        prompts = self.prompts or ()
        found = [number for number, prompt in enumerate(prompts) if _agree(prompt.ids, tokens[: len(prompt)])]
        longest = max((len(prompts[number]) for number in found), default=0)
        return [number for number in found if len(prompts[number]) == longest]

    def _going_on(self, tokens: tuple[int, ...]) -> list[int]:
        prompts = self.prompts or ()
        return [number for number, prompt in enumerate(prompts) if _agree(prompt.ids[: len(tokens)], tokens)]


def cache_of(values: Mapping[str, Any]) -> Any:
    """The cache among a model's arguments or results, or None."""
    return next((values[name] for name in _CACHES if values.get(name) is not None), None)


@functools.lru_cache(maxsize=64)
def _anonymous(length: int) -> Prompt:
    return Prompt((_UNKNOWN,) * length, "", {})


def _agree(ids: tuple[int, ...], tokens: tuple[int, ...]) -> bool:
    if _UNKNOWN not in tokens:
        return ids == tokens
    return len(ids) == len(tokens) and all(
        mine in (theirs, _UNKNOWN) or theirs == _UNKNOWN for mine, theirs in zip(ids, tokens, strict=True)
    )


def _done(row: Placed) -> list[object]:
    """What is done to a row, in a form that can be compared."""
    named = [row.named_by(one) for one in row.cell]
    return [(at, row.number if one.rows and at else None) for one, at in zip(row.cell, named, strict=True)]
