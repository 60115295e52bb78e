"""Which parts the engine finds in a model, and for which models it refuses to reuse prefixes or to work at all."""

from __future__ import annotations

import pytest
import torch
from tiny_models import (
    LOGPROB,
    OPTIONS,
    POSITIONS,
    RESIDUAL,
    WordTokenizer,
    apart,
    naive_run,
    relative,
    tiny_engine,
    tiny_model,
)
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, T5ForConditionalGeneration

from personascope.errors import ModelError
from personascope.models.anatomy import dissect
from personascope.models.engine import HookEngine

REFUSED = {
    "bloom": ({"n_layer": 4, "n_head": 4}, "ALiBi"),
    "mpt": ({"d_model": 32, "n_layers": 4, "n_heads": 4}, "ALiBi"),
    "falcon": ({"alibi": True, "num_hidden_layers": 4}, "ALiBi"),
    "gpt_neo": ({"num_layers": 4, "num_heads": 4, "attention_types": [[["global", "local"], 2]]}, "local attention"),
    "rwkv": ({"attention_hidden_size": 32}, "recurrent"),
    "qwen3_next": ({}, "linear_attention"),
}


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_whose_past_cannot_be_shared_by_position_is_run_whole_and_right(family, prompts):
    settings, reason = REFUSED[family]
    engine = HookEngine(tiny_model(family, **settings), WordTokenizer(), name=family)
    assert reason in engine.reuse_off
    assert reason in engine.fingerprint()["prefix_reuse"]
    some = prompts[:6]
    found = engine.run(some, layers=range(4), positions=POSITIONS, options=OPTIONS)
    residuals, chosen, _ = naive_run(engine.model, some, POSITIONS)
    assert engine.work.tokens == sum(len(prompt) for prompt in some)
    assert relative(found.residuals, residuals) < RESIDUAL
    assert apart(found.option_logprobs, chosen) < LOGPROB


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use_bidirectional_attention": True}, "bidirectional"),
        ({"is_causal": False}, "bidirectional"),
        ({"position_embedding_type": "alibi"}, "ALiBi"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "current length"),
        ({"rope_parameters": {"full_attention": {"rope_type": "longrope"}}}, "current length"),
        ({"num_kv_shared_layers": 2}, "across depth"),
        ({"layer_types": ["full_attention", "conv"]}, "conv"),
        ({"_attn_implementation_internal": "flash_attention_2"}, "flash_attention_2"),
    ],
)
def test_a_setting_that_makes_reuse_inexact_refuses_it(settings, reason):
    model = tiny_model("llama")
    assert dissect(model).reuse_refused == ""
    for name, value in settings.items():
        setattr(model.config, name, value)
    assert reason in dissect(model).reuse_refused


@pytest.mark.parametrize(
    ("family", "kinds"),
    [
        ("llama", {"full_attention": None}),
        ("mistral", {"sliding_attention": 8}),
        ("gemma3_text", {"sliding_attention": 8, "full_attention": None}),
        ("gpt2", {"full_attention": None}),
    ],
)
def test_kinds_of_attention_and_their_windows_come_from_the_config(family, kinds):
    assert dissect(tiny_model(family)).attention_kinds == kinds


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gemma2", {"final_logit_softcapping": 2.0}),
        ("cohere", {"logit_scale": 0.25}),
        ("granite", {"logits_scaling": 4.0}),
    ],
)
def test_caps_and_scales_of_the_logits_are_applied(family, settings, prompts):
    model = tiny_model(family, **settings)
    ids = torch.tensor([prompts[0].ids])
    with torch.no_grad():
        expected = model(input_ids=ids).logits[0]
        residual = HookEngine(model, WordTokenizer(), name=family).run(prompts[:1], layers=[3]).residuals[0, 0]
        found = dissect(model).logits(residual)
        bare = model.get_output_embeddings()(dissect(model).norm(residual))
    assert relative(found[:, None], expected[-1:, None]) < RESIDUAL
    assert relative(bare[:, None], expected[-1:, None]) > 0.1, "the cap or scale does nothing here"


def test_blocks_are_found_by_their_number_not_by_their_name():
    """Lists inside a block may have as many entries as the model has blocks."""
    model = tiny_model("llama")
    for block in model.model.layers:
        block.mlp.experts = torch.nn.ModuleList(torch.nn.Identity() for _ in range(4))
    assert dissect(model).layers is model.model.layers


def test_a_model_without_a_head_is_refused():
    config = AutoConfig.for_model("llama", hidden_size=32, intermediate_size=32, num_hidden_layers=2, vocab_size=97)
    with pytest.raises(ModelError, match=r"LlamaModel has no language-model head"):
        dissect(AutoModel.from_config(config))


def test_an_encoder_decoder_is_refused():
    config = AutoConfig.for_model("t5", d_model=32, d_ff=32, num_layers=2, num_heads=2, d_kv=16, vocab_size=97)
    with pytest.raises(ModelError, match="over a decoder"):
        dissect(T5ForConditionalGeneration(config))


def test_a_model_without_a_list_of_blocks_is_refused_with_the_lists_it_has():
    model = tiny_model("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(ModelError, match=r"No list of 7 decoder blocks.*\n.*model\.layers \(4\)"):
        dissect(model)


def test_a_model_whose_final_norm_does_not_follow_its_blocks_is_refused():
    config = AutoConfig.for_model("opt", hidden_size=32, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2)
    with pytest.raises(ModelError, match=r"Expected one final norm.*OPTDecoder"):
        dissect(AutoModelForCausalLM.from_config(config))


def test_blocks_that_return_tuples_and_name_their_cache_otherwise_are_read(prompts):
    engine = tiny_engine("falcon")
    outputs = []
    engine.anatomy.layers[0].register_forward_hook(lambda _m, _i, output: outputs.append(type(output)))
    engine.run(prompts[:2], layers=[1])
    assert outputs[0] is tuple
