"""Recipes: what is refused, and with which help."""

from __future__ import annotations

from pathlib import Path

import pytest

from personascope.errors import DataError, FileFormatError, RecipeError
from personascope.experiments.asking import load_material
from personascope.experiments.recipe import Recipe, load_recipe, recipe_names


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_packaged_recipes_load() -> None:
    assert "demo" in recipe_names()
    for name in recipe_names():
        assert load_recipe(name).name == name


def test_the_shortest_recipe_is_all_defaults(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, "name: mine\n")) == Recipe(name="mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: {name: smollm2}", r"unknown key 'modle'\. Did you mean 'model'\?"),
        ("hexaco: {persona: [self]}", r"unknown key 'hexaco\.persona'\. Did you mean 'personas'\?"),
        ("probes: {folds: 2}", r"key 'probes\.folds'"),
        ("model: {dtype: float8}", r"key 'model\.dtype'"),
        ("name: ../../etc", r"key 'name'"),
        ("hexaco: {personas: [self], contrasts: [[meta, self]]}", "not among `personas`"),
        ("probes: {position: last}", "not among activations.positions"),
        ("- a list", "a recipe is a mapping"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, text))


def test_broken_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="line 2"):
        load_recipe(written(tmp_path, "name: a\n  seed: : 1\n"))


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'demo'"):
        load_recipe("dmeo")


def test_what_would_stop_the_last_stage_is_found_before_the_first() -> None:
    with pytest.raises(DataError, match="2 facets cannot fill 4 folds"):
        load_material(Recipe.model_validate({"name": "a", "hexaco": {"facets": ["patience", "modesty"]}}))
    with pytest.raises(DataError, match="no facet 'patience'"):
        facets = ["modesty", "fairness", "anxiety", "prudence"]
        load_material(Recipe.model_validate({"name": "a", "hexaco": {"facets": facets}}))
    with pytest.raises(DataError, match="steered facet 'patience' has 2 items"):
        load_material(Recipe.model_validate({"name": "a", "hexaco": {"per_key": 1}}))


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("id,facet,key,text\n")
    assert load_recipe(written(tmp_path, "hexaco: {items: mine.csv}")).hexaco.items == tmp_path / "mine.csv"
