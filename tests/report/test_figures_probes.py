"""Probe figures: curves with every control, transfer maps with the baseline, angles with their null."""

import polars as pl
import pytest
from report_tables import CHOOSERS, HEXACO, LAYERS, table

from personascope.report.figures_probes import (
    CONTROLS,
    direction_map,
    layer_curves,
    own_direction_curves,
    transfer_maps,
)


def test_each_target_persona_and_position_has_its_curve_and_every_control(tables):
    frame = tables["probes"]
    figure = layer_curves(frame)
    for target, persona, position in frame.select("target", "persona", "position").unique().iter_rows():
        own = {"target": target, "persona": persona, "position": position}
        traces = [trace for trace in figure.data if own.items() <= trace.meta.items()]
        part = frame.filter(target=target, persona=persona, position=position)
        probe = next(trace for trace in traces if trace.name == "<b>probe</b>")
        assert list(probe.x) == LAYERS
        assert list(probe.y) == part["value"].to_list()
        assert {control.name for control in CONTROLS} <= {trace.name for trace in traces}
    assert {trace.meta["persona"] for trace in figure.data} == {*CHOOSERS, *HEXACO, "all"}


def test_one_curve_is_visible_at_first(tables):
    visible = [trace.meta for trace in layer_curves(tables["probes"]).data if trace.visible]
    keys = {(meta["target"], meta["persona"], meta["position"]) for meta in visible}
    assert keys == {("utility", "assistant", "eot")}


def test_layers_are_joined_in_order_whatever_the_order_of_the_rows(tables):
    shuffled = tables["probes"].sample(fraction=1.0, shuffle=True, seed=1)
    for trace in layer_curves(shuffled).data:
        if trace.name == "<b>probe</b>":
            assert list(trace.x) == LAYERS


def test_the_axis_is_named_after_the_metric(tables):
    accuracy = tables["probes"].filter(pl.col("metric") == "accuracy")
    assert "accuracy" in layer_curves(accuracy).layout.yaxis.title.text
    assert {trace.meta["y_title"] for trace in layer_curves(tables["probes"]).data} == {
        "correlation of prediction and truth (held out)",
        "accuracy (held out)",
    }


def test_absent_controls_and_intervals_leave_only_the_curve(tables):
    names = [*(control.column for control in CONTROLS), "within_group"]
    bare = (
        tables["probes"]
        .filter(target="choice")
        .with_columns(pl.lit(None, pl.Float64).alias(name) for name in [*names, "low", "high", "p_value"])
    )
    assert [trace.name for trace in layer_curves(bare).data] == ["<b>probe</b>"]


def test_the_band_runs_along_high_and_back_along_low(tables):
    part = tables["probes"].filter(target="choice")
    band = next(trace for trace in layer_curves(part).data if trace.fill == "toself")
    assert list(band.y) == part["high"].to_list() + part["low"].to_list()[::-1]


def test_transfer_maps_put_trained_in_rows_and_tested_in_columns(tables):
    frame = tables["transfer"]
    figure = transfer_maps(frame, (15, "eot"))
    shown = [trace for trace in figure.data if trace.visible]
    assert [trace.meta["layer"] for trace in shown] == [15] * 3
    for trace, name in zip(shown, ("r", "utility_r", "difference"), strict=True):
        for row, train in enumerate(CHOOSERS):
            for column, test in enumerate(CHOOSERS):
                cell = frame.filter(layer=15, train=train, test=test)
                assert trace.z[row][column] == cell[name][0]
    assert {trace.meta["layer"] for trace in figure.data} == set(LAYERS)


def test_only_differences_between_personas_above_zero_are_starred():
    columns = "train test layer position r low high utility_r difference difference_low difference_high n"
    rows = [
        ("a", "a", 1, "eot", 0.9, 0.8, 1.0, 0.1, 0.8, 0.7, 0.9, 9),
        ("a", "b", 1, "eot", 0.9, 0.8, 1.0, 0.1, 0.8, 0.7, 0.9, 9),
        ("b", "a", 1, "eot", 0.9, 0.8, 1.0, 0.1, 0.8, -0.1, 0.9, 9),
        ("b", "b", 1, "eot", 0.9, 0.8, 1.0, 0.1, None, None, None, 9),
    ]
    r, _, difference = transfer_maps(table(rows, columns)).data
    assert ["★" in text for row in difference.text for text in row] == [False, True, False, False]
    assert not any("★" in text for row in r.text for text in row)
    assert difference.text[1][1] == ""


def test_hovering_a_transfer_cell_gives_interval_baseline_and_n(tables):
    hover = transfer_maps(tables["transfer"]).data[0].customdata[0][1]
    for part in ("trained on <b>Assistant</b>", "tested on <b>Evil</b>", "utilities alone", "[", "n = 240"):
        assert part in hover


def test_cosines_beyond_the_null_are_starred_on_both_sides(tables):
    frame = pl.DataFrame(
        {
            "direction": ["a", "a", "b", "b"],
            "other": ["a", "b", "a", "b"],
            "layer": [3] * 4,
            "cosine": [0.2, -0.2, 0.1, None],
            "null_high": [0.11] * 4,
        }
    )
    (trace,) = direction_map(frame).data
    assert ["★" in text for row in trace.text for text in row] == [True, True, False, False]
    assert [trace.visible for trace in direction_map(tables["direction_cosines"], 6).data] == [
        layer == 6 for layer in LAYERS
    ]


def test_own_direction_curves_draw_each_persona_against_its_own_identity(tables):
    frame = tables["direction_cosines"]
    figure = own_direction_curves(frame)
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines+markers"}
    assert set(lines) == {name.capitalize() for name in CHOOSERS}
    own = frame.filter(direction="poet", other="poet")
    assert list(lines["Poet"].y) == own["cosine"].to_list()
    null = [trace.y[0] for trace in figure.data if trace.mode == "lines"]
    assert null == pytest.approx([0.11, -0.11])
