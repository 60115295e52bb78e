"""What a study would read and steer: the same prompts and positions as its plans, found wrong before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from html import unescape
from pathlib import Path

import pytest
import yaml

from personascope.errors import SpanError
from personascope.experiments import plans
from personascope.experiments import preview as previews
from personascope.experiments.asking import demo_plans, load_material
from personascope.experiments.demo import load_recipe_model
from personascope.experiments.preview import preview
from personascope.experiments.recipe import STUDIES, Recipe, load_recipe
from personascope.experiments.recipe_bases import Study

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """The same small model serves all tests here; each load would check it anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "load_model", cache(plans.load_model))
        yield


@pytest.fixture(scope="module")
def demo_file(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`demo_file(activations={...})`: the demo in miniature on the random model, with changed sections, as a file."""

    def write(**changes: dict[str, object]) -> Path:
        values = yaml.safe_load((HERE / "tiny.yaml").read_text())
        values |= {"model": {"name": str(random_model), "label": "random"}}
        values["activations"] |= {"layers": [1, 3]}
        values["steering"] |= {"layers": [1, 3]}
        for section, own in changes.items():
            values[section] |= own
        path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def test_every_study_has_a_preview() -> None:
    assert set(previews._PREVIEW) == set(STUDIES.values())


@pytest.mark.model
def test_the_demo_shows_its_plans_and_what_it_steers(demo_file) -> None:
    recipe = load_recipe(str(demo_file()))
    assert isinstance(recipe, Recipe)
    *asked, choices, items = preview(recipe, rows=3)
    run = demo_plans(load_recipe_model(recipe), load_material(recipe), recipe.activations)
    assert [part.title for part in asked] == [f"{plan.name}: 3 of {len(plan.rows)} prompts" for plan in run]
    for part, plan in zip(asked, run, strict=True):
        assert part.prompts == tuple(row.prompt for row in plan.rows[:3])
        assert part.names == tuple(row.id for row in plan.rows[:3])
        assert set(part.read) == {*plan.positions, *(["answer"] if plan.options else [])}
        assert ("layers 1, 3" in part.note, "labels" in part.note) == (bool(plan.layers), bool(plan.options))
        assert part.steered == ()

    assert len(choices.prompts) == len(items.prompts) == 3
    for prompt, tokens, at in zip(choices.prompts, choices.tokens, map(choices.steered_at, range(3)), strict=True):
        for mark, span in (("+", "task_a"), ("-", "task_b")):
            marked = [index for index, own in enumerate(at) if [one.mark for one in own] == [mark]]
            assert marked == list(range(*prompt.spans[span]))
        assert "".join(tokens) == prompt.text
    cells = choices.frame().explode("steered")["steered"].drop_nulls().unique().sort().to_list()
    assert cells == [f"layer {layer} mean:task_{task}" for layer in (1, 3) for task in ("a add +", "b add -")]
    assert [one.goes_on for one in (*choices.steered, *items.steered)] == [False, False, True]
    first_steered = [next(index for index, own in enumerate(items.steered_at(row)) if own) for row in range(3)]
    assert first_steered == [prompt.spans["item"][0] for prompt in items.prompts]
    assert all(items.steered_at(row)[-1] for row in range(3))


@pytest.mark.model
@pytest.mark.parametrize(
    ("study", "parts"),
    [
        ("preferences", ["choices", "choices-wording-2", "stated_ratings", "written choices"]),
        ("layer-sweep", ["choices", "tasks", "hexaco", "twin, choices", "twin, tasks"]),
        ("persona-transfer", ["choices", "tasks", "hexaco"]),
    ],
)
def test_other_studies_show_every_part(small_recipe, study: str, parts: list[str]) -> None:
    shown = preview(small_recipe(study))
    assert [part.title.partition(":")[0] for part in shown] == parts
    for part in shown:
        assert len(part.prompts) == 2 and part.steered == ()
        assert ("tasks" not in part.title) or part.read[0] == "eot"
        assert ("written" in part.title) == (part.read == ())


@pytest.mark.model
def test_induced_shifts_show_designs_and_stimuli(small_recipe) -> None:
    titles = [part.title.partition(":")[0] for part in preview(small_recipe("induced-shifts"), rows=1)]
    assert titles[:2] == ["choices", "tasks"]
    for word in ("targeted", "biography", "politics"):
        assert any(word in title for title in titles[2:])


@pytest.mark.model
def test_questionnaires_show_every_model_and_way_of_asking(random_model, tmp_path: Path) -> None:
    part = {"facets": ["patience"], "per_key": 1, "personas": ["self", "meta"], "contrasts": [], "phrasings": 2}
    part |= {"variants": [{"options": 7}], "sampled": {}}
    models = [{"name": str(random_model), "label": label} for label in ("one", "two")]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"study": "hexaco", "models": models, "hexaco": part}))
    shown = preview(load_recipe(str(path)), rows=1)
    titles = [part.title.partition(":")[0] for part in shown]
    assert titles == [f"{label}{way}" for label in ("one", "two") for way in ("", "+7-digits", ", sampled answers")]
    assert [part.read for part in shown] == [("answer",), ("answer",), ()] * 2


@pytest.fixture
def steering_recipe(random_model: Path, tmp_path: Path) -> Callable[..., Study]:
    """`steering_recipe("steering-sweep", push={...})`: a study that steers, in miniature on the random model."""

    def load(study: str, **sections: object) -> Study:
        preferences = {"per_topic": 4, "personas": ["assistant", "evil"], "degree": 2}
        kept = {"activations": {"layers": [1, 2, 3], "positions": ["mean:item"]}, "preferences": preferences}
        values = {"study": study, "model": {"name": str(random_model), "label": "random"}, **sections}
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(values if study == "facet-steering" else kept | values))
        return load_recipe(str(path))

    return load


@pytest.mark.model
def test_the_steering_study_shows_every_kind_of_push(steering_recipe) -> None:
    push = {"layers": [1, 2], "layer": 2, "pairs": 2, "other_layer": 3}
    shown = preview(steering_recipe("steering-sweep", push=push, necessity={"patched_layers": [0, 3]}))
    done = {part.title.partition(":")[0]: [one.cells() for one in part.steered] for part in shown if part.steered}
    assert done == {
        "sweep-contrast": [
            ["layer 1 mean:task_a add +", "layer 2 mean:task_a add +"],
            ["layer 1 mean:task_b add -", "layer 2 mean:task_b add -"],
        ],
        "sweep-first": [["layer 2 mean:task_a add +"]],
        "sweep-second": [["layer 2 mean:task_b add +"]],
        "written choices under steering": [["layer 2 mean:task_a add +"], ["layer 2 mean:task_b add -"]],
        "open answers": [["layer 2 all add +"]],
        "messages, critical span": [["layer 2 mean:critical add +"]],
        "messages, neutral span": [["layer 2 mean:neutral add +"]],
        "ablation": [["layer 2 from:task_a project out"]],
        "patching at from": [["layer 0 from:eot replace", "layer 3 from:eot replace"]],
        "patching at eot": [["layer 0 eot replace", "layer 3 eot replace"]],
    }
    assert [part.title.partition(":")[0] for part in shown if not part.steered] == ["choices", "tasks"]
    onward = {part.title.partition(":")[0] for part in shown if any(one.goes_on for one in part.steered)}
    assert onward == {"open answers", "ablation"}


@pytest.mark.model
def test_the_other_studies_that_steer_show_whom_and_what(steering_recipe) -> None:
    push = {"layers": [2], "layer": 2, "pairs": 2, "other_layer": None}
    crossed = preview(steering_recipe("cross-persona-steering", push=push))
    assert [part.title.partition(":")[0] for part in crossed] == ["choices", "tasks", "sweep-assistant", "sweep-evil"]
    assert all([one.mark for one in part.steered] == ["+", "-"] for part in crossed[2:])

    asked = {"facets": ["patience", "sincerity"], "per_key": 4, "personas": ["self", "meta"], "contrasts": []}
    facets = preview(steering_recipe("facet-steering", layer=3, hexaco=asked), rows=1)
    assert [part.title.partition(":")[0] for part in facets] == ["hexaco", "sweep-facets", "sweep-patience"]
    assert facets[0].read[0] == "mean:item"
    assert [part.frame()["steered"].explode().drop_nulls().unique().to_list() for part in facets] == [
        [],
        *[["layer 3 from:item add +"]] * 2,
    ]


@pytest.mark.model
def test_the_study_that_trains_shows_what_is_asked_taught_and_steered(random_model, tmp_path) -> None:
    values = yaml.safe_load((HERE / "tiny_ideal_self.yaml").read_text())
    values |= {"model": {"name": str(random_model), "label": "random"}, "layers": [1, 2]}
    values["comparison"] = {"layer": 2, "where": "from:item", "coefficients": [0.1, 0.2]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    shown = preview(load_recipe(str(tmp_path / "mine.yaml")), rows=1)
    assert [part.title.partition(":")[0] for part in shown] == ["base", "fits-base", "test items"]
    assert [one.cells() for one in shown[-1].steered] == [["layer 2 from:item add +"]]
    assert "on which alone the loss falls" in shown[-1].note


@pytest.mark.model
def test_a_position_that_no_prompt_has_is_found_before_anything_runs(demo_file) -> None:
    recipe = load_recipe(str(demo_file(activations={"positions": ["eot", "mean:itm"]})))
    with pytest.raises(SpanError, match="Did you mean 'item'"):
        preview(recipe)


@pytest.mark.model
def test_the_command_shows_tokens_or_writes_a_page(shell, demo_file, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = shell("preview", str(demo_file()), "--rows", "1")
    assert code == 0
    for words in ("hexaco: 1 of 48 prompts", "[+ ·", "[- ·", "{eot: <|im_end|> }", "steered at from:item (add +)"):
        assert words in out
    assert out.count("Prompt 0") == 5 and "Prompt 1" not in out
    assert list(tmp_path.iterdir()) == []

    code, out, _ = shell("preview", str(demo_file()), "--rows", "1", "--html", "shown/page.html")
    assert code == 0 and "page.html" in out and "Prompt 0" not in out
    html = unescape((tmp_path / "shown" / "page.html").read_text(encoding="utf-8"))
    assert "What tiny reads and steers" in html and html.count('<div class="prompt">') == 5


@pytest.mark.parametrize("words", [("dmeo",), ("demo", "--rows", "0"), ("demo", "--rows", "x")])
def test_a_wrong_command_ends_with_code_2(shell, words: tuple[str, ...]) -> None:
    code, out, err = shell("preview", *words)
    assert code == 2
    assert "Traceback" not in out + err
