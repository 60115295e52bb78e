"""A language model as a respondent model: it reads what somebody answered and says what they would answer next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from personascope.errors import DataError
from personascope.interviews.respondents import Chosen, Probabilities, Scores, entropy_bits
from personascope.models.backend import Backend
from personascope.prompts.labels import Options, resolve_options
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.scales import agreement_anchors, scale_labels
from personascope.prompts.templates import Template

History = tuple[tuple[int, int], ...]
"""What was answered: (column, option from 0), in order."""


def answer_template(n_options: int, tokenizer: object | None = None) -> Template:
    """The next answer of somebody who has answered before; what all interviews share comes first.

    Args:
        n_options: K.
        tokenizer: of the model, on which the labels are proved.
    """
    anchors = agreement_anchors(n_options)
    labels, prefix = scale_labels(n_options, "digits", tokenizer)
    return Template(
        name=f"interview-answer-{n_options}",
        user=f"Write down how one person rates statements about themselves, from {labels[0]} ({anchors[0]}) to "
        f"{labels[-1]} ({anchors[-1]}).",
        answer_prefix=prefix,
        labels=labels,
        opening="{history}Statement: {item}\n",
    )


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A language model that answers from the transcript.

    Args:
        backend: the model.
        tokenizer: its tokenizer.
        texts: item id -> statement; their order is that of the columns.
        n_options: K.
        targets: items that `information` is about; by default what is not known of the answer itself counts, which is
            no information about anything else.
        candidates: questions whose information about the targets is worked out, those whose answers are least certain;
            each takes K x targets prompts.

    Raises:
        DataError: fewer than two items, or an unknown target.
    """

    backend: Backend
    tokenizer: object
    texts: Mapping[str, str]
    n_options: int
    targets: tuple[str, ...] = ()
    candidates: int = 5

    def __post_init__(self) -> None:
        if len(self.texts) < 2:
            raise DataError(f"{len(self.texts)} items.", "There is nothing to choose from.", "Give more.")
        unknown = [target for target in self.targets if target not in self.texts]
        if unknown:
            raise DataError(f"The target {unknown[0]!r} is none of the items.", "", "Give its text too.")

    @property
    def items(self) -> tuple[str, ...]:
        """Item ids."""
        return tuple(self.texts)

    @cached_property
    def template(self) -> Template:
        """How an answer is asked for."""
        return answer_template(self.n_options, self.tokenizer)

    @cached_property
    def options(self) -> Options:
        """Its labels as tokens."""
        return resolve_options(self.tokenizer, self.template.answer_prefix, self.template.labels)

    def begin(self, n: int) -> TranscriptBelief:
        """N empty transcripts."""
        return TranscriptBelief(self, ((),) * n)

    def prompt(self, history: History, column: int) -> Prompt:
        """The question, after what was answered."""
        return render(
            self.tokenizer, self.template, answer_slots(self.template, self.texts, self.items, history, column)
        )

    def answers(self, prompts: Sequence[Prompt]) -> Float[np.ndarray, "row option"]:
        """Probabilities of the options, which sum to 1 over them."""
        return option_shares(self.backend.run(prompts, options=self.options).option_logprobs.numpy())


def option_shares(logprobs: Float[np.ndarray, "*row option"]) -> Float[np.ndarray, "*row option"]:
    """Probabilities of the options given that one of them is answered."""
    wide = logprobs.astype(np.float64)
    p = np.exp(wide - wide.max(axis=-1, keepdims=True))
    shares: Float[np.ndarray, "*row option"] = p / p.sum(axis=-1, keepdims=True)
    return shares


def answer_slots(
    template: Template, texts: Mapping[str, str], items: Sequence[str], history: History, column: int
) -> dict[str, str]:
    """What fills the template: everything that was answered, and the next statement."""
    return {"history": told(template, texts, items, history), "item": texts[items[column]]}


def told(template: Template, texts: Mapping[str, str], items: Sequence[str], history: History) -> str:
    """A transcript in words, as `answer_template` goes on: statement and answer, a paragraph each."""
    return "".join(
        f"Statement: {texts[items[item]]}\n{template.answer_prefix}{template.labels[option]}\n\n"
        for item, option in history
    )


