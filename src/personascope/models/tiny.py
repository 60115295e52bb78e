"""Tiny random decoders of several families: what backends are compared on where nothing can be downloaded."""

from __future__ import annotations

import zlib
from typing import Any

import tokenizers
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

VOCABULARY, WIDTH, WINDOW = 97, 32, 8
COMMON: dict[str, object] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MIXED = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"]
SETTINGS: dict[str, dict[str, object]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": WINDOW},
    "gemma2": {"head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8, "layer_types": MIXED},
    "gemma3_text": {"head_dim": 8, "sliding_window": WINDOW, "layer_types": MIXED, "num_hidden_layers": 4},
    # a stray number of key-value heads on these two would mislead libraries that read it
    "gpt2": {"n_embd": WIDTH, "n_layer": 4, "n_head": 4, "n_positions": 128, "num_key_value_heads": 4},
    "gpt_neox": {"num_key_value_heads": 4},
    "phi": {},
    # blocks that return tuples and call their cache by another name
    "falcon": {"alibi": False, "new_decoder_architecture": False, "multi_query": True},
    "qwen3_next": {
        "head_dim": 8,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "layer_types": ["linear_attention", "linear_attention", "full_attention", "linear_attention"],
    },
}
FAMILIES = tuple(SETTINGS)


def tiny_model(family: str, dtype: torch.dtype = torch.float32, **settings: object) -> Any:
    """A random model whose attention matters: with the usual small initial weights a lost prefix would hardly show.

    Args:
        family: a model type of transformers; `SETTINGS` has the ones that are compared.
        dtype: of the weights.
        settings: further entries of its configuration.

    Returns:
        The Hugging Face model; equal arguments give equal weights.
    """
    config = AutoConfig.for_model(family, **{**COMMON, **SETTINGS.get(family, {}), **settings})
    torch.manual_seed(0)  # some models draw one-dimensional parameters of their own
    model: Any = AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]
    model.config.architectures = [type(model).__name__]  # as a saved model has it; other libraries go by it
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.add_(0.1 * noise)
            else:
                is_embedding = any(word in name for word in ("embed", "wte", "wpe"))
                parameter.copy_(noise if is_embedding else noise * 1.2 / parameter.shape[-1] ** 0.5)
    return model.to(dtype)


def tiny_tokenizer() -> Any:
    """A real fast tokenizer for the tiny vocabulary: the word "w7" is the token 7. It adds no special tokens."""
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{token}": token for token in range(3, VOCABULARY)}}
    # without a token for the beginning, which TransformerLens would go and look for at the hub
    special = {"unk_token": "<unk>", "pad_token": "<unk>", "eos_token": "</s>"}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)  # type: ignore[no-untyped-call]
