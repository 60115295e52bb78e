"""Budgets of the house: file and function sizes, one place per recipe, no strangers in public text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILE_LINES = 300
FUNCTION_LINES = 60


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_within_their_size(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE_LINES, "split by concept"
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno and _code_lines(f) > FUNCTION_LINES}
    assert not long, "a function fits on a screen"


def _code_lines(function: ast.FunctionDef) -> int:
    """Lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_packaged_recipes_are_those_of_the_experiments_folder() -> None:
    packaged = {p.name: p.read_bytes() for p in (ROOT / "src/personascope/experiments/recipes").glob("*.yaml")}
    shown = {p.name: p.read_bytes() for p in (ROOT / "experiments").glob("*.yaml")}
    assert packaged == shown


def test_nothing_is_pickled() -> None:
    for path in SOURCES:
        names = {
            a.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import) for a in node.names
        }
        assert not names & {"pickle", "dill", "joblib", "shelve", "marshal"}, path
