"""Figures on induced shifts and on stimuli: every number at its place; what has no layer is drawn once."""

import polars as pl
import pytest
from sharing_tables import DESIGNS, READERS, SETS, TURNS

from personascope.report.figures_shifts import (
    MOST_DOTS,
    kind_of,
    shift_correlations,
    shift_curves,
    shift_scatter,
    target_ranks,
    target_shifts,
)
from personascope.report.figures_stimuli import effect_differences, stimulus_curves, stimulus_dots
from personascope.report.theme import SERIES

LAYER = 9


def shown(figure):
    """Traces with data that can be seen at first."""
    return [trace for trace in figure.data if trace.visible in (True, None) and trace.x and trace.x[0] is not None]


def with_intervals(figure, axis="x"):
    return [trace for trace in shown(figure) if trace.xaxis == axis and trace.error_x.array is not None]


def test_cells_are_told_apart_by_what_the_prompt_means_for_them(tables):
    frame = tables["shift_cells"].filter(pl.col("layer") == LAYER, pl.col("scorer") == "probe")
    frame = frame.filter(pl.col("design") == "opposing")
    here = [trace for trace in shown(shift_scatter(tables["shift_cells"], LAYER)) if trace.xaxis == "x3"]
    found = {trace.name: trace for trace in here}
    target = frame.filter(pl.col("role") == "target")
    for name, part in (
        ("meant to rise", target.filter(pl.col("polarity") != 0, pl.col("sign") == 1)),
        ("meant to fall", target.filter(pl.col("sign") == -1)),
        ("mentioned only", target.filter(pl.col("polarity") == 0)),
        ("pulled both ways", frame.filter(pl.col("role") == "opposed")),
        ("off target", frame.filter(pl.col("role") == "off")),
    ):
        assert list(found[name].x) == pytest.approx(part["choice_shift"].to_list(), rel=1e-3), name
        assert list(found[name].y) == pytest.approx(part["score_shift"].to_list(), rel=1e-3), name


def test_many_cells_off_target_are_thinned_and_those_on_target_are_not(tables):
    frame = tables["shift_cells"].filter(pl.col("design") == "targeted", pl.col("layer") == LAYER)
    many = pl.concat([frame] * 10)
    sizes = {trace.name: len(trace.x) for trace in shown(shift_scatter(many)) if trace.yaxis == "y"}
    assert sizes["off target"] <= MOST_DOTS
    on = many.filter(pl.col("scorer") == "probe", pl.col("role") == "target", pl.col("polarity") != 0)
    assert sizes["meant to rise"] + sizes["meant to fall"] == on.height
    assert "pulled both ways" not in {trace.name for trace in shift_scatter(many).data if trace.x == (None,)}


def test_tiny_shifts_are_not_rounded_away(tables):
    tiny = tables["shift_cells"].with_columns(pl.col("score_shift") * 1e-8)
    assert max(abs(y) for trace in shown(shift_scatter(tiny)) for y in trace.y) > 1e-9


def test_the_encoder_is_drawn_once_and_at_every_layer(tables):
    encoder = [trace for trace in shift_scatter(tables["shift_cells"]).data if trace.yaxis == "y5" and trace.name]
    assert encoder
    assert all(trace.meta is None for trace in encoder)
    for draw, name in ((shift_correlations, "shift_correlations"), (target_shifts, "shift_targets")):
        plain = [t for t in draw(tables[name], LAYER).data if t.meta is None and t.error_x.array is not None]
        per_layer = tables[name].filter(pl.col("layer") == tables[name]["layer"][0])
        wanted = per_layer.filter(pl.col("statistic") == "pearson") if "statistic" in per_layer.columns else per_layer
        column = "scorer" if "scorer" in per_layer.columns else "measure"
        assert len(plain) == wanted.filter(pl.col(column).is_in(["encoder", "choice"])).height


def test_correlations_stand_in_the_column_of_their_cells_and_the_row_of_their_design(tables):
    frame = tables["shift_correlations"].filter(pl.col("statistic") == "pearson", pl.col("layer") == LAYER)
    figure = shift_correlations(tables["shift_correlations"], LAYER)
    for place, cells in enumerate(("all", "on_target", "off_target"), start=1):
        dots = [
            dot for dot in with_intervals(figure, f"x{place}".removesuffix("1")) if dot.meta and dot.error_x.array[0]
        ]
        probe = frame.filter(pl.col("scorer") == "probe", pl.col("cells") == cells)
        assert [dot.x[0] for dot in dots] == probe["value"].to_list()
        assert [round(dot.y[0]) for dot in dots] == list(range(len(DESIGNS)))
    random = [dot for dot in with_intervals(figure) if dot.meta and not dot.error_x.array[0]]
    assert len(random) == 5 * len(DESIGNS)


