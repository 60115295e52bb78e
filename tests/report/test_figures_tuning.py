"""The ideal self's figures: every mark is a number of the table, and what was refused is drawn as what it is."""

import polars as pl
import pytest
from tuning_tables import CLOSED, RUNS, WEAK, compared_row, frame, gap_rows

from personascope.report.estimate_marks import run_styles
from personascope.report.figures_tuning import beyond_by_run, gap_by_run, loss_curves, toward_the_ideal
from personascope.report.figures_tuning_compared import facet_map, responses
from personascope.report.figures_tuning_elsewhere import elsewhere, held_out, side_effects
from personascope.report.figures_tuning_ideal import ideal_before_and_after, likeness_map, shapes, toward_whom
from personascope.report.figures_tuning_shift import facet_span, run_cosines, shift_cosines

PLAIN = "circle-open"


def visible(figure):
    return [trace for trace in figure.data if trace.visible is not False]


def marks(figure, axis):
    """Values and open grey marks in one panel, from top to bottom."""
    own = [trace for trace in figure.data if trace.xaxis == axis and trace.x[0] is not None]
    plain = [trace for trace in own if trace.marker.symbol == PLAIN]
    return [trace for trace in own if trace.marker.symbol != PLAIN], plain


def test_losses_begin_at_the_untrained_model_and_ring_the_epoch_that_was_kept(tables):
    figure = loss_curves(tables)
    assert [trace.name for trace in figure.data] == list(RUNS)
    first = figure.data[0]
    assert (list(first.x), list(first.y)) == ([0, 1, 2], [2.0, 1.3, 1.1])
    assert [colour != "white" for colour in first.marker.line.color] == [False, False, True]
    assert first.line.width > figure.data[1].line.width


def test_runs_of_one_lesson_share_a_colour_and_differ_by_marker():
    styles = run_styles(list(RUNS), RUNS)
    assert styles["meta-0"].colour == styles["meta-1"].colour != styles["self-0"].colour
    assert len({style.symbol for run, style in styles.items() if RUNS[run] == "meta"}) == 3
    assert len({style.colour for style in run_styles(["a", "b"], {}).values()}) == 2


def test_every_facet_goes_from_before_to_after_and_other_runs_wait_for_their_selector(tables):
    figure = toward_the_ideal(tables)
    first = [trace for trace in visible(figure) if trace.meta["run"] == "meta-0"]
    assert len(first) == len(visible(figure)) == 4
    by_name = {trace.name: trace for trace in first if trace.name}
    own = tables["tuning_profiles"].filter(run="meta-0")
    for name, point in (("self before", "before"), ("self after", "after"), ("ideal before training", "ideal")):
        assert sorted(by_name[name].x) == sorted(own.filter(point=point)["trait"])
    joined = first[0]
    assert list(joined.x[:2]) == [by_name["self before"].x[0], by_name["self after"].x[0]]
    assert set(by_name["self before"].error_x.array) == {0.0}
    assert {trace.meta["run"] for trace in figure.data} == set(RUNS)


def test_a_single_run_needs_no_selector(tables):
    alone = {"tuning_profiles": tables["tuning_profiles"].filter(run="meta-0")}
    assert all(trace.meta is None for trace in toward_the_ideal(alone).data)


def test_gaps_closed_stand_with_their_intervals_beside_the_plain_slope(tables):
    figure = gap_by_run(tables)
    values, plain = marks(figure, "x")
    assert [trace.x[0] for trace in values] == list(CLOSED.values())
    assert [trace.error_x.array[0] for trace in values] == pytest.approx([0.1] * 5)
    assert [trace.x[0] for trace in plain] == pytest.approx([closed + 0.05 for closed in CLOSED.values()])
    assert all(trace.text is None for trace in plain)
    assert "plain slope (biased)" in [trace.name for trace in figure.data]
    assert len([shape for shape in figure.layout.shapes if shape.type == "line" and shape.x0 == 1]) == 4


def test_a_refused_gap_has_no_mark_but_the_plain_slope_and_says_so(tables):
    refused = {"tuning_gap": frame(list(gap_rows("meta-0", None)))}
    figure = gap_by_run(refused)
    values, (plain,) = marks(figure, "x")
    assert (values, plain.x[0]) == ([], 0.2)
    assert plain.text[0].strip() == "refused"
    assert "cannot be told from error" in plain.customdata[0].replace("<br>", " ")
    assert "plain slope 0.20 (biased)" in plain.customdata[0]


def test_the_first_run_is_compared_with_every_other(tables):
    figure = beyond_by_run(tables)
    values, _ = marks(figure, "x")
    assert [trace.x[0] for trace in values] == pytest.approx([0.05, 0.45, 0.3, 0.1])
    assert list(figure.layout.yaxis.ticktext) == [run for run in RUNS if run != "meta-0"]
    assert not [shape for shape in figure.layout.shapes if shape.type == "line"]


def test_a_facet_beyond_the_bound_is_hollow_and_the_bound_is_shaded(tables):
    figure = ideal_before_and_after(tables)
    within, beyond = [trace for trace in visible(figure) if trace.xaxis == "x2" and trace.x[0] is not None]
    assert (len(within.x), len(beyond.x)) == (24, 1)
    assert beyond.marker.color == "white"
    assert (-0.1, 0.1) in [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.xref == "x2"]
    alone = ideal_before_and_after({"tuning_drift_facets": tables["tuning_drift_facets"]})
    assert next(note.text for note in alone.layout.annotations) == "<b>Difference</b>"


def test_both_goals_stand_side_by_side(tables):
    figure = toward_whom(tables)
    values, _ = marks(figure, "x")
    assert [trace.x[0] for trace in values[:5]] == list(CLOSED.values())
    assert [trace.x[0] for trace in values[5:]] == pytest.approx([closed / 2 for closed in CLOSED.values()])
    assert {"toward its ideal", "toward the helpful assistant"} <= {trace.name for trace in figure.data}


