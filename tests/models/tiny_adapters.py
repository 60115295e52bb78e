"""Random adapters for tiny models, saved by peft, and the same weights added by hand in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors.torch import load_file, save_file
from tiny_models import naive_run
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from personascope.models import check
from personascope.models.adapter_files import CONFIG, WEIGHTS
from personascope.models.engine import HookEngine
from personascope.models.hashes import weights_hash
from personascope.models.tiny import tiny_model, tiny_tokenizer

TARGETS = {
    "gpt2": ["c_attn", "c_proj"],  # Conv1D, whose weights lie the other way round
    "gpt_neox": ["query_key_value", "dense_4h_to_h"],
}
RANK, ALPHA = 4, 6


def full_engine(family: str = "llama", dtype: torch.dtype = torch.float32, **engine: object) -> HookEngine:
    """A fresh engine with a tokenizer that decodes, and with the base's hash as `load_model` has it."""
    model = tiny_model(family, dtype)
    identity = {"weights": weights_hash(model)}
    return HookEngine(model, tiny_tokenizer(), name=f"tiny-{family}", identity=identity, **engine)


def save_adapter(folder: Path, family: str = "llama", config: Any = None, **settings: Any) -> Path:
    """A folder with a random adapter; `settings` are LoRA's, or `config` another kind's."""
    import peft

    torch.manual_seed(5)
    if config is None:
        targets = TARGETS.get(family, ["q_proj", "v_proj", "down_proj"])
        given = {"r": RANK, "lora_alpha": ALPHA, "target_modules": targets, "init_lora_weights": False} | settings
        config = peft.LoraConfig(task_type="CAUSAL_LM", **given)
    tuned = peft.get_peft_model(tiny_model(family), config)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    tuned.save_pretrained(folder)
    return folder


def save_model(folder: Path, model: Any) -> Path:
    """A folder as users have it, with a tokenizer that knows the words of the load-time check."""
    words = sorted({word for ending in check._ENDINGS for word in (check._SHARED + ending).replace(".", " .").split()})
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(["?", *words])}, unk_token="?"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="?").save_pretrained(folder)
    return folder


def by_hand(folder: Path, family: str = "llama", scale: float = ALPHA / RANK) -> Any:
    """The tiny model with W + scale * B A in place of W."""
    model, tensors = tiny_model(family), load_file(folder / WEIGHTS)
    with torch.no_grad():
        for key, a in tensors.items():
            if ".lora_A." in key:
                b = tensors[key.replace(".lora_A.", ".lora_B.")]
                name = key.removeprefix("base_model.model.").partition(".lora_A.")[0]
                added = scale * (b.double() @ a.double())
                weight = model.get_submodule(name).weight
                weight.copy_(weight.double() + (added.T if family == "gpt2" else added))
    return model


def change_config(folder: Path, **entries: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | entries))


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def everything(engine: HookEngine, prompts: Any, options: Any) -> list[Tensor]:
    """Residuals at every layer, answers, the mass outside."""
    found = engine.run(prompts, layers=range(engine.n_layers), positions=("answer", "mean:item"), options=options)
    return [found.residuals, found.option_logprobs, found.other_logmass]


def identical(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def reference(model: Any, prompts: Any, options: Any) -> list[Tensor]:
    return list(naive_run(model, prompts, ("answer", "mean:item"), options=options))
