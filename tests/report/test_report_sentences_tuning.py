"""What is said of the ideal self: values or refusals, traits or answer shifts, matches or none, by the tables."""

import polars as pl
import pytest
from tuning_tables import RUNS, WEAK, compared_row, frame, gap_rows

from personascope.report.findings_tuning import why
from personascope.report.grid_tuning import compared_grid
from personascope.report.sentences_tuning import beyond, examples, facets_moved, movement, run_grid, runs_taught
from personascope.report.sentences_tuning_compared import compared, facets_compared, responses
from personascope.report.sentences_tuning_elsewhere import held_out, side_effects, transfer
from personascope.report.sentences_tuning_ideal import drift_by_facet, ideal_drift, likeness, shape, specificity
from personascope.report.sentences_tuning_shift import shift, span

REASON = (
    "the gap between self and ideal cannot be told from error (its two halves of items agree r = −0.35 [−0.95, 0.14])"
)


def gap_tables(closed, reading="trait movement", **others):
    """The first run's gap, other runs' gaps, and the lessons."""
    rows = [*gap_rows("meta-0", closed, reading)]
    for run, value in others.items():
        rows += gap_rows(f"{run}-0", value)
    runs = [{"run": "meta-0", "target": "meta"}, *({"run": f"{run}-0", "target": run} for run in others)]
    return {"tuning_gap": frame(rows), "tuning_runs": frame(runs)}


def beyond_tables(**others):
    """The first run minus others: (difference, reading)."""
    tables = gap_tables(0.5, **dict.fromkeys(others, 0.1))
    rows = [
        row | {"other": f"{run}-0"} for run, (more, said) in others.items() for row in gap_rows("meta-0", more, said)
    ]
    return tables | {"tuning_beyond": frame(rows)}


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (WEAK, REASON),
        (f"numerator {WEAK}", f"here {REASON}"),
        (
            "denominator weak: the interval of its gap closed holds 0",
            "on what it is compared with the interval of its gap closed holds 0",
        ),
        (
            "1 facets have two independent items of each key, fewer than 3; left out: a, b.",
            "1 facet has two independent items of each key, fewer than 3",
        ),
        (None, "no value was found"),
    ],
)
def test_reasons_are_said_in_words(refused, said):
    assert why(refused) == said


def test_runs_are_counted_by_lesson_and_those_that_learned_nothing_are_named(tables):
    (text,) = runs_taught(tables["tuning_runs"])
    assert "its ideal's answers (3); its own answers (1)" in text
    assert "All 5 runs learned" in text
    still = tables["tuning_runs"].with_columns(has_learned=pl.col("run") != "self-0")
    (text,) = runs_taught(still)
    assert "Not so self-0: what moved there is not owed to what was taught." in text
    (text,) = runs_taught(tables["tuning_runs"].head(1))
    assert text.endswith("There is no control run, so what training does by itself is not known.")


def test_the_table_of_runs_has_what_each_was_taught(tables):
    grid = run_grid(tables)
    assert len(grid.rows) == len(RUNS)
    assert all(len(row) == len(grid.columns) for row in grid.rows)
    assert grid.rows[-1][:5] == ("meta-held-out-0", "its ideal's answers", "0", "no", "sincerity, fairness")
    assert grid.rows[0][-2:] == ("2.00 → 1.10", "yes")


def test_examples_mark_what_is_taught_and_do_not_repeat_a_prompt(tables):
    first, second = examples(tables["tuning_examples"])
    assert first.text.startswith("<|user|>\nReply with one number.")
    assert first.marked == "1"
    assert second.text.startswith("…\nStatement: I am item 1.")
    longer = pl.col("run") == "self-0"
    reasoned = tables["tuning_examples"].with_columns(n_taught=pl.when(longer).then(30).otherwise(2))
    assert [quote.source.split(",")[0] for quote in examples(reasoned)] == ["meta-0", "meta-0", "self-0"]


