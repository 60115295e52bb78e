"""Persona selection: planted movement of what was not taught is found, and whose it is; noise is not taken for it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from personascope.errors import DataError
from personascope.tuning.selection import facet_selection

QUICK = {"n_splits": 40, "n_resamples": 200, "n_permutations": 499}
TAUGHT = ("f00",)
WHO = {"evil": "evil", "ideal": "ideal"}
N = 16


def evil(own, gap):
    """Far from the model, and unrelated to the ideal."""
    return own + np.random.default_rng(5).normal(0, 0.3, len(own))


def narrow(planted, seed, *, toward="evil", share=0.5, se=0.05, taught=1.0, **how):
    """One facet rose by `taught`; all others went `share` of the way to a persona. All measurements have own errors."""
    means = {
        "evil": evil,
        "goal": evil if toward == "evil" else lambda own, gap: own + gap,
        "same": lambda own, gap: own,
    }
    items = planted(seed, se=se, n_facets=N, extra=means, **how)
    own = pl.when(pl.col("facet") == "f00").then(0.2 * taught).otherwise(share * (pl.col("goal") - pl.col("same")))
    return items.with_columns(after=pl.col("same") + own)


def find(items, personas=WHO, taught=TAUGHT, **how):
    return facet_selection(items, taught, personas, **(QUICK | how))


def test_the_persona_that_all_else_went_toward_is_named(planted):
    for toward, other in (("evil", "ideal"), ("ideal", "evil")):
        found = find(narrow(planted, 1, toward=toward, mean=0.0, sd=0.3))
        cells = {row["persona"]: row for row in found.personas.iter_rows(named=True)}
        assert cells[toward]["cosine"] > 0.9 and cells[toward]["q"] < 0.05 and cells[toward]["p_signs"] < 0.05
        assert abs(cells[other]["cosine"]) < 0.6
        assert found.moved and found.selected[0] == toward
        rest = found.totals.filter(part="unrequested").row(0, named=True)
        assert rest["mean_absolute"] > rest["floor_high"] and rest["low"] > 0


def test_the_length_of_the_movement_is_without_its_error(planted, monkeypatch):
    monkeypatch.setattr("gc.collect", lambda: 0)
    way = evil(np.zeros(N), None)[1:]
    expected = 0.5 * 0.2 * np.sqrt(np.mean(way**2))
    rows = [find(narrow(planted, seed, se=0.1), None).totals.row(1, named=True) for seed in range(30)]
    assert np.median([row["length"] for row in rows]) == pytest.approx(expected, rel=0.12)
    assert np.median([row["naive_biased"] for row in rows]) > 1.15 * expected
    assert np.mean([row["low"] <= expected <= row["high"] for row in rows]) > 0.8


def test_the_facet_that_was_taught_is_not_part_of_it(planted):
    found = find(narrow(planted, 2, share=0.0))
    taught = found.units.filter("taught").row(0, named=True)
    assert taught["facet"] == "f00" and taught["moved"] == pytest.approx(0.2, abs=0.05) and taught["p"] < 0.01
    assert found.totals["part"].to_list() == ["taught", "unrequested"] and found.totals["n_units"].to_list() == [1, 15]
    assert found.totals["p"][1] > 0.05 and not found.moved and found.selected == ()
    every = find(narrow(planted, 2, share=0.0), taught=("f01",))
    assert every.moved, "what was taught and not named as taught is seen"


def test_a_model_that_did_not_move_is_flagged_at_the_nominal_rate(planted, monkeypatch):
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels does so at every correction, most of the time here
    totals, facets, patterns, signs, plain, lengths = [], [], [], [], [], []
    for seed in range(60):
        found = find(narrow(planted, seed, share=0.0, se=0.1, taught=0.0), n_resamples=20, n_permutations=99)
        totals.append(found.totals.filter(part="unrequested")["p"][0] <= 0.05)
        facets.append(found.units.filter(~pl.col("taught"))["p_holm"].min() <= 0.05)
        patterns += (found.personas["p"] <= 0.05).to_list()
        signs += (found.personas["p_signs"] <= 0.05).to_list()
        lengths.append(found.totals.filter(part="unrequested").select("length", "naive_biased").row(0))
        plain.append(found.personas["naive_biased"][1])
    for flagged in (totals, facets, patterns, signs):
        assert np.mean(flagged) <= 0.05 + 3 * (0.05 * 0.95 / len(flagged)) ** 0.5
    length, naive = np.median(lengths, axis=0)
    assert length < 0.4 * naive, "half of them are no longer than their error"
    assert np.mean(plain) > 0.15, "the plain cosine takes the error of before for a movement toward everybody"


def test_a_weak_movement_has_no_direction(planted):
    found = find(narrow(planted, 7, share=0.0, se=0.1, taught=0.0))
    assert found.personas["cosine"].null_count() == 2 and "after - before" in found.personas["refused"][0]


def test_a_control_run_says_what_training_does_by_itself(planted):
    items = narrow(planted, 3, mean=0.0, sd=0.3).with_columns(control="same")
    found = find(items, control="control")
    rest, control = (found.totals.filter(part=part).row(0, named=True) for part in ("unrequested", "control run"))
    assert rest["length"] > 2 * control["naive_biased"] and control["p"] > 0.05
    taken_off = find(items, before="control")
    assert taken_off.selected == found.selected == ("evil",)


def test_training_that_only_raises_ratings_moves_no_facet(planted):
    items = planted(4, n_facets=N, shift=0.1, extra={"evil": evil})
    found = find(items, {"evil": "evil"})
    assert found.units["p"].min() > 0.05 / N and found.totals["p"][1] > 0.05


def test_other_names_permute_rows_and_a_turned_persona_turns_its_cosine(planted):
    items = narrow(planted, 5, mean=0.0, sd=0.3)
    one = find(items)
    turned = items.with_columns(facet=pl.format("g{}", 99 - pl.col("facet").str.slice(1).cast(pl.Int64)))
    other = find(turned, taught=("g99",))
    keys = pl.format("f{}", (99 - pl.col("facet").str.slice(1).cast(pl.Int64)).cast(pl.String).str.zfill(2))
    back = other.units.with_columns(facet=keys).sort("facet")
    for column in ("facet", "taught", "moved", "n", "n_clusters"):
        assert back[column].to_list() == pytest.approx(one.units.sort("facet")[column].to_list()), column
    assert other.personas["naive_biased"].to_list() == pytest.approx(one.personas["naive_biased"].to_list())
    assert other.personas["cosine"].to_list() == pytest.approx(one.personas["cosine"].to_list(), abs=0.02)
    mirrored = items.with_columns(evil=2 * pl.col("before") - pl.col("evil"))
    against = find(mirrored)
    assert against.personas["cosine"][0] == pytest.approx(-one.personas["cosine"][0])
    assert against.personas["p"][0] == one.personas["p"][0] and "evil" not in against.selected
    assert_frame_equal(find(items.sample(fraction=1, shuffle=True, seed=1)).units, one.units)
    poles = items.with_columns(pl.when(pl.col("facet") == "f03").then(-pl.col(c)).otherwise(pl.col(c)).alias(c)
                               for c in ("before", "after", "evil", "ideal"))  # fmt: skip
    assert find(poles).personas["cosine"].to_list() == pytest.approx(one.personas["cosine"].to_list())


def test_families_and_thin_facets_are_counted(planted):
    items = narrow(planted, 6).with_columns(family=pl.col("item") // 2)
    thin = (pl.col("facet") == "f03") & (pl.col("key") < 0)
    found = find(items.filter(~thin), cluster="family")
    assert found.left_out == ("f03",) and found.units["facet"].to_list()[-1] == "f03"
    assert found.units["untested"].to_list()[-1] == "fewer than 2 independent items of either key"
    assert found.units["n_clusters"][0] == 6 and found.units["n"][0] == 12
    lost = items.with_columns(evil=pl.when(pl.col("item") < 5).then(None).otherwise(pl.col("evil")))
    assert find(lost).n_dropped == 5


def test_without_personas_there_is_still_movement(planted):
    found = find(narrow(planted, 1, mean=0.0, sd=0.3), None)
    assert found.moved and found.personas.is_empty() and found.selected == ()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"taught": ("f99",)}, "No facet 'f99'"),
        ({"taught": tuple(f"f{n:02d}" for n in range(14))}, "2 of 16 facets were not taught"),
        ({"personas": {"evil": "evli"}}, "no column 'evli' for the persona 'evil'.*Did you mean 'evil'"),
        ({"personas": {"self": "before"}}, "are one column, 'before'"),
        ({"personas": {"self": "twin"}}, "holds the 180 scores of the model before training"),
        ({"after": "before"}, "hold the same"),
    ],
)
def test_what_cannot_be_told_is_refused(planted, how, message):
    items = narrow(planted, 8).with_columns(twin="before")
    with pytest.raises(DataError, match=message):
        find(items, **how)
