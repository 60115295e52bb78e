"""Steering curves against a bootstrap in a plain loop and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from personascope.errors import ActivationError, DataError
from personascope.steering.coefficient_sweep import SweepAnswers
from personascope.steering.curves import Curves

GRID = (-0.2, -0.1, 0.0, 0.1, 0.2)
NAMES, KINDS = ("probe", "random 1"), ("probe", "isotropic")


def sweep(n_rows: int, grid: tuple[float, ...] = GRID) -> SweepAnswers:
    shape = (n_rows, 2, 2, len(grid))
    return SweepAnswers((3, 7), grid, NAMES, KINDS, np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))


def curves_of(rows: np.ndarray, unit: np.ndarray, keys: np.ndarray | None = None) -> Curves:
    return Curves.of_rows(sweep(len(rows)), "share", rows, np.full(rows.shape, 0.9), unit, keys)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2, 2, 5))


def test_rows_are_averaged_into_units_whatever_their_order() -> None:
    rows, unit = noise(6), np.array([5, 2, 9, 2, 5, 5])
    curves = curves_of(rows, unit)
    assert curves.units.tolist() == [2, 5, 9]
    by_hand = [(rows[1] + rows[3]) / 2, (rows[0] + rows[4] + rows[5]) / 3, rows[2]]
    assert np.allclose(curves.values, np.stack(by_hand))
    assert np.allclose(curves.value, np.mean(by_hand, axis=0))


def test_the_interval_is_that_of_a_plain_loop_over_resamples() -> None:
    rows, n, resamples = noise(8), 8, 200
    drawn = np.random.default_rng(4).integers(n, size=(resamples, n))
    naive = np.stack([rows[indices].mean(axis=0) for indices in drawn])
    curves = curves_of(rows, np.arange(n))
    assert np.allclose(curves.draws(resamples, seed=4), naive)
    frame = curves.frame(n_resamples=resamples, seed=4)
    assert np.allclose(frame["low"], np.quantile(naive, 0.025, axis=0).reshape(-1))
    assert np.allclose(frame["high"], np.quantile(naive, 0.975, axis=0).reshape(-1))


def test_keys_are_resampled_within_themselves_and_weighed_against_each_other() -> None:
    rows, keys, resamples = noise(7), np.array([1, -1, 1, 1, -1, 1, -1]), 100
    rng = np.random.default_rng(2)
    plus, minus = np.flatnonzero(keys == 1), np.flatnonzero(keys == -1)
    drawn = [ids[rng.integers(len(ids), size=(resamples, len(ids)))] for ids in (plus, minus)]
    naive = np.stack(
        [(rows[p].mean(axis=0) - rows[m].mean(axis=0)) / 2 for p, m in zip(drawn[0], drawn[1], strict=True)]
    )
    curves = curves_of(rows, np.arange(7), keys)
    assert np.allclose(curves.draws(resamples, seed=2), naive)
    assert np.allclose(curves.value, (rows[plus].mean(axis=0) - rows[minus].mean(axis=0)) / 2)


def test_cells_stand_where_their_names_say() -> None:
    rows = np.arange(20.0).reshape(1, 2, 2, 5).repeat(3, axis=0)
    frame = curves_of(rows, np.arange(3)).frame(n_resamples=5)
    cell = frame.filter((pl.col("layer") == 7) & (pl.col("direction") == "random 1") & (pl.col("coefficient") == -0.1))
    assert cell.row(0, named=True) == {
        "read_out": "share",
        "layer": 7,
        "direction": "random 1",
        "control": "isotropic",
        "coefficient": -0.1,
        "value": 16.0,
        "low": 16.0,
        "high": 16.0,
        "n": 3,
        "label_mass": pytest.approx(0.9),
    }


def test_effects_are_seen_from_the_unsteered_answers() -> None:
    curve = np.array([0.0, 0.4, 0.5, 0.8, 0.7])
    curves = curves_of(np.tile(curve, (2, 2, 2, 1)), np.arange(2))
    effects = curves.effects(n_resamples=5).filter((pl.col("layer") == 3) & (pl.col("direction") == "probe"))
    found = {(row["effect"], row["coefficient"]): row["value"] for row in effects.iter_rows(named=True)}
    assert found == {
        ("amplification", 0.1): pytest.approx(0.3),
        ("amplification", 0.2): pytest.approx(0.2),
        ("suppression", 0.1): pytest.approx(0.1),
        ("suppression", 0.2): pytest.approx(0.5),
        ("swing", 0.1): pytest.approx(0.4),
        ("swing", 0.2): pytest.approx(0.7),
    }


def test_the_interval_of_a_swing_takes_both_signs_from_one_resample() -> None:
    own = np.random.default_rng(1).normal(size=(30, 1, 1, 1))
    rows = own + np.array(GRID)  # pairs differ a lot, and all move alike
    curves = curves_of(np.broadcast_to(rows, (30, 2, 2, 5)).copy(), np.arange(30))
    swing = curves.effects().filter(pl.col("effect") == "swing")
    assert np.allclose(swing["high"] - swing["low"], 0.0, atol=1e-9)
    assert np.all((curves.frame()["high"] - curves.frame()["low"]).to_numpy() > 0.3)


def test_pair_types_have_curves_of_their_own_pairs() -> None:
    rows = noise(5)
    curves = curves_of(rows, np.array([1, 2, 3, 4, 5]))
    types = {1: "benign-benign", 2: "harmful-benign", 3: "benign-benign", 4: "harmful-benign", 5: "benign-benign"}
    frame = curves.frame(types, n_resamples=20)
    benign = frame.filter(pl.col("pair_type") == "benign-benign")
    assert np.allclose(benign["value"], rows[[0, 2, 4]].mean(axis=0).reshape(-1))
    assert benign["n"].unique().to_list() == [3]
    assert frame["pair_type"].unique().sort().to_list() == ["benign-benign", "harmful-benign"]
    swings = curves.effects(types, n_resamples=20).filter(pl.col("effect") == "swing")
    assert swings.height == 2 * 2 * 2 * 2


def test_a_lone_unit_has_a_value_and_no_interval() -> None:
    frame = curves_of(noise(1), np.array([3])).frame(n_resamples=5)
    assert frame["value"].null_count() == 0
    assert frame["low"].null_count() == frame["high"].null_count() == frame.height


def test_pairs_without_a_type_are_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 pairs have no type, first 8"):
        curves_of(noise(2), np.array([7, 8])).frame({7: "benign-benign"})


def test_a_part_without_one_key_is_refused() -> None:
    curves = curves_of(noise(4), np.arange(4), np.array([1, 1, -1, -1]))
    with pytest.raises(DataError, match="whole stratum"):
        curves.subset(curves.units < 2)


@pytest.mark.parametrize("grid", [(-0.1, 0.0, 0.2), (-0.1, 0.1), (0.1, 0.0, -0.1)])
def test_grids_that_are_not_symmetric_are_refused(grid: tuple[float, ...]) -> None:
    rows = np.zeros((2, 2, 2, len(grid)))
    with pytest.raises(DataError, match="symmetric"):
        Curves.of_rows(sweep(2, grid), "share", rows, rows, np.arange(2))


def test_nan_is_refused_by_unit() -> None:
    rows = noise(3)
    rows[1, 0, 1, 2] = np.nan
    with pytest.raises(ActivationError, match="unit 11"):
        curves_of(rows, np.array([10, 11, 12]))
