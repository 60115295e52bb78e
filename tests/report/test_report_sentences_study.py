"""Paragraphs of a questionnaire study: what is claimed, and that nothing is claimed of numbers that are not there."""

import polars as pl
import pytest
from report_tables import table

from personascope.report import sentences_study

WORDS = {
    "hexaco_bias": sentences_study.bias,
    "hexaco_specifications": sentences_study.wordings,
    "hexaco_components": sentences_study.components,
    "hexaco_just_helpful": sentences_study.just_helpful,
    "hexaco_short_and_rest": sentences_study.short_and_rest,
    "hexaco_between_models": sentences_study.between_models,
}


def holed(frame):
    """Every number and truth null, and one row with them all."""
    empty = [pl.lit(None, t).alias(c) for c, t in frame.schema.items() if t.is_numeric() or t == pl.Boolean]
    return frame.with_columns(empty)


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("rows", ["all", "one", "holed", "one holed", "half holed"])
def test_no_hole_shows_in_a_sentence(tables, name, rows):
    frame = tables[name]
    if rows == "half holed":
        frame = pl.concat([holed(frame).head(1), frame])
    else:
        frame = frame.head(1) if "one" in rows else frame
        frame = holed(frame) if "holed" in rows else frame
    texts = WORDS[name](frame)
    assert texts
    for text in texts:
        assert text.strip() == text
        assert text.endswith(".")
        assert "None" not in text
        assert "nan" not in text.lower()
        assert "  " not in text


def bias(*rows):
    return table(
        [(p, i, v, v and v - 0.1, v and v + 0.1, 8, f) for p, i, v, f in rows], "persona index value low high n flag"
    )


def test_flags_are_named_with_their_worst_value():
    (text,) = sentences_study.bias(
        bias(
            ("self", "acquiescence", 0.2, "f"),
            ("meta", "acquiescence", -0.4, "f"),
            ("self", "label_mass", 0.45, "f"),
            ("meta", "label_mass", 0.2, None),
            ("evil", "label_mass", 0.3, "f"),
            ("evil", "key_consistency", None, "no facet has items of both keys"),
        )
    )
    assert text == (
        "Indices beyond their limits: acquiescence for Self and Meta (at worst −0.40 [−0.50, −0.30]); label mass for "
        "Self and Evil (at worst 0.30 [0.20, 0.40])."
    )


def test_all_personas_are_called_so_only_where_there_are_several():
    rows = [(persona, "acquiescence", 0.2, "f") for persona in ("self", "meta")]
    assert "acquiescence for all personas (" in sentences_study.bias(bias(*rows))[0]
    assert "acquiescence for Self (" in sentences_study.bias(bias(*rows[:1]))[0]


def test_no_flag_is_said_plainly_and_no_value_is_no_clean_bill():
    fine = bias(("self", "acquiescence", 0.2, None), ("meta", "acquiescence", 0.2, None))
    assert sentences_study.bias(fine) == ["No index of response bias passes its limit for any of the 2 personas."]
    assert sentences_study.bias(fine.head(1)) == ["No index of response bias passes its limit for Self."]
    none = bias(("self", "acquiescence", None, "no facet has items of both keys"))
    assert sentences_study.bias(none) == ["No index of response bias could be computed."]
    assert sentences_study.bias(fine.drop("flag")) == []


def specifications(*groups):
    rows = [
        (f"{number} - b", "H", str(wording), "ascending", robust, sure, 2)
        for number, (robust, sure) in enumerate(groups)
        for wording in (1, 2)
    ]
    return table(rows, "contrast domain phrasing order robust share_significant n_specifications")


def test_wordings_count_domains_of_contrasts_and_not_rows():
    (text,) = sentences_study.wordings(specifications((True, 1.0), (True, 0.5), (False, 1.0)))
    assert text == (
        "Each contrast was asked in 2 ways (wordings times anchor orders). 2 of 3 domain differences keep the same "
        "sign in at least 90 % of them, and 1 of 3 also lie apart from 0 in as many."
    )


