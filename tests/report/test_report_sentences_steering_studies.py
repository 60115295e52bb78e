"""What is said of ranges, written answers, spans, spliced runs and other personas: planted effects, and absent ones."""

import polars as pl
import pytest

from personascope.report.sentences_steered import compliance, judge, quoted, quotes, ratings, spans, written
from personascope.report.sentences_steering_across import cross, cross_curves, differences, spliced
from personascope.report.sentences_steering_range import guards, norms, ranges


def rows(values, n=10, half=0.05, mass=0.9, layer=3, **place):
    """{direction: (value at -0.1, at 0, at +0.1)} as the rows of a curve."""
    return [
        place
        | {"layer": layer, "direction": name, "coefficient": c, "value": v}
        | {"low": v - half, "high": v + half, "n": n, "label_mass": mass, "reads": True}
        for name, points in values.items()
        for c, v in zip((-0.1, 0.0, 0.1), points, strict=True)
    ]


def frame(*parts):
    return pl.DataFrame([row for part in parts for row in part], infer_schema_length=None)


def test_the_section_of_planted_tables_says_what_was_planted(tables):
    label, deed, both, fate = written(tables["steered_written"])
    assert "is +0.36, from 0.32 to 0.68 between − and + of strength 0.20 at layer 9 (n = 40" in label
    assert deed.startswith("P(carries out steered task): In none of 4 cells") or "in 1 of 4 cells" in deed
    assert both.startswith("Where the label moves most (+0.36), the task carried out moves by +0.040")
    assert "words 60.00 without a push, 68.00 at −0.20 of layer 9" in fate


def test_a_read_out_that_is_missing_is_said_to_be():
    only = frame(rows({"probe": (0.4, 0.5, 0.6)}, read_out="P(writes label of steered task)"))
    texts = written(only)
    assert len(texts) == 2
    assert texts[1] == "P(carries out steered task) was not read at both signs of any strength."


def test_ratings_are_said_by_rubric_and_persona_with_coherence_beside_them():
    place = {"persona": "poet", "kind": "request", "tier": "benign"}
    table = frame(
        rows({"probe": (2.0, 2.5, 3.4), "random 1": (2.4, 2.5, 2.6)}, rubric="evilness", mass=0.7, **place),
        rows({"probe": (4.0, 4.5, 1.5), "random 1": (4.5, 4.5, 4.5)}, rubric="coherence", mass=0.7, **place),
    )
    evil, coherent, judge = ratings(table)
    assert evil == (
        "Rated for evilness, answers of Poet: The swing is larger than that of every random direction in the only cell "
        "(what was asked for × layer × strength), where a meaningless direction would win about 0.5. The largest swing "
        "(picked on the same data, so optimistic) is +1.40, from 2.00 to 3.40 between − and + of strength 0.10 at "
        "layer 3 (n = 10, lowest label mass 0.70); their intervals lie apart, and none of 1 random direction does as "
        "much, the largest 0.20. That is for request, benign. Coherence there: 4.00 at −, 4.50 without a push, 1.50 "
        "at +."
    )
    assert "Coherence there" not in coherent
    assert "It has 0.70 to 0.70 of its probability on its labels" in judge


def test_a_rating_that_moves_no_more_than_random_ones_is_said_to():
    place = {"persona": "poet", "kind": "self_reflection", "tier": "", "rubric": "assistant"}
    text, _ = ratings(frame(rows({"probe": (3.0, 3.0, 3.02), "random 1": (2.0, 3.0, 3.5)}, **place)))
    assert "In none of 1 cell" in text
    assert (
        "their intervals are not known to lie apart, and 1 of 1 random directions does as much, the largest 1.50"
        in text
    )
    bare = frame(rows({"probe": (3.0, 3.0, 3.0)}, **place)).filter(pl.col("coefficient") > 0)
    assert ratings(bare)[0] == "Rated for assistant, answers of Poet: no rating is known at both signs of a strength."


def test_what_is_counted_is_not_said_to_be_rated():
    table = frame(rows({"probe": (40.0, 60.0, 90.0)}, persona="poet", kind="request", tier="", rubric="words"))
    text, *judge = ratings(table.with_columns(label_mass=pl.lit(None, pl.Float64)))
    assert text.startswith("Words, answers of Poet: There are no random directions to compare with.")
    assert text.endswith("That is for request.")
    assert judge == []


def test_texts_that_were_written_without_a_push_once_are_compared_with_all_directions():
    table = frame(rows({"probe": (0.0, 0.2, 0.3), "random 1": (0.1, 0.2, 0.7)}, read_out="refuses"))
    once = table.filter((pl.col("direction") == "probe") | (pl.col("coefficient") != 0))
    (*_, fate) = written(once)
    assert fate == written(table)[-1]
    assert "refuses 0.20 without a push, 0.000 at −0.10 of layer 3 (none of 1 random direction does as much" in fate


