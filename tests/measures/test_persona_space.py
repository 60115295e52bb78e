import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats
from sklearn.cluster import AgglomerativeClustering
from sklearn.decomposition import PCA

from personascope.errors import DataError
from personascope.measures.persona_space import (
    extreme_tasks,
    persona_clusters,
    persona_map,
    persona_profiles,
    representatives,
)

TOPICS = ("art", "law", "sea")
FAMILIES = {"a": ("amy", "ann", "art", "ava"), "b": ("ben", "bob", "boz")}


def table(values, topics=TOPICS):
    """Utilities of the named personas; tasks go round the topics."""
    names = list(values)
    n = len(values[names[0]])
    tasks = [f"t{number:03d}" for number in range(n)]
    filed = [topics[number % len(topics)] for number in range(n)]
    rows = [(name, *row) for name in names for row in zip(tasks, filed, map(float, values[name]), strict=True)]
    return pl.DataFrame(rows, schema=["persona", "task", "topic", "utility"], orient="row")


def families(n=60, noise=0.6, seed=0):
    """Two families, each with a taste of its own and nothing shared between them."""
    rng = np.random.default_rng(seed)
    tastes = {family: rng.normal(size=n) for family in FAMILIES}
    return {name: tastes[family] + noise * rng.normal(size=n) for family, names in FAMILIES.items() for name in names}


def strangers(n=60, n_personas=7, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=n) for name in "abcdefghij"[:n_personas]}


def results(utilities):
    """Every table that this module makes."""
    mapped = persona_map(utilities, n_permutations=20, n_resamples=50)
    clusters = persona_clusters(utilities, n_resamples=20)
    return {
        "profiles": persona_profiles(utilities, n_resamples=200),
        "extremes": extreme_tasks(utilities, 2).drop("utility"),
        "scores": mapped.frame(),
        "components": mapped.components,
        "correlations": mapped.correlations,
        "members": clusters.frame(),
        "candidates": clusters.candidates,
        "representatives": representatives(clusters),
    }


@pytest.mark.parametrize("change", ["order of rows", "scale and shift of one persona", "tiny scale of one persona"])
def test_neither_the_order_of_rows_nor_a_personas_scale_matters(change):
    utilities = table(families())
    if change == "order of rows":
        other = utilities.sample(fraction=1.0, shuffle=True, seed=1)
    else:
        scale = 37.3 if change.startswith("scale") else 1e-6
        moved = pl.when(pl.col("persona") == "bob").then(pl.col("utility") * scale + 5.1).otherwise(pl.col("utility"))
        other = utilities.with_columns(utility=moved)
    found, expected = results(other), results(utilities)
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame, rel_tol=1e-6, abs_tol=1e-9)


def test_reversing_one_persona_reverses_its_profile_its_correlations_and_its_extremes():
    utilities = table(families())
    turned = pl.when(pl.col("persona") == "bob").then(-pl.col("utility")).otherwise(pl.col("utility"))
    other = utilities.with_columns(utility=turned)
    before, after = (
        persona_profiles(u, n_resamples=500).filter(pl.col("persona") == "bob") for u in (utilities, other)
    )
    for column, opposite in (("z", "z"), ("low", "high"), ("high", "low")):
        assert after[column].to_numpy() == pytest.approx(-before[opposite].to_numpy())
    before, after = (persona_map(u, n_permutations=5, n_resamples=5).correlations for u in (utilities, other))
    sign = np.where((before["persona"] == "bob") | (before["other"] == "bob"), -1, 1)
    assert after["r"].to_numpy() == pytest.approx(sign * before["r"].to_numpy())
    before, after = (extreme_tasks(u, 4).filter(pl.col("persona") == "bob") for u in (utilities, other))
    assert after["task"].to_list() == before["task"].to_list()[::-1]


