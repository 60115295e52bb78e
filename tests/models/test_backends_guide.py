"""The guide's code blocks run as they stand, one after the other, and print what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "backends.md"


def test_the_code_blocks_run_and_print_what_they_say(capsys):
    for library in ("transformer_lens", "nnsight"):
        pytest.importorskip(library, reason=f"{library} is not installed (pip install personascope[lens,nnsight])")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["torch.Size([2, 2, 2, 32])", "True", "(2, 32)", "True", "True torch.Size([2, 9])", "True"]
