import dataclasses
import json
import math
import os
import pickle

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save

from personascope.direction import Direction
from personascope.errors import DirectionError, FileFormatError

FEW = settings(max_examples=100, deadline=None)
VECTORS = arrays(np.float64, st.integers(2, 12), elements=st.floats(-1e6, 1e6)).filter(
    lambda v: np.linalg.norm(v) > 1e-3
)
STRENGTHS = st.floats(-4, 4).filter(lambda s: abs(s) > 1e-3)


def direction(vector=(3.0, 0.0, 4.0), **changes):
    fields = {"layer": 3, "position": "eot", "model": "m", "reference_norm": 50.0, "means": "more", "fit": "ridge"}
    return Direction(vector=np.asarray(vector, dtype=np.float64), **{**fields, **changes})


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@FEW
@given(vector=VECTORS, strength=STRENGTHS)
def test_the_vector_has_length_one_and_keeps_its_bits_under_scaling(vector, strength):
    made = direction(vector)
    assert made.vector.dtype == np.float32
    assert np.linalg.norm(made.vector.astype(np.float64)) == pytest.approx(1.0, abs=2e-7)
    assert np.allclose(made.vector, vector / np.linalg.norm(vector), atol=1e-6)
    for other in (strength * made, -made, direction(made.vector)):
        assert np.array_equal(other.vector, made.vector)


