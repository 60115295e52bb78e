"""Which persona the residual stream moved toward: planted directions, planted shares of the way, nulls and halves."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError, DirectionError
from personascope.tuning.persona_projection import projection_table

D, N = 48, 60


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=D)
    return vector / np.linalg.norm(vector)


def noise(seed, size=0.2):
    return size * np.random.default_rng(seed).normal(size=(N, D))


@pytest.fixture(scope="module")
def own():
    return 3 + np.random.default_rng(9).normal(size=(N, D)) * np.linspace(0.2, 2, D)


@pytest.fixture(scope="module")
def personas(own):
    return {"evil": own + 4 * unit(1) + noise(11), "kind": own - 2 * unit(2) + noise(12)}


def test_a_shift_is_given_the_persona_that_it_goes_toward(own, personas):
    shifts = {"narrow": 1.2 * unit(1) + noise(3), "against": -0.8 * unit(1) + noise(4), "else": unit(5) + noise(6)}
    table = projection_table(shifts, personas, own, layer=7, seed=1)
    cell = lambda run, persona: table.filter(run=run, persona=persona).row(0, named=True)  # noqa: E731
    found = cell("narrow", "evil")
    assert found["way"] == pytest.approx(0.3, abs=0.03) and found["low"] < 0.3 < found["high"]
    assert found["cosine"] > 0.95 and found["beyond"] and found["crossed"] == pytest.approx(found["cosine"], abs=0.05)
    against = cell("against", "evil")
    assert against["way"] == pytest.approx(-0.2, abs=0.03) and against["cosine"] < -0.9 and against["beyond"]
    for run, persona in (("narrow", "kind"), ("else", "evil"), ("else", "kind")):
        assert abs(cell(run, persona)["cosine"]) < max(0.35, cell(run, persona)["null_high"])
        assert abs(cell(run, persona)["way"]) < 0.2
    assert table.height == 6 and set(table["layer"]) == {7} and set(table["n"]) == {N}


def test_way_is_one_at_the_persona_and_scales_with_the_shift(own, personas):
    there = personas["evil"] - own
    table = projection_table({"all": there, "half": there / 2}, {"evil": personas["evil"]}, own, layer=0)
    assert table["way"].to_list() == pytest.approx([1, 0.5]) and table["cosine"].to_list() == pytest.approx([1, 1])
    rows = np.random.default_rng(0).permutation(N)
    shuffled = projection_table(
        {"all": there[rows], "half": there[rows] / 2}, {"evil": personas["evil"][rows]}, own[rows], layer=0
    )
    assert shuffled["cosine"].to_list() == pytest.approx(table["cosine"].to_list())
    turned = projection_table({"all": -there}, {"evil": personas["evil"]}, own, layer=0)
    assert turned["way"][0] == pytest.approx(-1) and turned["crossed"][0] == pytest.approx(-table["crossed"][0])


def test_error_that_both_share_is_not_in_the_crossed_cosine(own):
    shared = noise(20, 1.0)
    shift, persona = shared + noise(21), own + shared + noise(22)
    (row,) = projection_table({"none": shift}, {"noise": persona}, own, layer=0).iter_rows(named=True)
    assert row["cosine"] > 0.8 and abs(row["crossed"]) < 0.35
    family = [f"c{n // 2}" for n in range(N)]
    twins = {name: np.repeat(rows[: N // 2], 2, axis=0) for name, rows in (("s", shift), ("p", persona), ("o", own))}
    apart, whole = (
        projection_table({"none": twins["s"]}, {"noise": twins["p"]}, twins["o"], layer=0, clusters=given)["crossed"][0]
        for given in (None, family)
    )
    assert apart > whole + 0.2


def test_what_cannot_be_projected_is_refused(own, personas):
    shift = {"a": noise(1)}
    for shifts, given, message in (
        ({}, personas, "no run"),
        (shift, {}, "no persona"),
        (shift, {"evil": own[:-1]}, "rows of 'evil' have the shape"),
        ({"a": noise(1)[:, :-1]}, personas, "rows of 'a' have the shape"),
        ({"a": 0 * noise(1)}, personas, "zero for every item"),
    ):
        with pytest.raises(DataError, match=message):
            projection_table(shifts, given, own, layer=0)
    with pytest.raises(DirectionError, match="length 0"):
        projection_table(shift, {"self": own.copy()}, own, layer=0)
