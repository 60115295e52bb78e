"""Statements as they are put before a model: in the user's turn, or as the assistant's own words.

A statement in the user's turn is something that the model reads; in the assistant's turn it is something that the model
has said. A direction can tell true from false in the one and not in the other, so a stimulus is scored in both.
"""

from __future__ import annotations

from typing import Any

from personascope.errors import TemplateError, nearest
from personascope.instruments.stimuli import Stimulus
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import TASK_ALONE, Template

SAY = Template(
    name="stimulus-say",
    user="I would like you to repeat one text word for word and to add nothing of your own. The text: {item}",
)
"""Asks for the text to be repeated, so that the user is not the one who claims it."""

USER_TEMPLATES = {"bare": TASK_ALONE, "say": SAY}
TURNS = (*USER_TEMPLATES, "reply", "reply-open")
"""How a stimulus is put: alone in the user's turn, in a request to repeat it, or as the assistant's reply."""

SPAN = {"bare": "item", "say": "item", "reply": "reply", "reply-open": "reply"}
"""Under which span name the words of the stimulus lie, for each turn: `f"last:{SPAN[turn]}"` is their last token."""


def stimulus_prompt(tokenizer: Any, stimulus: Stimulus, turn: str, *, system: str = "") -> Prompt:
    """Render one stimulus.

    Positions worth reading are `last:` and `mean:` of the span `SPAN[turn]`, and the end-of-turn token of the turn in
    which it stands: `eot` for "bare" and "say", `last:reply_end` (which is `answer` too) for "reply". In an assistant's
    turn `eot` still names the end of the user's turn, before the stimulus is said: an effect there comes from the
    question alone, so it is the control wherever questions differ between labels.

    Args:
        tokenizer: Hugging Face fast tokenizer with a chat template.
        stimulus: its `text` goes into the user's turn; in the assistant's turns its `question` does (its `text` when it
            has none) and its `reply` (its `text` when it has none) is what the assistant says.
        turn: one of `TURNS`; "reply" ends the assistant's turn, "reply-open" stops at the last word.
        system: system message of the persona; empty leaves the model's own default.

    Raises:
        TemplateError: an unknown turn, a stimulus without question and reply in an assistant's turn (the model would
            answer a statement with itself), or as `render`.
        SpanError: as `render`.
    """
    if turn not in TURNS:
        raise TemplateError(
            f"Unknown turn {turn!r}.{nearest(turn, TURNS)}", f"Turns are {', '.join(TURNS)}.", "Correct the name."
        )
    if turn in USER_TEMPLATES:
        return render(tokenizer, USER_TEMPLATES[turn], {"item": stimulus.text}, system=system)
    if not (stimulus.question or stimulus.reply):
        raise TemplateError(
            f"Stimulus {stimulus.id!r} has neither a question nor a reply.",
            "In the assistant's turn it would be both the user's message and the answer to it.",
            "Give it a question that its text answers, or a reply to its text.",
        )
    asked = {"item": stimulus.question or stimulus.text}
    said = stimulus.reply or stimulus.text
    return render(tokenizer, TASK_ALONE, asked, system=system, reply=said, close=turn == "reply")
