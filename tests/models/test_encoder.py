"""The sentence encoder: unit rows that depend on their own text alone, nearer for what means the same; clear errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from personascope.errors import DataError, ModelError
from personascope.files import sha256_file
from personascope.models import encoder as module
from personascope.models.encoder import SentenceEncoder, load_encoder

TEXTS = [
    "I keep my promises.",
    "Whatever I have promised, I do.",
    "Volcanoes erupt when magma rises.",
    "Quiet",
    "I like to plan every step of a long journey far ahead, down to the last detail, and then to follow the plan.",
    "Ich halte, was ich verspreche. \u2603",
    "",
]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return load_encoder()


def test_rows_have_unit_length_and_do_not_depend_on_their_company(encoder: SentenceEncoder) -> None:
    rows = encoder.encode(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.d) == (len(TEXTS), 384) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(rows, alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], rows, atol=1e-5)
    assert np.array_equal(rows, encoder.encode(TEXTS))
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.parametrize(
    ("text", "same", "other"),
    [
        ("I keep my promises.", "Whatever I have promised, I do.", "I keep my desk tidy."),
        ("Spiders frighten me.", "I am scared of insects with eight legs.", "I write about history."),
        ("Write a poem about the sea.", "Compose verses on the ocean.", "Sort a list of numbers."),
    ],
)
def test_a_paraphrase_is_nearer_than_another_statement(
    encoder: SentenceEncoder, text: str, same: str, other: str
) -> None:
    rows = encoder.encode([text, same, other])
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.1


def test_it_says_which_weights_it_has_and_leaves_the_threads_as_they_were(encoder: SentenceEncoder) -> None:
    assert encoder.name == "all-MiniLM-L6-v2"
    folder = module._packaged()
    assert encoder.fingerprint == sha256_file(folder / "model.safetensors")
    assert encoder.fingerprint[:12] in repr(encoder)
    before = torch.get_num_threads()
    single = SentenceEncoder(encoder.name, encoder.fingerprint, encoder.model, threads=before + 1, batch=2)
    np.testing.assert_allclose(single.encode(TEXTS), encoder.encode(TEXTS), atol=1e-5)
    assert torch.get_num_threads() == before


def test_what_is_absent_or_damaged_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no sentence encoder"):
        load_encoder(tmp_path)
    source = module._packaged()
    for name in ("modules.json", "config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, tmp_path / name)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="Cannot load the sentence encoder"):
        load_encoder(tmp_path)
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package_here")
    with pytest.raises(ModelError, match="is not installed") as caught:
        load_encoder()
    assert "pip install" in caught.value.fix


def test_a_single_text_is_refused(encoder: SentenceEncoder) -> None:
    with pytest.raises(DataError, match="single text"):
        encoder.encode("I keep my promises.")
