"""Kept texts: what was written is never written again, never taken for another request's, and never lost to a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from personascope.activations import texts
from personascope.activations.collect import run_lock
from personascope.activations.plan import Row
from personascope.activations.texts import TEXTS, Writing, collect_texts, read_texts
from personascope.errors import DataError, StoreError
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.intervention import Intervention
from personascope.models.tiny import VOCABULARY, tiny_model, tiny_tokenizer
from personascope.prompts.prompt import Prompt

WRITING = Writing(max_new_tokens=5, temperature=1.0, samples=2, seed=3)


def tiny_engine(budget: int = 8) -> HookEngine:
    """A tiny engine that never ends by itself and writes in batches of a few rows."""
    model = tiny_model("llama", tie_word_embeddings=False)
    model.generation_config.eos_token_id = None
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    engine = HookEngine(model, tokenizer, name="tiny-llama")
    engine.token_budget = budget
    return engine


def some_rows(n: int = 8) -> tuple[Row, ...]:
    draw = np.random.default_rng(1)
    prompts = [Prompt(tuple(draw.integers(3, VOCABULARY, 6 + place).tolist()), "", {}) for place in range(n)]
    return tuple(Row(f"r{place}", prompt, {"item": f"i{place}"}) for place, prompt in enumerate(prompts))


class Counted:
    """`generate`, and how many prompts it was given."""

    def __init__(self) -> None:
        self.prompts = 0

    def __call__(self, engine, prompts, **settings):
        self.prompts += len(prompts)
        return generate(engine, prompts, **settings)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(texts, "generate", counted)
    return counted


def test_the_table_holds_what_generate_writes_and_a_second_call_writes_nothing(tmp_path: Path, asked: Counted) -> None:
    engine, rows = tiny_engine(), some_rows()
    told: list[tuple[int, int]] = []
    found = collect_texts(rows, engine, tmp_path, WRITING, progress=lambda done, total: told.append((done, total)))
    direct = generate(engine, [row.prompt for row in rows], max_new_tokens=5, temperature=1.0, n=2, seed=3)
    assert found["text"].to_list() == [text for row in direct.texts for text in row]
    assert found["row"].to_list() == [row.id for row in rows for _ in range(2)]
    assert found["item"].to_list() == [row.meta["item"] for row in rows for _ in range(2)]
    assert found["sample"].to_list() == [0, 1] * 8
    assert told[0] == (0, 16) and told[-1] == (16, 16) and len(told) > 3
    assert asked.prompts == 8
    assert collect_texts(rows, engine, tmp_path, WRITING).equals(found)
    assert collect_texts(rows[::-1][:3], engine, tmp_path, WRITING)["row"].to_list() == [
        "r7",
        "r7",
        "r6",
        "r6",
        "r5",
        "r5",
    ]
    assert asked.prompts == 8


def test_whatever_changes_the_request_is_asked_anew(tmp_path: Path, asked: Counted) -> None:
    engine, rows = tiny_engine(), some_rows(2)
    collect_texts(rows, engine, tmp_path, WRITING)
    changed = {"max_new_tokens": 4, "temperature": 0.5, "samples": 3, "seed": 4, "stop": ("w9",)}
    for number, (name, value) in enumerate(changed.items(), start=2):
        collect_texts(rows, engine, tmp_path, replace(WRITING, **{name: value}))
        assert asked.prompts == 2 * number, name
    before = asked.prompts
    engine.interventions = [Intervention(layer=1, offset=np.ones(engine.d_model, dtype=np.float32), where="all")]
    steered = collect_texts(rows, engine, tmp_path, WRITING)
    engine.interventions = []
    assert asked.prompts == before + 2
    assert not steered.equals(collect_texts(rows, engine, tmp_path, WRITING))
    assert asked.prompts == before + 2


def test_the_same_prompt_is_one_request(tmp_path: Path, asked: Counted) -> None:
    engine, (row, *_) = tiny_engine(), some_rows()
    twin = replace(row, id="twin")
    found = collect_texts((row, twin), engine, tmp_path, WRITING)
    assert asked.prompts == 1
    assert found["text"][:2].to_list() == found["text"][2:].to_list()


def test_what_was_written_before_an_interruption_is_kept(tmp_path: Path, asked: Counted) -> None:
    engine, rows = tiny_engine(), some_rows()
    whole = collect_texts(rows, engine, tmp_path / "whole", WRITING)

    def stop_half_way(done: int, total: int) -> None:
        if done >= total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_texts(rows, engine, tmp_path / "part", WRITING, progress=stop_half_way)
    kept = {key for key, _ in read_texts(tmp_path / "part")}
    assert 0 < len(kept) < 8
    asked.prompts = 0
    assert collect_texts(rows, engine, tmp_path / "part", WRITING).equals(whole)
    assert asked.prompts <= 8 - len(kept) + 1  # a row may have been half written


def test_no_damaged_bit_is_believed(tmp_path: Path) -> None:
    engine, rows = tiny_engine(), some_rows(3)
    whole = collect_texts(rows, engine, tmp_path, WRITING)
    path = tmp_path / TEXTS
    good = path.read_bytes()
    known = read_texts(tmp_path)
    draw = np.random.default_rng(0)
    for place in draw.choice(len(good), 200, replace=False):
        damaged = bytearray(good)
        damaged[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(bytes(damaged))
        assert read_texts(tmp_path).items() <= known.items()
    for cut in (1, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        assert collect_texts(rows, engine, tmp_path, WRITING).equals(whole)
        assert read_texts(tmp_path) == known  # the torn line did not swallow the next one


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(StoreError, match="being filled by another process"):
        collect_texts(some_rows(1), tiny_engine(), tmp_path, WRITING)


def test_rows_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    engine, (row, *_) = tiny_engine(), some_rows()
    with pytest.raises(DataError, match="'r0' stands more than once"):
        collect_texts((row, row), engine, tmp_path, WRITING)
    with pytest.raises(DataError, match="'text' has the name of a column"):
        collect_texts((replace(row, meta={"text": "x"}),), engine, tmp_path, WRITING)
    with pytest.raises(DataError, match="differ in their meta columns"):
        collect_texts((row, replace(row, id="other", meta={})), engine, tmp_path, WRITING)


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_texts import WRITING, some_rows, tiny_engine
from personascope.activations.texts import collect_texts
def progress(done, total):
    if done >= {at}:
        os.kill(os.getpid(), signal.{signal})
collect_texts(some_rows(), tiny_engine(), Path({folder!r}), WRITING, progress=progress)
"""


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path, signal: str) -> None:
    whole = collect_texts(some_rows(), tiny_engine(), tmp_path / "whole", WRITING)
    script = KILLED.format(here=str(Path(__file__).parent), at=4, signal=signal, folder=str(tmp_path / "part"))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert done.returncode in (-9, 143), done.stderr
    assert len(read_texts(tmp_path / "part")) >= 4
    assert collect_texts(some_rows(), tiny_engine(), tmp_path / "part", WRITING).equals(whole)
