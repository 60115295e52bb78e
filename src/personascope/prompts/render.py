"""Render a persona, a template and an item through the model's own chat template, to token ids with named spans."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

import jinja2

from personascope.errors import SpanError, TemplateError, nearest
from personascope.prompts.prompt import Prompt
from personascope.prompts.templates import Template

_STAND_IN = "WordsOfTheUserTurn"
_REPLY_STAND_IN = "WordsOfTheReply"


def render(
    tokenizer: Any,
    template: Template,
    slots: Mapping[str, str],
    *,
    system: str = "",
    thinking: bool | None = None,
    reply: str = "",
    close: bool = False,
) -> Prompt:
    """Fill the slots, apply the chat template, tokenise once.

    Args:
        tokenizer: Hugging Face fast tokenizer with a chat template.
        template: what surrounds the slots.
        slots: text for every slot of the template; each becomes a span of the same name.
        system: system message of the persona; empty leaves the model's own default.
        thinking: whether the model is to think before it answers, for chat templates with the switch
            `enable_thinking`; None leaves the template's own default alone.
        reply: words put into the assistant's mouth after the template's `answer_prefix`, trimmed; they become the span
            "reply", so that `last:reply` and `mean:reply` can be read.
        close: whether the assistant's turn is ended after `reply`, by the token that the chat template ends it with;
            that token is then the last of the prompt (`answer`) and the span "reply_end".

    Returns:
        Prompt whose spans are the slots that have text, plus "eot" when a special token ends the user turn, and
        "reply" and "reply_end" where asked for.

    Raises:
        TemplateError: no chat template or one that fails, a slot without text or an unknown slot, a chat template
            that alters the user turn, a special token in the text of a slot or of the persona, a tokenizer without
            offsets, two beginning-of-sequence tokens, `thinking` asked of a chat template without the switch or with
            one that does not do what was asked, thinking asked together with a prefilled answer, or `close` without
            a reply or for a chat template that ends assistant turns with no special token.
        SpanError: a slot's text is not found in the tokens.
    """
    user, places, opening, opened = _fill(template, slots)
    reply = reply.strip()
    prefilled = opening + template.answer_prefix
    if thinking and (prefilled or reply):
        raise TemplateError(
            f"Template {template.name!r} prefills the answer with {prefilled + reply!r}, which leaves no room to "
            "think.",
            "Thoughts come before the answer.",
            "Use template.without_prefix() and read the sampled text, or thinking=False.",
        )
    chat, start = _chat(tokenizer, user, system, thinking)
    reply_start = len(chat) + len(prefilled)
    closing = _closing(tokenizer, reply) if close else ""
    text = chat + prefilled + reply + closing
    if start < 0 or not text.startswith(user, start):
        raise TemplateError(
            f"The chat template changes the user turn of template {template.name!r}, so its spans cannot be found.",
            f"Not found: {user[:60]!r} in {text[:120]!r}.",
            "Pass another chat template.",
        )
    ids, offsets = _tokenise(tokenizer, text)
    first, stop = _tokens_of(offsets, start, start + len(user))
    within = [(a - start, b - start) for a, b in offsets[first:stop]]
    _refuse_special(tokenizer, f"The user turn of template {template.name!r}", user, ids[first:stop], within)
    if system:
        _refuse_special(tokenizer, "The system message", system, *_tokenise(tokenizer, system))
    spans = {name: _tokens_of(offsets, start + a, start + b) for name, (a, b) in places.items()}
    if opening:
        first, stop = _tokens_of(offsets, len(chat), len(chat) + len(opening))
        within = [(a - len(chat), b - len(chat)) for a, b in offsets[first:stop]]
        _refuse_special(tokenizer, f"The opening of template {template.name!r}", opening, ids[first:stop], within)
        spans |= {name: _tokens_of(offsets, len(chat) + a, len(chat) + b) for name, (a, b) in opened.items()}
    if reply:
        spans["reply"] = first, stop = _tokens_of(offsets, reply_start, reply_start + len(reply))
        within = [(a - reply_start, b - reply_start) for a, b in offsets[first:stop]]
        _refuse_special(tokenizer, f"The reply to template {template.name!r}", reply, ids[first:stop], within)
    for name, (first, stop) in spans.items():
        if first >= stop:
            tail = [tokenizer.decode([token]) for token in ids[-20:]]
            raise SpanError(
                f"Slot {name!r} of template {template.name!r} has no tokens.", f"The prompt ends with {tail}.", ""
            )
    if close:
        spans["reply_end"] = (len(ids) - 1, len(ids))
    ending = _end_of_turn(tokenizer, ids, offsets, start + len(user))
    if ending is not None:
        spans["eot"] = (ending, ending + 1)
    return Prompt(ids=tuple(ids), text=text, spans=spans)


_Places = dict[str, tuple[int, int]]


def _fill(template: Template, slots: Mapping[str, str]) -> tuple[str, _Places, str, _Places]:
    """The user turn and the character range of each slot in it, and the same of the assistant's opening."""
    names = [*_slots(template.user), *_slots(template.opening)]
    for given in slots:
        if given not in names:
            raise TemplateError(
                f"Template {template.name!r} has no slot {given!r}.{nearest(given, names)}",
                f"Its slots are {names}.",
                "Pass text for these only.",
            )
    lost = next((name for name in names if name not in slots), None)
    if lost is not None:
        raise TemplateError(f"Template {template.name!r} needs text for slot {lost!r}.", "", f"Slots: {names}.")
    user, places = _filled(template.user, slots)
    # chat templates trim turns, so white space at the ends (of an empty framing, say) goes here, spans moving along
    lead = len(user) - len(user.lstrip())
    return (
        user.strip(),
        {name: (a - lead, b - lead) for name, (a, b) in places.items()},
        *_filled(template.opening, slots),
    )


