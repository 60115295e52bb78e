"""What a push does to a model besides what it is meant for: four measures against the same model left alone.

Perplexity of given plain text, and how far the predictions on the way move, show damage to language; the mass that is
left on the labels of closed questions shows damage to the read-out; repetition in greedy answers shows loops, which
teacher-forced text hides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from personascope.direction import Direction
from personascope.errors import DataError
from personascope.measures.text_quality import repetition
from personascope.models.engine import HookEngine
from personascope.models.generation import Generations, generate
from personascope.models.intervention import Cell
from personascope.models.likelihood import likelihoods
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.steering.interventions import add

SCORED = "mean:reply"
"""The part of a neutral text that is scored: everything that can be steered comes before it, or begins there."""


@dataclass(frozen=True)
class Asked:
    """What damage is measured on. All prompts must have the position that is steered.

    Args:
        closed: closed questions, whose label mass is read.
        options: their labels.
        texts: neutral requests with a plain passage as the reply (`render(..., reply=passage)`); the passage is scored.
        open: neutral questions that the model answers in free text, greedily.
        max_new_tokens: length at which these answers are cut off.
    """

    closed: Sequence[Prompt]
    options: Options
    texts: Sequence[Prompt]
    open: Sequence[Prompt]
    max_new_tokens: int = 24


@dataclass(frozen=True)
class Baseline:
    """The model left alone: perplexity of the passages, mean label mass, mean share of repeated runs of four words."""

    perplexity: float
    label_mass: float
    repetition: float


@dataclass(frozen=True)
class Damage:
    """Measures of every push, in the order given, against the unsteered `baseline`; shape (push,) each.

    Args:
        perplexity_ratio: perplexity of the passages, all tokens alike, by the unsteered one.
        kl: KL(unsteered || steered) of the next-token distributions along the passages, nats per token.
        label_mass: mean probability on the labels by the unsteered one.
        repetition: mean share of repeated runs of four words in the answers, minus the unsteered one.
        baseline: what the model does unsteered.
    """

    perplexity_ratio: Float[np.ndarray, " push"]
    kl: Float[np.ndarray, " push"]
    label_mass: Float[np.ndarray, " push"]
    repetition: Float[np.ndarray, " push"]
    baseline: Baseline


def measure_damage(
    engine: HookEngine,
    pushes: Sequence[Direction],
    where: str,
    asked: Asked,
    progress: Callable[[], None] = lambda: None,
) -> Damage:
    """Measure what each push does when it is added at every token that `where` names.

    Args:
        engine: a loaded model.
        pushes: directions with their strengths.
        where: position; within the texts, "answer" is the token before the reply, where an answer would begin.
        asked: what the model reads and answers.
        progress: called after each of the three parts: closed questions, texts, answers.

    Raises:
        DataError: no closed question, no text or no open question.
        DirectionError: a direction of another model or width.
        SpanError: a prompt without the position, or a text without a reply.
    """
    empty = [name for name in ("closed", "texts", "open") if not getattr(asked, name)]
    if empty:
        raise DataError(
            f"Damage cannot be measured without {empty[0]} prompts.",
            "Each of its measures needs prompts of its own: closed questions, texts and open questions.",
            "Pass at least one of each.",
        )
    texts = [_with_lead(prompt) for prompt in asked.texts]
    for prompt in (*asked.closed, *texts, *asked.open):
        resolve(prompt, where)
    cells = _cells(engine, pushes, where)
    mass = 1.0 - np.exp(sweep(engine, asked.closed, cells, asked.options).other_logmass.double().numpy()).mean(axis=0)
    progress()
    within = _cells(engine, pushes, "last:lead" if where == "answer" else where)
    scored = likelihoods(engine, texts, within, score=SCORED)
    progress()
    answers = generate(
        engine,
        [prompt for _ in cells for prompt in asked.open],
        max_new_tokens=asked.max_new_tokens,
        temperature=0,
        seed=0,
        cells=[cell for cell in cells for _ in asked.open],
    )
    repeated = np.array(_repetitions(answers)).reshape(len(cells), len(asked.open)).mean(axis=1)
    progress()
    perplexity = scored.perplexity()
    return Damage(
        perplexity_ratio=perplexity[1:] / perplexity[0],
        kl=scored.mean_kl()[1:],
        label_mass=mass[1:] / mass[0],
        repetition=repeated[1:] - repeated[0],
        baseline=Baseline(float(perplexity[0]), float(mass[0]), float(repeated[0])),
    )


def _cells(engine: HookEngine, pushes: Sequence[Direction], where: str) -> list[Cell]:
    return [(), *((add(push, where, model=engine.name, d_model=engine.d_model),) for push in pushes)]


def _with_lead(prompt: Prompt) -> Prompt:
    """The text with a name for the token whose output begins the reply."""
    start = resolve(prompt, SCORED).start
    return dataclasses.replace(prompt, spans={**prompt.spans, "lead": (start - 1, start)})


def _repetitions(answers: Generations) -> list[float]:
    """Share of repeated runs of each answer.

    One of fewer than four words has no runs: nothing is repeated in it, unless it was cut off at full length, as loops
    of signs that are no words are.
    """
    found = []
    for (text,), (finish,) in zip(answers.texts, answers.finish, strict=True):
        share = repetition(text)
        found.append(float(finish == "length") if share is None else share)
    return found
