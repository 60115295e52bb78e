"""What is said of induced shifts and of stimuli: each verdict on numbers that decide it, in both directions."""

import polars as pl
import pytest
from report_tables import table

from personascope.measures.shifts import KNOWN
from personascope.report.sentences_shifts import correlations, differences, effects, levels, ranks, targets

WORDS = {"shift_correlations": correlations, "shift_targets": targets, "shift_rank_summary": ranks}
WORDS |= {"shift_levels": levels, "stimulus_effects": effects, "stimulus_differences": differences}


def shifted(gap, random=0.1):
    """Probe, encoder and a random direction over all tasks; `gap` is the interval of probe minus encoder."""
    columns = (
        "design scorer cells statistic value low high p p_within difference difference_low difference_high n layer"
    )
    middle = None if gap is None else sum(gap) / 2
    paired = (middle, *(gap or (None, None)))
    rows = [
        ("targeted", "probe", "all", "pearson", 0.5, 0.3, 0.7, 0.001, 0.01, *paired, 100, 3),
        ("targeted", "encoder", "all", "pearson", 0.2, 0.0, 0.4, 0.1, 0.2, 0.0, 0.0, 0.0, 100, 3),
        ("targeted", "random 1", "all", "pearson", -random, -0.3, 0.3, 0.5, 0.5, None, None, None, 100, 3),
    ]
    return table(rows, columns)


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [
        ((0.1, 0.5), "Over all tasks the probe goes beyond sentence embeddings (+0.30 [0.10, 0.50])"),
        ((-0.1, 0.7), "Over all tasks the probe is not shown to go beyond sentence embeddings"),
        ((-0.5, -0.1), "Over all tasks sentence embeddings follow the choices better than the probe"),
    ],
)
def test_the_probe_is_set_against_the_words(gap, verdict):
    first, text = correlations(shifted(gap))
    assert verdict in text
    assert "Over all tasks r = 0.50 [0.30, 0.70] (sentence embeddings 0.20), p = 0.001, n = 100" in text
    assert "it is r over all tasks that tells a probe from such a reader" in first


def test_without_an_encoder_nothing_is_said_of_it():
    frame = shifted(None).filter(pl.col("scorer") != "encoder")
    assert "sentence embeddings" not in correlations(frame)[1]


@pytest.mark.parametrize(
    ("random", "verdict"), [(0.1, "is above the largest of 1 random"), (0.6, "is not above the largest")]
)
def test_random_directions_count_by_their_size(random, verdict):
    assert verdict in correlations(shifted((0.1, 0.5), random))[1]


@pytest.mark.parametrize(
    ("low", "verdict"), [(0.5, "the prompts move choices as meant"), (-0.1, "are not shown to move")]
)
def test_prompts_work_only_where_the_interval_says_so(low, verdict):
    columns = "design measure contrast mean low high standardised p n layer"
    rows = [
        ("targeted", "choice", "directed", 1.0, low, 1.5, 1.0, 0.01, 40, 3),
        ("targeted", "choice", "toward - mention", 0.5, 0.2, 0.8, 0.5, None, 20, 3),
        ("targeted", "choice", "mention - away", 0.5, -0.2, 1.2, 0.5, None, 20, 3),
        ("targeted", "probe", "directed", 9.0, 8.0, 10.0, 1.0, 0.01, 40, 3),
    ]
    text = targets(table(rows, columns))[0]
    assert verdict in text
    assert "(p = 0.010, n = 40 cells)" in text
    assert "(an interval above 0 in 1 of 2)" in text
    assert "9.0" not in text


def test_ranks_are_set_against_the_larger_chance():
    columns = "measure first share low high chance null_first mean_rank n n_subjects n_tasks layer"
    row = ("probe", 5, 0.5, 0.2, 0.8, 0.02, 0.1, 4.0, 10, 10, 50, 3)
    assert "in 5 of 10, [0.20, 0.80] of them, above what chance gives" in ranks(table([row], columns))[0]
    drawn = (*row[:6], 0.3, *row[7:])
    assert "not above what chance gives" in ranks(table([drawn], columns))[0]
    others = ranks(table([row, (*row[:-1], 6)], columns))[0]
    assert "by probe at its best layer, 3 (optimistic)" in others