def test_all_four_shapes_are_drawn_or_refused(tables):
    assert {trace.xaxis for trace in shapes(tables).data if trace.xaxis} == {"x", "x2", "x3", "x4"}
    none = tables["tuning_shape"].with_columns(
        value=pl.lit(None, pl.Float64), low=pl.lit(None, pl.Float64), refused=pl.lit(WEAK)
    )
    drawn = [trace for trace in shapes({"tuning_shape": none}).data if trace.text]
    assert len(drawn) == 4 * len(RUNS)


def test_likeness_stars_intervals_off_zero(tables):
    (trace,) = likeness_map(tables).data
    assert trace.text[0][1] == "<b>0.80 ★</b>"
    assert trace.text[0][2] == "0.10"
    assert trace.z[0][0] is None


def test_other_forms_stand_below_the_taught_one(tables):
    figure = elsewhere(tables)
    assert list(figure.layout.yaxis.ticktext) == ["as it was taught", "Wording 2", "Forced choice"]
    values, plain = marks(figure, "x")
    assert [trace.x[0] for trace in values] == [0.5, 0.4]
    assert [bool(trace.text) for trace in plain] == [False, False, True]
    ratios, refused = marks(figure, "x2")
    assert ([trace.x[0] for trace in ratios], len(refused)) == ([0.8], 1)
    alone = elsewhere({"tuning_transfer": tables["tuning_transfer"]})
    assert list(alone.layout.yaxis.ticktext) == ["Wording 2", "Forced choice"]


def test_held_out_facets_are_named_by_run(tables):
    figure = held_out(tables)
    assert list(figure.layout.yaxis.ticktext) == ["meta-held-out-0: held-out facets"]


def test_side_effects_stand_beside_the_untrained_model(tables):
    figure = side_effects(tables)
    lines = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert lines == [0.0, 1.0, 0.9, 0.1, 0.3, 1.1]
    assert len(figure.data) == 6 * len(RUNS)
    assert figure.data[0].x[0] == tables["tuning_side_effects"]["kl"][0]


def test_shifts_lie_in_or_out_of_what_random_directions_reach(tables):
    figure = shift_cosines(tables)
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["<b>Ideal − Self</b>", "<b>Facets</b>", "<b>Preference</b>"]
    high, low, first = figure.data[:3]
    assert (list(high.y), list(low.y)) == ([0.3, 0.3], [-0.3, -0.3])
    assert list(first.y) == pytest.approx([0.45, 0.45])
    only_runs = {"tuning_shift": tables["tuning_shift"].filter(kind="run")}
    assert shift_cosines(only_runs) is None
    assert run_cosines({"tuning_shift": tables["tuning_shift"].filter(kind="direction")}) is None


def test_runs_shifts_are_starred_beyond_random_directions_at_each_layer(tables):
    figure = run_cosines(tables)
    assert [trace.meta["layer"] for trace in figure.data] == [4, 9]
    assert sum(trace.visible for trace in figure.data) == 1
    assert figure.data[0].text[0][1] == "<b>0.70 ★</b>"
    assert figure.data[0].text[0][2] == "0.20"


def test_the_share_in_the_facets_span_stands_beside_three_kinds_of_random_spans(tables):
    figure = facet_span(tables)
    bars = [trace for trace in figure.data if trace.mode == "lines"]
    dots = [trace for trace in figure.data if trace.mode == "markers" and trace.x[0] is not None]
    assert (len(bars), len(dots)) == (3 * 2 * len(RUNS), 2 * len(RUNS))
    assert dots[0].x[0] == 0.5


def test_responses_pass_through_zero_with_the_target_and_the_matches(tables):
    figure = responses(tables)
    curves = {trace.name: trace for trace in figure.data if trace.mode == "lines+markers"}
    assert list(curves["Ideal − Self"].x) == [0.0, 0.05, 0.1, 0.2]
    assert list(curves["Facets"].marker.color)[-1] == "white"
    matches = [trace for trace in figure.data if trace.name == "match"]
    assert [list(trace.x) for trace in matches] == [[0.1], [0.1]]
    assert [trace.showlegend for trace in matches] == [True, False]
    assert [shape.y0 for shape in figure.layout.shapes] == [0.4]
    alone = responses({"tuning_responses": tables["tuning_responses"]})
    assert not alone.layout.shapes


def test_the_map_of_facets_leaves_random_directions_out(tables):
    figure = facet_map(tables)
    (trace,) = figure.data
    assert list(trace.y) == [
        "Tuned (meta-0)",
        "Ideal − Self (r = 0.80)",
        "Facets (r = 0.80)",
        "Shift of training (r = 0.80)",
        "Shift added to the base (r = 0.80)",
        "Shift taken from the tuned model (r = 0.80)",
        "Shift held at the base's mean (r = 0.80)",
    ]
    own = tables["tuning_compared_facets"].filter(kind="tuned")
    assert sorted(trace.z[0]) == pytest.approx(sorted(own["moved"]), abs=1e-4)
    only_random = tables["tuning_compared_facets"].filter(pl.col("way") == "random 1")
    assert facet_map({"tuning_compared_facets": only_random}) is None


def test_figures_of_the_comparison_bear_ways_that_moved_nothing():
    rows = [compared_row("steered", "facets", None, target=None)]
    nothing = {"way": "facets", "coefficient": 0.1, "response": None, "is_match": False, "past_peak": False}
    asked = frame([nothing])
    figure = responses({"tuning_responses": asked, "tuning_compared": frame(rows)})
    assert list(figure.data[0].y) == [0.0, None]
