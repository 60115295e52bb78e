"""Geometry of a shift: planted directions are found in it, random ones and other runs are not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.tuning.shift_geometry import shift_table, subspace_table

D, N = 48, 60


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=D)
    return vector / np.linalg.norm(vector)


def planted(seed: int, noise: float = 0.02, length: float = 1.0) -> np.ndarray:
    return length * unit(seed) + noise * np.random.default_rng(seed + 100).normal(size=(N, D))


@pytest.fixture(scope="module")
def base() -> np.ndarray:
    return 3 + np.random.default_rng(9).normal(size=(300, D)) * np.linspace(0.2, 2, D)


def test_a_planted_direction_is_found_and_others_stay_in_the_null(base):
    shifts = {"meta": planted(1), "self": planted(2)}
    table = shift_table(shifts, {"ideal": unit(1), "against": -unit(1), "else": unit(3)}, base, layer=7, seed=1)
    cell = lambda run, other: table.filter(run=run, other=other).row(0, named=True)  # noqa: E731
    assert cell("meta", "ideal")["cosine"] > 0.99 and cell("meta", "against")["cosine"] < -0.99
    assert cell("meta", "ideal")["share"] == pytest.approx(cell("meta", "ideal")["cosine"] ** 2)
    for run, other in (("meta", "else"), ("self", "ideal"), ("meta", "self")):
        assert abs(cell(run, other)["cosine"]) < max(0.4, cell(run, other)["null_high"])
    assert cell("meta", "self")["cosine"] == pytest.approx(cell("self", "meta")["cosine"])
    assert set(table["kind"]) == {"direction", "run"} and table.height == 2 * 4 and set(table["layer"]) == {7}
    expected = np.linalg.norm(shifts["meta"].mean(axis=0)) / np.linalg.norm(base, axis=1).mean()
    assert cell("meta", "ideal")["length"] == pytest.approx(expected)
    assert set(table["n"]) == {N}


def test_halves_say_how_far_a_shift_agrees_with_itself(base):
    shifts = {"clear": planted(1), "noise": planted(2, noise=1.0, length=0.0)}
    table = shift_table(shifts, {"ideal": unit(1)}, base, layer=0)
    halves = dict(table.unique("run").select("run", "halves").iter_rows())
    assert halves["clear"] > 0.99 and abs(halves["noise"]) < 0.2
    twice = np.repeat(planted(2, noise=1.0, length=0.0)[: N // 2], 2, axis=0)
    names = [f"c{number // 2}" for number in range(N)]
    apart, whole = (
        shift_table({"twins": twice}, {"ideal": unit(1)}, base, layer=0, clusters=given)["halves"][0]
        for given in (None, names)
    )
    assert apart > whole + 0.2, "copies in both halves agree with each other"


def test_lengths_do_not_matter_to_cosines_and_rows_may_come_in_any_order(base):
    shifts, directions = {"meta": planted(1, noise=0.5)}, {"ideal": unit(4)}
    plain = shift_table(shifts, directions, base, layer=0)
    moved = shift_table({"meta": 5 * shifts["meta"][::-1]}, {"ideal": 0.1 * unit(4)}, base, layer=0)
    assert np.isclose(plain["cosine"], moved["cosine"]).all() and np.isclose(5 * plain["length"], moved["length"]).all()


def test_a_subspace_that_holds_the_shift_holds_more_than_random_ones(base):
    span = [unit(5), unit(6), unit(7)]
    inside = {"in": np.tile(unit(5) - 2 * unit(7), (N, 1)), "out": planted(1)}
    table = subspace_table(inside, span, base, layer=3)
    own, other = (table.filter(run=run) for run in ("in", "out"))
    assert (
        np.allclose(own["share"], 1) and np.allclose(own["angle"], 0, atol=1e-4) and (own["p"] <= 1 / 41 + 1e-9).all()
    )
    isotropic = other.filter(kind="isotropic").row(0, named=True)
    assert isotropic["random_mean"] == pytest.approx(3 / D, abs=0.03) and isotropic["p"] > 0.05
    assert isotropic["angle"] == pytest.approx(np.degrees(np.arccos(np.sqrt(isotropic["share"]))))
    assert table.height == 2 * 3 and set(table["rank"]) == {3}
    assert table.equals(subspace_table(inside, span, base, layer=3))


@pytest.mark.parametrize(
    ("shifts", "message"),
    [
        ({}, "no run"),
        ({"a": planted(1), "b": planted(2)[:-1]}, "shapes"),
        ({"a": planted(1)[:1]}, "shapes"),
        ({"a": planted(1)[:, :-1]}, "shapes"),
        ({"a": planted(1) * np.inf}, "not finite"),
        ({"a": np.zeros((N, D))}, "zero for every item"),
    ],
)
def test_what_is_no_shift_is_refused(shifts, message, base):
    with pytest.raises(DataError, match=message):
        shift_table(shifts, {"ideal": unit(1)}, base, layer=0)
    with pytest.raises(DataError, match=message):
        subspace_table(shifts, [unit(1)], base, layer=0)


def test_tables_are_frames_of_numbers(base):
    table = shift_table({"meta": planted(1)}, {"ideal": unit(1)}, base, layer=0)
    assert table.schema["cosine"] == pl.Float64 and not table.null_count().sum_horizontal()[0]
