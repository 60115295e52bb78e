"""Figures of statistics computed by the measures: each number at its place, and what is left out without numbers."""

import json

import polars as pl
import pytest
from report_tables import CONTRASTS, FACETS, HEXACO, hostile_tables

from personascope.report import figures_effects as effects
from personascope.report import figures_read_outs as read_outs
from personascope.report import figures_statistics as statistics
from personascope.report.findings import TARGET, verdicts
from personascope.report.rows import domains_of, facet_rows
from personascope.report.theme import persona_styles

DRAWN = {
    "hexaco_shrunken": effects.shrunken,
    "hexaco_adjusted": effects.adjusted,
    "hexaco_equivalence": statistics.equivalence,
    "hexaco_icc": statistics.icc,
    "hexaco_d_study": statistics.d_study,
    "hexaco_variants": read_outs.variants,
    "hexaco_read_outs": read_outs.read_outs,
}
SHOWN = {"shrunken", "adjusted", "icc", "g", "r", "equivalent", "low", "high", "n_item", "n_phrasing"}
"""Numbers without which there is no mark."""


def empty(frame, kept=frozenset()):
    """The frame with every number and truth null but those kept."""
    gone = [c for c, t in frame.schema.items() if (t.is_numeric() or t == pl.Boolean) and c not in kept]
    return frame.with_columns(pl.lit(None, frame.schema[c]).alias(c) for c in gone)


def hovers(figure):
    return [text for trace in figure.data for text in trace.customdata or ()]


def dots(figure, name):
    return [trace for trace in figure.data if trace.name == name]


@pytest.mark.parametrize("name", DRAWN)
def test_without_numbers_or_rows_nothing_is_drawn(tables, name):
    assert DRAWN[name](empty(tables[name])) is None
    assert DRAWN[name](tables[name].clear()) is None


@pytest.mark.parametrize("name", DRAWN)
def test_one_row_and_missing_numbers_are_drawn_without_a_hole_in_the_words(tables, name):
    frame = tables[name]
    for part in (frame.head(1), empty(frame, SHOWN), pl.concat([empty(frame).head(1), frame])):
        part = part.with_columns(pl.col("^n_(item|phrasing)$").fill_null(4))
        figure = DRAWN[name](part)
        assert hovers(figure)
        assert not any("None" in text or "nan" in text.lower() for text in hovers(figure))


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"hexaco_d_study"}))
def test_markup_in_names_is_escaped_everywhere(name):
    shown = json.dumps(DRAWN[name](hostile_tables()[name]).to_dict(), default=str)
    assert "&lt;" in shown
    assert "<script" not in shown
    assert "</script" not in shown
    assert "<b>meta" not in shown
    assert "<b>self" not in shown


@pytest.mark.parametrize("name", ["hexaco_shrunken", "hexaco_adjusted", "hexaco_icc", "hexaco_variants"])
def test_colours_are_those_of_the_personas(tables, name):
    styles = persona_styles(HEXACO)
    assert DRAWN[name](tables[name], styles=styles) == DRAWN[name](tables[name])
    used = {trace.error_x.color for trace in DRAWN[name](tables[name]).data if trace.error_x.array is not None}
    assert used <= {style.colour for style in styles.values()}
    assert len(used) > 2


@pytest.mark.parametrize(
    ("name", "columns"),
    [("hexaco_shrunken", ("effect", "shrunken")), ("hexaco_adjusted", ("raw", "adjusted"))],
)
def test_both_effects_of_a_facet_stand_at_its_row_joined_by_a_line(tables, name, columns):
    frame, domains = tables[name], domains_of(tables["hexaco_facets"])
    figure = DRAWN[name](frame, domains)
    places = facet_rows(frame["facet"].to_list(), domains).places
    markers = [trace for trace in figure.data if trace.mode == "markers"]
    lines = [trace for trace in figure.data if trace.mode == "lines" and None in trace.x]
    assert len(markers) == 2 * len(CONTRASTS)
    for index, contrast in enumerate(CONTRASTS):
        part = frame.filter(pl.col("contrast") == contrast)
        for column, trace in zip(columns, markers[2 * index : 2 * index + 2], strict=True):
            assert list(trace.x) == part[column].to_list()
            assert list(trace.y) == pytest.approx([places[facet] for facet in part["facet"]], abs=0.2)
        ends = list(lines[index].x)
        assert ends[0::3] == part[columns[0]].to_list()
        assert ends[1::3] == part[columns[1]].to_list()
        filled = markers[2 * index + 1]
        assert list(filled.error_x.array) == pytest.approx((part["high"] - part[columns[1]]).to_list())
        assert (markers[2 * index].marker.color, filled.marker.color == "white") == ("white", False)
    assert [trace.showlegend for trace in markers] == [True, True] + [False] * 4
    assert not any(line.showlegend for line in lines)


