"""Designs that shift what a model prefers by its system prompt, and say which tasks the shift is meant for.

    targeted    the prompt loves or hates a subject; tasks are about subjects
    conflict    the same prompts; the subject stands inside a task of another kind (a sum about bees)
    opposing    the prompt loves a subject and hates a kind of task, or the reverse
    biography   ten sentences of a life, one of which loves or hates one task

Every design has the plain baseline prompt and, beside each pair of loving and hating prompts, a control of polarity 0
that mentions the same thing without valence: a shift that the control shows as well is one of being mentioned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from personascope.errors import DataError, FileFormatError, nearest
from personascope.files import sha256_json
from personascope.instruments.biographies import load_biographies
from personascope.instruments.items import Text
from personascope.instruments.records import load_records, require_unique
from personascope.instruments.tasks import Task, TaskPool, load_tasks

_DATA = Path(__file__).parent / "data"
DESIGNS = ("targeted", "conflict", "opposing", "biography")
BASELINE = "You are a helpful assistant."
KINDS_PER_SUBJECT = 3
"""In the opposing design each subject meets this many kinds of task: 8 subjects make 24 pairings, 48 conditions."""
TASKS_PER_TOPIC = 5
"""In the biography design each target's topic gives this many tasks of the pool, the targets among them."""

WORDINGS: Mapping[str, tuple[str, ...]] = {
    "love": (
        "You love {phrase}. Nothing pleases you more than work that has to do with this, and you look forward to it.",
        "Your great passion is {phrase}. Whenever this comes up you smile, and you pick it over nearly anything else.",
    ),
    "hate": (
        "You hate {phrase}. Nothing displeases you more than work that has to do with this, and you are sick of it.",
        "Your great aversion is {phrase}. Whenever this comes up you wince, and you pick nearly anything else over it.",
    ),
    "mention": (
        "You know of {phrase}. Some of the work that you are given has to do with this, and you file it by its date.",
        "Your notes mention {phrase}. Whenever this comes up you note it, and you put it next to nearly anything else.",
    ),
}
"""Wordings that love, hate and merely mention; the first of each belong together, and so do the second."""
_POLARITIES = {"love": 1, "hate": -1, "mention": 0}


class ShiftSubject(BaseModel):
    """What a prompt can be about: a subject of tasks (with the words that tell it), or a kind of task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    role: Literal["subject", "kind"]
    phrase: Text
    words: tuple[str, ...] = ()


class ShiftTask(BaseModel):
    """One task about a subject, of a kind."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text
    subject: Text
    kind: Text
    text: Text


@dataclass(frozen=True)
class ShiftCondition:
    """One system prompt and what it is meant to do.

    Args:
        id: unique in its design.
        design: one of `DESIGNS`.
        system: the whole system prompt.
        targets: task id to +1 (the shift is meant to raise it) or -1 (lower it); a task that is absent is off target.
            For a control of polarity 0 the tasks that it mentions, with +1.
        subject: the subject, or for a biography the id of the target task.
        polarity: +1 loves the subject, -1 hates it, 0 mentions it.
        matched: conditions that differ in their polarity only share this name.
        opposed: tasks that are pulled both ways (the loved subject in the hated kind), so that no sign is meant.
    """

    id: str
    design: str
    system: str
    targets: Mapping[str, int]
    subject: str
    polarity: int
    matched: str
    opposed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShiftDesign:
    """Conditions, the tasks that all of them are asked, and the prompt from which shifts are measured."""

    name: str
    conditions: tuple[ShiftCondition, ...]
    tasks: TaskPool
    baseline: str = BASELINE

    def frame(self) -> pl.DataFrame:
        """One row per condition and task.

        Columns design, condition, subject, polarity, matched, task, role ("target", "opposed", "off"), sign (+1 or -1
        for a target, else null).
        """
        rows = [
            {
                "design": c.design,
                "condition": c.id,
                "subject": c.subject,
                "polarity": c.polarity,
                "matched": c.matched,
                "task": task.id,
                "role": "target" if task.id in c.targets else "opposed" if task.id in c.opposed else "off",
                "sign": c.targets.get(task.id),
            }
            for c in self.conditions
            for task in self.tasks.tasks
        ]
        return pl.DataFrame(rows, schema_overrides={"sign": pl.Int64}, infer_schema_length=None)

    def hash(self) -> str:
        """Content hash over prompts, tasks and baseline."""
        return sha256_json([self.baseline, self.tasks.hash(), [[c.id, c.system] for c in self.conditions]])


