"""The synthetic population has the structure that its facts say."""

from __future__ import annotations

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.instruments.facets import DOMAIN_OF, FACETS
from personascope.instruments.items import Item, ItemBank, load_items
from personascope.instruments.keys import ScoringKey
from personascope.instruments.responses import Responses
from personascope.interviews.population import draw_people, synthetic_population
from personascope.measures.consistency import scale_consistency


def test_answers_have_the_reliability_and_the_structure_of_people():
    bank = load_items().subset(None, 4)
    model = synthetic_population(bank)
    traits, values = draw_people(model, 3000, 0)
    assert np.corrcoef(traits.T) == pytest.approx(model.covariance[:25, :25], abs=0.06)
    answers = Responses(values, model.items, tuple(map(str, range(3000))), 5)
    scales = {facet: tuple((item.id, item.key) for item in bank.items if item.facet == facet) for facet in FACETS}
    scored = scale_consistency(answers, ScoringKey(scales, "all"), respondents="people", n_resamples=0)
    assert scored["negative_items"].list.len().sum() == 0
    assert 0.8 < scored["alpha"].mean() < 0.92  # 8 items that load .73
    raw = values.mean(axis=1)  # items are balanced: what is left is readiness to agree
    assert raw.std() == pytest.approx(0.107 * 1.3, abs=0.05)


def test_within_a_domain_facets_go_together_more_than_between():
    model = synthetic_population(load_items().subset(None, 1))
    domains = [DOMAIN_OF[facet] for facet in model.names]
    r = model.covariance[:25, :25]
    assert np.linalg.eigvalsh(r).min() > 0
    for i in range(25):
        for j in range(i):
            if domains[i] is not None and domains[i] == domains[j]:
                assert r[i, j] == pytest.approx(0.5)
            elif None not in (domains[i], domains[j]):
                assert abs(r[i, j]) < 0.3


@pytest.mark.parametrize("options", [2, 5, 6, 11])
def test_any_number_of_options(options):
    model = synthetic_population(load_items().subset(["patience"], 3), options)
    values = draw_people(model, 500, 0)[1]
    assert sorted(np.unique(values)) == list(range(1, options + 1))


def test_an_unknown_facet_is_refused():
    bank = ItemBank((Item(id="a", facet="openness", key=1, text="x"),), "mine")
    with pytest.raises(DataError, match="no facet 'openness'"):
        synthetic_population(bank)
    with pytest.raises(DataError, match="1 options"):
        synthetic_population(load_items(), 1)
