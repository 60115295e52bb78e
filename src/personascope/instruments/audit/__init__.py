"""The audit of an item bank: form, embodiment, duplicates, recovery of facets and keys, balance, overlap."""

from __future__ import annotations

from personascope.instruments.audit.bank_audit import audit
from personascope.instruments.audit.judging import Judge, Opinion, judge_from
from personascope.instruments.audit.report import Audit
from personascope.instruments.audit.sources import SourceInstrument, load_source

__all__ = ["Audit", "Judge", "Opinion", "SourceInstrument", "audit", "judge_from", "load_source"]