def test_profile_worked_by_hand():
    # utilities 1 2 3 6 10 14: mean 6, population variance (25 + 16 + 9 + 0 + 16 + 64) / 6
    found = persona_profiles(table({"p": [1, 6, 2, 10, 3, 14]}, topics=("x", "y")), n_resamples=100)
    sd = np.sqrt(130 / 6)
    assert found.columns == ["persona", "topic", "z", "low", "high", "n"]
    assert found.select("persona", "topic", "n").rows() == [("p", "x", 3), ("p", "y", 3)]
    assert found["z"].to_numpy() == pytest.approx([-4 / sd, 4 / sd])
    assert (found["low"] < found["z"]).all()
    assert (found["z"] < found["high"]).all()


def test_profiles_sum_to_zero_over_tasks_whatever_the_size_of_topics():
    utilities = table(families(n=61), topics=("x", "y", "y", "z", "y"))
    totals = persona_profiles(utilities, n_resamples=10).group_by("persona").agg((pl.col("z") * pl.col("n")).sum())
    assert totals["z"].to_numpy() == pytest.approx(0, abs=1e-9)


def test_a_topic_of_one_task_has_no_interval():
    found = persona_profiles(table(families(n=7), topics=("x", "x", "x", "y", "x", "x", "x")), n_resamples=50)
    assert found.filter(pl.col("topic") == "y")["low"].null_count() == 7
    assert found.filter(pl.col("topic") == "x")["low"].null_count() == 0


def test_profile_intervals_cover_the_planted_profile():
    # Topic means +d, 0, -d around which tasks scatter with variance 1: z = d / sqrt(1 + 2 d^2 / 3).
    d = 0.8
    truth = np.array([d, 0, -d]) / np.sqrt(1 + 2 * d**2 / 3)
    rng = np.random.default_rng(3)
    people = {f"p{i:03d}": np.tile([d, 0, -d], 40) + rng.normal(size=120) for i in range(300)}
    found = persona_profiles(table(people), n_resamples=400)
    aim = np.tile(truth, 300)
    covered = np.mean((found["low"].to_numpy() <= aim) & (aim <= found["high"].to_numpy()))
    assert 0.92 < covered < 0.965


def test_each_resample_of_a_profile_is_standardised_anew():
    # Where topics differ this much, a topic's mean moves the standard deviation with it, and z hardly moves at all.
    rng = np.random.default_rng(4)
    liked, disliked = 2 + rng.normal(size=20), -2 + rng.normal(size=20)
    naive = []
    for _ in range(3_000):
        drawn = np.concatenate([rng.choice(part, 20) for part in (liked, disliked)])
        naive.append(stats.zscore(drawn)[:20].mean())
    people = {"p": np.stack([liked, disliked], axis=1).ravel()}
    found = persona_profiles(table(people, topics=("x", "y")), n_resamples=3_000).row(0, named=True)
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(naive, [2.5, 97.5])), abs=0.015)
    assert found["high"] - found["low"] < 0.15


def test_extremes_worked_by_hand():
    utilities = table({"p": [0, 1, 2, 3, 4], "q": [4, 1, 2, 3, 0]}, topics=("x",))
    found = extreme_tasks(utilities, 2)
    assert found.filter(pl.col("persona") == "p").select("end", "rank", "task", "utility").rows() == [
        ("top", 1, "t004", 4.0),
        ("top", 2, "t003", 3.0),
        ("bottom", 2, "t001", 1.0),
        ("bottom", 1, "t000", 0.0),
    ]
    root = np.sqrt(2)
    own = found.filter(pl.col("persona") == "p")
    assert own["z"].to_numpy() == pytest.approx([root, 1 / root, -1 / root, -root])
    # Both like t003 alike, so it is nobody's own taste; on t000 and t004 they are opposed, so the mean is 0.
    assert own["mean_z"].to_numpy() == pytest.approx([0, 1 / root, -1 / root, 0], abs=1e-12)
    assert own["difference"].to_numpy() == pytest.approx([root, 0, 0, -root], abs=1e-12)


def test_tied_tasks_are_taken_in_order_of_name():
    found = extreme_tasks(table({"p": [1, 1, 1, 0, 0, 0]}), 2)
    assert found["task"].to_list() == ["t000", "t001", "t004", "t005"]


