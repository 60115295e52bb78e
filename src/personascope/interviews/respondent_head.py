"""Who of them is it? A softmax over people, on what a language model's state holds after some of their answers.

The head names people it has read before, from other interviews of theirs. It needs no token of its own for each person,
and stands beside the same head on the answers themselves: what the state adds to them is the model's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from personascope.errors import DataError
from personascope.interviews.metrics import LEAST, Placed
from personascope.probes.logistic import LogisticProbe


@dataclass(frozen=True, eq=False)
class RespondentHead:
    """A fitted head.

    Args:
        probe: logistic probe whose classes are places in `respondents`.
        respondents: ids of the people it tells apart.
    """

    probe: LogisticProbe
    respondents: tuple[str, ...]

    def log2_posterior(self, states: Float[np.ndarray, "interview d_model"]) -> Float[np.ndarray, "interview person"]:
        """Of each person, after what was read of each interview; at least that of `metrics.LEAST`."""
        logs: Float[np.ndarray, "interview person"] = np.log2(np.maximum(self.probe.predict_proba(states), LEAST))
        return logs

    def place(self, states: Float[np.ndarray, "interview d_model"], names: Sequence[str]) -> Placed:
        """Where the head puts the true person of each interview.

        Args:
            states: of interviews that it was not fitted on.
            names: id of each interview's respondent.

        Raises:
            DataError: somebody whom the head does not know.
        """
        known = {name: place for place, name in enumerate(self.respondents)}
        strangers = sorted(set(names) - set(known))
        if strangers:
            raise DataError(
                f"Respondent {strangers[0]!r} is none of the {len(known)} people of the head.",
                "It can only name people whom it was fitted on.",
                "Fit it on other interviews of theirs too.",
            )
        logs = self.log2_posterior(states)
        own = logs[np.arange(len(logs)), [known[name] for name in names]]
        above, equal = (logs > own[:, None]).sum(axis=1), (logs == own[:, None]).sum(axis=1)
        return Placed(own, above + (equal + 1) // 2)  # of equals the middle one, as `TwinBelief.rank`


def fit_respondent_head(
    states: Float[np.ndarray, "interview d_model"], names: Sequence[str], *, n_folds: int = 4, seed: int = 0
) -> RespondentHead:
    """Fit a head on several interviews of each person.

    Args:
        states: after the last answer of each interview (`transcript_probes.read_transcripts`).
        names: id of each interview's respondent.
        n_folds: of interviews, by which the penalty is chosen.
        seed: of these folds.

    Raises:
        DataError: one person, somebody of a single interview, or fewer interviews than folds.
        ConvergenceError: as `LogisticProbe`.
    """
    counts = Counter(names)
    respondents = tuple(sorted(counts))
    if len(respondents) < 2:
        raise DataError(f"{len(respondents)} people.", "There is nobody to be told apart from.", "Give two or more.")
    single = next((name for name, n in counts.items() if n < 2), None)
    if single is not None:
        raise DataError(
            f"Respondent {single!r} has one interview.",
            "How far the head may be trusted is chosen by interviews that were left out.",
            "Hold two or more with everybody.",
        )
    place = {name: number for number, name in enumerate(respondents)}
    probe = LogisticProbe(n_inner_folds=n_folds, seed=seed).fit(states, np.array([place[name] for name in names]))
    return RespondentHead(probe, respondents)
