"""Written choices end to end on a tiny model: counts, resuming, judging, and the tables."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from word_engine import PAIRS, PERSONAS, TASKS, word_engine

from personascope.activations import texts
from personascope.activations.texts import TEXTS, Writing
from personascope.errors import DataError
from personascope.experiments import written_choices
from personascope.experiments.choice_judges import UNREAD, Judged, LocalJudge
from personascope.experiments.written_choices import (
    choice_rows,
    read_choices,
    task_refusals,
    write_choices,
    written_tables,
)
from personascope.models.generation import generate

WRITING = Writing(max_new_tokens=6, temperature=1.0, samples=3, seed=1)
ENGINE = word_engine()
ANSWERS = ("Task A: numbers, total", "Task B:", "I cannot do Task A.", "hello")


def scripted(answers=ANSWERS, finish="stop") -> pl.DataFrame:
    """Every answer to every row of one persona, as samples."""
    rows = choice_rows(ENGINE, PERSONAS[:1], TASKS, PAIRS)
    table = [
        {**row.meta, "sample": number, "text": text, "finish": finish, "n_tokens": 3}
        for row in rows
        for number, text in enumerate(answers)
    ]
    return pl.DataFrame(table)


def log_odds(frame: pl.DataFrame) -> pl.DataFrame:
    pairs = frame.select("persona", "first", "second").unique(maintain_order=True)
    rank = {task.id: -float(number) for number, task in enumerate(TASKS)}
    p = [1 / (1 + 2.718281828 ** -(rank[a] - rank[b] + 0.3)) for a, b in pairs.select("first", "second").iter_rows()]
    logs = pl.Series(p)
    return pairs.with_columns(logprob_first=logs.log(), logprob_second=(1 - logs).log(), other_logmass=pl.lit(-30.0))


def test_rows_are_both_orders_of_every_pair_under_every_persona() -> None:
    rows = choice_rows(ENGINE, PERSONAS, TASKS, PAIRS)
    assert len(rows) == len(PERSONAS) * 2 * len(PAIRS) == len({row.id for row in rows})
    one = next(row for row in rows if row.id == "grim/t2/t0")
    assert one.meta == {"persona": "grim", "first": "t2", "second": "t0"}
    assert one.prompt.text.index(TASKS[2].text) < one.prompt.text.index(TASKS[0].text)
    assert "You prefer winter" in one.prompt.text and one.prompt.text.rstrip().endswith("assistant")
    shared = [
        row.prompt.text.index(TASKS[int(row.meta["first"][1])].text) for row in rows if row.meta["persona"] == "plain"
    ]
    assert len(set(shared)) == 1  # constant text comes first


@pytest.mark.parametrize("pairs", [[(0, 1), (1, 0)], [(0, 1), (0, 1)], [(2, 2)]])
def test_a_pair_that_stands_twice_is_refused(pairs) -> None:
    with pytest.raises(DataError, match="twice"):
        choice_rows(ENGINE, PERSONAS, TASKS, pairs)


def test_an_interrupted_writing_goes_on_and_gives_the_same_table(tmp_path: Path, monkeypatch) -> None:
    whole = write_choices(ENGINE, PERSONAS, TASKS, PAIRS, tmp_path / "whole", WRITING)
    assert whole.height == len(PERSONAS) * 2 * len(PAIRS) * 3
    assert whole.columns[:4] == ["persona", "first", "second", "sample"] and "row" not in whole.columns
    assert whole["truncated"].to_list() == [finish == "length" for finish in whole["finish"]]
    lines = (tmp_path / "whole" / TEXTS).read_bytes().splitlines(keepends=True)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / TEXTS).write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    again = write_choices(ENGINE, PERSONAS, TASKS, PAIRS, tmp_path / "torn", WRITING)
    assert again.equals(whole)
    asked: list[int] = []
    monkeypatch.setattr(
        texts, "generate", lambda e, prompts, **how: asked.append(len(prompts)) or generate(e, prompts, **how)
    )
    assert write_choices(ENGINE, PERSONAS, TASKS, PAIRS, tmp_path / "whole", WRITING).equals(whole)
    assert not asked


def test_the_judge_sees_only_what_the_parser_left_unless_all_is_asked_for() -> None:
    seen: list[str] = []

    def judge(task_a: str, task_b: str, answer: str) -> Judged:
        seen.append(answer)
        return Judged("b", "b", False, "full")

    found = read_choices(scripted(), TASKS, judge=judge)
    assert set(seen) == {"hello"} and len(seen) == 2 * len(PAIRS)
    by_text = dict(found.select("text", "outcome").unique().iter_rows())
    assert by_text == {ANSWERS[0]: "first", ANSWERS[1]: "second", ANSWERS[2]: "refusal", "hello": "second"}
    assert found.filter(pl.col("text") == "hello")["compliance"].to_list() == ["full"] * 8
    everything = read_choices(scripted(), TASKS, judge=judge, judged="all")
    assert set(seen) == set(ANSWERS) and everything["outcome"].equals(found["outcome"])
    assert everything["judged_outcome"].to_list() == ["second"] * everything.height
    with pytest.raises(DataError, match="Did you mean 'all'"):
        read_choices(scripted(), TASKS, judge=judge, judged="al")  # type: ignore[arg-type]


def test_a_judge_that_cannot_be_read_changes_nothing_and_is_counted() -> None:
    found = read_choices(scripted(), TASKS, judge=lambda *_: UNREAD, judged="all")
    assert found["outcome"].equals(read_choices(scripted(), TASKS)["outcome"])
    (row,) = written_tables(found, None, TASKS, n_resamples=50, seed=0)["written_judging"].to_dicts()
    assert (row["n"], row["n_judged"], row["n_unread"], row["agreement"]) == (0, 32, 32, None)


def test_a_task_without_text_is_refused() -> None:
    with pytest.raises(DataError, match="no text"):
        read_choices(scripted(), TASKS[:2])


def test_refusals_are_counted_by_task_id() -> None:
    rates = task_refusals(read_choices(scripted(), TASKS), [task.id for task in TASKS])
    assert rates["task"].unique(maintain_order=True).to_list() == [task.id for task in TASKS]
    assert rates.filter(pl.col("slot") == "either")["rate"].to_list() == [0.25] * 4


def test_the_whole_study_on_a_tiny_model_makes_all_tables(tmp_path: Path) -> None:
    short = replace(WRITING, samples=2)
    judge = LocalJudge(ENGINE, answer_characters=20)
    written = write_choices(ENGINE, PERSONAS, TASKS, PAIRS[:3], tmp_path, short, judge=judge, judged="all")
    assert written["judge_asked"].all() and written["compliance"].is_not_null().all()
    tables = written_tables(written, log_odds(written), TASKS, n_resamples=50, seed=0)
    assert set(tables) == {
        f"written_{name}" for name in ("outcomes", "consistency", "calibration", "refusals", "judging", "agreement")
    }
    assert tables["written_calibration"].height == len(PERSONAS) * 2
    for name, table in tables.items():
        assert table["persona"].unique(maintain_order=True).to_list() == ["plain", "grim"], name
    named = written.select(pl.lit("m").alias("model"), pl.all())
    of_model = written_tables(named, log_odds(written).with_columns(model=pl.lit("m")), TASKS, n_resamples=50, seed=0)
    for name, table in of_model.items():
        assert table.columns[0] == "model" and table.drop("model").equals(tables[name]), name
    assert "written_agreement" not in written_tables(written, None, TASKS, n_resamples=50, seed=0)
    assert written_choices.COMPLETION_CHOICE.answer_prefix == ""
