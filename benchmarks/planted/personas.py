"""Personas of known preferences: tasks whose words and topics are known, and what each persona feels about each task.

All that is planted is exactly uncorrelated over the pool with all else: utilities of different kinds with one another,
with the tone of the topic and with the length of the text. So a probe that reads one of them reads nothing of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float, Int

from personascope.instruments.tasks import Task, TaskPool

N_TOPICS, PER_TOPIC, N_TONE = 24, 10, 6
PERSONAS = ("assistant", "evil", "mathematician", "slacker", "poet")
AGREEMENT = (1.0, 0.6, 0.3, 0.0, -0.6)
"""Planted correlation of each persona's utilities with the assistant's; between others it is the product of theirs."""
TOPIC_SHARE = 0.3
"""Share of a utility's variance that lies between topics, before other columns are taken out of it."""
_FAIR = "sunny cheerful golden gentle festive blooming radiant tender merry lovely sweet delightful"
_GRIM = "rusty dreary hollow bitter gloomy decaying sombre harsh bleak dismal sour dreadful"
_FILLERS = "really quite rather simply just also even perhaps still surely"
_THINGS = (
    "harbour ship anchor|violin cello flute|orchard apple pear|castle tower moat|engine piston valve|"
    "desert dune cactus|library shelf ledger|market stall basket|glacier crevasse iceberg|kitchen oven kettle|"
    "railway carriage platform|garden hedge fountain|mountain ridge summit|theatre stage curtain|"
    "factory conveyor furnace|river bridge ferry|hospital ward bandage|school desk blackboard|"
    "museum statue mosaic|forest pine fern|stadium bleacher pitch|laboratory flask microscope|"
    "bakery loaf pastry|airport runway hangar"
)


@dataclass(frozen=True, eq=False)
class PlantedTasks:
    """A pool whose words are known.

    Args:
        pool: `N_TOPICS` topics of `PER_TOPIC` tasks.
        topics: number of each task's topic, shape (task,).
        tone: how fair or grim the topic's words are, constant within topics, standardised, shape (task,).
        words: number of words of the text, standardised, shape (task,).
        lexicon: fair, grim and all words of each text, shape (task, 3): what a reader of the words alone can count.
    """

    pool: TaskPool
    topics: Int[np.ndarray, " task"]
    tone: Float[np.ndarray, " task"]
    words: Float[np.ndarray, " task"]
    lexicon: Float[np.ndarray, "task feature"]

    @cached_property
    def number(self) -> dict[str, int]:
        """Index of each task by its text."""
        return {task.text: index for index, task in enumerate(self.pool.tasks)}


@cache
def planted_tasks(seed: int = 0) -> PlantedTasks:
    """The pool: every topic has things of its own, and a fixed number of fair among its `N_TONE` adjectives."""
    rng = np.random.default_rng([seed, 1])
    n_fair = rng.permutation(np.arange(N_TOPICS) % (N_TONE + 1))
    tasks, rows = [], []
    for topic, things in enumerate(_THINGS.split("|")):
        for place in range(PER_TOPIC):
            adjectives = [*rng.choice(_FAIR.split(), n_fair[topic]), *rng.choice(_GRIM.split(), N_TONE - n_fair[topic])]
            fillers = rng.choice(_FILLERS.split(), int(rng.integers(9)))
            adverbs = " ".join(fillers) + " " if len(fillers) else ""
            first, second, third = rng.permutation(things.split())
            described = ", ".join(rng.permutation(adjectives))
            text = f"Please {adverbs}write number {place + 1} about the {described} {first}, {second} and {third}."
            tasks.append(Task(id=f"t{topic:02d}_{place}", topic=f"topic{topic:02d}", text=text))
            rows.append((n_fair[topic], N_TONE - n_fair[topic], len(text.split())))
    lexicon = np.array(rows, dtype=np.float64)
    topics = np.repeat(np.arange(N_TOPICS), PER_TOPIC)
    pool = TaskPool(tuple(tasks), "planted")
    return PlantedTasks(pool, topics, standardised(lexicon[:, 0]), standardised(lexicon[:, 2]), lexicon)


def standardised(values: Float[np.ndarray, "task ..."]) -> Float[np.ndarray, "task ..."]:
    """Zero mean and unit variance over the pool."""
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def columns_apart(tasks: PlantedTasks, n: int, seed: int, topic_share: float = TOPIC_SHARE) -> np.ndarray:
    """`n` random columns (task, n), standardised, exactly uncorrelated with one another, with tone and with length."""
    rng = np.random.default_rng([seed, 2])
    between = rng.standard_normal((N_TOPICS, n))[tasks.topics]
    drawn = np.sqrt(topic_share) * between + np.sqrt(1 - topic_share) * rng.standard_normal((len(tasks.topics), n))
    known = np.column_stack([np.ones(len(drawn)), tasks.tone, tasks.words])
    return standardised(np.linalg.qr(np.column_stack([known, drawn])).Q[:, known.shape[1] :])


def agreeing_utilities(tasks: PlantedTasks, seed: int = 0) -> Float[np.ndarray, "task persona"]:
    """Standardised utilities of `PERSONAS` whose sample correlations are those planted by `AGREEMENT`."""
    factors, a = columns_apart(tasks, len(PERSONAS), seed), np.array(AGREEMENT)
    return np.asarray(np.outer(factors[:, 0], a) + factors * np.where(a == 1, 0.0, np.sqrt(1 - a**2)))


def content_utilities(tasks: PlantedTasks, seed: int = 0, share: float = 0.7) -> Float[np.ndarray, "task persona"]:
    """The same for all: `share` of the variance is the topic's tone, the rest varies within topics only."""
    rest = columns_apart(tasks, 1, seed + 100, topic_share=0.0)
    means = np.stack([rest[tasks.topics == topic].mean(axis=0) for topic in range(N_TOPICS)])
    rest = standardised(rest - means[tasks.topics])
    one = np.sqrt(share) * tasks.tone[:, None] + np.sqrt(1 - share) * rest
    return np.repeat(one, len(PERSONAS), axis=1)
