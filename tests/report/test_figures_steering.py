"""Steering curves: the probe with its band, five random directions, label mass."""

from personascope.report.figures_steering import steering_curves


def shown(figure, **meta):
    return [trace for trace in figure.data if meta.items() <= trace.meta.items()]


def test_each_target_and_layer_has_one_probe_and_five_random_curves(tables):
    frame = tables["steering"]
    figure = steering_curves(frame)
    for target, layer in frame.select("target", "layer").unique().iter_rows():
        traces = shown(figure, target=target, layer=layer)
        probe = [trace for trace in traces if trace.name == "<b>probe direction</b>"]
        random = [trace for trace in traces if trace.name == "random directions"]
        assert (len(probe), len(random)) == (1, 5)
        part = frame.filter(target=target, layer=layer, direction="probe")
        assert list(probe[0].x) == part["coefficient"].to_list()
        assert list(probe[0].y) == part["value"].to_list()
        assert sum(trace.showlegend is not False for trace in random) == 1


def test_label_mass_is_drawn_below_for_every_direction(tables):
    figure = steering_curves(tables["steering"])
    below = [trace for trace in shown(figure, target="choice", layer=8) if trace.yaxis == "y2"]
    assert len(below) == 6
    assert (
        list(below[0].y)
        == tables["steering"].filter(target="choice", layer=8, direction="probe")["label_mass"].to_list()
    )


def test_coefficients_are_joined_in_order(tables):
    figure = steering_curves(tables["steering"].sample(fraction=1.0, shuffle=True, seed=2))
    for trace in figure.data:
        if trace.fill is None:
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