def effect(d, low, chance, word):
    columns = "set turn persona layer scorer d_paired low high q n random_d95"
    rows = [("truth", "bare", "a", 3, "probe", d, low, d + 0.2, 0.01, 46, chance)]
    rows += [("truth", "bare", "a", None, "encoder", word, 0.0, 1.0, 0.01, 46, None)] if word is not None else []
    return table(rows, columns)


def test_effects_stand_beside_chance_and_words():
    text = effects(effect(-0.6, -0.8, 0.3, 0.2))[1]
    assert "Truth: all 1 effects (turn × persona) have an interval that excludes 0; the largest is −0.60" in text
    assert "All 1 are larger than the 95th percentile of random directions." in text
    assert "All 1 are larger than those of sentence embeddings." in text
    text = effects(effect(0.1, -0.1, 0.3, -0.5))[1]
    assert "None of the 1 are larger than the 95th percentile" in text
    assert "None of the 1 are larger than those of sentence embeddings." in text
    text = effects(effect(0.1, -0.1, None, None))[1]
    assert text.endswith("There are no random directions to compare with.")


def test_what_is_read_before_a_reply_is_a_control_and_counts_for_no_effect():
    probe = effect(0.1, 0.05, 0.3, None).with_columns(turn=pl.lit("reply"), layer=pl.lit(3))
    before = probe.with_columns(turn=pl.lit("before the reply"), d_paired=pl.lit(-0.9), high=pl.lit(-0.8))
    higher = pl.concat(
        [before.with_columns(layer=pl.lit(4)), probe.with_columns(layer=pl.lit(4), d_paired=pl.lit(0.0))]
    )
    first, text = effects(pl.concat([probe, before, higher]))
    assert first.startswith("At layer 3")
    assert "all 1 effects (turn × persona) have an interval that excludes 0; the largest is +0.10" in text
    assert "Before the reply, where only questions can differ, all 1 have an interval that excludes 0." in text


@pytest.mark.parametrize(
    ("flips", "said"), [(True, "have opposite signs (Evil)"), (False, "in none are both effects clear")]
)
def test_differences_tell_a_changed_sign_from_a_smaller_effect(flips, said):
    columns = "set turn persona reference layer scorer d_persona d_reference difference low high flips q n"
    rows = [("harm", "bare", "evil", "assistant", 3, "probe", 0.3, -0.6, 0.9, 0.7, 1.1, flips, 0.01, 46)]
    rows.append((*rows[0][:4], None, "encoder", *rows[0][6:]))
    text = differences(table(rows, columns))[0]
    assert said in text
    assert text.startswith("1 of 1 comparisons of a persona with Assistant")
    assert "+0.90 [0.70, 1.10] for Evil on harm (bare, layer 3), 0.30 against −0.60, n = 46" in text


@pytest.mark.parametrize("name", WORDS)
def test_tables_without_numbers_still_have_words(tables, name):
    frame = tables[name].head(3)
    thin = frame.with_columns(pl.lit(None, pl.Float64).alias(c) for c, t in frame.schema.items() if t.is_float())
    for text in WORDS[name](thin):
        assert text
        assert "None" not in text.replace("None of", "")
        assert "nan" not in text


@pytest.mark.parametrize(("low", "verdict"), [(0.1, "(shown to be less)"), (-0.1, "(not shown to be less)")])
def test_levels_are_set_against_the_choices_without_the_prompt(low, verdict):
    columns = "design scorer cells statistic value low high difference_low layer"
    rows = [
        ("targeted", "probe", "all", "pearson", 0.5, 0.3, 0.7, low, 3),
        ("targeted", KNOWN, "all", "pearson", 0.2, 0.0, 0.4, 0.0, 3),
    ]
    (text,) = levels(table(rows, columns))
    assert f"Targeted: probe 0.50 [0.30, 0.70], choices without the prompt 0.20 {verdict}." in text
    assert levels(table(rows[:1], columns)) == ["Scores under prompts could not be compared with choices under them."]
