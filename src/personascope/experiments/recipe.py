"""Recipes: one YAML file per study, checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from personascope.errors import RecipeError, nearest
from personascope.files import read_yaml, sha256_json

RECIPES = Path(__file__).parent / "recipes"


class Part(BaseModel):
    """A section of a recipe: frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPart(Part):
    """Which model answers: see `models.load.load_model`."""

    name: str = "smollm2"
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    device: str = "cpu"
    revision: str | None = None
    chat_template: Path | None = None
    threads: Annotated[int, Field(ge=1)] | None = 2


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


class Recipe(Part):
    """A whole study."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    study: Literal["demo"] = "demo"
    seed: int = 0
    resamples: Annotated[int, Field(ge=100)] = 2000
    personas: Path | None = None
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

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, as plain JSON."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """Content hash of the resolved recipe."""
        return sha256_json(self.resolved())


def recipe_names() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name_or_path: str) -> Recipe:
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
        return _absolute(Recipe.model_validate(values), path.parent)
    except ValidationError as error:
        raise _explained(path, error) from error


def _absolute(recipe: Recipe, folder: Path) -> Recipe:
    def at(path: Path | None) -> Path | None:
        return None if path is None else (folder / path).resolve()

    return recipe.model_copy(
        update={
            "personas": at(recipe.personas),
            "model": recipe.model.model_copy(update={"chat_template": at(recipe.model.chat_template)}),
            "hexaco": recipe.hexaco.model_copy(update={"items": at(recipe.hexaco.items)}),
            "preferences": recipe.preferences.model_copy(update={"tasks": at(recipe.preferences.tasks)}),
        }
    )


def _explained(path: Path, error: ValidationError) -> RecipeError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "(whole recipe)"
    if first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        key = str(first["loc"][-1])
        return RecipeError(
            f"{path}: unknown key {where!r}.{nearest(key, known)}",
            f"Keys here are {', '.join(known)}.",
            "Correct the key or remove it.",
        )
    return RecipeError(
        f"{path}, key {where!r}: {first['msg']}.", f"The value was {str(first.get('input'))[:80]!r}.", "Correct it."
    )


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
