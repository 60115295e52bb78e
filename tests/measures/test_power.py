import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from personascope.errors import DataError
from personascope.measures.power import contrast_power, design_effect, power_table, smallest_difference


def test_the_large_sample_numbers_are_the_reference():
    table = power_table()
    assert table["n_normal"].to_list() == [126, 32, 14, 248, 62, 28, 283, 71, 32, 557, 140, 62]
    assert table["sd"].to_list() == [0.4] * 6 + [0.6] * 6
    more = (table["n"] - table["n_normal"]).to_list()
    assert min(more) >= 1 and max(more) <= 5


def test_the_numbers_are_the_first_that_reach_the_power():
    for row in power_table().iter_rows(named=True):
        for n, reaches in ((row["n"], True), (row["n"] - 1, False)):
            limit, shift = stats.t.isf(row["alpha"] / 2, n - 1), row["delta"] / row["sd"] * math.sqrt(n)
            power = stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift)
            assert (power >= 0.8) == reaches


def test_simulated_tests_have_the_power_that_is_promised():
    row = power_table([0.4], [0.2], [0.05]).row(0, named=True)
    d = np.random.default_rng(0).normal(0.2, 0.4, (4_000, row["n"]))
    assert (stats.ttest_1samp(d, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.03)


def test_near_duplicates_cost_the_design_effect():
    assert design_effect(5.0, 0.3) == pytest.approx(2.2)
    assert design_effect(1.0, 0.9) == 1
    assert design_effect(4.0, 1.0) == 4
    plain, clustered = power_table([0.4], [0.1], [0.05]), power_table([0.4], [0.1], [0.05], cluster_size=5.0, rho=0.3)
    assert clustered["n_clustered"][0] == math.ceil(2.2 * plain["n"][0])
    assert plain["n_clustered"][0] == plain["n"][0]


def test_the_smallest_difference_is_the_inverse():
    assert smallest_difference(20, 0.4) == pytest.approx(0.264, abs=0.001)
    n = power_table([0.4], [0.2], [0.05])["n"][0]
    assert smallest_difference(n, 0.4) <= 0.2 < smallest_difference(n - 1, 0.4)
    assert smallest_difference(44, 0.4, cluster_size=5.0, rho=0.3) == pytest.approx(smallest_difference(20, 0.4))


def test_a_huge_effect_needs_few_items_and_not_less_than_two():
    assert power_table([0.1], [10.0], [0.05])["n"][0] == 2


@pytest.mark.parametrize(
    "settings",
    [{"sd": [0.0]}, {"delta": [-0.1]}, {"alpha": [5.0]}, {"power": 80.0}, {"rho": 2.0}, {"cluster_size": 0.5}],
)
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(DataError):
        power_table(**settings)


def test_too_few_items_are_refused():
    with pytest.raises(DataError, match=r"4 items are worth 1\.8 independent"):
        smallest_difference(4, 0.4, cluster_size=5.0, rho=0.3)


def test_what_a_study_could_have_found_follows_from_its_errors():
    rows = [("a - b", facet, 0.04 * (1 + facet % 2), 25) for facet in range(4)] + [("a - c", 0, None, 25)]
    contrasts = pl.DataFrame(rows, schema=["contrast", "facet", "se", "n_clusters"], orient="row")
    found = contrast_power(contrasts).row(0, named=True)
    assert len(contrast_power(contrasts)) == 1  # a contrast without any error could find nothing that is known
    assert (found["contrast"], found["n"], found["n_facets"]) == ("a - b", 25, 4)
    assert found["sd"] == pytest.approx(0.06 * 5)
    assert found["smallest"] == pytest.approx(smallest_difference(25, 0.3))
    assert found["smallest_corrected"] == pytest.approx(smallest_difference(25, 0.3, alpha=0.0125))
    with pytest.raises(DataError, match="n_clusters"):
        contrast_power(contrasts.drop("n_clusters"))
