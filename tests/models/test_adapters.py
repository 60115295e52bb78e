"""Adapters: on, the model is W + scale * B A; off, it is the base, bit for bit; nothing is mixed up or left behind."""

from __future__ import annotations

import re
from pathlib import Path

import peft
import pytest
import torch
from tiny_adapters import by_hand, change_config, everything, full_engine, identical, reference, save_adapter
from tiny_models import LOGPROB, OPTIONS, RESIDUAL, apart, naive, naive_run, nested_prompts, offset, relative

from personascope.errors import ModelError
from personascope.models.adapters import attach, attached, detach, switched
from personascope.models.check import self_check
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.hashes import model_hash, weights_hash
from personascope.models.intervention import Intervention
from personascope.models.likelihood import likelihoods
from personascope.models.own_calls import BareModel, own_calls
from personascope.models.sweep import sweep
from personascope.models.tiny import tiny_model, tiny_tokenizer

FAMILIES = ("llama", "qwen2", "gemma3_text", "gpt2", "gpt_neox")
IDS = torch.tensor([[5, 9, 33, 40, 7, 8, 11, 50, 3]])
KINDS = {
    "ADALORA": peft.AdaLoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False, total_step=9),
    "DELORA": peft.DeloraConfig(target_modules=["q_proj"], r=4, init_weights=False),
    "HRA": peft.HRAConfig(target_modules=["q_proj", "down_proj"], r=4, init_weights=False),
    "IA3": peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], init_ia3_weights=False
    ),
    "LOHA": peft.LoHaConfig(target_modules=["q_proj", "down_proj"], init_weights=False),
    "LOKR": peft.LoKrConfig(target_modules=["q_proj", "down_proj"], init_weights=False),
    "OFT": peft.OFTConfig(target_modules=["q_proj", "down_proj"], r=8, oft_block_size=0, init_weights=False),
    "DoRA": peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False, use_dora=True, use_rslora=True),
    "LoRA beside the head": peft.LoraConfig(target_modules=["lm_head", "o_proj"], init_lora_weights=False),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A random LoRA of the tiny Llama."""
    return save_adapter(tmp_path_factory.mktemp("adapter") / "mine")


@pytest.fixture
def tuned(folder) -> HookEngine:
    engine = full_engine()
    attach(engine, folder)
    return engine


# ---------------------------------------------------------------- on


@pytest.mark.parametrize("family", FAMILIES)
def test_on_it_is_the_model_with_the_product_added_to_its_weights(family, tmp_path, prompts):
    engine, merged = full_engine(family), by_hand(save_adapter(tmp_path / "a", family), family)
    base = everything(engine, prompts, OPTIONS)
    with attached(engine, tmp_path / "a"):
        found = everything(engine, prompts, OPTIONS)
        expected = reference(merged, prompts, OPTIONS)
        assert relative(found[0], expected[0]) < RESIDUAL
        assert apart(found[1], expected[1]) < LOGPROB and apart(found[2], expected[2]) < LOGPROB
        assert relative(base[0], expected[0]) > 0.05, "the adapter must move the numbers for this to mean anything"
        with switched(engine):
            assert identical(everything(engine, prompts, OPTIONS), base)
        assert identical(everything(engine, prompts, OPTIONS), found)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_what_peft_makes_of_it_and_switches_off_exactly(kind, tmp_path, prompts):
    save_adapter(tmp_path / "a", config=KINDS[kind])
    plain = peft.PeftModel.from_pretrained(tiny_model("llama"), tmp_path / "a")
    engine = full_engine()
    base = everything(engine, prompts[:3], OPTIONS)
    with attached(engine, tmp_path / "a") as adapter, torch.no_grad():
        assert adapter.kind == KINDS[kind].peft_type
        assert torch.equal(engine.model(IDS).logits, plain(IDS).logits)
        expected = reference(plain.get_base_model(), prompts[:3], OPTIONS)
        found = everything(engine, prompts[:3], OPTIONS)
        assert relative(found[0], expected[0]) < RESIDUAL and apart(found[1], expected[1]) < LOGPROB
        with switched(engine):
            assert identical(everything(engine, prompts[:3], OPTIONS), base)
    assert identical(everything(engine, prompts[:3], OPTIONS), base)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_sweeps_likelihoods_and_texts_are_those_of_the_merged_model(family, tmp_path, prompts):
    save_adapter(tmp_path / "a", family)
    base, engine, merged = full_engine(family), full_engine(family), by_hand(tmp_path / "a", family)
    prompts = prompts[:5]
    attach(engine, tmp_path / "a")
    twin = HookEngine(merged, tiny_tokenizer(), name="merged")
    cells = [(), (Intervention(1, offset(1), "from:item"),), (Intervention(2, offset(2), "answer"),)]
    swept = sweep(engine, prompts, cells, OPTIONS).option_logprobs
    for number, cell in enumerate(cells):
        assert apart(swept[:, number], naive_run(merged, prompts, ("answer",), cell)[1]) < LOGPROB
    scored, expected = (likelihoods(one, prompts, cells, score="mean:item") for one in (engine, twin))
    assert scored.logprob == pytest.approx(expected.logprob, abs=1e-3) and (expected.kl[:, 1] > 1e-3).all()
    asked = {"max_new_tokens": 8, "temperature": 1.0, "seed": 3}
    written = [generate(one, prompts, **asked).texts for one in (engine, twin, base)]
    assert written[0] == written[1] != written[2]
    with switched(engine):
        assert torch.equal(
            sweep(engine, prompts, cells, OPTIONS).option_logprobs, sweep(base, prompts, cells, OPTIONS).option_logprobs
        )
        assert generate(engine, prompts, **asked).texts == written[2]
        assert (likelihoods(engine, prompts, cells, score="mean:item").logprob
                == likelihoods(base, prompts, cells, score="mean:item").logprob).all()  # fmt: skip


def test_own_calls_of_the_model_are_steered_with_the_adapter(tuned, folder):
    prompt = nested_prompts()[0]
    steering = (Intervention(1, offset(1), "all"),)
    with own_calls(BareModel(tuned.model), steering), torch.no_grad():
        logits = tuned.model(torch.tensor([prompt.ids])).logits[0, -1]
    assert apart(logits.log_softmax(-1), naive(by_hand(folder), prompt, steering)[1]) < LOGPROB


def test_shared_prefixes_and_whole_prompts_agree_with_an_adapter(tuned, folder, prompts):
    whole = full_engine(reuse_prefixes=False)
    attach(whole, folder)
    shared, plain = everything(tuned, prompts, OPTIONS), everything(whole, prompts, OPTIONS)
    assert tuned.work.tokens < whole.work.tokens
    assert relative(shared[0], plain[0]) < RESIDUAL and apart(shared[1], plain[1]) < LOGPROB
    assert (tuned.reuse_off, tuned.resume_off) == ("", "")
    assert all(line.ok for line in self_check(tuned))


def test_in_half_precision_too_off_is_the_base_bit_for_bit(folder, prompts):
    base, engine = (full_engine(dtype=torch.bfloat16) for _ in range(2))
    attach(engine, folder)
    assert engine.fingerprint()["dtype"] == "bfloat16"
    assert not identical(everything(engine, prompts, OPTIONS), everything(base, prompts, OPTIONS))
    with switched(engine):
        assert identical(everything(engine, prompts, OPTIONS), everything(base, prompts, OPTIONS))


# ---------------------------------------------------------------- switching, and leaving the model as it was


def test_blocks_within_blocks_are_restored_and_so_they_are_after_errors(tuned):
    states = [tuned.adapter.is_on]
    with switched(tuned) as same:
        assert same is tuned
        states.append(tuned.adapter.is_on)
        with switched(tuned, on=True):
            states.append(tuned.adapter.is_on)
            with switched(tuned), switched(tuned):
                states.append(tuned.adapter.is_on)
            states.append(tuned.adapter.is_on)
        states.append(tuned.adapter.is_on)
        with pytest.raises(RuntimeError, match="mine"), switched(tuned, on=True):
            raise RuntimeError("mine")
        states.append(tuned.adapter.is_on)
    with pytest.raises(RuntimeError, match="mine"), switched(tuned):
        raise RuntimeError("mine")
    assert [*states, tuned.adapter.is_on] == [True, False, True, False, True, False, False, True]


def test_switching_leaves_what_is_trained_as_it_is(tuned):
    assert not any(parameter.requires_grad for parameter in tuned.model.parameters())
    with switched(tuned):
        pass
    assert not any(parameter.requires_grad for parameter in tuned.model.parameters())


def test_a_model_is_what_it_was_once_its_adapter_is_taken_off(folder, prompts):
    engine = full_engine()
    before, parts, hashed = (
        everything(engine, prompts, OPTIONS),
        dict(engine.model.named_modules()),
        engine.fingerprint(),
    )
    draws = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="mine"), attached(engine, folder):
        assert engine.fingerprint() != hashed
        raise RuntimeError("mine")
    assert torch.equal(torch.get_rng_state(), draws)
    assert engine.adapter is None and engine.fingerprint() == hashed
    assert weights_hash(engine.model) == hashed["weights"]
    now = dict(engine.model.named_modules())
    assert now.keys() == parts.keys() and all(now[name] is parts[name] for name in parts)
    assert all(parameter.requires_grad for parameter in engine.model.parameters())
    assert not hasattr(engine.model, "peft_config")
    assert identical(everything(engine, prompts, OPTIONS), before)
    detach(engine)  # nothing to take off


def test_one_adapter_after_another_and_the_head_too(tmp_path, folder, prompts):
    save_adapter(tmp_path / "head", config=KINDS["LoRA beside the head"])
    engine, head = full_engine(), full_engine().model.lm_head
    with attached(engine, tmp_path / "head"):
        assert engine.anatomy.head is engine.model.lm_head is not head
        first = everything(engine, prompts, OPTIONS)
    assert type(engine.anatomy.head) is type(head)
    with attached(engine, folder):
        assert not identical(everything(engine, prompts, OPTIONS), first)
        with pytest.raises(ModelError, match="has the adapter 'mine' already"):
            attach(engine, tmp_path / "head")
        assert engine.adapter.name == "mine" and engine.adapter.is_on


def test_switching_needs_an_adapter(llama):
    no_adapter = r"tiny-llama has no adapter to switch.\n.*load_model\(name, adapter=...\)"
    with pytest.raises(ModelError, match=no_adapter), switched(llama):
        pass


@pytest.mark.parametrize("meddle", ["merge", "part"])
def test_an_adapter_that_peft_merged_or_switched_in_part_is_neither_on_nor_off(tuned, meddle):
    if meddle == "merge":
        tuned.adapter.tuner.merge_adapter()
    else:
        tuned.adapter.layers[0].enable_adapters(False)
    with pytest.raises(ModelError, match="'mine' is neither on nor off"), switched(tuned):
        pass


# ---------------------------------------------------------------- fingerprints


def test_fingerprints_tell_base_on_off_and_other_adapters_apart(tuned, folder, tmp_path):
    base, on = full_engine().fingerprint(), tuned.fingerprint()
    with switched(tuned):
        off = tuned.fingerprint()
    assert on["weights"] == off["weights"] == base["weights"] == weights_hash(tiny_model("llama"))
    assert on["adapter"] == off["adapter"] == tuned.adapter.sha256
    assert {key for key in on if on[key] != off[key]} == {"adapter_state"} and off["adapter_state"] == "off"
    assert on.keys() - base.keys() == {"adapter", "adapter_state", "peft"}
    other = full_engine()
    attach(other, save_adapter(tmp_path / "b", target_modules=["q_proj"]))
    assert other.fingerprint()["adapter"] != on["adapter"]
    assert tuned.fingerprint() == on, "switching back brings the same fingerprint back"
    assert len({model_hash(print_) for print_ in (base, on, other.fingerprint())}) == 3
    assert model_hash(off) == model_hash(base) == base["weights"]


def test_the_hash_is_of_what_changes_numbers_and_of_nothing_else(tmp_path):
    hashes = {}
    for name, entries in {
        "as saved": {},
        "names and order": {
            "base_model_name_or_path": "elsewhere",
            "target_modules": ["down_proj", "v_proj", "q_proj"],
            "lora_dropout": 0.5,
            "init_lora_weights": "gaussian",
            "peft_version": "0.18",
        },
        "alpha": {"lora_alpha": 7},
        "rank-stable": {"use_rslora": True},
    }.items():
        change_config(save_adapter(tmp_path / name), **entries)
        with attached(full_engine(), tmp_path / name) as adapter:
            hashes[name] = adapter.sha256
    assert hashes["as saved"] == hashes["names and order"]
    assert len(set(hashes.values())) == 3


def test_switches_of_a_model_that_a_user_wrapped_are_in_the_fingerprint(folder):
    wrapped = peft.PeftModel.from_pretrained(tiny_model("llama"), folder)
    engine = HookEngine(wrapped.get_base_model(), tiny_tokenizer(), name="mine")
    on = engine.fingerprint()
    with wrapped.disable_adapter():
        off = engine.fingerprint()
    wrapped.base_model.model.model.layers[0].mlp.down_proj.scale_layer(2.0)
    assert len({print_["adapter_state"] for print_ in (on, off, engine.fingerprint())}) == 3
    with pytest.raises(ModelError, match="mine has the adapter of peft already"):
        attach(engine, folder)


def test_nothing_imports_peft_before_an_adapter_is_asked_for():
    sources = Path(__file__).parents[2] / "src" / "personascope"
    for path in sources.rglob("*.py"):
        tops = re.findall(r"^(?:import|from) (?:peft|trl)\b", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert not tops, path
