"""Paragraphs say what the numbers say, and negative results as plainly as positive ones."""

import polars as pl
import pytest

from personascope.report import sentences


def test_facets_count_intervals_off_zero_and_name_the_extremes():
    frame = pl.DataFrame(
        {
            "persona": ["self", "self", "meta", "meta"],
            "facet": ["anxiety", "patience"] * 2,
            "trait": [0.2, -0.3, 0.05, None],
            "low": [0.1, -0.4, -0.1, None],
            "high": [0.3, -0.2, 0.2, None],
            "acquiescence": [0.1, 0.1, 0.4, None],
            "n_items": [8, 8, 8, 8],
        }
    )
    first, second = sentences.facets(frame)
    assert first.startswith("2 personas answered 16 items on 2 facets. 2 of 3 trait scores have a 95 %")
    assert "from −0.30 [−0.40, −0.20] (Self, Patience) to 0.20 [0.10, 0.30] (Self, Anxiety)" in first
    assert "exceeds the trait scores in 1 of 2 personas" in second


def test_small_acquiescence_is_said_not_to_exceed_the_traits(tables):
    calm = tables["hexaco_facets"].with_columns(acquiescence=pl.lit(0.001))
    assert "does not exceed the trait scores in any persona" in sentences.facets(calm)[1]


def contrast(q, difference=0.2):
    return pl.DataFrame(
        {
            "contrast": ["meta - self"] * 3,
            "facet": ["anxiety", "patience", "altruism"],
            "difference": [difference, -0.1, None],
            "low": [0.1, -0.2, None],
            "high": [0.3, 0.0, None],
            "q": [q, 0.01, None],
            "n": [8, 8, 8],
        }
    )


def test_a_contrast_counts_only_tested_facets_below_five_percent():
    (text,) = sentences.contrasts(contrast(0.04))
    assert text.startswith("Meta − Self: all 2 facets differ at q < .05, 1 upward and 1 downward.")
    assert "Anxiety, +0.20 [0.10, 0.30], q = 0.040, n = 8 items" in text
    (text,) = sentences.contrasts(contrast(0.05))
    assert "1 of 2 facets differ" in text


def test_a_contrast_without_differences_says_so():
    (text,) = sentences.contrasts(contrast(0.5).with_columns(q=pl.lit(0.5)))
    assert "no facet differs at q < .05 (of 3)" in text


def test_quality_names_the_lowest_label_mass_and_keys_that_disagree():
    frame = pl.DataFrame(
        {
            "persona": ["self", "evil", "meta"],
            "label_mass": [0.9, 0.2, 0.8],
            "order_bias": [0.1, 0.2, 0.3],
            "acquiescence": [0.1, 0.1, 0.1],
            "key_consistency": [0.5, -0.1, 0.4],
            "n": [200, 200, 200],
        }
    )
    (text,) = sentences.answer_quality(frame)
    assert "median label mass over personas is 0.80; the lowest is 0.20 (Evil)" in text
    assert "by ±0.20" in text
    assert "n = 200" in text
    assert "in Evil they do not agree at all" in text


def quality(**changes):
    row = {
        "persona": "evil",
        **{"order_bias": 2.6, "order_bias_low": 2.5, "order_bias_high": 2.7, "flip_share": 0.9, "label_mass": 0.8},
        **{"sd_log_odds": 0.13, "split_half": 0.88, "split_half_low": 0.8, "split_half_high": 0.92, "n_pairs": 240},
    }
    return pl.DataFrame([row | changes])


def test_position_bias_is_held_against_the_spread_of_preferences():
    text = " ".join(sentences.preferences(quality()))
    assert "is larger than the spread of preferences in all 1 personas" in text
    assert "2.60 [2.50, 2.70] logits against a spread of 0.13 logits (n = 240 pairs" in text
    assert "above 0 in every persona" in text
    assert (
        "is not larger than the spread of preferences in any persona"
        in sentences.preferences(quality(sd_log_odds=3.0))[0]
    )


def test_negative_position_bias_counts_by_its_size():
    assert "is larger than" in sentences.preferences(quality(order_bias=-2.6))[0]


def test_unreliable_utilities_are_named():
    assert "not above chance for Evil" in sentences.preferences(quality(split_half_low=-0.1))[-1]


def test_utilities_name_the_highest_and_lowest_topic():
    frame = pl.DataFrame(
        {
            "persona": ["poet"] * 3,
            "task": ["1", "2", "3"],
            "topic": ["math", "poetry", "coding"],
            "utility": [-0.7, 0.5, 0.2],
            "se": [0.1, 0.1, 0.2],
        }
    )
    (text,) = sentences.utilities(frame)
    assert "Poet poetry (+0.50), math (−0.70)" in text
    assert "over 3 tasks" in text


