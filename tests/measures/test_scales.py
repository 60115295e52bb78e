import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.measures.likert import item_answers, score_likert
from personascope.measures.scales import domain_scores, facet_scores, key_consistency

QUICK = {"n_resamples": 200, "seed": 0}


def bank(counts, domains=None):
    """Item table with given numbers of positive and negative items per facet."""
    rows = [
        {"item": f"{facet}{sign:+d}_{i}", "facet": facet, "domain": (domains or {}).get(facet, "H"), "key": sign}
        for facet, numbers in counts.items()
        for sign, n in zip((1, -1), numbers, strict=True)
        for i in range(n)
    ]
    return pl.DataFrame(rows, schema_overrides={"domain": pl.String})


def answered(items, agreement, persona="self"):
    return items.with_columns(persona=pl.lit(persona), agreement=pl.Series(np.asarray(agreement, dtype=float)))


def read_out(items, label_probabilities):
    """Ask every item in both orders; the stub maps (item row, descending) to 5 label probabilities."""
    rows = []
    for descending in (False, True):
        p = np.array([label_probabilities(row, descending) for row in items.iter_rows(named=True)])
        scored = score_likert(
            np.log(0.9 * p), np.full(len(p), np.log(0.1)), n_options=5, descending=np.full(len(p), descending)
        )
        order = "descending" if descending else "ascending"
        rows.append(
            scored.frame().with_columns(persona=pl.lit("stub"), item=items["item"], order=pl.lit(order)).drop("entropy")
        )
    return item_answers(pl.concat(rows)).join(items, on="item", maintain_order="left")


def peak(label):
    p = np.full(5, 0.01)
    p[label - 1] = 0.96
    return p


CLEAR = 0.95  # the agreement at which `peak(5)` lands: (0.96 - 0.01) * 1 + 0.01 * 0


def test_a_content_stub_moves_the_trait_alone():
    def content(row, descending):
        agree = peak(5 if row["key"] > 0 else 1)
        return agree[::-1] if descending else agree

    table = read_out(bank({"modesty": (3, 5)}), content)
    score = facet_scores(table, **QUICK).row(0, named=True)
    assert score["trait"] == pytest.approx(CLEAR)
    assert score["acquiescence"] == pytest.approx(0)
    np.testing.assert_allclose(table["order_bias"], 0, atol=1e-9)


def test_a_yea_sayer_moves_the_acquiescence_alone_however_unbalanced_the_keys():
    def yes(row, descending):
        return peak(1 if descending else 5)

    table = read_out(bank({"sincerity": (2, 8)}), yes)
    score = facet_scores(table, **QUICK).row(0, named=True)
    assert score["trait"] == pytest.approx(0)
    assert score["acquiescence"] == pytest.approx(CLEAR)
    np.testing.assert_allclose(table["order_bias"], 0, atol=1e-9)


def test_a_stub_that_always_takes_the_first_label_moves_the_order_bias_alone():
    table = read_out(bank({"fairness": (4, 4)}), lambda row, descending: peak(1))
    score = facet_scores(table, **QUICK).row(0, named=True)
    assert score["trait"] == pytest.approx(0)
    assert score["acquiescence"] == pytest.approx(0)
    np.testing.assert_allclose(table["order_bias"], -CLEAR)


def test_trait_and_acquiescence_rebuild_the_plain_keyed_mean():
    rng = np.random.default_rng(0)
    items = bank({"sincerity": (2, 8)})
    table = answered(items, rng.uniform(-1, 1, 10))
    score = facet_scores(table, **QUICK).row(0, named=True)
    keyed_mean = (table["key"] * table["agreement"]).mean()
    assert score["trait"] + score["acquiescence"] * (2 - 8) / 10 == pytest.approx(keyed_mean)
    assert (score["n_items"], score["n_positive"], score["n_negative"]) == (10, 2, 8)
    assert score["low"] < score["trait"] < score["high"]


@pytest.mark.parametrize("counts", [(10, 0), (0, 10)])
def test_a_facet_of_one_key_has_no_trait_rather_than_a_wrong_one(counts):
    table = answered(bank({"dependence": counts, "anxiety": (2, 2)}), np.full(14, 0.7))
    scores = facet_scores(table, **QUICK)
    assert scores["facet"].to_list() == ["dependence", "anxiety"]
    assert scores.select("trait", "low", "high", "acquiescence").row(0) == (None, None, None, None)
    assert scores["trait"][1] == pytest.approx(0)
    assert scores["n_items"].to_list() == [10, 4]


def test_a_single_item_of_a_key_gives_a_trait_without_interval():
    score = facet_scores(answered(bank({"sincerity": (1, 3)}), [1, -1, 0, -0.5]), **QUICK).row(0, named=True)
    assert score["trait"] == pytest.approx(0.75)
    assert score["low"] is None
    assert score["high"] is None


