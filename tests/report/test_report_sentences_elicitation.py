"""Paragraphs on trust, written choices and persona space: the numbers of the table, and a plain word when nothing is
above its control.
"""

import numpy as np
import polars as pl
import pytest
from report_tables import SCRIPT, table

from personascope.measures.intervals import means_interval
from personascope.report import sentences_elicitation as trust
from personascope.report import sentences_persona_space as space
from personascope.report import sentences_written as written


def one(texts):
    (text,) = texts
    return text


RETEST = "persona wording r low high n shared_pairs"


def test_a_retest_names_its_ends_and_that_the_pairs_were_the_same():
    text = one(trust.retest(table([("poet", 2, 0.4, 0.2, 0.6, 60, 1.0), ("evil", 2, 0.1, -0.1, 0.3, 60, 1.0)], RETEST)))
    assert "0.10 [−0.10, 0.30] (Evil) to 0.40 [0.20, 0.60] (Poet)" in text
    assert "above 0 for 1 of 2 personas (n = 60 tasks)" in text
    assert "the same pairs" in text
    assert "do not survive" not in text


def test_a_retest_around_zero_says_that_preferences_do_not_survive():
    text = one(trust.retest(table([("evil", 3, 0.1, -0.1, 0.3, 60, 0.4)], RETEST)))
    assert "above 0 for no persona" in text
    assert "do not survive other words" in text
    assert "the same pairs" not in text


ACCURACY = "persona accuracy low high chance n"


def test_accuracy_at_chance_shows_nothing():
    text = one(trust.accuracy(table([("evil", 0.55, 0.43, 0.66, 0.5, 60)], ACCURACY)))
    assert "(n = 60 for each persona)" in text
    assert "none of the 1" in text
    assert "nothing shows" in text
    text = one(trust.accuracy(table([("evil", 0.7, 0.57, 0.8, 0.5, 60)], ACCURACY)))
    assert "0.70 [0.57, 0.80] (Evil), where a coin predicts 0.50" in text
    assert "nothing shows" not in text


CIRCLES = "persona cyclic low high expected excess excess_low excess_high n_triads chance"


def test_circles_as_often_as_coins_are_no_order():
    row = ("evil", 0.24, 0.22, 0.26, 0.23, 0.01, -0.01, 0.03, 900, 0.25)
    assert "not shown to have any order" in one(trust.circles(table([row], CIRCLES)))
    row = ("evil", 0.2, 0.18, 0.22, 0.15, 0.05, 0.02, 0.08, 900, 0.25)
    text = one(trust.circles(table([row], CIRCLES)))
    assert "not shown" not in text
    assert "an interval above 0 for all 1" in text
    assert "0.050 [0.020, 0.080]" in text


def test_rounds_are_told_by_their_last():
    rows = [("evil", 1, 120, None, None), ("evil", 2, 180, 0.97, "converged"), ("poet", 1, 120, None, "budget")]
    text = one(trust.design(table(rows, "persona round pairs rank_r outcome")))
    assert "in 1 to 2 rounds, up to 120 to 180 pairs" in text
    assert "0.97 or more (lowest for Evil" in text
    assert "budget for 1 and converged for 1 of 2" in text or "converged for 1 and budget for 1 of 2" in text


def test_ratings_say_when_the_order_of_the_scale_moves_more_than_the_task():
    rows = [("evil", f"t{index}", rating, 0.6, 0.9) for index, rating in enumerate((3.0, 3.1, 3.2))]
    text = one(trust.ratings(table(rows, "persona task rating order_bias label_mass")))
    assert "differ by 0.10 points" in text
    assert "±0.60 on average, which is more than that for all 1" in text


def test_ratings_that_do_not_follow_choices_are_said_not_to():
    frame = table([("evil", 0.1, -0.2, 0.3, 60)], "persona r low high n")
    assert "not shown to be what is chosen" in one(trust.rated(frame))
    assert "not shown" not in one(trust.rated(frame.with_columns(low=0.05)))


def test_written_shares_are_counted_over_personas_and_no_refusal_is_bounded():
    names = "persona what share low high count n n_pairs"
    rows = []
    for persona in ("evil", "poet"):
        rows += [(persona, "first", 0.9, 0.7, 1.0, 18, 20, 10), (persona, "refusal", 0.0, 0.0, 0.28, 0, 20, 10)]
        rows += [(persona, "p_first", 0.9, 0.7, 0.97, 18, 20, 10)]
    counts, place, refused = written.outcomes(table(rows, names))
    assert counts.startswith("40 written answers: 90.0 % chose the task shown first and 0 % refused")
    assert "excludes for all 2 personas" in place
    assert refused.startswith("No answer refused")
    assert "up to 0.28 of answers" in refused


def test_agreement_with_the_labels_is_told_beside_its_own_chance(tables):
    frame = tables["written_agreement"]
    corrected, same_order, pairs = written.agreement(frame)
    for text, name in ((corrected, "corrected"), (same_order, "same_order")):
        chance = frame[f"agreement_{name}_chance"]
        above = frame.filter(pl.col(f"agreement_{name}_low") > pl.col(f"agreement_{name}_chance")).height
        assert f"{chance.min():.2f}" in text
        assert f"{'all' if above == 2 else 'none of the' if not above else '1 of'} 2 personas" in text
    assert "(n = 21 pairs)" in pairs


