"""Steering of a model whose answers to a push are a formula: curves, peaks, chance, ablation and the damage guard."""

from __future__ import annotations

import numpy as np

from benchmarks.planted.carrier import CHOICE, NORM, Carrier
from benchmarks.records import Record, largest, smallest
from personascope.models.sweep import sweep
from personascope.steering.ablation import ablation_sweep
from personascope.steering.calibration import GIVEN, calibrate
from personascope.steering.choice_read_outs import position_curve
from personascope.steering.coefficient_sweep import SweepAnswers, coefficient_sweep
from personascope.steering.curves import Curves
from personascope.steering.damage import Asked
from personascope.steering.dose_response import dose_response
from personascope.steering.interventions import add

GRID = (-0.8, -0.4, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
N_RANDOM = 19


def rows() -> list[Record]:
    """All of them."""
    return [*curves(), *chance_and_peaks(), *ablations(), *guards()]


def curves() -> list[Record]:
    """Answers of a sweep along the planted direction and its random controls against the formula, in every cell."""
    carrier = Carrier.of()
    prompts, answers = carrier.prompts(), _sweep(carrier, carrier.axes[0], n_random=5)
    found = np.exp(answers.option_logprobs[:, 0, 0].astype(np.float64))
    rows = carrier.pushed(prompts, NORM * np.outer(GRID, carrier.axes[0]))
    exact = np.exp(carrier.logprobs(rows)[..., [5, 6]])
    curve = _curve(answers).value[0, 0]
    cells = [(), (add(0.0 * carrier.direction(carrier.axes[0]), "answer"),)]
    plain = sweep(carrier.engine, prompts, cells, CHOICE).option_logprobs.numpy()
    moved = float(np.abs(curve - curve[GRID.index(0.0)]).max())
    return [
        largest("carrier: P(label) equals the formula in every cell", np.abs(found - exact).ravel(), 1e-5),
        largest("carrier: curve of P(A) equals the formula", np.abs(curve - carrier.p_first(rows).mean(axis=0)), 1e-5),
        smallest("  the same curve moves", np.array([moved]), 0.1, "else equality says nothing"),
        largest(
            "carrier: coefficient 0 is the unsteered answer, bit for bit",
            np.concatenate(
                [np.abs(plain[:, 0] - plain[:, 1]), np.abs(answers.option_logprobs[:, 0, 0, 5] - plain[:, 0])]
            ),
            0.0,
        ),
    ]


def chance_and_peaks() -> list[Record]:
    """The planted direction against random ones, one that nothing reads, one that turns back, one that does not."""
    carrier = Carrier.of()
    planted = _summary(_sweep(carrier, carrier.axes[0], n_random=N_RANDOM))
    unread = _summary(_sweep(carrier, carrier.axes[2], n_random=N_RANDOM))
    turning = Carrier.of(along=1.0, against=2**0.5, noise=0.5)
    bend = (turning.axes[0] + turning.axes[1]) / 2**0.5
    turned = _summary(_sweep(turning, bend, n_random=5))
    straight = _summary(_sweep(turning, turning.axes[0], n_random=5))
    exact = turning.p_first(turning.pushed(turning.prompts(), NORM * np.outer(GRID, bend))).mean(axis=0)
    error = abs(turned["peak_plus"] - GRID[int(exact.argmax())])
    return [
        largest(
            "planted direction: p among random directions", np.array([planted["p"]]), 1 / (1 + N_RANDOM), "the floor"
        ),
        smallest("  one that nothing reads: p", np.array([unread["p"]]), 0.5),
        largest("planted peak: off by coefficient", np.array([error]), 0.0, f"at {turned['peak_plus']}"),
        smallest("planted peak: said to turn", np.array([float(turned["turns_plus"])]), 1.0),
        largest(
            "  a curve that only rises: said to turn",
            np.array([float(straight["turns_plus"]), float(straight["turns_minus"])]),
            0.0,
        ),
    ]


def ablations() -> list[Record]:
    """Without the planted direction A and B are equally likely; without a random subspace they are not.

    u carries about as much here as any other axis: where it carried most, a random subspace that is matched to carry as
    much would have to hold u itself.
    """
    carrier = Carrier.of(along=1.0)
    prompts = carrier.prompts(64)
    features = {0: carrier.pushed(prompts, np.zeros((1, carrier.engine.d_model)))[:, 0].astype(np.float32)}
    found = ablation_sweep(
        carrier.engine,
        prompts,
        carrier.axes[:1],
        ranks=[1],
        layers=[range(carrier.engine.n_layers)],
        features=features,
        options=CHOICE,
        where="answer",
        n_random=10,
    )
    preference = found.option_logprobs[:, 0, 0, :, 0] - found.option_logprobs[:, 0, 0, :, 1]
    plain = found.baseline[:, 0] - found.baseline[:, 1]
    kept = preference[:, 1:].mean(axis=0) / plain.mean()
    return [
        largest("ablation: preference left without the planted direction", np.abs(preference[:, 0]), 1e-5, "logits"),
        smallest("  share left without a random subspace of its rank", kept, 0.5, f"of {plain.mean():.2f} logits"),
    ]


def guards() -> list[Record]:
    """The usable range ends at once along a direction that makes one token certain, not along one that is not read."""
    carrier = Carrier.of()
    texts = [carrier.prompt([*prompt.ids, 11, 12, 13], reply=(8, 11)) for prompt in carrier.prompts(4)]
    asked = Asked(carrier.prompts(6), CHOICE, texts, carrier.prompts(2), max_new_tokens=4)
    usable = {}
    for name, axis in (("junk", 3), ("unread", 2)):
        direction = carrier.direction(carrier.axes[axis], means=name)
        found = calibrate(
            carrier.engine, [direction], where="all", coefficients=(0.05, 0.1, 0.2), asked=asked, n_random=5
        )
        usable[name] = next(one.usable or 0.0 for one in found.ranges() if one.kind == GIVEN)
    return [
        largest("damage guard: usable strength of a push that destroys", np.array([usable["junk"]]), 0.0),
        smallest("  of one along a direction that nothing reads", np.array([usable["unread"]]), 0.2, "the grid's end"),
    ]


def _sweep(carrier: Carrier, vector: np.ndarray, *, n_random: int) -> SweepAnswers:
    prompts = carrier.prompts()
    features = carrier.pushed(prompts, np.zeros((1, carrier.engine.d_model)))[:, 0].astype(np.float32)
    return coefficient_sweep(
        carrier.engine,
        prompts,
        [carrier.direction(vector)],
        coefficients=GRID,
        where={"answer": 1.0},
        options=CHOICE,
        features={1: features},
        n_random=n_random,
    )


def _curve(answers: SweepAnswers) -> Curves:
    """P(A); rows of one pair are neighbours."""
    return position_curve(answers, np.arange(len(answers.option_logprobs)) // 2, "common")


def _summary(answers: SweepAnswers) -> dict[str, float]:
    """Dose and response of the direction that is asked about."""
    curve = _curve(answers)
    draws = curve.draws()
    table = dose_response(curve.frame(), draws=draws.reshape(len(draws), -1))
    return table.row(0, named=True)