def test_a_gap_that_was_closed_is_given_with_its_interval_and_its_keys():
    first, others = movement(gap_tables(0.5, self=0.05))
    assert first.startswith("meta-0 closed 0.50 [0.40, 0.60] of the gap between self and ideal on test items (n = 200")
    assert "The interval lies above 0: it moved toward the ideal." in first
    assert "both move toward the ideal, which is a movement of the trait" in first
    assert "Taught its own answers, self-0: 0.050 [−0.050, 0.15]" in others


@pytest.mark.parametrize(
    ("closed", "said"), [(0.05, "holds 0: no movement is shown"), (-0.4, "lies below 0: it moved away")]
)
def test_no_movement_is_claimed_that_the_interval_does_not_show(closed, said):
    assert said in movement(gap_tables(closed))[0]


def test_an_answer_shift_is_called_one():
    (text, _) = movement(gap_tables(0.5, "answer shift"))
    assert "they move in opposite ways: an answer shift" in text
    assert "movement of the trait" not in text


def test_a_refused_gap_concludes_nothing_whatever_the_plain_slope_is():
    first, others = movement(gap_tables(None, self=None))
    assert first.startswith(
        f"How much of the gap to its ideal meta-0 closed on test items cannot be concluded: {REASON}"
    )
    assert "plain slope 0.20 (biased) counts shared error as movement" in first
    assert "cannot be said whether the trait moved or only the ratings" in first
    assert others.startswith("The other run can be judged no better, for the same reason; nothing can be concluded")
    (_, lonely) = movement(gap_tables(None))
    assert "no other run to compare with" in lonely


def test_keys_that_move_alike_are_no_trait_where_the_whole_gap_is_refused():
    tables = gap_tables(0.5)
    whole = (pl.col("keys") == "both") & ~pl.col("centred")
    gone = pl.when(~whole).then(pl.col("gap_closed"))
    refused = pl.when(whole).then(pl.lit(WEAK)).otherwise(pl.col("refused"))
    (text, _) = movement(tables | {"tuning_gap": tables["tuning_gap"].with_columns(gap_closed=gone, refused=refused)})
    assert "cannot be concluded" in text
    assert "no sign of the trait" in text
    assert "a movement of the trait" not in text


def test_the_verdict_over_controls_follows_the_paired_intervals():
    (text,) = beyond(beyond_tables(self=(0.4, "trait movement"), shuffled=(0.3, "trait movement")))
    assert "self-0: +0.40 [0.30, 0.50]; shuffled-0: +0.30 [0.20, 0.40]" in text
    assert "(2 comparisons, not corrected; n = 200 items)" in text
    assert text.endswith("So meta-0 moved more than all its controls.")
    (text,) = beyond(beyond_tables(self=(0.4, "trait movement"), shuffled=(0.05, "unclear")))
    assert "more than some of its controls and is not shown to have moved more than others" in text
    (text,) = beyond(beyond_tables(self=(0.05, "unclear")))
    assert text.endswith("So nothing shows that meta-0 moved by what it was taught and not by training itself.")
    (text,) = beyond(beyond_tables(self=(0.4, "answer shift")))
    assert text.endswith("But beyond self-0 it is an answer shift: + and − items part.")
    (*_, text) = beyond(beyond_tables(self=(0.4, "trait movement"), shuffled=(None, "unclear")))
    assert text == f"Not compared: shuffled-0 ({REASON})."
    (text,) = beyond(beyond_tables(self=(None, "unclear")))
    assert text == f"Whether meta-0 moved farther toward the ideal than its controls cannot be said: {REASON}."


def test_other_runs_of_the_same_lesson_are_no_controls(tables):
    controls, same = beyond(tables)
    assert "self-0" in controls
    assert "meta-1" not in controls
    assert "So " not in same
    (unknown,) = beyond({"tuning_beyond": tables["tuning_beyond"]})
    assert "each other run" in unknown


def test_facets_are_counted_and_the_farthest_is_called_picked(tables):
    (text,) = facets_moved(tables["tuning_closure"])
    assert "(picked on the same data, so optimistic, of 25)" in text
    none = tables["tuning_closure"].with_columns(moved=pl.lit(None, pl.Float64))
    assert facets_moved(none) == ["No facet's movement could be measured."]


