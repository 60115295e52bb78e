"""What the study of a reading language model is made of: whose answers, in which words, who is asked what."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from personascope.errors import DataError
from personascope.experiments.interview_study import built_in, load_people
from personascope.experiments.recipe_interview import PeoplePart
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.files import sha256_json
from personascope.instruments.items import ItemBank
from personascope.instruments.option_codes import MISSING
from personascope.instruments.responses import Responses
from personascope.instruments.splits import ItemSplit, split_items
from personascope.instruments.statements import NO_SCALE, by_scale, load_statements
from personascope.interviews.interview import Stop, conduct
from personascope.interviews.latent import LatentTraits
from personascope.interviews.marginals import Marginals
from personascope.interviews.planners import at_random
from personascope.interviews.population import synthetic_population
from personascope.interviews.transcript_training import require_unseen, responder_examples, split_people
from personascope.interviews.transcripts import Transcripts
from personascope.models.engine import HookEngine
from personascope.tuning.examples import Example


@dataclass(frozen=True, eq=False)
class Material:
    """People, words and interviews.

    Args:
        bank: items, whose `facet` is the scale that is probed and pushed.
        train: people who are learned from.
        validation: people by whom training stops.
        test: people who are interviewed.
        held_out: items that these are never asked, though others' answers to them are learned.
        unseen: items of whose answers nothing is learned.
        transcripts: interviews with the tested people, in random order, over the columns of `learned`.
        population: what synthetic people were drawn from.
    """

    bank: ItemBank
    train: Responses
    validation: Responses
    test: Responses
    held_out: tuple[str, ...]
    unseen: tuple[str, ...]
    transcripts: Transcripts
    population: LatentTraits | None

    @property
    def texts(self) -> dict[str, str]:
        """Statement of each item."""
        return {item.id: item.text for item in self.bank.items}

    @property
    def predicted(self) -> tuple[str, ...]:
        """Items whose answers are predicted: those that tested people are never asked."""
        return (*self.held_out, *self.unseen)

    @cached_property
    def learned(self) -> Responses:
        """What models of answers may see: the training people's, without the unseen items."""
        return self.train.part(items=[item for item in self.train.items if item not in set(self.unseen)])

    @property
    def scales(self) -> dict[str, list[tuple[str, int]]]:
        """Scale -> (item, key), of the scales that have an item which nobody was asked."""
        found: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for item in self.bank.items:
            found[item.facet].append((item.id, item.key))
        unasked = {item.facet for item in self.bank.items if item.id in set(self.predicted)} - {NO_SCALE}
        return {name: keyed for name, keyed in found.items() if name in unasked}

    @property
    def pushed(self) -> tuple[str, ...]:
        """The scales that have items of both keys which nobody was asked: there a trait is told from yea-saying."""
        keys: dict[str, set[int]] = defaultdict(set)
        for item in self.bank.items:
            if item.id in set(self.predicted):
                keys[item.facet].add(item.key)
        return tuple(name for name in self.scales if len(keys[name]) == 2)

    def hashes(self) -> dict[str, str]:
        """Of everything that is asked, for plans."""
        people = [[one.respondents, one.values.tolist()] for one in (self.train, self.validation, self.test)]
        asked = [self.transcripts.asked.tolist(), self.transcripts.answers.tolist()]
        return {"items": self.bank.hash(), "people": sha256_json(people), "interviews": sha256_json(asked)}


