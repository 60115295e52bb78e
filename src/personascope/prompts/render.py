"""Render a persona, a template and an item through the model's own chat template, to token ids with named spans."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

import jinja2

from personascope.errors import SpanError, TemplateError, nearest
from personascope.prompts.prompt import Prompt
from personascope.prompts.templates import Template


def render(tokenizer: Any, template: Template, slots: Mapping[str, str], *, system: str = "") -> Prompt:
    """Fill the slots, apply the chat template, tokenise once.

    Args:
        tokenizer: Hugging Face fast tokenizer with a chat template.
        template: what surrounds the slots.
        slots: text for every slot of the template; each becomes a span of the same name.
        system: system message of the persona; empty leaves the model's own default.

    Returns:
        Prompt whose spans are the slots that have text, plus "eot" when a special token ends the user turn.

    Raises:
        TemplateError: no chat template, a slot without text or an unknown slot, a template that alters the user
            turn, a tokenizer without offsets, or two beginning-of-sequence tokens.
        SpanError: a slot's text is not found in the tokens.
    """
    user, places = _fill(template, slots)
    text = _chat(tokenizer, user, system) + template.answer_prefix
    start = text.rfind(user)
    if start < 0:
        raise TemplateError(
            f"The chat template changes the user turn of template {template.name!r}, so its spans cannot be found.",
            f"Not found: {user[:60]!r} in {text[:120]!r}.",
            "Remove white space at the ends of the item, or pass another chat template.",
        )
    ids, offsets = _tokenise(tokenizer, text)
    spans = {name: _tokens_of(offsets, start + a, start + b) for name, (a, b) in places.items()}
    for name, (first, stop) in spans.items():
        if first >= stop:
            tail = [tokenizer.decode([token]) for token in ids[-20:]]
            raise SpanError(
                f"Slot {name!r} of template {template.name!r} has no tokens.", f"The prompt ends with {tail}.", ""
            )
    ending = _end_of_turn(tokenizer, ids, offsets, start + len(user))
    if ending is not None:
        spans["eot"] = (ending, ending + 1)
    return Prompt(ids=tuple(ids), text=text, spans=spans)


def _fill(template: Template, slots: Mapping[str, str]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The user turn and the character range of each slot in it."""
    user, places = "", {}
    names = [name for _, name, _, _ in string.Formatter().parse(template.user) if name is not None]
    for given in slots:
        if given not in names:
            raise TemplateError(
                f"Template {template.name!r} has no slot {given!r}.{nearest(given, names)}",
                f"Its slots are {names}.",
                "Pass text for these only.",
            )
    for literal, name, _, _ in string.Formatter().parse(template.user):
        user += literal
        if name is None:
            continue
        if name not in slots:
            raise TemplateError(f"Template {template.name!r} needs text for slot {name!r}.", "", f"Slots: {names}.")
        if slots[name]:
            places[name] = (len(user), len(user) + len(slots[name]))
        user += slots[name]
    # chat templates trim turns, so white space at the ends (of an empty framing, say) goes here, spans moving along
    lead = len(user) - len(user.lstrip())
    return user.strip(), {name: (a - lead, b - lead) for name, (a, b) in places.items()}


def _chat(tokenizer: Any, user: str, system: str) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise TemplateError(
            f"The tokenizer of {getattr(tokenizer, 'name_or_path', 'this model')!r} has no chat template.",
            "It is probably a base model, which was never trained to take turns.",
            "Use its instruction-tuned version, or give a chat template (recipe: model.chat_template, a Jinja file).",
        )
    turn = {"role": "user", "content": user}
    system_turn = [{"role": "system", "content": system}] if system else []
    try:
        return _apply(tokenizer, [*system_turn, turn])
    except jinja2.TemplateError:
        if not system:
            raise
        # templates without a system role raise; their own convention is to put the system text into the user turn
        return _apply(tokenizer, [{"role": "user", "content": f"{system}\n\n{user}"}])


def _apply(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _tokenise(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    if not getattr(tokenizer, "is_fast", False):
        raise TemplateError(
            "Spans need a tokenizer that reports character offsets, and this one does not.",
            f"It is a {type(tokenizer).__name__}.",
            "Load the fast version of the tokenizer (a tokenizer.json file).",
        )
    # the chat template writes the beginning-of-sequence token itself; adding special tokens again would double it
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), list(encoded["offset_mapping"])
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == [bos, bos]:
        raise TemplateError(
            "The prompt starts with two beginning-of-sequence tokens.",
            f"Both the chat template and its text write {tokenizer.bos_token!r}.",
            "Remove one of them from the chat template.",
        )
    return ids, offsets


def _tokens_of(offsets: list[tuple[int, int]], start: int, stop: int) -> tuple[int, int]:
    """Half-open token range overlapping characters [start, stop)."""
    inside = [i for i, (a, b) in enumerate(offsets) if a < stop and b > start]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _end_of_turn(tokenizer: Any, ids: list[int], offsets: list[tuple[int, int]], after: int) -> int | None:
    """Index of the first special token that begins at or after the end of the user's text."""
    special = set(tokenizer.all_special_ids) | {
        token for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    found = (i for i, (a, _) in enumerate(offsets) if a >= after and ids[i] in special)
    return next(found, None)