def test_curves_show_the_largest_random_direction(tables):
    frame = tables["shift_correlations"].filter(pl.col("statistic") == "pearson", pl.col("cells") == "all")
    own = frame.filter(pl.col("scorer").str.starts_with("random"), pl.col("design") == "conflict")
    largest = own.group_by("layer", maintain_order=True).agg(pl.col("value").abs().max())["value"].to_list()
    lines = [t for t in shift_curves(tables["shift_correlations"]).data if t.xaxis == "x" and t.line.dash == "dot"]
    (line,) = [trace for trace in lines if trace.line.color == SERIES[1]]
    assert list(line.y) == largest
    assert shift_curves(tables["shift_correlations"].filter(pl.col("layer") == LAYER)) is None


def test_target_shifts_are_in_standard_deviations_with_their_intervals(tables):
    frame = tables["shift_targets"].filter(pl.col("layer") == 0, pl.col("design") == "targeted")
    choice = frame.filter(pl.col("measure") == "choice")
    dots = [
        dot for dot in with_intervals(target_shifts(tables["shift_targets"], LAYER)) if dot.marker.symbol == "diamond"
    ]
    assert [dot.x[0] for dot in dots] == pytest.approx(choice["standardised"].to_list())
    ends = (choice["high"] - choice["mean"]) / 2.0
    assert [dot.error_x.array[0] for dot in dots] == pytest.approx(ends.to_list())
    assert all(dot.error_x.arrayminus[0] > 0 for dot in dots)


def test_ranks_stand_beside_chance(tables):
    figure = target_ranks(tables["shift_rank_summary"], LAYER)
    dots = sorted(with_intervals(figure), key=lambda dot: dot.y[0])
    assert [dot.x[0] for dot in dots] == pytest.approx([0.9, 0.6, 0.1])
    marks = [trace for trace in shown(figure) if trace.marker.symbol == "line-ns-open" and trace.xaxis == "x"]
    assert [mark.x[0] for mark in marks] == [0.02] * 3
    middles = [trace.x[0] for trace in shown(figure) if trace.marker.symbol == "line-ns-open" and trace.xaxis == "x2"]
    assert middles == [25.5] * 3


def test_scorers_are_told_by_name():
    assert [kind_of(name) for name in ("probe", "encoder", "random 3", "other")] == ["probe", "encoder", "random", None]


def test_effects_of_probe_and_encoder_stand_in_their_rows_over_chance(tables):
    frame = tables["stimulus_effects"]
    figure = stimulus_dots(frame, LAYER)
    for place, name in enumerate(SETS, start=1):
        dots = with_intervals(figure, f"x{place}".removesuffix("1"))
        filled = [dot.x[0] for dot in dots if dot.marker.color != "white"]
        hollow = [dot.x[0] for dot in dots if dot.marker.color == "white"]
        own = frame.filter(pl.col("set") == name)
        assert filled == own.filter(pl.col("layer") == LAYER)["d_paired"].to_list()
        assert hollow == own.filter(pl.col("scorer") == "encoder")["d_paired"].to_list()
    bars = [trace for trace in shown(figure) if trace.mode == "lines" and trace.xaxis == "x"]
    chance = frame.filter(pl.col("set") == "truth", pl.col("layer") == LAYER)["random_d95"].to_list()
    assert [bar.x[1] for bar in bars] == chance
    assert [bar.x[0] for bar in bars] == [-value for value in chance]
    assert len(figure.layout.yaxis.ticktext) == len(TURNS) * len(READERS)


def test_effect_curves_have_a_panel_for_each_set_and_turn(tables):
    frame = tables["stimulus_effects"]
    figure = stimulus_curves(frame)
    assert len(figure.layout.annotations) == len(SETS)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(lines) == len(SETS) * len(TURNS) * len(READERS)
    own = frame.filter(pl.col("set") == "harm", pl.col("turn") == "reply", pl.col("persona") == "evil")
    assert own.drop_nulls("layer")["d_paired"].to_list() in [list(trace.y) for trace in lines]
    broken = [trace for trace in figure.data if trace.line.dash == "dash"]
    assert {trace.y[0] for trace in broken} == set(frame.filter(pl.col("scorer") == "encoder")["d_paired"])
    assert stimulus_curves(frame.filter(pl.col("layer") == LAYER)) is None


def test_differences_are_starred_where_effects_have_opposite_signs(tables):
    frame = tables["stimulus_differences"]
    figure = effect_differences(frame, LAYER)
    stars = [trace.x[0] for trace in shown(figure) if trace.text]
    here = frame.filter((pl.col("layer") == LAYER) | pl.col("layer").is_null())
    assert sorted(stars) == sorted(here.filter(pl.col("flips"))["difference"])
    assert stars
