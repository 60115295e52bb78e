"""The transfer study: do personas share one code for what they prefer, and for what they are like?

Probes of each persona are tested on every other, on topics that they were not trained on, beside the correlation of the
two personas' utilities (what a probe that only repeats its own persona would reach) and beside a text encoder that
reads the same persona prompts.
"""

from __future__ import annotations

from pathlib import Path

from personascope.experiments.collecting import Progress, store_facts
from personascope.experiments.elicitation import TASKS
from personascope.experiments.pages import write_page
from personascope.experiments.probe_study import (
    ask_and_probe,
    begin_study,
    preference_directions,
    save_directions,
)
from personascope.experiments.recipe import TransferRecipe
from personascope.experiments.results_preferences import transfer_results
from personascope.experiments.runs import RunFolder
from personascope.experiments.transfer_tables import facet_transfer_tables, transfer_tables


def run_transfer(recipe: TransferRecipe, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run, continue or find finished; returns the page's path. Arguments and errors: see `studies.run_study`."""
    run = RunFolder(folder, recipe, fork)
    begun = begin_study(run, recipe, recipe.hexaco)
    if begun is None:
        return run.report
    asked, engine = begun
    stores, tables = ask_and_probe(engine, asked, recipe, run, progress)
    material = asked.material
    tables |= run.stage("transfer", lambda: transfer_tables(stores[TASKS], tables, material, recipe, progress))
    if asked.questionnaire is not None:
        tables |= run.stage("facets", lambda: facet_transfer_tables(stores, tables, recipe, progress))
    found = preference_directions(engine, stores[TASKS], tables["utilities"], material, recipe, stores[TASKS].layers)
    save_directions(run, "preference", found)

    run.write_results(transfer_results(tables))
    run.write_provenance({recipe.model.label: engine.fingerprint()}, store_facts(stores))
    write_page(run, recipe, tables)
    return run.report
