"""What an audit found: a verdict with reasons for every item, the balance of every facet, and the summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from personascope.instruments.audit.findings import VERDICTS, Finding, Verdict, worst
from personascope.instruments.items import Item, ItemBank


@dataclass(frozen=True)
class Audit:
    """The audit of a bank.

    Args:
        bank: what was audited.
        findings: of each item, in the bank's order.
        columns: what was measured of each item, one row per item: words, negated, applicability, desirability, cluster
            (id of the item that stands for it), copies (size of the cluster), nearest, nearest_cosine, other_facet,
            facet_rank, facet_margin, key_probability, r_own, r_other.
        facets: one row per facet (`balance`).
        measures: headline numbers of the whole bank: name, value, note.
    """

    bank: ItemBank
    findings: tuple[tuple[Finding, ...], ...]
    columns: pl.DataFrame
    facets: pl.DataFrame
    measures: pl.DataFrame

    def verdict(self, place: int) -> Verdict:
        """The verdict on the item at that place of the bank."""
        return worst(self.findings[place])

    @property
    def must_drop(self) -> int:
        """How many items are unusable as they are."""
        return sum(worst(own) == "drop" for own in self.findings)

    def frame(self) -> pl.DataFrame:
        """One row per item: item, facet, domain, key, text, verdict, checks, reasons, then `columns`.

        `checks` are the short names of all findings, notes included, joined by commas; `reasons` their sentences.
        """
        told = [
            {
                "item": item.id,
                "facet": item.facet,
                "domain": item.domain,
                "key": item.key,
                "text": item.text,
                "verdict": worst(own),
                "checks": ",".join(dict.fromkeys(finding.check for finding in own)),
                "reasons": "; ".join(finding.reason for finding in own),
            }
            for item, own in zip(self.bank.items, self.findings, strict=True)
        ]
        schema = dict.fromkeys(told[0], pl.String) | {"key": pl.Int64} if told else {}
        return pl.concat([pl.DataFrame(told, schema=schema), self.columns], how="horizontal")

    def summary(self) -> pl.DataFrame:
        """The headline numbers: columns name, value, note. Counts of verdicts first."""
        counts = Counter(self.verdict(place) for place in range(len(self.findings)))
        told = {"keep": "usable as they are", "review": "a person should look", "drop": "unusable as they are"}
        rows = [("items", float(len(self.findings)), "")]
        rows += [(name, float(counts[name]), told[name]) for name in VERDICTS]
        return pl.concat([pl.DataFrame(rows, schema=self.measures.schema, orient="row"), self.measures])

    def checks(self) -> pl.DataFrame:
        """How often each check spoke: columns check, verdict, items. Most serious first."""
        tally: Counter[tuple[str, Verdict]] = Counter(
            found for own in self.findings for found in {(finding.check, finding.verdict) for finding in own}
        )
        ordered = sorted(tally, key=lambda found: (-VERDICTS.index(found[1]), -tally[found], found[0]))
        rows = [(*found, tally[found]) for found in ordered]
        schema = {"check": pl.String, "verdict": pl.String, "items": pl.Int64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def survivors(self, verdicts: tuple[Verdict, ...] = ("keep",)) -> ItemBank:
        """The items with one of these verdicts, each with its cluster and its tag of applicability."""
        kept: list[Item] = []
        tagged = self.columns.select("cluster", "applicability").iter_rows()
        for place, (item, (cluster, tier)) in enumerate(zip(self.bank.items, tagged, strict=True)):
            if self.verdict(place) in verdicts:
                kept.append(item.model_copy(update={"cluster": cluster, "applicability": tier}))
        return ItemBank(tuple(kept), self.bank.name)
