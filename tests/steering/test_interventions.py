"""Each kind of intervention against its equation, row by row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from personascope.direction import Direction
from personascope.errors import DirectionError
from personascope.models.intervention import change_of
from personascope.steering.interventions import add, clamp, project_out, replace, require_fitted_on

WIDTH = 12


def direction(seed: int, strength: float = 1.0, **fields) -> Direction:
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    made = Direction(vector, 3, "answer", "tiny", reference_norm=5.0, means="nothing", fit="random", strength=strength)
    return dataclasses.replace(made, **fields)


def rows() -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(9).normal(size=(7, WIDTH)))


def done(intervention, given=()):
    return change_of(intervention, given).of(rows()).numpy()


def test_adding_moves_each_row_by_strength_times_reference_norm():
    d = direction(1, strength=-0.4)
    one = add(d, "from:item", phase="generation")
    assert (one.layer, one.where, one.phase, one.keep_norm) == (3, "from:item", "generation", False)
    np.testing.assert_allclose(done(one), rows().numpy() - 0.4 * 5.0 * d.vector, atol=1e-6)


def test_turning_keeps_every_length():
    d = direction(1, strength=0.4)
    h = rows().numpy()
    pushed = h + 2.0 * d.vector
    lengths = np.linalg.norm(h, axis=1, keepdims=True)
    found = done(add(d, "all", keep_norm=True))
    np.testing.assert_allclose(found, pushed * lengths / np.linalg.norm(pushed, axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1, keepdims=True), lengths, atol=1e-6)


def test_projecting_out_leaves_what_is_at_right_angles_to_all_of_them():
    several = [direction(1), direction(2, strength=-3.0), direction(4, strength=0.0)]
    one = project_out(several, "all", phase="prompt")
    assert one.erase.shape == (3, WIDTH) and one.phase == "prompt" and one.acts
    np.testing.assert_allclose(one.erase @ one.erase.T, np.eye(3), atol=1e-6)
    found, h = done(one), rows().numpy()
    axes = np.stack([d.vector for d in several]).astype(np.float64).T
    np.testing.assert_allclose(found, h - h @ axes @ np.linalg.pinv(axes), atol=1e-6)
    assert np.abs(found @ axes).max() < 1e-6
    np.testing.assert_allclose(done(project_out(several[::-1], "all")), found, atol=1e-6)


def test_projecting_out_one_direction_is_clamping_it_at_zero():
    d = direction(1)
    np.testing.assert_allclose(done(project_out(d, "all")), done(clamp(0.0 * d, "all")), atol=1e-6)


def test_clamping_sets_the_coordinate_and_nothing_else():
    d = direction(1, strength=0.3)
    found, h = done(clamp(d, "answer")), rows().numpy()
    np.testing.assert_allclose(found @ d.vector, np.full(7, 0.3 * 5.0), atol=1e-6)
    np.testing.assert_allclose(
        found - np.outer(found @ d.vector, d.vector), h - np.outer(h @ d.vector, d.vector), atol=1e-6
    )
    twice = change_of(clamp(d, "answer")).of(torch.as_tensor(found)).numpy()
    np.testing.assert_allclose(twice, found, atol=1e-6)


def test_given_rows_replace_whatever_was_there():
    given = [np.full((2, WIDTH), 1.0), np.full((1, WIDTH), 2.0)]
    one = replace(given, layer=2, where="mean:item")
    assert (one.layer, one.where, one.acts) == (2, "mean:item", True)
    found = change_of(one, [(1, 0), (0, 1)]).of(rows()[:2])
    assert found[0].eq(2.0).all() and found[1].eq(1.0).all()


def test_directions_that_do_not_go_together_are_refused():
    d = direction(1)
    for wrong, symptom in [
        ([d, direction(2, layer=4)], "Directions of 2 models, layers or widths"),
        ([d, direction(2, model="other")], "Directions of 2 models"),
        ([], "Directions of 0 models"),
        ([d, direction(2), d + direction(2)], "depend on each other"),
        ([d, -d], "depend on each other"),
    ]:
        with pytest.raises(DirectionError, match=symptom):
            project_out(wrong, "all")


@pytest.mark.parametrize("make", [add, project_out, clamp])
def test_a_direction_of_another_model_or_width_is_refused_when_asked(make):
    d = direction(1)
    with pytest.raises(DirectionError, match="fitted on 'tiny' cannot steer 'smollm2'"):
        make(d, "answer", model="smollm2")
    with pytest.raises(DirectionError, match="width 12, the model's residual stream 640"):
        make(d, "answer", d_model=640)
    assert make(d, "answer", model="tiny", d_model=WIDTH).layer == 3
    require_fitted_on(d, None, None)


@pytest.mark.parametrize(
    "wrong", [[], [np.zeros((1, 3)), np.zeros((1, 4))], [np.full((2, 3), np.nan)], [np.full((1, 3), np.inf)]], ids=len
)
def test_rows_that_cannot_replace_are_refused(wrong):
    with pytest.raises(DirectionError, match="cannot replace the residual stream"):
        replace(wrong, layer=0, where="answer")
