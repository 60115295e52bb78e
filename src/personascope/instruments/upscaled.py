"""What an upscaling run made: the surviving bank, every candidate with its reasons, and the frozen file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import polars as pl

from personascope.errors import DataError
from personascope.files import canonical_json, sha256_json, write_text
from personascope.instruments.audit.embodiment import Applicability
from personascope.instruments.facets import DOMAIN_OF
from personascope.instruments.items import Item, ItemBank
from personascope.instruments.upscale_prompts import Intensity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personascope.instruments.upscale_prompts import Request

FILTERS = ("form", "embodiment", "copies", "facet", "key")


@dataclass(frozen=True)
class Candidate:
    """One generated statement. Without `reasons` it stands; with them it is out, and they say why."""

    id: str
    facet: str
    key: int
    text: str
    situation: str
    intensity: Intensity
    prompt_sha256: str
    reasons: tuple[str, ...] = ()
    applicability: Applicability | None = None
    cluster: str | None = None

    @classmethod
    def of(cls, request: Request, name: str, text: str) -> Candidate:
        """A statement in the answer to a request."""
        return cls(name, request.facet, request.key, text, request.situation, request.intensity, request.prompt_sha256)

    def with_reasons(self, reasons: Sequence[str]) -> Candidate:
        """The same with further reasons against it."""
        return replace(self, reasons=(*self.reasons, *reasons))

    def judged(self, reasons: tuple[str, ...], applicability: Applicability, cluster: str) -> Candidate:
        """The same with what an audit says of it."""
        return replace(self, reasons=reasons, applicability=applicability, cluster=cluster)

    def item(self) -> Item:
        """The statement as an item of a bank."""
        return Item(
            id=self.id,
            facet=self.facet,
            key=cast(Literal[1, -1], self.key),
            text=self.text,
            domain=DOMAIN_OF.get(self.facet),
            source="generated",
            situation=self.situation,
            intensity=self.intensity,
            applicability=self.applicability,
            cluster=self.cluster,
        )


@dataclass(frozen=True)
class Upscaled:
    """A generated bank and how it came about.

    Args:
        bank: the survivors, at most the quota of each facet and key.
        candidates: every statement that was read, in order.
        missing: facets and keys below their quota: facet, key, items, wanted.
        generator: name of what generated.
        filters: checks that every survivor passed.
        calls: answers asked for or replayed.
        tokens: estimate of the tokens sent and received.
        stopped: why the run ended: quotas met, budget spent, no progress.
    """

    bank: ItemBank
    candidates: tuple[Candidate, ...]
    missing: pl.DataFrame
    generator: str
    filters: tuple[str, ...]
    calls: int
    tokens: int
    stopped: str

    def frame(self) -> pl.DataFrame:
        """One row per candidate: item, facet, key, text, situation, intensity, accepted, reasons, prompt_sha256."""
        kept = {item.id for item in self.bank.items}
        rows = [
            (
                c.id,
                c.facet,
                c.key,
                c.text,
                c.situation,
                c.intensity,
                c.id in kept,
                "; ".join(c.reasons),
                c.prompt_sha256,
            )
            for c in self.candidates
        ]
        names = "item", "facet", "key", "text", "situation", "intensity", "accepted", "reasons", "prompt_sha256"
        schema = dict.fromkeys(names, pl.String) | {"key": pl.Int64, "accepted": pl.Boolean}
        return pl.DataFrame(rows, schema={name: schema[name] for name in names}, orient="row")

    @property
    def version(self) -> str:
        """Hash over what the items say and how they are keyed; equal for equal banks."""
        return sha256_json([[item.id, item.facet, item.key, item.text] for item in self.bank.items])

    def freeze(self, path: Path) -> None:
        """Write the bank as JSONL, one item per line, whole or not at all; `load_items` reads it back.

        Besides the fields of an item: generator, prompt_sha256, filters, and version, the hash of the whole bank.

        Raises:
            DataError: the bank is empty.
        """
        if not self.bank.items:
            raise DataError(
                f"None of {len(self.candidates)} candidates passed.",
                f"The run ended with: {self.stopped}.",
                "Read the reasons in the table of candidates; try another generator or a larger budget.",
            )
        prompts = {candidate.id: candidate.prompt_sha256 for candidate in self.candidates}
        version = self.version
        lines = [
            canonical_json(
                {
                    **{name: value for name, value in item.model_dump().items() if value is not None},
                    "generator": self.generator,
                    "prompt_sha256": prompts[item.id],
                    "filters": list(self.filters),
                    "version": version,
                }
            )
            for item in self.bank.items
        ]
        write_text(path, "\n".join(lines) + "\n")
