"""The interviewer learns from those interviews of its own that told most of answers that were not asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError
from personascope.experiments.collecting import Progress, named
from personascope.experiments.recipe_responder import InterviewerPart, ResponderRecipe
from personascope.experiments.responder_material import Material
from personascope.experiments.runs import RunFolder
from personascope.instruments.responses import Responses
from personascope.interviews.expert_iteration import expert_iteration, gain_per_question, rounds_frame
from personascope.interviews.interview import Limits, Stop, conduct
from personascope.interviews.interviewer import Interviewer
from personascope.interviews.language_model import LanguageModel
from personascope.interviews.respondents import RespondentModel
from personascope.interviews.transcript_training import interviewer_examples
from personascope.interviews.transcripts import Transcripts
from personascope.models.adapters import attached
from personascope.models.engine import HookEngine
from personascope.tuning.training import train_adapter

ITERATED = "interviewer, iterated"
AGAIN = 2
"""Interviews with each person, of which the better one may be learned from."""
_ONE_OF = 3
"""Best questions of which one is drawn, so that they differ."""
_STOPS = 5
"""One in so many people whose interviews were kept is not learned from, but stopped by."""


def iterated(
    engine: HookEngine,
    asking: Interviewer,
    reading: LanguageModel,
    graded: RespondentModel,
    material: Material,
    recipe: ResponderRecipe,
    run: RunFolder,
    progress: Progress,
) -> tuple[pl.DataFrame, Path]:
    """Iterate from the taught interviewer; people of the training part are interviewed, those of validation judge.

    Args:
        engine: the model, without an adapter.
        asking: the interviewer, whose backend it is.
        reading: keeps its transcripts.
        graded: predicts held-out answers from what was answered.
        material: of the study.
        recipe: of the study.
        run: its folder; `adapters/interviewer` is the taught one, `adapters/interviewer-N` that of round N.
        progress: of the study.

    Returns:
        Table "interview_rounds" (`rounds_frame`), and the adapter of the round with the largest gain.

    Raises:
        DataError: as `expert_iteration`, or too few interviews to learn from.
    """
    part = recipe.interviewer
    assert part is not None
    one = _Iteration(engine, asking, reading, graded, material, recipe, part, run, progress)

    def rounds() -> dict[str, pl.DataFrame]:
        return {"interview_rounds": rounds_frame(expert_iteration(one.hold, one.learn, one.judge, rounds=part.rounds))}

    table = run.stage("rounds", rounds)["interview_rounds"]
    best = int(table.sort("gain", descending=True, maintain_order=True)["number"][0])
    return table, one.adapter(best)


@dataclass(frozen=True)
class _Iteration:
    engine: HookEngine
    asking: Interviewer
    reading: LanguageModel
    graded: RespondentModel
    material: Material
    recipe: ResponderRecipe
    part: InterviewerPart
    run: RunFolder
    progress: Progress

    def adapter(self, number: int) -> Path:
        """Of a round; the first is the taught one."""
        return self.run.path / "adapters" / ("interviewer" if number == 0 else f"interviewer-{number}")

    def hold(self, number: int) -> tuple[Transcripts, Float[np.ndarray, " interview"], int]:
        """Several interviews with each person, their scores, and that none of them is synthetic."""
        people = self._people(self.material.train, self.part.people)
        return (*self._interviews(number, people, AGAIN, Limits(top=_ONE_OF)), 0)

    def judge(self, number: int) -> Float[np.ndarray, " interview"]:
        """Scores of interviews with people whom no round learns from."""
        people = self._people(self.material.validation, self.part.interviews)
        return self._interviews(number, people, 1, Limits())[1]

    def learn(self, transcripts: Transcripts, number: int) -> None:
        """Train the adapter of a round on the interviews that were kept."""
        names = list(dict.fromkeys(transcripts.respondents))
        apart = set(names[_STOPS - 1 :: _STOPS])
        by = [np.array([row for row, name in enumerate(transcripts.respondents) if (name in apart) is held])
              for held in (False, True)]  # fmt: skip
        if not all(map(len, by)):
            raise DataError(
                f"Interviews with {len(names)} people were kept.",
                f"One person in {_STOPS} is stopped by, the others are learned from.",
                "Interview more people (`interviewer.people`).",
            )
        train, validation = (
            interviewer_examples(self.engine.tokenizer, transcripts.pick(rows), self.material.texts) for rows in by
        )
        known = {example.ids for example in train}
        train_adapter(
            self.engine,
            train,
            [example for example in validation if example.ids not in known],
            self.adapter(number),
            self.recipe.training.settings(self.recipe.seed, self.part.epochs),
            progress=named(self.progress, f"train interviewer, round {number}"),
        )

    def _people(self, people: Responses, n: int) -> Responses:
        return people.part(np.arange(min(n, len(people.respondents))), self.graded.items)

    def _interviews(
        self, number: int, people: Responses, again: int, limits: Limits
    ) -> tuple[Transcripts, Float[np.ndarray, " interview"]]:
        answers = np.repeat(people.values, again, axis=0)
        what = f"interviews, round {number}, {len(answers)}"
        self.progress(what, 0, 1)
        with attached(self.engine, self.adapter(number)):
            held = conduct(
                self.reading,
                self.asking.planner(ITERATED),
                answers,
                stop=Stop(self.part.questions),
                respondents=[name for name in people.respondents for _ in range(again)],
                held_out=self.material.held_out,
                limits=limits,
                seed=self.recipe.seed + number,
            )
        self.progress(what, 1, 1)
        return held, gain_per_question(self.graded, held, answers, self.material.held_out)
