"""Calibration: measures equal to steering by hand, ranges by the rule, and nothing measured without its prompts."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch

from personascope.direction import Direction
from personascope.errors import DataError, DirectionError, ModelError, SpanError
from personascope.models.engine import HookEngine
from personascope.models.generation import Generations, generate
from personascope.models.intervention import Intervention
from personascope.models.tiny import VOCABULARY, WIDTH, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.steering.calibration import Calibration, Limits, Measured, calibrate
from personascope.steering.damage import Asked, Baseline, _repetitions, measure_damage
from personascope.steering.token_norms import token_norms, token_rows

OPTIONS = Options(("a", "b"), ((5, 6), (7,)))


@pytest.fixture
def engine() -> HookEngine:
    return HookEngine(tiny_model("llama"), tiny_tokenizer(), name="tiny")


def some_prompts(n: int, seed: int, *, reply: int = 0) -> list[Prompt]:
    """Prompts with an item, an end of turn, and a reply of so many tokens."""
    draw = np.random.default_rng(seed)
    prompts = []
    for row in range(n):
        ids = tuple(draw.integers(3, VOCABULARY, 12 + row + reply).tolist())
        stop = 9 + row
        spans = {"item": (4, stop), "eot": (stop, stop + 1)}
        prompts.append(Prompt(ids, " ", spans | ({"reply": (len(ids) - reply, len(ids))} if reply else {})))
    return prompts


def asked() -> Asked:
    return Asked(some_prompts(3, 0), OPTIONS, some_prompts(2, 1, reply=6), some_prompts(2, 2), max_new_tokens=12)


def direction(layer: int = 1, strength: float = 1.0, **changes: object) -> Direction:
    vector = np.random.default_rng(layer + 10).standard_normal(WIDTH).astype(np.float32)
    fields = {"model": "tiny", "reference_norm": 8.0, "means": "more of it", "fit": "random"} | changes
    return Direction(vector, layer, "from:item", strength=strength, **fields)  # type: ignore[arg-type]


def hidden_states(engine: HookEngine, prompt: Prompt) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return engine.model(input_ids=torch.tensor([prompt.ids]), output_hidden_states=True).hidden_states


# ---------------------------------------------------------------- norms


def test_norms_are_those_of_every_named_token(engine: HookEngine) -> None:
    prompts = some_prompts(3, 0)
    rows = token_rows(engine, prompts, [2, 0], "mean:item")
    expected = {
        layer: torch.cat([hidden_states(engine, p)[layer + 1][0, slice(*p.spans["item"])] for p in prompts])
        for layer in (2, 0)
    }
    assert list(rows) == [2, 0]
    for layer, own in expected.items():
        assert np.allclose(rows[layer], own.numpy(), atol=1e-5)
    (norm, _) = token_norms(rows, "mean:item")
    lengths = expected[2].norm(dim=1)
    assert (norm.layer, norm.position, norm.n) == (2, "mean:item", 5 + 6 + 7)
    assert norm.mean == pytest.approx(float(lengths.mean()), rel=1e-5)
    assert norm.sd == pytest.approx(float(lengths.std()), rel=1e-4)
    (single,) = token_norms({3: np.full((1, 4), 2.0, dtype=np.float32)}, "eot")
    assert (single.mean, single.sd, single.n) == (4.0, 0.0, 1)  # one token has no spread
    assert norm.mean > 1.02 * float(np.linalg.norm(rows[2][:5].mean(axis=0)))  # the mean row is shorter than its rows


# ---------------------------------------------------------------- damage


def passage_by_hand(engine: HookEngine, prompt: Prompt, push: Direction, first: int) -> tuple[float, float]:
    """(log-probability of the reply, summed KL) with the push added from a token on, by a hook on the whole text."""

    def add(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        changed = output.clone()
        changed[0, first] += torch.from_numpy(push.offset())
        return changed

    ids = torch.tensor([prompt.ids])
    with torch.no_grad():
        plain = engine.model(input_ids=ids).logits[0].double().log_softmax(-1)
        handle = engine.model.model.layers[push.layer].register_forward_hook(add)
        moved = engine.model(input_ids=ids).logits[0].double().log_softmax(-1)
        handle.remove()
    before = range(prompt.spans["reply"][0] - 1, prompt.spans["reply"][1] - 1)
    logprob = sum(float(moved[token, prompt.ids[token + 1]]) for token in before)
    return logprob, sum(float((plain[token].exp() * (plain[token] - moved[token])).sum()) for token in before)


@pytest.mark.parametrize("where", ["from:item", "eot", "answer"])
def test_every_measure_equals_steering_by_hand(engine: HookEngine, where: str) -> None:
    material = asked()
    pushes = [direction(1, 0.5), direction(1, -2.0), direction(3, 1.0)]
    found = measure_damage(engine, pushes, where, material)
    plain = engine.run(material.closed, options=OPTIONS).other_logmass.exp()
    for index, push in enumerate(pushes):
        cell = (Intervention(push.layer, push.offset(), where),)
        moved = engine.run(material.closed, options=OPTIONS, interventions=cell).other_logmass.exp()
        ratio = float((1 - moved).mean() / (1 - plain).mean())
        assert found.label_mass[index] == pytest.approx(ratio, rel=1e-4)
        sums = np.zeros(3)
        for text in material.texts:
            start, stop = {
                "from:item": (4, len(text)),
                "eot": text.spans["eot"],
                "answer": (text.spans["reply"][0] - 1, text.spans["reply"][0]),  # where an answer would begin
            }[where]
            logprob, kl = passage_by_hand(engine, text, push, slice(start, stop))  # type: ignore[arg-type]
            nothing, _ = passage_by_hand(engine, text, 0.0 * push, slice(start, stop))  # type: ignore[arg-type]
            sums += (logprob, kl, nothing)
        assert found.perplexity_ratio[index] == pytest.approx(np.exp((sums[2] - sums[0]) / 12), rel=1e-4)
        assert found.kl[index] == pytest.approx(sums[1] / 12, abs=1e-5)
        written = generate(engine, material.open, max_new_tokens=12, temperature=0, seed=0, cells=[cell] * 2)
        own = np.mean(_repetitions(written)) - found.baseline.repetition
        assert found.repetition[index] == pytest.approx(own, abs=1e-12)
    assert found.baseline.perplexity == pytest.approx(np.exp(-sums[2] / 12), rel=1e-4)
    assert found.baseline.label_mass == pytest.approx(float((1 - plain).mean()), rel=1e-4)
    assert found.kl[:2].min() > 1e-4
    assert (found.kl[2] == 0) == (where == "eot")  # after the last block no later token hears of it


def test_a_push_of_nothing_does_no_damage(engine: HookEngine) -> None:
    found = measure_damage(engine, [0.0 * direction()], "from:item", asked())
    values = (found.perplexity_ratio[0], found.kl[0], found.label_mass[0], found.repetition[0])
    assert values == (1.0, 0.0, 1.0, 0.0)


def test_an_answer_without_words_is_a_loop_only_where_it_was_cut_off() -> None:
    texts = ("one two three four five", "no no no no no no", "!!!!!!!!", "42.", "")
    finish = ("stop", "length", "length", "stop", "stop")
    answers = Generations(tuple((t,) for t in texts), tuple((f,) for f in finish), np.ones((5, 1), dtype=np.int64), {})
    assert _repetitions(answers) == pytest.approx([0.0, 2 / 3, 1.0, 0.0, 0.0])


def test_repetition_is_what_is_added_to_the_unsteered(engine: HookEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two questions unsteered, then the same two under the push: means of 1/3 and of 1/2."""
    texts = (("no no no no no no",), ("one two three four five",), ("!!!!!!!!",), ("42.",))
    written = Generations(texts, (("length",), ("stop",), ("length",), ("stop",)), np.ones((4, 1), dtype=np.int64), {})
    monkeypatch.setattr("personascope.steering.damage.generate", lambda *_, **__: written)
    found = measure_damage(engine, [direction()], "from:item", asked())
    assert found.baseline.repetition == pytest.approx(1 / 3)
    assert found.repetition == pytest.approx([1 / 6])


