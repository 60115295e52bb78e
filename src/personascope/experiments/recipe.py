"""Recipes: one YAML file per study, checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from personascope.errors import RecipeError, nearest
from personascope.files import read_yaml, sha256_json

RECIPES = Path(__file__).parent / "recipes"


class Part(BaseModel):
    """A section of a recipe: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


PartType = TypeVar("PartType", bound=Part)


class ModelPart(Part):
    """Which model answers: see `models.load.load_model`. `label` is how tables call it; by default the name's end."""

    name: str = "smollm2"
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] = ""
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    device: str = "cpu"
    revision: str | None = None
    chat_template: Literal["plain"] | Path | None = None
    threads: Annotated[int, Field(ge=1)] | None = 2

    @model_validator(mode="before")
    @classmethod
    def _label_from_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and "label" not in values:
            end = Path(str(values.get("name", "smollm2"))).name
            return {**values, "label": re.sub(r"[^A-Za-z0-9._-]+", "-", end).strip(".-_") or "model"}
        return values


class HexacoPart(Part):
    """Which items are asked under which personas; `items` a file or null for the built-in bank, `form` a short one."""

    items: Path | None = None
    form: Literal["60", "200", "full"] | None = None
    facets: tuple[str, ...] | None = None
    per_key: Annotated[int, Field(ge=1)] | None = None
    personas: tuple[str, ...] = ("self", "meta", "helpful", "placebo", "evil")
    contrasts: tuple[tuple[str, str], ...] = (("meta", "self"), ("helpful", "self"), ("placebo", "self"))

    @model_validator(mode="after")
    def _contrasts_are_asked(self) -> HexacoPart:
        for name in (name for contrast in self.contrasts for name in contrast):
            if name not in self.personas:
                raise ValueError(f"contrast names persona {name!r}, which is not among `personas` {self.personas}")
        return self


class PreferencesPart(Part):
    """Which tasks are compared how often under which personas; the first persona is the baseline."""

    tasks: Path | None = None
    per_topic: Annotated[int, Field(ge=1)] | None = None
    personas: Annotated[tuple[str, ...], Field(min_length=2)] = (
        "assistant",
        "evil",
        "mathematician",
        "poet",
        "slacker",
    )
    degree: Annotated[int, Field(ge=2)] = 4
    prior_sd: Annotated[float, Field(gt=0)] = 3.0


class ActivationsPart(Part):
    """Which layers ("all" or a list) are kept at which positions."""

    layers: Literal["all"] | tuple[int, ...] = "all"
    positions: Annotated[tuple[str, ...], Field(min_length=1)] = ("answer", "eot", "mean:item")
    rows_per_shard: Annotated[int, Field(ge=1)] = 256


class ProbesPart(Part):
    """Folds and controls of every probe; `position` is where transfer and directions are taken."""

    position: str = "eot"
    folds: Annotated[int, Field(ge=3)] = 4
    shuffles: Annotated[int, Field(ge=10)] = 20
    directions: Annotated[int, Field(ge=5)] = 20


class SteeringPart(Part):
    """Sweep grid: layers, coefficients (fractions of the mean residual norm), prompts, random directions."""

    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (8, 13, 18, 23)
    coefficients: tuple[float, ...] = (-0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5)
    pairs: Annotated[int, Field(ge=2)] = 12
    facet: str = "patience"
    random_directions: Annotated[int, Field(ge=5)] = 5


