"""What is said of sharing: each sentence on numbers that decide it, in both directions."""

import polars as pl
import pytest
from report_tables import table

from personascope.report.findings_sharing import best_shift_layer, best_stimulus_layer, bias_role, start_of
from personascope.report.sentences_sharing import (
    bias,
    cosines,
    diversity,
    facet_transfer,
    gaps,
    matched,
    means,
    tracking,
    transfer,
)

WORDS = {"transfer": transfer, "facet_transfer": facet_transfer, "transfer_asymmetry": gaps, "transfer_means": means}
WORDS |= {"weight_cosines": cosines, "probe_bias": bias, "matched_choices": matched, "diversity": diversity}
WORDS |= {"persona_tracking": tracking}


def pairs(*rows):
    columns = "train test layer position r low high utility_r difference difference_low difference_high n"
    return table([(*row[:3], "eot", *row[3:], 50) for row in rows], columns)


ONE = pairs(("a", "b", 3, 0.5, 0.4, 0.6, 0.3, 0.2, 0.1, 0.3), ("b", "a", 3, 0.4, 0.3, 0.5, 0.3, 0.1, -0.1, 0.3))


def further(frame, corrected, words):
    columns = {"r_corrected": 0.7, "utility_r_corrected": 0.6, "difference_corrected": 0.1, "encoder_r": 0.45}
    ends = {"difference_corrected_low": corrected, "over_encoder": 0.05, "over_encoder_low": words}
    columns |= {**ends, "over_encoder_high": words + 0.1}
    return frame.with_columns(pl.lit(value).alias(name) for name, value in columns.items())


def test_transfer_says_what_errors_do_and_whether_the_corrected_difference_is_above_zero():
    *_, errors, words = transfer(further(ONE, 0.02, 0.02))
    assert "lower the correlation of two personas' utilities more" in errors
    assert "mean r is 0.70 and that of the utilities 0.60 over 2 pairs; all 2 pairs have an interval" in errors
    assert "mean r of 0.45; the probe is above it in all 2 pairs" in words
    *_, errors, words = transfer(further(ONE, -0.02, -0.2))
    assert "no pair has an interval of the corrected difference above 0" in errors
    assert "nothing here goes beyond the words. It is below it, likewise, in 2." in words


def test_transfer_without_reliabilities_or_encoder_says_so():
    *_, errors, words = transfer(ONE)
    assert errors.endswith("there are no reliabilities to correct with.")
    assert words.startswith("There is no encoder to compare with")


def test_transfer_of_facets_beyond_answers_is_told_from_none():
    assert "in 1 of 2 pairs it is above them, with an interval above 0" in facet_transfer(ONE)[0]
    none = ONE.with_columns(difference_low=pl.lit(-0.1))
    assert "so nothing here shows one code for traits" in facet_transfer(none)[0]
    assert (
        "mean r on another persona is 0.45 over 2 ordered pairs, where the answers themselves correlate at 0.30"
        in (facet_transfer(none)[0])
    )


def test_gaps_name_the_largest_and_count_those_off_zero():
    columns = "first second layer position r_first_to_second r_second_to_first gap gap_low gap_high n"
    rows = [("a", "b", 3, "eot", 0.2, 0.5, -0.3, -0.4, -0.1, 50), ("a", "c", 3, "eot", 0.3, 0.2, 0.1, -0.1, 0.3, 50)]
    text = gaps(table(rows, columns))[0]
    assert "excludes 0, in 1 of 2 pairs" in text
    assert "A to B r = 0.20, B to A 0.50, a gap of −0.30 [−0.40, −0.10], n = 50" in text
    assert "It is the largest of 2, so optimistic" in text


def test_means_name_who_gives_and_who_receives():
    columns = "persona layer position outbound outbound_low outbound_high inbound inbound_low inbound_high gap gap_low"
    rows = [
        ("a", 3, "eot", 0.5, 0.4, 0.6, 0.2, 0.1, 0.3, 0.3, 0.1),
        ("b", 3, "eot", 0.2, 0.1, 0.3, 0.5, 0.4, 0.6, -0.3, -0.4),
    ]
    frame = table(rows, columns).with_columns(gap_high=pl.col("gap") + 0.35, n=50)
    text = means(frame)[0]
    assert "that of A, mean r = 0.50 [0.40, 0.60], and worst that of B, 0.20" in text
    assert "Read best is B, 0.50 [0.40, 0.60], and worst A, 0.20" in text
    assert "1 of 2 personas differ in the two" in text


def test_cosines_are_counted_against_chance_and_by_direction():
    rows = [("a", "b", 3, 0.5, 0.2), ("b", "a", 3, -0.5, 0.2), ("a", "c", 3, 0.1, 0.2), ("a", "d", 3, None, 0.2)]
    text = cosines(table(rows, "direction other layer cosine null_high"))[0]
    assert "Of 3 cosines" in text
    assert "2 lie beyond the 95th percentile of random directions, 1 of them in the same direction" in text


def biased(read, trained, partial_low):
    columns = "train test third kind layer position r low high n"
    rows = [
        ("a", "b", "b", "raw", *read),
        ("a", "b", "a", "raw", *trained),
        ("a", "b", "a", "partial", 0.1, partial_low, 0.3),
    ]
    return table([(*row[:4], 3, "eot", *row[4:], 50) for row in rows], columns)


