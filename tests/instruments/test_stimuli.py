import csv
from collections import Counter, defaultdict

import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.stimuli import BUILT_IN, Stimuli, Stimulus, load_stimuli

FEWEST = {"truth": 60, "harm": 40, "politics": 40}
ROWS = [
    {"id": "a1", "pair": "a", "label": "up", "text": "It goes up."},
    {"id": "a2", "pair": "a", "label": "down", "text": "It goes down."},
    {"id": "b1", "pair": "b", "label": "up", "text": "They rise."},
    {"id": "b2", "pair": "b", "label": "down", "text": "They fall."},
]


def write(path, rows):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def pairs_of(stimuli):
    pairs = defaultdict(dict)
    for s in stimuli.stimuli:
        pairs[s.pair][s.label] = s
    return [(pair[stimuli.positive], pair[stimuli.negative]) for pair in pairs.values()]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_set_has_enough_pairs_of_both_labels_on_one_topic(name):
    stimuli = load_stimuli(name)
    assert stimuli.paired and stimuli.positive == BUILT_IN[name] and stimuli.name == name
    pairs = pairs_of(stimuli)
    assert len(pairs) >= FEWEST[name] and 2 * len(pairs) == len(stimuli.stimuli)
    for positive, negative in pairs:
        assert positive.topic == negative.topic and positive.question == negative.question
        assert (positive.reply is None) == (negative.reply is None)


@pytest.mark.parametrize("name", BUILT_IN)
def test_texts_of_a_pair_differ_in_few_words_and_not_in_the_first(name):
    for positive, negative in pairs_of(load_stimuli(name)):
        for one, other in ((positive.text, negative.text), (positive.reply, negative.reply)):
            if one is None:
                continue
            ours, theirs = one.split(), other.split()
            apart = sum((Counter(ours) - Counter(theirs)).values()), sum((Counter(theirs) - Counter(ours)).values())
            assert 1 <= max(apart) <= 3, (one, other)
            assert ours[0] == theirs[0] and len(ours[0]) < len(one)


@pytest.mark.parametrize("name", BUILT_IN)
def test_neither_length_nor_the_first_word_gives_the_label_away(name):
    balance = load_stimuli(name).balance()
    assert balance.length_ratio < 1.1
    assert balance.first_word == 0.5
    assert len(set(balance.n.values())) == 1


@pytest.mark.parametrize("name", BUILT_IN)
def test_length_in_characters_is_balanced_over_pairs(name):
    longer = [len(p.text) > len(n.text) for p, n in pairs_of(load_stimuli(name)) if len(p.text) != len(n.text)]
    assert 0.3 < sum(longer) / len(longer) < 0.7


def test_what_the_assistant_says_is_there():
    assert all(s.question and s.reply is None for name in ("truth", "politics") for s in load_stimuli(name).stimuli)
    for s in load_stimuli("harm").stimuli:
        assert s.question is None and s.reply.endswith(".") and s.reply.count(".") == 1


def test_the_frame_marks_the_positive_label():
    stimuli = load_stimuli("harm")
    frame = stimuli.frame()
    assert frame.columns == ["id", "pair", "label", "positive", "topic", "text", "question", "reply"]
    assert frame["positive"].to_list() == [s.label == "harmful" for s in stimuli.stimuli]


def test_a_users_file_needs_its_positive_label(tmp_path):
    path = write(tmp_path / "moves.csv", ROWS)
    stimuli = load_stimuli(path, "down")
    assert (stimuli.name, stimuli.positive, stimuli.negative) == ("moves", "down", "up")
    assert load_stimuli(str(path), "up").hash() != stimuli.hash() == load_stimuli(path, "down").hash()
    with pytest.raises(DataError, match=r"positive label of .* is None"):
        load_stimuli(path)
    with pytest.raises(DataError, match="Did you mean 'down'"):
        load_stimuli(path, "dwn")
    named_like_a_built_in = write(tmp_path / "truth.csv", ROWS)
    with pytest.raises(DataError, match="is None"):
        load_stimuli(named_like_a_built_in)


def test_unpaired_texts_are_welcome(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "pair"} for row in ROWS[:3]]
    assert not load_stimuli(write(tmp_path / "x.csv", rows), "up").paired


@pytest.mark.parametrize(
    ("change", "symptom"),
    [
        ({"label": "sideways"}, "line 6: a third label 'sideways'"),
        ({"id": "a1"}, "line 6: id 'a1' stands already in line 2"),
        ({"text": "it goes UP."}, "line 6: text 'it goes up.' stands already in line 2"),
        ({"pair": ""}, "line 6: 'c' has no pair, 'a1' in line 2 has one"),
        ({"pair": "c"}, "line 6: pair 'c' has 'up' .line 6."),
        ({"pair": "b"}, "line 6: pair 'b' has 'up' .line 4., 'down' .line 5., 'up' .line 6."),
        ({"text": ""}, "line 6, field 'text'"),
    ],
)
def test_mistakes_are_named_by_line(tmp_path, change, symptom):
    rows = [*ROWS, {"id": "c", "pair": "c", "label": "up", "text": "Higher.", **change}]
    with pytest.raises(FileFormatError, match=symptom):
        load_stimuli(write(tmp_path / "x.csv", rows), "up")


def test_a_pair_of_one_label_and_a_file_of_one_label_are_refused(tmp_path):
    rows = [*ROWS[:2], ROWS[2], ROWS[3] | {"label": "up"}]
    with pytest.raises(FileFormatError, match=r"line 5: pair 'b' has 'up' .line 4., 'up' .line 5."):
        load_stimuli(write(tmp_path / "x.csv", rows), "up")
    with pytest.raises(FileFormatError, match="all 1 texts are labelled 'up'"):
        load_stimuli(write(tmp_path / "y.csv", ROWS[:1]), "up")


def test_unknown_names_and_missing_files_are_told_apart(tmp_path):
    with pytest.raises(DataError, match=r"Unknown stimuli 'trooth'.* Did you mean 'truth'"):
        load_stimuli("trooth")
    with pytest.raises(FileFormatError, match="does not exist"):
        load_stimuli(tmp_path / "none.csv", "up")


def test_a_first_word_that_tells_is_found():
    def made(first):
        return Stimuli(
            tuple(
                Stimulus(id=f"{i}{label}", pair=str(i), label=label, text=f"{first[label]} thing {i} is here.")
                for i in range(6)
                for label in ("a", "b")
            ),
            "x",
            "a",
            "b",
        )

    assert made({"a": "This", "b": "That"}).balance().first_word == 1.0
    assert made({"a": "This", "b": "This"}).balance().first_word == 0.5
    longer = made({"a": "Every single", "b": "This"}).balance()
    assert longer.words == {"a": 6.0, "b": 5.0} and longer.length_ratio == pytest.approx(1.2)


def test_a_first_word_that_occurs_once_tells_nothing():
    rows = [Stimulus(id=str(i), label="ab"[i % 2], text=f"Word{i} is here.") for i in range(6)]
    assert Stimuli(tuple(rows), "x", "a", "b").balance().first_word == 0.5
