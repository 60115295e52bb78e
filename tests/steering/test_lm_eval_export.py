"""Steering files of lm-evaluation-harness: what its loader does with ours, the way back, and other people's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from personascope.direction import Direction
from personascope.errors import DirectionError, FileFormatError
from personascope.models.engine import HookEngine
from personascope.models.tiny import WIDTH, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.steering.lm_eval_export import hookpoint_of, read_lm_eval, write_lm_eval
from personascope.steering.steer import steer

IDS = (5, 9, 40, 77, 12, 33)
TOKENS = tuple(range(3, 60))


def made(layer: int = 3, **changes: object) -> Direction:
    vector = np.random.default_rng(layer).standard_normal(WIDTH)
    fields = {"model": "tiny", "reference_norm": 20.5, "means": "héhé 更多", "fit": "ridge", "strength": 0.3}
    return Direction(vector, layer, "eot", **{**fields, **changes})


def entry(**changes: object) -> dict[str, object]:
    """An entry as the harness documents it."""
    plain = {"steering_vector": torch.ones(1, 4), "steering_coefficient": 2.0, "action": "add", "bias": None}
    return {**plain, "head_index": None, **changes}


def foreign(path: Path, entries: object) -> Path:
    torch.save(entries, path)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(FileFormatError, match=match):
        read_lm_eval(path, model="m", position="eot", reference_norm=1.0)


def test_what_was_written_reads_back_in_its_order(tmp_path: Path) -> None:
    written = [made(9), -made(0, strength=1.5), made(5, extra={"alpha": 0.1, "folds": [1, 2]}, model_hash="ab")]
    write_lm_eval(written, tmp_path / "v.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["v.pt"]
    found = read_lm_eval(tmp_path / "v.pt", model="not used", position="nor this", reference_norm=1.0)
    for one, other in zip(found, written, strict=True):
        assert one.card() == other.card()
        assert np.abs(one.vector - other.vector).max() <= np.spacing(np.abs(other.vector).max())


def test_the_file_is_what_the_harness_documents(tmp_path: Path) -> None:
    directions = [made(1), -made(4)]
    write_lm_eval(directions, tmp_path / "v.pt", hookpoint="h.{layer}")
    entries = torch.load(tmp_path / "v.pt", weights_only=True)
    assert list(entries) == ["h.1", "h.4"]
    for one, found in zip(directions, entries.values(), strict=True):
        assert (found["action"], found["bias"], found["head_index"]) == ("add", None, None)
        assert type(found["steering_coefficient"]) is float and found["steering_vector"].shape == (1, WIDTH)
        # bit for bit what `steer` adds
        assert np.array_equal((found["steering_vector"] * found["steering_coefficient"])[0].numpy(), one.offset())


@pytest.mark.parametrize(
    ("family", "hookpoint"), [("llama", "layers.{layer}"), ("gpt2", "h.{layer}"), ("gpt_neox", "layers.{layer}")]
)
def test_adding_at_the_hookpoints_equals_steering_everywhere(tmp_path: Path, family: str, hookpoint: str) -> None:
    """The harness resolves names below `base_model` and adds to the module's output, or to its first part."""
    engine = HookEngine(tiny_model(family), tiny_tokenizer(), name="tiny")
    assert hookpoint_of(engine) == hookpoint
    directions = [made(1), -made(3)]
    write_lm_eval(directions, tmp_path / "v.pt", hookpoint=hookpoint_of(engine))
    entries = torch.load(tmp_path / "v.pt", weights_only=True)
    options = Options(tuple(map(str, TOKENS)), tuple((token,) for token in TOKENS))
    prompt = Prompt(ids=IDS, text="", spans={})
    with steer(engine, *directions, where="all"):
        ours = engine.run([prompt], options=options).option_logprobs[0]

    def hook(_module: object, _inputs: object, output: object, name: str = "") -> object:
        added = entries[name]["steering_vector"] * entries[name]["steering_coefficient"]
        return (output[0] + added, *output[1:]) if isinstance(output, tuple) else output + added

    modules = dict(engine.model.base_model.named_modules())
    handles = [modules[name].register_forward_hook(lambda *call, name=name: hook(*call, name=name)) for name in entries]
    try:
        with torch.no_grad():
            theirs = engine.model(torch.tensor([IDS])).logits[0, -1].log_softmax(-1)[list(TOKENS)]
    finally:
        for handle in handles:
            handle.remove()
    plain = engine.run([prompt], options=options).option_logprobs[0]
    assert (plain - ours).abs().max() > 0.5
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_file_of_another_tool_takes_its_place_from_the_caller(tmp_path: Path) -> None:
    vector = torch.tensor([0.0, 3.0, 0.0, -4.0])
    entries = {"gpt_neox.layers.3": entry(steering_vector=vector.bfloat16(), steering_coefficient=-2)}
    entries["layers.7"] = {"steering_vector": vector[None], "action": "add"}  # the least that the harness takes
    three, seven = read_lm_eval(
        foreign(tmp_path / "a.pt", entries), model="m", position="all", reference_norm={3: 50.0, 7: 5.0}
    )
    assert (three.layer, seven.layer, three.model, three.position) == (3, 7, "m", "all")
    assert three.strength == pytest.approx(0.2) and three.offset().tolist() == pytest.approx([0, -6, 0, 8])
    assert seven.strength == pytest.approx(1.0) and seven.offset().tolist() == pytest.approx([0, 3, 0, -4])
    with pytest.raises(DirectionError, match="where its vectors belong"):
        read_lm_eval(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "dict of hookpoints"),
        ((1, 2), "dict of hookpoints"),
        ({"layers.3": 5}, "'layers.3' is not a decoder block"),
        ({"layers.3.mlp": entry()}, "not a decoder block"),
        ({"layers.3.experts.1": entry()}, "not a decoder block"),
        ({"3": entry()}, "not a decoder block"),
        ({"layers.3": entry(action="clamp")}, "clamps"),
        ({"layers.3": entry(bias=torch.ones(4))}, "clamps"),
        ({"layers.3": entry(head_index=0)}, "steers one head"),
        ({"layers.3": entry(steering_vector=None)}, "no steering_vector"),
        ({"layers.3": entry(steering_vector=torch.ones(2, 4))}, "no steering_vector"),
        ({"layers.3": entry(steering_vector=torch.ones(1, 1, 4))}, "no steering_vector"),
        ({"layers.3": entry(steering_vector=torch.zeros(4))}, "length is 0"),
        ({"layers.3": entry(steering_vector=torch.ones(4) * float("inf"))}, "length is inf"),
        ({"layers.3": entry(steering_coefficient="2")}, "no number"),
        ({"layers.3": entry(steering_coefficient=True)}, "no number"),
        ({"layers.3": entry(steering_coefficient=float("nan"))}, "no number"),
        ({"layers.3": entry(steering_coefficient=10**400)}, "no number"),
        ({"layers.3": entry(personascope=5)}, "card that is no text"),
        ({"layers.3": entry(personascope="{")}, "its card is not that"),
        ({"layers.3": entry(personascope=json.dumps(made().card()))}, "do not belong together"),
        ({"layers.3": entry(personascope="[" * 100_000)}, "its card is not that"),
    ],
)
def test_entries_that_are_no_direction_are_refused(tmp_path: Path, entries: object, message: str) -> None:
    refused(foreign(tmp_path / "a.pt", entries), message)


