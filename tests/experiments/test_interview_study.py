"""The interview study on synthetic people and on a table by path; the live interview from the command line."""

from __future__ import annotations

import gzip
import json

import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError, RecipeError, RunFolderError
from personascope.experiments.interview_study import estimate_interviews, load_interviewed
from personascope.experiments.live_interview import model_respondent, simulated_respondent
from personascope.experiments.preview import preview
from personascope.experiments.recipe import load_recipe
from personascope.experiments.recipe_interview import InterviewRecipe, PeoplePart
from personascope.experiments.studies import run_study
from personascope.files import read_json
from personascope.instruments.items import load_items
from personascope.interviews.population import draw_people, synthetic_population


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def small(**change) -> InterviewRecipe:
    part = PeoplePart(per_key=1, n=150)
    settings = {"people": part, "interviews": 20, "questions": 10, "at": (0, 5, 10), "traits": 4, "ahead": 2}
    return InterviewRecipe(name="small", resamples=100, **(settings | change))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    run_study(small(), folder, silent)
    return folder


def table(folder, name) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"interview_{name}.parquet")


def test_every_planner_has_both_measures_and_the_bound_only_one(finished):
    found, predicted = table(finished, "identification"), table(finished, "prediction")
    planners = set(found["planner"])
    assert {"random", "fixed", "static", "information", "information, two steps", "hindsight"} <= planners
    assert {"held-out items", "D-optimal", "largest variance"} <= planners
    assert set(predicted["planner"]) == planners - {"hindsight"}
    assert set(predicted["predictor"]) == {"twins", "gaussian", "graded response"}
    assert found.filter(questions=0)["log2_p"].to_numpy() == pytest.approx(-np.log2(120), abs=1e-4)
    assert (found["low"] <= found["log2_p"]).all()
    results = read_json(finished / "results.json")
    assert set(results) == {"identification", "prediction"}
    assert all({"name", "value", "low", "high", "n"} <= set(record) for record in results["prediction"])
    page = (finished / "report.html").read_text()
    assert "What to ask next" in page
    assert "prefix reuse" not in page  # no model was run


def test_a_finished_study_is_not_run_again_and_another_is_refused(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert run_study(small(), finished, silent) == finished / "report.html"
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(RunFolderError, match=r"recipe\.seed"):
        run_study(small(seed=1), finished, silent)


def test_people_and_items_are_kept_apart():
    asked = load_interviewed(small())
    assert len(asked.known.respondents) == 120
    assert not set(asked.known.respondents) & set(asked.new.respondents)
    assert len(asked.held_out) == 12
    again = load_interviewed(small())
    assert again.held_out == asked.held_out
    assert np.array_equal(again.new.values, asked.new.values)


def test_a_table_by_path_is_asked(tmp_path):
    bank = load_items().subset(["patience", "modesty", "fairness"], 3)
    values = draw_people(synthetic_population(bank), 90, 0)[1]
    rows = ["\t".join(["who", *(f"{item.id}A" for item in bank.items), "secs"])]
    rows += ["\t".join([f"r{n}", *map(str, row), "7"]) for n, row in enumerate(values)]
    with gzip.open(tmp_path / "people.tsv.gz", "wt") as file:
        file.write("\n".join(rows))
    (tmp_path / "mine.yaml").write_text(
        "study: interview\nresamples: 100\ninterviews: 10\nquestions: 5\nat: [0, 5]\ntraits: null\nahead: null\n"
        "people: {responses: people.tsv.gz, columns: '*A', id_column: who, options: 5}\n"
    )
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    run_study(recipe, tmp_path / "run", silent)
    found = table(tmp_path / "run", "prediction")
    assert set(found["predictor"]) == {"twins", "gaussian"}
    asked = load_interviewed(recipe)
    assert asked.known.items == tuple(f"{item.id}A" for item in bank.items)
    assert [line.rows for line in estimate_interviews(recipe)] == [50, 50]
    assert read_json(tmp_path / "run" / "recipe.json")["plans"]["people"]["held_out"].count(",") == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"questions": 50, "at": (0, 50)}, "150 people and 50 items"),
        ({"people": PeoplePart(per_key=1, n=60), "new": 0.01}, "60 people and 50 items: 1 new"),
    ],
)
def test_too_few_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        load_interviewed(small(**change))


def test_what_is_wrong_in_a_recipe_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n2,1\n")
    with pytest.raises(DataError, match=r"no column fits 'Q\*'"):
        load_interviewed(small(people=PeoplePart(responses=tmp_path / "a.csv", columns="Q*")))
    with pytest.raises(ValueError, match="must rise"):
        small(at=(5, 2))
    with pytest.raises(RecipeError, match="reads no tokens"):
        preview(small())


def test_a_simulated_interview_on_the_command_line_goes_on_and_ends_near_the_truth(shell, tmp_path):
    file = tmp_path / "mine.json"
    code, out, _ = shell("interview", "simulated", "--questions", "4", "--out", str(file))
    assert code == 0
    assert out.count("Honesty-Humility") == 4
    code, out, _ = shell("interview", "simulated", "--questions", "30", "--out", str(file))
    assert "4 answers in" in out
    assert out.count("Honesty-Humility") == 26
    assert "◇" in out
    answers = json.loads(file.read_text())["answers"]
    assert len(answers) == 30
    respond, _ = simulated_respondent(load_items(), 5, 0)
    by_id = {item.id: item for item in load_items().items}
    assert all(respond(by_id[one["item"]]) == one["answer"] for one in answers)
    code, _, err = shell("interview", "person", "--out", str(file))
    assert code == 2
    assert "another respondent" in err


def test_a_person_answers_takes_back_and_stops(shell, tmp_path, monkeypatch):
    from personascope import cli_interview

    given = iter(["3", "nine", "b", "5", "2", "q"])
    monkeypatch.setattr(cli_interview.console, "input", lambda _prompt: next(given))
    file = tmp_path / "mine.json"
    code, out, _ = shell("interview", "--out", str(file))
    assert code == 0
    assert "1 to 5, b or q, please." in out
    assert [one["answer"] for one in json.loads(file.read_text())["answers"]] == [5, 2]

    def gone(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_interview.console, "input", gone)
    before = file.read_bytes()
    code, _, err = shell("interview", "--out", str(file))
    assert code == 130
    assert "Stopped" in err
    assert file.read_bytes() == before


@pytest.mark.model
def test_a_model_persona_answers(random_model):
    answer = model_respondent(str(random_model), "evil", 5)
    items = load_items().subset(["patience"], 2).items
    given = [answer(item) for item in items]
    assert all(1 <= option <= 5 for option in given)
    assert given == [answer(item) for item in items]