def test_shuffled_rows_and_further_personas_change_no_score():
    rng = np.random.default_rng(1)
    items = bank({"a": (4, 4), "b": (3, 5)})
    mine, theirs = answered(items, rng.uniform(-1, 1, 16)), answered(items, rng.uniform(-1, 1, 16), "evil")
    alone = facet_scores(mine, **QUICK).sort("facet")
    shuffled = pl.concat([theirs, mine]).sample(fraction=1.0, shuffle=True, seed=3)
    together = facet_scores(shuffled, **QUICK).filter(pl.col("persona") == "self").sort("facet")
    for column in ("trait", "low", "high", "acquiescence"):
        np.testing.assert_allclose(together[column], alone[column], rtol=0, atol=1e-12)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    items = bank({"a": (20, 20)})
    truth, n_personas = 0.3, 300
    table = pl.concat(
        [
            answered(items, items["key"].to_numpy() * truth + 0.2 + rng.normal(0, 0.5, 40), f"p{i}")
            for i in range(n_personas)
        ]
    )
    scores = facet_scores(table, n_resamples=500, seed=0)
    covered = ((scores["low"] <= truth) & (truth <= scores["high"])).mean()
    assert 0.89 < covered < 0.98


def test_a_domain_is_the_mean_of_its_facets_not_of_its_items():
    items = bank({"long": (20, 20), "short": (2, 2)})
    agreement = np.where(items["facet"] == "long", 0.8, 0.2) * items["key"].to_numpy() + 0.1
    domain = domain_scores(answered(items, agreement), **QUICK).row(0, named=True)
    assert domain["trait"] == pytest.approx(0.5)
    assert domain["acquiescence"] == pytest.approx(0.1)
    assert domain["n_items"] == 44
    # Answers are constant within facet and key, so resampling inside these strata moves nothing.
    assert domain["low"] == pytest.approx(0.5)
    assert domain["high"] == pytest.approx(0.5)


def test_domain_traits_equal_the_mean_of_facet_traits_and_leave_out_what_has_none():
    rng = np.random.default_rng(3)
    domains = {"anxiety": "E", "dependence": "E", "fearfulness": "E", "altruism": None, "modesty": "H"}
    counts = {"anxiety": (4, 4), "dependence": (10, 0), "fearfulness": (3, 5), "altruism": (4, 4), "modesty": (2, 2)}
    items = bank(counts, domains)
    table = answered(items, rng.uniform(-1, 1, items.height))
    facets = {row["facet"]: row["trait"] for row in facet_scores(table, **QUICK).iter_rows(named=True)}
    scores = {row["domain"]: row for row in domain_scores(table, **QUICK).iter_rows(named=True)}
    assert set(scores) == {"E", "H"}
    assert scores["E"]["trait"] == pytest.approx((facets["anxiety"] + facets["fearfulness"]) / 2)
    assert scores["E"]["left_out"] == ["dependence"]
    assert scores["E"]["facets"] == ["anxiety", "fearfulness"]
    assert scores["E"]["low"] < scores["E"]["trait"] < scores["E"]["high"]


def test_a_domain_of_one_key_facets_is_null_and_a_table_without_domains_is_refused():
    table = answered(bank({"dependence": (5, 0)}, {"dependence": "E"}), np.full(5, 0.5))
    assert domain_scores(table, **QUICK).row(0, named=True)["trait"] is None
    with pytest.raises(DataError, match="No item has a domain"):
        domain_scores(table.with_columns(domain=pl.lit(None, dtype=pl.String)), **QUICK)


def consistency(trait_weight, bias_weight):
    rng = np.random.default_rng(4)
    items = bank({f"f{i:02d}": (4, 4) for i in range(25)})
    key, facet = items["key"].to_numpy(), np.arange(items.height) // 8
    trait, bias = rng.normal(size=25)[facet], rng.normal(size=25)[facet]
    noise = 0.1 * rng.normal(size=items.height)
    return key_consistency(answered(items, trait_weight * key * trait + bias_weight * bias + noise), **QUICK).row(0)


def test_keys_agree_for_a_trait_and_oppose_for_a_bias():
    persona, r, low, high, n = consistency(1.0, 0.0)
    assert (persona, n) == ("self", 25)
    assert 0.95 < low <= r <= high
    assert consistency(0.0, 1.0)[1] < -0.95


def test_key_consistency_is_the_correlation_of_the_two_half_traits():
    rng = np.random.default_rng(5)
    items = bank({"a": (2, 2), "b": (1, 3), "c": (3, 1), "d": (2, 2), "one_key": (4, 0)})
    table = answered(items, rng.uniform(-1, 1, items.height))
    means = {
        (facet, key): part["agreement"].mean()
        for (facet, key), part in table.group_by("facet", "key")
        if key is not None
    }
    expected = np.corrcoef([means[f, 1] for f in "abcd"], [-means[f, -1] for f in "abcd"])[0, 1]
    row = key_consistency(table, **QUICK).row(0, named=True)
    assert row["r"] == pytest.approx(expected)
    assert row["n"] == 4


def test_one_answer_to_everything_has_no_key_consistency():
    row = key_consistency(answered(bank(dict.fromkeys("abcd", (2, 2))), np.full(16, 0.8)), **QUICK).row(0, named=True)
    assert (row["r"], row["low"], row["n"]) == (None, None, 4)


def test_too_few_facets_for_a_correlation_are_refused():
    with pytest.raises(DataError, match="Persona 'self' has 2 facets"):
        key_consistency(answered(bank({"a": (2, 2), "b": (2, 2), "c": (4, 0)}), np.linspace(-1, 1, 12)), **QUICK)