def test_files_that_act_on_unpickling_are_refused(tmp_path: Path) -> None:
    refused(foreign(tmp_path / "a.pt", {"layers.3": entry(extra=torch.nn.Linear(1, 1))}), "torch.nn")
    refused(tmp_path / "none.pt", "No such file")


@pytest.mark.parametrize(
    ("directions", "name", "hookpoint", "message"),
    [
        ([], "v.pt", "layers.{layer}", "one model"),
        ([made(1), made(1)], "v.pt", "layers.{layer}", "Several directions of layer 1"),
        ([made(1)], "v.bin", "layers.{layer}", "no name for a steering file"),
        ([made(1)], "v.pt", "layers.3", "names no decoder block"),
        ([made(1)], "v.pt", "layers.{layer}.mlp", "names no decoder block"),
        ([made(1)], "v.pt", "{layer}", "names no decoder block"),
        ([made(1, extra={"x": float("nan")})], "v.pt", "layers.{layer}", "JSON cannot"),
    ],
)
def test_what_the_harness_would_not_take_is_refused_and_leaves_no_file(
    tmp_path: Path, directions: list[Direction], name: str, hookpoint: str, message: str
) -> None:
    with pytest.raises(DirectionError, match=message):
        write_lm_eval(directions, tmp_path / name, hookpoint=hookpoint)
    assert list(tmp_path.iterdir()) == []
