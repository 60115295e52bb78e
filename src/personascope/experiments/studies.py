"""Which study a recipe is for: running it, planning it, writing its page again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from personascope.errors import RunFolderError
from personascope.experiments import (
    cross_steering,
    demo,
    facet_steering,
    hexaco,
    ideal_self,
    induced_shifts,
    interview_study,
    layer_sweep,
    organism,
    persona_transfer,
    preference_study,
    responder_study,
    steering_sweep,
)
from personascope.experiments.estimate import (
    PlanLine,
    estimate_hexaco,
    estimate_preferences,
    estimate_probes,
    estimate_shifts,
)
from personascope.experiments.estimate_demo import estimate_demo
from personascope.experiments.estimate_organism import estimate_organism
from personascope.experiments.estimate_responder import estimate_responder
from personascope.experiments.estimate_steering import (
    estimate_cross_steering,
    estimate_facet_steering,
    estimate_steering_sweep,
)
from personascope.experiments.estimate_tuning import estimate_ideal_self
from personascope.experiments.pages import write_page
from personascope.experiments.recipe import (
    HexacoRecipe,
    LayerSweepRecipe,
    PreferencesRecipe,
    Recipe,
    ShiftsRecipe,
    TransferRecipe,
    study_of,
)
from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_interview import InterviewRecipe
from personascope.experiments.recipe_organism import OrganismRecipe
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.recipe_steering import CrossSteeringRecipe, FacetSteeringRecipe, SteeringSweepRecipe
from personascope.experiments.recipe_tuning import IdealSelfRecipe
from personascope.experiments.runs import RunFolder
from personascope.files import read_json

Progress = Callable[[str, int, int], None]


_RUN: dict[type[Study], Callable[..., Path]] = {
    Recipe: demo.run_demo,
    HexacoRecipe: hexaco.run_hexaco,
    PreferencesRecipe: preference_study.run_preferences,
    LayerSweepRecipe: layer_sweep.run_layer_sweep,
    TransferRecipe: persona_transfer.run_transfer,
    ShiftsRecipe: induced_shifts.run_shifts,
    SteeringSweepRecipe: steering_sweep.run_steering_sweep,
    CrossSteeringRecipe: cross_steering.run_cross_steering,
    FacetSteeringRecipe: facet_steering.run_facet_steering,
    IdealSelfRecipe: ideal_self.run_ideal_self,
    OrganismRecipe: organism.run_organism,
    InterviewRecipe: interview_study.run_interviews,
    ResponderRecipe: responder_study.run_responder,
}
_ESTIMATE: dict[type[Study], Callable[..., list[PlanLine]]] = {
    Recipe: estimate_demo,
    HexacoRecipe: estimate_hexaco,
    PreferencesRecipe: estimate_preferences,
    LayerSweepRecipe: estimate_probes,
    TransferRecipe: estimate_probes,
    ShiftsRecipe: estimate_shifts,
    SteeringSweepRecipe: estimate_steering_sweep,
    CrossSteeringRecipe: estimate_cross_steering,
    FacetSteeringRecipe: estimate_facet_steering,
    IdealSelfRecipe: estimate_ideal_self,
    OrganismRecipe: estimate_organism,
    InterviewRecipe: interview_study.estimate_interviews,
    ResponderRecipe: estimate_responder,
}


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
    return _RUN[type(recipe)](recipe, folder, progress, fork=fork)


def estimate(recipe: Study) -> list[PlanLine]:
    """Plan every part of a study without computing it; only a few prompts are run, for the timing.

    Raises:
        PersonascopeError: everything that `run_study` would find wrong before its first row.
    """
    return _ESTIMATE[type(recipe)](recipe)


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
    write_page(run, recipe, tables)
    return run.report
