import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from personascope.errors import DataError
from personascope.measures.contrasts import sign_flip_p
from personascope.measures.labelled_scores import PLACE
from personascope.measures.multiplicity import adjust
from personascope.measures.stimulus_effects import persona_effect_differences, stimulus_effects

FAST = {"n_resamples": 300}
SHARES = {"plain": 1.0, "liar": -0.8, "aura": 0.4}


def scores(n=30, shares=None, *, paired=True, seed=0, places=None, pair_spread=1.0):
    """Each persona sees the planted effect times its share; texts of a pair have something in common."""
    rng, rows = np.random.default_rng(seed), []
    for place in places or [{}]:
        common = pair_spread * rng.normal(size=n)
        for persona, share in (shares or SHARES).items():
            rows += [
                {
                    "set": "truth",
                    "turn": "say",
                    "position": "eot",
                    "layer": 3,
                    "scorer": "probe",
                    **place,
                    "persona": persona,
                    "item": f"{i:02d}{'+' if positive else '-'}",
                    "pair": f"{i:02d}" if paired else None,
                    "positive": positive,
                    "score": 5 + common[i] + share * positive + 0.7 * rng.normal(),
                }
                for i in range(n)
                for positive in (True, False)
            ]
    return pl.DataFrame(rows, schema_overrides={"pair": pl.String})


def sides(frame, persona):
    part = frame.filter(persona=persona).sort("item")
    return (part.filter(positive=side)["score"].to_numpy() for side in (True, False))


def pooled(x, y):
    df = len(x) - 1, len(y) - 1
    return np.sqrt((x.var(ddof=1) * df[0] + y.var(ddof=1) * df[1]) / sum(df))


def row_of(frame, **where):
    found = frame.filter([pl.col(name) == value for name, value in where.items()])
    assert found.height == 1
    return found.row(0, named=True)


def test_effects_are_the_closed_forms_by_the_references_yardstick():
    frame = scores()
    effects = stimulus_effects(frame.sample(fraction=1, shuffle=True, seed=1), reference="plain", **FAST)
    yard = pooled(*sides(frame, "plain"))
    for persona in SHARES:
        x, y = sides(frame, persona)
        row = row_of(effects, persona=persona)
        assert row["difference"] == pytest.approx((x - y).mean())
        assert row["sd_reference"] == pytest.approx(yard)
        assert row["d_paired"] == pytest.approx((x - y).mean() / yard)
        assert row["d"] == pytest.approx((x.mean() - y.mean()) / pooled(x, y))
        assert row["d_z"] == pytest.approx((x - y).mean() / (x - y).std(ddof=1))
        assert row["auc"] == pytest.approx(roc_auc_score([1] * 30 + [0] * 30, np.append(x, y)))
        assert row["p"] == sign_flip_p(x - y)
        assert (row["n"], row["paired"], row["random_d95"], row["n_random"]) == (30, True, None, 0)
        for name, ends in (
            ("d_paired", ("low", "high")),
            *((s, (f"{s}_low", f"{s}_high")) for s in ("d", "d_z", "auc")),
        ):
            assert row[ends[0]] < row[name] < row[ends[1]]
    assert effects["q"].to_list() == adjust(effects["p"].to_numpy()).tolist()
    assert row_of(effects, persona="liar")["high"] < 0 < row_of(effects, persona="plain")["low"]


def naive(frame, persona, reference, n, seed, statistic):
    rng, found = np.random.default_rng(seed), []
    own, other = (np.stack(list(sides(frame, p))) for p in (persona, reference))
    for _ in range(n):
        drawn = rng.integers(own.shape[1], size=own.shape[1])
        found.append(statistic(own[:, drawn], other[:, drawn]))
    return np.percentile(found, [2.5, 97.5])


def test_intervals_are_those_of_a_naive_bootstrap_of_pairs():
    frame = scores()
    row = row_of(stimulus_effects(frame, reference="plain", n_resamples=4_000), persona="aura")
    statistics = {
        ("low", "high"): lambda a, b: (a[0] - a[1]).mean() / pooled(*b),
        ("d_low", "d_high"): lambda a, b: (a[0] - a[1]).mean() / pooled(*a),
        ("d_z_low", "d_z_high"): lambda a, b: (a[0] - a[1]).mean() / (a[0] - a[1]).std(ddof=1),
        ("auc_low", "auc_high"): lambda a, b: (a[0][:, None] > a[1]).mean(),
    }
    for ends, statistic in statistics.items():
        low, high = naive(frame, "aura", "plain", 4_000, 1, statistic)
        assert (row[ends[0]], row[ends[1]]) == (pytest.approx(low, abs=0.04), pytest.approx(high, abs=0.04)), ends