def test_the_mean_of_each_contrast_is_a_line_and_every_shrunken_effect_lies_nearer_to_it(tables):
    frame = tables["hexaco_shrunken"]
    means = dots(effects.shrunken(frame), "mean over facets")
    assert [trace.x[0] for trace in means] == [part["mean"][0] for part in frame.partition_by("contrast")]
    gap = frame.select(raw=(pl.col("effect") - pl.col("mean")).abs(), after=(pl.col("shrunken") - pl.col("mean")).abs())
    assert (gap["after"] <= gap["raw"] + 1e-12).all()


def test_a_facet_of_one_key_keeps_its_row(tables):
    frame = tables["hexaco_adjusted"]
    gone = pl.col("facet") == "anxiety"
    holed = frame.with_columns(
        pl.when(~gone).then(pl.col(c)).alias(c) for c in ("raw", "raw_low", "raw_high", "adjusted", "low", "high")
    )
    figure = effects.adjusted(holed, domains_of(tables["hexaco_facets"]))
    assert "Anxiety" in figure.layout.yaxis.ticktext
    assert len(figure.layout.yaxis.ticktext) == sum(len(group) for group in FACETS.values())


@pytest.mark.parametrize(
    ("low", "high", "equivalent", "verdict"),
    [
        (-0.05, 0.05, True, "equivalent"),
        (0.01, 0.05, True, "equivalent"),
        (0.01, 0.15, False, "different"),
        (-0.3, -0.2, False, "different"),
        (-0.2, 0.01, False, "undecided"),
        (0.0, 0.2, False, "undecided"),
        (None, None, None, "not tested"),
        (None, 0.1, False, "not tested"),
    ],
)
def test_verdicts_of_equivalence(low, high, equivalent, verdict):
    schema = {"low": pl.Float64, "high": pl.Float64, "equivalent": pl.Boolean}
    frame = pl.DataFrame([(low, high, equivalent)], schema=schema, orient="row")
    assert verdicts(frame)["verdict"].to_list() == [verdict]


def test_bars_of_equivalence_hold_every_facet_once(tables):
    frame = tables["hexaco_equivalence"]
    figure = statistics.equivalence(frame)
    assert [trace.name for trace in figure.data] == ["equivalent", "different", "undecided"]
    totals = [sum(bar) for bar in zip(*(trace.x for trace in figure.data), strict=True)]
    assert totals == [25, 25, 25]
    for trace in figure.data:
        for contrast, n, text in zip(CONTRASTS, trace.x, trace.customdata, strict=True):
            named = verdicts(frame).filter(pl.col("contrast") == contrast, verdict=trace.name)["facet"]
            assert len(named) == n
            assert all(facet.replace("_", " ").split()[-1] in text.lower() for facet in named)
    untested = frame.with_columns(equivalent=pl.when(pl.col("facet") != "anxiety").then("equivalent"))
    assert statistics.equivalence(untested).data[-1].x == (1, 1, 1)


def test_icc_has_a_row_per_profile_with_both_coefficients(tables):
    frame = tables["hexaco_icc"]
    figure = statistics.icc(frame)
    assert list(figure.layout.yaxis.ticktext)[:2] == ["Self", "Meta"]
    assert list(figure.layout.yaxis.ticktext)[-1] == "Placebo − Self"
    for name, text in (("ICC(2,1)", "one wording, ICC(2,1)"), ("ICC(2,k)", "mean of all wordings, ICC(2,k)")):
        own = frame.filter(coefficient=name)
        traces = dots(figure, text)
        assert [trace.x[0] for trace in traces] == own["icc"].to_list()
        assert [round(trace.y[0]) for trace in traces] == list(range(8))
        assert [trace.showlegend for trace in traces] == [True] + [False] * 7
        assert traces[0].error_x.array[0] == pytest.approx(own["high"][0] - own["icc"][0])


