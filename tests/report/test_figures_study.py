"""Figures of a questionnaire study: what each dot stands for, and what is left out when there is nothing to draw."""

import json

import polars as pl
import pytest
from report_tables import HEXACO, SCRIPT, hostile_tables, table

from personascope.report import figures_study as study

DRAWN = {
    "hexaco_bias": study.bias_panels,
    "hexaco_specifications": study.wordings,
    "hexaco_short_and_rest": study.short_and_rest,
    "hexaco_between_models": study.between_models,
}
FIT, RESIDUALS = "hexaco_just_helpful", "hexaco_just_helpful_residuals"


def just_helpful(tables):
    return study.just_helpful({name: tables[name] for name in (FIT, RESIDUALS)})


def dots(figure):
    return [trace for trace in figure.data if trace.mode == "markers"]


def hovers(figure):
    return [text for trace in dots(figure) for text in trace.customdata]


def without_numbers(frame):
    return frame.with_columns(pl.lit(None, dtype).alias(c) for c, dtype in frame.schema.items() if dtype.is_numeric())


@pytest.mark.parametrize("name", DRAWN)
def test_one_row_gives_one_dot(tables, name):
    figure = DRAWN[name](tables[name].filter(pl.col("index") != "trait" if name == "hexaco_bias" else True)[-1:])
    assert sum(len(trace.x) for trace in dots(figure)) == 1


@pytest.mark.parametrize("name", DRAWN)
def test_without_numbers_nothing_is_drawn(tables, name):
    assert DRAWN[name](without_numbers(tables[name])) is None


@pytest.mark.parametrize("name", DRAWN)
def test_a_null_interval_or_count_leaves_a_bare_dot(tables, name):
    kept = {"value", "difference", "rank", "short_difference", "rest_difference", "r"}
    bare = tables[name].with_columns(
        pl.lit(None, dtype).alias(c) for c, dtype in tables[name].schema.items() if dtype.is_numeric() and c not in kept
    )
    if "robust" in bare.columns:
        bare = bare.with_columns(robust=pl.lit(None, pl.Boolean))
    figure = DRAWN[name](bare)
    assert len(hovers(figure)) == len(hovers(DRAWN[name](tables[name])))
    assert not any("None" in text or "nan" in text for text in hovers(figure))
    assert not any("sign in 90 %" in text for text in hovers(figure))


@pytest.mark.parametrize("name", [*DRAWN, FIT])
def test_markup_in_names_is_escaped_everywhere(name):
    hostile = hostile_tables()
    figure = just_helpful(hostile) if name == FIT else DRAWN[name](hostile[name])
    shown = json.dumps(figure.to_dict(), default=str)
    assert "&lt;" in shown
    assert "<script" not in shown
    assert "</script" not in shown
    assert SCRIPT not in shown


def test_bias_has_a_panel_per_index_known_and_a_row_per_persona(tables):
    frame = tables["hexaco_bias"]
    figure = study.bias_panels(frame)
    titles = [text.text for text in figure.layout.annotations]
    assert titles == [f"<b>{panel.title}</b>" for panel in study.BIAS]
    assert len(figure.data) == len(HEXACO) * len(study.BIAS)
    row = frame.filter(persona="evil", index="order_bias").row(0, named=True)
    (trace,) = [t for t in figure.data if t.name == "Evil" and "Order bias" in t.customdata[0]]
    assert trace.x == (row["value"],)
    assert trace.error_x.array[0] == pytest.approx(row["high"] - row["value"])
    assert trace.error_x.arrayminus[0] == pytest.approx(row["value"] - row["low"])


def test_bias_needs_no_flags_and_no_index_but_those_it_knows(tables):
    frame = tables["hexaco_bias"]
    assert study.bias_panels(frame.drop("flag")) == study.bias_panels(frame)
    assert study.bias_panels(frame.filter(index="trait")) is None


def specifications(*rows):
    columns = "contrast domain phrasing order difference low high rank robust n share_significant n_specifications"
    return table([(*row, 8, 0.0, 3) for row in rows], columns)


def test_a_specification_stands_at_its_rank_within_its_domain():
    frame = specifications(
        ("a - b", "E", "1", "ascending", 0.1, 0.0, 0.2, 1, True),
        ("a - b", "E", "2", "ascending", 0.2, 0.1, 0.3, 2, True),
        ("a - b", "E", "10", "descending", 0.3, 0.2, 0.4, 3, False),
        ("a - b", "H", "1", "ascending", 0.5, 0.4, 0.6, 1, True),
        ("a - b", None, "1", "ascending", 9.0, 0.4, 0.6, 1, True),
        ("a - b", "unheard of", "1", "ascending", 9.0, 0.4, 0.6, 1, True),
        ("a - b", "H", "2", "ascending", None, None, None, None, True),
    )
    figure = study.wordings(frame)
    points = {x: y for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}
    assert points == pytest.approx({0.5: -0.36, 0.1: 0.64, 0.2: 1.0, 0.3: 1.36})
    assert [trace.name for trace in figure.data] == [
        "wording 1, ascending",
        "wording 2, ascending",
        "wording 10, descending",
    ]
    last = figure.data[-1].customdata[0]
    assert "not the same sign in 90 % of specifications" in last
    assert "items: 8" in last


