"""What a model knows of a person while it reads their answers: probes of its state, beside reading the answers.

A transcript already says much about the person, so a probe of the state is compared with the same probe of the raw
answers, with what a model of people expects from them, and with people shuffled. Traits are scored from items that are
not in the transcript: otherwise the input would be read back. People are never on both sides of a fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from personascope.errors import DataError
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.interviews.language_model import History, LanguageModel
from personascope.interviews.metrics import replay
from personascope.interviews.respondents import RespondentModel
from personascope.interviews.transcripts import NOT_ASKED, Transcripts
from personascope.probes.evaluate import evaluate_ridge
from personascope.probes.folds import grouped_folds
from personascope.probes.results import ProbeResult, results_frame
from personascope.probes.text_baseline import feature_baseline_scores
from personascope.prompts.prompt import Prompt

LAST_ANSWER = "last:history"
"""The last token of what was answered, before the next statement."""


def read_transcripts(
    model: LanguageModel, transcripts: Transcripts, n: int, layers: Sequence[int], position: str = LAST_ANSWER
) -> dict[int, Float[np.ndarray, "interview d_model"]]:
    """The residual stream after the first n answers of each interview, before a question that none of them was asked.

    Args:
        model: that reads.
        transcripts: of at least n answers each.
        n: how many are read.
        layers: whose output is kept.
        position: of the prompt.

    Raises:
        DataError: an interview of fewer answers, or no question that nobody was asked.
    """
    prompts = reading_prompts(model, transcripts, n)
    found = model.backend.run(prompts, layers=list(layers), positions=(position,)).residuals
    return {layer: found[:, place, 0].double().numpy() for place, layer in enumerate(layers)}


def reading_prompts(model: LanguageModel, transcripts: Transcripts, n: int) -> list[Prompt]:
    """The first n answers of each interview before one question that none of them was asked.

    Raises:
        DataError: as `read_transcripts`.
    """
    if n < 1 or transcripts.lengths.min() < n:
        raise DataError(
            f"An interview has {transcripts.lengths.min()} answers, fewer than {n}.", "", "Read fewer of them."
        )
    columns = [model.items.index(item) for item in transcripts.items]
    free = [item for item in range(len(model.items)) if item not in set(columns)] or _never_asked(transcripts, columns)
    return [
        model.prompt(model_history(model, transcripts, interview, n), free[0])
        for interview in range(len(transcripts.asked))
    ]


def model_history(model: LanguageModel, transcripts: Transcripts, interview: int, n: int) -> History:
    """The first n answers of an interview in the columns of the model."""
    return tuple(
        (model.items.index(transcripts.items[column]), option) for column, option in transcripts.history(interview, n)
    )


def _never_asked(transcripts: Transcripts, columns: Sequence[int]) -> list[int]:
    free = [column for place, column in enumerate(columns) if place not in set(transcripts.asked.flatten().tolist())]
    if not free:
        raise DataError(
            "Every item was asked of somebody.", "The next statement would be known to some.", "Hold one out."
        )
    return free


def outside_scores(
    responses: Responses, scales: Mapping[str, Sequence[tuple[str, int]]], transcripts: Transcripts
) -> Float[np.ndarray, "interview scale"]:
    """Keyed mean of each scale over items that nobody was asked, in options around the middle of the scale.

    Args:
        responses: of the interviewed, one row for each interview.
        scales: name -> (item, key).
        transcripts: of the interviews.

    Raises:
        DataError: all items of a scale were asked, or somebody answered none of those left.
    """
    asked = {transcripts.items[column] for column in np.unique(transcripts.asked) if column != NOT_ASKED}
    found = np.zeros((len(responses.respondents), len(scales)))
    for place, (name, keyed) in enumerate(scales.items()):
        left = [(item, key) for item, key in keyed if item not in asked]
        if not left:
            raise DataError(
                f"Every item of {name!r} was asked of somebody.",
                "A probe of its score would read the transcript back.",
                "Hold some of its items out.",
            )
        values = responses.answers([item for item, _ in left]).astype(float)
        values[values == MISSING] = np.nan
        centred = (values - (responses.n_options + 1) / 2) * np.array([key for _, key in left])
        if np.isnan(centred).all(axis=1).any():
            raise DataError(f"Somebody answered no held-out item of {name!r}.", "", "Leave them out.")
        found[:, place] = np.nanmean(centred, axis=1)
    return found


def seen_answers(transcripts: Transcripts, n: int) -> Float[np.ndarray, "interview item"]:
    """The first n answers as numbers around the middle of the scale, 0 where nothing was asked."""
    found = np.zeros((len(transcripts.asked), len(transcripts.items)))
    rows = np.arange(len(found))
    for place in range(min(n, transcripts.asked.shape[1])):
        on = transcripts.asked[:, place] != NOT_ASKED
        middle = (transcripts.n_options + 1) / 2
        found[rows[on], transcripts.asked[on, place]] = transcripts.answers[on, place] - middle
    return found


def known_scores(
    model: RespondentModel,
    transcripts: Transcripts,
    n: int,
    scales: Mapping[str, Sequence[tuple[str, int]]],
) -> Float[np.ndarray, "interview scale"]:
    """What a respondent model expects of each scale after n answers: the keyed mean of its items' expected options."""
    options, place = np.arange(1, model.n_options + 1), {item: column for column, item in enumerate(model.items)}
    ((_, belief),) = replay(model, transcripts, (n,), 0, len(transcripts.asked))
    expected = belief.predict() @ options - (model.n_options + 1) / 2
    columns = [np.mean([key * expected[:, place[item]] for item, key in keyed], axis=0) for keyed in scales.values()]
    return np.stack(columns, axis=1)


def probe_transcripts(
    states: Mapping[int, Float[np.ndarray, "interview d_model"]],
    targets: Float[np.ndarray, "interview target"],
    names: Sequence[str],
    transcripts: Transcripts,
    n: int,
    *,
    people: Int[np.ndarray, " interview"] | None = None,
    expected: Float[np.ndarray, "interview target"] | None = None,
    n_folds: int = 4,
    seed: int = 0,
) -> pl.DataFrame:
    """Ridge probes of each target at each layer, with what reading the answers gives beside them.

    Args:
        states: from `read_transcripts`.
        targets: scores, the entropy of a belief, the expected information of the next question, ...
        names: of the targets.
        transcripts: of the interviews.
        n: answers that were read.
        people: number of each interview's respondent; by default every interview is another's.
        expected: what a respondent model expects of the targets from the same answers.
        n_folds: of people.
        seed: of folds, shuffles and random directions.

    Returns:
        One row per target and layer, as `probes.results.results_frame`, with n_answers. `text_baseline` is the probe of
        the raw answers, `encoder_baseline` the respondent model's expectation, `shuffled` people shuffled.

    Raises:
        DataError: as `evaluate_ridge`.
    """
    groups = np.arange(len(targets)) if people is None else people
    folds = grouped_folds(groups, n_folds, seed)
    read = feature_baseline_scores(seen_answers(transcripts, n), targets, folds)
    found: list[ProbeResult] = []
    for layer, state in states.items():
        found += evaluate_ridge(
            state,
            targets,
            names=list(names),
            groups=groups,
            texts_predictions=read,
            encoder_predictions=expected,
            persona="",
            position=LAST_ANSWER,
            layer=layer,
            n_folds=n_folds,
            seed=seed,
        )
    return results_frame(found).with_columns(n_answers=pl.lit(n))
