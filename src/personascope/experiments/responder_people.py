"""Does a reading model know people again? A head on its states, beside the answers themselves and noisy twins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.activations.store import ActivationStore
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.responder_material import Material
from personascope.experiments.responder_plans import known_people
from personascope.interviews.metrics import Placed, replay
from personascope.interviews.respondent_head import fit_respondent_head
from personascope.interviews.transcript_probes import LAST_ANSWER, seen_answers
from personascope.interviews.transcripts import Transcripts
from personascope.interviews.twins import TwinBelief, Twins

ANSWERS, TWINS, SHUFFLED = "the answers alone", "noisy twins", "people shuffled"


def recognition_table(
    stores: Mapping[str, ActivationStore], material: Material, recipe: ResponderRecipe, how: Mapping[str, Any]
) -> pl.DataFrame:
    """Whether the people of the last interview are told from each other by a head that was fitted on those before it.

    Args:
        stores: state -> states after the interviews of `known_people`.
        material: of the study.
        recipe: of the study.
        how: n_resamples and seed of intervals.

    Returns:
        One row per reader: reader, people, and the fields of `Placed.summary`. Readers are the model's states, the raw
        answers, the last state with people shuffled, and noisy twins, who have all answers of everybody.
    """
    part = recipe.recognition
    assert part is not None
    held = known_people(material, part, recipe.seed)
    names = held[0].respondents
    placed = {
        f"language model, {state}": _placed(store.layer(part.layer, LAST_ANSWER).astype(np.float64), names, recipe.seed)
        for state, store in stores.items()
    }
    answers = np.concatenate([seen_answers(one, part.answers) for one in held])
    placed[ANSWERS] = _placed(answers, names, recipe.seed)
    last = list(stores.values())[-1].layer(part.layer, LAST_ANSWER).astype(np.float64)
    placed[SHUFFLED] = _placed(last, names, recipe.seed, shuffled=True)
    rows = np.array([material.learned.respondents.index(name) for name in names])
    placed[TWINS] = _by_twins(Twins(material.learned.part(rows), recipe.sigma, recipe.epsilon), held[-1])
    return pl.DataFrame(
        [{"reader": name, "people": len(names), **one.summary(**how)} for name, one in placed.items()],
        infer_schema_length=None,
    )


def _placed(
    states: Float[np.ndarray, "interview feature"], names: tuple[str, ...], seed: int, *, shuffled: bool = False
) -> Placed:
    """Fitted on all interviews but the last of each person, placed by the last."""
    n = len(names)
    told = list(names) * (len(states) // n - 1)
    if shuffled:
        told = [told[at] for at in np.random.default_rng(seed).permutation(len(told))]
    return fit_respondent_head(states[:-n], told, seed=seed).place(states[-n:], names)


def _by_twins(twins: Twins, held: Transcripts) -> Placed:
    ((_, belief),) = replay(twins, held, (held.asked.shape[1],), 0, len(held.asked))
    assert isinstance(belief, TwinBelief)
    own = np.arange(len(held.respondents))
    return Placed(belief.log2_posterior(own), belief.rank(own))