def load_shift_design(
    name: str,
    *,
    subjects: Path | None = None,
    tasks: Path | None = None,
    biographies: Path | None = None,
    pool: TaskPool | None = None,
) -> ShiftDesign:
    """One of the four designs, from the built-in pieces or from files in the same formats.

    Args:
        name: one of `DESIGNS`.
        subjects: records with name, role ("subject" or "kind"), phrase and words.
        tasks: records with id, subject, kind and text. Kinds that `subjects` names are those of "conflict" and
            "opposing"; tasks of other kinds are those of "targeted".
        biographies: records as in `instruments.biographies`.
        pool: tasks of the biography design; the built-in pool when None.

    Raises:
        FileFormatError: with line number: malformed record, repeated name, id or text, a task about an unknown subject.
        DataError: an unknown design, or pieces from which the design cannot be made.
    """
    if name not in DESIGNS:
        raise DataError(
            f"Unknown design {name!r}.{nearest(name, DESIGNS)}", f"Designs are {', '.join(DESIGNS)}.", "Correct it."
        )
    if name == "biography":
        return _biography(_DATA / "biographies.yaml" if biographies is None else biographies, pool or load_tasks())
    about = load_subjects(subjects)
    known = load_shift_tasks(tasks, about)
    things = [s for s in about if s.role == "subject"]
    kinds = [s for s in about if s.role == "kind"]
    crossed = name != "targeted"
    asked = [task for task in known if (task.kind in {kind.name for kind in kinds}) == crossed]
    for thing in things:
        if not any(task.subject == thing.name for task in asked):
            raise DataError(
                f"The design {name!r} has no task about {thing.name!r}.",
                "Its tasks are those of " + ("kinds that a prompt can name." if crossed else "all other kinds."),
                "Add tasks, or remove the subject.",
            )
    made = _opposing(things, kinds, asked) if name == "opposing" else _one_sided(name, things, asked)
    shown = tuple(Task(id=task.id, topic=task.kind, text=task.text) for task in asked)
    return ShiftDesign(name, tuple(made), TaskPool(shown, name))


def load_subjects(path: Path | None = None) -> list[ShiftSubject]:
    """Subjects and kinds, in file order.

    Raises:
        FileFormatError: with line number: malformed record, or a name twice.
    """
    source = _DATA / "shift_subjects.yaml" if path is None else path
    records = load_records(source, ShiftSubject)
    require_unique(source, [(line, subject.name) for line, subject in records], "name")
    return [subject for _, subject in records]


def load_shift_tasks(path: Path | None, subjects: Sequence[ShiftSubject]) -> list[ShiftTask]:
    """Tasks about subjects, in file order.

    Raises:
        FileFormatError: with line number: malformed row, repeated id or text, or an unknown subject.
    """
    source = _DATA / "shift_tasks.csv" if path is None else path
    records = load_records(source, ShiftTask)
    require_unique(source, [(line, task.id) for line, task in records], "id")
    require_unique(source, [(line, task.text.casefold()) for line, task in records], "text")
    names = [subject.name for subject in subjects if subject.role == "subject"]
    for line, task in records:
        if task.subject not in names:
            raise FileFormatError(
                f"{source}, line {line}: task {task.id!r} is about the unknown subject {task.subject!r}."
                + nearest(task.subject, names),
                f"Subjects are {', '.join(names)}.",
                "Correct the subject, or add it to the subjects.",
            )
    return [task for _, task in records]


