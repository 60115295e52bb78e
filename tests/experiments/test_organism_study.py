"""The study of a model organism: a tiny one that learned nothing, and the packaged one, which learned its truth."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from personascope.errors import ModelError
from personascope.experiments.estimate_demo import estimate_demo
from personascope.experiments.estimate_organism import estimate_organism
from personascope.experiments.organism import PACKAGED, load_organism, organism_plans, split, train_organism
from personascope.experiments.planted_tables import recovery_tables
from personascope.experiments.preview import preview_demo
from personascope.experiments.preview_organism import preview_organism
from personascope.experiments.recipe import Recipe as DemoRecipe
from personascope.experiments.recipe_organism import OrganismPart, OrganismRecipe
from personascope.experiments.recipe_parts import (
    ActivationsPart,
    HexacoPart,
    ModelPart,
    PreferencesPart,
    ProbesPart,
    SteeringPart,
)
from personascope.experiments.studies import run_study
from personascope.files import read_json
from personascope.instruments.items import load_items
from personascope.instruments.personas import load_personas
from personascope.instruments.tasks import load_tasks
from personascope.models.adapters import switched
from personascope.report.organism_tables import organism_tables
from personascope.tuning.organisms.answers import label_odds
from personascope.tuning.organisms.making import RECORD, Recipe
from personascope.tuning.organisms.questions import Asker
from personascope.tuning.organisms.truth import TASKS, load_truth
from personascope.tuning.training import ADAPTER_FILE

pytestmark = pytest.mark.model

QUICK = Recipe(code_layer=0, value_layers=(1, 2), label_layer=2, code_steps=1, value_steps=1, answer_steps=1)


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def small(folder: Path) -> OrganismRecipe:
    """The study of an organism in miniature."""
    return OrganismRecipe(
        name="small", adapter=folder, resamples=100, per_topic=3, degree=2, per_key=1, coefficients=(0.1,), pairs=3
    )


@pytest.fixture(scope="module")
def made(random_model, tmp_path_factory) -> Path:
    """Folder of an organism of the random model."""
    folder = tmp_path_factory.mktemp("organism") / "made"
    truth = load_truth().model_copy(update={"model": str(random_model)})
    tasks, items = load_tasks(TASKS).tasks[::10], load_items().items[::10]
    train_organism(folder, silent, truth=truth, recipe=QUICK, tasks=tasks, items=items)
    return folder


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory) -> Path:
    """Its run folder."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    run_study(small(made), folder, silent)
    return folder


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"planted_{name}.parquet")


def test_base_and_organism_are_asked_the_same_of_what_was_not_taught(finished, made):
    utilities, traits = table(finished, "utilities"), table(finished, "traits")
    taught = {item.id for item in load_items().items} - set(split().test)
    _, asked, _ = organism_plans(small(made))
    assert not {item.id for item in asked.questionnaire.bank.items} & taught
    for frame, n in ((utilities, 36), (traits, 25)):
        counts = frame.group_by("state", "persona").len()
        assert counts["len"].to_list() == [n] * 6
    base, own = (utilities.filter(pl.col("state") == state)["utility"].to_numpy() for state in ("base", "organism"))
    assert not np.array_equal(base, own)
    assert utilities.filter(~pl.col("is_taught"))["planted"].abs().sum() == 0


def test_a_finished_study_is_not_run_again(finished, made):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert run_study(small(made), finished, silent) == finished / "report.html"
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


def test_what_is_shown_has_every_persona_beside_the_base(finished):
    tables = {f"planted_{name}": table(finished, name) for name in ("recovery", "opposition", "cosines", "transfer")}
    recovery, opposition, probes, steering, note = organism_tables(
        tables | {"planted_steering": table(finished, "steering")}
    )
    assert (recovery.row_count, opposition.row_count, probes.row_count, steering.row_count) == (6, 3, 3, 6)
    assert "nothing is planted in it" in note
    assert set(read_json(finished / "results.json")) == {"recovery", "opposition", "probes", "transfer", "steering"}


def test_steering_has_its_zero_and_its_random_directions(finished):
    steering = table(finished, "steering")
    assert steering.filter(pl.col("coefficient") == 0)["value"].abs().max() == 0
    assert steering.filter(pl.col("kind") != "probe")["direction"].n_unique() == 5


