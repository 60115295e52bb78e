"""HEXACO figures: every persona, every facet, the numbers of the table at the right place."""

from itertools import pairwise

import polars as pl
import pytest
from report_tables import CONTRASTS, FACETS, HEXACO

from personascope.report.figures_hexaco import (
    answer_quality,
    contrasts,
    domain_profile,
    facet_profile,
    single_items,
)
from personascope.report.rows import domains_of, facet_rows


def rows_of(figure):
    """Facet label -> height, as the axis shows it."""
    return dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))


def test_the_profile_shows_each_persona_once_with_the_traits_of_the_table(tables):
    frame = tables["hexaco_facets"]
    figure = facet_profile(frame)
    assert [trace.meta["persona"] for trace in figure.data] == HEXACO
    for trace in figure.data:
        part = frame.filter(pl.col("persona") == trace.meta["persona"])
        assert list(trace.x) == part["trait"].to_list()
        assert trace.error_x.symmetric is False
        assert list(trace.error_x.array) == pytest.approx((part["high"] - part["trait"]).to_list())
        assert list(trace.error_x.arrayminus) == pytest.approx((part["trait"] - part["low"]).to_list())


def test_each_dot_stands_nearest_to_its_own_facet(tables):
    frame = tables["hexaco_facets"]
    figure = facet_profile(frame)
    heights = list(rows_of(figure).values())
    for trace in figure.data:
        facets = frame.filter(pl.col("persona") == trace.meta["persona"])["facet"].to_list()
        nearest = [min(range(25), key=lambda row, y=y: abs(heights[row] - y)) for y in trace.y]
        assert nearest == [list(facet_rows(facets, domains_of(frame)).places).index(facet) for facet in facets]


def test_facets_are_grouped_by_domain_with_altruism_last(tables):
    shuffled = tables["hexaco_facets"].sample(fraction=1.0, shuffle=True, seed=3)
    rows = facet_rows(shuffled["facet"].to_list(), domains_of(shuffled))
    domains = [domains_of(shuffled)[facet] for facet in rows.places]
    assert domains == [domain for domain, group in FACETS.items() for _ in group]
    assert list(rows.places)[-1] == "altruism"
    assert [name for name, *_ in rows.blocks][-1] == "Between domains"


def test_domains_stand_further_apart_than_facets(tables):
    rows = facet_rows(tables["hexaco_facets"]["facet"].to_list(), domains_of(tables["hexaco_facets"]))
    heights = list(rows.places.values())
    steps = {round(after - before, 6) for before, after in pairwise(heights)}
    assert steps == {1.0, 1.7}


def test_a_facet_without_trait_keeps_its_row_and_has_no_dot(tables):
    frame = tables["hexaco_facets"].with_columns(
        pl.when(pl.col("facet") == "anxiety").then(None).otherwise(pl.col(name)).alias(name)
        for name in ("trait", "low", "high")
    )
    figure = facet_profile(frame)
    assert "Anxiety" in rows_of(figure)
    assert all(sum(x is None for x in trace.x) == 1 for trace in figure.data)


def test_a_null_interval_leaves_a_bare_dot(tables):
    frame = tables["hexaco_facets"].with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    for trace in facet_profile(frame).data:
        assert None not in trace.x
        assert set(trace.error_x.array) == {0.0}


def test_profiles_dim_instead_of_hiding(tables):
    assert facet_profile(tables["hexaco_facets"]).layout.meta["emphasis"]
    assert domain_profile(tables["hexaco_domains"]).layout.meta["emphasis"]


def test_the_domain_profile_shows_all_personas_and_domains(tables):
    figure = domain_profile(tables["hexaco_domains"])
    assert [trace.meta["persona"] for trace in figure.data] == HEXACO
    assert [text.removeprefix("<b>").removesuffix("</b>") for text in figure.layout.yaxis.ticktext] == [
        "Honesty-Humility",
        "Emotionality",
        "Extraversion",
        "Agreeableness",
        "Conscientiousness",
        "Openness",
    ]


def test_colours_are_the_same_in_every_hexaco_figure(tables):
    seen = [
        {trace.meta["persona"]: trace.marker.color for trace in figure.data}
        for figure in (facet_profile(tables["hexaco_facets"]), domain_profile(tables["hexaco_domains"]))
    ]
    assert seen[0] == seen[1]


def test_contrasts_have_a_column_each_and_stars_exactly_where_q_is_small(tables):
    frame = tables["hexaco_contrasts"]
    figure = contrasts(frame, domains_of(tables["hexaco_facets"]))
    dots, stars = figure.data[0::2], figure.data[1::2]
    assert [trace.name for trace in dots] == ["Meta − Self", "Helpful − Self", "Placebo − Self"]
    for name, dot, star in zip(CONTRASTS, dots, stars, strict=True):
        part = frame.filter(pl.col("contrast") == name)
        small = [q < 0.05 for q in part["q"]]
        assert [colour != "white" for colour in dot.marker.color] == small
        assert list(star.x) == part.filter(pl.col("q") < 0.05)["high"].to_list()
    assert {trace.xaxis for trace in dots} == {"x", "x2", "x3"}


def test_a_q_of_exactly_five_percent_has_no_star(tables):
    figure = contrasts(tables["hexaco_contrasts"].with_columns(q=pl.lit(0.05)))
    assert all(len(trace.x) == 0 for trace in figure.data[1::2])


def test_untested_contrasts_are_drawn_without_a_star(tables):
    nulls = [pl.lit(None, pl.Float64).alias(name) for name in ("p", "q", "difference", "low", "high")]
    figure = contrasts(tables["hexaco_contrasts"].with_columns(nulls))
    assert all(len(trace.x) == 0 for trace in figure.data[1::2])


def test_quality_panels_show_each_persona_in_each_panel_that_has_numbers(tables):
    frame = tables["hexaco_quality"]
    assert len(answer_quality(frame).data) == 4 * len(HEXACO)
    assert len(answer_quality(frame.with_columns(key_consistency=pl.lit(None, pl.Float64))).data) == 3 * len(HEXACO)


def test_single_items_show_one_persona_at_first_and_hold_all(tables):
    figure = single_items(tables["hexaco_items"], domains_of(tables["hexaco_facets"]))
    assert {trace.meta["persona"] for trace in figure.data} == set(HEXACO)
    assert {trace.meta["persona"] for trace in figure.data if trace.visible} == {"self"}
    assert sum(len(trace.x) for trace in figure.data) == tables["hexaco_items"].height


def test_hovering_an_item_shows_its_text(tables):
    figure = single_items(tables["hexaco_items"])
    assert "I would say that sincerity is a large part of how I go" in " ".join(figure.data[0].customdata)
