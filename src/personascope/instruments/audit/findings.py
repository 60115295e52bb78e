"""What a check says about one item: which check, how serious, and a sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["keep", "review", "drop"]
VERDICTS: tuple[Verdict, ...] = ("keep", "review", "drop")
"""From harmless to unusable. A finding with verdict "keep" is a note: it is listed and changes nothing."""


@dataclass(frozen=True)
class Finding:
    """One remark about one item. `check` is its short name, the same in every table."""

    check: str
    verdict: Verdict
    reason: str


def worst(findings: Iterable[Finding]) -> Verdict:
    """The most serious verdict among the findings; "keep" when there are none."""
    return max((finding.verdict for finding in findings), key=VERDICTS.index, default="keep")
