"""The numbers behind figures and paragraphs of steering, on tables small enough to check by hand."""

import polars as pl
import pytest

from personascope.report.findings_steering import (
    beside_random,
    beyond,
    by_chance,
    by_kind,
    from_zero,
    largest,
    matches,
    of_kind,
    opening,
    strength,
    swings,
    with_unsteered,
)


def curve(values, layer=3, **place):
    """{direction: {coefficient: value}} as a curve; intervals are value ± 0.05."""
    return pl.DataFrame(
        [
            place
            | {"layer": layer, "direction": direction, "coefficient": c, "value": value}
            | {"low": value - 0.05, "high": value + 0.05, "n": 10, "label_mass": 0.9 - abs(c)}
            for direction, points in values.items()
            for c, value in points.items()
        ]
    )


def test_kinds_of_directions_are_told_by_name_and_all_others_are_random():
    frame = pl.DataFrame({"direction": ["probe", "own", "other layer", "random 1", "isotropic 2"]})
    assert {kind: part["direction"].to_list() for kind, part in by_kind(frame).items()} == {
        "probe": ["probe"],
        "own": ["own"],
        "other layer": ["other layer"],
        "random": ["random 1", "isotropic 2"],
    }
    for kind, part in by_kind(frame).items():
        assert of_kind(frame, kind)["direction"].to_list() == part["direction"].to_list()


def test_a_swing_is_the_difference_of_both_signs_with_the_lower_label_mass():
    row = swings(curve({"probe": {-0.1: 0.2, 0.0: 0.5, 0.1: 0.6, 0.3: 0.9}}), ()).row(0, named=True)
    assert row["value"] == pytest.approx(0.4)
    assert (row["coefficient"], row["minus"], row["plus"], row["n"]) == (0.1, 0.2, 0.6, 10)
    assert row["label_mass"] == pytest.approx(0.8)
    assert (row["apart"], row["outside_usable"]) == (True, None)


@pytest.mark.parametrize(("plus", "apart"), [(0.31, True), (0.29, False)])
def test_both_signs_are_apart_only_where_their_intervals_do_not_overlap(plus, apart):
    frame = curve({"probe": {-0.1: 0.2, 0.1: plus}})
    assert swings(frame, ())["apart"].to_list() == [apart]
    assert swings(frame.with_columns(low=pl.lit(None, pl.Float64)), ())["apart"].to_list() == [False]


def test_a_swing_is_outside_the_usable_range_if_either_sign_is():
    frame = curve({"probe": {-0.1: 0.2, 0.1: 0.6}}).with_columns(outside_usable=pl.Series([True, False]))
    assert swings(frame, ())["outside_usable"].to_list() == [True]


def test_curves_that_belong_to_different_things_are_not_mixed():
    both = pl.concat([curve({"probe": {-0.1: 0.0, 0.1: v}}, persona=name) for name, v in (("a", 0.1), ("b", 0.7))])
    found = swings(both, ("persona",))
    assert dict(zip(found["persona"], found["value"], strict=True)) == {"a": 0.1, "b": 0.7}


def effects(values):
    rows = [{"layer": 3, "coefficient": c, "direction": name, "value": v} for (name, c), v in values.items()]
    return pl.DataFrame(rows, infer_schema_length=None)


def test_random_directions_are_counted_in_the_same_cell_in_either_sense_and_ties_count():
    frame = effects(
        {
            ("probe", 0.1): 0.2,
            ("probe", 0.2): -0.5,
            ("probe", 0.4): None,
            ("random 1", 0.1): -0.2,
            ("random 2", 0.1): 0.1,
            ("random 1", 0.2): 0.4,
            ("other layer", 0.2): 9.0,
        }
    )
    rows = beside_random(frame, ())
    assert rows["n_random"].to_list() == [2, 1]
    assert rows["as_much"].to_list() == [1, 0]
    assert rows["largest_random"].to_list() == [0.2, 0.4]
    assert beyond(rows) == 1
    assert by_chance(rows) == pytest.approx(1 / 3 + 1 / 2)


def test_without_random_directions_nothing_is_beyond_them():
    rows = beside_random(effects({("probe", 0.1): 0.2}), ())
    assert rows.select("n_random", "largest_random", "as_much").row(0) == (0, None, 0)
    assert beyond(rows) == 0
    assert by_chance(rows) == 0.0


def test_the_largest_effect_is_sought_inside_the_usable_range_first():
    frame = pl.DataFrame({"value": [0.1, -0.4, 0.9], "outside_usable": [False, None, True]})
    assert largest(frame)["value"] == -0.4
    assert largest(frame.filter(pl.col("outside_usable")))["value"] == 0.9
    assert largest(frame.drop("outside_usable"))["value"] == 0.9
    assert largest(frame.clear()) is None


def test_changes_from_zero_leave_out_zero_itself():
    found = from_zero(curve({"probe": {-0.1: 0.2, 0.0: 0.5, 0.1: 0.6}}), ())
    assert found["value"].to_list() == pytest.approx([-0.3, 0.1])
    assert found.select("steered", "unsteered").rows() == [(0.2, 0.5), (0.6, 0.5)]


def test_a_direction_that_lacks_unsteered_answers_has_those_of_the_probe():
    frame = curve({"probe": {0.0: 0.5, 0.1: 0.6}, "random 1": {0.1: 0.7}, "random 2": {0.0: 0.4, 0.1: 0.7}})
    found = with_unsteered(frame, ())
    assert found.filter(coefficient=0.0).select("direction", "value").rows() == [
        ("probe", 0.5),
        ("random 2", 0.4),
        ("random 1", 0.5),
    ]
    assert found.columns == frame.columns
    changes = dict(from_zero(frame, ()).select("direction", "value").iter_rows())
    assert changes == pytest.approx({"probe": 0.1, "random 1": 0.2, "random 2": 0.3})


def test_a_section_opens_at_the_largest_effect_of_its_first_target(tables):
    assert opening(tables["steering_effects"], ("target", "pair_type", "layer", "coefficient")) == {
        "target": "contrast",
        "pair_type": "all",
        "layer": 9,
        "coefficient": "0.2",
    }
    assert opening(tables["steering_dose"], ("target", "pair_type", "layer"))["layer"] == 9
    assert opening(tables["facet_curves"], ("facet", "layer")) == {"facet": "sincerity", "layer": 9}


def test_a_table_without_both_signs_opens_at_its_first_row():
    assert opening(curve({"probe": {0.1: 0.5}}, layer=7), ("layer", "coefficient")) == {
        "layer": 7,
        "coefficient": "0.1",
    }


def test_strengths_read_the_same_in_the_page_s_script():
    assert [strength(c) for c in (0.1, 0.05, 1.0, 0.125)] == ["0.1", "0.05", "1", "0.125"]
    assert matches({"layer": 3, "y_title": "P"}, {"layer": 3, "persona": "a"})
    assert not matches({"layer": 3, "persona": "b"}, {"layer": 3, "persona": "a"})
