"""One vocabulary of positions, for reading and for steering: a position names a set of tokens of a prompt.

    answer        the last prompt token: its output is the answer's distribution
    eot           the end-of-turn token of the last user turn
    first:SPAN    first token of a named span         last:SPAN   its last token
    mean:SPAN     all tokens of the span: capture averages over them, steering acts on each
    from:SPAN     from the span's first token through `answer`
    all           every token of the prompt

Positions are resolved by token identity in each prompt, never by a bare offset, so they hold for any persona text
and item length.
"""

from __future__ import annotations

from personascope.errors import SpanError, nearest
from personascope.prompts.prompt import Prompt

_SPANNED = ("first", "last", "mean", "from")


def resolve(prompt: Prompt, position: str) -> range:
    """Token indices that `position` names in `prompt`, never empty.

    Raises:
        SpanError: unknown position word, or the prompt has no such span.
    """
    kind, _, span = position.partition(":")
    if position == "answer":
        return range(len(prompt) - 1, len(prompt))
    if position == "all":
        return range(len(prompt))
    if position == "eot":
        return range(*_span(prompt, "eot", position))
    if kind not in _SPANNED or not span:
        known = ("answer", "eot", "all", *(f"{kind}:item" for kind in _SPANNED))
        raise SpanError(
            f"Unknown position {position!r}.{nearest(position, known)}",
            "Positions are: answer, eot, all, first:SPAN, last:SPAN, mean:SPAN, from:SPAN.",
            f"This prompt has the spans {', '.join(sorted(prompt.spans)) or '(none)'}.",
        )
    start, stop = _span(prompt, span, position)
    return {
        "first": range(start, start + 1),
        "last": range(stop - 1, stop),
        "mean": range(start, stop),
        "from": range(start, len(prompt)),
    }[kind]


def _span(prompt: Prompt, name: str, position: str) -> tuple[int, int]:
    start, stop = prompt.spans.get(name, (0, 0))
    if not 0 <= start < stop <= len(prompt):
        raise SpanError(
            f"Position {position!r}: this prompt of {len(prompt)} tokens has no span {name!r}."
            + nearest(name, prompt.spans),
            f"Its spans are {dict(prompt.spans)}; its text ends with {prompt.text[-80:]!r}.",
            "Name a slot of the template that rendered the prompt, or use a template that has this slot.",
        )
    return start, stop
