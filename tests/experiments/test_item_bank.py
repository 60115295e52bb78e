"""The `items` commands: exit codes, what a stranger reads, and a bank grown by a scripted server and by a model."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from personascope.instruments.items import load_items

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # the scripted server is that room's helper

HEAD = "id,facet,key,text\n"


def write(path: Path, rows: str) -> str:
    path.write_text(HEAD + rows)
    return str(path)


def test_the_built_in_bank_is_usable(shell) -> None:
    code, out, _ = shell("items", "check")
    assert code == 0
    for word in ("orthogonality", "facet recovery", "duplicate rate", "desirability gap", "how to read it"):
        assert word in out
    assert f"{len(load_items().items)} items, 25 facets, 0 warnings." in out


def test_items_that_must_be_dropped_give_code_1_and_their_reason(shell, tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.csv", "a,patience,1,I can't wait.\nb,patience,-1,I cannot wait!\nc,patience,1,I stay calm.\n"
    )
    reasons = tmp_path / "out" / "reasons.csv"
    code, out, _ = shell("items", "check", path, "--reasons", str(reasons))
    assert code == 1
    assert "says the same, word for word, as a" in out
    rows = list(csv.DictReader(reasons.open()))
    assert {row["item"]: row["verdict"] for row in rows} == {"a": "keep", "b": "drop", "c": "keep"}
    assert rows[0]["item"] == "b"  # the worst first


def test_the_same_sentence_twice_is_a_finding_and_no_broken_file(shell, tmp_path: Path) -> None:
    path = write(tmp_path / "twice.csv", "a,patience,1,I stay calm in a queue.\nb,patience,1,I STAY calm in a queue.\n")
    code, out, _ = shell("items", "check", path)
    assert code == 1 and "says the same, word for word, as a" in out


def test_items_to_review_do_not_fail(shell, tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.csv", "a,patience,1,Waiting is easy for everyone.\nb,patience,-1,I rage at every delay.\n"
    )
    code, out, _ = shell("items", "check", path)
    assert code == 0 and "not in the first person" in out


def test_overlap_with_a_file_of_a_licensed_instrument(shell, tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.csv", "a,patience,1,I stay calm when others shout.\nb,patience,-1,I rage at every delay.\n"
    )
    theirs = tmp_path / "theirs.csv"
    theirs.write_text("text\nI stay calm when others shout\n")
    code, out, _ = shell("items", "check", path, "--against", str(theirs))
    assert code == 1 and "copies an item of 'theirs'" in out
    code, _, err = shell("items", "check", path, "--against", str(tmp_path / "nowhere.csv"))
    assert code == 2 and "does not exist" in err


def test_markup_in_a_text_is_shown_as_it_is(shell, tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.csv", "a,patience,1,[red]Waiting[/red] is easy.\nb,patience,-1,I rage at every delay.\n"
    )
    code, out, _ = shell("items", "check", path)
    assert code == 1 and "[red]Waiting[/red]" in out


def statements(n: int) -> str:
    words = ["kindly", "slowly", "gladly", "rarely", "openly", "firmly", "plainly", "warmly", "coldly", "loudly"]
    things = ["questions", "insults", "errors", "demands", "quarrels", "surprises", "requests", "remarks", "doubts"]
    return "\n".join(f"I {words[(n + k) % 10]} meet the {things[(n * 3 + k) % 9]} of case {n}x{k}." for k in range(10))


def test_a_bank_is_grown_from_an_endpoint_and_goes_on_where_it_stopped(shell, tmp_path: Path, monkeypatch) -> None:
    from scripted_server import good, serving

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PERSONASCOPE_CACHE", str(tmp_path / "cache"))
    out_file = tmp_path / "new.jsonl"
    with serving(*[good(statements(n)) for n in range(40)]) as server:
        words = ["items", "upscale", "--out", str(out_file), "--per-facet", "4", "--facets", "patience", "modesty"]
        words += ["--endpoint", server.url, "--endpoint-model", "scripted"]
        code, out, _ = shell(*words, "--budget-calls", "1")
        assert code == 0 and "budget spent" in out and len(server.asked) == 1
        code, out, _ = shell(*words)
        asked = len(server.asked)
        assert code == 0 and "quotas met" in out and "unvalidated generated items" in out
        code, again, _ = shell(*words)
        assert code == 0 and len(server.asked) == asked and "quotas met" in again
    assert len(load_items(out_file).items) == 8
    line = json.loads(out_file.read_text().splitlines()[0])
    assert line["generator"].startswith("scripted at http://127.0.0.1")
    assert (tmp_path / "new.jsonl.answers.jsonl").is_file() and (tmp_path / "new.jsonl.candidates.csv").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--per-facet", "4", "--model", "smollm2", "--endpoint", "http://host/v1"), "Who is to write"),
        (("--per-facet", "4", "--endpoint", "http://host/v1"), "Who is to write"),
        (("--per-facet", "4", "--endpoint", "nowhere", "--endpoint-model", "m"), "must begin with http"),
        (("--per-facet", "3", "--model", "smollm2"), "even"),
        (("--per-facet", "4", "--facets", "patiense"), "Did you mean 'patience'"),
        (("--per-facet", "4", "--seed-items", "nowhere.csv"), "does not exist"),
    ],
)
def test_wrong_words_end_with_code_2_before_any_model_is_loaded(shell, tmp_path: Path, words, message: str) -> None:
    code, out, err = shell("items", "upscale", "--out", str(tmp_path / "new.jsonl"), *words)
    assert code == 2 and message in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.glob("new*"))


def test_the_help_explains_every_option(shell) -> None:
    code, out, _ = shell("items", "upscale", "--help")
    assert code == 0
    for word in (
        "--out",
        "--per-facet",
        "--facets",
        "--endpoint-model",
        "--seed-items",
        "--budget-calls",
        "JSONL file",
    ):
        assert word in out


@pytest.mark.model
def test_wrong_labels_of_built_in_texts_are_all_found_and_listed_by_doubt(shell, tmp_path: Path) -> None:
    bank = load_items().form("60")
    turned = {item.id for item in bank.items[::6]}
    moved = {item.id for item in bank.items[5::6]}
    wrong = dict.fromkeys(turned, -1)
    path, reasons = tmp_path / "planted.csv", tmp_path / "reasons.csv"
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(HEAD.strip().split(","))
        for item in bank.items:
            facet = ("patience" if item.facet != "patience" else "modesty") if item.id in moved else item.facet
            out.writerow([item.id, facet, wrong.get(item.id, 1) * item.key, item.text])
    code, text, _ = shell("items", "check", str(path), "--reasons", str(reasons))
    assert code == 0 and "flagged here" in text
    rows = list(csv.DictReader(reasons.open()))
    flagged = [row for row in rows if row["verdict"] == "review"]
    assert {row["item"] for row in flagged} == turned | moved
    assert all("stands word for word in the built-in bank" in row["reasons"] for row in flagged)
    assert [float(row["doubt"]) for row in flagged] == sorted((float(row["doubt"]) for row in flagged), reverse=True)
    assert rows[: len(flagged)] == flagged


@pytest.mark.model
def test_a_loaded_model_writes_and_repeats_itself(smollm2) -> None:
    from personascope.experiments.item_bank import model_writer

    write_text = model_writer(smollm2, max_new_tokens=12, seed=1)
    first = write_text("Write one sentence about waiting.")
    assert first.strip() and first == write_text("Write one sentence about waiting.")
    assert first != model_writer(smollm2, max_new_tokens=12, seed=2)("Write one sentence about waiting.")
