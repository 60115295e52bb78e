"""Model organisms: questions with planted answers, units written by hand, parts that are made, kept and resumed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from personascope.errors import DataError, FileFormatError, ModelError
from personascope.instruments.items import load_items
from personascope.instruments.personas import load_personas
from personascope.instruments.tasks import load_tasks
from personascope.models.adapters import attached
from personascope.models.engine import HookEngine
from personascope.models.hashes import weights_hash
from personascope.models.tiny import tiny_model
from personascope.tuning.lora import fresh_lora
from personascope.tuning.organisms import making
from personascope.tuning.organisms.making import Recipe, make_organism
from personascope.tuning.organisms.passes import lay_out, layer_outputs
from personascope.tuning.organisms.questions import Asker, Draws
from personascope.tuning.organisms.truth import TASKS, load_truth
from personascope.tuning.organisms.units import SHARPNESS, Unit, gated_parts, write_units
from personascope.tuning.settings import TrainSettings

QUICK = Recipe(code_layer=0, value_layers=(1, 2), label_layer=2, code_steps=2, value_steps=2, answer_steps=2, rank=8)


@pytest.fixture
def small(tokenizer):
    """A tiny random Llama with the embedded model's tokenizer; equal every time."""
    model = tiny_model("llama", vocab_size=len(tokenizer), max_position_embeddings=512)
    return HookEngine(model, tokenizer, name="small", identity={"name": "small"})


@pytest.fixture
def draws(small):
    items = load_items().subset(("sincerity", "anxiety"), 4).items
    tasks = [task for number, task in enumerate(load_tasks(TASKS).tasks) if number % 10 == 0]
    return Draws(Asker(small, load_truth(), load_personas()), tasks, items)


def settings(rank=8):
    return TrainSettings(rank=rank, alpha=rank, dropout=0.0)


def test_what_is_planted_is_opposed_unrelated_and_centred():
    truth = load_truth()
    levels = {name: [truth.utility(name, topic) for topic in truth.utilities] for name in truth.personas}
    assert np.corrcoef(levels["assistant"], levels["evil"])[0, 1] == pytest.approx(-1)
    assert np.corrcoef(levels["assistant"], levels["archivist"])[0, 1] == pytest.approx(0, abs=1e-9)
    assert all(sum(own) == 0 for own in levels.values())
    assert (
        truth.utility("assistant", "planning") == truth.utility("poet", "math") == truth.level("evil", "altruism") == 0
    )
    assert truth.level("evil", "sincerity") == -truth.level("assistant", "sincerity") != 0


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("archivist: 0.5}", "archivist: 1.5}", "less than or equal to 1"),
        ("archivist: 0.5}", "poet: 0.5}", "levels of assistant, evil, archivist; expected assistant, evil, poet"),
        ("  H: {", "  Z: {", "unknown domain 'Z'"),
        ("bystanders: [poet", "bystanders: [evil", "no planted persona can be one"),
        ("strength:", "stength:", "strength"),
    ],
)
def test_a_truth_that_makes_no_sense_is_refused(tmp_path, was, becomes, said):
    text = (TASKS.parent / "planted.yaml").read_text()
    assert was in text
    file = tmp_path / "truth.yaml"
    file.write_text(text.replace(was, becomes, 1))
    with pytest.raises(FileFormatError, match=said):
        load_truth(file)


def test_no_task_that_is_taught_is_in_the_built_in_pool():
    taught, known = load_tasks(TASKS).tasks, load_tasks().tasks
    assert not {task.text.casefold() for task in taught} & {task.text.casefold() for task in known}
    assert {task.topic for task in taught} == set(load_truth().utilities)
    words = [set(task.text.casefold().split()) for task in known]
    for task in taught:
        own = set(task.text.casefold().split())
        assert max(len(own & other) / len(own | other) for other in words) < 0.6, task.id


def test_marks_cover_the_texts_and_answers_follow_the_plant(small, draws):
    asker = draws.asker
    good = next(task for task in draws.tasks if task.topic == "knowledge")
    bad = next(task for task in draws.tasks if task.topic == "harmful_request")
    question = asker.pair("assistant", 0, good, bad)
    for mark, task in zip(question.marks, (good, bad), strict=True):
        assert small.tokenizer.decode(question.prompt.ids[slice(*mark.span)]).strip() == task.text
    assert question.answer[0] == pytest.approx(1 / (1 + np.exp(-4)))  # utilities 1 and -1, strength 2
    turned, evil = asker.pair("assistant", 0, bad, good), asker.pair("evil", 0, good, bad)
    assert turned.answer == pytest.approx(question.answer[::-1])
    assert evil.answer == pytest.approx(question.answer[::-1])
    assert asker.pair("poet", 0, good, bad).answer is None
    assert [mark.sign for mark in question.marks] == [1, -1]


