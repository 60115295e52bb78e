"""Tiny models in the hands of other libraries; a test is skipped, with the reason, where the library is missing."""

from __future__ import annotations

import pytest
import torch
from tiny_models import OPTIONS, apart, offset, relative

from personascope.models.intervention import Intervention
from personascope.models.tiny import tiny_model, tiny_tokenizer

PLACES = ("answer", "mean:item", "from:task_b", "all")
STEERED = (
    Intervention(1, offset(1), "from:item"),
    Intervention(1, offset(2), "answer"),
    Intervention(3, offset(3), "mean:task_a"),
)


def tiny_bridge(family="llama", dtype=torch.float32):
    """A TransformerLens bridge over a fresh tiny model; equal names give equal weights."""
    reason = "transformer-lens is not installed (pip install transformer-lens)"
    lens = pytest.importorskip("transformer_lens.model_bridge", reason=reason)
    return lens.TransformerBridge.boot_transformers(
        f"tiny-{family}", hf_model=tiny_model(family, dtype), tokenizer=tiny_tokenizer(), device="cpu", dtype=dtype
    )


def tiny_nnsight(family="llama", dtype=torch.float32):
    """An nnsight model over a fresh tiny model."""
    nnsight = pytest.importorskip("nnsight", reason="nnsight is not installed (pip install nnsight)")
    return nnsight.TransformersModel(tiny_model(family, dtype), tokenizer=tiny_tokenizer(), task="text-generation")


def block_calls(module):
    """A list that grows by the layer's number whenever a decoder block of a Hugging Face module begins to run."""
    from personascope.models.anatomy import dissect

    calls = []
    for layer, block in enumerate(dissect(module).layers):
        block.register_forward_pre_hook(lambda _module, _inputs, layer=layer: calls.append(layer))
    return calls


def assert_same(found, expected, residual=1e-5, logprob=5e-5):
    """Two `Outputs`, or one and the naive (residuals, option log-probabilities, other log-mass)."""
    if not isinstance(expected, tuple):
        expected = (expected.residuals, expected.option_logprobs, expected.other_logmass)
    assert relative(found.residuals, expected[0]) < residual
    assert apart(found.option_logprobs, expected[1]) < logprob
    assert apart(found.other_logmass, expected[2]) < logprob


def run_all(backend, prompts, interventions=()):
    return backend.run(
        prompts, layers=range(backend.n_layers), positions=PLACES, options=OPTIONS, interventions=interventions
    )
