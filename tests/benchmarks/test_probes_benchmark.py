import json

import numpy as np
import pytest
from benchmarks import probes
from benchmarks.records import Record


def test_every_case_agrees_with_what_it_is_compared_with(tmp_path, capsys):
    file = tmp_path / "records.json"
    with pytest.raises(SystemExit) as stop:
        probes.main(["--small", "--rounds", "1", "--cells", "3", "--json", str(file)])
    assert stop.value.code == 0
    names = {record["name"]: record for record in json.loads(file.read_text())}
    assert set(probes.TARGETS) - set(names) <= {"wide: faster than himalaya"}
    assert all(record["target"] is None for name, record in names.items() if "faster" in name)
    assert names["ridge: squared errors of refits"]["value"] < 1e-10
    printed = capsys.readouterr().out
    assert ("himalaya is left out" in printed) != ("wide: faster than himalaya" in names)


def test_one_case_can_be_run_alone(capsys):
    with pytest.raises(SystemExit) as stop:
        probes.main(["--small", "--rounds", "1", "--cells", "1", "--only", "pairwise"])
    assert stop.value.code == 0
    assert "ridge" not in capsys.readouterr().out


def test_a_missed_target_ends_with_exit_code_1(monkeypatch):
    missed = Record("figure", 1.0, 1.0, 1.0, 2.0, False, 1, "")
    monkeypatch.setattr(probes, "wide", lambda case: [missed])
    with pytest.raises(SystemExit) as stop:
        probes.main(["--small", "--only", "wide"])
    assert stop.value.code == 1


def test_targets_hold_at_full_size_only():
    ours, theirs = np.array([1.0]), np.array([2.0])
    small, full = (probes.Case("pairwise", probes.SMALL["pairwise"], 1, 1, toy) for toy in (True, False))
    assert small.compare("L-BFGS on differences", ours, theirs, "").ok
    assert not full.compare("L-BFGS on differences", ours, theirs, "").ok


def test_cells_are_drawn_without_repeats():
    case = probes.Case("ridge", probes.SMALL["ridge"], 50, 1, True)
    cells = case.draw(3, 4)
    assert len(cells) == len(set(cells)) == 12
    assert set(cells) == {(i, j) for i in range(3) for j in range(4)}