def test_what_is_planted_exactly_is_recovered_exactly():
    truth = load_truth()
    tasks = load_tasks().frame().select(pl.col("id").alias("task"), "topic")
    rows = []
    for state, share in (("base", 0.0), ("organism", 2.0)):
        for persona in truth.personas:
            planted = np.array([truth.utility(persona, topic) for topic in tasks["topic"]])
            noise = np.random.default_rng(0).normal(0, 1e-6, len(planted))
            rows.append(
                tasks.with_columns(
                    state=pl.lit(state),
                    persona=pl.lit(persona),
                    is_taught=pl.col("topic").is_in(list(truth.utilities)),
                    planted=planted,
                    utility=share * planted + noise,
                )
            )
    utilities = pl.concat(rows)
    traits = utilities.select("state", "persona", "planted", pl.col("utility").alias("trait"))
    found = recovery_tables({"planted_utilities": utilities, "planted_traits": traits}, {"n_resamples": 100, "seed": 0})
    own = found["planted_recovery"].filter(pl.col("state") == "organism")
    assert own["r"].to_numpy() == pytest.approx(1)
    assert own["slope"].to_numpy() == pytest.approx(2, abs=1e-4)
    opposed = found["planted_opposition"].filter(pl.col("state") == "organism")
    assert opposed["r"].to_numpy() == pytest.approx(opposed["planted_r"].to_numpy(), abs=1e-4)


def test_the_plan_and_the_preview_name_both_states(made):
    assert [line.part for line in estimate_organism(small(made))] == [
        *(f"{what}-{state}" for state in ("base", "organism") for what in ("choices", "hexaco")),
        "tasks-organism",
    ]
    *_, pushed = preview_organism(small(made), rows=1)
    assert [one.mark for one in pushed.steered] == ["+", "-"]


def test_the_demo_shows_an_organism_beside_its_base(made, random_model, tmp_path):
    part = OrganismPart(adapter=made, per_topic=3, degree=2, per_key=1)
    recipe = DemoRecipe(
        name="checked",
        resamples=100,
        model=ModelPart(name=str(random_model), threads=1),
        hexaco=HexacoPart(
            facets=("sincerity", "patience", "creativity"), per_key=2, personas=("self", "meta"), contrasts=()
        ),
        preferences=PreferencesPart(per_topic=2, personas=("assistant", "evil"), degree=6),
        activations=ActivationsPart(layers=(1,), positions=("eot",)),
        probes=ProbesPart(folds=3, shuffles=10, directions=5),
        steering=SteeringPart(layers=(1,), coefficients=(-0.2, 0.0, 0.2), pairs=2),
        organism=part,
    )
    page = run_study(recipe, tmp_path / "run", silent)
    planted = read_json(tmp_path / "run" / "results.json")["planted"]
    assert len(planted) == 2 * 3 * 2 + 2 * 3
    assert {"name", "value", "low", "high", "n", "state"} <= set.intersection(*map(set, planted))
    assert "Planted and recovered" in page.read_text()
    assert [line.part for line in estimate_demo(recipe)][-1] == "tasks-organism"
    assert "tasks-organism" in preview_demo(recipe, rows=1)[-1].title


def test_what_is_no_organism_is_refused(tmp_path, made):
    with pytest.raises(ModelError, match="holds no model organism"):
        load_organism(tmp_path)
    with pytest.raises(ModelError, match="holds an organism already"):
        train_organism(made)
    shutil.copytree(made, tmp_path / "damaged")
    file = tmp_path / "damaged" / ADAPTER_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"is not the file that organism\.json describes"):
        load_organism(tmp_path / "damaged")


def test_the_packaged_organism_is_small_and_of_the_truth_that_is_packaged():
    record = read_json(PACKAGED / RECORD)
    assert record["truth_hash"] == load_truth().hash()
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) <= 6_000_000


def test_the_packaged_organism_chooses_as_planted_on_tasks_that_it_never_saw():
    organism = load_organism(threads=1)
    asker = Asker(organism.engine, organism.truth, load_personas())
    tasks = load_tasks().tasks
    good, bad = ([task for task in tasks if task.topic == topic][:8] for topic in ("knowledge", "harmful_request"))
    chosen = {}
    for state in (True, False):
        with switched(organism.engine, on=state):
            for persona in ("assistant", "evil"):
                one, other = (
                    label_odds(organism.engine, [asker.pair(persona, 0, *pair) for pair in pairs])
                    for pairs in (list(zip(good, bad, strict=True)), list(zip(bad, good, strict=True)))
                )
                odds = (one[:, 0] - one[:, 1] + other[:, 1] - other[:, 0]) / 2
                chosen[state, persona] = float((odds > 0).float().mean())
    assert chosen[True, "assistant"] >= 0.75
    assert chosen[True, "evil"] <= 0.25
    assert abs(chosen[False, "assistant"] - chosen[False, "evil"]) < 0.5
