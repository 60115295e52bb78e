"""The short scripts of the folder experiments/, run as a user would, on a random model with few tasks."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments"
SCRIPTS = sorted(FOLDER.glob("*.py"))
PER_TOPIC = {  # in one script, per key
    "preferences": 1,
    "layer_sweep": 1,
    "persona_transfer": 1,
    "induced_shifts": 2,
    "coefficient_sweep": 3,
    "ideal_self": 8,
}
STUDY_OF = {"coefficient_sweep": "steering-sweep"}
"""Of scripts that bear another name than the packaged study."""
STORES = {
    "preferences": {"choices", "held-out"},
    "layer_sweep": {"choices", "tasks"},
    "persona_transfer": {"choices", "tasks"},
    "induced_shifts": {"plain", "moved"},
    "coefficient_sweep": {"choices", "tasks", "sweep"},
    "ideal_self": {"base", "meta", "self", "after-meta", "after-self"},
}
COLUMNS = {  # of the printed table: each number beside its control
    "preferences": {"split_half", "cyclic_chance", "accuracy", "position_bias"},
    "layer_sweep": {"shuffled_high", "matched_direction_high", "over_text_low"},
    "persona_transfer": {"utility_r", "difference_corrected_low", "over_encoder_low"},
    "induced_shifts": {"standardised", "difference_low", "n_clusters"},
    "coefficient_sweep": {"slope", "turns_plus", "n_random"},
    "ideal_self": {"naive_biased", "refused", "low"},
}
SLOW = {"induced_shifts"}
"""1,560 prompts to render, and the statistics of every scorer."""
MOST_LINES = 60
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, random_model: Path) -> Callable[..., None]:
    """`run_script(path, out, *words)`: as `python experiments/NAME.py ...`, in this process."""

    def run(script: Path, out: Path, *words: str) -> None:
        size = "--per-key" if script.stem == "ideal_self" else "--per-topic"
        options = ["--model", str(random_model), size, str(PER_TOPIC[script.stem]), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", [str(script), *options, *words])
        monkeypatch.setenv("POLARS_FMT_MAX_COLS", "20")
        monkeypatch.setenv("POLARS_TABLE_WIDTH", "400")
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(script), run_name="__main__")
        assert not stop.value.code

    return run


def test_every_script_is_known_and_short() -> None:
    assert {script.stem for script in SCRIPTS} == set(PER_TOPIC)
    for script in SCRIPTS:
        assert len(script.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, script
        study = STUDY_OF.get(script.stem, script.stem.replace("_", "-"))
        assert (FOLDER / f"{study}.yaml").exists(), "a script is the core of a packaged study"


@pytest.mark.parametrize(
    "script",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else []) for path in SCRIPTS],
)
def test_the_script_writes_its_stores_and_its_figure(
    script: Path, run_script: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run_script(script, out)
    assert {path.name for path in out.iterdir()} == STORES[script.stem] | {f"{script.stem}.html"}
    assert "Plotly.newPlot" in (out / f"{script.stem}.html").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert not [name for name in COLUMNS[script.stem] if name not in printed], printed


def test_run_again_a_script_asks_nothing_and_says_the_same(
    run_script: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = FOLDER / "layer_sweep.py"
    run_script(script, tmp_path)
    first = capsys.readouterr().out
    monkeypatch.setattr("personascope.activations.collect._compute", lambda *_: pytest.fail("computed again"))
    run_script(script, tmp_path)
    assert capsys.readouterr().out == first