@pytest.mark.parametrize(
    "vector",
    [np.zeros(4), np.array([1.0, math.nan]), np.array([1.0, math.inf]), np.ones((2, 3)), np.array(1.0), np.array([])],
)
def test_vectors_without_a_direction_are_refused(vector, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in use, where no annotation is checked
    with pytest.raises(DirectionError, match="finite, non-zero vector"):
        direction(vector)


@pytest.mark.parametrize("norm", [0.0, -1.0, math.nan, math.inf])
def test_the_reference_norm_must_be_positive(norm):
    with pytest.raises(DirectionError, match="reference_norm"):
        direction(reference_norm=norm)


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_strength_must_be_finite(factor):
    with pytest.raises(DirectionError, match="strength"):
        factor * direction()


def test_the_array_that_was_passed_is_neither_kept_nor_changed():
    given_vector = np.array([0.6, 0.8], dtype=np.float32)
    made = direction(given_vector)
    given_vector[0] = 9
    assert made.vector.tolist() == pytest.approx([0.6, 0.8])


def test_a_strength_of_one_has_the_length_of_the_mean_residual():
    assert np.allclose(direction().offset(), [30, 0, 40])
    assert np.allclose((0.06 * direction()).offset(), [1.8, 0, 2.4])
    assert np.linalg.norm((-0.5 * direction()).offset()) == pytest.approx(25)


@FEW
@given(vector=VECTORS, a=STRENGTHS, b=STRENGTHS)
def test_scaling_and_negation_act_on_the_offset(vector, a, b):
    base = direction(vector)
    assert (a * base).strength == (base * a).strength == a
    assert (b * (a * base)).strength == pytest.approx(a * b)
    assert np.allclose((-(a * base)).offset(), -(a * base).offset())
    assert np.allclose((a * base).offset(), a * base.offset(), atol=1e-4)
    assert (np.float64(a) * base).strength == a and isinstance(np.float64(a) * base, Direction)


@FEW
@given(
    first=arrays(np.float64, 6, elements=st.floats(-9, 9)),
    second=arrays(np.float64, 6, elements=st.floats(-9, 9)),
    a=STRENGTHS,
    b=STRENGTHS,
)
def test_sums_and_differences_are_those_of_the_offsets(first, second, a, b):
    first[0], second[1] = 10, 10  # neither zero nor parallel
    one, two = a * direction(first), b * direction(second, reference_norm=7.0)
    assert np.allclose((one + two).offset(), one.offset() + two.offset(), atol=1e-3)
    assert np.allclose((one - two).offset(), one.offset() - two.offset(), atol=1e-3)
    assert (one + two).strength > 0
    assert np.allclose((one + two).offset(), (two + one).offset(), atol=1e-3)


def test_a_sum_says_what_it_was_made_of():
    total = direction(means="warm", fit="ridge") + direction([0, 1, 0], means="bold", fit="logistic")
    assert (total.means, total.fit) == ("(warm) + (bold)", "(ridge) + (logistic)")
    assert (total.layer, total.position, total.model, total.reference_norm) == (3, "eot", "m", 50.0)


def test_a_direction_minus_itself_is_no_direction():
    with pytest.raises(DirectionError):
        direction() - direction()


def test_the_cosine_is_that_of_the_offsets_and_follows_the_sign():
    one, two = direction([1, 0]), direction([1, 1])
    assert one.cosine(two) == pytest.approx(math.cos(math.pi / 4))
    assert one.cosine(0.1 * two) == pytest.approx(math.cos(math.pi / 4))
    assert one.cosine(-two) == (-one).cosine(two) == pytest.approx(-math.cos(math.pi / 4))
    assert (-one).cosine(-two) == one.cosine(two)
    assert one.cosine(-one) == pytest.approx(-1)


@FEW
@given(vector=arrays(np.float64, 6, elements=st.floats(-9, 9)), a=STRENGTHS)
def test_what_is_projected_out_is_gone_and_the_rest_is_kept(vector, a):
    vector[0] = 10
    axis = direction([0, 0, 1, 2, 0, 0])
    rest = (a * direction(vector)).project_out(-0.3 * axis)
    assert rest.cosine(axis) == pytest.approx(0, abs=1e-6)
    assert rest.strength == a
    expected = vector - vector @ axis.vector * axis.vector
    assert np.allclose(rest.vector, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("dim", [3, 64, 576])
def test_projecting_a_direction_out_of_itself_leaves_none(dim):
    for seed in range(20):
        made = direction(np.random.default_rng(seed).normal(size=dim))
        with pytest.raises(DirectionError, match="parallel"):
            made.project_out(-2.0 * made)


@pytest.mark.parametrize(("field", "value"), [("layer", 4), ("position", "answer"), ("model", "other")])
def test_directions_of_different_places_do_not_mix(field, value):
    one, two = direction(), direction(**{field: value})
    for mix in (one.__add__, one.__sub__, one.cosine, one.project_out):
        with pytest.raises(DirectionError, match=f"{field}: .* != "):
            mix(two)


@settings(max_examples=30, deadline=None)
@given(vector=VECTORS, strength=STRENGTHS)
def test_a_saved_direction_reads_back_bit_for_bit(tmp_path_factory, vector, strength):
    stem = tmp_path_factory.mktemp("saved") / "warmth.v2"
    made = strength * direction(vector, model_hash="ab", data_hash="cd", extra={"alpha": 0.1, "folds": [1, 2]})
    made.save(stem)
    again = Direction.load(stem)
    assert files(stem.parent) == ["warmth.v2.json", "warmth.v2.safetensors"]
    for field in dataclasses.fields(Direction):
        assert np.array_equal(getattr(again, field.name), getattr(made, field.name)), field.name
    assert np.array_equal(again.offset(), made.offset())


def test_nothing_is_written_of_a_direction_that_json_cannot_hold(tmp_path):
    with pytest.raises((TypeError, ValueError)):
        direction(extra={"alpha": math.nan}).save(tmp_path / "a")
    assert files(tmp_path) == []


def refused(stem):
    with pytest.raises(FileFormatError, match="not a saved direction") as caught:
        Direction.load(stem)
    assert str(stem) in caught.value.symptom


def test_missing_files_are_refused(tmp_path):
    refused(tmp_path / "none")
    direction().save(tmp_path / "a")
    (tmp_path / "a.json").unlink()
    refused(tmp_path / "a")


class Executed:
    """Unpickling one would make the folder `marker`."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_pickle_in_disguise_is_refused_and_not_executed(tmp_path):
    direction().save(tmp_path / "a")
    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(Executed(tmp_path / "executed")))
    refused(tmp_path / "a")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "tensors",
    [
        {"other": np.ones(3, np.float32)},
        {"vector": np.ones((3, 3), np.float32)},
        {"vector": np.zeros(3, np.float32)},
        {"vector": np.array([1, np.nan], np.float32)},
        {"vector": np.array([], np.float32)},
    ],
)
def test_tensors_that_are_no_direction_are_refused(tmp_path, tensors):
    direction().save(tmp_path / "a")
    (tmp_path / "a.safetensors").write_bytes(save(tensors))
    refused(tmp_path / "a")


@pytest.mark.parametrize("cut", [0, 4, 8, 20, -1])
def test_a_cut_file_is_refused(tmp_path, cut):
    direction().save(tmp_path / "a")
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[:cut])
    refused(tmp_path / "a")


@pytest.mark.parametrize(
    "change",
    [
        {"layer": "3"},
        {"layer": 1.5},
        {"layer": True},
        {"model": 5},
        {"reference_norm": "50"},
        {"reference_norm": -1},
        {"strength": None},
        {"extra": [1]},
        {"vector": [1]},
        {"unknown": "x"},
        {"strength": math.inf},
    ],
)
def test_a_card_with_other_fields_or_types_is_refused(tmp_path, change):
    direction().save(tmp_path / "a")
    card = json.loads((tmp_path / "a.json").read_text("utf-8"))
    (tmp_path / "a.json").write_text(json.dumps({**card, **change}), encoding="utf-8")
    refused(tmp_path / "a")


@pytest.mark.parametrize("text", ["[]", "[1]", "5", "null", '"text"', "{}", "[[1, 2]]"])
def test_a_card_that_is_no_object_is_refused(tmp_path, text):
    direction().save(tmp_path / "a")
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    refused(tmp_path / "a")


def test_a_broken_card_is_refused_by_line(tmp_path):
    direction().save(tmp_path / "a")
    (tmp_path / "a.json").write_text('{"layer": 3,\n', encoding="utf-8")
    with pytest.raises(FileFormatError, match="line 2"):
        Direction.load(tmp_path / "a")


def test_the_repr_names_strength_place_and_meaning():
    assert repr(-0.06 * direction()) == "Direction(-0.06 x 50, \"m layer 3 eot\", + means 'more')"
