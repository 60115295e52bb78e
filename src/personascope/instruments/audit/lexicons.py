"""The word lists of the audit, as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from personascope.files import read_yaml

_FILE = Path(__file__).parents[1] / "data" / "audit_lexicons.yaml"


@cache
def lexicon(name: str) -> Any:
    """One section of the word lists."""
    return read_yaml(_FILE)[name]