def test_wordings_say_nothing_of_what_is_not_known():
    (text,) = sentences_study.wordings(specifications((True, None)))
    assert text.endswith("All 1 domain differences keep the same sign in at least 90 % of them.")
    (text,) = sentences_study.wordings(specifications((None, None)))
    assert text.endswith("Whether its sign depends on the wording is not available.")


def test_components_are_readable_and_those_of_nothing_are_not_named():
    longest = "persona x item x phrasing x order x replicate"
    frame = table([("persona", 0.012), ("item", 0.0), (longest, 0.6), ("item x order", 0.388)], "component share")
    (text,) = sentences_study.components(frame)
    assert text == (
        "Of the variance of keyed answers within facets, the personas make 1.2 %. Largest parts of the variance within "
        f"facets: {longest} 60.0 %, item x order 38.8 % and persona 1.2 %."
    )
    (text,) = sentences_study.components(frame.filter(pl.col("component") != "persona"))
    assert text.startswith("Largest parts")


def test_the_regression_speaks_for_itself(tables):
    (text,) = sentences_study.just_helpful(tables["hexaco_just_helpful"])
    assert text == (
        "(meta - self) is 1.10 times (helpful - self). Slope 1.10 [0.80, 1.40] over 25 facets (plain least squares "
        "0.90); cosine of the two profiles 0.85, without their errors 0.95; reliability of helpful − self 0.88."
    )
    (text,) = sentences_study.just_helpful(tables["hexaco_just_helpful"].select("statement"))
    assert text == "There is no slope to show. (meta - self) is 1.10 times (helpful - self)."
    (text,) = sentences_study.just_helpful(tables["hexaco_just_helpful"].select("statement", "slope"))
    assert "Slope 1.10 [no interval] (plain" in text
    silent = tables["hexaco_just_helpful"].select(pl.lit(None, pl.String).alias("statement"))
    assert sentences_study.just_helpful(silent) == ["There is no slope to show."]


def short(*rows):
    return table(rows, "contrast facet short_difference rest_difference gap gap_se z")


def test_facets_apart_are_counted_among_those_tested():
    (text,) = sentences_study.short_and_rest(
        short(
            ("a - b", "one", 0.0, 0.0, 0.0, 0.1, 2.1),
            ("a - b", "two", 0.1, 0.2, 0.1, 0.1, -1.0),
            ("a - b", "three", 0.2, 0.4, 0.1, 0.1, -3.0),
            ("a - b", "four", 0.3, 0.6, None, None, None),
        )
    )
    assert text == (
        "Items of the short form against all others, over facets: A − B r = 1.00, 2 of 3 facets apart. Apart means by "
        "more than 1.96 standard errors; about 0.2 of each would be by chance."
    )


def test_one_facet_or_one_that_never_changes_has_no_correlation():
    flat = short(*[("a - b", name, 0.1, value, 0.1, 0.1, 0.5) for name, value in (("one", 0.2), ("two", 0.3))])
    for frame in (flat, flat.head(1)):
        assert "r = not available, none of the" in sentences_study.short_and_rest(frame)[0]
    (text,) = sentences_study.short_and_rest(flat.with_columns(z=pl.lit(None, pl.Float64)))
    assert text.endswith("A − B r = not available, no facet could be tested.")


def test_models_are_compared_by_contrast_under_their_own_names(tables):
    frame = tables["hexaco_between_models"].filter(pl.col("subject").is_in(["meta - self", "self"]))
    assert sentences_study.between_models(frame) == [
        "Correlation of contrasts over 25 facets: Meta − Self 0.40 [0.10, 0.70] (big_model and small-model)."
    ]
    assert sentences_study.between_models(frame.filter(profile="persona")) == [
        "No contrast has a correlation between models."
    ]
    assert sentences_study.between_models(frame.with_columns(r=pl.lit(None, pl.Float64))) == [
        "No contrast has a correlation between models."
    ]
    uncounted = frame.with_columns(n=pl.lit(None, pl.Int64))
    assert sentences_study.between_models(uncounted)[0].startswith("Correlation of contrasts: Meta − Self 0.40 ")
    uneven = pl.concat([frame, frame.with_columns(n=pl.lit(7, pl.Int64))])
    assert sentences_study.between_models(uneven)[0].startswith("Correlation of contrasts over 7 to 25 facets: ")
