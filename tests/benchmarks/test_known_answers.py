import json

import numpy as np
import pytest
from benchmarks import known_answers, known_statistics
from benchmarks.records import Record


def part(ok, folder=None):
    """A part whose single figure is met or not."""

    def plain():
        return [Record("figure", 1.0, 1.0, 1.0, 1.0, ok, 1, "")]

    def reads(folder):
        return [Record(f"rows in {folder.name}", 1.0, 1.0, 1.0, 1.0, ok, 1, "")]

    return reads if folder else plain


@pytest.fixture
def run(monkeypatch):
    """Runs the command over given parts; gives its exit code."""

    def command(parts, *words):
        modules = {name: type("Part", (), {"records": staticmethod(records)}) for name, records in parts.items()}
        monkeypatch.setattr(known_answers, "parts", lambda: list(modules))
        monkeypatch.setattr(
            known_answers.importlib, "import_module", lambda name: modules[name.removeprefix("benchmarks.known_")]
        )
        with pytest.raises(SystemExit) as stop:
            known_answers.main(words)
        return stop.value.code

    return command


def test_the_parts_are_the_modules_beside_it():
    names = known_answers.parts()
    assert "statistics" in names and "answers" not in names
    assert not known_answers.needs_data(known_statistics.records)


def test_a_figure_that_is_not_met_ends_with_exit_code_1(run, tmp_path):
    assert run({"good": part(True)}) == 0
    assert run({"good": part(True), "bad": part(False)}) == 1
    assert run({"good": part(True), "bad": part(False)}, "good") == 0
    run({"good": part(True)}, "--json", str(tmp_path / "records.json"))
    (record,) = json.loads((tmp_path / "records.json").read_text())
    assert record["name"] == "figure" and record["ok"] is True


def test_a_part_that_reads_data_needs_a_folder(run, tmp_path, capsys):
    parts = {"people": part(True, "data"), "statistics": part(True)}
    assert run(parts, "people") == 2
    assert "pass --data FOLDER" in capsys.readouterr().err
    assert run(parts) == 0
    assert "people: left out" in capsys.readouterr().out
    assert run(parts, "people", "--data", str(tmp_path)) == 0
    assert tmp_path.name[:20] in capsys.readouterr().out
    assert run(parts, "--data", str(tmp_path / "nowhere")) == 2
    assert run(parts, "poeple") == 2


def test_rates_and_means_are_held_to_their_bands():
    hits = np.arange(1000) < 50
    assert known_statistics.share("rate", hits, 0.05, 0.04, 0.06).ok
    assert not known_statistics.share("rate", hits, 0.05, 0.06, 1.0).ok
    assert not known_statistics.near("mean", np.array([1.0, 1.2]), 1.0, 0.05).ok
    assert not known_statistics.same("pair", 1e-9, 1).ok


@pytest.mark.parametrize("name", ["exactness", "corrections"])
def test_the_quick_figures_are_met(name):
    assert all(record.ok for record in getattr(known_statistics, name)())
