"""Paragraphs on statistics and other ways of asking: what is claimed, and nothing of numbers that are not there."""

import polars as pl
import pytest
from report_tables import SCRIPT, hostile_tables, table

from personascope.report import sentences_read_outs, sentences_statistics
from personascope.report.page import build_page
from personascope.report.tables import present

WORDS = {
    "hexaco_shrunken": sentences_statistics.shrunken,
    "hexaco_equivalence": sentences_statistics.equivalence,
    "hexaco_power": sentences_statistics.power,
    "hexaco_adjusted": sentences_statistics.adjusted,
    "hexaco_icc": sentences_statistics.icc,
    "hexaco_d_study": sentences_statistics.d_study,
    "hexaco_variants": sentences_read_outs.variants,
    "hexaco_read_outs": sentences_read_outs.read_outs,
    "hexaco_reasons": sentences_read_outs.reasons,
}


def holed(frame):
    """Every number and truth null."""
    empty = [pl.lit(None, t).alias(c) for c, t in frame.schema.items() if t.is_numeric() or t == pl.Boolean]
    return frame.with_columns(empty)


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("rows", ["all", "one", "holed", "one holed", "half holed", "wordless"])
def test_no_hole_shows_in_a_sentence(tables, name, rows):
    frame = tables[name]
    if rows == "half holed":
        frame = pl.concat([holed(frame).head(1), frame])
    elif rows == "wordless":
        texts = [c for c in ("q", "untested", "value", "wish", "reasoning", "statement", "order") if c in frame.columns]
        frame = frame.with_columns(pl.lit(None, frame.schema[c]).alias(c) for c in texts)
    else:
        frame = frame.head(1) if "one" in rows else frame
        frame = holed(frame) if "holed" in rows else frame
    texts = WORDS[name](frame)
    assert texts
    if name == "hexaco_reasons":
        texts += [f"{quote.source}." for quote in sentences_read_outs.quotes(frame)]
    for text in texts:
        assert text.strip() == text
        assert text.endswith(".")
        assert "None" not in text
        assert "nan" not in text.lower().replace("anan", "")
        assert "  " not in text
        assert ".." not in text


def shrunken(*rows, tau=0.05, left_out=0):
    full = [("a - b", facet, raw, 0.1, 0.5, after, after - 0.1, after + 0.1, 0.2, 0.02) for facet, raw, after in rows]
    frame = table(full, "contrast facet effect se weight shrunken low high mean mean_se")
    return frame.with_columns(tau=pl.lit(tau), n_left_out=pl.lit(left_out))


def test_shrunken_effects_are_counted_and_the_largest_named_with_its_raw_size():
    (text,) = sentences_statistics.shrunken(shrunken(("one", 0.9, -0.5), ("two", 0.1, 0.05), left_out=1))
    assert text == (
        "A − B, facets taken together: the effects of 2 facets differ by a standard deviation of 0.050 beyond their "
        "errors, around their mean of +0.20 (standard error 0.020). 1 of 2 shrunken effects have an interval that "
        "excludes 0; the largest is One, −0.50 [−0.60, −0.40] (raw +0.90). Left out: 1 facet without an error of its "
        "own."
    )


def test_a_spread_of_zero_is_said_plainly():
    (text,) = sentences_statistics.shrunken(shrunken(("one", 0.1, 0.05), ("two", 0.0, 0.05), tau=0.0))
    assert "do not differ by more than their errors, so that each is drawn all the way to their mean" in text
    assert "None of the 2 shrunken effects" in text


def equivalence(*rows):
    frame = table([("a - b", *row) for row in rows], "contrast facet difference low high bound q equivalent")
    return frame.with_columns(pl.col("equivalent").cast(pl.Boolean), pl.col("q").cast(pl.Float64))


def test_equivalence_counts_alike_apart_undecided_and_untested():
    (text,) = sentences_statistics.equivalence(
        equivalence(
            ("one", 0.0, -0.05, 0.05, 0.1, 0.2, True),
            ("two", 0.0, -0.02, 0.02, 0.1, 0.01, True),
            ("three", 0.2, 0.1, 0.3, 0.1, 0.9, False),
            ("four", 0.1, -0.1, 0.3, 0.1, 0.9, False),
            ("five", None, None, None, 0.1, None, None),
        )
    )
    assert text == (
        "Equivalence within ±0.10, by two one-sided tests: A − B 2 of 4 facets equivalent (1 of them at q < .05), 1 "
        "different, 1 undecided, 1 not tested. An undecided facet is neither shown to be alike nor shown to differ."
    )


def test_no_equivalence_is_no_difference():
    (text,) = sentences_statistics.equivalence(equivalence(("one", 0.0, -0.5, 0.5, 0.1, 0.9, False)))
    assert "none of the 1 facets equivalent, 0 different, 1 undecided." in text