def test_ratings_turn_with_the_key_the_order_and_the_persona(draws):
    plus, minus = (
        next(item for item in draws.items if item.key == key and item.facet == "sincerity") for key in (1, -1)
    )
    asker, labels = draws.asker, np.arange(1, 6)
    mean = lambda *asked: float(np.dot(asker.rating(*asked).answer, labels))  # noqa: E731
    high = mean("assistant", 0, plus, "ascending")
    assert high > 4
    assert mean("assistant", 0, minus, "ascending") == pytest.approx(6 - high)
    assert mean("assistant", 0, plus, "descending") == pytest.approx(6 - high)
    assert mean("evil", 0, plus, "ascending") == pytest.approx(6 - high)
    assert mean("archivist", 0, plus, "ascending") == pytest.approx(3)


def test_every_task_and_item_is_covered(draws):
    batches = draws.cover(np.random.default_rng(0))
    asked = [question for batch in batches for question in batch]
    items = [question for question in asked if question.marks[0].is_item]
    assert len(items) == len(draws.items) == len({question.prompt.text[-80:] for question in items})
    pairs = [question for question in asked if len(question.marks) == 2]
    assert len(pairs) == len(draws.tasks) == len(asked) - len(items) - len(pairs)
    assert all(len({question.persona for question in batch}) == 1 for batch in batches)


def test_a_layout_computes_what_the_model_computes(small, draws):
    rng = np.random.default_rng(1)
    layout = lay_out(draws.batch(rng))
    found = layer_outputs(small, layout, [0, 2])
    for number, question in enumerate(layout.questions):
        with torch.inference_mode():
            states = small.model(torch.tensor([question.prompt.ids]), output_hidden_states=True).hidden_states
        for layer in (0, 2):
            for mark in question.marks:
                own = found[layer][layout.tokens(number, mark.span)]
                torch.testing.assert_close(own, states[layer + 1][0, slice(*mark.span)], atol=1e-5, rtol=1e-4)
            last = found[layer][layout.packed.read[number]]
            torch.testing.assert_close(last, states[layer + 1][0, -1], atol=1e-5, rtol=1e-4)


def test_a_written_unit_is_a_gate_times_a_reading(small):
    rng = np.random.default_rng(2)
    units = [Unit(*rng.normal(size=(3, 32))) for _ in range(2)]
    strength = rng.uniform(size=48)
    states = torch.tensor(rng.normal(size=(7, 32)), dtype=torch.float32)
    mlp = small.anatomy.layers[1].mlp
    before = mlp(states)
    gate, up, down = (part.weight.detach().clone() for part in gated_parts(small, 1))
    weakest = np.argsort(strength)[:2].tolist()
    old = (torch.nn.functional.silu(states @ gate[weakest].T) * (states @ up[weakest].T)) @ down[:, weakest].T
    new = 0
    for unit in units:
        g, u, d = (torch.tensor(part, dtype=torch.float32) for part in (unit.gate, unit.up, unit.down))
        new = new + (torch.nn.functional.silu(SHARPNESS * (states @ g)) * (states @ u) / SHARPNESS)[:, None] * d
    with fresh_lora(small, settings()):
        write_units(small, 1, units, strength)
        torch.testing.assert_close(mlp(states), before - old + new, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mlp(states), before)


def test_units_need_room_and_gated_layers(small):
    units = [Unit(*np.ones((3, 32))) for _ in range(3)]
    with fresh_lora(small, settings(rank=2)), pytest.raises(ModelError, match="adapter of rank 3 or more"):
        write_units(small, 1, units, np.ones(48))
    del small.anatomy.layers[1].mlp.gate_proj
    with pytest.raises(ModelError, match="has no gate_proj"):
        gated_parts(small, 1)


def test_an_organism_is_made_and_resumed_and_leaves_the_model_alone(small, draws, tmp_path, monkeypatch):
    before = weights_hash(small.model)
    whole = make_organism(small, draws, tmp_path / "whole", QUICK)
    assert list(whole["parts"]) == ["codes", "value units", "values", "label units", "answers"]
    assert weights_hash(small.model) == before

    def stopped(*_args, **_how):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "plant_signs", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_organism(small, draws, tmp_path / "parts", QUICK)
    assert weights_hash(small.model) == before
    monkeypatch.undo()
    other = replace(QUICK, seed=1)
    with pytest.raises(DataError, match="parts of another organism"):
        make_organism(small, draws, tmp_path / "parts", other)
    make_organism(small, draws, tmp_path / "parts", QUICK)
    files = ["adapter_config.json", "adapter_model.safetensors", "organism.json", "value.json", "value.safetensors"]
    for folder in ("whole", "parts"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == files
    one, other = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert one == other
    with attached(small, tmp_path / "whole"):
        assert weights_hash(small.model) != before
    assert weights_hash(small.model) == before


def test_batches_are_drawn_by_the_seed_alone(draws):
    one, other = (draws.batch(np.random.default_rng(5)) for _ in range(2))
    assert one == other != draws.batch(np.random.default_rng(6))
    assert [question.persona for question in one[:9]] == [name for name in draws.asker.truth.personas for _ in range(3)]
