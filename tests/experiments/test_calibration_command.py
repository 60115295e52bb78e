"""`personascope calibrate` as a stranger meets it, on a tiny random model that speaks through a real tokenizer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from personascope.direction import Direction
from personascope.experiments import calibration
from personascope.experiments.calibration import COEFFICIENTS, built_in_prompts, spread_layers
from personascope.models.engine import HookEngine
from personascope.prompts.positions import resolve
from personascope.report.calibration_tables import calibration_tables
from personascope.steering.calibration import Calibration, Limits, Measured
from personascope.steering.coefficient_sweep import MIN_RANDOM
from personascope.steering.damage import Baseline

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, n in (("N_ITEMS", 2), ("N_TEXTS", 1), ("N_QUESTIONS", 1), ("NEW_TOKENS", 6)):
        monkeypatch.setattr(calibration, name, n)


def saved(folder: Path, model: str, *, layer: int = 2, width: int = 32) -> str:
    vector = np.random.default_rng(0).standard_normal(width).astype(np.float32)
    direction = Direction(
        vector, layer, "from:item", model, 7.5, means="more [red]warmth", fit="by hand", strength=0.06
    )
    direction.save(folder / "warmth")
    return str(folder / "warmth")


def test_a_model_and_a_direction_are_calibrated(shell: Shell, random_model: Path, tmp_path: Path) -> None:
    file, stem = tmp_path / "out" / "numbers.json", saved(tmp_path, str(random_model))
    words = ("--layers", "0", "2", "--coefficients", "0.0001", "9", "--direction", stem, "--json", str(file))
    code, out, err = shell("calibrate", str(random_model), *words)
    assert code == 0, err
    for text in (
        "calibration: 6 of 6",
        "Residual stream of",
        "Usable strengths at from:item",
        "random isotropic",
        "random covariance-matched",
        "given: more [red]warmth",
        "at most x 1.25",
        "The range says where the model is not damaged, not where a direction works.",
    ):
        assert text in out
    found = json.loads(file.read_text())
    assert {row["layer"] for row in found["norms"]} == {0, 2}
    assert found["reference_norms"]["2"] == 7.5
    assert found["limits"] == {"perplexity_ratio": 1.25, "kl": 0.25, "label_mass": 0.8, "repetition": 0.2}
    assert [(row["layer"], row["kind"]) for row in found["ranges"]] == [
        (0, "isotropic"), (0, "covariance-matched"), (2, "given"), (2, "isotropic"), (2, "covariance-matched")
    ]  # fmt: skip
    for row in found["ranges"]:
        assert (row["usable"], row["stopped_at"]) == (0.0001, 9.0)
        assert "kl" in row["stopped_by"]
    assert len(found["measured"]) == 4 * 5 * 2 + 4
    assert found["fingerprint"]["model"] == str(random_model)
    assert found["unsteered"]["perplexity"] > 1


def test_nothing_usable_is_called_none(shell: Shell, random_model: Path) -> None:
    code, out, _ = shell("calibrate", str(random_model), "--layers", "1", "--coefficients", "9", "--position", "all")
    assert code == 0
    row = next(line for line in out.splitlines() if "random isotropic" in line)
    assert [cell.strip() for cell in row.split("│")][4:6] == ["none", "9"]
    assert "at 'all'" in out


def test_an_end_of_the_grid_is_no_limit(shell: Shell, random_model: Path) -> None:
    _, out, _ = shell("calibrate", str(random_model), "--layers", "1", "--coefficients", "1e-6")
    assert out.count("beyond those tried") == 2


def test_the_tables_fit_a_terminal_of_eighty_columns() -> None:
    measures = {"perplexity_ratio": 1234567.0, "kl": 11.25, "label_mass": 0.01, "repetition": 0.95}
    kinds = ("given", "isotropic", "covariance-matched")
    entries = [Measured(23, "higher utility of tasks under the persona", kind, 0.05, 0.5, **measures) for kind in kinds]
    whole = Calibration("m", "from:item", (), {23: 1234.5}, Baseline(9.0, 0.9, 0.0), Limits(), tuple(entries))
    screen = io.StringIO()
    Console(width=80, file=screen).print(calibration_tables(whole)[1])
    lines = screen.getvalue().splitlines()[1:]
    assert all(line[-1] in "┓┃┩│┘" for line in lines)
    for words in ("covariance-matched", "perplexity x 1e+06", "none", "1 random isotropic"):
        assert any(words in line for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layers", "4"), "has no layer 4"),
        (("--layers", "-1"), "has no layer -1"),
        (("--layers", "1", "1"), "A layer stands twice"),
        (("--coefficients", "0"), "not all finite and above 0"),
        (("--coefficients", "nan"), "not all finite and above 0"),
        (("--position", "mean:task_a"), "has no span 'task_a'"),
        (("--position", "form:item"), "Did you mean 'from:item'?"),
        (("--dtype", "float31"), "Did you mean 'float32'?"),
        (("--direction", "nowhere/d"), "not a saved direction"),
        (("--layers", "one"), "one"),
        (("--chat-template", "nowhere.jinja"), "Cannot read the chat template"),
    ],
)
def test_a_mistake_ends_with_code_2_and_nothing_written(
    shell: Shell, random_model: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "numbers.json"
    code, out, err = shell("calibrate", str(random_model), *words, "--json", str(file))
    assert code == 2
    assert message in out + err
    assert "Traceback" not in out + err
    assert not file.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "smollm2"}, "A direction fitted on 'smollm2' cannot steer"),
        ({"width": 33}, "The direction has width 33"),
        ({"layer": 9}, "has no layer 9"),
    ],
)
def test_a_direction_of_another_model_ends_with_code_2(
    shell: Shell, random_model: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    stem = saved(tmp_path, **({"model": str(random_model)} | change))  # type: ignore[arg-type]
    code, out, err = shell("calibrate", str(random_model), "--direction", stem)
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err


def test_a_wrong_model_ends_with_code_2(shell: Shell) -> None:
    code, _, err = shell("calibrate", "smolm2")
    assert code == 2
    assert "Did you mean 'smollm2'?" in err


def test_by_default_layers_are_spread_over_the_depth() -> None:
    assert spread_layers(30) == (3, 9, 14, 20, 26)
    assert spread_layers(4) == (0, 1, 2, 3)
    assert spread_layers(1) == (0,)


@pytest.mark.model
def test_the_built_in_prompts_have_every_position_that_can_be_asked_for(smollm2: HookEngine) -> None:
    asked = built_in_prompts(smollm2)
    assert (len(asked.closed), len(asked.texts), len(asked.open)) == (2, 1, 1)
    for prompt in (*asked.closed, *asked.texts, *asked.open):
        for position in ("from:item", "mean:item", "last:item", "first:item", "eot", "answer", "all"):
            assert len(resolve(prompt, position)) >= 1


@pytest.mark.model
def test_the_default_calibration_of_the_embedded_model_stays_within_minutes(
    smollm2: HookEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted and not timed: two idle cores send some 650 tokens a second through all blocks."""
    monkeypatch.undo()
    asked, n_layers = built_in_prompts(smollm2), smollm2.n_layers
    depth = np.mean([1 - (layer + 1) / n_layers for layer in spread_layers(n_layers)])  # blocks above a steered layer
    head = 0.27  # of all blocks together, in weights
    read = sum(depth * (len(p) - p.spans["item"][0]) for p in (*asked.closed, *asked.texts))
    scored = sum(head * (p.spans["reply"][1] - p.spans["reply"][0]) for p in asked.texts)
    written = sum(len(p) + (1 + head) * asked.max_new_tokens for p in asked.open)
    pushes = len(spread_layers(n_layers)) * len(COEFFICIENTS) * 2 * MIN_RANDOM
    assert pushes * (read + scored + written) / 650 < 200