def load_material(recipe: ResponderRecipe) -> Material:
    """Load or draw the people, set items aside, and hold the interviews.

    Raises:
        FileFormatError: as the loaders.
        DataError: people without words, too few of them or of items, nobody who answered enough questions.
    """
    words = _words(recipe.people)
    people = load_people(recipe.people, recipe.seed)
    bank = ItemBank(tuple(item for item in words.items if item.id in set(people.items)), words.name)
    people = people.part(items=[item.id for item in bank.items])
    parts = split_people(people, recipe.split, str(recipe.seed))
    ratios = (1 - recipe.held_out - recipe.unseen, recipe.held_out, recipe.unseen)
    items = _parted(bank, ratios, str(recipe.seed))
    n_open = len(bank.items) - len(items.validation) - len(items.test)
    if recipe.questions > n_open:
        raise DataError(
            f"{recipe.questions} questions of {n_open} items that may be asked.",
            f"{len(items.validation)} are held out and {len(items.test)} are unseen.",
            "Ask fewer (`at`, `probes.answers`), or give more items.",
        )
    seen = people.part(items=[item for item in people.items if item not in set(items.test)])
    require_unseen(parts["train"].respondents, parts["test"].respondents)
    asked = parts["test"].part(items=seen.items)
    held = conduct(
        Marginals(parts["train"].part(items=seen.items)),
        at_random(),
        asked.values,
        stop=Stop(recipe.questions),
        respondents=asked.respondents,
        held_out=items.validation,
        seed=recipe.seed,
    )
    kept = np.flatnonzero(held.lengths == recipe.questions)
    if len(kept) < recipe.interviews:
        raise DataError(
            f"{len(kept)} of {len(held.lengths)} tested people answered {recipe.questions} questions.",
            f"{recipe.interviews} interviews are wanted.",
            "Ask fewer questions or hold fewer interviews, or give more people.",
        )
    _require_enough(parts["train"].part(items=[*items.validation, *items.test]), len(kept), recipe)
    part = recipe.people
    drawn = None if part.responses else synthetic_population(built_in(part), part.options, recipe.seed)
    material = Material(
        bank,
        parts["train"],
        parts["validation"],
        parts["test"].part(kept),
        items.validation,
        items.test,
        held.pick(kept),
        drawn,
    )
    if recipe.steering is not None and len(material.pushed) < 2:
        raise DataError(
            f"{len(material.pushed)} scales have items of both keys that are never asked.",
            "A push along one scale is told from others, and a trait from yea-saying.",
            "Give facet and key of more items, hold out more, or set steering to null.",
        )
    return material


def _require_enough(predicted: Responses, n_tested: int, recipe: ResponderRecipe) -> None:
    """Refuse before anything is computed what would fail after hours of training."""
    for item, column in zip(predicted.items, predicted.values.T, strict=True):
        if len(np.unique(column[column != MISSING])) < 2:
            raise DataError(
                f"All who are learned from answer {item!r} alike.",
                "Errors are given in standard deviations of the item.",
                "Give more people, or leave the item out.",
            )
    pushed = 0 if recipe.steering is None else recipe.steering.interviews
    wanted = pushed + 2 * recipe.probes.folds if recipe.probes is not None else 0
    if n_tested < wanted:
        raise DataError(
            f"{n_tested} people are tested.",
            f"Probes in {recipe.probes.folds if recipe.probes else 0} folds of people, without the {pushed} who are "
            f"predicted under a push, take {wanted}.",
            "Give more people, or test more of them (`split`).",
        )


def _words(part: PeoplePart) -> ItemBank:
    """What was asked, by scale."""
    if part.responses is None:
        return by_scale(built_in(part))
    if part.items is None:
        raise DataError(
            f"{part.responses} comes without the words of its items.",
            "A language model reads words.",
            "Name a file whose ids are its columns: people.items, with id and text, and facet and key for scales.",
        )
    return load_statements(part.items)


def _parted(bank: ItemBank, ratios: tuple[float, float, float], salt: str) -> ItemSplit:
    """Items that may be asked, held-out and unseen ones, by scale and key.

    Scales and keys that are too small for all three are split together; if even that is too few, they may be asked.

    Raises:
        DataError: as `split_items`.
    """
    fewest = ceil(1 / min(ratios))
    sizes = Counter((item.facet, item.key) for item in bank.items)
    small = {item.id for item in bank.items if sizes[item.facet, item.key] < fewest}
    pooled = {"facet": NO_SCALE, "key": 1}
    items = [item.model_copy(update=pooled) if item.id in small else item for item in bank.items]
    rest = sum((item.facet, item.key) == (NO_SCALE, 1) for item in items)
    return split_items(
        ItemBank(tuple(item for item in items if item.facet or rest >= fewest), bank.name), ratios=ratios, salt=salt
    )


def lessons(engine: HookEngine, material: Material, recipe: ResponderRecipe) -> tuple[list[Example], list[Example]]:
    """What is taught, and what training stops by.

    People of whom nothing was told may answer an item alike: such examples are learned from, and not stopped by.
    """
    part = recipe.transcripts
    taught = [
        responder_examples(
            engine.tokenizer,
            people,
            material.texts,
            length=part.questions,
            per_person=part.per_person,
            skip=material.unseen,
            seed=recipe.seed,
        )
        for people in (material.train, material.validation)
    ]
    known = {example.ids for example in taught[0]}
    return taught[0], [example for example in taught[1] if example.ids not in known]