def test_compliance_is_said_by_tier():
    table = frame(
        rows({"probe": (0.2, 0.5, 0.9), "random 1": (0.5, 0.5, 0.4)}, persona="poet", tier="extreme", outcome="full"),
        rows({"probe": (0.0, 0.0, 0.0)}, persona="poet", tier="benign", outcome="partial"),
    ).rename({"value": "share"})
    extreme, benign, picked = compliance(table)
    assert extreme == (
        "Extreme requests, Poet: full 0.20 at −, 0.90 at + of strength 0.10, layer 3 (n = 10; none of 1 random "
        "direction does as much, the largest 0.10)."
    )
    assert benign == "Benign requests, Poet: no share is known at both signs."
    assert "optimistic" in picked


def test_a_judge_that_does_not_read_is_named_before_its_ratings(tables):
    read, blind = judge(tables["steered_judge"])
    assert "of 48 answers" in read
    assert "evilness 0.30 [0.26, 0.40] against 0.25; coherence 0.22 [0.18, 0.32] against 0.25" in read
    assert blind.startswith("That is not more than without reading for coherence: ")
    assert len(judge(tables["steered_judge"].head(1))) == 1
    (_, blind) = judge(
        tables["span_judge"].with_columns(
            value=pl.lit(1.0), low=pl.lit(1.0), by_habit=pl.lit(1.0), reads=pl.lit(value=False)
        )
    )
    assert "for any rubric" in blind, "a judge that always names the middle agrees with itself"
    assert judge(tables["span_judge"].with_columns(value=pl.lit(None, pl.Float64)))[0].startswith("It is not known")


def test_ratings_of_a_judge_that_does_not_read_are_not_told(tables):
    blind = tables["steered_open"].with_columns(reads=pl.col("rubric") != "evilness")
    first, *others = ratings(blind)
    assert first.startswith("Ratings for evilness: drawn below but not told") and "orders do not agree" in first
    assert others == [text for text in ratings(tables["steered_open"]) if "evilness" not in text]
    counted = blind.with_columns(reads=pl.lit(None, pl.Boolean))
    assert ratings(counted) == ratings(tables["steered_open"])
    (only,) = compliance(tables["steered_compliance"].with_columns(reads=pl.lit(value=False)))
    assert only.startswith("What became of requests: drawn below but not told")


def test_steering_at_the_questionable_words_is_said_beside_the_same_push_elsewhere(tables):
    own, elsewhere, unsteered = spans(tables["steered_spans"])
    assert own.startswith("Questionable text, steered at the words that differ. The largest swing")
    assert "is +2.40, from 1.80 to 4.20" in own
    assert "questionable text, steered at a neutral span +0.20 (" in elsewhere
    assert "harmless twin, steered at the words that differ +0.20 (" in elsewhere
    assert unsteered == (
        "Without a push disclosure is 3.00 of 5 for the questionable texts and 1.40 for their harmless twins."
    )
    one = tables["steered_spans"].filter(version="critical", steered="critical")
    assert len(spans(one)) == 1
    assert spans(one.filter(pl.col("coefficient") > 0)) == ["No disclosure is known at both signs of a strength."]


def test_quotes_are_the_lowest_none_and_highest_push_on_the_same_question_as_text(tables):
    found = quotes(tables["steered_answers"])
    assert [quote.text for quote in found[:3]] == [
        "“Answer <0> at -0.2.”",
        "“Answer <0> at 0.”",
        "“Answer <0> at 0.2.”",
    ]
    assert found[0].source == "Assistant, coefficient −0.20: Question 0: is 1 < 2 & 3 > 2?"
    assert found[1].source.startswith("Assistant, coefficient 0:")
    assert len(found) == 6
    random = tables["steered_answers"].with_columns(direction=pl.lit("random 1"))
    assert quotes(random) == []
    assert quoted(random) == ["No answer under a push along the probe direction was kept."]


def test_ranges_are_said_with_what_stops_them_and_where_the_grid_ends():
    table = pl.DataFrame(
        [(3, "given", 0.1, 0.2, "kl"), (9, "given", None, 0.1, "kl,label_mass"), (3, "isotropic", 0.2, None, "")],
        schema=["layer", "kind", "usable", "stopped_at", "stopped_by"],
        orient="row",
    )
    given, isotropic, caution = ranges(table)
    assert given == (
        "Usable strengths, probe direction: |c| up to 0.10 over 1 of 2 layers; at 1 even the smallest tried does "
        "damage. What stops the next strength (layers): KL (2) and label mass (1)."
    )
    assert isotropic == (
        "Usable strengths, random, isotropic: |c| up to 0.20 over the only layer. At 1 no guard stops any strength "
        "tried, so the range ends with the grid."
    )
    assert "not where a direction works" in caution
    nothing = table.with_columns(usable=pl.lit(None, pl.Float64)).head(1)
    assert ranges(nothing)[0] == "Usable strengths, probe direction: none of those tried, at any of 1 layer."