def test_a_persona_that_only_spreads_out_keeps_its_effect():
    """Noise that is the same in both texts of a pair changes no difference: d_paired stays, d shrinks."""
    frame = scores(shares={"plain": 1.0})
    wide = frame.with_columns(
        persona=pl.lit("wide"), score=pl.col("score") + 4 * (pl.col("pair").cast(pl.Int64) % 7 - 3)
    )
    effects = stimulus_effects(pl.concat([frame, wide]), reference="plain", **FAST)
    plain, wide_row = (row_of(effects, persona=p) for p in ("plain", "wide"))
    assert wide_row["d_paired"] == pytest.approx(plain["d_paired"]) and wide_row["d_z"] == pytest.approx(plain["d_z"])
    assert abs(wide_row["d"]) < plain["d"] / 2


def test_scale_and_place_of_the_scores_do_not_matter():
    frame = scores()
    one = stimulus_effects(frame, reference="plain", **FAST)
    other = stimulus_effects(frame.with_columns(score=pl.col("score") * 7 - 40), reference="plain", **FAST)
    flipped = stimulus_effects(frame.with_columns(positive=~pl.col("positive")), reference="plain", **FAST)
    for name in ("d_paired", "low", "high", "d", "d_z", "auc", "p"):
        np.testing.assert_allclose(one[name].to_numpy(), other[name].to_numpy())
    np.testing.assert_allclose(one["d_paired"].to_numpy(), -flipped["d_paired"].to_numpy())
    np.testing.assert_allclose(one["auc"].to_numpy(), 1 - flipped["auc"].to_numpy())
    np.testing.assert_allclose(one["low"].to_numpy(), -flipped["high"].to_numpy())


def test_unpaired_texts_are_exchanged_between_labels():
    frame = scores(paired=False, shares={"plain": 0.9, "liar": -0.9})
    frame = frame.filter(~pl.col("item").is_in(["28-", "29-"]))
    effects = stimulus_effects(frame, reference="plain", **FAST)
    x, y = sides(frame, "liar")
    row = row_of(effects, persona="liar")
    assert (row["n"], row["paired"], row["d_z"], row["d_z_low"]) == (28, False, None, None)
    assert row["d"] == pytest.approx((x.mean() - y.mean()) / pooled(x, y))
    assert row["d_paired"] == pytest.approx((x.mean() - y.mean()) / pooled(*sides(frame, "plain")))
    assert row["p"] == pytest.approx(stats.ttest_ind(x, y).pvalue, abs=0.02)
    assert row["low"] < row["d_paired"] < row["high"] < 0
    assert row_of(persona_effect_differences(frame, reference="plain", **FAST), persona="liar")["p"] < 0.01


def test_pairing_narrows_the_interval():
    paired, apart = (
        row_of(
            stimulus_effects(scores(paired=p, shares={"plain": 1.0}, pair_spread=3.0), reference="plain", **FAST),
            persona="plain",
        )
        for p in (True, False)
    )
    assert paired["high"] - paired["low"] < 0.5 * (apart["high"] - apart["low"])


def test_differences_between_personas_are_paired_by_text():
    frame = scores()
    found = persona_effect_differences(frame, reference="plain", n_resamples=4_000)
    assert found["persona"].to_list() == ["liar", "aura"]
    yard = pooled(*sides(frame, "plain"))
    x, y = sides(frame, "plain")
    for persona in ("liar", "aura"):
        a, b = sides(frame, persona)
        row = row_of(found, persona=persona)
        assert row["difference"] == pytest.approx(((a - b) - (x - y)).mean() / yard)
        assert row["difference"] == pytest.approx(row["d_persona"] - row["d_reference"])
        assert row["p"] == sign_flip_p((a - b) - (x - y))
        low, high = naive(
            frame, persona, "plain", 4_000, 2, lambda a, b: ((a[0] - a[1]) - (b[0] - b[1])).mean() / pooled(*b)
        )
        assert (row["low"], row["high"]) == (pytest.approx(low, abs=0.05), pytest.approx(high, abs=0.05))
    assert found["q"].to_list() == adjust(found["p"].to_numpy()).tolist()


