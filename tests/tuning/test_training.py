"""Training on a tiny model: it learns, the best epoch stays, it resumes, and the model itself is left as it was."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Trainer, TrainerState

sys.path.insert(0, str(Path(__file__).parent))

from taught import REWORDED, rated

from personascope.direction import Direction
from personascope.errors import DataError, ModelError
from personascope.experiments.ideal_self import load_ideal_self
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.recipe_tuning import IdealSelfRecipe
from personascope.experiments.responder_study import load_responder
from personascope.models.hashes import weights_hash
from personascope.prompts.labels import resolve_options
from personascope.steering.steer import steer
from personascope.tuning.lora import fresh_lora
from personascope.tuning.settings import TrainSettings
from personascope.tuning.trainer import train_epochs
from personascope.tuning.training import ADAPTER_FILE, train_adapter

FAST = TrainSettings(rank=16, dropout=0.0, learning_rate=8e-3, epochs=40, patience=40, batch_size=4, max_length=64)


def accuracy(engine, examples) -> float:
    options = resolve_options(engine.tokenizer, "Rating: ", tuple("12345"))
    chosen = engine.run([example.prompt for example in examples], options=options).option_logprobs.argmax(dim=1)
    hits = [str(int(at) + 1) == example.answer for at, example in zip(chosen, examples, strict=True)]
    return sum(hits) / len(hits)


def mistaught(examples):
    """The same questions, each with the answer to the one before."""
    return [
        replace(one, answer=other.answer, ids=(*one.ids[:-2], *other.ids[-2:]))
        for one, other in zip(examples, [*examples[1:], examples[0]], strict=True)
    ]


def assert_same(trained, other):
    assert trained.history.equals(other.history)
    ends = [load_file(one.folder / ADAPTER_FILE) for one in (trained, other)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_sixteen_answers_are_learned_and_the_model_is_given_back(engine, examples, reworded, tmp_path):
    before, rows = weights_hash(engine.model), engine.run([examples[0].prompt], layers=[3]).residuals
    names = set(vars(engine.model))
    steps = []
    trained = train_adapter(
        engine, examples, reworded, tmp_path / "a", FAST, progress=lambda done, total: steps.append((done, total))
    )
    assert steps[-1] == (160, 160) and (trained.n_train, trained.n_validation, trained.n_taught) == (16, 16, 32)
    assert weights_hash(engine.model) == before and set(vars(engine.model)) == names
    assert torch.equal(engine.run([examples[0].prompt], layers=[3]).residuals, rows)
    assert all(parameter.requires_grad for parameter in engine.model.parameters()) and not engine.model.training

    history = trained.history
    best = history.filter("best")
    assert history["epoch"].to_list() == list(range(41)) and history["train_loss"][0] is None
    assert best["validation_loss"].to_list() == [history["validation_loss"].min()]
    assert trained.best_epoch == best["epoch"][0] > 2 and trained.has_learned

    assert accuracy(engine, examples) < 0.5
    peft.PeftModel.from_pretrained(engine.model, str(trained.folder))
    assert accuracy(engine, examples) > 0.95 and accuracy(engine, reworded) > 0.95
    kinds = {path.suffix for path in trained.folder.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".md"}, "nothing that has to be unpickled is kept"


def test_the_epoch_with_the_lowest_validation_loss_is_what_stays(engine, examples, reworded, tmp_path):
    wrong = mistaught(reworded)
    stopped = train_adapter(engine, examples, wrong, tmp_path / "a", replace(FAST, patience=2, epochs=12))
    losses = stopped.history["validation_loss"].to_list()
    assert len(losses) < 13 and losses[-1] > min(losses) and losses[-2] > min(losses), "early stopping"
    peft.PeftModel.from_pretrained(engine.model, str(stopped.folder))
    assert stopped.best_epoch > 0
    assert loss_of(engine, wrong) == pytest.approx(min(losses), rel=1e-4)


def test_where_no_epoch_is_better_than_none_the_best_of_them_stays_and_it_says_so(engine, examples, tmp_path):
    known = train_adapter(engine, examples, rated(engine.tokenizer, REWORDED), tmp_path / "a", FAST).folder
    model = peft.PeftModel.from_pretrained(engine.model, str(known)).merge_and_unload()
    engine.model = model
    wrong = mistaught(examples)
    spoiled = train_adapter(engine, wrong, rated(engine.tokenizer, REWORDED), tmp_path / "b", replace(FAST, epochs=3))
    losses = spoiled.history["validation_loss"].to_list()
    assert not spoiled.has_learned and spoiled.best_epoch == losses.index(min(losses[1:])) > 0
    peft.PeftModel.from_pretrained(engine.model, str(spoiled.folder))
    assert loss_of(engine, rated(engine.tokenizer, REWORDED)) == pytest.approx(min(losses[1:]), rel=1e-4)


def test_interrupted_anywhere_it_ends_as_if_it_had_not_been(engine, examples, reworded, tmp_path):
    few = replace(FAST, epochs=3, dropout=0.1)
    whole = train_adapter(engine, examples, reworded, tmp_path / "whole", few)
    for at in (2, 10):

        def stop(done: int, _: int, at: int = at) -> None:
            if done == at:
                raise KeyboardInterrupt

        folder = tmp_path / f"stopped-{at}"
        before = weights_hash(engine.model)
        with pytest.raises(KeyboardInterrupt):
            train_adapter(engine, examples, reworded, folder, few, progress=stop)
        assert weights_hash(engine.model) == before and not (folder / ADAPTER_FILE).exists()
        resumed = train_adapter(engine, examples, reworded, folder, few)
        assert_same(resumed, whole)
    again = train_adapter(engine, examples, reworded, tmp_path / "whole", few, progress=lambda *_: pytest.fail("again"))
    assert again.history.equals(whole.history)
    weights = tmp_path / "whole" / ADAPTER_FILE
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert_same(train_adapter(engine, examples, reworded, tmp_path / "whole", few), resumed)
    with pytest.raises(DataError, match="trained otherwise: settings differ"):
        train_adapter(engine, examples, reworded, tmp_path / "whole", FAST)
    with pytest.raises(DataError, match="trained otherwise: train differ"):
        train_adapter(engine, examples[:8], reworded, tmp_path / "whole", few)


@pytest.mark.parametrize("left", [None, "", '{"best_global_step": 2,'])
def test_killed_while_a_checkpoint_is_written_it_goes_on_from_the_one_before(
    engine, examples, reworded, tmp_path, monkeypatch, left
):
    few = replace(FAST, epochs=3)
    whole = train_adapter(engine, examples, reworded, tmp_path / "whole", few)
    save = TrainerState.save_to_json

    def torn(self, path):
        if round(self.epoch) < 2:
            return save(self, path)
        if left is not None:
            Path(path).write_text(left)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TrainerState, "save_to_json", torn)
        train_adapter(engine, examples, reworded, tmp_path / "torn", few)
    assert len(list((tmp_path / "torn" / "checkpoints").glob("checkpoint-*"))) == 2
    assert_same(train_adapter(engine, examples, reworded, tmp_path / "torn", few), whole)


def test_moved_before_the_best_epoch_was_loaded_it_still_is(engine, examples, reworded, tmp_path, monkeypatch):
    wrong, some = mistaught(reworded), replace(FAST, epochs=8)
    whole = train_adapter(engine, examples, wrong, tmp_path / "whole", some)
    assert whole.best_epoch < 8, "the last one would be in the model anyway"

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "_load_best_model", stop)
        train_adapter(engine, examples, wrong, tmp_path / "here", some)
    (tmp_path / "here").rename(tmp_path / "there")
    shutil.copytree(tmp_path / "there", tmp_path / "without")
    assert_same(train_adapter(engine, examples, wrong, tmp_path / "there", some), whole)

    step = whole.history.filter("best")["step"][0]
    shutil.rmtree(tmp_path / "without" / "checkpoints" / f"checkpoint-{step}")
    assert_same(train_adapter(engine, examples, wrong, tmp_path / "without", some), whole)


def test_what_cannot_be_trained_is_refused(engine, examples, reworded, tmp_path, monkeypatch):
    twins = [replace(example, id=f"twin of {example.id}") for example in examples]
    with pytest.raises(DataError, match="16 validation examples are training examples too"):
        train_adapter(engine, examples, twins, tmp_path / "leak", FAST)
    for train, validation, which in ((examples, [], "validation"), ([], reworded, "train")):
        with pytest.raises(DataError, match=f"There are no {which} examples"):
            train_adapter(engine, train, validation, tmp_path / "empty", FAST)
    assert not (tmp_path / "empty").exists(), "nothing half-written"
    with pytest.raises(DataError, match="all of it warm-up"):
        train_adapter(engine, examples, reworded, tmp_path / "one", replace(FAST, epochs=1, batch_size=16))
    direction = Direction(np.ones(engine.d_model), 1, "answer", "tiny-words", 5.0, "more", "made up")
    with steer(engine, 0.1 * direction, where="all"), pytest.raises(ModelError, match="is steered"):
        train_adapter(engine, examples, reworded, tmp_path / "steered", FAST)
    made = peft.LoraConfig
    monkeypatch.setattr(peft, "LoraConfig", lambda **how: made(**how, init_lora_weights=False))
    with pytest.raises(ModelError, match="A fresh adapter moves logits by up to"):
        train_adapter(engine, examples, reworded, tmp_path / "not fresh", FAST)


class Widest(TorchDispatchMode):
    """The most rows of any tensor over the vocabulary, but for the head's own weights."""

    def __init__(self, head: torch.Tensor) -> None:
        super().__init__()
        self.vocabulary, self.head, self.rows = head.shape[0], head.shape[::-1], 0

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        found = op(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.shape[-1:] == (self.vocabulary,) and found.shape != self.head:
            self.rows = max(self.rows, found.shape[:-1].numel())
        return found


def test_logits_are_computed_only_where_the_loss_is(engine, examples, reworded, tmp_path):
    with fresh_lora(engine, FAST) as model, Widest(engine.model.lm_head.weight) as seen:
        train_epochs(model, engine, examples, reworded, tmp_path, replace(FAST, epochs=1), None)
    assert seen.rows == 4 * 2, "two taught tokens of each of four examples"


def loss_of(engine, examples) -> float:
    """Mean loss of the taught tokens, by a plain forward pass."""
    total, n = 0.0, 0
    for example in examples:
        with torch.inference_mode():
            logits = engine.model(input_ids=torch.tensor([example.ids]), use_cache=False).logits[0]
        for at in range(len(example.prompt), len(example.ids)):
            total -= float(torch.log_softmax(logits[at - 1].double(), -1)[example.ids[at]])
            n += 1
    return total / n


def test_without_the_libraries_it_says_so_before_anything_is_asked(engine, examples, reworded, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "datasets" else found(name, *a))
    with pytest.raises(ModelError, match="Training needs datasets, which is not installed here"):
        train_adapter(engine, examples, reworded, tmp_path / "a", FAST)
    for load, recipe in ((load_ideal_self, IdealSelfRecipe), (load_responder, ResponderRecipe)):
        with pytest.raises(ModelError, match=r"pip install 'personascope\[tune\]'"):
            load(recipe(name="any"))
    assert not (tmp_path / "a").exists()
