"""Load a model by alias, folder, GGUF file or hub name, and check it before anyone trusts a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from personascope.errors import ModelError, nearest
from personascope.models.adapter_files import CONFIG
from personascope.models.adapters import attach
from personascope.models.check import self_check
from personascope.models.embedded import EMBEDDED, embedded_folder, gguf_folder, quiet_transformers, require_complete
from personascope.models.engine import HookEngine
from personascope.models.hashes import adapter_state, tokenizer_hashes, weights_hash
from personascope.models.precision import default_dtype

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

PLAIN_CHAT = (
    "{% if bos_token %}{{ bos_token }}{% endif %}{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
)
"""Chat template for base models: the persona, the question and the start of the answer as paragraphs of one text."""


def load_model(
    name: str,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    revision: str | None = None,
    adapter: Path | str | None = None,
    adapter_revision: str | None = None,
    chat_template: Path | Literal["plain"] | None = None,
    threads: int | None = None,
) -> HookEngine:
    """Load a causal language model and return the engine that runs it.

    Args:
        name: an embedded alias ("smollm2", "gemma3-270m"), a local folder, a .gguf file, or a hub name.
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 where the device multiplies it natively, else
            float32; `judge_precision` says what that moves.
        device: torch device.
        revision: hub revision.
        adapter: folder or hub name of a peft adapter that is put on the model and on (`models.adapters` switches it).
        adapter_revision: its hub revision.
        chat_template: Jinja file that replaces the tokenizer's own chat template; "plain", for base models,
            sets paragraphs without marks of turns.
        threads: CPU threads; None leaves torch's setting.

    Raises:
        ModelError: unknown name, unreadable, incomplete or unsafe weights, a device that is not there, an adapter that
            does not fit or did not land (`models.adapters.attach`), or a model that fails the load-time check.
    """
    known = ("auto", *DTYPES)
    if dtype not in known:
        raise ModelError(f"Unknown dtype {dtype!r}.{nearest(dtype, known)}", "", f"Use one of {', '.join(known)}.")
    if threads is not None:
        torch.set_num_threads(threads)
    source = _source(name)
    number_type = default_dtype(_device(device)) if dtype == "auto" else DTYPES[dtype]
    model, tokenizer = _from_pretrained(name, source, number_type, revision)
    if chat_template is not None:
        tokenizer.chat_template = PLAIN_CHAT if chat_template == "plain" else _read_template(Path(chat_template))
    identity = {
        "revision": str(revision or getattr(model.config, "_commit_hash", None) or ""),
        "weights": weights_hash(model),
        **tokenizer_hashes(tokenizer),
        "transformers": transformers.__version__,
    }
    engine = HookEngine(_on_device(model, device), tokenizer, name=name, identity=identity)
    if adapter is not None:
        attach(engine, adapter, revision=adapter_revision)
    self_check(engine)
    return engine


def _source(name: str) -> str:
    if name in EMBEDDED:
        return str(embedded_folder(name))
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"No GGUF file at {path}.", "", "Check the path.")
        return str(gguf_folder(path))
    return name


def _from_pretrained(name: str, source: str, dtype: torch.dtype, revision: str | None) -> tuple[Any, Any]:
    if (Path(source) / CONFIG).is_file():
        raise _no_model(name)
    try:
        with quiet_transformers():
            # safetensors only: pickled checkpoints can run code
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                source, dtype=dtype, revision=revision, use_safetensors=True, output_loading_info=True
            )
            if adapter_state(loaded[0]):
                raise _no_model(name)
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
    except ModelError:
        raise
    except Exception as error:  # a damaged config or weight file can make the library raise anything
        known = "" if Path(name).exists() else nearest(name.lower(), EMBEDDED)
        raise ModelError(
            f"Cannot load the model {name!r}.{known}",
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            "Use an embedded alias "
            f"({', '.join(EMBEDDED)}), a folder with config.json and safetensors, a .gguf file, or a hub name.",
        ) from error
    model, loading = loaded
    require_complete(name, loading)
    return model, tokenizer


def _no_model(name: str) -> ModelError:
    """With peft installed, transformers puts an adapter that it finds in a model's folder on it, and says nothing."""
    return ModelError(
        f"{name} holds an adapter, so it is not clear which weights are meant.",
        f"There is an {CONFIG} in it.",
        f"load_model(base, adapter={name!r}) puts it on a model; move a model that lies beside it to another folder.",
    )


def _device(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"Unknown device {name!r}.", str(error)[:200], "Try cpu, cuda or cuda:0.") from error


def _on_device(model: Any, device: str) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError, ImportError) as error:  # the last two: torch was built without it
        raise ModelError(f"Cannot put the model on the device {device!r}.", str(error)[:300], "Try cpu.") from error


def _read_template(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"Cannot read the chat template {path}.", str(error), "Give a Jinja text file.") from error