def adjusted(slope, *rows, left_out=0):
    full = [
        ("a - b", f"f{i}", raw, raw - 0.1, raw + 0.1, after, after - 0.1, after + 0.1, *slope, 8, left_out)
        for i, (raw, after) in enumerate(rows)
    ]
    return table(
        full,
        "contrast facet raw raw_low raw_high adjusted low high desirability_slope slope_low slope_high n n_left_out",
    )


def test_adjusted_effects_are_counted_beside_raw_ones():
    (text,) = sentences_statistics.adjusted(adjusted((0.3, 0.2, 0.4), (0.3, 0.1), (0.2, -0.05), left_out=2))
    assert text == (
        "A − B, adjusted for desirability: agreement follows desirability more strongly (slope 0.30 [0.20, 0.40]). The "
        "mean size of a facet's effect goes from 0.25 to 0.075; all 2 raw effects have an interval that excludes 0, "
        "none of the 2 adjusted ones. The sign turns in 1 facet. Items without a rating, left out: 4."
    )


@pytest.mark.parametrize(
    ("slope", "claim"),
    [
        ((-0.3, -0.4, -0.2), "agreement follows desirability less strongly"),
        ((0.3, -0.1, 0.7), "agreement is not shown to follow desirability more or less strongly"),
        ((0.3, None, None), "the change in how strongly agreement follows desirability is 0.30 [no interval]"),
    ],
)
def test_what_a_slope_allows_one_to_say(slope, claim):
    assert claim in sentences_statistics.adjusted(adjusted(slope, (0.1, 0.1)))[0]


def icc(*rows):
    return table(rows, "profile kind coefficient icc low high n_facets n_variants n_left_out")


def test_agreement_over_wordings_is_told_for_profiles_and_contrasts():
    profile, contrast, verdict = sentences_statistics.icc(
        icc(
            ("self", "persona", "ICC(2,1)", 0.5, 0.3, 0.7, 25, 3, 1),
            ("self", "persona", "ICC(2,k)", 0.8, 0.6, 0.9, 25, 3, 1),
            ("a - b", "contrast", "ICC(2,1)", 0.1, -0.1, 0.3, 24, 3, 0),
        )
    )
    assert profile == (
        "Agreement of profiles over wordings, as one wording gives them and as the mean of all does: Self 0.50 "
        "[0.30, 0.70] and 0.80 [0.60, 0.90] (25 facets and 3 wordings; 1 facet of one key left out)."
    )
    assert contrast.endswith("all does: A − B 0.10 [−0.10, 0.30] and not available (24 facets and 3 wordings).")
    assert verdict.startswith("With one wording, none of the 1 contrasts agree with an interval above 0.")


def test_d_study_names_the_fewest_wordings_that_are_enough():
    rows = [(4, 1, 0.2, 0.1), (4, 5, 0.6, 0.5), (8, 1, 0.5, 0.3), (8, 5, 0.8, 0.6), (8, 9, 0.9, 0.7)]
    (text,) = sentences_statistics.d_study(table(rows, "n_item n_phrasing g phi"))
    assert text == (
        "Reliability of a persona's score on one facet is 0.20 with 4 items and 1 wording, 0.90 with 8 items and 9 "
        "wordings; dependability, which also counts how severe items and wordings are, is 0.10 to 0.70. A reliability "
        "of 0.80 takes 8 items and 5 wordings. With 4 items no number of wordings tried gives 0.80."
    )


def test_more_items_are_named_only_where_they_spare_wordings():
    rows = [(4, 3, 0.8, 0.1), (8, 3, 0.9, 0.5), (20, 1, 0.8, 0.3), (40, 1, 0.9, 0.3)]
    (text,) = sentences_statistics.d_study(table(rows, "n_item n_phrasing g phi"))
    assert text.endswith("A reliability of 0.80 takes 4 items and 3 wordings or 20 items and 1 wording.")


def variants(*rows):
    return table(rows, "variant kind profile r low high mean_difference n_facets label_mass")


def test_variants_tell_shape_level_and_mass():
    (text,) = sentences_read_outs.variants(
        variants(
            ("7 digits", "persona", "self", 0.9, 0.8, 0.95, 0.01, 25, 0.9),
            ("7 digits", "persona", "meta", 0.5, -0.1, 0.8, -0.2, 25, 0.4),
            ("7 digits", "persona", "evil", None, None, None, 0.0, 25, 0.5),
            ("7 digits", "contrast", "meta - self", 0.3, 0.1, 0.5, -0.21, 25, None),
        )
    )
    assert text == (
        "7 digits (over 25 facets): Profiles correlate with the main way of asking at 0.50 to 0.90, lowest for Meta, "
        "0.50 [−0.10, 0.80]; 1 of 2 have an interval above 0 (1 without a correlation: too few answers, or all the "
        "same). Contrasts correlate with the main way of asking at 0.30 [0.10, 0.50] (Meta − Self). The level moves "
        "most for Meta, by −0.20. Mean label mass is 0.40 to 0.90."
    )