@pytest.mark.parametrize("part", ["closed", "texts", "open"])
def test_no_measure_goes_without_prompts(engine: HookEngine, part: str) -> None:
    with pytest.raises(DataError, match=f"without {part} prompts"):
        measure_damage(engine, [direction()], "from:item", dataclasses.replace(asked(), **{part: []}))


def test_a_position_that_some_prompt_lacks_is_refused_before_anything_runs(engine: HookEngine) -> None:
    with pytest.raises(SpanError, match="reply"):
        measure_damage(engine, [direction()], "mean:item", dataclasses.replace(asked(), texts=some_prompts(1, 0)))
    with pytest.raises(SpanError, match="task_a"):
        measure_damage(engine, [direction()], "mean:task_a", asked())
    assert engine.work.tokens == 0


# ---------------------------------------------------------------- ranges


def entry(coefficient: float, kind: str = "isotropic", layer: int = 3, **measures: float) -> Measured:
    still = {"perplexity_ratio": 1.0, "kl": 0.0, "label_mass": 1.0, "repetition": 0.0}
    return Measured(layer, "random 1", kind, coefficient, 8.0, **(still | measures))


def calibration(*measured: Measured, limits: Limits | None = None) -> Calibration:
    return Calibration("m", "all", (), {3: 80.0}, Baseline(10.0, 0.9, 0.0), limits or Limits(), measured)


