"""Synthetic people: drawn as the model has it, compared with people, copies found."""

from __future__ import annotations

import numpy as np
import pytest
from tests.interviews.conftest import bank_of

from personascope.errors import DataError
from personascope.interviews.fitting import fit_ordinal
from personascope.interviews.synthetic_people import compare_people, require_share, sample_people
from personascope.interviews.twins import Twins


def test_people_drawn_from_a_model_of_latent_traits_are_like_people(bank):
    made = sample_people(fit_ordinal(bank, 3), 400)
    assert made.respondents[0] == "synthetic-1"
    found = {row["measure"]: row for row in compare_people(made, bank).distances.to_dicts()}
    for measure in ("mean", "sd", "correlation"):
        assert found[measure]["value"] < 1.5 * found[measure]["halves"]
    assert 0.8 < found["spread"]["value"] < 1.25


def test_answers_without_traits_are_told_from_people(bank):
    rng = np.random.default_rng(0)
    alone = bank_of(rng.permuted(bank.values, axis=0), 5)
    found = {row["measure"]: row for row in compare_people(alone, bank).distances.to_dicts()}
    assert found["mean"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["correlation"]["value"] > 2 * found["correlation"]["halves"]
    assert found["eigenvalues"]["value"] > 2 * found["eigenvalues"]["halves"]


def test_a_twin_that_is_followed_to_the_end_is_a_copy(bank):
    close = sample_people(Twins(bank, sigma=0.3, epsilon=0.001), 20)
    copies = compare_people(close, bank).copies
    assert len(copies) == 20
    ids = dict(copies)
    row = bank.respondents.index(ids["synthetic-3"])
    assert (bank.values[row] != close.values[2]).mean() <= 0.05
    assert compare_people(sample_people(fit_ordinal(bank, 3), 20), bank).copies == ()


def test_a_person_hangs_on_the_seed_and_their_number(bank):
    model = Twins(bank)
    few, more = sample_people(model, 3, seed=4), sample_people(model, 5, seed=4)
    assert np.array_equal(few.values, more.values[:3])
    assert not np.array_equal(few.values, sample_people(model, 3, seed=5).values)


def test_who_cannot_be_compared_is_refused(bank):
    with pytest.raises(DataError, match="nobody to compare"):
        compare_people(bank, bank_of(np.zeros((0, 24)), 5))
    with pytest.raises(DataError, match="other items"):
        compare_people(bank_of(bank.values[:, :5], 5), bank)
    with pytest.raises(DataError, match="Fewer than 8"):
        compare_people(bank_of(bank.values[:4], 5), bank)
    assert require_share(60, 40) == pytest.approx(0.4)
    with pytest.raises(DataError, match="60 of 100 people are synthetic"):
        require_share(40, 60)