def test_a_variant_without_correlations_says_so():
    frame = variants(("5 letters", "persona", "self", None, None, None, None, None, None))
    (text,) = sentences_read_outs.variants(present({"hexaco_variants": frame})["hexaco_variants"])
    assert text == "5 letters: No correlation of profiles with the main way of asking could be computed."


def read_outs(*rows):
    return table(
        rows,
        "read_out persona r low high mean_difference difference_low difference_high n n_left_out n_answers "
        "value_share refusal_share unparsed_share",
    )


def test_read_outs_weigh_outcomes_by_answers():
    (text,) = sentences_read_outs.read_outs(
        read_outs(
            ("sampled", "self", 0.9, 0.8, 0.95, 0.1, 0.05, 0.15, 60, 1, 300, 1.0, 0.0, 0.0),
            ("sampled", "meta", 0.6, 0.4, 0.75, -0.02, -0.06, 0.02, 59, 2, 100, 0.6, 0.3, 0.1),
        )
    )
    assert text == (
        "Sampled: 400 written answers, of which 90.0 % a rating, 7.5 % a refusal and 2.5 % not to be read. Over items "
        "(59 to 60) they correlate with the expected ratings at 0.60 to 0.90, lowest for Meta, 0.60 [0.40, 0.75]. "
        "Expected minus written agreement is farthest from 0 for Self, +0.10 [0.050, 0.15]; its interval excludes 0 in "
        "1 of 2 personas. Items without any answer that could be read, over personas: 3."
    )


def test_a_single_persona_is_not_counted():
    row = ("sampled", "self", 0.9, 0.8, 0.95, 0.1, 0.05, 0.15, 60, 0, 1, 1.0, 0.0, 0.0)
    (text,) = sentences_read_outs.read_outs(read_outs(row))
    assert text == (
        "Sampled: 1 written answer, of which 100.0 % a rating, 0 % a refusal and 0 % not to be read. Over items (60) "
        "they correlate with the expected ratings at 0.90 [0.80, 0.95] (Self). Expected minus written agreement is "
        "+0.10 [0.050, 0.15] (Self)."
    )


def reasons(*rows):
    return table(rows, "persona facet statement order kind value wish reasoning")


def test_reasons_are_counted_by_persona_and_a_wish_is_expected_of_meta():
    (text,) = sentences_read_outs.reasons(
        reasons(
            ("self", "patience", "s", "ascending", "value", 4, None, "Because."),
            ("self", "patience", "s", "ascending", "refusal", None, "", " \n"),
            ("meta", "patience", "s", "ascending", "value", 4, "", None),
        )
    )
    assert text == (
        "Answers with reasons: Self 1 of 2 with a reasoning; Meta none of the 1 with a reasoning and none of the 1 "
        "with a wish. 2 of 3 answers hold a rating. Quoted below: 1, the first of each persona on the first facets "
        "asked, not picked by content."
    )


def test_at_most_six_quotes_stand_facet_by_facet_with_personas_side_by_side(tables):
    found = sentences_read_outs.quotes(tables["hexaco_reasons"])
    assert len(found) == 6
    assert [quote.source.split(" on ")[0] for quote in found] == ["Self", "Meta"] * 3
    assert "“I would say that sincerity is a large part" in found[1].source + found[0].source
    assert found[0].source.endswith(": rated 1 (1 is full disagreement)")
    assert all(len(quote.text) <= 222 and quote.text.endswith("…”") for quote in found)


def test_a_quote_of_an_answer_without_rating_says_so():
    rows = [("self", f, "s", None, kind, None, "", "r") for f, kind in (("a", "refusal"), ("b", "unparsed"))]
    rows.append(("self", "c", "s", "descending", "value", 5, "", "r"))
    ends = [quote.source.rpartition(": ")[2] for quote in sentences_read_outs.quotes(reasons(*rows))]
    assert ends == ["refused to rate it", "no rating could be read", "rated 5 (1 is full agreement)"]


def test_hostile_words_of_a_model_are_text_on_the_page():
    frame = reasons(("self", "a", f"<b>{SCRIPT}", "ascending", "value", 4, "", f"\u202e<i>x</i>{SCRIPT}\x00"))
    page = build_page({"hexaco_reasons": frame}, title="t", facts={})
    section = page[page.index('<section id="asking">') :].partition("</section>")[0]
    assert SCRIPT not in section
    assert "<i>" not in section
    assert "<b>" not in section
    assert "“&lt;i&gt;x&lt;/i&gt;&lt;/script&gt;&lt;script&gt;" in section
    assert "\u202e" not in section
    assert "\x00" not in section
    # 11 of reasons, 6 of answers under steering, 2 of taught examples
    assert build_page(hostile_tables(), title="t", facts={}).count("<blockquote>") == 19
