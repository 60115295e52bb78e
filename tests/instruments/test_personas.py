import re

import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.personas import load_personas, pick_personas
from personascope.prompts.render import render
from personascope.prompts.templates import likert_template

CONDITIONS = ["self", "meta", "helpful", "placebo"]
CHARACTERS = ["assistant", "evil", "mathematician", "poet", "slacker"]


def test_the_built_in_personas_are_four_conditions_and_five_characters():
    personas = load_personas()
    assert list(personas) == CONDITIONS + CHARACTERS
    assert all(persona.name == name and persona.about for name, persona in personas.items())
    assert all(phrasing.framing for persona in personas.values() for phrasing in persona.phrasings)


def test_conditions_frame_and_characters_speak_through_the_system_message():
    personas = load_personas()
    for name in [*CONDITIONS, "assistant"]:
        assert not any(phrasing.system for phrasing in personas[name].phrasings)
    for name in CHARACTERS[1:]:
        assert all(phrasing.system for phrasing in personas[name].phrasings)


@pytest.mark.parametrize("name", CONDITIONS + CHARACTERS)
def test_every_persona_renders_with_its_words_in_place(smollm2, name):
    item = "I keep my promises."
    for phrasing in load_personas()[name].phrasings:
        slots = {"framing": phrasing.framing, "item": item}
        prompt = render(smollm2.tokenizer, likert_template("ascending"), slots, system=phrasing.system)
        decoded = {span: smollm2.tokenizer.decode(list(prompt.ids[a:b])) for span, (a, b) in prompt.spans.items()}
        assert decoded == {"framing": phrasing.framing, "item": f" {item}", "eot": "<|im_end|>"}
        assert prompt.text.count(phrasing.system or "You are a helpful AI assistant named SmolLM") == 1
        assert "\n" not in phrasing.framing + phrasing.system


def test_the_four_conditions_are_equally_long_phrasing_by_phrasing(smollm2):
    personas = load_personas()
    for number in range(5):
        texts = [personas[name].phrasings[number].framing for name in CONDITIONS]
        lengths = [len(smollm2.tokenizer(text)["input_ids"]) for text in texts]
        assert max(lengths) - min(lengths) <= 3, dict(zip(CONDITIONS, lengths, strict=True))


def test_conditions_and_the_two_main_characters_have_five_wordings_that_all_differ():
    personas = load_personas()
    for name in [*CONDITIONS, "assistant", "evil"]:
        assert len(personas[name].phrasings) == len({(p.system, p.framing) for p in personas[name].phrasings}) == 5, (
            name
        )
    framings = [phrasing.framing for name in CONDITIONS for phrasing in personas[name].phrasings]
    assert len(set(framings)) == 20


def test_the_placebo_addresses_nobody():
    for phrasing in load_personas()["placebo"].phrasings:
        assert not re.search(r"\b(you|your|yourself|model|assistant|honest\w*|ideal|answer\w*)\b|\?", phrasing.framing)


def test_a_users_personas_are_read_and_their_mistakes_are_named_by_line(tmp_path):
    path = tmp_path / "personas.yaml"
    good = '- name: calm\n  about: ""\n  phrasings:\n    - system: You are calm.\n'
    path.write_text(good)
    assert load_personas(path)["calm"].phrasings[0].system == "You are calm."
    for bad, symptom in [
        ("- name: calm\n  about: x\n  phrasings: [{}]\n", "line 5: name 'calm' stands already in line 1"),
        ("- name: loud\n  about: x\n  phrasings: []\n", "line 5, field 'phrasings'"),
        ("- name: loud\n  about: x\n  phrasings: [{sytem: x}]\n", "line 5, field 'phrasings.0.sytem'"),
        ("- name: loud\n  about: x\n  phrasing: [{}]\n", "line 5, field 'phrasings'"),
        ("- name: loud\n  about: x\n  phrasings: [{}]\n  abuot: y\n", "Did you mean 'about'?"),
        ("- name: ''\n  about: x\n  phrasings: [{}]\n", "line 5, field 'name'"),
    ]:
        path.write_text(good + bad)
        with pytest.raises(FileFormatError, match=re.escape(symptom)):
            load_personas(path)


def test_personas_are_picked_in_the_order_asked_for():
    available = load_personas()
    assert [persona.name for persona in pick_personas(available, ["poet", "self"])] == ["poet", "self"]
    assert pick_personas(available, []) == []
    with pytest.raises(DataError, match=r"Unknown persona 'placibo'\. Did you mean 'placebo'"):
        pick_personas(available, ["self", "placibo"])
    with pytest.raises(DataError, match="stands twice"):
        pick_personas(available, ["self", "meta", "self"])
