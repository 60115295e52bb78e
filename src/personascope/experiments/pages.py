"""The page of a run, from its tables and its provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from personascope.experiments.recipe import HexacoRecipe
from personascope.experiments.recipe_bases import Study
from personascope.experiments.runs import RunFolder
from personascope.report.methods import methods_text
from personascope.report.page import build_page

_LISTED = 6


def write_page(run: RunFolder, recipe: Study, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write report.html; `run` must have its provenance."""
    provenance = run.provenance()
    backends = provenance["backends"]
    facts = {
        "models": ", ".join(
            f"{label} ({facts['dtype']}, weights {facts['weights'][:12]})" for label, facts in backends.items()
        ),
        "recipe": f"{recipe.name} ({provenance['recipe_sha256'][:12]}), seed {recipe.seed}",
        "rows": _amounts({name: facts["rows"] for name, facts in provenance["stores"].items()}),
        "intervals": f"95 %, {recipe.resamples:,} bootstrap resamples",
        "prefix reuse": ", ".join(dict.fromkeys(facts["prefix_reuse"] for facts in backends.values())),
        "versions": ", ".join(f"{name} {version}" for name, version in provenance["versions"].items()),
        "seconds": _amounts(provenance["seconds"]),
    }
    facts = {name: value for name, value in facts.items() if value}  # a study of people runs no model
    title = f"personascope: {recipe.name}"
    run.write_report(build_page(dict(tables), title=title, facts=facts, methods=_methods(recipe, tables)))


def _amounts(parts: Mapping[str, float] | Mapping[str, int]) -> str:
    """How much each part takes; of many only the largest, with the sum. provenance.json has them all."""
    if len(parts) <= _LISTED + 1:
        return ", ".join(f"{name} {amount:,.0f}" for name, amount in parts.items())
    largest = dict(sorted(parts.items(), key=lambda part: -part[1])[:_LISTED])
    rest = sum(parts.values()) - sum(largest.values())
    listed = ", ".join(f"{name} {amount:,.0f}" for name, amount in largest.items())
    return f"{sum(parts.values()):,.0f}: {listed}, {len(parts) - _LISTED} others {rest:,.0f}"


def _methods(recipe: Study, tables: Mapping[str, pl.DataFrame]) -> Sequence[str]:
    if not isinstance(recipe, HexacoRecipe):
        return ()
    return methods_text(tables, seed=recipe.seed, resamples=recipe.resamples)
