from pathlib import Path

import numpy as np
import pytest

from personascope.errors import DataError
from personascope.instruments.keys import load_key
from personascope.instruments.responses import Responses, load_responses
from personascope.measures.congruence import Loadings, loadings, parallel_analysis, tucker_congruence

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the human data are not beside this repository")

ITEMS = tuple(f"q{k}" for k in range(12))
PLANTED = np.zeros((12, 3))
for _factor in range(3):
    PLANTED[4 * _factor : 4 * _factor + 4, _factor] = [0.8, 0.7, 0.65, 0.75]
PLANTED[3, 0] *= -1  # a reversed item


def people(n, seed, planted=PLANTED, n_options=7):
    """Answers with the planted loadings, on options 1 to K."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, planted.shape[1])) @ planted.T
    values = common + rng.standard_normal((n, len(planted))) * np.sqrt(1 - (planted**2).sum(axis=1))
    options = np.clip(np.rint(values * 1.3 + (n_options + 1) / 2), 1, n_options).astype(np.int8)
    return Responses(options, ITEMS[: len(planted)], tuple(str(row) for row in range(n)), n_options)


def given(values, items=ITEMS, n=500):
    return Loadings(values, tuple(items), 1 - (values**2).sum(axis=1), "people", n, 0, None)


@pytest.mark.parametrize("rotation", ["varimax", "quartimax"])
def test_planted_loadings_are_recovered(rotation):
    found = loadings(people(4_000, 0), ITEMS, 3, respondents="people", rotation=rotation)
    table = tucker_congruence(given(PLANTED), found).frame()
    assert (table["congruence"] > 0.99).all()
    assert table["reading"].to_list() == ["equal"] * 3
    assert sorted(table["other_factor"].to_list()) == [1, 2, 3]
    assert found.n == 4_000
    assert (found.values.sum(axis=0) >= 0).all()
    assert found.uniquenesses == pytest.approx(1 - (found.values**2).sum(axis=1), abs=1e-3)


def test_without_rotation_the_planted_axes_are_not_found():
    # The plant spans the same space, so only the rotation can bring its axes back: the test above is about that.
    found = loadings(people(4_000, 0), ITEMS, 3, respondents="people")
    assert tucker_congruence(given(PLANTED), found).frame()["congruence"].min() < 0.95


def test_order_and_sign_of_factors_and_order_of_items_do_not_matter():
    shuffled = np.random.default_rng(1).permutation(12)
    turned = PLANTED[:, [2, 0, 1]] * [1, -1, 1]
    found = tucker_congruence(given(PLANTED), given(turned[shuffled], [ITEMS[k] for k in shuffled], n=80))
    assert found.frame().rows() == [(1, 2, -1, 1.0, "equal"), (2, 3, 1, 1.0, "equal"), (3, 1, 1, 1.0, "equal")]
    assert found.n == (500, 80)


def test_congruence_worked_by_hand():
    a, b = np.array([[1.0], [0.0], [1.0]]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, -2.0]])
    found = tucker_congruence(given(a, "xyz"), given(b, "xyz"))
    assert found.matrix == pytest.approx(np.array([[0.5, -np.sqrt(0.5)]]))
    assert found.frame().rows() == [(1, 2, -1, pytest.approx(np.sqrt(0.5)), "different")]


@pytest.mark.parametrize(("phi", "reading"), [(0.951, "equal"), (0.949, "fair"), (0.851, "fair"), (0.849, "different")])
def test_readings_follow_the_thresholds(phi, reading):
    a, b = np.array([[1.0], [0.0]]), np.array([[phi], [np.sqrt(1 - phi**2)]])
    assert tucker_congruence(given(a, "xy"), given(b, "xy")).frame()["reading"].to_list() == [reading]


def test_the_matching_is_the_best_overall_and_not_greedy():
    # Greedy would take the largest, .7, and be left with 0; the other pairing has .6 and .65.
    a = np.eye(3)[:, :2]
    b = np.array([[0.7, 0.6], [0.65, 0.0], [np.sqrt(1 - 0.49 - 0.4225), 0.8]])
    assert tucker_congruence(given(a, "xyz"), given(b, "xyz")).matched == ((0, 1), (1, 0))


def test_one_factor_per_scale():
    found = loadings(people(3_000, 2), ITEMS[:4], respondents="people")
    frame = found.frame()
    assert frame.columns == ["item", "factor_1", "uniqueness", "respondents", "n"]
    assert frame["factor_1"].to_numpy() == pytest.approx(PLANTED[:4, 0], abs=0.06)
    assert frame.row(0, named=True)["respondents"] == "people"


def test_incomplete_respondents_are_left_out_and_counted():
    answers = people(200, 3)
    values = answers.values.copy()
    values[:15, 2] = -1
    found = loadings(Responses(values, ITEMS, answers.respondents, 7), ITEMS[:5], respondents="people")
    assert (found.n, found.n_left_out) == (185, 15)
    counted = parallel_analysis(
        Responses(values, ITEMS, answers.respondents, 7), ITEMS[:5], respondents="people", n_simulations=3
    )
    assert (counted.n, counted.n_left_out) == (185, 15)


def test_parallel_analysis_counts_the_planted_factors():
    found = parallel_analysis(people(600, 4), ITEMS, respondents="people", n_simulations=40)
    assert found.n_factors == 3
    assert found.eigenvalues.sum() == pytest.approx(12)
    frame = found.frame()
    assert frame["kept"].to_list() == [True] * 3 + [False] * 9
    assert frame["component"].to_list() == list(range(1, 13))
    assert (np.diff(frame["eigenvalue"].to_numpy()) <= 0).all()


def test_parallel_analysis_finds_nothing_in_noise():
    kept = [
        parallel_analysis(people(200, seed, np.zeros((8, 1))), ITEMS[:8], respondents="people", n_simulations=40)
        for seed in range(10)
    ]
    assert sum(found.n_factors for found in kept) <= 2
    # Noise has eigenvalues above 1 all the same: the rule "larger than 1" would keep about half of the components.
    assert all((found.eigenvalues > 1).sum() >= 3 for found in kept)


def test_the_percentile_sets_the_bar():
    answers = people(60, 5)
    low, high = (
        parallel_analysis(answers, ITEMS, respondents="people", n_simulations=40, percentile=at) for at in (5.0, 99.0)
    )
    assert (low.reference < high.reference).all()
    assert low.n_factors >= high.n_factors


@pytest.mark.parametrize(
    ("n_factors", "items", "rotation", "said"),
    [
        (0, ITEMS, None, "0 factors of 12 items"),
        (8, ITEMS, None, "8 factors of 12 items"),
        (1, ITEMS[:2], None, "1 factors of 2 items"),
        (2, ITEMS, "oblimin", "Unknown rotation 'oblimin'"),
    ],
)
def test_fits_that_are_not_identified_are_refused(n_factors, items, rotation, said):
    # the annotation would stop an unknown rotation under test, as in a type checker
    function = getattr(loadings, "__wrapped__", loadings)
    with pytest.raises(DataError, match=said):
        function(people(100, 6), items, n_factors, respondents="people", rotation=rotation)


def test_too_few_respondents_are_refused():
    with pytest.raises(DataError, match="9 complete respondents"):
        loadings(people(9, 7), ITEMS, respondents="models")
    with pytest.raises(DataError, match="9 complete respondents"):
        parallel_analysis(people(9, 7), ITEMS, respondents="models")
    with pytest.raises(DataError, match="at least 10 respondents"):
        given(PLANTED, n=9)


def test_what_a_respondent_is_must_be_said():
    for function in (loadings, parallel_analysis):
        with pytest.raises(DataError, match="Nothing says what a respondent is"):
            function(people(50, 9), ITEMS, respondents="")


def test_different_items_are_refused():
    renamed = given(PLANTED, [*ITEMS[:-1], "q99"])
    with pytest.raises(DataError, match=r"q11, q99 in only one of the two \(2 items\)"):
        tucker_congruence(given(PLANTED), renamed)
    with pytest.raises(DataError, match=r"q11 in only one"):
        tucker_congruence(given(PLANTED), given(PLANTED[:-1], ITEMS[:-1]))


def test_an_empty_factor_is_refused():
    with pytest.raises(DataError, match="loadings of zero only"):
        tucker_congruence(given(PLANTED), given(PLANTED * [1, 1, 0]))


def test_nonsense_simulations_are_refused():
    for settings in ({"n_simulations": 0}, {"percentile": 101.0}):
        with pytest.raises(DataError, match="simulations, percentile"):
            parallel_analysis(people(50, 8), ITEMS, respondents="people", **settings)


@needs_data
def test_two_halves_of_the_people_share_the_five_factors():
    key = load_key(DATA / "openpsychometrics_big5_items.csv", scale_column="domain")
    everyone = load_responses(DATA / "openpsychometrics_big5.tsv.gz", n_options=5, columns=key.items)
    halves = [
        Responses(everyone.values[start::2], everyone.items, everyone.respondents[start::2], 5) for start in (0, 1)
    ]
    a, b = (loadings(half, key.items, 5, respondents="people", rotation="varimax") for half in halves)
    assert (tucker_congruence(a, b).frame()["congruence"] > 0.99).all()
    # Each factor is one of the domains: its largest loadings are on that domain's items, with their signs.
    planted = np.array([[dict(keyed).get(item, 0.0) for keyed in key.scales.values()] for item in key.items])
    assert (tucker_congruence(given(planted, key.items), a).frame()["congruence"] > 0.85).all()
