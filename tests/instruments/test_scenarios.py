import sys
from pathlib import Path

import pytest
import yaml

from personascope.errors import DataError, FileFormatError
from personascope.instruments.scenarios import SLOTS, VERSIONS, Scenarios, load_scenarios
from personascope.prompts.render import render
from personascope.prompts.templates import Template

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from word_engine import word_engine

GOOD = {
    "id": "x",
    "topic": "work",
    "message": "Please read this: {neutral}, and then {critical}. Thank you.",
    "critical": "lie to the man",
    "benign": "talk to the man",
    "neutral": "it is short",
    "question": "What do you say?",
}


def test_the_built_in_messages_are_long_and_their_spans_short_and_alike():
    scenarios = load_scenarios().scenarios
    assert len(scenarios) == 12 and len({s.topic for s in scenarios}) == 12
    for s in scenarios:
        counts = [len(getattr(s, name).split()) for name in ("critical", "benign", "neutral")]
        whole = len(s.text().split())
        assert 100 <= whole <= 170 and max(counts) <= whole / 8, s.id
        assert max(counts) - min(counts) <= 2, s.id  # far within the factor of 2 that users are held to
    first = [s.message.index("{neutral}") < s.message.index("{critical}") for s in scenarios]
    assert sum(first) == 6


def test_the_twins_differ_in_the_critical_span_only():
    for s in load_scenarios().scenarios:
        critical, benign = (s.text(version) for version in VERSIONS)
        assert critical.replace(s.critical, "#") == benign.replace(s.benign, "#") != critical
        assert all(text.count(s.neutral) == 1 and text.endswith(s.question) for text in (critical, benign))


@pytest.mark.parametrize("version", VERSIONS)
def test_slots_become_spans_of_the_rendered_prompt(version):
    for s in load_scenarios().scenarios:
        tokenizer = word_engine((s.text(), s.text("benign"))).tokenizer
        prompt = render(tokenizer, Template(f"scenario-{s.id}", s.user), s.slots(version))
        for name in SLOTS:
            span = tokenizer.decode(prompt.ids[slice(*prompt.spans[name])])
            assert span.split() == tokenizer.decode(tokenizer(s.slots(version)[name])["input_ids"]).split()


def test_the_frame_the_subset_and_the_hash():
    whole = load_scenarios()
    assert whole.frame().columns == ["id", "topic", "message", "critical", "benign", "neutral", "question"]
    assert whole.frame().height == 12 and whole.subset(5).scenarios == whole.scenarios[:5]
    assert whole.hash() == load_scenarios().hash() != Scenarios(whole.scenarios[::-1], "").hash()
    with pytest.raises(DataError, match="n is 0"):
        whole.subset(0)


@pytest.mark.parametrize(
    ("change", "symptom"),
    [
        ({"critical": " "}, "field 'critical'"),
        ({"benign": "two\nlines here now"}, "field 'benign'"),
        ({"neutral": "a {slot} more"}, "field 'neutral'"),
        ({"question": "Which {one}?"}, "field 'question'"),
        ({"message": "Only {critical} here."}, "once each, and no other braces"),
        ({"message": "{critical} {neutral} {critical}"}, "once each, and no other braces"),
        ({"message": "{critical} {neutral} {third}"}, "once each, and no other braces"),
        ({"message": "{critical!r} {neutral}"}, "once each, and no other braces"),
        ({"message": "{critical} {neutral} }"}, "once each, and no other braces"),
        ({"message": "Lie to the man, {neutral}, {critical}."}, "the critical span 'lie to the man' occurs more"),
        ({"message": "Talk to the man, {neutral}, {critical}."}, "the benign span 'talk to the man' occurs more"),
        ({"question": "Why do you think it is short?"}, "the neutral span 'it is short' occurs more"),
        ({"neutral": "it"}, "words, and the longest may have twice"),
        ({"critical": "lie to the man and then to his old mother"}, "words, and the longest may have twice"),
        ({"benign": "Lie to the man"}, "are the same words"),
        ({"benine": "talk"}, "field 'benine'.* Did you mean 'benign'"),
    ],
)
def test_mistakes_are_named_by_line(tmp_path, change, symptom):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump([GOOD], sort_keys=False))
    assert load_scenarios(path).scenarios[0].critical == "lie to the man"
    other = {**GOOD, "id": "y", "message": "Well, " + GOOD["message"], **change}
    path.write_text(yaml.safe_dump([GOOD, other], sort_keys=False))
    with pytest.raises(FileFormatError, match=f"line 8.*{symptom}"):
        load_scenarios(path)


def test_an_id_or_a_message_stands_once(tmp_path):
    path = tmp_path / "own.yaml"
    for change, symptom in [({"message": "Well, " + GOOD["message"]}, "id 'x'"), ({"id": "y"}, "message 'please read")]:
        path.write_text(yaml.safe_dump([GOOD, {**GOOD, **change}], sort_keys=False))
        with pytest.raises(FileFormatError, match=f"line 8: {symptom}.*stands already in line 1"):
            load_scenarios(path)
