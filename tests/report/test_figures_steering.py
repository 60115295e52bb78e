"""Steering curves: the probe with its band, all random directions behind it, label mass below."""

import polars as pl

from personascope.report.figures_steering import push_curves, steering_curves
from personascope.report.findings_steering import named_keys

PROBE, RANDOM, OTHER = "<b>probe direction</b>", "random directions", "direction of another layer"


def shown(figure, **meta):
    return [trace for trace in figure.data if meta.items() <= trace.meta.items()]


def lines(trace):
    """The lines of a trace, which are separated by gaps: for each its (x, y) points."""
    found, line = [], []
    for point in zip(trace.x, trace.y, strict=True):
        if point[0] is None:
            found.append(line)
            line = []
        else:
            line.append(point)
    assert line == []
    return found


def test_each_target_and_layer_has_one_probe_and_five_random_curves(tables):
    frame = tables["steering"]
    figure = steering_curves(frame)
    for target, layer in frame.select("target", "layer").unique().iter_rows():
        traces = [trace for trace in shown(figure, target=target, layer=layer) if trace.yaxis == "y"]
        (probe,) = (trace for trace in traces if trace.name == PROBE)
        (random,) = (trace for trace in traces if trace.name == RANDOM)
        part = frame.filter(target=target, layer=layer)
        own = part.filter(direction="probe")
        assert list(probe.x) == own["coefficient"].to_list()
        assert list(probe.y) == own["value"].to_list()
        drawn = lines(random)
        assert len(drawn) == 5
        for number, line in enumerate(drawn, start=1):
            values = part.filter(direction=f"random {number}").select("coefficient", "value").rows()
            assert line == [(c, round(value, 4)) for c, value in values]
        assert random.showlegend


def test_label_mass_is_drawn_below_for_every_direction(tables):
    figure = steering_curves(tables["steering"])
    random, probe = [trace for trace in shown(figure, target="choice", layer=8) if trace.yaxis == "y2"]
    own = tables["steering"].filter(target="choice", layer=8)
    assert list(probe.y) == own.filter(direction="probe")["label_mass"].to_list()
    assert len(lines(random)) == 5
    assert not (random.showlegend or probe.showlegend)


def test_coefficients_are_joined_in_order(tables):
    figure = steering_curves(tables["steering"].sample(fraction=1.0, shuffle=True, seed=2))
    for trace in figure.data:
        if trace.name == RANDOM or None in trace.x:
            assert all([x for x, _ in line] == sorted(x for x, _ in line) for line in lines(trace))
        elif trace.fill is None:
            assert list(trace.x) == sorted(trace.x)


def test_the_asked_target_and_layer_are_visible_at_first_and_name_the_axis(tables):
    figure = steering_curves(tables["steering"], "facet:patience", 18)
    visible = [trace.meta for trace in figure.data if trace.visible]
    assert {(meta["target"], meta["layer"]) for meta in visible} == {("facet:patience", 18)}
    assert figure.layout.yaxis.title.text == "facet score"


def test_zero_is_marked(tables):
    axis = steering_curves(tables["steering"]).layout.xaxis
    assert axis.zeroline


def test_extra_columns_are_ignored(tables):
    frame = tables["steering"]
    more = frame.with_columns(control=frame["direction"], positive_items=frame["value"])
    assert steering_curves(more).to_json() == steering_curves(frame).to_json()


def test_one_value_of_every_key_is_shown_and_the_direction_of_another_layer_is_no_random_one(tables):
    frame = named_keys(tables["steering_curves"])
    start = {"persona": "assistant", "target": "Push on one task only", "pair_type": "all pairs", "layer": 9}
    figure = push_curves(frame, tuple(start), start)
    visible = [trace for trace in figure.data if trace.visible]
    assert [trace.name for trace in visible if trace.yaxis == "y" and trace.showlegend] == [
        RANDOM,
        OTHER,
        "95 % interval",
        PROBE,
    ]
    assert all(start.items() <= trace.meta.items() for trace in visible)
    assert figure.layout.yaxis.title.text == "P(chooses pushed task)"
    (random,) = (trace for trace in visible if trace.name == RANDOM)
    assert len(lines(random)) == 4


def test_dots_outside_the_usable_range_are_hollow_and_say_so(tables):
    figure = push_curves(named_keys(tables["steering_curves"]), ("target", "pair_type", "layer"))
    probe = next(trace for trace in figure.data if trace.name == PROBE and trace.meta["layer"] == 4)
    hollow = [colour == "white" for colour in probe.marker.color]
    assert hollow == [True, False, False, False, True]
    assert ["outside the usable range" in text for text in probe.customdata] == hollow
    assert ["past the peak" in text for text in probe.customdata] == [False, False, False, False, True]


def test_curves_without_intervals_or_with_one_pair_of_coefficients_are_drawn_without_a_band(tables):
    bare = tables["steering"].filter(pl.col("coefficient").abs() == 0.1)
    bare = bare.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    figure = steering_curves(bare)
    assert "95 % interval" not in {trace.name for trace in figure.data}
    probe = next(trace for trace in figure.data if trace.name == PROBE)
    assert list(probe.x) == [-0.1, 0.1]
    assert "[no interval]" in probe.customdata[0]
