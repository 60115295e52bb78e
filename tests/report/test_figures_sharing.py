"""Figures on transfer between personas: every number at its place, and one layer shown at a time."""

import polars as pl
import pytest
from report_tables import CHOOSERS, LAYERS

from personascope.report.figures_sharing import (
    MOST_PAIRS,
    answer_maps,
    mean_transfer,
    probe_cosines,
    transfer_curves,
    transfer_gaps,
)
from personascope.report.figures_whose import diversity, matched_choices, probe_bias

START = (9, "eot")


def visible(figure):
    return [trace for trace in figure.data if trace.visible is True]


def dots(figure, axis="x"):
    """Visible dots with intervals of one panel."""
    return [trace for trace in visible(figure) if trace.xaxis == axis and trace.error_x.array is not None]


def test_curves_are_means_over_pairs_of_different_personas(tables):
    figure = transfer_curves(tables["transfer"])
    found = {trace.name: dict(zip(trace.x, trace.y, strict=True)) for trace in figure.data}
    apart = tables["transfer"].filter(pl.col("train") != pl.col("test"), pl.col("layer") == 9)
    same = tables["transfer"].filter(pl.col("train") == pl.col("test"), pl.col("layer") == 9)
    assert found["probe, to another persona"][9] == pytest.approx(apart["r"].mean())
    assert found["utilities alone"][9] == pytest.approx(apart["utility_r"].mean())
    assert found["sentence embeddings of the same words"][9] == pytest.approx(apart["encoder_r"].mean())
    assert found["probe, corrected for errors"][9] == pytest.approx(apart["r_corrected"].mean())
    assert found["utilities, corrected for errors"][9] == pytest.approx(apart["utility_r_corrected"].mean())
    assert found["probe, its own persona"][9] == pytest.approx(same["r"].mean())


def test_curves_leave_out_what_was_not_computed_and_one_layer_is_no_curve(tables):
    old = tables["transfer"].drop("encoder_r").with_columns(r_corrected=pl.lit(None, pl.Float64))
    names = {trace.name for trace in transfer_curves(old, "answers").data}
    assert names == {
        "probe, to another persona",
        "probe, its own persona",
        "answers alone",
        "answers, corrected for errors",
    }
    assert transfer_curves(old.filter(pl.col("layer") == 9)) is None


def test_gaps_stand_in_the_row_of_their_pair_and_only_the_largest_have_one(tables):
    frame = tables["transfer_asymmetry"]
    figure = transfer_gaps(frame, START)
    here = frame.filter(pl.col("layer") == 9)
    shown = {figure.layout.yaxis.ticktext[dot.y[0]]: dot for dot in dots(figure)}
    for row in here.iter_rows(named=True):
        dot = shown[f"{row['first'].capitalize()} → {row['second'].capitalize()}"]
        assert dot.x[0] == row["gap"]
        assert dot.x[0] + dot.error_x.array[0] == pytest.approx(row["gap_high"])
        assert dot.x[0] + dot.error_x.arrayminus[0] * -1 == pytest.approx(row["gap_low"])
    many = pl.concat([frame.with_columns(first=pl.col("first") + str(number)) for number in range(3)])
    assert len(transfer_gaps(many, START).layout.yaxis.ticktext) == MOST_PAIRS
    sizes = frame.group_by("first", "second").agg(pl.col("gap").abs().mean()).sort("gap", descending=True)
    assert figure.layout.yaxis.ticktext[0] == " → ".join(name.capitalize() for name in sizes.row(0)[:2])


def test_what_is_given_is_filled_and_what_is_received_is_hollow(tables):
    frame = tables["transfer_means"]
    figure = mean_transfer(frame, START)
    here = frame.filter(pl.col("layer") == 9)
    filled = [dot for dot in dots(figure) if dot.marker.color != "white"]
    hollow = [dot for dot in dots(figure) if dot.marker.color == "white"]
    assert [dot.x[0] for dot in filled] == here["outbound"].to_list()
    assert [dot.x[0] for dot in hollow] == here["inbound"].to_list()
    assert [dot.x[0] for dot in dots(figure, "x2")] == here["gap"].to_list()
    assert [round(dot.y[0]) for dot in filled] == list(range(len(CHOOSERS)))


