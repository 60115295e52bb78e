"""An adapter as peft saves it, read from a folder or the hub: what it holds, its hash, and which kinds are taken.

A study compares a model with its adapter off and on in one process. So only adapters are taken that stand beside single
linear modules and leave them alone: without one the module is the base's own, bit for bit, and the prompt's tokens and
the model's blocks are the same with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from personascope.errors import ModelError
from personascope.files import sha256_json
from personascope.models.hashes import tensors_hash

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KINDS = {
    "LORA": "lora_",
    "ADALORA": "lora_",
    "DELORA": "delora_",
    "HRA": "hra_",
    "IA3": "ia3_",
    "LOHA": "hada_",
    "LOKR": "lokr_",
    "OFT": "oft_",
}
"""The kinds of peft that are taken, and how the names of their parameters begin."""
_PROMPTS = {
    *("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING"),
    *("CPT", "CARTRIDGE", "ADAPTION_PROMPT"),
}
_FIELDS = {
    "modules_to_save": "It replaces whole modules, and does not only stand beside them.",
    "trainable_token_indices": "It replaces rows of the embedding.",
    "layer_replication": "It adds blocks, so that layers have other numbers with it than without.",
    "alora_invocation_tokens": "It acts behind certain tokens only, which peft looks for in calls of its own wrapper.",
    "arrow_config": "It chooses among several adapters.",
    "megatron_config": "It names code that would be imported.",
}
_HARMLESS_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
"""Ways to initialise LoRA that leave the base's weights alone; PiSSA, OLoRA, CorDA and LoftQ subtract from them."""
_NUMBERLESS = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision", "task_type"),
    *("init_ia3_weights", "init_lora_weights", "init_weights"),  # what was trained replaces them
    *("lora_dropout", "module_dropout", "rank_dropout"),  # acts in training only
}
MERGE = (
    "Merge it into its base model with PeftModel.from_pretrained(base, adapter).merge_and_unload(), save what that "
    "returns, and load its folder."
)


@dataclass(frozen=True, repr=False)
class AdapterFile:
    """What an adapter's two files hold.

    Args:
        name: end of its folder's path, or its hub name.
        folder: where they lie.
        config: entries of adapter_config.json.
        tensors: what its weights file holds, by name.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def kind(self) -> str:
        """What peft calls this kind of adapter, such as LORA."""
        return str(self.config.get("peft_type"))

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Of the tensors, those that are the adapter's own; the others are of modules of the base."""
        return {key: tensor for key, tensor in self.tensors.items() if f".{KINDS[self.kind]}" in key}

    @property
    def trained_on(self) -> str:
        """What its base was called in training. A local copy has another name, so nothing rests on it."""
        return str(self.config.get("base_model_name_or_path") or "not recorded")

    @property
    def sha256(self) -> str:
        """Hash of the parameters and of all settings that can change a number, whatever the order they stand in."""
        settings = {
            key: sorted(map(str, value)) if isinstance(value, list) else value
            for key, value in self.config.items()
            if key not in _NUMBERLESS and value not in (None, [], {})
        }
        return sha256_json({"settings": settings, "tensors": tensors_hash(self.tensors)})


def read_adapter(source: Path | str, revision: str | None = None) -> AdapterFile:
    """Read an adapter and refuse what could not be switched off again. Only safetensors are opened.

    Args:
        source: folder with adapter_config.json and adapter_model.safetensors, or a hub name.
        revision: of the hub.

    Raises:
        ModelError: nothing there, a file is absent, damaged or a pickle, a parameter is not finite, or the adapter is
            of a kind or has a setting that is not taken.
    """
    name, folder = _folder(str(source), revision)
    config = _config(name, folder)
    _require_kind(name, config)
    file = AdapterFile(name, folder, config, _tensors(name, folder))
    _require_finite(file)
    return file


def _folder(source: str, revision: str | None) -> tuple[str, Path]:
    path = Path(source)
    if path.is_dir():
        return path.resolve().name, path
    if path.exists() or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        raise ModelError(
            f"No adapter folder at {source}.",
            "It is a file." if path.exists() else "",
            f"Give the folder that holds {CONFIG} and {WEIGHTS}, or a hub name such as owner/adapter.",
        )
    from huggingface_hub import hf_hub_download

    try:
        files = [Path(hf_hub_download(source, file, revision=revision)) for file in (CONFIG, WEIGHTS)]
    except Exception as error:  # of the network, of the hub, of the disk
        raise ModelError(
            f"Cannot load the adapter {source!r}.",
            f"No such folder here; from the hub: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            f"Check the name and the revision; the repository must hold {CONFIG} and {WEIGHTS}.",
        ) from error
    return source, files[0].parent


def _config(name: str, folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
            raise ValueError("it is no mapping with a `peft_type`")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The adapter {name!r} has no readable {CONFIG}.",
            " ".join(str(error).split())[:300],
            "Give the folder that peft's save_pretrained wrote.",
        ) from error
    return config


def _require_kind(name: str, config: dict[str, Any]) -> None:
    kind = config["peft_type"]
    if kind in _PROMPTS:
        raise ModelError(
            f"The adapter {name!r} is of the kind {kind}.",
            "It puts learnt vectors among the prompt's, so tokens have other positions with it than without.",
            "Train an adapter of weights, such as LoRA; this one cannot be merged.",
        )
    if kind not in KINDS:
        raise ModelError(
            f"The adapter {name!r} is of the kind {kind}.",
            f"These have been shown to switch off exactly: {', '.join(KINDS)}.",
            MERGE,
        )
    for field, reason in _FIELDS.items():
        if config.get(field):
            raise ModelError(f"The adapter {name!r} sets `{field}` and cannot be switched off exactly.", reason, MERGE)
    if config.get("bias", "none") != "none":
        raise ModelError(
            f"The adapter {name!r} sets `bias: {config['bias']}` and cannot be switched off exactly.",
            "It replaces the biases of the base's own modules.",
            MERGE,
        )
    start = config.get("init_lora_weights")
    if start not in _HARMLESS_STARTS:
        raise ModelError(
            f"The adapter {name!r} was initialised with {start!r} and cannot be switched off exactly.",
            "Attaching it subtracts its start from the base's own weights.",
            "Save it as plain LoRA, save_pretrained(folder, path_initial_model_for_weight_conversion=...). Or: "
            + MERGE,
        )


def _tensors(name: str, folder: Path) -> dict[str, Tensor]:
    if not (folder / WEIGHTS).is_file():
        pickled = any(folder.glob("*.bin"))
        raise ModelError(
            f"The adapter {name!r} has no {WEIGHTS}.",
            "Its weights are pickled (.bin), which can run code when they are opened." if pickled else "",
            "Save it as safetensors, which peft's save_pretrained does by default.",
        )
    try:
        return load_file(folder / WEIGHTS)
    except Exception as error:  # readers of a damaged file may raise anything
        raise ModelError(
            f"Cannot read {WEIGHTS} of the adapter {name!r}.",
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            "The file is damaged or not safetensors; save or download it again.",
        ) from error


def _require_finite(file: AdapterFile) -> None:
    broken = sorted(key for key, tensor in file.tensors.items() if not torch.isfinite(tensor.float()).all())
    if broken:
        raise ModelError(
            f"The adapter {file.name!r} has NaN or infinity in {len(broken)} of its {len(file.tensors)} parameters.",
            f"The first is {broken[0]}. Its training diverged, or the file is damaged.",
            "Take an earlier checkpoint, or train with a lower learning rate.",
        )