def test_noisy_tasks_can_be_kept_out_of_the_extremes():
    utilities = table({"p": [9, 1, 2, 3, 4, -9]}).with_columns(se=pl.Series([5.0, 1.0, 1.0, 1.0, 1.0, 5.0]))
    assert extreme_tasks(utilities, 1)["task"].to_list() == ["t000", "t005"]
    found = extreme_tasks(utilities, 1, below_median_se=True)
    assert found.select("task", "se").rows() == [("t004", 1.0), ("t001", 1.0)]
    with pytest.raises(DataError, match="no column 'se'"):
        extreme_tasks(utilities.drop("se"), 1, below_median_se=True)
    with pytest.raises(DataError, match="k is 3, and these tasks have room for 2"):
        extreme_tasks(utilities, 3, below_median_se=True)


@pytest.mark.parametrize("k", [0, 4])
def test_top_and_bottom_never_overlap(k):
    assert extreme_tasks(table({"p": [1, 2, 3, 4, 5, 6]}), 3)["task"].n_unique() == 6
    with pytest.raises(DataError, match=f"k is {k}, and these tasks have room for 3"):
        extreme_tasks(table({"p": [1, 2, 3, 4, 5, 6]}), k)


def test_the_map_tells_two_families_apart_and_says_that_chance_does_not():
    found = persona_map(table(families()), n_permutations=200, n_resamples=20)
    side = dict(zip(found.scores["persona"], np.sign(found.scores["component_1"]), strict=True))
    assert {len({side[name] for name in names}) for names in FAMILIES.values()} == {1}
    assert side["amy"] != side["ben"]
    first, second = found.components["share"][:2]
    assert first > 0.5 > 4 * second
    assert found.components["p"][0] == pytest.approx(1 / 201)
    assert found.components["p"][1] > 0.05
    assert found.components["null_95"][0] < first


def test_components_are_those_of_scikit_learn_on_the_standardised_matrix():
    people = families()
    z = np.stack([stats.zscore(people[name]) for name in sorted(people)])
    pca = PCA().fit(z)
    found = persona_map(table(people), n_permutations=2, n_resamples=2)
    assert found.components["share"].to_numpy() == pytest.approx(pca.explained_variance_ratio_[:6])
    assert found.components["share"].sum() == pytest.approx(1)
    scores = found.frame().drop("persona").to_numpy()
    assert np.abs(scores) == pytest.approx(np.abs(pca.transform(z)[:, :6]))
    assert (scores.max(axis=0) >= -scores.min(axis=0) - 1e-9).all()


@pytest.mark.parametrize("shared", [0, 3])
def test_of_personas_that_differ_by_chance_alone_p_says_so(shared):
    # What all share, here nothing or nine tenths of the variance, is not on the map and must not touch its null.
    p = []
    for seed in range(100):
        people, common = strangers(30, 4, seed), np.random.default_rng(seed + 1_000).normal(size=30)
        utilities = table({name: shared * common + values for name, values in people.items()})
        p.append(persona_map(utilities, n_permutations=59, n_resamples=2, seed=seed).components["p"][0])
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 0.05
    assert 0.4 < np.mean(p) < 0.7
    assert min(p) >= 1 / 60


def test_a_shared_taste_that_some_hold_more_firmly_is_a_component():
    common = 2 * np.random.default_rng(9).normal(size=60)
    people = {name: values + common * (name in "abc") for name, values in strangers().items()}
    found = persona_map(table(people), n_permutations=99, n_resamples=2)
    assert found.components["p"][0] == 1 / 100
    order = found.scores.sort("component_1")["persona"].to_list()
    assert set("abc") in (set(order[:3]), set(order[-3:]))


def test_correlations_are_pearsons_with_their_interval():
    people = strangers(n_personas=3)
    found = persona_map(table(people), n_permutations=2, n_resamples=500).correlations
    assert found.select("persona", "other").rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    expected = [stats.pearsonr(people[i], people[j]).statistic for i, j in found.select("persona", "other").rows()]
    assert found["r"].to_numpy() == pytest.approx(np.array(expected))
    assert found["low"].is_between(-1, found["r"]).all()
    assert found["high"].is_between(found["r"], 1).all()
    assert found["n"].to_list() == [60] * 3
    assert found["r_corrected"].null_count() == found["above_one"].null_count() == 3


