"""Coefficient sweeps: what must be in the grid, and equality with steering cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from personascope.direction import Direction
from personascope.errors import DataError
from personascope.instruments.tasks import load_tasks
from personascope.models.engine import HookEngine
from personascope.models.intervention import Intervention
from personascope.prompts.labels import Options, resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE
from personascope.steering.coefficient_sweep import coefficient_sweep
from personascope.steering.random_directions import random_directions

PUSH = {"mean:task_a": 1.0, "mean:task_b": -1.0}


def make_direction(layer: int, model: str = "smollm2", d_model: int = 576) -> Direction:
    vector = np.random.default_rng(layer).standard_normal(d_model).astype(np.float32)
    return Direction(vector, layer, "eot", model, reference_norm=80.0, means="nothing", fit="random")


@pytest.fixture(scope="module")
def asked(smollm2: HookEngine) -> tuple[list[Prompt], Options]:
    tasks = load_tasks().tasks[:4]
    pairs = [(0, 1), (1, 0), (2, 3)]
    texts = [{"task_a": tasks[i].text, "task_b": tasks[j].text} for i, j in pairs]
    options = resolve_options(smollm2.tokenizer, CHOICE.answer_prefix, CHOICE.labels)
    return [render(smollm2.tokenizer, CHOICE, slots) for slots in texts], options


@pytest.mark.model
def test_every_cell_equals_steering_by_hand(smollm2: HookEngine, asked: tuple[list[Prompt], Options]) -> None:
    prompts, options = asked
    rows = {20: np.random.default_rng(0).standard_normal((40, 576)).astype(np.float32)}
    direction = make_direction(20)
    swept = coefficient_sweep(
        smollm2, prompts, [direction], coefficients=[0.0, -0.3, 0.3], where=PUSH, options=options, features=rows
    )
    assert swept.coefficients == (-0.3, 0.0, 0.3)
    assert swept.option_logprobs.shape == (3, 1, 6, 3, 2)
    matched = random_directions(direction, 2, seed=0, features=rows[20])
    variants = [direction, *random_directions(direction, 3, seed=0), *matched]
    for number, variant in enumerate(variants):
        offset = 0.3 * 80.0 * variant.vector
        cell = [Intervention(20, offset, "mean:task_a"), Intervention(20, -offset, "mean:task_b")]
        expected = smollm2.run(prompts, options=options, interventions=cell)
        found = torch.tensor(swept.option_logprobs[:, 0, number, 2])
        assert torch.allclose(found, expected.option_logprobs, atol=2e-4)
        mass = torch.tensor(swept.other_logmass[:, 0, number, 2])
        assert torch.allclose(mass, expected.other_logmass, atol=2e-3)


@pytest.mark.model
def test_the_zero_row_is_the_same_for_every_direction(smollm2: HookEngine, asked: tuple[list[Prompt], Options]) -> None:
    prompts, options = asked
    features = {layer: np.eye(576, dtype=np.float32)[:9] for layer in (8, 25)}
    directions = [make_direction(8), make_direction(25)]
    grid = [-0.1, 0.0, 0.1]
    swept = coefficient_sweep(
        smollm2, prompts, directions, coefficients=grid, where=PUSH, options=options, features=features
    )
    baseline = smollm2.run(prompts, options=options).option_logprobs
    zero = torch.tensor(swept.option_logprobs[..., 1, :])
    assert torch.equal(zero, zero[:, :1, :1].expand_as(zero))
    assert torch.allclose(zero[:, 0, 0], baseline, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coefficients": [-0.1, 0.1]}, "lack zero"),
        ({"coefficients": [0.0, 0.1]}, "one sign"),
        ({"n_random": 4}, "4 random directions"),
        ({"directions": [make_direction(3), make_direction(3)]}, r"got layers \[3, 3\]"),
        ({"directions": []}, r"got layers \[\]"),
    ],
)
@pytest.mark.model
def test_a_sweep_without_its_controls_is_refused(
    smollm2: HookEngine, asked: tuple[list[Prompt], Options], change: dict[str, object], message: str
) -> None:
    prompts, options = asked
    arguments: dict[str, object] = {
        "directions": [make_direction(3)],
        "coefficients": [-0.1, 0.0, 0.1],
        "where": PUSH,
        "options": options,
        "features": {3: np.eye(576, dtype=np.float32)[:9]},
    }
    with pytest.raises(DataError, match=message):
        coefficient_sweep(smollm2, prompts, **(arguments | change))  # type: ignore[arg-type]


def test_random_directions_are_seeded_by_layer_and_lie_where_they_should() -> None:
    one = random_directions(make_direction(4), 3, seed=1)
    assert np.array_equal(one[2].vector, random_directions(make_direction(4), 3, seed=1)[2].vector)
    assert not np.array_equal(one[0].vector, random_directions(make_direction(5), 3, seed=1)[0].vector)
    assert not np.array_equal(one[0].vector, random_directions(make_direction(4), 3, seed=2)[0].vector)
    features = np.zeros((50, 576), dtype=np.float32)
    features[:, :2] = np.random.default_rng(0).standard_normal((50, 2)) * [10.0, 0.1] + 7.0
    matched = random_directions(make_direction(4), 40, seed=1, features=features)
    vectors = np.stack([direction.vector for direction in matched])
    assert np.abs(vectors[:, 2:]).max() < 1e-6  # nothing varies there, the mean of 7 does not count
    assert np.mean(np.abs(vectors[:, 0]) > 0.9) > 0.8  # 100 times the spread of the other axis
    assert all(direction.reference_norm == 80.0 for direction in matched)
    with pytest.raises(DataError, match="two rows"):
        random_directions(make_direction(4), 1, seed=0, features=features[:1])