def test_a_low_icc_stays_in_view(tables):
    frame = tables["hexaco_icc"].with_columns(low=pl.lit(-0.4))
    assert statistics.icc(frame).layout.xaxis.range[0] == pytest.approx(-0.45)
    assert statistics.icc(frame.with_columns(low=pl.lit(-7.0))).layout.xaxis.range[0] == -1.05


def test_d_study_has_a_line_per_number_of_wordings_that_rises_with_items(tables):
    frame = tables["hexaco_d_study"]
    figure = statistics.d_study(frame.sample(fraction=1.0, shuffle=True, seed=1))
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert names == ["1 wording", "2 wordings", "3 wordings", "5 wordings", "10 wordings"]
    for panel, column in enumerate(("g", "phi")):
        for trace, n in zip(figure.data[panel::2], (1, 2, 3, 5, 10), strict=True):
            assert list(trace.x) == [4, 8, 20, 40]
            assert list(trace.y) == frame.filter(n_phrasing=n).sort("n_item")[column].to_list()
            assert list(trace.y) == sorted(trace.y)
    assert {shape.y0 for shape in figure.layout.shapes} == {TARGET}


def test_other_numbers_of_levels_have_lines_of_their_own(tables):
    frame = tables["hexaco_d_study"]
    both = pl.concat([frame.with_columns(n_order=pl.lit(n, pl.Int64)) for n in (1, 2)])
    names = [trace.name for trace in statistics.d_study(both).data if trace.showlegend]
    assert names[:3] == ["1 wording, 1 order", "1 wording, 2 orders", "2 wordings, 1 order"]
    assert len(names) == 10


def test_variants_stand_in_their_row_and_contrasts_are_hollow(tables):
    frame = tables["hexaco_variants"]
    figure = read_outs.variants(frame)
    ways = frame["variant"].unique(maintain_order=True).to_list()
    assert list(figure.layout.yaxis.ticktext) == ways
    assert [text.text for text in figure.layout.annotations] == [f"<b>{p.title}</b>" for p in read_outs.VARIANTS]
    assert len(figure.data) == 8 * 3
    legend = [trace for trace in figure.data if trace.showlegend]
    assert [trace.name for trace in legend][:6] == ["Self", "Meta", "Helpful", "Placebo", "Evil", "Meta − Self"]
    assert [trace.marker.color == "white" for trace in legend] == [False] * 5 + [True] * 3
    own = frame.filter(profile="evil")
    for trace, column in zip(dots(figure, "Evil"), ("r", "mean_difference", "label_mass"), strict=True):
        assert list(trace.x) == own[column].to_list()
        assert [round(y) for y in trace.y] == [0, 1, 2]
    assert max(abs(y - round(y)) for trace in figure.data for y in trace.y) < 0.45


def test_a_constant_profile_still_shows_its_level(tables):
    frame = tables["hexaco_variants"].with_columns(pl.lit(None, pl.Float64).alias(c) for c in ("r", "low", "high"))
    figure = read_outs.variants(frame)
    assert [text.text for text in figure.layout.annotations] == ["<b>Level</b>", "<b>Label mass</b>"]


def test_read_outs_have_a_row_per_persona_and_way(tables):
    frame = tables["hexaco_read_outs"]
    figure = read_outs.read_outs(frame)
    assert list(figure.layout.yaxis.ticktext) == ["Self, sampled", "Meta, sampled", "Self, reasoned", "Meta, reasoned"]
    assert len(figure.data) == 4 * len(read_outs.READ_OUTS)
    row = frame.row(2, named=True)
    r, difference, *shares = dots(figure, "Self, reasoned")
    assert r.error_x.array[0] == pytest.approx(row["high"] - row["r"])
    assert difference.error_x.arrayminus[0] == pytest.approx(row["mean_difference"] - row["difference_low"])
    assert [trace.x[0] for trace in shares] == [row[f"{name}_share"] for name in ("value", "refusal", "unparsed")]
