"""Every error a user can meet: what was seen (symptom), why (cause), what to do (fix).

The command line prints the three lines and exits with code 2; library users catch `PersonascopeError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PersonascopeError(Exception):
    """Base of all errors raised on purpose. Arguments are whole sentences with ids and shapes in them."""

    def __init__(self, symptom: str, cause: str = "", fix: str = "") -> None:
        self.symptom, self.cause, self.fix = symptom, cause, fix
        super().__init__("\n".join(self.lines()))

    def __reduce__(self) -> tuple[type[PersonascopeError], tuple[str, str, str]]:
        """Survive a process boundary: the default would rebuild from the joined message."""
        return type(self), (self.symptom, self.cause, self.fix)

    def lines(self) -> list[str]:
        """The message as up to three labelled lines."""
        parts = (("", self.symptom), ("cause: ", self.cause), ("fix: ", self.fix))
        return [label + text for label, text in parts if text]


class FileFormatError(PersonascopeError):
    """A data file (items, tasks, personas, recipe) cannot be read as what it should be."""


class UnsafePathError(PersonascopeError):
    """A name would lead outside its folder or cannot be a file name on every system."""


class RecipeError(PersonascopeError):
    """A recipe has an unknown key, a missing one, or a value out of range."""


class TemplateError(PersonascopeError):
    """A chat template or prompt template cannot express what was asked."""


class SpanError(PersonascopeError):
    """A named span or position was not found in the rendered tokens."""


class LabelError(PersonascopeError):
    """An answer label is not exactly one next token, or two labels share a token."""


class ModelError(PersonascopeError):
    """A model cannot be loaded, or its inside is not laid out as the engine needs."""


class ActivationError(PersonascopeError):
    """Activations or answers contain NaN or infinity, or do not belong to the rows asked for."""


class StoreError(PersonascopeError):
    """A store folder is damaged, hostile, or belongs to a different plan."""


class RunFolderError(PersonascopeError):
    """A run folder belongs to a different recipe, or is not a run folder."""


class DataError(PersonascopeError):
    """Too little or unsuitable data for the statistic that was asked for."""


class ConvergenceError(PersonascopeError):
    """An iterative fit did not reach its tolerance."""


class EndpointError(PersonascopeError):
    """A server did not give an answer that can be used."""


class BudgetSpent(PersonascopeError):  # noqa: N818 (the end of a budget is expected, not a fault)
    """The next call could exceed the budget, so it was not made."""


class DirectionError(PersonascopeError):
    """Directions of different models, layers or positions were mixed, or a vector is unusable."""


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for a mistyped name, or '' when nothing is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
