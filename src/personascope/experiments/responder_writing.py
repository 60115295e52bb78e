"""What a reading model makes up: people who do not exist beside people who do, and questions that no bank holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from personascope.errors import DataError
from personascope.experiments.item_bank import model_writer
from personascope.experiments.recipe_responder import NovelPart, ResponderRecipe, SyntheticPart
from personascope.experiments.responder_material import Material
from personascope.instruments.responses import Responses
from personascope.interviews.fitting import fit_ordinal
from personascope.interviews.language_model import LanguageModel, TranscriptBelief
from personascope.interviews.marginals import Marginals
from personascope.interviews.novel_questions import NovelQuestions, estimated_gains, realised_gains, write_questions
from personascope.interviews.synthetic_people import compare_people, sample_people
from personascope.interviews.transcript_probes import model_history
from personascope.measures.intervals import means_interval
from personascope.models.adapters import switched
from personascope.models.backend import Backend
from personascope.models.engine import HookEngine

PEOPLE, MODEL, GRADED, MARGINALS = "as many people", "language model, trained", "graded response", "item marginals"
WRITTEN, BANK = "written", "of the bank"
_SAMPLES = 200
"""Of as many people, which show how far a small sample is from all."""
WORDS = 120
"""Tokens of an answer that lists statements, at most."""


def synthetic_table(engine: HookEngine, material: Material, recipe: ResponderRecipe) -> pl.DataFrame:
    """People drawn from the taught model, beside as many real ones and people drawn from models of answers.

    Args:
        engine: with the adapter.
        material: of the study.
        recipe: of the study.

    Returns:
        Table "responder_synthetic", one row per source: source, people, items, for each measure of `compare_people` its
        distance to the tested people, and copies, the share who answer as somebody of the training part does. Of as
        many people (drawn from the tested, compared with the others) the median, with _low and _high: 95 % of samples.
    """
    part = recipe.synthetic
    assert part is not None
    chosen = synthetic_items(material, part, recipe.seed)
    people, known = (one.part(items=list(chosen)) for one in (material.test, material.train))
    made = {
        MODEL: draw_by_model(engine, engine.tokenizer, material, recipe),
        GRADED: sample_people(fit_ordinal(material.learned, recipe.traits), part.people, seed=recipe.seed),
        MARGINALS: sample_people(Marginals(material.learned), part.people, seed=recipe.seed),
    }
    rows = [{"source": PEOPLE, **_samples(people, known, part.people, recipe.seed)}]
    rows += [{"source": name, **_measures(one.part(items=list(chosen)), people, known)} for name, one in made.items()]
    about = pl.DataFrame(rows, infer_schema_length=None)
    return about.with_columns(people=pl.lit(part.people), items=pl.lit(len(chosen)))


def draw_by_model(backend: Backend, tokenizer: Any, material: Material, recipe: ResponderRecipe) -> Responses:
    """Synthetic people of a model that reads."""
    part = recipe.synthetic
    assert part is not None
    texts = {item: material.texts[item] for item in synthetic_items(material, part, recipe.seed)}
    reader = LanguageModel(backend, tokenizer, texts, recipe.people.options)
    return sample_people(reader, part.people, seed=recipe.seed)


def synthetic_items(material: Material, part: SyntheticPart, seed: int) -> tuple[str, ...]:
    """Items that synthetic people answer, of those that were learned from.

    Raises:
        DataError: too few of them, or too few tested people to compare with.
    """
    known = material.learned.items
    if part.items > len(known):
        raise DataError(
            f"Synthetic people are to answer {part.items} items of {len(known)}.", "", "Lower synthetic.items."
        )
    if len(material.test.respondents) < part.people + 8:
        raise DataError(
            f"{part.people} synthetic people beside {len(material.test.respondents)} who are tested.",
            "As many people are compared with the others, of whom 8 are needed.",
            "Lower synthetic.people, or test more people (`split`).",
        )
    order = np.random.default_rng(seed).permutation(len(known))[: part.items]
    return tuple(known[at] for at in sorted(order.tolist()))


def _measures(made: Responses, people: Responses, known: Responses) -> dict[str, float]:
    """The distances to people, and the share of copies of those who were learned from."""
    found = compare_people(made, people).distances
    copies = len(compare_people(made, known).copies) / len(made.respondents)
    return {**dict(zip(found["measure"], found["value"], strict=True)), "copies": copies}


def _samples(people: Responses, known: Responses, n: int, seed: int) -> dict[str, float]:
    """What is found of random samples of people: median and 95 % of them."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_SAMPLES):
        order = rng.permutation(len(people.respondents))
        found.append(_measures(people.part(order[:n]), people.part(order[n:]), known))
    values = {name: np.array([one[name] for one in found]) for name in found[0]}
    row = {name: float(np.median(each)) for name, each in values.items()}
    for end, at in (("low", 0.025), ("high", 0.975)):
        row |= {f"{name}_{end}": float(np.quantile(each, at)) for name, each in values.items()}
    return row