def test_correlations_count_each_pair_once_by_the_sign_of_its_interval():
    rows = [("a", "b", 0.5, 0.3, 0.7), ("a", "c", -0.4, -0.6, -0.2), ("b", "c", 0.1, -0.1, 0.3)]
    both = [*rows, *((y, x, *rest) for x, y, *rest in rows), ("a", "a", 1.0, 1.0, 1.0)]
    frame = pl.DataFrame(both, schema=["persona_x", "persona_y", "r", "low", "high"], orient="row")
    (text,) = sentences.correlations(frame.with_columns(n=pl.lit(80)))
    assert text.startswith("Of 3 pairs of personas, 1 have utilities that correlate positively")
    assert "1 negatively" in text
    assert "Most alike: A and B, r = 0.50 [0.30, 0.70]" in text
    assert "Least alike: A and C" in text


def probe(**changes):
    row = {
        **{"target": "utility", "persona": "poet", "position": "eot", "layer": 7, "metric": "r", "value": 0.4},
        **{"low": 0.3, "high": 0.5, "n": 240, "shuffled_high": 0.2, "text_baseline": 0.25, "within_group": 0.1},
        **{"encoder_baseline": 0.27, "over_text": 0.13, "over_text_low": 0.05, "over_text_high": 0.2},
    }
    return row | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "It beats the text alone (words 0.25, encoder 0.27) by 0.13 [0.050, 0.20]."),
        ({"encoder_baseline": None}, "It beats the text alone (words 0.25, no encoder) by 0.13"),
        ({"over_text_low": -0.02}, "by 0.13 [−0.020, 0.20], which is not distinguishable from 0."),
        ({"over_text_low": None}, "above the text alone (words 0.25, encoder 0.27) by 0.13, untested."),
        (
            {"over_text": 0.0, "over_text_low": -0.1},
            "The probe does not beat the text alone (words 0.25, encoder 0.27).",
        ),
        ({"text_baseline": None, "encoder_baseline": None}, "There is no text-only baseline"),
        ({"value": -0.1, "shuffled_high": -0.2}, "not above 0, let alone shuffled labels (95th percentile −0.20)"),
        ({"value": -0.1}, "The probe does not beat the text alone"),
        ({"shuffled_high": 0.41}, "The probe does not beat the 95th percentile of probes on shuffled labels (0.41)."),
        ({"shuffled_high": 0.2}, "The probe beats the 95th percentile"),
        ({"shuffled_high": None}, "no shuffled-label probes"),
        ({"within_group": 0.1}, "Within groups r is 0.10."),
    ],
)
def test_each_verdict_on_a_probe_is_said_plainly(changes, said):
    text, caution = sentences.probes(pl.DataFrame([probe(**changes)], infer_schema_length=None))
    assert said in text
    assert "picked on the same data" in caution


def test_a_probe_sentence_has_layer_position_interval_and_n():
    text = sentences.probes(pl.DataFrame([probe(), probe(layer=3, value=0.1)]))[0]
    assert text.startswith("Utility: the best layer for Poet is 7 (position eot), with r = 0.40 [0.30, 0.50], n = 240.")


def test_several_personas_are_counted_at_their_best_layer():
    rows = [
        probe(),
        probe(persona="evil", value=0.3, over_text_low=-0.1),
        probe(persona="evil", layer=2, value=0.1, low=0.0),
    ]
    text = sentences.probes(pl.DataFrame([*rows, probe(persona="slacker", value=0.1, over_text_low=-0.3)]))[0]
    assert "Over 3 personas" in text
    assert "2 of 3 beat the shuffled 95th percentile and 1 of 3 beat the text alone" in text


def test_items_tell_agreement_with_both_keys_apart():
    frame = pl.DataFrame({"key": [1, 1, -1, -1], "agreement": [0.5, 0.3, -0.2, -0.4]})
    (text,) = sentences.items(frame)
    assert text.startswith("2 of 4 answers")
    assert "0.40 with statements for a facet and −0.30 with those against" in text


def test_of_many_personas_only_those_with_the_widest_range_are_named() -> None:
    rows = [
        {
            "persona": f"p{who}",
            "task": f"t{task}",
            "topic": f"topic {task % 2}",
            "utility": who * (-1.0) ** task,
            "se": 0.1,
        }
        for who in range(1, 9)
        for task in range(4)
    ]
    (text,) = sentences.utilities(pl.DataFrame(rows))
    assert "for the 3 of 8 personas with the widest range: P8 topic 0 (+8.0" in text
    assert "P5" not in text
