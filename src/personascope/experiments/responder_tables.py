"""How well a language model predicts answers, how far its certainty can be trusted, and what its states hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.activations.store import ActivationStore
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.responder_material import Material
from personascope.instruments.option_codes import MISSING
from personascope.interviews.calibration import calibration
from personascope.interviews.fitting import fit_gaussian, fit_ordinal
from personascope.interviews.language_model import option_shares
from personascope.interviews.marginals import Marginals
from personascope.interviews.metrics import expectations, prediction_errors, replay, surprises
from personascope.interviews.respondents import Probabilities, RespondentModel
from personascope.interviews.transcript_probes import LAST_ANSWER, known_scores, outside_scores, probe_transcripts
from personascope.interviews.twins import Twins
from personascope.measures.intervals import means_interval

UNTRAINED, TRAINED = "untrained", "trained"
MARGINALS, POPULATION = "item marginals", "the population itself"
KNOWN, NEW = "learned from others", "new"
"""Items: others' answers to them were learned, or nobody's."""
ENTROPY, GAIN = "who it is, in bits", "best next question, in bits"
Tables = dict[str, pl.DataFrame]
Expected = Mapping[int, Probabilities]


def answer_tables(
    stores: Mapping[str, ActivationStore], material: Material, recipe: ResponderRecipe, how: Mapping[str, Any]
) -> Tables:
    """Predictions of the model in each state, and of models of answers.

    Args:
        stores: state -> answers to the predicted items.
        material: of the study.
        recipe: of the study.
        how: n_resamples and seed of intervals.

    Returns:
        "responder_errors": one row per predictor, kind of items and number of questions: predictor, items, questions,
        bits, bits_low, bits_high, rmse, low, high, n (as `metrics.prediction`), gain (bits below the item marginals,
        the same people compared) with gain_low and gain_high, label_mass (null of models of answers).
        "responder_calibration": as `calibration`, of each predictor after the most questions, with predictor and
        questions.
    """
    truth = material.test.part(np.arange(recipe.interviews), material.predicted).values.astype(int)
    spread = np.array([_sd(column) for column in material.train.answers(material.predicted).T])
    columns = {
        KNOWN: np.arange(len(material.held_out)),
        NEW: np.arange(len(material.held_out), len(material.predicted)),
    }
    masses = {f"language model, {state}": _label_mass(store, recipe) for state, store in stores.items()}
    errors, bins = [], []
    for items, at in columns.items():
        expected = _expected(stores, material, recipe, items)
        base = {n: np.nanmean(surprises(p, truth[:, at]), axis=1) for n, p in expected[MARGINALS].items()}
        for predictor, own in expected.items():
            frame = prediction_errors(own, truth[:, at], planner="random", spread=spread[at], **how)
            gains = [_gain(base[n], np.nanmean(surprises(own[n], truth[:, at]), axis=1), how) for n in recipe.at]
            named = frame.drop("planner").with_columns(
                predictor=pl.lit(predictor),
                items=pl.lit(items),
                label_mass=pl.Series(masses.get(predictor, [None] * len(recipe.at)), dtype=pl.Float64),
            )
            errors.append(pl.concat([named, pl.DataFrame(gains, infer_schema_length=None)], how="horizontal"))
            if items == KNOWN:
                last = recipe.at[-1]
                found = calibration(own[last], truth[:, at])
                bins.append(found.with_columns(predictor=pl.lit(predictor), questions=pl.lit(last)))
    first = ("predictor", "items", "questions")
    table = pl.concat(errors, how="vertical_relaxed")
    return {
        "responder_errors": table.select(*first, *[name for name in table.columns if name not in first]),
        "responder_calibration": pl.concat(bins),
    }


def _expected(
    stores: Mapping[str, ActivationStore], material: Material, recipe: ResponderRecipe, items: str
) -> dict[str, Expected]:
    """Predictor -> number of questions -> probabilities; only who reads words predicts items without answers."""
    asked = material.transcripts.pick(np.arange(recipe.interviews))
    wanted = material.held_out if items == KNOWN else material.unseen
    models: dict[str, RespondentModel] = {MARGINALS: Marginals(material.train, material.unseen)}
    if items == KNOWN:
        models |= {
            "noisy twins": Twins(material.learned, recipe.sigma, recipe.epsilon),
            "gaussian": fit_gaussian(material.learned),
            "graded response": fit_ordinal(material.learned, recipe.traits),
        }
    if material.population is not None:
        models[POPULATION] = material.population
    found: dict[str, Expected] = {name: expectations(model, asked, wanted, recipe.at) for name, model in models.items()}
    start = 0 if items == KNOWN else len(material.held_out)
    for state, store in stores.items():
        shape = (recipe.interviews, len(recipe.at), len(material.predicted), recipe.people.options)
        p = option_shares(store.option_logprobs.reshape(shape))[:, :, start : start + len(wanted)]
        found[f"language model, {state}"] = {n: p[:, place] for place, n in enumerate(recipe.at)}
    return found


def _gain(base: np.ndarray, own: np.ndarray, how: Mapping[str, Any]) -> dict[str, float | None]:
    difference = (base - own)[np.isfinite(base)]
    low, high = means_interval([difference], [1.0], **how)
    return {"gain": float(difference.mean()), "gain_low": low, "gain_high": high}


def _label_mass(store: ActivationStore, recipe: ResponderRecipe) -> list[float]:
    mass = 1 - np.exp(store.other_logmass.astype(np.float64)).reshape(recipe.interviews, len(recipe.at), -1)
    return [float(value) for value in mass.mean(axis=(0, 2))]


def _sd(column: np.ndarray) -> float:
    return float(column[column != MISSING].std())


def probe_tables(
    stores: Mapping[str, ActivationStore], material: Material, recipe: ResponderRecipe, how: Mapping[str, Any]
) -> Tables:
    """Probes of the model's states after the same answers, in each state.

    Args:
        stores: state -> residual stream after the last answer.
        material: of the study.
        recipe: of the study.
        how: seed.

    Returns:
        "responder_probes": one row per state, target and layer, as `transcript_probes.probe_transcripts`, with state.
        Targets are the scales' scores on items that were not asked, how uncertain noisy twins are of who it is, and
        how much the best next question would tell them.
    """
    part = recipe.probes
    assert part is not None
    transcripts, n = material.transcripts, part.answers
    scores = trait_scores(material)
    graded = fit_ordinal(material.learned, recipe.traits)
    known = {
        scale: [(item, key) for item, key in keyed if item in set(graded.items)]
        for scale, keyed in material.scales.items()
    }
    expected = known_scores(graded, transcripts, n, known)
    uncertain = _uncertainty(Twins(material.learned, recipe.sigma, recipe.epsilon), material, n)
    found = []
    for state, store in stores.items():
        states = {layer: store.layer(layer, LAST_ANSWER).astype(np.float64) for layer in part.layers}
        shared: dict[str, Any] = {"n_folds": part.folds, "seed": how["seed"]}
        asked = [(scores, list(material.scales), expected), (uncertain, [ENTROPY, GAIN], None)]
        for targets, names, guess in asked if material.scales else asked[1:]:
            frame = probe_transcripts(states, targets, names, transcripts, n, expected=guess, **shared)
            found.append(frame.drop("persona").with_columns(state=pl.lit(state)))
    return {"responder_probes": pl.concat(found)}


def trait_scores(material: Material) -> Float[np.ndarray, "person scale"]:
    """Score of each tested person on each scale, from items that nobody was asked."""
    return outside_scores(material.test, material.scales, material.transcripts)


def _uncertainty(twins: Twins, material: Material, n: int) -> Float[np.ndarray, "person measure"]:
    """Entropy of who it is after n answers, and the information of the best question that may be asked next."""
    transcripts = material.transcripts
    ((_, belief),) = replay(twins, transcripts, (n,), 0, len(transcripts.asked))
    worth = belief.information().copy()
    place = {item: column for column, item in enumerate(twins.items)}
    worth[:, [place[item] for item in material.held_out]] = -np.inf
    for column in range(n):
        worth[np.arange(len(worth)), transcripts.asked[:, column]] = -np.inf
    return np.stack([belief.entropy(), worth.max(axis=1)], axis=1).astype(np.float64)