GRID = (0.1, 0.2, 0.4)
SAFE = tuple(entry(sign * c) for c in GRID for sign in (1, -1))


def test_a_range_ends_before_the_first_strength_at_which_a_guard_fails() -> None:
    cases = [
        ((), (0.4, None, ())),
        ((entry(0.4, kl=0.3),), (0.2, 0.4, ("kl",))),
        ((entry(-0.2, label_mass=0.79),), (0.1, 0.2, ("label_mass",))),  # the worse sign decides
        ((entry(0.2, kl=9.0, perplexity_ratio=1.26),), (0.1, 0.2, ("perplexity_ratio", "kl"))),
        ((entry(0.1, repetition=0.21), entry(0.2)), (None, 0.1, ("repetition",))),  # holding again later is no use
        ((entry(0.4, perplexity_ratio=np.nan),), (0.2, 0.4, ("perplexity_ratio",))),
        ((entry(0.4, label_mass=np.nan),), (0.2, 0.4, ("label_mass",))),
        ((entry(0.4, perplexity_ratio=np.inf),), (0.2, 0.4, ("perplexity_ratio",))),
        ((entry(0.2, perplexity_ratio=1.25, kl=0.25, label_mass=0.8, repetition=0.2),), (0.4, None, ())),
        ((entry(0.2, perplexity_ratio=0.5, label_mass=1.1, repetition=-0.3),), (0.4, None, ())),
    ]
    for worse, expected in cases:
        (found,) = calibration(*SAFE, *worse).ranges()
        assert (found.usable, found.stopped_at, found.stopped_by) == expected, worse


def test_ranges_of_kinds_and_layers_are_their_own() -> None:
    whole = calibration(*SAFE, entry(0.1, "given", kl=1.0), entry(0.2, "given"), entry(0.1, layer=7))
    assert [(one.layer, one.kind, one.usable) for one in whole.ranges()] == [
        (3, "isotropic", 0.4),
        (3, "given", None),
        (7, "isotropic", 0.1),
    ]
    frame = whole.range_frame()
    assert frame.columns == ["layer", "kind", "usable", "stopped_at", "stopped_by"]
    assert frame["stopped_by"].to_list() == [[], ["kl"], []]


def test_limits_are_parameters() -> None:
    wide = Limits(kl=2.0)
    assert calibration(*SAFE, entry(0.2, kl=1.9), limits=wide).ranges()[0].usable == 0.4
    assert calibration(*SAFE, entry(0.2, kl=2.1), limits=wide).ranges()[0].usable == 0.1


