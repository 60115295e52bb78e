"""The Prompt value: token ids, the text they came from, and where the named parts lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """One rendered prompt, tokenised once; every backend receives these ids.

    Args:
        ids: token ids, beginning-of-sequence token included where the model's template has one.
        text: the exact text that was tokenised.
        spans: half-open token ranges by name, e.g. {"item": (85, 97), "eot": (97, 98)}; spans may be any slot of
            the template, and "eot" is the end-of-turn token of the last user turn.
    """

    ids: tuple[int, ...]
    text: str
    spans: Mapping[str, tuple[int, int]]

    def __len__(self) -> int:
        return len(self.ids)
