"""A live interview: one respondent, question by question, saved after every answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError, FileFormatError
from personascope.files import read_json, write_json
from personascope.instruments.facets import DOMAIN_OF, DOMAINS
from personascope.instruments.items import Item, ItemBank
from personascope.interviews.interview import Limits, Stop, next_questions
from personascope.interviews.latent import LatentBelief, LatentTraits
from personascope.interviews.planners import Planner, by_trait_variance
from personascope.interviews.population import synthetic_population

FORMAT = "personascope interview 1"
_Z = 1.96


@dataclass
class Session:
    """An interview by the items of a bank, which a synthetic population tells how to read.

    Args:
        bank: HEXACO items.
        file: where the transcript is; made with the first answer, continued when it is there.
        respondent: who is asked, and how; in the file.
        n_options: of the scale.
        stop: when enough is known.
        seed: of the population's items.
        planner: which question is asked next; by default the one that is expected to lower the variances of the facets
            most. Items of both keys take turns, so that readiness to agree does not pass for a trait.

    Raises:
        FileFormatError: the file is no interview.
        DataError: it is one of another bank, scale, seed or respondent.
    """

    bank: ItemBank
    file: Path
    respondent: Mapping[str, str]
    n_options: int = 5
    stop: Stop = field(default_factory=lambda: Stop(questions=40))
    seed: int = 0
    planner: Planner = field(default_factory=by_trait_variance)

    def __post_init__(self) -> None:
        self.model: LatentTraits = synthetic_population(self.bank, self.n_options, self.seed)
        self._limits = Limits(keys=[item.key for item in self.bank.items])
        self._column = {item.id: column for column, item in enumerate(self.bank.items)}
        self.answers: list[tuple[str, int]] = []
        if self.file.exists():
            self._read()
        self._believe()

    @property
    def _plan(self) -> dict[str, Any]:
        """What must not change while an interview lasts."""
        return {
            "format": FORMAT,
            "bank": self.bank.hash(),
            "options": self.n_options,
            "seed": self.seed,
            "respondent": dict(self.respondent),
        }

    def _read(self) -> None:
        found = read_json(self.file)
        if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("answers"), list):
            raise FileFormatError(
                f"{self.file} is no interview.", f"Its format is not {FORMAT!r}.", "Give another file."
            )
        for key, value in self._plan.items():
            if found.get(key) != value:
                raise DataError(
                    f"{self.file} is an interview with another {key}: {str(found.get(key))[:80]!r}, now "
                    f"{str(value)[:80]!r}.",
                    "An interview goes on as it was begun.",
                    "Give the same settings, or another file.",
                )
        for number, answer in enumerate(found["answers"], start=1):
            item, option = (answer.get("item"), answer.get("answer")) if isinstance(answer, dict) else (None, None)
            if not isinstance(item, str) or not isinstance(option, int) or isinstance(option, bool):
                raise FileFormatError(f"{self.file}: answer {number} has no item and number.", "", "Mend or remove it.")
            self._require(item, option)
            self.answers.append((item, option))

    def _require(self, item: str, option: int) -> None:
        if item not in self._column:
            raise DataError(f"{self.file}: the bank has no item {item!r}.", "", "Give the bank it was asked from.")
        if not 1 <= option <= self.n_options:
            raise DataError(
                f"{option} is no option.", f"Options are 1 to {self.n_options}.", "Answer with one of them."
            )
        if item in dict(self.answers):
            raise DataError(
                f"Item {item!r} was answered before.", "It would be counted twice.", "Undo the first answer."
            )

    def _believe(self) -> None:
        """Everything that was answered, from the beginning."""
        self.belief: LatentBelief = self.model.begin(1)
        for item, option in self.answers:
            self.belief.observe(np.array([self._column[item]]), np.array([option - 1]))

    def next_item(self) -> Item | None:
        """The next question; None when enough is known or nothing is left."""
        asked = np.zeros((1, len(self.bank.items)), dtype=bool)
        asked[0, [self._column[item] for item, _ in self.answers]] = True
        if len(self.answers) >= self.stop.questions or self.stop.reached(self.belief)[0] or asked.all():
            return None
        column = next_questions(self.belief, self.planner, ~asked, asked, limits=self._limits, seed=self.seed)[0]
        return self.bank.items[int(column)]

    def tell(self, item: Item, option: int) -> None:
        """Take in an answer, options from 1, and save the transcript.

        Raises:
            DataError: no option of the scale, an item of another bank, or one that was answered.
        """
        self._require(item.id, option)
        self.answers.append((item.id, option))
        self._save()
        self.belief.observe(np.array([self._column[item.id]]), np.array([option - 1]))

    def undo(self) -> Item | None:
        """Take back the last answer; returns its item, None when there is none."""
        if not self.answers:
            return None
        item, _ = self.answers.pop()
        self._save()
        self._believe()
        return self.bank.items[self._column[item]]

    def _save(self) -> None:
        text = {item.id: item for item in self.bank.items}
        answers = [
            {"item": item, "facet": text[item].facet, "key": text[item].key, "text": text[item].text, "answer": option}
            for item, option in self.answers
        ]
        write_json(self.file, {**self._plan, "answers": answers})

    def profile(self) -> pl.DataFrame:
        """Where the respondent lies, in standard deviations of the population.

        Returns:
            One row per domain and facet: level ("domain" or "facet"), name, mean, low, high (95 %), sd, n (answers to
            its items).
        """
        facets = self.bank.facets
        asked = [self.bank.items[self._column[item]].facet for item, _ in self.answers]
        rows: list[dict[str, Any]] = []
        for level, names, weights in (("domain", *self._domains()), ("facet", list(facets), np.eye(len(facets)))):
            padded = np.concatenate([weights, np.zeros((len(weights), 1))], axis=1)  # acquiescence is no part of them
            scale = np.sqrt(np.einsum("td,de,te->t", padded, self.model.covariance, padded))
            mean, sd = (values[0] / scale for values in self.belief.project(padded))
            for place, name in enumerate(names):
                of = {facet for facet, weight in zip(facets, weights[place], strict=True) if weight}
                rows.append(
                    {
                        "level": level,
                        "name": name,
                        "mean": float(mean[place]),
                        "low": float(mean[place] - _Z * sd[place]),
                        "high": float(mean[place] + _Z * sd[place]),
                        "sd": float(sd[place]),
                        "n": sum(facet in of for facet in asked),
                    }
                )
        return pl.DataFrame(rows)

    def _domains(self) -> tuple[list[str], Float[np.ndarray, "domain facet"]]:
        """Domains as sums of their facets; Altruism is in none."""
        names = [name for name in DOMAINS if any(DOMAIN_OF[facet] == name for facet in self.bank.facets)]
        return names, np.array([[float(DOMAIN_OF[facet] == name) for facet in self.bank.facets] for name in names])