def test_attenuation_is_undone_and_what_exceeds_one_is_kept_and_flagged():
    # True tastes correlate .6; measured with reliability .64 and .81 that is seen as .6 * .8 * .9 = .432.
    rng = np.random.default_rng(5)
    n = 40_000
    x = rng.normal(size=n)
    y = 0.6 * x + 0.8 * rng.normal(size=n)
    measured = {"x": 0.8 * x + 0.6 * rng.normal(size=n), "y": 0.9 * y + np.sqrt(0.19) * rng.normal(size=n), "z": y}
    utilities, given = table(measured), {"x": 0.64, "y": 0.81, "z": 1.0}
    found = persona_map(utilities, reliabilities=given, n_permutations=2, n_resamples=2).correlations
    assert found["r"].to_numpy() == pytest.approx([0.432, 0.48, 0.9], abs=0.015)
    assert found["r_corrected"].to_numpy() == pytest.approx([0.6, 0.6, 1.0], abs=0.02)
    low = persona_map(utilities, reliabilities=given | {"y": 0.5}, n_permutations=2, n_resamples=2).correlations
    over = low.filter(pl.col("above_one"))
    assert over.select("persona", "other").rows() == [("y", "z")]
    assert over["r_corrected"][0] == pytest.approx(0.9 / np.sqrt(0.5), abs=0.02)
    assert over["r"][0] == found["r"][2]


@pytest.mark.parametrize(("broken", "value"), [({"b": 0.0}, "0.0"), ({"b": 1.2}, "1.2"), ({"b": -0.3}, "-0.3")])
def test_impossible_reliabilities_are_refused(broken, value):
    utilities, given = table(strangers(n_personas=3)), {"a": 0.9, "b": 0.9, "c": 0.9}
    with pytest.raises(DataError, match=f"The reliability of persona 'b' is {value}"):
        persona_map(utilities, reliabilities=given | broken, n_permutations=2, n_resamples=2)
    with pytest.raises(DataError, match="The reliability of persona 'c' is nan"):
        persona_map(utilities, reliabilities={"a": 0.9, "b": 0.9}, n_permutations=2, n_resamples=2)


def test_two_families_are_two_stable_clusters():
    found = persona_clusters(table(families()), n_resamples=50)
    assert found.n_clusters == 2
    sides = dict(found.members.select("persona", "cluster").rows())
    assert sides == {name: 1 + (family == "b") for family, names in FAMILIES.items() for name in names}
    assert found.members["silhouette"].min() > 0.3
    chosen = found.candidates.filter(pl.col("n_clusters") == 2).row(0, named=True)
    assert chosen["silhouette"] == pytest.approx(found.members["silhouette"].mean())
    assert chosen["silhouette"] > 0.5
    assert (chosen["stability"], chosen["n_resamples"]) == (1.0, 50)
    # To cut a family further is to cut noise.
    assert found.candidates.filter(pl.col("n_clusters") > 2)["stability"].max() < 0.8
    assert found.candidates["n_clusters"].to_list() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_clusters_are_those_of_scikit_learn_at_average_linkage(k):
    clusters = persona_clusters(table(strangers()), n_resamples=2)
    oracle = AgglomerativeClustering(k, metric="precomputed", linkage="average").fit_predict(clusters.distances)
    groups = {frozenset("abcdefg"[i] for i in np.nonzero(oracle == label)[0]) for label in range(k)}
    assert {frozenset(members) for members in representatives(clusters, k)["members"]} == groups


def test_strangers_have_clusters_in_name_only():
    found = [persona_clusters(table(strangers(seed=seed)), n_resamples=20) for seed in range(5)]
    chosen = [one.candidates.filter(pl.col("n_clusters") == one.n_clusters) for one in found]
    assert max(one["silhouette"][0] for one in chosen) < 0.3
    assert np.mean([one["stability"][0] for one in chosen]) < 0.6


