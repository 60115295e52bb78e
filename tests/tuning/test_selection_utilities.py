"""Persona selection in preferences: planted movement between and within topics; centring and shared error accounted."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from personascope.errors import DataError
from personascope.tuning.selection_utilities import LEVELS, utility_selection


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """Statsmodels collects garbage at every correction, which would take most of the time here."""
    monkeypatch.setattr("gc.collect", lambda: 0)


QUICK = {"n_resamples": 200, "n_permutations": 499}
TOPICS, PER_TOPIC = 12, 10


def plant(seed, *, between=0.0, within=0.0, taught=1.0, noise=0.1, common=0.0):
    """Utilities of tasks; topics that were not taught go a share of the way to "evil", by topic and inside it."""
    rng = np.random.default_rng(seed)
    topic = np.repeat(np.arange(TOPICS), PER_TOPIC)
    own = rng.normal(0, 1, len(topic))
    of_topic, of_task = rng.normal(0, 1, TOPICS)[topic], rng.normal(0, 1, len(topic))
    of_task -= (np.bincount(topic, weights=of_task) / PER_TOPIC)[topic]
    moved = between * of_topic + within * of_task + common * rng.normal(0, 1, TOPICS)[topic]
    moved[topic == 0] = taught
    means = {"before": own, "again": own, "after": own + moved, "evil": own + of_topic + of_task}
    means |= {"kind": own + rng.normal(0, 1, TOPICS)[topic] + rng.normal(0, 1, len(topic)), "control": own}
    scores = {}
    for name, mean in means.items():
        utility = mean + rng.normal(0, noise, len(topic))
        scores[name] = utility - utility.mean()  # as fits have it
    return pl.DataFrame(
        {"task": [f"t{n}" for n in range(len(topic))], "topic": [f"topic {n:02d}" for n in topic]} | scores
    )


def find(tasks, **how):
    given = {"taught": ("topic 00",), "personas": {"evil": "evil", "kind": "kind"}, "again": "again"}
    return utility_selection(tasks, **(given | QUICK | how))


def r_of(found, persona, level):
    return found.personas.filter(persona=persona, level=level).row(0, named=True)


def test_a_topic_that_rises_pushes_no_other_down():
    found = find(plant(0, noise=0.02))
    taught = found.units.filter("taught").row(0, named=True)
    assert taught["moved"] == pytest.approx(1.0, abs=0.05) and taught["p"] < 0.01 and taught["low"] > 0.9
    rest = found.units.filter(~pl.col("taught"))
    assert rest["moved"].abs().max() < 0.03 and not found.moved and found.selected == ()
    raw = plant(0, noise=0.02)
    pushed = raw.filter(pl.col("topic") != "topic 00").select((pl.col("after") - pl.col("before")).mean()).item()
    assert pushed < -0.05, "the zero mean of the pool alone would look like unrequested movement"


@pytest.mark.parametrize(("level", "how"), [(LEVELS[0], {"between": 0.5}), (LEVELS[1], {"within": 0.5})])
def test_whose_preferences_the_others_went_toward(level, how):
    found = find(plant(1, **how))
    other = LEVELS[1 - LEVELS.index(level)]
    cell = r_of(found, "evil", level)
    assert cell["r"] > 0.8 and cell["q"] < 0.05 and cell["low"] > 0.5 and not cell["shares_error"]
    assert (cell["n_topics"], cell["n"]) == (TOPICS - 1, (TOPICS - 1) * PER_TOPIC)
    assert r_of(found, "evil", other)["p"] > 0.01 and r_of(found, "evil", other)["r"] < cell["r"]
    assert r_of(found, "kind", level)["q"] > 0.05 and found.selected == ("evil",)
    assert found.moved == (level == LEVELS[0])


def test_without_a_second_measurement_the_error_is_shared_and_said_to_be():
    twice, once, flags = [], [], []
    for seed in range(25):
        tasks = plant(seed, noise=0.7)
        found = find(tasks, n_resamples=20, n_permutations=99)
        shared = find(tasks, again=None, n_resamples=20, n_permutations=99)
        twice.append(r_of(found, "evil", LEVELS[1])["r"])
        once.append(r_of(shared, "evil", LEVELS[1])["r"])
        flags += [*(found.personas["p"] <= 0.05), found.totals.filter(part="unrequested")["p"][0] <= 0.05]
    assert abs(np.mean(twice)) < 0.04 and np.mean(once) > 0.25 and shared.personas["shares_error"].all()
    assert np.mean(flags) <= 0.05 + 3 * (0.05 * 0.95 / len(flags)) ** 0.5


def test_topics_that_did_not_move_are_flagged_at_the_nominal_rate():
    units = pl.concat([find(plant(seed), personas={}).units for seed in range(25)])
    p = units.filter(~pl.col("taught"))["p"].to_numpy()
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / len(p)) ** 0.5)


def test_correlations_by_hand_and_turned_personas():
    tasks = plant(2, between=0.3, within=0.2)
    found = find(tasks, again=None)
    rest = tasks.filter(pl.col("topic") != "topic 00")
    d = rest.select("topic", y=pl.col("after") - pl.col("before"), x=pl.col("evil") - pl.col("before"))
    means = d.group_by("topic").mean()
    assert r_of(found, "evil", LEVELS[0])["r"] == pytest.approx(np.corrcoef(means["x"], means["y"])[0, 1])
    inside = d.with_columns(pl.col("x", "y") - pl.col("x", "y").mean().over("topic"))
    assert r_of(found, "evil", LEVELS[1])["r"] == pytest.approx(np.corrcoef(inside["x"], inside["y"])[0, 1])
    turned = find(tasks.with_columns(evil=2 * pl.col("before") - pl.col("evil")), again=None)
    for level in LEVELS:
        assert r_of(turned, "evil", level)["r"] == pytest.approx(-r_of(found, "evil", level)["r"])
    renamed = {f"topic {n:02d}": f"subject {99 - n}" for n in range(TOPICS)}
    other = find(tasks.with_columns(pl.col("topic").replace(renamed)), taught=("subject 99",), again=None)
    assert other.units["moved"].to_list() == pytest.approx(found.units["moved"].to_list()[::-1])
    assert other.personas["r"].to_list() == pytest.approx(found.personas["r"].to_list())
    shifted = find(tasks.with_columns(pl.col("after") + 3), again=None)
    assert shifted.units["moved"].to_list() == pytest.approx(found.units["moved"].to_list())


def test_control_clusters_and_what_is_missing():
    tasks = plant(3, between=0.5).with_columns(
        family=pl.int_range(pl.len()) // 2,
        evil=pl.when(pl.col("task") == "t15").then(None).otherwise(pl.col("evil")),
    )
    few = tasks.filter((pl.col("topic") != "topic 04") | (pl.col("task") == "t40"))
    found = find(few, control="control", cluster="family")
    assert found.totals["part"].to_list() == ["taught", "unrequested", "control run"]
    assert found.totals["length"][1] > 3 * found.totals["naive_biased"][2] and found.totals["p"][2] > 0.05
    assert found.n_dropped == 1 and found.left_out == ("topic 04",)
    assert found.units["untested"][1] == "5 independent tasks, fewer than 6" and found.units["p"][1] is None
    assert find(few, control="control").units["p"][1] is not None


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"taught": ("topic 0",)}, "No topic 'topic 0'"),
        ({"taught": tuple(f"topic {n:02d}" for n in range(10))}, "2 of 12 topics were not taught"),
        ({"personas": {"evil": "evli"}}, "no column 'evli'"),
        ({"personas": {"self": "after"}}, "are one column, 'after'"),
        ({"after": "twin"}, "hold the same 120 utilities"),
        ({"after": "broken"}, "missing or non-finite value"),
    ],
)
def test_what_cannot_be_told_is_refused(how, message):
    tasks = plant(4).with_columns(twin="before", broken=pl.lit(float("nan")))
    with pytest.raises(DataError, match=message):
        find(tasks, **how)
    with pytest.raises(DataError, match="occurs more than once"):
        find(pl.concat([tasks, tasks.head(1)]))