def test_bias_says_whom_the_predictions_follow():
    read, trained = (0.5, 0.4, 0.6), (0.2, 0.1, 0.3)
    assert (
        "0.20 with those of the one trained on: they follow the persona that is read more."
        in bias(biased(read, trained, -0.1))[0]
    )
    assert "follow the persona that is read no more than" in bias(biased(trained, read, -0.1))[0]
    assert "do not follow the persona that is read in any pair" in bias(biased((0.5, -0.1, 0.9), trained, -0.1))[0]
    assert "0.10 on average; 1 of 1 intervals lie above 0 and 0 below" in bias(biased(read, trained, 0.05))[0]
    assert "0.10 on average; 0 of 1 intervals" in bias(biased(read, trained, -0.1))[0]


def test_roles_tell_whose_utilities_are_meant():
    rows = [("a", "b", third, kind) for kind in ("raw", "partial", "double partial") for third in ("b", "a", "c")]
    roles = table(rows, "train test third kind").with_columns(role=bias_role())["role"].to_list()
    assert roles[:3] == ["read", "trained", "yardstick"]
    assert roles[4:6] == ["partial trained", "partial yardstick"]
    assert roles[6:] == ["double partial"] * 3


@pytest.mark.parametrize(
    ("low", "verdict"), [(0.1, "has the first and not the second"), (-0.1, "follows the utilities in no")]
)
def test_matched_choices_set_preference_against_identity(low, verdict):
    columns = "first second direction layer position r low high offset offset_low offset_high n_matched n"
    rows = [("preference", 0.4, low, 0.6, -0.1, -0.3, 0.2), ("identity", 0.0, -0.2, 0.2, 5.0, 4.0, 6.0)]
    text = matched(table([("a", "b", row[0], 3, "eot", *row[1:], 12, 50) for row in rows], columns))[0]
    assert "preference direction of both go with those of the utilities at a mean r of 0.40" in text
    assert "lie 0.10 apart (mean size; 0 of 1 intervals exclude 0)" in text
    assert "lie 5.00 apart (mean size; 1 of 1 intervals exclude 0)" in text
    assert verdict in text
    assert "Matched are 12 tasks a pair." in text


@pytest.mark.parametrize(("last", "verb"), [(0.4, "rises"), (0.1, "does not rise")])
def test_diversity_compares_fewest_and_most(last, verb):
    columns = "test n_personas layer position r low high utility_r difference_low own_r n_rows"
    rows = [
        ("a", 1, 3, "eot", 0.2, 0.1, 0.3, 0.3, -0.2, 0.5, 90),
        ("a", 4, 3, "eot", last, 0.05, 0.5, 0.35, 0.01, 0.5, 90),
    ]
    text = diversity(table(rows, columns))[0]
    assert f"{verb} from 0.20 (trained on 1) to {last:.2f} (on 4, where 1 of 1 intervals" in text
    assert "own reaches 0.50 on average, the utilities of those trained on 0.35" in text
    assert "above 0, for 1 of 1 personas" in text
    assert "with 90 training rows" in text


def test_the_layer_is_the_one_with_the_highest_mean(tables):
    two = pl.concat([ONE, ONE.with_columns(layer=pl.lit(6, pl.Int64), r=pl.col("r") + 0.1)])
    assert "at layer 6 (position eot)" in facet_transfer(two)[0]
    assert start_of({"transfer": two}, ("transfer",)) == (6, "eot")
    assert start_of({"probe_bias": biased((0, 0, 0), (0, 0, 0), 0)}, ("transfer", "probe_bias")) == (3, "eot")
    known = tables["shift_correlations"].with_columns(
        value=pl.when(pl.col("layer") == 18, pl.col("scorer") == "probe").then(0.9).otherwise("value")
    )
    assert best_shift_layer(known) == 18
    strong = tables["stimulus_effects"].with_columns(
        d_paired=pl.when(pl.col("layer") == 6).then(-5.0).otherwise("d_paired")
    )
    assert best_stimulus_layer(strong) == 6


@pytest.mark.parametrize("name", WORDS)
def test_tables_without_numbers_still_have_words(tables, name):
    frame = tables[name].head(3)
    thin = frame.with_columns(pl.lit(None, pl.Float64).alias(c) for c, t in frame.schema.items() if t.is_float())
    for text in WORDS[name](thin):
        assert text
        assert "None" not in text
        assert "nan" not in text


def test_tracking_goes_through_the_removals_at_the_layer_where_the_probe_follows_best():
    columns = "train test position layer step r low utility_r difference_low"
    rows = [
        ("a", "b", "eot", layer, step, r, r - 0.1, 0.3, r - 0.45)
        for layer, start in ((3, 0.6), (9, 0.2))
        for step, r in ((0, start), (1, 0.05))
    ]
    (text,) = tracking(table(rows, columns))
    assert text.startswith("At layer 3 (position eot), the probe of A on other personas")
    assert (
        "after 0 removals mean r is 0.60 (1 of 1 intervals above 0, 1 above the correlation of the utilities)" in text
    )
    assert "after 1 removal mean r is 0.050 (0 of 1 intervals above 0, 0 above" in text
    assert text.endswith("The utilities alone correlate at 0.30.")