def _slots(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]


def _filled(text: str, slots: Mapping[str, str]) -> tuple[str, _Places]:
    """The text with its slots filled, and where the words of each stand."""
    found, places = "", _Places()
    for literal, name, _, _ in string.Formatter().parse(text):
        found += literal
        if name is None:
            continue
        words = slots[name].strip()
        if words:
            first = len(found) + slots[name].index(words)
            places[name] = (first, first + len(words))
        found += slots[name]
    return found, places


def _chat(tokenizer: Any, user: str, system: str, thinking: bool | None) -> tuple[str, int]:
    """The chat as text and the place in it where the user's words begin, -1 when they are not found.

    A stand-in shows the place: the words themselves may occur elsewhere too (an item "assistant").
    """
    switch = {} if thinking is None else {"enable_thinking": thinking}
    if not getattr(tokenizer, "chat_template", None):
        raise TemplateError(
            f"The tokenizer of {getattr(tokenizer, 'name_or_path', 'this model')!r} has no chat template.",
            "It is probably a base model, which was never trained to take turns.",
            "Use its instruction-tuned version, or give a chat template (recipe: model.chat_template, a Jinja file).",
        )
    lead, turns = "", [{"role": "system", "content": system}] if system else []
    if system and not _shows_system(tokenizer, system):
        lead, turns = f"{system}\n\n", []
    try:
        turns.append({"role": "user", "content": lead + user})
        text = _apply(tokenizer, turns, **switch)
        marked = _apply(tokenizer, [*turns[:-1], {"role": "user", "content": lead + _STAND_IN}], **switch)
        other = text if thinking is None else _apply(tokenizer, turns, enable_thinking=not thinking)
    except jinja2.TemplateError as error:
        raise TemplateError(
            "The chat template fails on a conversation of one user turn.",
            f"{type(error).__name__}: {error}",
            "Give another chat template (recipe: model.chat_template, a Jinja file).",
        ) from error
    start = marked.rfind(_STAND_IN)
    if thinking is not None and start >= 0:
        _require_switched(tokenizer, thinking, text, other, start + len(user))
    return text, start


