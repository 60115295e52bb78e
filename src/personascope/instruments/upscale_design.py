"""What an upscaling run is to make, and how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from personascope.files import sha256_json
from personascope.instruments.audit.judging import Judge
from personascope.instruments.audit.sources import SourceInstrument
from personascope.instruments.facet_definitions import FacetDefinition
from personascope.instruments.items import ItemBank
from personascope.instruments.upscaled import Candidate

Stratum: TypeAlias = tuple[str, int]
"""A facet and a key."""


@dataclass(frozen=True)
class Design:
    """What is wanted: decided before the first call and never changed."""

    seed_bank: ItemBank
    definitions: Mapping[str, FacetDefinition]
    strata: tuple[Stratum, ...]
    per_key: int
    batch: int
    seed: int
    idle_rounds: int
    generator: str
    sources: tuple[SourceInstrument, ...] = ()
    judge: Judge | None = None

    def goes_on(self, state: State, stratum: Stratum) -> bool:
        """Whether it is worth asking for more: neither rounds nor audits have been fruitless too often."""
        return max(state.idle[stratum], state.stalled[stratum]) < self.idle_rounds

    def settings(self) -> dict[str, object]:
        """Whatever decides the run, for the head of its ledger."""
        return {
            "seed_bank": self.seed_bank.hash(),
            "definitions": sha256_json([one.model_dump() for one in self.definitions.values()]),
            "facets": list(dict.fromkeys(facet for facet, _ in self.strata)),
            "n_per_facet": 2 * self.per_key,
            "batch": self.batch,
            "seed": self.seed,
            "idle_rounds": self.idle_rounds,
            "generator": self.generator,
            "sources": sha256_json([list(source.texts) for source in self.sources]),
        }


@dataclass
class State:
    """What there is so far.

    Args:
        candidates: all that were read.
        turns: rounds asked of each stratum.
        idle: rounds in a row without a new candidate.
        audited: open candidates after the last audit.
        stalled: audits in a row without a gain.
    """

    candidates: list[Candidate] = field(default_factory=list)
    turns: Counter[Stratum] = field(default_factory=Counter)
    idle: Counter[Stratum] = field(default_factory=Counter)
    audited: Counter[Stratum] = field(default_factory=Counter)
    stalled: Counter[Stratum] = field(default_factory=Counter)

    def open(self, stratum: Stratum | None = None) -> list[Candidate]:
        """Candidates that nothing speaks against yet, of one stratum or of all."""
        return [c for c in self.candidates if not c.reasons and stratum in (None, (c.facet, c.key))]
