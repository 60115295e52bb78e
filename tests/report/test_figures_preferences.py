"""Preference figures: every persona, every task, the numbers of the table."""

import polars as pl
from report_tables import CHOOSERS, SCRIPT, table

from personascope.report.figures_preferences import choice_quality, utilities_by_topic, utility_correlations


def test_every_task_of_every_persona_is_a_dot(tables):
    frame = tables["utilities"]
    figure = utilities_by_topic(frame)
    assert {trace.meta["persona"] for trace in figure.data} == set(CHOOSERS)
    for trace in figure.data:
        assert list(trace.x) == frame.filter(pl.col("persona") == trace.meta["persona"])["utility"].to_list()
        assert trace.boxpoints == "all"


def test_of_many_personas_one_is_visible_beside_the_mean_of_all():
    names = [f"own {number}" for number in range(20)]
    cells = [(place, name, k) for place, name in enumerate(names) for k in range(3)]
    rows = [(name, f"t{k}", f"topic {k}", "x", float(k + place), 0.1) for place, name, k in cells]
    figure = utilities_by_topic(table(rows, "persona task topic text utility se"))
    *boxes, means = figure.data
    assert [trace.meta["persona"] for trace in boxes if trace.visible] == ["own 0"]
    assert {trace.meta["persona"] for trace in boxes} == set(names)
    assert list(means.x) == [11.5, 10.5, 9.5]  # of topics 2, 1, 0 over 20 personas
    assert means.meta is None
    assert figure.layout.xaxis.type == "linear"
    assert figure.layout.height < 400


def test_the_topic_liked_most_stands_on_top(tables):
    frame = pl.DataFrame(
        {
            "persona": ["a"] * 4,
            "task": ["t1", "t2", "t3", "t4"],
            "topic": ["low", "low", "high_up", "middle"],
            "text": ["x"] * 4,
            "utility": [-1.0, -0.8, 1.2, 0.6],
            "se": [0.1] * 4,
        }
    )
    assert list(utilities_by_topic(frame).layout.yaxis.categoryarray) == ["Low", "Middle", "High up"]  # from the bottom


def test_hovering_a_task_shows_its_text_with_tags_made_harmless(tables):
    hovers = [text for trace in utilities_by_topic(tables["utilities"]).data for text in trace.customdata]
    assert len(hovers) == tables["utilities"].height
    assert any("&lt;/script&gt;" in text for text in hovers)
    assert not any(SCRIPT in text for text in hovers)


def test_the_correlation_map_holds_every_pair_in_its_cell(tables):
    frame = tables["utility_correlations"]
    (trace,) = utility_correlations(frame).data
    for row, x in enumerate(CHOOSERS):
        for column, y in enumerate(CHOOSERS):
            expected = frame.filter((pl.col("persona_x") == x) & (pl.col("persona_y") == y))["r"][0]
            assert trace.z[row][column] == expected


def test_correlations_are_starred_only_where_the_interval_excludes_zero():
    rows = [("a", "a", 1.0, 1.0, 1.0, 9), ("a", "b", 0.3, 0.1, 0.5, 9)]
    rows += [("b", "a", -0.3, -0.5, -0.1, 9), ("b", "b", 0.2, -0.1, 0.5, 9)]
    frame = table(rows, "persona_x persona_y r low high n")
    (trace,) = utility_correlations(frame).data
    assert ["★" in text for row in trace.text for text in row] == [False, True, True, False]


def test_choice_quality_shows_each_persona_in_each_panel_with_intervals(tables):
    figure = choice_quality(tables["preference_quality"])
    assert len(figure.data) == 5 * len(CHOOSERS)
    bias = figure.data[0]
    first = tables["preference_quality"].row(0, named=True)
    assert bias.x[0] == first["order_bias"]
    assert abs(bias.error_x.array[0] - (first["order_bias_high"] - first["order_bias"])) < 1e-12
