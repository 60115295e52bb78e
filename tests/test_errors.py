import copy
import inspect

import pytest

from personascope import errors
from personascope.errors import FileFormatError, PersonascopeError, nearest

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


def test_the_message_is_up_to_three_labelled_lines():
    assert PersonascopeError("Seen.", "Why.", "Do.").lines() == ["Seen.", "cause: Why.", "fix: Do."]
    assert PersonascopeError("Seen.", "", "Do.").lines() == ["Seen.", "fix: Do."]
    assert str(PersonascopeError("Seen.", "Why.", "Do.")) == "Seen.\ncause: Why.\nfix: Do."


def test_one_class_catches_every_error_raised_on_purpose():
    assert FileFormatError in CLASSES
    assert all(issubclass(kind, PersonascopeError) and kind.__doc__ for kind in CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_that_crosses_a_process_boundary_keeps_its_class_and_parts(kind):
    error = kind("Seen.", "Why.", "Do.")
    again = copy.copy(error)
    assert type(again) is kind
    assert (again.symptom, again.cause, again.fix, str(again)) == ("Seen.", "Why.", "Do.", str(error))


def test_a_mistyped_name_is_answered_with_the_nearest_known_one():
    assert nearest("modestee", ["patience", "modesty"]) == " Did you mean 'modesty'?"
    assert nearest("xyz", ["patience", "modesty"]) == ""
    assert nearest("anything", []) == ""


def test_nearest_takes_any_iterable_of_names():
    assert (
        nearest("evill", {"evil": 1, "poet": 2}) == nearest("evill", iter(["evil", "poet"])) == " Did you mean 'evil'?"
    )


def test_errors_are_raised_from_their_cause():
    with pytest.raises(FileFormatError) as caught:
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise FileFormatError("outer") from error
    assert isinstance(caught.value.__cause__, ValueError)
