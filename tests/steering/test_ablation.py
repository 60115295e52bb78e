"""Ablation against hooks that know nothing of the engine; random subspaces against what they must hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from personascope.errors import DataError, ModelError, SpanError
from personascope.models.engine import HookEngine
from personascope.models.sweep import sweep
from personascope.models.tiny import VOCABULARY, WIDTH, tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.steering.ablation import AblationAnswers, ablation_cells, ablation_sweep
from personascope.steering.random_subspaces import (
    KINDS,
    Spread,
    isotropic_subspace,
    matched_subspace,
    orthonormal,
    random_subspaces,
)

OPTIONS = Options(("a", "b", "c"), ((5,), (6, 7), (8, 80)))
LOGPROB = 5e-5
SETS = [(1,), (0, 2), range(1, 4)]


def an_engine(family: str = "llama") -> HookEngine:
    return HookEngine(tiny_model(family), tiny_tokenizer(), name=f"tiny-{family}", token_budget=120)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    draw = np.random.default_rng(4)
    start = draw.integers(3, VOCABULARY, 8).tolist()
    ids = [(*start, *draw.integers(3, VOCABULARY, n).tolist()) for n in (7, 7, 9)]
    return [Prompt(one, " ".join(map(str, one)), {"item": (10, len(one) - 2)}) for one in ids]


@pytest.fixture(scope="module")
def directions() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((3, WIDTH)).astype(np.float32)


def spread_rows(n: int, d_model: int = WIDTH, seed: int = 6) -> np.ndarray:
    """Rows whose axes spread very unevenly, away from zero, as residual streams do."""
    draw = np.random.default_rng(seed)
    axes = np.linalg.qr(draw.standard_normal((d_model, d_model))).Q
    scaled = draw.standard_normal((n, d_model)) * np.geomspace(30, 0.1, d_model)
    return ((scaled + 4 * draw.standard_normal(d_model)) @ axes).astype(np.float32)


def by_hand(
    model: torch.nn.Module, prompt: Prompt, span: np.ndarray, layers: tuple[int, ...], where: str
) -> np.ndarray:
    """Without the span of some directions, by the pseudo-inverse: h - D'(DD')^-1 D h."""
    D = torch.tensor(span, dtype=torch.float64)
    keep = torch.eye(D.shape[1], dtype=torch.float64) - D.T @ torch.linalg.inv(D @ D.T) @ D

    def take_out(_module, _inputs, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        tokens = list(resolve(prompt, where))
        hidden[0, tokens] = (hidden[0, tokens].double() @ keep).to(hidden.dtype)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handles = [model.model.layers[layer].register_forward_hook(take_out) for layer in layers]
    with torch.no_grad():
        scores = model(torch.tensor([prompt.ids])).logits[0, -1].log_softmax(-1)
    for handle in handles:
        handle.remove()
    return torch.stack([scores[list(tokens)].logsumexp(0) for tokens in OPTIONS.token_ids]).numpy()


def ablated(prompts: list[Prompt], directions: np.ndarray, **change: object) -> AblationAnswers:
    arguments = {
        **{"ranks": [1, 3], "layers": SETS, "options": OPTIONS, "where": "from:item"},
        "features": {layer: spread_rows(60, seed=layer) for layer in range(3)},
    }
    return ablation_sweep(an_engine(), prompts, directions, **(arguments | change))


@pytest.fixture(scope="module")
def swept(prompts: list[Prompt], directions: np.ndarray) -> AblationAnswers:
    return ablated(prompts, directions)


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool(np.abs(found - expected).max() < LOGPROB)


# ---------------------------------------------------------------- cells


@pytest.mark.parametrize("where", ["all", "from:item", "answer"])
@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_every_cell_equals_hooks_that_project_by_the_pseudo_inverse(family, where, prompts, directions):
    engine = an_engine(family)
    found = sweep(engine, prompts, ablation_cells(directions, [1, 3], SETS, where), OPTIONS).option_logprobs.numpy()
    baseline = engine.run(prompts, options=OPTIONS).option_logprobs.numpy()
    for cell, (layers, rank) in enumerate((tuple(layers), rank) for layers in SETS for rank in (1, 3)):
        expected = np.stack([by_hand(engine.model, p, directions[:rank], layers, where) for p in prompts])
        assert close(found[:, cell], expected)
        assert np.abs(expected - baseline).max() > 1e-2


def test_only_the_span_of_the_first_directions_matters(prompts, directions):
    engine, mixed = an_engine(), directions.copy()
    mixed[:2] = np.array([[2.0, -1.0], [0.5, 3.0]], np.float32) @ directions[:2]
    first, second = (
        sweep(engine, prompts, ablation_cells(some, [1, 2, 3], [(1,)]), OPTIONS).option_logprobs.numpy()
        for some in (directions, mixed)
    )
    assert close(first[:, 1:], second[:, 1:])
    assert not close(first[:, 0], second[:, 0])


def test_ablating_twice_equals_ablating_once(prompts, directions):
    engine = an_engine()
    (cell,) = ablation_cells(directions, [3], [range(4)])
    once, twice = sweep(engine, prompts, [cell, cell + cell], OPTIONS).option_logprobs.unbind(1)
    assert close(once.numpy(), twice.numpy())


def test_nothing_is_left_to_read_when_every_dimension_is_taken_out(prompts):
    engine = an_engine()
    everything = np.eye(WIDTH, dtype=np.float32)
    (cell,) = ablation_cells(everything, [WIDTH], [(3,)], "answer")
    found = sweep(engine, prompts, [cell], OPTIONS).option_logprobs[:, 0].numpy()
    assert close(found, np.tile(np.log(np.array([1, 2, 2], np.float32) / VOCABULARY), (3, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranks": [4]}, "different ranks from 1 to 3"),
        ({"ranks": [0]}, "different ranks"),
        ({"ranks": [2, 2]}, "different ranks"),
        ({"layers": [(1,), ()]}, "different sets"),
        ({"layers": [(1, 2), (2, 1)]}, "different sets"),
        ({"layers": [(1, 1)]}, "different sets"),
        ({"layers": []}, "different sets"),
        ({"directions": np.zeros((0, WIDTH), np.float32)}, "do not span"),
        ({"directions": np.ones((2, WIDTH), np.float32)}, "do not span"),
        ({"directions": np.zeros((1, WIDTH), np.float32)}, "do not span"),
        ({"directions": np.full((1, WIDTH), np.nan, np.float32)}, "do not span"),
    ],
)
def test_cells_that_take_nothing_out_or_the_same_twice_are_refused(change, message, directions):
    with pytest.raises(DataError, match=message):
        ablation_cells(**({"directions": directions, "ranks": [1], "layers": [(1,)]} | change))


# ---------------------------------------------------------------- sweeps


def test_a_sweep_has_the_probes_answers_and_those_of_the_random_subspaces(swept, prompts, directions):
    found = swept
    engine, basis = an_engine(), orthonormal(directions)
    assert found.option_logprobs.shape == (3, 3, 2, 16, 3)
    assert found.kinds == ("probe", *(kind for kind in KINDS for _ in range(5)))
    assert found.subspaces[:2] + found.subspaces[-1:] == ("probe", "isotropic 1", "moment-matched 5")
    assert close(found.baseline, engine.run(prompts, options=OPTIONS).option_logprobs.numpy())
    for number, layers in enumerate(SETS):
        rows = spread_rows(60, seed=min(layers))
        spreads = [Spread.of(rows, centre=centre) for centre in (True, False)]
        for column, rank in enumerate((1, 3)):
            drawn = random_subspaces(spreads, basis[:rank], 5, seed=[0, min(layers), rank])
            for index, span in ((0, basis[:rank]), (7, drawn["variance-matched"][1]), (15, drawn["moment-matched"][4])):
                expected = np.stack([by_hand(engine.model, p, span, tuple(layers), "from:item") for p in prompts])
                assert close(found.option_logprobs[:, number, column, index], expected)


def test_matched_subspaces_hold_as_much_as_the_probes_and_isotropic_ones_do_not(swept, directions):
    found, kinds = swept, np.array(("probe", *(kind for kind in KINDS for _ in range(5))))
    assert np.abs(found.variance_ratio[..., kinds == "variance-matched"] - 1).max() < 1e-6
    assert np.abs(found.moment_ratio[..., kinds == "moment-matched"] - 1).max() < 1e-6
    assert np.abs(found.variance_ratio[..., kinds == "isotropic"] - 1).max() > 0.5
    rows, basis = spread_rows(60, seed=0).astype(np.float64), orthonormal(directions)
    total = rows.var(axis=0).sum()
    assert np.isclose(found.variance_share[1, 1, 0], (rows @ basis.T).var(axis=0).sum() / total)
    assert np.isclose(found.moment_share[1, 1, 0], ((rows @ basis.T) ** 2).sum() / (rows**2).sum())
    assert np.isclose(found.variance_share[1, 0, 0], (rows @ basis[0]).var() / total)


def test_the_frame_has_a_row_for_each_set_rank_and_subspace(swept):
    found = swept
    frame = found.frame()
    assert frame.height == 3 * 2 * 16
    one = frame.filter(layers="0, 2", rank=3, subspace="isotropic 2").row(0, named=True)
    assert (one["lowest_layer"], one["n_layers"], one["kind"], one["n"]) == (0, 2, "isotropic", 3)
    assert one["variance_share"] == found.variance_share[1, 1, 2]
    assert np.isclose(one["variance_ratio"], found.variance_share[1, 1, 2] / found.variance_share[1, 1, 0])
    answers = found.option_logprobs[:, 1, 1, 2].astype(np.float64)
    assert np.isclose(one["label_mass"], np.exp(answers).sum(axis=1).mean())
    against = (
        answers - answers.mean(axis=1, keepdims=True) - found.baseline + found.baseline.mean(axis=1, keepdims=True)
    )
    assert np.isclose(one["change"], np.abs(against).mean(), rtol=1e-4)


def test_draws_are_seeded(swept, prompts, directions):
    again, other = (ablated(prompts, directions, layers=SETS[:1], seed=seed).variance_share for seed in (0, 1))
    assert np.array_equal(swept.variance_share[:1], again)
    assert not np.array_equal(again, other)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_random": 4}, DataError, "4 random draws"),
        ({"features": {0: spread_rows(9), 2: spread_rows(9)}}, DataError, r"no features of layers \[1\]"),
        ({"features": dict.fromkeys(range(3), np.ones((9, WIDTH), np.float32))}, DataError, "do not vary"),
        ({"layers": [(1, 4)]}, ModelError, "no layer 4"),
        ({"where": "from:task_a"}, SpanError, "task_a"),
        ({"ranks": [4]}, DataError, "different ranks"),
    ],
)
def test_a_sweep_without_its_controls_or_at_no_place_is_refused(change, error, message, prompts, directions):
    with pytest.raises(error, match=message):
        ablated(prompts, directions, **change)


# ---------------------------------------------------------------- random subspaces


@pytest.mark.parametrize("n_rows", [20, 400])
@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("quantile", [0.02, 0.3, 0.7, 0.98])
def test_any_share_that_a_subspace_can_hold_is_matched(n_rows, rank, quantile):
    """From almost the least to almost the most (sums of the smallest and the largest eigenvalues, Ky Fan)."""
    spread = Spread.of(spread_rows(n_rows), centre=True)
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(spread_rows(n_rows).T.astype(np.float64), bias=True)))
    least, most = eigenvalues[:rank].sum(), eigenvalues[-rank:].sum()
    target = max(least, 1e-9 * most) ** (1 - quantile) * most**quantile
    for draw in range(3):
        found = matched_subspace(spread, target, rank, seed=[1, draw])
        assert np.allclose(found @ found.T, np.eye(rank), atol=1e-9)
        held = (spread_rows(n_rows).astype(np.float64) @ found.T).var(axis=0).sum()
        assert abs(held / target - 1) < 1e-4


def test_the_subspaces_of_most_and_of_least_spread_are_matched_as_far_as_it_goes():
    spread = Spread.of(spread_rows(400), centre=True)
    for axes in (spread.axes[:1], spread.axes[:3], spread.axes[-1:], spread.axes[-3:]):
        found = matched_subspace(spread, spread.inside(axes), len(axes), seed=[2])
        assert abs(spread.inside(found) / spread.inside(axes) - 1) < 1e-2
        assert np.allclose(found @ found.T, np.eye(len(axes)), atol=1e-9)


def test_one_dimension_is_a_normal_draw_whose_axes_are_stretched_by_one_power_of_their_spread():
    """The construction in closed form: log |component / draw| is linear in log s."""
    spread = Spread.of(spread_rows(400), centre=True)
    found = matched_subspace(spread, 0.2 * spread.values.sum(), 1, seed=[7])[0]
    draw = isotropic_subspace(WIDTH, 1, seed=[7])[0]
    logs = np.log(np.abs((found @ spread.axes.T) / (draw @ spread.axes.T)))
    slope, level = np.polyfit(np.log(spread.values), logs, 1)
    assert slope > 0.05
    assert np.allclose(logs, slope * np.log(spread.values) + level, atol=1e-6)


def test_matched_subspaces_have_nothing_to_do_with_the_one_that_they_match():
    rows, basis = spread_rows(400, 128), orthonormal(np.random.default_rng(0).standard_normal((2, 128)))
    spreads = [Spread.of(rows, centre=centre) for centre in (True, False)]
    for subspaces in random_subspaces(spreads, basis, 20, seed=[3]).values():
        overlaps = [((one @ basis.T) ** 2).sum() / 2 for one in subspaces]
        assert np.mean(overlaps) < 0.05  # 2 / 128 for isotropic ones
        assert len({one.tobytes() for one in subspaces}) == 20


def test_isotropic_subspaces_hold_their_part_of_the_dimensions_on_average():
    spread = Spread.of(spread_rows(400), centre=True)
    shares = [spread.share(isotropic_subspace(WIDTH, 3, seed=[draw])) for draw in range(400)]
    assert abs(np.mean(shares) - 3 / WIDTH) < 0.015


def test_a_spread_is_the_covariance_or_the_second_moment():
    rows = spread_rows(50).astype(np.float64)
    for centre, expected in ((True, np.cov(rows.T, bias=True)), (False, rows.T @ rows / 50)):
        spread = Spread.of(rows, centre=centre)
        assert np.allclose(spread.axes.T * spread.values @ spread.axes, expected)


def test_a_subspace_in_which_nothing_varies_cannot_be_matched():
    rows = spread_rows(60)
    rows[:, 0] = 2.0
    basis = np.eye(WIDTH)[:1]
    spreads = [Spread.of(rows, centre=centre) for centre in (True, False)]
    with pytest.raises(DataError, match="nothing can be matched"):
        random_subspaces(spreads, basis, 1, seed=[0])
    with pytest.raises(DataError, match="Features of width 32 and directions of width 8"):
        random_subspaces(spreads, np.eye(8)[:1], 1, seed=[0])