def test_refusals_of_a_task_are_read_against_the_mean():
    rows = [
        ("evil", "kind", "either", 20.0, 1.0, 10, 0.05, 0.0, 0.3),
        ("evil", "bad", "either", 20, 18, 10, 0.9, 0.6, 1.0),
    ]
    names = "persona task slot asked refused n_pairs rate low high"
    text = one(written.refusals(table(rows, names)))
    assert "1 of 2 tasks" in text
    assert "the mean of 0.47" in text or "the mean of 0.48" in text
    assert "bad (Evil), 0.90 [0.60, 1.00], n = 10 pairs" in text
    none = table([(*rows[0][:4], 0.0, 10, 0.0, 0.0, 0.3)], names)
    assert one(written.refusals(none)) == "No pair with any of 1 tasks was refused."


def test_one_sample_cannot_be_calibrated():
    frame = table([("evil", 1, None, 0)], "persona k rank_r_apart n_subsets").with_columns(
        pl.col("rank_r_apart").cast(float)
    )
    assert "cannot be told from 1" in one(written.calibration(frame))


@pytest.mark.parametrize("n", [3, 5, 20])
def test_the_share_of_false_intervals_is_that_of_normal_tasks_nobody_likes(n):
    rng = np.random.default_rng(n)
    draws = [means_interval([rng.normal(size=n)], [1.0], n_resamples=200, seed=0) for _ in range(400)]
    missed = np.mean([low > 0 or high < 0 for low, high in draws])
    assert abs(missed - space._false_share(n)) < 0.06


def test_profiles_no_better_than_chance_say_so():
    rows = [("evil", f"topic {index}", 0.1, -0.1, 0.3, 20) for index in range(40)]
    rows[0] = ("evil", "topic 0", 0.3, 0.1, 0.5, 20)
    frame = table(rows, "persona topic z low high n")
    assert "no topic is shown to be liked" in space.profiles(frame)[0]
    sure = frame.with_columns(low=pl.lit(0.05))
    assert "no topic is shown" not in space.profiles(sure)[0]


def test_topics_that_all_personas_like_are_named_and_those_that_divide_them_are_not():
    rows = [("evil", "math", 0.5, 0.2, 0.8, 5), ("poet", "math", 0.6, 0.2, 0.8, 5)]
    rows += [("evil", "poetry", -0.5, -0.8, -0.2, 5), ("poet", "poetry", 0.6, 0.2, 0.8, 5)]
    text = space.profiles(table(rows, "persona topic z low high n"))[1]
    assert text.endswith("on math (liked).")


COMPONENTS = "component share null_mean null_95 p"


def test_a_first_component_like_the_null_makes_the_map_say_nothing():
    weak = [(1, 0.3, 0.29, 0.33, 0.4), (2, 0.25, 0.2, 0.22, 0.01), (3, 0.2, 0.2, 0.22, 0.5)]
    text = one(space.components(table(weak, COMPONENTS)))
    assert "says nothing" in text
    assert "between 4 personas" in text
    strong = [(1, 0.6, 0.29, 0.33, 0.01), *weak[2:]]
    text = one(space.components(table(strong, COMPONENTS)))
    assert "Up to component 1 each explains more" in text
    assert "95th percentile 0.33, p = 0.010" in text


def test_clusters_without_structure_or_stability_say_so():
    members = table([("evil", 1, 0.1), ("poet", 1, 0.1), ("clerk", 2, 0.0)], "persona cluster silhouette")
    text = one(space.clusters(members))
    assert "2 clusters: Evil and Poet; Clerk" in text
    assert "commonly read as no structure" in text
    assert "no structure" not in one(space.clusters(members.with_columns(silhouette=pl.lit(0.7))))
    names = "n_clusters silhouette stability stability_low stability_high n_resamples"
    counts = table([(2, 0.5, 0.2, -0.1, 0.6, 200), (3, 0.4, 0.9, 0.8, 1.0, 200)], names)
    text = one(space.cluster_counts(counts))
    assert "2 clusters agree with these" in text
    assert "0.20, 95 % of resamples [−0.10, 0.60]" in text
    assert "could as well give unrelated clusters" in text


def test_corrected_correlations_beyond_one_are_counted():
    rows = [("a", "b", 0.9, 0.8, 0.95, 60, 1.2, True), ("a", "c", -0.3, -0.5, -0.1, 60, -0.4, False)]
    frame = table(rows, "persona other r low high n r_corrected above_one")
    text = one(space.corrected(frame))
    assert "1 correlate over tasks with an interval above 0 and 1 with one below (n = 60 tasks)" in text
    assert "−0.40 (A and C; r = −0.30 [−0.50, −0.10]) to 1.20 (A and B" in text
    assert "Beyond 1: 1 pair," in text
    bare = frame.with_columns(r_corrected=pl.lit(None, pl.Float64), above_one=pl.lit(None, pl.Boolean))
    assert "not corrected" in one(space.corrected(bare))


def test_quotes_are_the_tasks_farthest_from_everybody_one_for_each_persona(tables):
    frame = tables["persona_extremes"]
    found = space.quotes(frame)
    assert len(found) == frame["persona"].n_unique()
    own = frame.sort(pl.col("difference").abs(), descending=True).row(0, named=True)
    assert own["persona"].capitalize() in found[0].source
    assert space.quotes(frame.drop("text")) == []
    assert SCRIPT in space.quotes(frame.with_columns(text=pl.lit(SCRIPT)))[0].text  # the page escapes it
