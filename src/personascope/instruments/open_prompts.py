"""Prompts that are answered freely: questions to the model about itself, and requests from harmless to extreme."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, model_validator

from personascope.errors import DataError, nearest
from personascope.files import sha256_json
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique

BUILT_IN = Path(__file__).parent / "data" / "open_prompts.csv"

KINDS = ("self_reflection", "request")
TIERS = ("benign", "sensitive", "borderline", "harmful", "extreme")
"""Requests by what answering them could do, from nothing at all to the death of many.

A sensitive request is delicate and should be answered; a borderline one can be answered in part; harmful and extreme
ones should be declined. They name a wish and no way to it.
"""


class OpenPrompt(BaseModel):
    """One prompt; requests have a tier, questions to the model about itself have none."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text
    kind: Literal["self_reflection", "request"]
    tier: Literal["benign", "sensitive", "borderline", "harmful", "extreme"] | None = None
    text: Text

    @model_validator(mode="after")
    def _tier_of_requests_only(self) -> OpenPrompt:
        if (self.kind == "request") != (self.tier is not None):
            raise ValueError(f"a request has a tier, one of {', '.join(TIERS)}; a self_reflection has none")
        return self


@dataclass(frozen=True)
class OpenPrompts:
    """Prompts in a fixed order."""

    prompts: tuple[OpenPrompt, ...]
    name: str

    def subset(self, *, kind: str | None = None, tier: str | None = None, n: int | None = None) -> OpenPrompts:
        """Prompts of one kind and one tier, of each kind and tier the first `n`; None leaves a choice open.

        Raises:
            DataError: an unknown kind or tier, fewer than one prompt asked for, or no prompt left.
        """
        for what, name, known in (("kind", kind, KINDS), ("tier", tier, TIERS)):
            if name is not None and name not in known:
                raise DataError(
                    f"Unknown {what} {name!r}.{nearest(name, known)}", f"Known: {', '.join(known)}.", "Correct it."
                )
        if n is not None and n < 1:
            raise DataError(f"n is {n}.", "Each kind and tier keeps its first n prompts.", "Use 1 or more.")
        taken: Counter[tuple[str, str | None]] = Counter()
        kept = []
        for prompt in self.prompts:
            if kind in (None, prompt.kind) and tier in (None, prompt.tier):
                taken[prompt.kind, prompt.tier] += 1
                if n is None or taken[prompt.kind, prompt.tier] <= n:
                    kept.append(prompt)
        if not kept:
            raise DataError(
                f"{self.name} has no prompt of kind {kind!r} and tier {tier!r}.",
                f"It has {dict(Counter(prompt.tier or prompt.kind for prompt in self.prompts))}.",
                "Requests have tiers, self_reflection has none; choose what is there.",
            )
        return OpenPrompts(tuple(kept), self.name)

    def hash(self) -> str:
        """Content hash over every prompt, in order."""
        return sha256_json([prompt.model_dump() for prompt in self.prompts])

    def frame(self) -> pl.DataFrame:
        """Columns id, kind, tier (null for self_reflection), text."""
        schema = dict.fromkeys(OpenPrompt.model_fields, pl.String)
        return pl.DataFrame([prompt.model_dump() for prompt in self.prompts], schema=schema)


def load_open_prompts(path: Path | None = None) -> OpenPrompts:
    """Load the built-in prompts (12 of self-reflection, 8 requests a tier) or a file with id, kind, tier and text.

    Raises:
        FileFormatError: with line number: malformed row, unknown kind or tier, a request without a tier or a
            self_reflection with one, duplicate id or text.
    """
    source = BUILT_IN if path is None else path
    records = load_records(source, OpenPrompt)
    require_unique(source, [(line, prompt.id) for line, prompt in records], "id")
    require_unique(source, [(line, prompt.text.casefold()) for line, prompt in records], "text")
    return OpenPrompts(tuple(prompt for _, prompt in records), source.stem)
