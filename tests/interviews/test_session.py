"""A live interview: saved after every answer, gone on with, taken back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.items import load_items
from personascope.interviews.interview import Stop
from personascope.interviews.population import draw_people, synthetic_population
from personascope.interviews.session import Session

WHO = {"who": "simulated"}


@pytest.fixture(scope="module")
def bank():
    return load_items().subset(None, 2)


def held(session: Session, given: np.ndarray, questions: int) -> list[str]:
    asked = []
    for _ in range(questions):
        item = session.next_item()
        assert item is not None
        asked.append(item.id)
        session.tell(item, int(given[session.model.items.index(item.id)]))
    return asked


def test_a_killed_interview_goes_on_where_it_was(bank, tmp_path):
    given = draw_people(synthetic_population(bank), 1, 5)[1][0]
    whole = Session(bank, tmp_path / "whole.json", WHO)
    asked = held(whole, given, 8)
    held(Session(bank, tmp_path / "part.json", WHO), given, 3)
    again = Session(bank, tmp_path / "part.json", WHO)  # as a new process would
    assert len(again.answers) == 3
    assert held(again, given, 5) == asked[3:]
    assert again.profile().equals(whole.profile())
    assert (tmp_path / "part.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_what_is_taken_back_is_forgotten(bank, tmp_path):
    session = Session(bank, tmp_path / "a.json", WHO)
    assert session.undo() is None
    before = session.profile()
    item = session.next_item()
    session.tell(item, 5)
    assert not session.profile().equals(before)
    assert session.undo() == item
    assert session.profile().equals(before)
    assert json.loads((tmp_path / "a.json").read_text())["answers"] == []
    assert session.next_item() == item


def test_the_profile_closes_in_on_the_truth(bank, tmp_path):
    model = synthetic_population(bank)
    traits, answers = draw_people(model, 30, 7)
    errors, sds, inside = [], [], []
    for row in range(30):
        session = Session(bank, tmp_path / f"{row}.json", WHO, stop=Stop(25))
        held(session, answers[row], 25)
        assert session.next_item() is None
        found = session.profile().filter(level="facet")
        errors += (found["mean"].to_numpy() - traits[row]).tolist()
        sds += found["sd"].to_list()
        inside += ((traits[row] > found["low"].to_numpy()) & (traits[row] < found["high"].to_numpy())).tolist()
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.sqrt(np.mean(np.square(sds))), rel=0.12)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)
    assert np.mean(sds) < 0.75


def test_keys_take_turns(bank, tmp_path):
    session = Session(bank, tmp_path / "a.json", WHO)
    keys = {item.id: item.key for item in bank.items}
    asked = held(session, np.full(len(bank.items), 4), 10)
    assert sum(keys[item] for item in asked) == 0


def test_agreeing_with_all_is_no_trait(bank, tmp_path):
    session = Session(bank, tmp_path / "a.json", WHO, stop=Stop(60))
    held(session, np.full(len(bank.items), 5), 60)
    domains = session.profile().filter(level="domain")
    assert domains["mean"].abs().max() < 1.2
    assert session.belief.mean[0, -1] > 2  # acquiescence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "another seed"),
        ({"n_options": 7}, "another options"),
        ({"respondent": {"who": "person"}}, "another respondent"),
    ],
)
def test_an_interview_goes_on_as_it_was_begun(bank, tmp_path, change, message):
    session = Session(bank, tmp_path / "a.json", WHO)
    session.tell(session.next_item(), 2)
    with pytest.raises(DataError, match=message):
        Session(**({"bank": bank, "file": tmp_path / "a.json", "respondent": WHO} | change))
    with pytest.raises(DataError, match="another bank"):
        Session(load_items().subset(None, 1), tmp_path / "a.json", WHO)


def test_what_is_no_interview_is_refused(bank, tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{}")
    with pytest.raises(FileFormatError, match="is no interview"):
        Session(bank, file, WHO)
    file.unlink()
    session = Session(bank, file, WHO)
    item = session.next_item()
    for option in (0, 6):
        with pytest.raises(DataError, match="is no option"):
            session.tell(item, option)
    assert not file.exists()
    session.tell(item, 1)
    with pytest.raises(DataError, match="was answered before"):
        session.tell(item, 2)
    text = json.loads(file.read_text())
    text["answers"].append(text["answers"][0])
    file.write_text(json.dumps(text))
    with pytest.raises(DataError, match="was answered before"):
        Session(bank, file, WHO)
