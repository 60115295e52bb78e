"""Sweeps in a store: the same as sweeping at once, resumed where they were, refused when anything else is asked."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from tiny_models import LOGPROB, OPTIONS, nested_prompts, offset, tiny_engine

from personascope.activations.plan import Row
from personascope.direction import Direction
from personascope.errors import ActivationError, DataError, DirectionError, StoreError
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell, Intervention
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.steering import stored_sweep as storing
from personascope.steering.coefficient_sweep import SweepGrid, coefficient_sweep, stored_coefficient_sweep
from personascope.steering.stored_sweep import SweptBackend, stored_sweep

TWO = Options(("a", "b"), ((5,), (6, 7)))
CELLS: dict[str, Cell] = {
    "baseline": (),
    "up": (Intervention(1, offset(1), "from:item"),),
    "down": (Intervention(1, -offset(1), "from:item"),),
    "away": (Intervention(2, offset(2), "answer", erase=np.eye(1, 32, dtype=np.float32)),),
}


@pytest.fixture
def engine() -> HookEngine:
    return tiny_engine("llama")


def some_rows(n: int = 7) -> list[Row]:
    return [Row(f"r{number}", prompt, {"kind": "a"}) for number, prompt in enumerate(nested_prompts()[:n])]


def test_a_stored_sweep_is_a_sweep(engine: HookEngine, tmp_path: Path) -> None:
    rows = some_rows()
    seen: list[tuple[int, int]] = []
    store = stored_sweep(engine, rows, CELLS, OPTIONS, tmp_path, rows_per_shard=8, progress=lambda *at: seen.append(at))
    found = sweep(engine, [row.prompt for row in rows], list(CELLS.values()), OPTIONS)
    stored = torch.from_numpy(store.option_logprobs.reshape(len(rows), len(CELLS), -1))
    assert (stored - found.option_logprobs).abs().max() < LOGPROB
    mass = torch.from_numpy(store.other_logmass.reshape(len(rows), len(CELLS)))
    assert (mass - found.other_logmass).abs().max() < LOGPROB
    assert store.rows["cell"].to_list() == list(CELLS) * len(rows)
    assert store.rows["id"][:2].to_list() == ["r0/baseline", "r0/up"]
    assert store.rows["kind"].unique().to_list() == ["a"]
    assert seen[-1] == (len(rows) * len(CELLS),) * 2
    assert len(seen) == 4  # shards of two prompts


def test_an_interrupted_sweep_goes_on_to_the_same_bits(
    engine: HookEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_rows()
    whole = stored_sweep(engine, rows, CELLS, OPTIONS, tmp_path / "whole", rows_per_shard=8)
    done: list[int] = []

    def stop_after_two(done_rows: int, _total: int) -> None:
        done.append(done_rows)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored_sweep(engine, rows, CELLS, OPTIONS, tmp_path / "cut", rows_per_shard=8, progress=stop_after_two)
    asked: list[int] = []
    original = storing.sweep

    def counting(backend: object, prompts: list[object], *rest: object) -> object:
        asked.append(len(prompts))
        return original(backend, prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(storing, "sweep", counting)
    again = stored_sweep(engine, rows, CELLS, OPTIONS, tmp_path / "cut", rows_per_shard=8)
    assert sum(asked) == 3  # of seven prompts four were kept
    assert np.array_equal(again.option_logprobs, whole.option_logprobs)
    assert np.array_equal(again.other_logmass, whole.other_logmass)


@pytest.mark.parametrize(
    "changed",
    [
        CELLS | {"up": (Intervention(1, offset(3), "from:item"),)},
        {**CELLS, "down": (Intervention(1, -offset(1), "answer"),)},
        {name: CELLS[name] for name in ("baseline", "down", "up", "away")},
    ],
    ids=["another direction", "another position", "another order"],
)
def test_other_cells_are_refused(engine: HookEngine, tmp_path: Path, changed: dict[str, Cell]) -> None:
    stored_sweep(engine, some_rows(2), CELLS, OPTIONS, tmp_path)
    with pytest.raises(StoreError):
        stored_sweep(engine, some_rows(2), changed, OPTIONS, tmp_path)


def test_the_same_prompt_in_two_rows_is_asked_for_both(engine: HookEngine, tmp_path: Path) -> None:
    one, other = some_rows(2)
    twin = dataclasses.replace(one, id="twin")
    store = stored_sweep(engine, [one, other, twin], CELLS, OPTIONS, tmp_path)
    found = store.option_logprobs.reshape(3, len(CELLS), -1)
    assert not np.isnan(found).any()
    assert np.allclose(found[0], found[2], atol=LOGPROB)


def test_what_a_store_cannot_hold_is_refused(engine: HookEngine, tmp_path: Path) -> None:
    rows = some_rows(2)
    with pytest.raises(DataError, match="cannot be named"):
        stored_sweep(engine, rows, {"a/b": ()}, OPTIONS, tmp_path)
    with pytest.raises(DataError, match="cannot be named"):
        stored_sweep(engine, rows, {}, OPTIONS, tmp_path)
    patch = Intervention(1, np.zeros(32, np.float32), "answer", rows=(np.zeros((1, 32)),) * 2)
    with pytest.raises(DataError, match="replaces rows"):
        stored_sweep(engine, rows, {"patch": (patch,)}, OPTIONS, tmp_path)
    with pytest.raises(ActivationError, match="reads answers"):
        SweptBackend(engine, CELLS).run([row.prompt for row in rows], options=OPTIONS)
    assert not list(tmp_path.iterdir())


def direction(layer: int = 1, **changes: object) -> Direction:
    values = {"layer": layer, "position": "mean:item", "model": "tiny-llama", "reference_norm": 5.0}
    return Direction(offset(4), **(values | {"means": "nothing", "fit": "random"} | changes))  # type: ignore[arg-type]


def test_a_grid_with_further_controls_stored_equals_the_same_at_once(engine: HookEngine, tmp_path: Path) -> None:
    rows = some_rows(4)
    features = {1: np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32)}
    other = dataclasses.replace(direction(), vector=offset(9))
    how = {
        "coefficients": (-0.3, 0.0, 0.3),
        "where": {"mean:task_a": 1.0, "mean:task_b": -1.0},
        "features": features,
        "further": {"other layer": [other]},
    }
    grid = SweepGrid.of([direction()], **how)
    stored = stored_coefficient_sweep(engine, rows, grid, TWO, tmp_path)
    at_once = coefficient_sweep(engine, [row.prompt for row in rows], [direction()], options=TWO, **how)
    assert stored.directions == at_once.directions == ("probe", "other layer", *(f"random {n}" for n in range(1, 6)))
    assert stored.kinds[:2] == ("probe", "other layer")
    assert np.allclose(stored.option_logprobs, at_once.option_logprobs, atol=LOGPROB)
    for number, one in enumerate((direction(), other)):
        push = 0.3 * 5.0 * one.vector
        cell = (Intervention(1, push, "mean:task_a"), Intervention(1, -push, "mean:task_b"))
        by_hand = engine.run([row.prompt for row in rows], options=TWO, interventions=cell).option_logprobs
        assert np.allclose(stored.option_logprobs[:, 0, number, 2], by_hand, atol=LOGPROB)
    some = stored.of_rows(np.array([True, False, True, False]))
    assert np.array_equal(some.option_logprobs, stored.option_logprobs[[0, 2]])


def test_a_further_direction_of_another_place_is_refused(engine: HookEngine, tmp_path: Path) -> None:
    features = {1: np.eye(32, dtype=np.float32)[:9]}
    how = {"coefficients": (-0.3, 0.0, 0.3), "where": {"answer": 1.0}, "features": features}
    with pytest.raises(DataError, match="'other' are at other layers"):
        SweepGrid.of([direction()], further={"other": [direction(2)]}, **how)
    grid = SweepGrid.of([direction(model="another")], **how)
    with pytest.raises(DirectionError, match="'another'"):
        stored_coefficient_sweep(engine, some_rows(2), grid, TWO, tmp_path)
