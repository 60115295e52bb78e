import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.neutral_texts import NeutralTexts, load_neutral_texts


def test_the_built_in_passages_have_forty_to_eighty_words_and_questions_end_as_such():
    texts = load_neutral_texts()
    assert len(texts.passages) == 24 and len(texts.questions) == 12
    assert all(40 <= len(text.text.split()) <= 80 for text in texts.passages)
    assert all(text.text.endswith("?") and len(text.text.split()) <= 15 for text in texts.questions)
    assert len(texts.passages) + len(texts.questions) == len(texts.texts) == texts.frame().height
    assert texts.frame().columns == ["id", "kind", "text"]


def test_no_passage_repeats_another():
    """Sums of log-probabilities over texts that share sentences would count these twice."""
    sentences = [s for text in load_neutral_texts().passages for s in text.text.split(". ")]
    assert len(set(sentences)) == len(sentences)


def test_a_subset_takes_as_many_of_either_kind():
    texts = load_neutral_texts()
    few = texts.subset(3)
    assert (few.passages, few.questions) == (texts.passages[:3], texts.questions[:3])
    assert len(texts.subset(99).texts) == len(texts.texts)
    with pytest.raises(DataError, match="n is 0"):
        texts.subset(0)


def test_the_hash_follows_content_and_order():
    texts = load_neutral_texts()
    assert texts.hash() == load_neutral_texts().hash() != NeutralTexts(texts.texts[::-1], texts.name).hash()


def test_a_users_file_is_read_and_its_mistakes_are_named_by_line(tmp_path):
    path = tmp_path / "own.csv"
    head = "id,kind,text\na,passage,It rains.\nb,question,Does it rain?\n"
    path.write_text(head)
    assert [text.id for text in load_neutral_texts(path).questions] == ["b"]
    for row, symptom in [
        ("a,passage,It snows.", "line 4: id 'a' stands already in line 2"),
        ("c,passage,it RAINS.", "line 4: text 'it rains.' stands already in line 2"),
        ("c,poem,It snows.", "line 4, field 'kind'"),
        ("c,passage,", "line 4, field 'text'"),
    ]:
        path.write_text(head + row + "\n")
        with pytest.raises(FileFormatError, match=symptom):
            load_neutral_texts(path)
