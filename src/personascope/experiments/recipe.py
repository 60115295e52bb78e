"""Recipes: one YAML file per study, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from personascope.errors import RecipeError, nearest
from personascope.experiments.recipe_bases import ChoiceStudy, ProbeStudy, Study
from personascope.experiments.recipe_interview import InterviewRecipe
from personascope.experiments.recipe_organism import OrganismPart, OrganismRecipe
from personascope.experiments.recipe_parts import (
    SPAN,
    ElicitationPart,
    HexacoPart,
    ModelPart,
    Part,
    PartType,
    QuestionnairePart,
    SteeringPart,
    WrittenChoicesPart,
)
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.recipe_steering import CrossSteeringRecipe, FacetSteeringRecipe, SteeringSweepRecipe
from personascope.experiments.recipe_tuning import IdealSelfRecipe
from personascope.files import read_yaml

Design = Literal["targeted", "conflict", "opposing", "biography"]
Turn = Literal["bare", "say", "reply", "reply-open"]
RECIPES = Path(__file__).parent / "recipes"


class Recipe(ProbeStudy):
    """The whole chain on one model: profile, preferences, probes, transfer, steering.

    `organism`: the chain on a model whose preferences and traits are known; null leaves it out.
    """

    study: Literal["demo"] = "demo"
    hexaco: HexacoPart = HexacoPart()
    steering: SteeringPart = SteeringPart()
    organism: OrganismPart | None = None


class PreferencesRecipe(ChoiceStudy):
    """What a model prefers under many personas, how far that can be trusted, and how the personas lie to each other."""

    study: Literal["preferences"] = "preferences"
    preferences: ElicitationPart = ElicitationPart()
    ratings: bool = True
    written: WrittenChoicesPart | None = None
    rows_per_shard: Annotated[int, Field(ge=1)] = 1024


class LayerSweepRecipe(ProbeStudy):
    """Where one persona's preferences are written: every layer and position, with every control.

    `hexaco`: the same for facets, and the angles between both; null leaves them out. `other_model`: whose utilities
    this model's activations are asked to predict too, and the other way round.
    """

    study: Literal["layer-sweep"] = "layer-sweep"
    preferences: ElicitationPart = ElicitationPart(personas=("assistant",))
    hexaco: HexacoPart | None = HexacoPart(form="200", contrasts=(), personas=("self", "evil"))
    other_model: ModelPart | None = None
    removals: Annotated[int, Field(ge=0)] = 3


class TransferRecipe(ProbeStudy):
    """Whether personas share it: probes of each persona on every other, with what sharing must be told from."""

    study: Literal["persona-transfer"] = "persona-transfer"
    preferences: ElicitationPart = ElicitationPart(personas=SPAN)
    hexaco: HexacoPart | None = HexacoPart(form="200", contrasts=(), personas=("self", "meta", "helpful", "evil"))


class ShiftsRecipe(ProbeStudy):
    """Whether a probe follows preferences when a prompt moves them, and what it makes of true, harmful, left and right.

    `matched`: at most so many groups of conditions that differ in their polarity only, of each design; null takes all.
    `shift_degree`: how many others each task of a design is compared with. `subjects`, `shift_tasks`, `biographies`:
    files in place of the built-in pieces, the last about tasks of `preferences.tasks`. `stimuli`: names of built-in
    sets, or files.
    """

    study: Literal["induced-shifts"] = "induced-shifts"
    preferences: ElicitationPart = ElicitationPart(personas=("assistant",))
    designs: Annotated[tuple[Design, ...], Field(min_length=1)] = get_args(Design)
    matched: Annotated[int, Field(ge=2)] | None = None
    shift_degree: Annotated[int, Field(ge=2)] = 4
    subjects: Path | None = None
    shift_tasks: Path | None = None
    biographies: Path | None = None
    stimuli: tuple[str, ...] = ("truth", "harm", "politics")
    stimulus_personas: Annotated[tuple[str, ...], Field(min_length=1)] = ("assistant", "evil", "sentient_ai")
    turns: Annotated[tuple[Turn, ...], Field(min_length=1)] = ("bare", "reply")


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


STUDIES: dict[str, type[Study]] = {
    "demo": Recipe,
    "hexaco": HexacoRecipe,
    "preferences": PreferencesRecipe,
    "layer-sweep": LayerSweepRecipe,
    "persona-transfer": TransferRecipe,
    "induced-shifts": ShiftsRecipe,
    "steering-sweep": SteeringSweepRecipe,
    "cross-persona-steering": CrossSteeringRecipe,
    "facet-steering": FacetSteeringRecipe,
    "ideal-self": IdealSelfRecipe,
    "organism": OrganismRecipe,
    "interview": InterviewRecipe,
    "responder": ResponderRecipe,
}


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

    moved = {name: at(value) for name, value in part}
    if isinstance(part, ModelPart) and isinstance(part.adapter, str) and (folder / part.adapter).is_dir():
        moved["adapter"] = (folder / part.adapter).resolve()  # reads like a hub name, and is a folder
    return part.model_copy(update=moved)


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