def _closing(tokenizer: Any, reply: str) -> str:
    """What the chat template writes at the end of an assistant's turn, through its end-of-turn token."""
    turns = [{"role": "user", "content": _STAND_IN}, {"role": "assistant", "content": _REPLY_STAND_IN}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False))
    except jinja2.TemplateError:
        text = ""
    closing = text.rpartition(_REPLY_STAND_IN)[2] if _REPLY_STAND_IN in text else ""
    ids, offsets = _tokenise(tokenizer, closing)
    end = _end_of_turn(tokenizer, ids, offsets, 0)
    if end is None or not reply:
        raise TemplateError(
            "There is no assistant's turn to close." if not reply else "The end of the assistant's turn is not known.",
            "`close` ends the turn that `reply` fills."
            if not reply
            else f"After an assistant's words the chat template writes {closing!r}, which has no special token.",
            "Pass the words of the reply, or leave the turn open (close=False).",
        )
    return closing[: offsets[end][1]]


def _require_switched(tokenizer: Any, thinking: bool, text: str, other: str, after: int) -> None:
    """Hold that the switch exists and that what follows the user's words shows what was asked of it.

    A template without the switch ignores it, so both renderings are the same. Turned off, no thought may be left open;
    turned on, no thought may be closed already.
    """
    if text == other:
        raise TemplateError(
            f"The chat template of {getattr(tokenizer, 'name_or_path', 'this model')!r} cannot switch thinking "
            f"{'on' if thinking else 'off'}.",
            "It renders the same text with enable_thinking on and off.",
            "Leave `thinking` out (None), or use a model or chat template with the switch.",
        )
    tail = text[after:]
    opened, closed = tail.rfind("<think>"), tail.rfind("</think>")
    if (closed > opened) if thinking else (opened > closed):
        raise TemplateError(
            f"Thinking was switched {'on' if thinking else 'off'}, but the prompt ends with {tail[-60:]!r}.",
            "The chat template's switch enable_thinking does something else than its name says.",
            "Leave `thinking` out (None), or give another chat template.",
        )


def _shows_system(tokenizer: Any, system: str) -> bool:
    """Templates without a system role raise or drop the text; their convention is to put it into the user turn."""
    try:
        turns = [{"role": "system", "content": system}, {"role": "user", "content": _STAND_IN}]
        return system.strip() in _apply(tokenizer, turns)
    except jinja2.TemplateError:
        return False


def _apply(tokenizer: Any, messages: list[dict[str, str]], **switch: bool) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **switch))


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


def _refuse_special(tokenizer: Any, what: str, text: str, ids: list[int], offsets: list[tuple[int, int]]) -> None:
    """Words that hold, say, an end-of-turn token would silently end the turn and move `eot` and the spans."""
    special = _special_ids(tokenizer)
    for token, (a, b) in zip(ids, offsets, strict=True):
        is_unknown_word = token == tokenizer.unk_token_id and text[a:b].strip() != tokenizer.unk_token
        if token in special and not is_unknown_word:
            raise TemplateError(
                f"{what} contains the special token {tokenizer.decode([token])!r}: {text[max(0, a - 40) : b + 40]!r}.",
                "The model would read it as the end or the start of a turn, not as text.",
                "Reword the text, or leave it out.",
            )


def _end_of_turn(tokenizer: Any, ids: list[int], offsets: list[tuple[int, int]], after: int) -> int | None:
    """Index of the first special token that begins at or after the end of the user's text."""
    special = _special_ids(tokenizer)
    found = (i for i, (a, _) in enumerate(offsets) if a >= after and ids[i] in special)
    return next(found, None)


def _special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of all special tokens, cached on the tokenizer: with Gemma's 6000 added tokens this takes milliseconds."""
    cached: tuple[int, frozenset[int]] | None = getattr(tokenizer, "_personascope_special", None)
    if cached is None or cached[0] != len(tokenizer):  # tokens may be added later
        added = (token for token, content in tokenizer.added_tokens_decoder.items() if content.special)
        cached = (len(tokenizer), frozenset(tokenizer.all_special_ids).union(added))
        tokenizer._personascope_special = cached
    return cached[1]