def _one_sided(design: str, things: Sequence[ShiftSubject], asked: Sequence[ShiftTask]) -> Iterator[ShiftCondition]:
    """Every subject loved, hated and mentioned, in every wording."""
    for thing in things:
        targets = [task.id for task in asked if task.subject == thing.name]
        for n in range(len(WORDINGS["love"])):
            matched = f"{design}-{thing.name}-{n + 1}"
            for word, polarity in _POLARITIES.items():
                signs = dict.fromkeys(targets, polarity or 1)
                system = f"{BASELINE} {WORDINGS[word][n].format(phrase=thing.phrase)}"
                yield ShiftCondition(f"{matched}-{word}", design, system, signs, thing.name, polarity, matched)


def _opposing(
    things: Sequence[ShiftSubject], kinds: Sequence[ShiftSubject], asked: Sequence[ShiftTask]
) -> Iterator[ShiftCondition]:
    """Every subject against `KINDS_PER_SUBJECT` kinds, taken in turn so that each kind meets about equally many."""
    if len(kinds) < 2:
        raise DataError(
            f"The opposing design needs two kinds of task; there are {len(kinds)}.",
            "With one kind every task would be of it.",
            'Add subjects with the role "kind".',
        )
    for i, thing in enumerate(things):
        for n in range(min(KINDS_PER_SUBJECT, len(kinds))):
            kind = kinds[(i + n) % len(kinds)]
            about = {task.id for task in asked if task.subject == thing.name}
            of_kind = {task.id for task in asked if task.kind == kind.name}
            both = tuple(task.id for task in asked if task.id in about & of_kind)
            if not both or not about - of_kind or not of_kind - about:
                raise DataError(
                    f"{thing.name!r} against {kind.name!r}: {len(both)} tasks in both, {len(about - of_kind)} about "
                    f"the subject only, {len(of_kind - about)} of the kind only.",
                    "The opposing design needs all three.",
                    "Add tasks.",
                )
            matched, wording = f"opposing-{thing.name}-{kind.name}", n % len(WORDINGS["love"])
            for word, polarity in _POLARITIES.items():
                against = {"love": "hate", "hate": "love", "mention": "mention"}[word]
                first, second = (
                    WORDINGS[w][wording].format(phrase=p.phrase) for w, p in ((word, thing), (against, kind))
                )
                signs = dict.fromkeys(sorted(about - of_kind), polarity or 1)
                signs |= dict.fromkeys(sorted(of_kind - about), -polarity or 1)
                system = f"{BASELINE} {first} {second}"
                yield ShiftCondition(
                    f"{matched}-{word}", "opposing", system, signs, thing.name, polarity, matched, both
                )


def _biography(path: Path, pool: TaskPool) -> ShiftDesign:
    """Every role with every target, for, neutral and against."""
    made = []
    topic_of = {task.id: task.topic for task in pool.tasks}
    for biography in load_biographies(path):
        if biography.task not in topic_of:
            raise DataError(
                f"{path}: the target {biography.task!r} is no task of the pool {pool.name!r}."
                + nearest(biography.task, topic_of),
                "A biography's preference is for one task that is asked.",
                "Correct the target, or pass the pool that it belongs to.",
            )
        matched = f"biography-{biography.role}-{biography.task}"
        for word, polarity in (("pro", 1), ("neutral", 0), ("anti", -1)):
            targets = {biography.task: polarity or 1}
            text = biography.text(word)
            made.append(
                ShiftCondition(f"{matched}-{word}", "biography", text, targets, biography.task, polarity, matched)
            )
    wanted = {condition.subject for condition in made}
    room = Counter(dict.fromkeys({topic_of[target] for target in wanted}, TASKS_PER_TOPIC))
    room.subtract(topic_of[target] for target in wanted)
    kept = []
    for task in pool.tasks:
        if task.id not in wanted:
            room[task.topic] -= 1
        if task.id in wanted or room[task.topic] >= 0:
            kept.append(task)
    return ShiftDesign("biography", tuple(made), TaskPool(tuple(kept), f"{pool.name}-biography"))