def test_equivalence_is_counted_and_its_lack_is_no_drift(tables):
    text, others = ideal_drift(tables["tuning_drift"])
    assert "the ideal of 24 of 25 facets is shown to lie within ±0.10" in text
    assert "does not say that they moved" in text
    assert "0.50 [0.40, 0.60] times that before training: nearer than before" in text
    assert "self-0: 24 of 25, distance 0.95" in others
    refused = (
        tables["tuning_drift"]
        .head(1)
        .with_columns(distance_ratio=pl.lit(None, pl.Float64), distance_ratio_refused=pl.lit(WEAK))
    )
    (text,) = ideal_drift(refused)
    assert f"cannot be said: {REASON} (plain ratio 0.90, biased)" in text
    assert "Altruism: +0.20, 90 % interval [0.16, 0.24]" in drift_by_facet(tables["tuning_drift_facets"])[0]


def test_movement_is_toward_the_ideal_only_beyond_helpfulness(tables):
    table = tables["tuning_specificity"]
    gaps, partial = specificity(table)
    assert "toward its ideal 0.50 [0.40, 0.60]; toward the helpful assistant 0.25 [0.15, 0.35]" in gaps
    assert "it moved toward its ideal beyond what helpfulness explains" in partial
    partials = pl.col("statistic") == "partial cosine"
    none = table.with_columns(low=pl.when(partials).then(-0.2).otherwise("low"))
    assert "beyond helpfulness no movement toward its ideal is shown" in specificity(none)[1]
    refused = table.with_columns(value=pl.lit(None, pl.Float64), refused=pl.lit(WEAK))
    assert specificity(refused)[1].startswith("Whether it is the ideal and not helpfulness that it moved toward cannot")
    one = table.with_columns(high=pl.lit(0.99))
    assert "to move toward one is nearly to move toward the other" in specificity(one)[0]


def test_shape_and_likeness_have_their_yardsticks(tables):
    (text,) = shape(tables["tuning_shape"])
    assert "Between halves a straight movement would show 0.75." in text
    refused = tables["tuning_shape"].with_columns(value=pl.lit(None, pl.Float64), refused=pl.lit(WEAK))
    assert shape(refused) == [f"The shape of meta-0's movement cannot be given: {REASON}."]
    (text,) = likeness(tables["tuning_likeness"])
    assert "The interval lies above 0 for 2 of 4 other runs." in text
    assert "All runs share the error of the self before training" in text


def test_other_forms_show_the_movement_or_conclude_nothing(tables):
    shown, refused = transfer(tables["tuning_transfer"])
    assert shown == (
        "Wording 2: gap closed 0.40 [0.30, 0.50] (n = 200), the movement shows there; 0.80 [0.50, 1.10] of that where "
        "it was taught."
    )
    assert refused == f"Forced choice: nothing can be concluded, {REASON} (n = 200; plain slope 0.20, biased)."
    (text,) = held_out(tables["tuning_held_out"].with_columns(low=pl.lit(-0.1), ratio=pl.lit(None, pl.Float64)))
    assert "no movement is shown there; what share of the taught movement that is cannot be said" in text


def test_side_effects_stand_beside_the_other_runs(tables):
    damage, answers = side_effects(tables["tuning_side_effects"])
    assert "by 0.070 nats a token (0.025 to 0.065 in the other runs)" in damage
    assert "label mass 0.90 → 0.92" in answers
    assert "Changes in the other runs: label mass +0.020" in answers
    worse = tables["tuning_side_effects"].with_columns(perplexity_ratio=pl.lit(1.3))
    assert "more than 10.0 % more perplexing after meta-0" in side_effects(worse)[0]
    alone = side_effects(tables["tuning_side_effects"].head(1))
    assert "other runs" not in " ".join(alone)


