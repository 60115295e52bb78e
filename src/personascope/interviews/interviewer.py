"""A language model as an interviewer: the question that it would ask next, among those of a bank.

It is taught on planned transcripts (`transcript_training.interviewer_examples`). What it asks is decoded by scoring the
bank: the log-probability of every statement after the transcript, so that it never asks what nobody could score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from personascope.interviews.language_model import History, TranscriptBelief, answer_template
from personascope.interviews.planners import Planner
from personascope.interviews.respondents import Chosen, Scores
from personascope.interviews.transcript_training import question_slots, question_template
from personascope.models.backend import Backend
from personascope.models.likelihood import likelihoods
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render


@dataclass(frozen=True, eq=False)
class Interviewer:
    """A language model that chooses questions.

    Args:
        backend: the model, trained on questions.
        tokenizer: its tokenizer.
        texts: item id -> statement; their order is that of the columns.
        n_options: K of the answers that it reads.
        per_token: divide the log-probability of a statement by its tokens, as suits a model that was not taught the
            bank; the sum is what training raises.
    """

    backend: Backend
    tokenizer: Any
    texts: Mapping[str, str]
    n_options: int
    per_token: bool = False

    def prompts(self, histories: Sequence[History]) -> tuple[list[tuple[int, int]], list[Prompt]]:
        """Every statement that may come next: interview and column of each, and the text that is scored."""
        rows = [
            (number, column)
            for number, history in enumerate(histories)
            for column in range(len(self.texts))
            if column not in {item for item, _ in history}
        ]
        items, template = list(self.texts), question_template()
        answered = answer_template(self.n_options, self.tokenizer)
        return rows, [
            render(
                self.tokenizer,
                template,
                question_slots(answered, self.texts, items, histories[number]),
                reply=self.texts[items[column]],
            )
            for number, column in rows
        ]

    def log_probabilities(self, histories: Sequence[History]) -> Float[np.ndarray, "interview item"]:
        """Of every statement as the next question, -inf of those that were asked."""
        rows, prompts = self.prompts(histories)
        scored = likelihoods(self.backend, prompts, [()], score="mean:reply")
        logs = scored.logprob[:, 0] / (scored.n_tokens if self.per_token else 1)
        found = np.full((len(histories), len(self.texts)), -np.inf)
        for (number, column), value in zip(rows, logs, strict=True):
            found[number, column] = value
        return found

    def planner(self, name: str = "interviewer") -> Planner:
        """For interviews whose respondent model is a `LanguageModel` over the same items: it keeps the transcripts."""

        def rule(belief: TranscriptBelief, _: Chosen) -> Scores:
            return self.log_probabilities(belief.histories)

        return Planner(name, rule)
