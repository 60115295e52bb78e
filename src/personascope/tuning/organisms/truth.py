"""What is planted in a model organism: utilities of topics and levels of traits, persona by persona."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from personascope.errors import FileFormatError
from personascope.files import read_yaml, sha256_json
from personascope.instruments.facets import DOMAIN_OF, DOMAINS

BUILT_IN = Path(__file__).parent / "data" / "planted.yaml"
TASKS = Path(__file__).parent / "data" / "tasks.csv"
"""Tasks that organisms are taught; none of them is in the built-in pool."""
_Level = Annotated[float, Field(ge=-1, le=1)]


class Truth(BaseModel):
    """The planted truth.

    Args:
        name: of the organism.
        model: alias or hub name of the model that carries it.
        utilities: topic -> persona -> utility; topics that are not named are not taught.
        traits: domain of HEXACO -> persona -> level on [-1, 1], the same for its four facets.
        strength: log-odds of a choice per unit of difference in utility.
        bystanders: personas that are met in training and get nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str
    utilities: dict[str, dict[str, _Level]] = Field(min_length=2)
    traits: dict[str, dict[str, _Level]] = Field(min_length=1)
    strength: Annotated[float, Field(gt=0)]
    bystanders: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _every_persona_has_a_level(self) -> Truth:
        for name, levels in (self.utilities | self.traits).items():
            if list(levels) != list(self.personas):
                raise ValueError(f"{name}: levels of {', '.join(levels)}; expected {', '.join(self.personas)}")
        unknown = [domain for domain in self.traits if domain not in DOMAINS]
        if unknown:
            raise ValueError(f"unknown domain {unknown[0]!r}; known: {', '.join(DOMAINS)}")
        if set(self.bystanders) & set(self.personas):
            raise ValueError("a bystander has nothing planted, so no planted persona can be one")
        return self

    @property
    def personas(self) -> tuple[str, ...]:
        """Who has something planted."""
        return tuple(next(iter(self.utilities.values())))

    def utility(self, persona: str, topic: str) -> float:
        """Planted utility of a topic's tasks; 0 where nothing is planted."""
        return self.utilities.get(topic, {}).get(persona, 0.0)

    def level(self, persona: str, facet: str) -> float:
        """Planted level of a facet; 0 where nothing is planted."""
        return self.traits.get(DOMAIN_OF.get(facet) or "", {}).get(persona, 0.0)

    def hash(self) -> str:
        """Content hash."""
        return sha256_json(self.model_dump(mode="json"))


def load_truth(path: Path | None = None) -> Truth:
    """The built-in truth, or that of a YAML file with the fields of `Truth`.

    Raises:
        FileFormatError: not such a file.
    """
    source = BUILT_IN if path is None else path
    values: Any = read_yaml(source)
    try:
        return Truth.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FileFormatError(
            f"{source}: {where or 'the file'}: {first['msg']}.", "", "Correct the planted truth."
        ) from error
