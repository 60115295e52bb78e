"""Figures on trust in preferences: every number at its place, beside its chance."""

import polars as pl
from report_tables import CHOOSERS, table

from personascope.report.figures_elicitation import (
    READ_AGAIN,
    TRUST,
    design_rounds,
    sample_curves,
    trust_panels,
    written_outcomes,
    written_panels,
)
from personascope.report.theme import persona_styles

STYLES = persona_styles(CHOOSERS)


def dots(figure, title):
    """Persona dots of the panel of a title: (value, row) in order of rows."""
    titles = [note.text for note in figure.layout.annotations]
    axis = f"x{titles.index(f'<b>{title}</b>') + 1}".removesuffix("1")
    own = [trace for trace in figure.data if trace.xaxis == axis and trace.error_x.array is not None]
    return [(trace.x[0], trace.y[0]) for trace in own]


def marks(figure, name):
    return [list(trace.x) for trace in figure.data if trace.name == name]


def test_trust_panels_hold_each_tables_numbers_in_the_row_of_their_persona(tables):
    figure = trust_panels({name: tables[name] for name in TRUST}, STYLES)
    for title, name, column in (
        ("Wording 2", "preference_retest", "r"),
        ("Pairs never fitted", "preference_accuracy", "accuracy"),
        ("Circles", "preference_circles", "cyclic"),
        ("Circles, excess", "preference_circles", "excess"),
        ("Stated ratings", "rating_agreement", "r"),
    ):
        assert dots(figure, title) == [(value, row) for row, value in enumerate(tables[name][column])]
    assert marks(figure, "chance") == [[0.5] * 5, [0.25] * 5]
    assert marks(figure, "as the scale expects") == [tables["preference_circles"]["expected"].to_list()]
    assert [trace.name for trace in figure.data if trace.showlegend] == ["chance", "as the scale expects"]


def test_a_persona_that_one_table_lacks_keeps_its_row_elsewhere(tables):
    fewer = tables["preference_circles"].filter(pl.col("persona") != CHOOSERS[1])
    figure = trust_panels({"preference_retest": tables["preference_retest"], "preference_circles": fewer}, STYLES)
    assert list(figure.layout.yaxis.ticktext) == [name.capitalize() for name in CHOOSERS]
    circles = dots(figure, "Circles")
    assert circles[1] == (None, 1)
    assert circles[2] == (fewer["cyclic"][1], 2)


def test_every_further_wording_has_its_panel():
    rows = [("evil", wording, wording / 10, 0.0, 1.0, 5, 1.0) for wording in (3, 2)]
    frame = table(rows, "persona wording r low high n shared_pairs")
    figure = trust_panels({"preference_retest": frame}, STYLES)
    assert dots(figure, "Wording 2") == [(0.2, 0)]
    assert dots(figure, "Wording 3") == [(0.3, 0)]


def test_panels_without_any_number_are_no_figure(tables):
    frame = tables["rating_agreement"].with_columns(r=pl.lit(None, pl.Float64))
    assert trust_panels({"rating_agreement": frame}, STYLES) is None
    assert design_rounds(tables["preference_design"].filter(round=1)) is None
    assert sample_curves(tables["written_calibration"].filter(k=3)) is None


def test_written_shares_and_choices_are_those_of_the_tables(tables):
    frame = tables["written_outcomes"]
    figure = written_outcomes(frame)
    for title, what in (("Refused", "refusal"), ("Cut off", "truncated"), ("First, where it chose", "p_first")):
        assert [value for value, _ in dots(figure, title)] == frame.filter(what=what)["share"].to_list()
    assert marks(figure, "chance") == [[0.5, 0.5]]
    panels = written_panels({name: tables[name] for name in READ_AGAIN}, STYLES)
    agreement = tables["written_agreement"]
    assert [value for value, _ in dots(panels, "As labels prefer")] == agreement["agreement_corrected"].to_list()
    assert marks(panels, "chance") == [
        tables["written_consistency"]["chance"].to_list(),
        agreement["agreement_corrected_chance"].to_list(),
        agreement["agreement_same_order_chance"].to_list(),
    ]


def test_lines_of_many_personas_can_be_picked_out_and_their_legend_fits():
    rows = [(f"own {name}", number, 10 * number, 0.9) for name in range(20) for number in (1, 2)]
    many = design_rounds(table(rows, "persona round pairs rank_r"))
    assert many.layout.meta == {"emphasis": True}
    assert {trace.meta["persona"] for trace in many.data} == {f"own {name}" for name in range(20)}
    assert many.layout.height >= 20 * 20 + 24 + 58
    few = design_rounds(table(rows[:6], "persona round pairs rank_r"))
    assert few.layout.meta is None
    assert [list(trace.x) for trace in few.data] == [[10, 20]] * 3
