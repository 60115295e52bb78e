"""The code blocks of the guides run as they stand, one after the other, and print what stands beside each `print`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs" / "guides"


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Execute the blocks in a folder of their own; hold every line of output that the page foretells."""
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    foretold = []
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{name}, block {number}", "exec"), names)
        foretold += re.findall(r"^ *print\(.*\)  # (.+)$", block, flags=re.MULTILINE)
    printed = iter(capsys.readouterr().out.splitlines())
    assert foretold
    for line in foretold:
        assert line in printed, f"{name} says that it prints {line!r}, in this order"


@pytest.mark.parametrize("name", ["adapters.md", "people.md", "items.md", "steering.md", "tuning.md", "interviews.md"])
def test_the_blocks_of_a_guide_run_and_print_what_they_say(name, tmp_path, monkeypatch, capsys) -> None:
    run(name, tmp_path, monkeypatch, capsys)


@pytest.mark.model
@pytest.mark.usefixtures("smollm2")
def test_the_blocks_of_the_engines_guide_run_and_print_what_they_say(tmp_path, monkeypatch, capsys) -> None:
    run("engine.md", tmp_path, monkeypatch, capsys)


def test_the_table_of_checks_names_every_check_of_the_audit() -> None:
    page = (GUIDES / "items.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \|", page.partition("## Audit")[2].partition("\n## ")[0], flags=re.MULTILINE)
    table = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src/personascope/instruments/audit").glob("*.py")]
    named = {name for text in sources for name in re.findall(r'Finding\(\s*"(\w+)"', text)}
    assert len(named) > 15 and named == table