class Study(Part):
    """What the recipes of all studies have: name, seed, bootstrap resamples, a file of further personas."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    study: str
    seed: int = 0
    resamples: Annotated[int, Field(ge=100)] = 2000
    personas: Path | None = None

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, as plain JSON."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """Content hash of the resolved recipe."""
        return sha256_json(self.resolved())


class Recipe(Study):
    """The whole chain on one model: profile, preferences, probes, transfer, steering."""

    study: Literal["demo"] = "demo"
    model: ModelPart = ModelPart()
    hexaco: HexacoPart = HexacoPart()
    preferences: PreferencesPart = PreferencesPart()
    activations: ActivationsPart = ActivationsPart()
    probes: ProbesPart = ProbesPart()
    steering: SteeringPart = SteeringPart()

    @model_validator(mode="after")
    def _probe_position_is_kept(self) -> Recipe:
        if self.probes.position not in self.activations.positions:
            raise ValueError(
                f"probes.position {self.probes.position!r} is not among activations.positions "
                f"{self.activations.positions}"
            )
        return self


class QuestionnairePart(HexacoPart):
    """As `HexacoPart`, with further wordings of each persona: the first is asked all items, the others a short form.

    `prior`: the first wording is also asked an item that says nothing.
    """

    personas: tuple[str, ...] = ("self", "meta", "helpful", "evil", "placebo")
    contrasts: tuple[tuple[str, str], ...] = (
        ("meta", "self"),
        ("helpful", "self"),
        ("evil", "self"),
        ("placebo", "self"),
        ("meta", "helpful"),
    )
    phrasings: Annotated[int, Field(ge=1)] = 3
    phrasing_form: Literal["60", "200", "full"] | None = "200"
    prior: bool = True


class HexacoRecipe(Study):
    """A questionnaire study: any number of models, the same items, personas and wordings."""

    study: Literal["hexaco"] = "hexaco"
    models: Annotated[tuple[ModelPart, ...], Field(min_length=1)] = (ModelPart(),)
    hexaco: QuestionnairePart = QuestionnairePart()
    rows_per_shard: Annotated[int, Field(ge=1)] = 1024

    @model_validator(mode="after")
    def _models_have_names_of_their_own(self) -> HexacoRecipe:
        labels = [model.label for model in self.models]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two models would both be called {label!r}; give one of them a `label`")
        return self


STUDIES: dict[str, type[Study]] = {"demo": Recipe, "hexaco": HexacoRecipe}


def recipe_names() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name_or_path: str) -> Study:
    """Load a packaged recipe by name, or a YAML file by path.

    Relative paths inside a recipe file are taken from the file's own folder.

    Raises:
        RecipeError: no such recipe, an unknown key (the nearest name is offered), a value out of range.
        FileFormatError: not valid YAML.
    """
    path = Path(name_or_path)
    is_path = path.suffix in {".yaml", ".yml"} or path.exists()
    if not is_path:
        path = RECIPES / f"{name_or_path}.yaml"
        if name_or_path not in recipe_names():
            raise RecipeError(
                f"No recipe named {name_or_path!r}.{nearest(name_or_path, recipe_names())}",
                f"Packaged recipes: {', '.join(recipe_names())}.",
                "Give one of these names, or the path of a .yaml file.",
            )
    if not path.is_file():
        raise RecipeError(f"There is no recipe file {path}.", "", "Check the path.")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys to values.", f"Found {type(values).__name__}.", "")
    values.setdefault("name", path.stem)
    try:
        return _absolute(study_of(values).model_validate(values), path.parent)
    except ValidationError as error:
        raise _explained(path, study_of(values), error) from error


def study_of(values: Mapping[str, Any]) -> type[Study]:
    """The kind of recipe that these settings are of.

    Raises:
        RecipeError: there is no such study.
    """
    name = values.get("study", "demo")
    if not isinstance(name, str) or name not in STUDIES:
        raise RecipeError(
            f"Unknown study {name!r}.{nearest(str(name), STUDIES)}", f"Studies: {', '.join(STUDIES)}.", "Correct it."
        )
    return STUDIES[name]


def _absolute(part: PartType, folder: Path) -> PartType:
    """Relative paths, in every section, are taken from the recipe's own folder."""

    def at(value: Any) -> Any:
        if isinstance(value, Path):
            return (folder / value).resolve()
        if isinstance(value, Part):
            return _absolute(value, folder)
        return tuple(map(at, value)) if isinstance(value, tuple) else value

    return part.model_copy(update={name: at(value) for name, value in part})


def _explained(path: Path, study: type[Study], error: ValidationError) -> RecipeError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "(whole recipe)"
    if first["type"] == "extra_forbidden":
        known = _fields_at(study, first["loc"][:-1])
        key = str(first["loc"][-1])
        return RecipeError(
            f"{path}: unknown key {where!r}.{nearest(key, known)}",
            f"Keys here are {', '.join(known)}.",
            "Correct the key or remove it.",
        )
    return RecipeError(
        f"{path}, key {where!r}: {first['msg']}.", f"The value was {str(first.get('input'))[:80]!r}.", "Correct it."
    )


def _fields_at(study: type[Study], location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = study
    for part in location:
        if isinstance(part, int):  # place in a list, whose field was stepped into before
            continue
        annotation = model.model_fields[part].annotation
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return list(model.model_fields)
