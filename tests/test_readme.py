"""The README's code block runs as it stands, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import personascope

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_public_name_can_be_imported() -> None:
    assert len(personascope.__all__) <= 15
    for name in personascope.__all__:
        assert getattr(personascope, name) is not None
    with pytest.raises(AttributeError):
        personascope.no_such_name  # noqa: B018


@pytest.mark.model
@pytest.mark.usefixtures("smollm2")
def test_the_code_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "torch.Size([8, 30, 2, 576])" in capsys.readouterr().out


def test_every_linked_file_exists() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"