@dataclass(eq=False)
class TranscriptBelief:
    """What a language model reads so far.

    Args:
        model: that reads.
        histories: one for each interview.
    """

    model: LanguageModel
    histories: tuple[History, ...]

    @property
    def n(self) -> int:
        """Number of interviews."""
        return len(self.histories)

    def predict(self, items: Int[np.ndarray, " asked"] | None = None) -> Probabilities:
        """See `Belief`; one prompt for each interview and item, whose transcript is computed once."""
        columns = np.arange(len(self.model.texts)) if items is None else np.asarray(items)
        prompts = [self.model.prompt(history, int(column)) for history in self.histories for column in columns]
        p: Probabilities = self.model.answers(prompts).reshape(self.n, len(columns), self.model.n_options)
        return p

    def information(self) -> Scores:
        """Expected information about the answers to the targets, summed, in bits; without targets the answer's entropy.

        Of the `candidates` whose answers are least certain; other questions, and those that were asked, score -inf.
        """
        first = entropy_bits(self.predict())
        if not self.model.targets:
            return first
        first[:, self._targets] = -np.inf
        found = np.full(first.shape, -np.inf)
        for row, history in enumerate(self.histories):
            first[row, [item for item, _ in history]] = -np.inf
            best = np.argsort(-first[row], kind="stable")[: self.model.candidates]
            items = best[np.isfinite(first[row, best])]
            found[row, items] = self.pick(np.array([row])).information_of(items)[0][0]
        return found

    @property
    def _targets(self) -> Int[np.ndarray, " target"]:
        place = {item: column for column, item in enumerate(self.model.items)}
        return np.array([place[target] for target in self.model.targets], dtype=np.int64)

    def information_of(
        self, items: Int[np.ndarray, " question"]
    ) -> tuple[Float[np.ndarray, "interview question"], Float[np.ndarray, "interview question"]]:
        """Expected information of each question about the targets, summed, and the entropy of its answer, in bits."""
        p, k = self.predict(items), self.model.n_options
        gains = np.zeros(p.shape[:2])
        for place, item in enumerate(items):
            after = self.repeat(k)
            after.observe(np.full(self.n * k, item), np.tile(np.arange(k), self.n))
            then = after.predict(self._targets).reshape(self.n, k, -1, k)
            mixed = np.einsum("bk,bkta->bta", p[:, place], then)
            left = (p[:, place] * entropy_bits(then).sum(axis=-1)).sum(axis=1)
            gains[:, place] = entropy_bits(mixed).sum(axis=1) - left
        return gains, entropy_bits(p)

    def entropy(self) -> Float[np.ndarray, " interview"]:
        """Of the answers to the targets, or to all items, summed, in bits."""
        place = {item: column for column, item in enumerate(self.model.items)}
        targets = np.array([place[target] for target in self.model.targets or self.model.items])
        total: Float[np.ndarray, " interview"] = entropy_bits(self.predict(targets)).sum(axis=1)
        return total

    def observe(self, items: Chosen, options: Chosen) -> None:
        """Write the answer of each interview into its transcript."""
        told = zip(self.histories, np.asarray(items).tolist(), np.asarray(options).tolist(), strict=True)
        self.histories = tuple((*history, (item, option)) for history, item, option in told)

    def repeat(self, times: int) -> TranscriptBelief:
        """See `Belief`."""
        return TranscriptBelief(self.model, tuple(history for history in self.histories for _ in range(times)))

    def pick(self, interviews: Int[np.ndarray, " kept"]) -> TranscriptBelief:
        """See `Belief`."""
        return TranscriptBelief(self.model, tuple(self.histories[row] for row in interviews))

    def with_(self, interviews: Int[np.ndarray, " told"], told: TranscriptBelief) -> TranscriptBelief:
        """See `Belief`."""
        histories = list(self.histories)
        for row, history in zip(interviews, told.histories, strict=True):
            histories[int(row)] = history
        return TranscriptBelief(self.model, tuple(histories))