def test_an_attenuated_effect_is_no_flip():
    found = persona_effect_differences(scores(), reference="plain", **FAST)
    assert row_of(found, persona="liar")["flips"] and not row_of(found, persona="aura")["flips"]
    none = persona_effect_differences(scores(shares={"plain": 1.0, "null": -0.01}), reference="plain", **FAST)
    assert not none["flips"][0] and none["high"][0] < 0


def test_places_are_kept_apart_and_an_encoder_has_no_layer():
    places = [
        {"layer": 1},
        {"layer": 2},
        {"layer": 2, "position": "answer"},
        {"scorer": "encoder", "layer": None},
    ]
    frame = scores(places=places)
    effects = stimulus_effects(frame, reference="plain", **FAST)
    assert effects.height == 4 * 3 and effects.columns[:6] == [*PLACE, "persona"]
    alone = stimulus_effects(frame.filter(layer=1), reference="plain", **FAST)
    assert effects.filter(layer=1)["low"].to_list() == alone["low"].to_list()
    assert effects.filter(scorer="encoder").height == 3
    q = adjust(effects.filter(scorer="probe")["p"].to_numpy())
    assert effects.filter(scorer="probe")["q"].to_list() == q.tolist()


def test_random_directions_give_the_95th_percentile_of_size():
    frame = scores()
    draws = [scores(seed=10 + k, shares=dict.fromkeys(SHARES, 0.0)).with_columns(draw=pl.lit(k)) for k in range(20)]
    random = pl.concat(draws).drop("scorer")
    effects = stimulus_effects(frame, reference="plain", random=random, **FAST)
    for persona in SHARES:
        sizes = []
        for draw in draws:
            x, y = sides(draw, persona)
            sizes.append(abs((x - y).mean()) / pooled(*sides(draw, "plain")))
        row = row_of(effects, persona=persona)
        assert row["random_d95"] == pytest.approx(np.percentile(sizes, 95)) and row["n_random"] == 20
    elsewhere = stimulus_effects(frame, reference="plain", random=random.with_columns(layer=pl.lit(9)), **FAST)
    assert elsewhere["random_d95"].is_null().all() and set(elsewhere["n_random"]) == {0}


def test_scores_that_do_not_vary_have_no_effect_size():
    frame = scores(shares={"plain": 1.0, "liar": 0.5}).with_columns(
        score=pl.when(pl.col("persona") == "plain").then(0.1).otherwise("score")
    )
    row = row_of(stimulus_effects(frame, reference="plain", **FAST), persona="liar")
    assert row["d_paired"] is None and row["low"] is None and row["d"] is not None
    assert row_of(stimulus_effects(frame, reference="plain", **FAST), persona="plain")["auc"] == 0.5


@pytest.mark.parametrize(
    ("spoil", "symptom"),
    [
        (lambda f: f[1:], "Pairs are not one positive and one negative item each .*'00' has one label only"),
        (lambda f: f.filter(pl.col("persona") != "plain"), "no scores of the reference 'plain'"),
        (lambda f: f.filter((pl.col("persona") != "liar") | (pl.col("pair") != "04")), "different items .* '04"),
        (lambda f: pl.concat([f, f[:1]]), "occurs more than once"),
        (
            lambda f: f.with_columns(score=pl.when(pl.col("pair") == "03").then(None).otherwise("score")),
            "missing or non",
        ),
        (lambda f: f.with_columns(pair=pl.when(pl.col("pair") == "03").then(None).otherwise("pair")), "some have none"),
        (lambda f: f.filter(pl.col("pair") == "03"), "1 positive and 1 negative"),
        (lambda f: f.with_columns(positive=pl.lit(True)), "Pairs are not one positive and one negative"),
        (lambda f: f.drop("turn"), "no column 'turn'"),
    ],
)
def test_unusable_tables_are_named(spoil, symptom):
    with pytest.raises(DataError, match=symptom):
        stimulus_effects(spoil(scores()), reference="plain", **FAST)


def test_a_difference_needs_a_second_persona():
    with pytest.raises(DataError, match="no persona beside 'plain'"):
        persona_effect_differences(scores(shares={"plain": 1.0}), reference="plain", **FAST)
