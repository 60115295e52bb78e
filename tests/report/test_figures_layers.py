"""Figures of directions: between layers, facets by domain with their null, and models that read each other."""

import polars as pl
import pytest
from report_tables import FACETS, SCRIPT
from sweep_tables import MODELS, SWEPT

from personascope.report.figures_layers import (
    cross_model_curves,
    facet_map,
    facet_probe_dots,
    layer_maps,
    norm_curves,
    preference_dots,
)

FACET_NAMES = [facet for group in FACETS.values() for facet in group]


def many_layers(n):
    pairs = [(layer, other) for layer in range(n) for other in range(n)]
    rows = [(layer, other, 0.5, (10 * layer + other) / 1000, 9) for layer, other in pairs]
    return pl.DataFrame(rows, schema=["layer", "other", "cosine", "r", "n"], orient="row")


@pytest.mark.parametrize(("n", "numbered"), [(12, True), (13, False), (30, False)])
def test_cells_hold_numbers_only_while_they_fit(n, numbered):
    for trace in layer_maps(many_layers(n)).data:
        assert (trace.texttemplate is not None) == numbered
        assert len(trace.z) == n


def test_the_trained_layer_is_the_row_and_the_applied_one_the_column():
    frame = many_layers(13).sample(fraction=1.0, shuffle=True, seed=2)
    _, r = layer_maps(frame).data
    assert r.z[3][7] == 0.037
    assert [int(name) for name in r.y] == list(range(13))
    assert "trained on layer 3, applied to 7" in r.customdata[3][7]


def test_lengths_have_a_curve_for_each_store_and_position_on_a_log_scale(tables):
    figure = norm_curves(tables["residual_norms"])
    assert len(figure.data) == 4
    own = tables["residual_norms"].filter(store="hexaco", position="mean:item")["mean"].to_list()
    assert list(figure.data[3].y) == own
    assert figure.layout.yaxis.type == "log"
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 4


def test_facets_stand_by_domain_whatever_the_order_of_the_table(tables):
    frame = tables["facet_probes"].reverse()
    figure = facet_probe_dots(frame, 12)
    assert list(figure.layout.yaxis.ticktext)[:2] == ["Sincerity", "Fairness"]
    assert list(figure.layout.yaxis.ticktext)[-1] == "Altruism"
    probe = next(trace for trace in figure.data if trace.name == "<b>probe</b>" and trace.visible)
    places = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    value = frame.filter(layer=12, target="patience")["value"][0]
    assert dict(zip(probe.y, probe.x, strict=True))[places["Patience"]] == value
    assert {trace.meta["layer"] for trace in figure.data} == set(SWEPT)
    assert {trace.meta["layer"] for trace in figure.data if trace.visible} == {12}


def cosines():
    rows = [
        ("preference", "patience", 0.5, 0.2),
        ("preference", "sincerity", -0.1, 0.2),
        ("patience", "sincerity", 0.3, 0.1),
    ]
    both = [*rows, *((other, one, *rest) for one, other, *rest in rows)]
    frame = pl.DataFrame(both, schema=["direction", "other", "cosine", "null_high"], orient="row")
    return frame.with_columns(layer=pl.lit(4))


def test_preference_cosines_are_filled_beyond_their_own_null_band():
    band, dots = preference_dots(cosines(), 4).data
    assert list(dots.x) == [0.5, -0.1]
    assert [colour == "white" for colour in dots.marker.color] == [False, True]
    assert list(band.base) == [-0.2, -0.2]
    assert list(band.x) == [0.4, 0.4]


def test_facet_cosines_leave_preference_out_and_star_what_lies_beyond_the_null():
    (trace,) = facet_map(cosines(), 4).data
    assert list(trace.x) == ["Sincerity", "Patience"]
    assert trace.z[0][1] == 0.3
    assert trace.z[0][0] is None
    assert "★" in trace.text[0][1]


def test_a_large_map_has_stars_alone_and_lines_between_domains(tables):
    figure = facet_map(tables["facet_cosines"], 9)
    assert [trace.visible for trace in figure.data] == [layer == 9 for layer in SWEPT]
    assert {text for row in figure.data[0].text for text in row} == {"", "★"}
    assert len(figure.layout.shapes) == 2 * 6


def test_without_a_preference_direction_or_facets_there_is_no_figure():
    assert preference_dots(cosines().filter(pl.col("direction") != "preference"), 4) is None
    assert facet_map(cosines().filter(pl.col("direction") == "preference"), 4) is None


def test_models_are_columns_and_utilities_rows_with_each_models_own_layers(tables):
    frame = tables["cross_model"]
    figure = cross_model_curves(frame)
    assert [note.text for note in figure.layout.annotations] == [f"<b>Activations of {model}</b>" for model in MODELS]
    curves = {(trace.xaxis, trace.yaxis): trace for trace in figure.data if trace.name == "<b>probe</b>"}
    corner = frame.filter(model="small-model", utilities_of="big_model")
    assert list(curves["x2", "y2"].y) == corner["value"].to_list()
    assert list(curves["x2", "y2"].x) == corner["layer"].to_list()
    assert figure.layout.yaxis3.title.text == "Utilities of<br>small-model: r"


def test_names_are_escaped(tables):
    hostile = tables["cross_model"].with_columns(model=pl.col("model") + SCRIPT, utilities_of=pl.lit(SCRIPT))
    assert "<script" not in str(cross_model_curves(hostile).to_dict())
    named = cosines().with_columns(other=pl.col("other") + SCRIPT)
    assert "<script" not in str(preference_dots(named, 4).to_dict())
    lengths = tables["residual_norms"].with_columns(store=pl.lit(SCRIPT), position=pl.lit(SCRIPT))
    assert "<script" not in str(norm_curves(lengths).to_dict())
