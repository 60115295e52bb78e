"""Figures of the personas' preferences beside each other: every cell, point and task, and names that can be read."""

import polars as pl
import pytest
from report_tables import CHOOSERS, SCRIPT, TOPICS, table

from personascope.report.figures_persona_space import (
    cluster_counts,
    correlation_map,
    extreme_tasks,
    persona_map,
    topic_profiles,
    with_texts,
)
from personascope.report.label_places import label_places
from personascope.report.theme import persona_styles

STYLES = persona_styles(CHOOSERS)


def space(tables, *names):
    return {name: tables[name] for name in names}


def test_every_persona_and_topic_is_a_cell_starred_where_its_interval_excludes_zero(tables):
    frame = tables["persona_profiles"]
    (trace,) = topic_profiles({"persona_profiles": frame}).data
    assert set(trace.y) == {name.capitalize() for name in CHOOSERS}
    assert len(trace.x) == len(TOPICS)
    personas = frame["persona"].unique(maintain_order=True).to_list()
    means = frame.group_by("topic").agg(pl.col("z").mean()).sort("z", descending=True)["topic"].to_list()
    for i, persona in enumerate(personas):
        for j, topic in enumerate(means):
            row = frame.row(by_predicate=(pl.col("persona") == persona) & (pl.col("topic") == topic), named=True)
            assert trace.z[i][j] == row["z"]
            assert ("★" in trace.text[i][j]) == (row["low"] > 0 or row["high"] < 0)


def test_personas_of_a_cluster_stand_side_by_side(tables):
    clusters = table([("evil", 1), ("slacker", 1), ("poet", 2), ("assistant", 2)], "persona cluster")
    (trace,) = topic_profiles({"persona_profiles": tables["persona_profiles"], "persona_clusters": clusters}).data
    assert list(trace.y) == ["Evil", "Slacker", "Assistant", "Poet", "Mathematician"]  # the last is in no cluster


def test_correlations_stand_below_the_diagonal_and_corrected_ones_above():
    rows = [("a", "b", 0.5, 0.1, 0.8, 9, 0.7, False), ("a", "c", 0.1, -0.2, 0.4, 9, 1.2, True)]
    rows += [("b", "c", -0.3, -0.5, -0.1, 9, -0.4, False)]
    frame = table(rows, "persona other r low high n r_corrected above_one")
    (trace,) = correlation_map({"persona_correlations": frame}).data
    assert [list(row) for row in trace.z] == [[None, 0.7, 1.2], [0.5, None, -0.4], [0.1, -0.3, None]]
    starred = [(i, j) for i, row in enumerate(trace.text) for j, text in enumerate(row) if "★" in text]
    assert starred == [(1, 0), (2, 1)]
    assert "beyond 1" in trace.customdata[0][2]
    turned = {"persona_correlations": frame, "persona_clusters": table([("b", 1), ("a", 2)], "persona cluster")}
    (trace,) = correlation_map(turned).data  # b before a: the pair changes sides, the halves do not
    assert list(trace.y) == ["B", "A", "C"]
    assert trace.z[1][0] == 0.5
    assert trace.z[0][1] == 0.7


def test_the_map_shows_every_persona_and_the_null_of_every_component(tables):
    figure = persona_map(space(tables, "persona_map", "persona_components"), STYLES)
    points = {trace.text[0]: (trace.x[0], trace.y[0]) for trace in figure.data[:5]}
    rows = tables["persona_map"].iter_rows(named=True)
    assert points == {row["persona"].capitalize(): (row["component_1"], row["component_2"]) for row in rows}
    shares = tables["persona_components"]
    assert [list(trace.y) for trace in figure.data[-3:]] == [
        shares[name].to_list() for name in ("share", "null_95", "null_mean")
    ]
    assert f"{100 * shares['share'][0]:.0f} %, p = " in figure.layout.xaxis.title.text
    alone = persona_map(space(tables, "persona_map"), STYLES)
    assert alone.layout.xaxis.title.text == "component 1"
    assert figure.layout.yaxis.scaleanchor == "x"


def test_clusters_show_silhouette_and_stability_with_its_ends(tables):
    frame = tables["persona_cluster_counts"]
    silhouette, stability = cluster_counts(frame).data
    assert list(silhouette.y) == frame["silhouette"].to_list()
    tops = [a + b for a, b in zip(stability.y, stability.error_y.array, strict=True)]
    assert tops == pytest.approx(frame["stability_high"].to_list())


def test_extreme_tasks_show_persona_and_mean_and_read_on_hover_with_tags_made_harmless(tables):
    frame = tables["persona_extremes"]
    hostile = {"persona_extremes": frame.with_columns(text=pl.lit(SCRIPT))}
    figure = extreme_tasks(hostile, STYLES)
    assert sum(len(trace.x) for trace in figure.data) == 2 * frame.height
    first = frame.filter(pl.col("persona") == frame["persona"][0])
    assert list(figure.data[0].x) == first["z"].to_list()
    assert list(figure.data[1].x) == first["mean_z"].to_list()
    assert all("<script" not in text and "&lt;script&gt;" in text for text in figure.data[0].customdata)


def test_texts_come_from_the_table_or_the_utilities_or_are_the_ids(tables):
    bare = {"persona_extremes": tables["persona_extremes"].drop("text")}
    assert with_texts(bare)["text"].to_list() == bare["persona_extremes"]["task"].to_list()
    both = bare | {"utilities": tables["utilities"]}
    known = dict(tables["utilities"].filter(persona=CHOOSERS[0]).select("task", "text").iter_rows())
    assert with_texts(both)["text"].to_list() == [known[task] for task in bare["persona_extremes"]["task"]]


def test_names_of_points_side_by_side_do_not_cover_each_other():
    assert label_places([0.0], [0.0], ["alone"], (700, 470)) == ["middle right"]
    close = label_places([0.0, 0.02, 5.0], [0.0, 0.0, 3.0], ["left one", "right one", "far"], (700, 470))
    assert close[0] != "middle right"  # the second point is there
    edge = label_places([0.0, 10.0], [0.0, 0.0], ["a", "a name that is very long"], (300, 300))
    assert edge[1] == "middle left"  # what stands right of the plot is not written over


def test_points_in_one_place_give_places_all_the_same():
    assert len(set(label_places([1.0] * 4, [1.0] * 4, ["aaaa"] * 4, (700, 470)))) == 4
