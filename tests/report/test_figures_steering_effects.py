"""Maps, layers, types of pairs, doses and places: what is drawn, what is starred, and what selectors choose."""

import polars as pl

from personascope.report.figures_steering_dose import dose_summary, position_curves
from personascope.report.figures_steering_effects import effect_maps, effects_by_layer, pair_types

START = {"persona": "assistant", "target": "+ on one task, − on the other", "pair_type": "all pairs", "layer": 9}
START |= {"coefficient": "0.2"}
PROBE, RANDOM, OTHER = "<b>probe direction</b>", "random directions", "direction of another layer"


def visible(figure):
    return [trace for trace in figure.data if trace.visible]


def swing(frame, **where):
    return frame.filter(target="contrast", pair_type="all", effect="swing", **where)


def test_the_map_shows_the_probe_s_swings_beside_the_largest_random_ones(tables):
    frame = tables["steering_effects"]
    own, random = visible(effect_maps(frame, START))
    assert (list(own.y), list(own.x)) == (["4", "9"], ["0.1", "0.2"])
    for row, layer in enumerate((4, 9)):
        for place, c in enumerate((0.1, 0.2)):
            here = swing(frame, layer=layer, coefficient=c)
            assert own.z[row][place] == here.filter(direction="probe")["value"][0]
            sizes = here.filter(pl.col("direction").str.starts_with("random"))["value"].abs()
            assert random.z[row][place] == sizes.max()


def test_a_star_marks_what_no_random_direction_does(tables):
    frame = tables["steering_effects"]
    own, random = visible(effect_maps(frame, START))
    assert all("★" in text for row in own.text for text in row)
    assert not any("★" in text for row in random.text for text in row)
    strong = (pl.col("direction") == "random 2") & (pl.col("layer") == 9) & (pl.col("coefficient") == 0.2)
    beaten = frame.with_columns(value=pl.when(strong).then(-0.9).otherwise("value"))
    own, _ = visible(effect_maps(beaten, START))
    assert ["★" in text for text in own.text[1]] == [True, False]


def test_without_random_directions_nothing_is_starred(tables):
    frame = tables["steering_effects"].filter(pl.col("direction") == "probe")
    own, random = visible(effect_maps(frame, START))
    assert not any("★" in text for row in own.text for text in row)
    assert all(value is None for row in random.z for value in row)


def test_amplification_suppression_and_swing_stand_apart_over_layers(tables):
    frame = tables["steering_effects"]
    shown = visible(effects_by_layer(frame, START))
    assert [trace.name for trace in shown] == [RANDOM, OTHER, PROBE] * 3
    assert [trace.name for trace in shown if trace.showlegend] == [RANDOM, OTHER, PROBE]
    for trace, effect in zip(shown[2::3], ("amplification", "suppression", "swing"), strict=True):
        own = frame.filter(target="contrast", pair_type="all", effect=effect, direction="probe", coefficient=0.2)
        assert list(trace.x) == [4, 9]
        assert list(trace.y) == own["value"].to_list()
        assert list(trace.error_y.array) == [own["high"][at] - own["value"][at] for at in (0, 1)]
    assert len(shown[0].x) == 2 * 4


def test_one_layer_without_intervals_is_a_dot_among_dots(tables):
    frame = tables["steering_effects"].filter(pl.col("layer") == 9, pl.col("coefficient") == 0.1)
    bare = frame.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    shown = visible(effects_by_layer(bare, START | {"coefficient": "0.1"}))
    assert [list(trace.error_y.array) for trace in shown if trace.name == PROBE] == [[0.0]] * 3


def test_types_of_pairs_are_rows_at_one_layer_and_strength(tables):
    frame = tables["steering_effects"]
    figure = pair_types(frame, START)
    assert list(figure.layout.yaxis.ticktext) == ["All pairs", "Benign-benign", "Harmful-benign"]
    probe = [trace for trace in visible(figure) if trace.name == PROBE][2]
    own = frame.filter(target="contrast", effect="swing", direction="probe", layer=9, coefficient=0.2)
    assert list(probe.x) == own["value"].to_list()
    assert list(probe.y) == [0.0, 1.0, 2.0]
    assert pair_types(frame.filter(pl.col("pair_type") == "all"), START) is None
    assert pair_types(frame.drop("pair_type"), START) is None


def test_doses_show_slopes_before_random_ones_and_where_a_curve_turns_back(tables):
    frame = tables["steering_dose"]
    shown = {(trace.name, trace.xaxis): trace for trace in visible(dose_summary(frame, START))}
    own = frame.filter(target="contrast", pair_type="all", direction="probe")
    assert list(shown[PROBE, "x"].x) == own["slope"].to_list()
    assert list(shown[PROBE, "x"].y) == [0, 1]
    assert len(shown[RANDOM, "x"].x) == 2 * 4
    assert list(shown["steady course", "x4"].x) == [-0.2, 0.1, None, -0.2, 0.2, None]
    assert list(shown["usable range", "x4"].x) == [-0.1, 0.1, None] * 2
    assert (list(shown["turns back", "x4"].x), list(shown["turns back", "x4"].y)) == ([0.1], [0])


def test_doses_of_all_pairs_stay_when_another_type_is_chosen(tables):
    frame = tables["steering_dose"]
    assert not any("pair_type" in trace.meta for trace in dose_summary(frame, START).data)
    both = pl.concat([frame, frame.with_columns(pair_type=pl.lit("benign-benign"))])
    assert {trace.meta["pair_type"] for trace in dose_summary(both, START).data} == {"all pairs", "benign-benign"}


def test_an_unlimited_usable_range_ends_with_the_swept_one(tables):
    frame = tables["steering_dose"].with_columns(usable_low=float("-inf"), usable_high=float("inf"))
    shown = {trace.name: trace for trace in visible(dose_summary(frame, START)) if trace.name}
    assert list(shown["usable range"].x) == [-0.2, 0.2, None] * 2


def test_place_and_order_have_a_plot_each_with_label_mass_below(tables):
    figure = position_curves(tables["steering_position"], START)
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["<b>P(first)</b>", "<b>Order flips</b>"]
    shown = visible(figure)
    assert {trace.meta["layer"] for trace in shown} == {9}
    for place, read_out in enumerate(("P(first)", "order flips")):
        axis = ("y", "y2")[place]
        probe = next(trace for trace in shown if trace.name == PROBE and trace.yaxis == axis)
        own = tables["steering_position"].filter(read_out=read_out, layer=9, direction="probe")
        assert list(probe.y) == own["value"].to_list()
    assert sum(trace.showlegend for trace in shown) == 4
    assert {trace.yaxis for trace in shown} == {"y", "y2", "y3", "y4"}
