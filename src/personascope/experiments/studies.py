"""Which study a recipe is for: running it, planning it, writing its page again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from personascope.errors import RunFolderError
from personascope.experiments import demo, hexaco
from personascope.experiments.estimate import PlanLine, estimate_demo, estimate_hexaco
from personascope.experiments.recipe import HexacoRecipe, Recipe, Study, study_of
from personascope.experiments.runs import RunFolder
from personascope.files import read_json

Progress = Callable[[str, int, int], None]


def run_study(recipe: Study, folder: Path, progress: Progress, *, fork: bool = False) -> Path:
    """Run a study, or continue it, or do nothing when it is finished; returns the page's path.

    Args:
        recipe: what to do.
        folder: run folder; a new or empty one, or that of the same recipe.
        progress: called with (part, done, total) as work proceeds.
        fork: when the folder belongs to another run, start or continue one beside it.

    Raises:
        PersonascopeError: see `errors`; what was finished stays, and running again continues.
    """
    if isinstance(recipe, HexacoRecipe):
        return hexaco.run_hexaco(recipe, folder, progress, fork=fork)
    assert isinstance(recipe, Recipe)
    return demo.run_demo(recipe, folder, progress, fork=fork)


def estimate(recipe: Study) -> list[PlanLine]:
    """Plan every part of a study without computing it; only a few prompts are run, for the timing.

    Raises:
        PersonascopeError: everything that `run_study` would find wrong before its first row.
    """
    if isinstance(recipe, HexacoRecipe):
        return estimate_hexaco(recipe)
    assert isinstance(recipe, Recipe)
    return estimate_demo(recipe)


def rewrite_report(folder: Path) -> Path:
    """Write the page of a finished run again from its tables.

    Raises:
        RunFolderError: not a finished run of this version.
    """
    card = folder / "recipe.json"
    if not card.is_file():
        raise RunFolderError(
            f"{folder} is not a run folder.", "It has no recipe.json.", "Give a folder that `run` made."
        )
    values = read_json(card)["recipe"]
    recipe = study_of(values).model_validate(values)
    run = RunFolder(folder, recipe)
    tables = {path.stem: pl.read_parquet(path) for path in sorted((folder / "tables").glob("*.parquet"))}
    if not (folder / "results.json").is_file() or not tables:
        raise RunFolderError(f"The run in {folder} is not finished.", "It has no results.json.", "Run it again first.")
    if isinstance(recipe, HexacoRecipe):
        hexaco.write_page(run, recipe, tables)
    else:
        assert isinstance(recipe, Recipe)
        demo.write_page(run, recipe, tables)
    return run.report
