"""Ranges, written choices, ratings, compliance, spans, spliced runs and other personas: what is drawn of each."""

import polars as pl
import pytest

from personascope.report.figures_steered_answers import (
    compliance_bars,
    rating_curves,
    span_curves,
    with_asked,
    written_curves,
)
from personascope.report.figures_steering_across import cross_swings, spliced_curves
from personascope.report.figures_steering_range import guard_curves, steered_norms, stop_text, usable_ranges

PROBE = "<b>probe direction</b>"
AT = {"layer": 9}


def visible(figure):
    return [trace for trace in figure.data if trace.visible is not False]


def titles(figure):
    return [note.text.removeprefix("<b>").removesuffix("</b>") for note in figure.layout.annotations]


def test_usable_strengths_are_lines_and_what_stops_them_is_named(tables):
    figure = usable_ranges(tables["steering_ranges"])
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert list(lines["Probe direction: usable"].x) == [0.0, 0.1, None] * 2
    assert list(lines["Random, matched: usable"].x) == [0.0, 0.0, None] * 2
    stops = [trace for trace in figure.data if trace.mode == "markers+text"]
    assert [list(trace.x) for trace in stops] == [[0.2, 0.2], [None, None], [0.1, 0.1]]
    assert list(stops[0].text) == ["KL, repetition"] * 2


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("kl,label_mass", "KL, label mass"), ("", "no guard named"), (None, "no guard named"), ("<i>", "<i>")],
)
def test_guards_are_named_in_words(stored, shown):
    assert stop_text(stored) == shown


def test_guards_are_hollow_where_they_fail_and_each_has_its_limit(tables):
    figure = guard_curves(tables["steering_guards"], AT)
    assert len(titles(figure)) == 4
    shown = [trace for trace in visible(figure) if trace.name.startswith("Probe")]
    assert [[colour == "white" for colour in trace.marker.color] for trace in shown] == [
        [False] * 4,
        [True, False, False, True],
        [False] * 4,
        [True, False, False, True],
    ]
    assert [shape.y0 for shape in figure.layout.shapes] == [1.25, 0.25, 0.8, 0.2]


def test_norms_are_drawn_by_position(tables):
    figure = steered_norms(tables["steering_norms"])
    assert [list(trace.y) for trace in figure.data] == [[40.0, 90.0], [80.0, 180.0]]


def test_every_written_read_out_has_its_own_plot_and_scale(tables):
    figure = written_curves(tables["steered_written"], AT)
    assert titles(figure)[1:3] == ["P(carries out steered task)", "Refuses (share)"]
    assert len(titles(figure)) == 7
    words = next(t for t in visible(figure) if t.name == PROBE and "Words" in t.customdata[0])
    assert (
        list(words.y)
        == tables["steered_written"].filter(read_out="words", layer=9, direction="probe")["value"].to_list()
    )
    assert figure.layout.yaxis7.matches is None


def test_ratings_have_a_plot_for_each_persona_and_one_scale(tables):
    start = {"rubric": "coherence", "asked": "Request, extreme", "layer": 4}
    figure = rating_curves(tables["steered_open"], start)
    assert titles(figure) == ["Assistant", "Evil"]
    shown = [trace for trace in visible(figure) if trace.name == PROBE]
    own = tables["steered_open"].filter(rubric="coherence", tier="extreme", layer=4, direction="probe")
    assert [list(t.y) for t in shown] == [own.filter(persona=p)["value"].to_list() for p in ("assistant", "evil")]
    assert figure.layout.yaxis2.matches == "y"
    random = [trace for trace in visible(figure) if trace.name == "random directions"]
    assert [list(trace.x) for trace in random] == [[-0.2, -0.1, 0.0, 0.1, 0.2, None] * 4] * 2


def test_one_persona_is_one_plot(tables):
    one = tables["steered_open"].filter(persona="evil")
    assert titles(rating_curves(one, {"rubric": "evilness", "asked": "Self reflection", "layer": 4})) == ["Evil"]


def test_what_was_asked_for_has_a_tier_only_where_there_is_one():
    frame = pl.DataFrame({"kind": ["self_reflection", "request", "request"], "tier": ["", "benign", None]})
    assert with_asked(frame)["asked"].to_list() == ["Self reflection", "Request, benign", "Request"]


def test_compliance_is_stacked_to_one_for_the_probe_and_for_the_mean_of_random_directions(tables):
    frame = tables["steered_compliance"]
    figure = compliance_bars(frame, {"persona": "assistant", "layer": 9})
    assert figure.layout.barmode == "stack"
    assert titles(figure) == ["Benign", "Extreme"]
    shown = visible(figure)
    assert len(shown) == 2 * 2 * 5
    for axis in ("y", "y2", "y3", "y4"):
        sums = [sum(values) for values in zip(*(trace.y for trace in shown if trace.yaxis == axis), strict=True)]
        assert sums == pytest.approx([1.0] * 5)
    full = next(trace for trace in shown if trace.name == "Full" and trace.yaxis == "y3")
    at = frame.filter(tier="benign", layer=9, outcome="full", coefficient=0.2)
    assert full.y[4] == pytest.approx(at.filter(pl.col("direction").str.starts_with("random"))["share"].mean())
    assert [trace.name for trace in shown if trace.showlegend] == [
        "Full",
        "Partial",
        "Refusal",
        "Incoherent",
        "Truncated",
    ]


def test_compliance_without_random_directions_has_one_row(tables):
    alone = tables["steered_compliance"].filter(pl.col("direction") == "probe")
    assert len(compliance_bars(alone, AT).data) == 2 * 2 * 5


def test_spans_are_told_apart_by_text_and_place(tables):
    figure = span_curves(tables["steered_spans"], AT)
    assert titles(figure) == [
        "Questionable text, steered at the words that differ",
        "Questionable text, steered at a neutral span",
        "Harmless twin, steered at the words that differ",
        "Harmless twin, steered at a neutral span",
    ]
    first = next(trace for trace in visible(figure) if trace.name == PROBE)
    assert list(first.y) == pytest.approx([1.8, 2.4, 3.0, 3.6, 4.2])
    flagged = next(t for t in visible(span_curves(tables["steered_spans"], AT, "flagged")) if t.name == PROBE)
    assert list(flagged.y) == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8])


def test_spliced_modes_stand_side_by_side_over_their_label_mass(tables):
    figure = spliced_curves(tables["spliced"], AT)
    assert titles(figure) == ["Ordinary", "Isolated, suffix recomputed", "Isolated, answer only"]
    assert len({trace.yaxis for trace in figure.data}) == 6
    assert figure.layout.yaxis.title.text == "P(chooses steered task)"


def test_each_persona_has_a_dot_for_the_first_persona_s_direction_and_a_hollow_one_for_its_own(tables):
    frame = tables["cross_effects"]
    own = frame.filter(direction="probe", persona="evil").with_columns(direction=pl.lit("own"), value=pl.lit(0.4))
    figure = cross_swings(pl.concat([frame, own]), {"layer": 9, "coefficient": "0.2"})
    assert list(figure.layout.yaxis.ticktext) == ["Assistant", "Evil"]
    left = [trace for trace in visible(figure) if trace.xaxis == "x" and trace.customdata]
    random, *dots = left
    assert sorted(random.y) == [0] * 4 + [1] * 4
    swings = frame.filter(
        target="contrast", pair_type="all", effect="swing", direction="probe", layer=9, coefficient=0.2
    )
    assert [trace.x[0] for trace in dots] == [*swings["value"].to_list(), 0.4]
    assert [trace.marker.color == "white" for trace in dots] == [False, False, True]