def test_each_wording_is_in_the_legend_once_wherever_it_first_occurs():
    figure = study.wordings(
        specifications(
            ("a - b", "E", "1", "ascending", 0.1, 0.0, 0.2, 1, True),
            ("c - b", "E", "1", "ascending", 0.1, 0.0, 0.2, 1, True),
            ("c - b", "E", "2", "backwards", 0.1, 0.0, 0.2, 2, True),
        )
    )
    assert [(trace.name, trace.showlegend) for trace in figure.data] == [
        ("wording 1, ascending", True),
        ("wording 1, ascending", False),
        ("wording 2, backwards", True),
    ]
    assert len({trace.marker.symbol for trace in figure.data}) == 2


def test_the_slope_is_drawn_through_zero_beside_equality(tables):
    figure = just_helpful(tables)
    frame = tables[RESIDUALS]
    facets, slope, equal = figure.data
    assert list(facets.x) == frame["x"].to_list()
    assert list(facets.y) == frame["y"].to_list()
    assert slope.name == "slope 1.10"
    assert list(slope.y) == pytest.approx([1.1 * x for x in slope.x])
    assert equal.x == equal.y == slope.x
    assert max(slope.x) == pytest.approx(frame["x"].abs().max())


def test_without_slope_or_residuals_there_is_no_line_to_draw(tables):
    fit, facets = tables[FIT], tables[RESIDUALS]
    assert study.just_helpful({FIT: fit}) is None
    assert study.just_helpful({FIT: fit, RESIDUALS: facets.clear()}) is None
    assert study.just_helpful({FIT: fit, RESIDUALS: without_numbers(facets)}) is None
    assert study.just_helpful({FIT: fit.select("statement"), RESIDUALS: facets}) is None
    assert just_helpful({FIT: fit, RESIDUALS: facets.head(1)}) is not None


def test_meta_need_not_be_among_the_styles(tables):
    own = {name: tables[name] for name in (FIT, RESIDUALS)}
    assert study.just_helpful(own, {}) == study.just_helpful(own)


def test_a_missing_error_leaves_the_facet_in_place(tables):
    facets = tables[RESIDUALS].with_columns(pl.lit(None, pl.Float64).alias(c) for c in ("residual", "low", "high"))
    texts = hovers(just_helpful({FIT: tables[FIT], RESIDUALS: facets}))
    assert len(texts) == facets.height
    assert all("residual not available [no interval]" in text for text in texts)


def test_short_form_and_rest_are_paired_by_facet_within_a_contrast(tables):
    frame = tables["hexaco_short_and_rest"]
    figure = study.short_and_rest(frame)
    *groups, equal = figure.data
    assert [trace.name for trace in groups] == ["Meta − Self", "Helpful − Self", "Placebo − Self"]
    for trace, part in zip(groups, frame.partition_by("contrast", maintain_order=True), strict=True):
        assert list(trace.x) == part["short_difference"].to_list()
        assert list(trace.y) == part["rest_difference"].to_list()
    assert equal.x == equal.y
    holed = frame.with_columns(rest_difference=pl.when(facet="altruism").then(None).otherwise("rest_difference"))
    kept = frame.filter(pl.col("facet") != "altruism")
    assert hovers(study.short_and_rest(holed)) == hovers(study.short_and_rest(kept))


def test_models_are_named_as_they_are_even_when_there_is_one_pair(tables):
    figure = study.between_models(tables["hexaco_between_models"])
    (trace,) = figure.data
    assert trace.name == "big_model and small-model"
    assert figure.layout.showlegend
    assert list(figure.layout.yaxis.ticktext)[:2] == ["Meta − Self", "Helpful − Self"]
    assert list(trace.y) == list(range(len(trace.x)))


def test_many_pairs_of_models_stay_within_their_row(tables):
    frame = tables["hexaco_between_models"]
    many = pl.concat([frame.with_columns(model_y=pl.lit(f"m{index}")) for index in range(15)])
    figure = study.between_models(many)
    for trace in figure.data:
        assert all(abs(y - row) < 0.5 for row, y in enumerate(trace.y))
    assert len({trace.y for trace in figure.data}) == 15
