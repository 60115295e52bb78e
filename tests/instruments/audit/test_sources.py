from pathlib import Path

import pytest

from personascope.errors import FileFormatError
from personascope.instruments.audit.sources import SourceInstrument, load_source, source_overlap

SOURCE = SourceInstrument(
    "licensed",
    (
        "I would enjoy creating a work of art such as a novel.",
        "People sometimes tell me that I am too stubborn in my views.",
        "I plan ahead to avoid a last minute rush.",
    ),
)


@pytest.mark.parametrize(
    ("text", "check", "verdict"),
    [
        ("i would enjoy creating a work of art, such as a novel!", "source_copy", "drop"),
        ("I would really enjoy creating a work of art such as a novel.", "source_copy", "drop"),
        (
            "Friends laugh since I am too stubborn in my views on everything that anyone brings up.",
            "source_words",
            "review",
        ),
    ],
)
def test_copies_near_copies_and_long_runs_are_found(text: str, check: str, verdict: str) -> None:
    (finding,) = source_overlap([text], SOURCE, 0.7)
    assert (finding.check, finding.verdict) == (check, verdict)
    assert "'licensed'" in finding.reason


def test_other_texts_pass_and_the_source_text_is_not_shown() -> None:
    assert source_overlap(["An unexplained fact makes me curious.", "I plan my day."], SOURCE, 0.7) == [None, None]
    (finding,) = source_overlap(["I would enjoy creating a work of art, such as novels."], SOURCE, 0.7)
    assert "novel" not in finding.reason


def test_a_source_file_needs_texts_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("number,text\n1,I plan ahead.\n2,I wait.\n")
    assert load_source(path) == SourceInstrument("mine", ("I plan ahead.", "I wait."))
    path.write_text("number,words\n1,I plan ahead.\n")
    with pytest.raises(FileFormatError, match="line 2, field 'text'"):
        load_source(path)
