"""Upscaling with scripted generators: quotas, reasons, budgets, resuming, freezing, licences."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from personascope.errors import BudgetSpent, DataError, FileFormatError
from personascope.instruments.audit.sources import SourceInstrument
from personascope.instruments.budget import Budget
from personascope.instruments.items import Item, ItemBank, load_items
from personascope.instruments.upscale import upscale

SEEDS = load_items().form("200")
FACETS = ["patience", "modesty"]
_WORDS = [item.text.rstrip(".").split() for item in load_items().items if item.form == "full"]
_NOUNS = sorted({word.lower() for words in _WORDS for word in words if word.isalpha() and len(word) > 5})


class Writer:
    """Writes ten statements per prompt, all different, or whatever `lines` gives; counts its calls."""

    def __init__(self, lines=None, fail_at: int | None = None) -> None:
        self.prompts: list[str] = []
        self.lines, self.fail_at = lines, fail_at

    def __call__(self, prompt: str) -> str:
        if self.fail_at is not None and len(self.prompts) == self.fail_at:
            raise KeyboardInterrupt
        self.prompts.append(prompt)
        if self.lines is not None:
            return self.lines(prompt)
        draw = np.random.default_rng(abs(hash_of(prompt)) % 2**32)
        return "\n".join(f"I {' '.join(draw.choice(_NOUNS, 7))}." for _ in range(10))


def hash_of(prompt: str) -> int:
    import hashlib

    return int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16)


def grow(writer, n: int = 12, **settings):
    return upscale(SEEDS, n, writer, facets=FACETS, **settings)


def test_quotas_are_met_by_facet_and_key_with_everything_filled_in() -> None:
    made = grow(Writer())
    assert made.stopped == "quotas met" and made.missing.is_empty()
    assert Counter((item.facet, item.key) for item in made.bank.items) == {(f, k): 6 for f in FACETS for k in (1, -1)}
    for item in made.bank.items:
        assert item.source == "generated" and item.situation and item.intensity and item.cluster and item.applicability
    frame = made.frame()
    assert frame.height == len(made.candidates) > 24 == int(frame["accepted"].sum())
    assert (frame.filter(~frame["accepted"])["reasons"] != "").all()
    assert (frame.filter(frame["accepted"])["reasons"] == "").all()


def test_each_kind_of_bad_statement_is_left_out_with_its_reason() -> None:
    seed = next(item.text for item in SEEDS.items if item.facet == "modesty")
    bad = {
        seed: "word for word",
        seed.replace(".", " today."): "nearly copies",
        "I cook dinner for my family every evening.": "not: ",
        "I plan every step and rarely change my mind.": "two statements",
        "Rules are made for other people to follow.": "first person",
        "I strongly agree with nearly everyone about everything.": "answer scale",
        "I sleep.": "2 words",
        "Licensed sentences must stay out of my prompts forever.": "copies an item of 'theirs'",
    }
    once = itertools.chain(["\n".join(bad)], itertools.repeat(None))
    fallback = Writer()

    def lines(prompt: str) -> str:
        return next(once) or fallback(prompt)

    source = SourceInstrument("theirs", ("Licensed sentences must stay out of my prompts forever.",))
    made = grow(Writer(lines), sources=[source])
    reasons = {candidate.text: "; ".join(candidate.reasons) for candidate in made.candidates}
    for text, reason in bad.items():
        assert reason in reasons[text], (text, reasons[text])
    assert not {item.text for item in made.bank.items} & set(bad)
    assert "source instruments" in made.filters


def test_at_most_a_fifth_of_reversed_items_are_reversed_by_a_negation() -> None:
    def lines(prompt: str) -> str:
        draw = np.random.default_rng(hash_of(prompt))
        start = "I never" if "denying" in prompt else "I"
        return "\n".join(f"{start} {' '.join(draw.choice(_NOUNS, 7))}." for _ in range(10))

    made = grow(Writer(lines), 20, idle_rounds=2)
    reversed_items = [item for item in made.bank.items if item.key == -1]
    assert Counter(item.facet for item in reversed_items) == dict.fromkeys(FACETS, 2)
    assert made.stopped == "no progress"
    assert made.missing.rows() == [("patience", -1, 2, 10), ("modesty", -1, 2, 10)]
    assert any("a fifth" in reason for candidate in made.candidates for reason in candidate.reasons)


def test_a_generator_without_ideas_is_given_up_after_so_many_rounds() -> None:
    writer = Writer(lambda prompt: "Sure! Here are the statements:")
    made = grow(writer, idle_rounds=3)
    assert len(writer.prompts) == 3 * 2 * len(FACETS)
    assert made.stopped == "no progress" and not made.bank.items and made.missing.height == 4
    with pytest.raises(DataError, match="None of 0 candidates passed"):
        made.freeze(Path("nowhere.jsonl"))


def test_gains_that_the_audit_takes_back_are_no_progress() -> None:
    """Endless small variations of one sentence: each round looks fruitful, each audit leaves one of them."""
    count = itertools.count()

    def lines(prompt: str) -> str:
        return "\n".join(f"I keep my temper in quarrels about matter {next(count)} of theirs today." for _ in range(5))

    made = upscale(SEEDS, 6, Writer(lines), facets=["patience"], idle_rounds=2)
    assert made.stopped == "no progress" and len(made.bank.items) < 6


@pytest.mark.parametrize(("budget", "most"), [(Budget(calls=3), 3), (Budget(tokens=4000), 6)])
def test_the_budget_is_never_exceeded_and_what_was_made_is_kept(budget: Budget, most: int) -> None:
    writer = Writer()
    made = grow(writer, 100, budget=budget)
    assert 0 < len(writer.prompts) == made.calls <= most
    assert made.tokens <= (budget.tokens or 10**9)
    assert made.stopped.startswith("budget spent") and made.bank.items and made.missing.height


def test_a_generator_whose_own_budget_is_spent_ends_the_run_in_order() -> None:
    inner = Writer()

    def writer(prompt: str) -> str:
        if len(inner.prompts) == 2:
            raise BudgetSpent("all gone")
        return inner(prompt)

    assert grow(writer, 60).stopped == "budget spent: all gone"


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_an_interrupted_run_goes_on_and_ends_like_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    whole = grow(Writer(), 24, ledger=tmp_path / "a.jsonl")
    first = Writer(fail_at=stop)
    with pytest.raises(KeyboardInterrupt):
        grow(first, 24, ledger=tmp_path / "b.jsonl")
    second = Writer()
    resumed = grow(second, 24, ledger=tmp_path / "b.jsonl")
    assert resumed.version == whole.version and resumed.frame().equals(whole.frame())
    assert len(first.prompts) + len(second.prompts) == whole.calls
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    third = Writer()
    assert grow(third, 24, ledger=tmp_path / "b.jsonl").version == whole.version and third.prompts == []


@pytest.mark.parametrize("keep", [1, 40, -1])
def test_a_line_cut_short_by_a_crash_is_asked_again(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = grow(Writer(), ledger=path)
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:keep])
    again = Writer()
    assert grow(again, ledger=path).version == whole.version
    assert len(again.prompts) == 1 and path.read_bytes() == data


def test_a_ledger_of_another_run_is_refused_and_the_setting_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    grow(Writer(), ledger=path)
    before = path.read_bytes()
    with pytest.raises(DataError, match="belongs to a run with seed = 0, not 1"):
        grow(Writer(), ledger=path, seed=1)
    with pytest.raises(DataError, match="belongs to a run with generator"):
        grow(Writer(), ledger=path, generator="other")
    assert path.read_bytes() == before
    lines = before.splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{broken\n" + lines[2])
    with pytest.raises(FileFormatError, match="line 2: not a line of an upscaling ledger"):
        grow(Writer(), ledger=path)


def test_the_frozen_file_says_where_each_item_comes_from_and_loads_as_a_bank(tmp_path: Path) -> None:
    made = grow(Writer(), generator="scripted")
    path = tmp_path / "bank.jsonl"
    made.freeze(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    asked = {candidate.prompt_sha256 for candidate in made.candidates}
    for line in lines:
        assert line["generator"] == "scripted" and line["version"] == made.version and line["prompt_sha256"] in asked
        assert line["filters"] == ["form", "embodiment", "copies", "facet", "key"] and line["cluster"]
    bank = load_items(path)
    assert [item.text for item in bank.items] == [item.text for item in made.bank.items]
    assert [item.applicability for item in bank.items] == [item.applicability for item in made.bank.items]
    assert {item.source for item in bank.items} == {"generated"}
    before = path.read_bytes()
    made.freeze(path)
    assert path.read_bytes() == before


def test_licensed_seed_items_never_reach_a_prompt_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "id,facet,key,source,text\n"
        "a,patience,1,licensed,I stay calm under a secret wording.\n"
        "b,patience,-1,public,I rage at delays of any kind.\n"
    )
    seeds = load_items(path)
    assert [item.source for item in seeds.items] == ["licensed", "public"]
    writer = Writer()
    with pytest.raises(DataError, match="1 seed items are licensed, the first is 'a'"):
        upscale(seeds, 2, writer)
    assert writer.prompts == []
    upscale(seeds, 2, writer, allow_licensed=True)
    assert any("secret wording" in prompt for prompt in writer.prompts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_per_facet": 3}, "an? even|even"),
        ({"n_per_facet": 0}, "even"),
        ({"facets": ["patiense"]}, "Did you mean 'patience'"),
        (
            {
                "facets": ["altruism"],
                "seed_bank": ItemBank((Item(id="a", facet="patience", key=1, text="I wait."),), "b"),
            },
            "no item of facet 'altruism'",
        ),
        ({"batch": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_generated_is_refused_before_the_first_call(arguments: dict, message: str) -> None:
    writer = Writer()
    settings = {"seed_bank": SEEDS, "n_per_facet": 4, **arguments}
    with pytest.raises(DataError, match=message):
        upscale(settings.pop("seed_bank"), settings.pop("n_per_facet"), writer, **settings)
    assert writer.prompts == []


def test_progress_ends_at_what_was_wanted() -> None:
    seen: list[tuple[str, int, int]] = []
    grow(Writer(), progress=lambda *step: seen.append(step))
    assert seen[-1] == ("items", 24, 24) and [step[1] for step in seen] == sorted(step[1] for step in seen)
