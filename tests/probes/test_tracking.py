"""Removed directions followed to other personas: what is shared goes with the first, what is private never came."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.probes.removal import Removal, remove_directions
from personascope.probes.tracking import persona_tracking

N, D = 120, 40
GROUPS = np.repeat(np.arange(12), N // 12)
HOW = {"name": "utility", "persona": "a", "position": "eot", "layer": 3, "n_steps": 2, "n_resamples": 50}


def planted(shared: bool) -> tuple[Removal, dict[str, np.ndarray]]:
    """Two personas with independent utilities, each along one direction: the same, or one of its own."""
    rng = np.random.default_rng(0)
    utilities = {name: rng.standard_normal(N) for name in "ab"}
    # as much noise as the private direction has signal: a probe's scale is that of its own persona
    features = {name: rng.standard_normal((N, D)) for name in "ab"}
    features["a"][:, 0] += 6 * utilities["a"]
    features["b"][:, 0 if shared else 1] += 6 * utilities["b"]
    found = remove_directions(features["a"], utilities["a"], groups=GROUPS, others={"b": features["b"]}, **HOW)
    return found, utilities


def test_a_shared_direction_follows_the_other_persona_until_it_is_removed() -> None:
    table = persona_tracking(*planted(shared=True), GROUPS, n_resamples=200)
    first, second, _ = table.sort("step").to_dicts()
    assert first["r"] > 0.9
    assert first["difference_low"] > 0
    assert abs(first["utility_r"]) < 0.25
    assert second["r"] < 0.5
    assert (first["train"], first["test"], first["n"], first["n_groups"]) == ("a", "b", N, 12)


def test_a_private_direction_never_follows_the_other_persona() -> None:
    table = persona_tracking(*planted(shared=False), GROUPS, n_resamples=200)
    assert abs(table.filter(step=0)["r"][0]) < 0.4
    assert table.filter(step=0)["low"][0] < 0.1


def test_a_probe_applied_to_its_own_rows_gives_its_own_r() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((N, D)), rng.standard_normal(N)
    y += X[:, 0]
    found = remove_directions(X, y, groups=GROUPS, others={"copy": X}, **HOW)
    table = persona_tracking(found, {"a": y, "copy": y}, GROUPS, n_resamples=50)
    assert table["r"].to_numpy() == pytest.approx(found.r)
    assert table["utility_r"].to_list() == pytest.approx([1.0] * 3)


def test_others_change_nothing_of_the_removal_itself() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((N, D)), rng.standard_normal(N)
    alone = remove_directions(X, y, groups=GROUPS, **HOW)
    beside = remove_directions(X, y, groups=GROUPS, others={"b": 2 * X}, **HOW)
    assert alone.frame().equals(beside.frame())


def test_missing_utilities_and_missing_others_are_named() -> None:
    found, utilities = planted(shared=True)
    with pytest.raises(DataError, match="There are none of 'b'"):
        persona_tracking(found, {"a": utilities["a"]}, GROUPS)
    rng = np.random.default_rng(3)
    alone = remove_directions(rng.standard_normal((N, D)), rng.standard_normal(N), groups=GROUPS, **HOW)
    with pytest.raises(DataError, match="no other persona"):
        persona_tracking(alone, utilities, GROUPS)