def test_an_opposed_persona_stands_alone():
    people = families()
    found = persona_clusters(table(people | {"evil": -sum(people.values())}), n_resamples=10)
    cluster = dict(found.members.select("persona", "cluster").rows())
    assert list(cluster.values()).count(cluster["evil"]) == 1
    assert found.distances == pytest.approx(found.distances.T, abs=0)
    assert np.diag(found.distances) == pytest.approx(0, abs=0)


def test_a_medoid_is_the_persona_nearest_to_its_family():
    people = families(noise=0.0)
    rng = np.random.default_rng(2)
    noise = {name: 0.9 * rng.normal(size=60) for name in people}
    # "ava" and "bob" are their families without the noise that the others carry.
    people = {name: values + noise[name] * (name not in ("ava", "bob")) for name, values in people.items()}
    found = representatives(persona_clusters(table(people), n_resamples=2))
    assert found.select("cluster", "persona", "n").rows() == [(1, "ava", 4), (2, "bob", 3)]
    assert found["members"].to_list() == [list(names) for names in FAMILIES.values()]
    inside = [1 - np.corrcoef(people["bob"], people[name])[0, 1] for name in ("ben", "boz")]
    assert found["mean_distance"][1] == pytest.approx(np.mean(inside))


def test_as_many_representatives_as_asked_for_and_ties_go_by_name():
    clusters = persona_clusters(table(families()), n_resamples=2)
    assert representatives(clusters, 1)["n"].to_list() == [7]
    for k in range(1, 8):
        found = representatives(clusters, k)
        assert found["cluster"].to_list() == list(range(1, k + 1))
        assert sorted(name for members in found["members"] for name in members) == sorted(families())
        # The two of a pair are equally near to each other.
        assert all(row["persona"] == row["members"][0] for row in found.iter_rows(named=True) if row["n"] <= 2)
    assert representatives(clusters, 7)["mean_distance"].null_count() == 7
    for k in (0, 8):
        with pytest.raises(DataError, match=f"{k} representatives of 7 personas"):
            representatives(clusters, k)


ALL = [persona_profiles, extreme_tasks, persona_map, persona_clusters]


@pytest.mark.parametrize("statistic", ALL)
def test_unusable_tables_are_refused(statistic):
    people = families(n=9)
    whole = table(people)
    torn = whole.with_columns(
        topic=pl.when((pl.col("task") == "t004") & (pl.col("persona") == "bob")).then(pl.lit("zoo")).otherwise("topic")
    )
    for bad, symptom in [
        (table(people | {"bob": np.full(9, 0.1)}), "Persona 'bob' gives all tasks the same utility"),
        (
            whole.filter((pl.col("persona") != "ben") | (pl.col("task") != "t005")),
            "'ben' has no utility of task 't005'",
        ),
        (pl.concat([whole, whole[:1]]), "occurs more than once"),
        (torn, "Task 't004' has topics"),
        (whole.drop("topic"), "no column 'topic'"),
        (whole.with_columns(utility=pl.lit(None, pl.Float64)), "missing or non-finite"),
        (whole.filter(pl.col("task") < "t002"), "7 personas and 2 tasks"),
    ]:
        with pytest.raises(DataError, match=symptom):
            statistic(bad)


@pytest.mark.parametrize("statistic", [persona_map, persona_clusters])
def test_two_personas_are_no_space(statistic):
    with pytest.raises(DataError, match="2 personas and 60 tasks"):
        statistic(table(strangers(n_personas=2)))


def test_personas_that_are_all_the_same_have_no_map():
    one = np.random.default_rng(0).normal(size=12)
    with pytest.raises(DataError, match="the same utilities, up to scale"):
        persona_map(table({"a": one, "b": 2 * one, "c": one + 1}))


def test_resamples_with_a_constant_persona_are_left_out_and_counted():
    # "c" differs from constant on one task alone: a resample misses that with probability .9^10 = .35.
    people = strangers(10, 2) | {"c": np.eye(10)[3]}
    used = persona_clusters(table(people), n_resamples=400).candidates["n_resamples"][0]
    assert 220 < used < 300
    never = persona_clusters(table(people), n_resamples=0).candidates
    assert never["stability"].null_count() == never["stability_low"].null_count() == 1