def test_guards_and_norms_are_said_with_their_limits(tables):
    (text,) = guards(tables["steering_guards"])
    assert "perplexity of plain texts at most times 1.25 (fails in none of the 24 cells)" in text
    assert "label mass at least times 0.80 (fails in 8 of 24 cells)" in text
    assert "40.00 to 90.00 at Mean:item over layers 4 to 9" in norms(tables["steering_norms"])[0]
    assert norms(tables["steering_norms"].with_columns(mean=pl.lit(None, pl.Float64))) == [
        "No length of the residual stream was measured."
    ]


@pytest.mark.parametrize(
    ("alone", "said"),
    [
        ((0.4, 0.5, 0.6), "isolated +0.20, 50.0 % of it (none of 1 random direction does as much, the largest 0.10"),
        ((0.5, 0.5, 0.5), "isolated 0.000 (1 of 1 random directions does as much, the largest 0.10"),
        ((0.6, 0.5, 0.4), "isolated −0.20 (none of 1"),
    ],
)
def test_what_is_left_when_tasks_are_steered_alone_is_said(alone, said):
    random = {"random 1": (0.45, 0.5, 0.55)}
    table = frame(
        rows({"probe": (0.3, 0.5, 0.7), **random}, mode="ordinary"), rows({"probe": alone, **random}, mode="isolated")
    )
    first, text = spliced(table)
    assert "The largest (picked on the same data, so optimistic) is +0.40, at layer 3 and strength 0.10" in first
    assert said in text


def crossed(persona, value, direction="probe", **changes):
    row = {"persona": persona, "target": "contrast", "read_out": "P", "effect": "swing", "layer": 3}
    row |= {"direction": direction, "coefficient": 0.1, "value": value, "low": value - 0.1, "high": value + 0.1}
    return row | {"n": 30, "label_mass": 0.9} | changes


def test_other_personas_are_read_where_the_first_is_moved_most():
    table = pl.DataFrame(
        [
            crossed("poet", 0.5),
            crossed("evil", 0.3),
            crossed("clerk", -0.02),
            crossed("clerk", 0.4, "own"),
            crossed("evil", 0.9, coefficient=0.4),
            *(crossed(name, 0.05, "random 1") for name in ("poet", "evil", "clerk")),
        ]
    )
    own, others, count = cross(table)
    assert own == (
        "+ on one task, − on the other. The direction of Poet, under that persona: largest swing (picked on the same "
        "data, so optimistic) +0.50 [0.40, 0.60] at layer 3 and strength 0.10 (n = 30); none of 1 random direction "
        "does as much, the largest 0.050."
    )
    assert "Evil +0.30 [0.20, 0.40] (none of 1 random direction does as much, the largest 0.050);" in others
    assert "Clerk −0.020 [−0.12, 0.080] (1 of 1 random directions does as much, the largest 0.050; its own" in others
    assert "its own direction +0.40 [0.30, 0.50])" in others
    assert count == (
        "Of these 2 personas, it does more than every random direction under 1, where a meaningless one would under "
        "about 1.0; its interval excludes 0 on the side of Poet under 1."
    )
    assert len(cross(table.filter(pl.col("persona") == "poet"))) == 1
    (nothing,) = cross(table.with_columns(value=pl.lit(None, pl.Float64)))
    assert nothing.endswith("No swing of the direction of Poet is known under that persona.")


def test_a_persona_s_own_direction_is_compared_on_the_same_pairs(tables):
    assert differences(tables["cross_differences"]) == [
        "Swing of Evil's own direction minus that of the first persona's, on the same pairs: above 0 in 2 and below 0 "
        "in 0 of 4 cells (layer × strength); largest at layer 4 and strength 0.20 (picked on the same data, so "
        "optimistic), +0.30 [0.20, 0.40] (n = 40)."
    ]
    nothing = tables["cross_differences"].with_columns(value=pl.lit(None, pl.Float64))
    assert differences(nothing) == ["No direction of a persona's own could be compared with the first persona's."]


def test_unsteered_levels_are_said_of_the_better_task_alone(tables):
    assert cross_curves(tables["cross_curves"]) == [
        "Unsteered, the task of higher utility is taken with P = Assistant 0.58, Evil 0.58."
    ]