def novel_table(
    engine: HookEngine, material: Material, recipe: ResponderRecipe, how: Mapping[str, Any]
) -> pl.DataFrame:
    """Statements that the untaught model writes, and what the taught one expects their answers to tell.

    Beside them stand items of the bank of whose answers nothing was learned: as new to the model, but with answers of
    people, so that what was expected of them can be compared with what their answers told.

    Args:
        engine: with the adapter.
        material: of the study.
        recipe: of the study.
        how: n_resamples and seed.

    Returns:
        Table "responder_novel", one row per question: item, text, kind, gain (expected, in bits about `targets`
        held-out items, mean over interviews) with low and high, entropy (of the answer, in bits), realised (bits that
        people's answers took off the surprise; null for new questions) with realised_low and realised_high, targets,
        n (interviews), n_written, n_unfit, n_copies, n_requests.
    """
    part = recipe.novel
    assert part is not None
    with switched(engine, on=False):
        writer = model_writer(engine, max_new_tokens=WORDS, seed=recipe.seed)
        written = written_by(writer, material, part, recipe.seed)
    bank = material.unseen[: part.questions]
    gains, came = what_they_tell(engine, engine.tokenizer, written.texts, material, recipe)
    found = []
    for item, text in (written.texts | {item: material.texts[item] for item in bank}).items():
        own = gains.filter(item=item)
        about: dict[str, Any] = {"item": item, "text": text, "kind": BANK if item in bank else WRITTEN}
        about |= _mean(own["gain"].to_numpy(), "gain", "", how) | {"entropy": float(own["entropy"].to_numpy().mean())}
        real = came.filter(pl.col("item") == item, pl.col("gain").is_not_nan())["gain"].to_numpy()
        found.append(about | _mean(real, "realised", "realised_", how))
    return pl.DataFrame(found, infer_schema_length=None).with_columns(
        targets=pl.lit(len(material.held_out[: part.targets])),
        n=pl.lit(part.interviews),
        n_written=pl.lit(written.n_written),
        n_unfit=pl.lit(written.n_unfit),
        n_copies=pl.lit(written.n_copies),
        n_requests=pl.lit(written.n_requests),
    )


def what_they_tell(
    backend: Backend, tokenizer: Any, new: Mapping[str, str], material: Material, recipe: ResponderRecipe
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of new questions and unseen items: what a model that reads expects of them, and, of these, what they told."""
    part = recipe.novel
    assert part is not None
    bank, targets = material.unseen[: part.questions], material.held_out[: part.targets]
    model = LanguageModel(backend, tokenizer, {**material.texts, **new}, recipe.people.options, targets=targets)
    rows = range(part.interviews)
    told = tuple(model_history(model, material.transcripts, row, part.answers) for row in rows)
    belief = TranscriptBelief(model, told)
    truth = material.test.part(np.arange(part.interviews))
    came = realised_gains(belief, bank, truth.answers(list(bank)), truth.answers(list(targets)))
    return estimated_gains(belief, [*new, *bank]), came


def written_by(write: Callable[[str], str], material: Material, part: NovelPart, seed: int) -> NovelQuestions:
    """New questions of a writer, which is asked twice for each; perhaps none."""
    return write_questions(write, material.texts, part.questions, most=2 * part.questions, least=0, seed=seed)


def _mean(values: np.ndarray, name: str, before: str, how: Mapping[str, Any]) -> dict[str, float | None]:
    if len(values) < 2:
        return {name: None, f"{before}low": None, f"{before}high": None}
    low, high = means_interval([values], [1.0], **how)
    return {name: float(values.mean()), f"{before}low": low, f"{before}high": high}
