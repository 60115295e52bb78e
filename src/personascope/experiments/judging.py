"""What judges of choices and of free answers share: cases read once, texts fit to be shown, replies in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

CaseType = TypeVar("CaseType", bound=tuple[str, ...])
Found = TypeVar("Found")


def each_once(read: Callable[[Sequence[CaseType]], list[Found]], cases: Sequence[CaseType]) -> list[Found]:
    """What `read` finds for each case; equal cases are read once."""
    distinct = list(dict.fromkeys(cases))
    known = dict(zip(distinct, read(distinct), strict=True))
    return [known[case] for case in cases]


def without_special(tokenizer: Any, text: str) -> str:
    """The text without special tokens spelled out, which a small model writes at times and `render` refuses."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    pattern = "|".join(re.escape(token) for token in sorted(special, key=len, reverse=True))
    return re.sub(pattern, " ", text) if pattern else text


def only_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a judge's reply, which may stand in a code block; None when it holds none or several."""
    found = re.findall(r"\{[^{}]*\}", text)
    if len(found) != 1:
        return None
    try:
        told: dict[str, Any] = json.loads(found[0])
    except (ValueError, RecursionError):
        return None
    return told