def test_shifts_are_read_against_random_directions_and_other_runs(tables):
    about, ideal, facets, _, runs = shift(tables["tuning_shift"])
    assert about.startswith("meta-0 moved the self by 0.10 of the mean norm over layers 4, 9 (n = 200 items)")
    assert "beyond them at all 2 layers" in ideal
    assert "(picked on the same data, so optimistic, of 2 layers)" in ideal
    assert "beyond them at none of the 2 layers" in facets
    assert "self-0: 0.20" in runs
    (text,) = span(tables["tuning_subspace"])
    assert "It is beyond them at all 2 layers." in text
    low = tables["tuning_subspace"].with_columns(share=pl.lit(0.01))
    assert "It is beyond them at none of the 2 layers." in span(low)[0]


def test_matched_and_unreachable_ways_are_told_apart(tables):
    texts = compared(tables["tuning_compared"])
    assert texts[1].startswith(
        "2 of 4 ways of steering reach what training moved on validation items (plain slope 0.40)"
    )
    assert texts[2].startswith("Ideal − Self: matched at strength 0.10. On test items: gap closed 0.42 [0.32, 0.52]")
    assert texts[3].startswith("Facets: no match; the response is largest at −0.2, where it is 0.1, short of 0.40.")
    assert texts[5].startswith("Preference: no match. Its response does not rise from 0")
    only = tables["tuning_compared"].filter(way="ideal - self")
    assert compared(only)[0].startswith("The only way of steering reaches")


def test_the_shift_is_enough_or_needed_only_beyond_random_directions(tables):
    added, removed, held = compared(tables["tuning_compared"])[-3:]
    assert "It gives 0.80 of training's slope, more than random directions do" in added
    assert "It takes away 0.80 of training's slope" in removed
    assert "none of 5 random directions leaves as little" in removed
    assert "It takes away 0.60" in held
    tuned = compared_row("tuned", "meta-0", 0.5)
    rows = [tuned, compared_row("shift added", "shift of training", 0.05), compared_row("shift added", "random 1", 0.1)]
    assert compared(frame(rows))[-1].endswith("So this does not show that the shift is enough.")
    assert compared(frame(rows[:2]))[-1].endswith("there are no random directions to compare with.")


def test_where_training_is_refused_ways_are_compared_by_what_is_biased_alike():
    refused = {"gap_closed": None, "low": None, "high": None, "refused": WEAK}
    steered = compared_row("steered", "facets", 0.4, is_matched=True, target=0.4, **refused)
    first, _, way = compared(frame([compared_row("tuned", "meta-0", 0.4, **refused), steered]))
    assert "it says that they move alike, not that either moves toward the ideal" in first
    assert "gap closed refused, plain slope 0.40 (biased), training plain slope 0.40" in way


def test_the_table_has_a_row_for_each_way_and_one_for_each_range(tables):
    grid = compared_grid(tables)
    assert all(len(row) == len(grid.columns) for row in grid.rows)
    names = [row[0] for row in grid.rows]
    assert names.count("… 5 random directions") == 3
    rows = dict(zip(names, grid.rows, strict=True))
    assert rows["Ideal − Self"][1:4] == ("0.10, matched", "0.42 [0.32,\u00a00.52]", "0.42 (biased)")
    assert rows["Facets"][1] == "−0.20, no match (its peak)"
    assert rows["Preference"][1:4] == ("no match", "–", "–")
    assert grid.rows[names.index("Shift added to the base") + 1][2:4] == ("0.060 to 0.10", "0.060 to 0.10 (biased)")
    refused = tables["tuning_compared"].with_columns(gap_closed=pl.lit(None, pl.Float64), refused=pl.lit(WEAK))
    assert {row[2] for row in compared_grid({"tuning_compared": refused}).rows} == {"refused"}


def test_asked_pushes_are_counted_and_facets_that_part_are_called_picked(tables):
    assert "with 12 pushes along 4 directions; test items took no part" in responses(tables["tuning_responses"])[0]
    assert "(picked on the same data, so optimistic, of 75)" in facets_compared(tables["tuning_compared_facets"])[0]
    nothing = tables["tuning_compared_facets"].filter(kind="tuned")
    assert facets_compared(nothing) == ["No facet was moved by both training and steering."]
