import ast
import copy
import inspect
import re
from pathlib import Path

import pytest

from personascope import errors
from personascope.errors import FileFormatError, PersonascopeError, nearest

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
ROOT = Path(__file__).parents[1]


def test_the_message_is_up_to_three_labelled_lines():
    assert PersonascopeError("Seen.", "Why.", "Do.").lines() == ["Seen.", "cause: Why.", "fix: Do."]
    assert PersonascopeError("Seen.", "", "Do.").lines() == ["Seen.", "fix: Do."]
    assert str(PersonascopeError("Seen.", "Why.", "Do.")) == "Seen.\ncause: Why.\nfix: Do."


def test_one_class_catches_every_error_raised_on_purpose():
    assert FileFormatError in CLASSES
    assert all(issubclass(kind, PersonascopeError) and kind.__doc__ for kind in CLASSES)


def test_every_error_of_the_package_stands_in_the_one_file():
    names = {kind.__name__ for kind in CLASSES}
    for path in (ROOT / "src").rglob("*.py"):
        defined = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)]
        strays = [one.name for one in defined if names & {getattr(base, "id", "") for base in one.bases}]
        assert path.name == "errors.py" or not strays, path


def test_the_page_of_errors_lists_every_class_once():
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(kind.__name__ for kind in CLASSES if kind is not PersonascopeError)


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