def test_median_and_worst_are_over_the_directions_of_a_sign() -> None:
    entries = [entry(0.1, kl=kl, label_mass=mass) for kl, mass in ((0.1, 0.9), (0.5, 0.7), (0.2, 0.95))]
    frame = calibration(*entries, entry(-0.1, kl=7.0)).guard_frame()
    rows = {(row["coefficient"], row["guard"]): row for row in frame.iter_rows(named=True)}
    kl, mass = rows[0.1, "kl"], rows[0.1, "label_mass"]
    assert (kl["median"], kl["worst"], kl["limit"], kl["holds"], kl["n"]) == (0.2, 0.5, 0.25, False, 3)
    assert (mass["median"], mass["worst"], mass["holds"]) == (0.9, 0.7, False)
    assert rows[-0.1, "kl"]["worst"] == 7.0


# ---------------------------------------------------------------- calibration


def test_a_calibration_measures_every_direction_in_both_signs(engine: HookEngine) -> None:
    steps: list[tuple[int, int]] = []
    found = calibrate(
        engine,
        [direction(1, strength=0.06)],
        layers=[3],
        where="from:item",
        coefficients=[4.0, 0.0001],
        asked=asked(),
        progress=lambda done, total: steps.append((done, total)),
    )
    frame = found.frame()
    assert steps == [(n, 6) for n in range(1, 7)]
    kinds = frame.group_by("layer", "kind", maintain_order=True).len().rows()
    randoms = [(layer, *kind) for layer in (1, 3) for kind in (("isotropic", 12), ("covariance-matched", 8))]
    assert kinds == [(1, "given", 4), *randoms]
    own = {norm.layer: norm.mean for norm in found.norms if norm.position == "from:item"}
    assert found.reference_norms == {1: 8.0, 3: own[3]}  # of the direction where one is given
    assert set(frame["coefficient"]) == {4.0, -4.0, 0.0001, -0.0001}
    assert all(one.length == abs(one.coefficient) * found.reference_norms[one.layer] for one in found.measured)
    for one in found.ranges():  # a hair does nothing, four times the stream's length breaks any model
        assert (one.usable, one.stopped_at) == (0.0001, 4.0)
        assert "kl" in one.stopped_by
    push = dataclasses.replace(direction(1), strength=-4.0)
    by_hand = measure_damage(engine, [push], "from:item", asked())
    line = next(one for one in found.measured if one.kind == "given" and one.coefficient == -4.0)
    assert line.direction == "more of it"
    assert line.kl == pytest.approx(by_hand.kl[0], rel=1e-4)
    assert {norm.position for norm in found.norms} == {"from:item", "answer"}


def test_random_directions_are_seeded_and_matched_to_the_features_that_are_given(engine: HookEngine) -> None:
    run = functools.partial(calibrate, engine, layers=[2], where="eot", coefficients=[1.0], asked=asked())
    assert run().measured == run().measured
    assert run().measured != run(seed=1).measured
    rows = np.zeros((30, WIDTH), dtype=np.float32)
    rows[:, 5] = np.random.default_rng(0).standard_normal(30)
    lines = [one for one in run(features={2: rows}).measured if one.kind == "covariance-matched"]
    assert len({round(one.kl, 6) for one in lines}) == 2  # all along one axis: only the sign differs


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"coefficients": []}, DataError, "not all finite and above 0"),
        ({"coefficients": [0.0, 0.1]}, DataError, "not all finite and above 0"),
        ({"coefficients": [-0.1]}, DataError, "not all finite and above 0"),
        ({"coefficients": [float("nan")]}, DataError, "not all finite and above 0"),
        ({"n_random": 4}, DataError, "4 random directions"),
        ({"layers": []}, DataError, "no layer"),
        ({"layers": [4]}, ModelError, "no layer 4"),
        ({"directions": [direction(), direction()]}, DataError, "Two directions"),
        ({"directions": [direction(model="another")]}, DirectionError, "another"),
        ({"where": "mean:task_a"}, SpanError, "task_a"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    engine: HookEngine, change: dict[str, object], error: type[Exception], message: str
) -> None:
    arguments = {"layers": [1], "where": "from:item", "coefficients": [0.1], "asked": asked()} | change
    with pytest.raises(error, match=message):
        calibrate(engine, **arguments)  # type: ignore[arg-type]
    assert engine.work.tokens == 0
