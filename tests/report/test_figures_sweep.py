"""Figures of a probe's controls: every curve with its levels, groups in their rows, removals beside random ones."""

import polars as pl
import pytest
from report_tables import FACETS, SCRIPT, TOPICS
from sweep_tables import SWEPT

from personascope.report.figures_sweep import (
    confound_curves,
    group_dots,
    left_out_curves,
    removal_curves,
    variance_left,
)
from personascope.report.layer_grid import LEVELS

FACET_NAMES = [facet for group in FACETS.values() for facet in group]


def probes(figure):
    return [trace for trace in figure.data if trace.name == "<b>probe</b>"]


def test_three_ways_to_sum_up_left_out_groups_stand_side_by_side_for_each_target(tables):
    frame = tables["leave_one_group"]
    found = probes(left_out_curves(frame))
    whats = ("pooled", "mean over groups", "within groups")
    wanted = [
        frame.filter(target=target, what=what, metric="r")["value"].to_list()
        for target in ("utility", "item score")
        for what in whats
    ]
    assert [list(trace.y) for trace in found] == wanted
    assert all(list(trace.x) == SWEPT for trace in found)
    assert len({(trace.xaxis, trace.yaxis) for trace in found}) == 6


def test_every_curve_has_the_levels_its_table_has_and_each_enters_the_legend_once(tables):
    figure = left_out_curves(tables["leave_one_group"])
    names = [level.name for level in LEVELS if level.column in tables["leave_one_group"].columns]
    assert len(names) == 4
    pooled = {trace.name for trace in figure.data if trace.xaxis in (None, "x")}
    assert pooled == {*names, "<b>probe</b>", "95 % interval"}
    middle = {trace.name for trace in figure.data if trace.xaxis == "x2"}
    assert "ceiling: root of the reliability" not in middle
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(shown) == sorted(pooled)


def test_all_curves_share_one_vertical_scale(tables):
    figure = left_out_curves(tables["leave_one_group"])
    axes = [figure.layout[name] for name in ("yaxis", *(f"yaxis{place}" for place in range(2, 7)))]
    assert [axis.matches for axis in axes] == ["y4", "y4", "y4", None, "y4", "y4"]


def test_confounds_are_split_by_what_was_taken_away(tables):
    figure = confound_curves(tables["confounds"])
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["<b>Topic means removed</b>", "<b>Text removed</b>"]
    assert [figure.layout[name].title.text for name in ("yaxis", "yaxis3")] == ["Utility: r", "Item score: r"]
    own = tables["confounds"].filter(target="item score, text removed")["value"].to_list()
    assert list(probes(figure)[3].y) == own
    names = {trace.name for trace in figure.data}
    assert {"matched directions, 95th percentile", "sentence encoder alone", "words alone"} <= names


def test_the_share_of_variance_left_is_drawn_where_the_text_was_taken_away(tables):
    utility, items = variance_left(tables["confounds"]).data
    assert list(utility.y) == pytest.approx([0.7 - layer / 100 for layer in SWEPT])
    assert list(items.x) == SWEPT
    without = tables["confounds"].with_columns(variance_left=pl.lit(None, pl.Float64))
    assert variance_left(without) is None


def test_groups_stand_in_their_rows_at_the_layer_that_is_shown(tables):
    frame = tables["leave_one_group"]
    figure = group_dots(frame, 15)
    shown = [trace for trace in probes(figure) if trace.visible]
    assert [trace.meta["layer"] for trace in shown] == [15, 15]
    assert {trace.meta["layer"] for trace in figure.data} == set(SWEPT)
    for trace, target, groups in zip(shown, ("utility", "item score"), (TOPICS, FACET_NAMES), strict=True):
        own = frame.filter(target=target, what="group", layer=15)
        assert list(trace.x) == own["value"].to_list()
        assert [groups[at] for at in trace.y] == own["group"].to_list()
    assert len(figure.layout.yaxis.ticktext) == len(TOPICS)
    assert len(figure.layout.yaxis2.ticktext) == 25


def test_groups_are_compared_with_the_better_of_words_and_encoder(tables):
    figure = group_dots(tables["leave_one_group"])
    text = next(trace for trace in figure.data if trace.name == "better of words and encoder")
    assert set(text.x) == {0.2}
    hover = probes(figure)[0].customdata[0]
    for part in ("<b>Math</b>", "layer 0", "[", "words alone 0.15", "sentence encoder alone 0.20", "n = 10"):
        assert part in hover


def test_without_groups_of_their_own_there_is_no_figure_of_them(tables):
    frame = tables["leave_one_group"]
    assert group_dots(frame.filter(pl.col("what") == "pooled")) is None
    assert left_out_curves(frame.filter(pl.col("what") == "group")) is None


def test_removals_are_drawn_beside_random_ones_and_shuffled_labels(tables):
    frame = tables["removals"]
    shown = [trace for trace in removal_curves(frame, 12).data if trace.visible]
    utility = {trace.name: trace for trace in shown if trace.xaxis in (None, "x")}
    own = frame.filter(target="utility", layer=12)
    assert list(utility["<b>probe's directions</b>"].y) == own.filter(removed="probe")["r"].to_list()
    random = own.filter(removed="random").group_by("step").agg(pl.col("r").mean()).sort("step")
    assert list(utility["random directions, mean"].y) == pytest.approx(random["r"].to_list())
    assert set(utility["shuffled labels, 95th percentile"].y) == {0.12}
    assert list(utility["random directions, range"].y)[:6] == pytest.approx(
        own.filter(removed="random").group_by("step").agg(pl.col("r").max()).sort("step")["r"].to_list()
    )


def test_names_of_targets_and_groups_are_escaped(tables):
    hostile = [pl.concat_str(pl.col(name), pl.lit(SCRIPT)).alias(name) for name in ("target", "group")]
    frame = tables["leave_one_group"].with_columns(hostile)
    for figure in (left_out_curves(frame), group_dots(frame)):
        assert "<script" not in str(figure.to_dict())
    assert "<script" not in str(confound_curves(tables["confounds"].with_columns(hostile[0])).to_dict())