def test_cosines_of_probes_are_starred_beyond_chance(tables):
    frame = tables["weight_cosines"].filter(pl.col("layer") == 9)
    (cells,) = probe_cosines(tables["weight_cosines"], 9).data[3:4]
    assert cells.visible is True
    texts = [text for row in cells.text for text in row]
    assert sum("★" in text for text in texts) == frame.filter(pl.col("cosine").abs() > pl.col("null_high")).height
    assert texts.count("") == len(CHOOSERS)


def test_maps_of_answers_do_not_speak_of_utilities(tables):
    figure = answer_maps(tables["facet_transfer"], START)
    assert [note.text for note in figure.layout.annotations] == [
        "<b>Probe: r</b>",
        "<b>Answers alone: r</b>",
        "<b>Probe minus answers</b>",
    ]
    assert "utilities" not in figure.to_json()


def test_dots_of_pairs_and_their_mean_stand_in_the_row_of_their_role(tables):
    frame = tables["probe_bias"].filter(pl.col("layer") == 9)
    pairs, means = visible(probe_bias(tables["probe_bias"], START))
    apart = {
        "raw: the persona it reads": frame.filter(pl.col("kind") == "raw", pl.col("third") == pl.col("test")),
        "raw: the persona it was trained on": frame.filter(pl.col("kind") == "raw", pl.col("third") == pl.col("train")),
        "given the one it reads: trained on": frame.filter(pl.col("kind") == "partial"),
        "given both: any third persona": frame.filter(pl.col("kind") == "double partial"),
    }
    figure = probe_bias(tables["probe_bias"], START)
    assert list(figure.layout.yaxis.ticktext) == list(apart)
    for row, part in enumerate(apart.values()):
        own = [x for x, y in zip(pairs.x, pairs.y, strict=True) if round(y) == row]
        assert sorted(own) == sorted(part["r"])
        assert means.x[row] == pytest.approx(part["r"].mean())


def test_a_yardstick_has_rows_of_its_own(tables):
    row = tables["probe_bias"].filter(pl.col("kind") == "raw").head(1)
    third = row.with_columns(third=pl.lit("poet"))
    figure = probe_bias(pl.concat([row, third, third.with_columns(kind=pl.lit("partial"))]))
    assert list(figure.layout.yaxis.ticktext) == [
        "raw: the persona it was trained on" if row["third"][0] == row["train"][0] else "raw: the persona it reads",
        "raw: the persona without a prompt",
        "given the one it reads: without a prompt",
    ]


def test_offsets_are_shown_by_their_size(tables):
    frame = tables["matched_choices"].filter(pl.col("layer") == 9)
    figure = matched_choices(tables["matched_choices"], START)
    left = [trace for trace in visible(figure) if trace.xaxis == "x"]
    right = [trace for trace in visible(figure) if trace.xaxis == "x2"]
    identity = frame.filter(pl.col("direction") == "identity")
    single = frame.filter(pl.col("direction").str.starts_with("preference of"))
    assert left[1].x[2] == pytest.approx(identity["r"].mean())
    assert right[1].x[2] == pytest.approx(identity["offset"].abs().mean())
    assert right[1].x[1] == pytest.approx(single["offset"].abs().mean())
    assert min(right[0].x) >= 0
    assert any(offset < 0 for offset in single["offset"])


def test_diversity_has_a_line_for_each_persona_and_three_means(tables):
    frame = tables["diversity"].filter(pl.col("layer") == 9)
    lines = {trace.name: trace for trace in visible(diversity(tables["diversity"], START))}
    assert len(lines) == len(CHOOSERS) + 3
    for test in CHOOSERS:
        own = frame.filter(pl.col("test") == test)
        assert list(lines[test.capitalize()].y) == own["r"].to_list()
    for name, column in (("mean over personas", "r"), ("mean: utilities alone", "utility_r")):
        means = frame.group_by("n_personas").agg(pl.col(column).mean()).sort("n_personas")[column]
        assert list(lines[f"<b>{name}</b>"].y) == pytest.approx(means.to_list())


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (transfer_gaps, "transfer_asymmetry"),
        (mean_transfer, "transfer_means"),
        (probe_bias, "probe_bias"),
        (matched_choices, "matched_choices"),
        (diversity, "diversity"),
    ],
)
def test_one_layer_is_shown_at_first_and_all_can_be_chosen(tables, draw, name):
    figure = draw(tables[name], START)
    described = [trace for trace in figure.data if trace.meta]
    assert {trace.meta["layer"] for trace in described} == set(LAYERS)
    assert {trace.meta["layer"] for trace in described if trace.visible} == {9}
