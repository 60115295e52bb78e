"""Removal, patching and steered facets: what is drawn beside what, and how it copes with what is missing."""

import polars as pl
import pytest

from personascope.report.figures_facet_steering import in_order, keyed_effects, own_and_others, selectivity_map
from personascope.report.figures_necessity import ablation_curves, patching_curves

PROBE = "<b>directions of the probe</b>"


def visible(figure):
    return [trace for trace in figure.data if trace.visible is not False]


def test_removals_are_compared_with_all_kinds_of_random_subspaces(tables):
    frame = tables["ablation"]
    figure = ablation_curves(frame, {"layers": "4"})
    shown = [trace for trace in visible(figure) if trace.xaxis == "x"]
    probe = shown[-1]
    own = frame.filter(layers="4", kind="probe")
    assert probe.name == PROBE
    assert list(probe.y) == own["agreement"].to_list() == pytest.approx([0.9, 0.8, 0.6])
    assert list(probe.error_y.array) == pytest.approx([0.05] * 3)
    assert [len(trace.x) for trace in shown[:-1]] == [9, 9, 9]
    assert list(figure.layout.xaxis.ticktext) == ["1", "2", "4"]
    assert len({trace.xaxis for trace in figure.data}) == 3


def test_a_baseline_row_and_a_measure_that_is_missing_are_left_out(tables):
    base = tables["ablation"].head(1).with_columns(kind=pl.lit("baseline"), rank=pl.lit(None, pl.Int64))
    more = pl.concat([tables["ablation"], base]).with_columns(swap_flips=pl.lit(None, pl.Float64))
    figure = ablation_curves(more, {"layers": "4"})
    assert [note.text for note in figure.layout.annotations] == [
        "<b>Same choice as before</b>",
        "<b>Change of log-odds (nats)</b>",
    ]


def test_patching_shows_layers_as_lines_and_all_layers_as_a_level(tables):
    frame = tables["patching"]
    figure = patching_curves(frame, {"position": "eot"})
    first = {trace.name: trace for trace in visible(figure) if trace.xaxis == "x"}
    assert len(first) == 6
    assert list(first["the same pair, other order"].y) == [0.1, 0.2]
    assert list(first["the same pair, other order: all layers together"].y) == [0.2, 0.2]
    assert list(first["the same pair, other order: all layers together"].x) == [4, 9]
    assert list(first["the prompt's own"].y) == [0.0, 0.0]
    assert [note.text for note in figure.layout.annotations][:2] == [
        "<b>Takes the donor's task</b>",
        "<b>Takes the donor's label</b>",
    ]


def test_patching_at_one_layer_with_rates_that_nobody_could_show_is_drawn(tables):
    one = tables["patching"].filter(pl.col("layer") == 9)
    none = one.with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("rate", "low", "high"))
    assert len(patching_curves(one, {"position": "eot"}).data) == 2 * 3 * 4
    for trace in patching_curves(none, {"position": "eot"}).data:
        assert list(trace.y) == [None]
        assert list(trace.error_y.array) == [0.0]


def test_the_map_frames_each_direction_s_own_facet_and_sets_random_ones_below(tables):
    frame = tables["facet_selectivity"]
    figure = selectivity_map(frame)
    (trace,) = figure.data
    assert (len(trace.z), len(trace.z[0])) == (27, 25)
    frames = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(shape.x0, shape.y0) for shape in frames] == [(at - 0.5, at - 0.5) for at in range(25)]
    for at in (0, 24):
        facet = in_order(frame["facet"])[at]
        own = frame.filter(steered=facet, facet=facet)["effect"][0]
        assert trace.z[at][at] == round(own, 3)
    assert list(figure.layout.yaxis.ticktext)[-2:] == ["Random 1", "Random 2"]


def test_a_map_of_few_facets_has_numbers_and_one_without_random_rows_no_line(tables):
    few = tables["facet_selectivity"].filter(
        pl.col("facet").is_in(["sincerity", "patience"]), pl.col("steered").is_in(["sincerity", "patience"])
    )
    figure = selectivity_map(few)
    assert figure.data[0].texttemplate == "%{text}"
    assert {shape.type for shape in figure.layout.shapes} == {"rect"}
    assert list(figure.layout.xaxis.ticktext) == ["Sincerity", "Patience"]


def test_own_effects_stand_beside_others_and_the_largest_random_one(tables):
    rows = tables["facet_selectivity_rows"]
    shown = {(trace.name, trace.xaxis): trace for trace in own_and_others(rows).data}
    assert list(shown["<b>own effect</b>", "x"].x) == rows["own_effect"].to_list()
    assert set(shown["mean size on other facets", "x"].x) == {0.03}
    assert set(shown["largest random direction, size", "x"].x) == {0.06}
    selectivity = next(trace for (_, axis), trace in shown.items() if axis == "x2")
    assert list(selectivity.error_x.array) == pytest.approx([0.05] * 25)


def test_items_of_either_key_are_told_apart(tables):
    figure = keyed_effects(tables["facet_selectivity"])
    shown = {trace.name: trace for trace in figure.data}
    own = tables["facet_selectivity"].filter(pl.col("own"))
    assert list(shown["+ items"].x) == own["positive"].to_list()
    assert list(shown["− items"].x) == own["negative"].to_list()
    assert shown["+ items"].marker.symbol != shown["− items"].marker.symbol
    assert keyed_effects(tables["facet_selectivity"].filter(~pl.col("own"))) is None


def test_facets_that_nobody_knows_come_last():
    assert in_order(pl.Series(["zeal", "patience", "altruism", "sincerity", None])) == [
        "sincerity",
        "patience",
        "altruism",
        "zeal",
    ]
