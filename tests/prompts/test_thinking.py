"""The switch between thinking and answering at once, on small chat templates of the kinds that are in use."""

import copy

import pytest

from personascope.errors import TemplateError
from personascope.prompts.render import render
from personascope.prompts.templates import TASK_ALONE, likert_template

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OPENING = "{% if add_generation_prompt %}<|im_start|>assistant\n"
NO_THOUGHT = "<think>\n\n</think>\n\n"
TEMPLATES = {
    # an empty thought stands in the prompt when thinking is off; nothing when it is on
    "closed": TURNS + OPENING + "{% if enable_thinking is defined and not enable_thinking %}" + NO_THOUGHT
    + "{% endif %}{% endif %}",
    # the prompt opens the thought itself when thinking is on, which is not the default
    "opened": TURNS + OPENING + "{% if enable_thinking %}<think>\n{% else %}" + NO_THOUGHT + "{% endif %}{% endif %}",
    # the switch is a word in the system message
    "system": "<|im_start|>system\n{% if enable_thinking is false %}/no_think{% else %}/think{% endif %}<|im_end|>\n"
    + TURNS + OPENING + "{% endif %}",
    "inverted": TURNS + OPENING + "{% if enable_thinking %}" + NO_THOUGHT + "{% else %}<think>\n{% endif %}{% endif %}",
    "none": TURNS + OPENING + "{% endif %}",
    # a switch that acts only where there is a system message
    "with system": "{% if messages[0].role == 'system' and enable_thinking %}/think {% endif %}"
    + TURNS + OPENING + "{% endif %}",
}  # fmt: skip
SWITCHED = ("closed", "opened", "system")


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    return copy.deepcopy(smollm2.tokenizer)


def put(tokenizer, kind, thinking, template=TASK_ALONE, system="", **slots):
    tokenizer.chat_template = TEMPLATES[kind]
    return render(tokenizer, template, slots or {"item": "I sing."}, system=system, thinking=thinking)


@pytest.mark.parametrize("kind", SWITCHED)
def test_thinking_is_switched_on_and_off_in_the_text(tokenizer, kind):
    on, off = (put(tokenizer, kind, thinking) for thinking in (True, False))
    assert on.text != off.text
    if kind == "system":
        assert "\n/think<" in on.text and "\n/no_think<" in off.text
    else:
        assert off.text.endswith("assistant\n" + NO_THOUGHT)
        assert on.text.endswith("assistant\n" + ("<think>\n" if kind == "opened" else ""))
    for prompt in (on, off):
        assert tokenizer.decode(list(prompt.ids)) == prompt.text
        assert tokenizer.decode(list(prompt.ids[slice(*prompt.spans["item"])])).strip() == "I sing."


@pytest.mark.parametrize("kind", TEMPLATES)
def test_none_leaves_the_template_alone(tokenizer, kind):
    tokenizer.chat_template = TEMPLATES[kind]
    turns = [{"role": "user", "content": "I sing."}]
    plain = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert put(tokenizer, kind, None).text == plain


@pytest.mark.parametrize("thinking", [True, False])
def test_a_template_without_the_switch_is_refused_when_it_is_asked_for(tokenizer, thinking):
    with pytest.raises(TemplateError, match=f"cannot switch thinking {'on' if thinking else 'off'}") as caught:
        put(tokenizer, "none", thinking)
    assert "(None)" in caught.value.fix


def test_a_switch_must_act_in_this_very_conversation(tokenizer):
    assert put(tokenizer, "with system", True, system="Be calm.").text.startswith("/think ")
    with pytest.raises(TemplateError, match="cannot switch thinking on"):
        put(tokenizer, "with system", True)


@pytest.mark.parametrize("thinking", [True, False])
def test_a_switch_that_does_the_opposite_is_refused(tokenizer, thinking):
    with pytest.raises(TemplateError, match=r"Thinking was switched (on|off), but the prompt ends with"):
        put(tokenizer, "inverted", thinking)


def test_words_about_thoughts_in_the_item_do_not_count(tokenizer):
    assert put(tokenizer, "closed", False, item="I write <think> often.").text.endswith(NO_THOUGHT)
    assert put(tokenizer, "closed", True, item="I write </think> often.").text.endswith("assistant\n")


def test_a_prefilled_answer_follows_the_empty_thought_and_leaves_no_room_for_a_real_one(tokenizer):
    likert = likert_template("ascending")
    slots = {"framing": "Hi.", "item": "I sing."}
    assert put(tokenizer, "closed", False, likert, **slots).text.endswith(NO_THOUGHT + "Rating: ")
    with pytest.raises(TemplateError, match="leaves no room to think") as caught:
        put(tokenizer, "closed", True, likert, **slots)
    assert "without_prefix" in caught.value.fix
    assert put(tokenizer, "opened", True, likert.without_prefix(), **slots).text.endswith("<think>\n")
