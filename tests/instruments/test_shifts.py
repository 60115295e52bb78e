import csv
import re
from collections import Counter

import pytest
import yaml

from personascope.errors import DataError, FileFormatError
from personascope.instruments.shifts import (
    BASELINE,
    DESIGNS,
    WORDINGS,
    load_shift_design,
    load_shift_tasks,
    load_subjects,
)
from personascope.instruments.tasks import load_tasks

SUBJECTS = load_subjects()
THINGS = [s for s in SUBJECTS if s.role == "subject"]
KINDS = [s for s in SUBJECTS if s.role == "kind"]
TASKS = load_shift_tasks(None, SUBJECTS)
BY_ID = {task.id: task for task in TASKS}
ACTIVE = {"targeted": 32, "conflict": 32, "opposing": 48, "biography": 80}


def about(text, subject):
    return any(re.search(rf"\b{word}\b", text.lower()) for word in subject.words)


def test_there_are_eight_subjects_with_five_tasks_in_each_setting():
    assert len(THINGS) == 8
    crossed = {kind.name for kind in KINDS}
    counts = Counter((task.subject, task.kind in crossed) for task in TASKS)
    assert set(counts.values()) == {5} and len(counts) == 16


def test_a_task_speaks_of_its_subject_and_of_no_other():
    for task in TASKS:
        assert [s.name for s in THINGS if about(task.text, s)] == [task.subject], task


def test_no_subject_occurs_in_the_built_in_pool():
    for task in load_tasks().tasks:
        assert not [s.name for s in THINGS if about(task.text, s)], task


@pytest.mark.parametrize("design", DESIGNS)
def test_conditions_are_unique_and_every_one_has_its_control(design):
    made = load_shift_design(design)
    assert made.baseline == BASELINE
    assert len({c.id for c in made.conditions}) == len({c.system for c in made.conditions}) == len(made.conditions)
    assert sum(c.polarity != 0 for c in made.conditions) == ACTIVE[design]
    matched = Counter(c.matched for c in made.conditions)
    assert set(matched.values()) == {3}
    for c in made.conditions:
        assert set(c.targets) | set(c.opposed) <= {task.id for task in made.tasks.tasks}
        assert not set(c.targets) & set(c.opposed) and set(c.targets.values()) <= {1, -1}
    by_group = {name: {c.polarity: c for c in made.conditions if c.matched == name} for name in matched}
    for group in by_group.values():
        assert set(group) == {1, 0, -1}
        assert group[1].targets == {task: -sign for task, sign in group[-1].targets.items()}
        assert set(group[0].targets) == set(group[1].targets) and set(group[0].targets.values()) == {1}


@pytest.mark.parametrize("design", ["targeted", "conflict"])
def test_one_sided_targets_are_the_tasks_of_the_subject(design):
    made = load_shift_design(design)
    asked = {task.id for task in made.tasks.tasks}
    assert asked == {t.id for t in TASKS if (t.kind in {k.name for k in KINDS}) == (design == "conflict")}
    for c in made.conditions:
        assert set(c.targets) == {task for task in asked if BY_ID[task].subject == c.subject}
        assert set(c.targets.values()) == {c.polarity or 1}


def test_conflict_has_the_prompts_of_targeted_and_other_tasks():
    one, other = load_shift_design("targeted"), load_shift_design("conflict")
    assert [c.system for c in one.conditions] == [c.system for c in other.conditions]
    assert not {t.id for t in one.tasks.tasks} & {t.id for t in other.tasks.tasks}


def test_opposing_prompts_pull_tasks_in_both_both_ways():
    made = load_shift_design("opposing")
    pairings = Counter()
    for c in made.conditions:
        kind = c.matched.split("-")[-1]
        pairings[c.subject, kind] += 1
        for task in made.tasks.tasks:
            known = BY_ID[task.id]
            inside = (known.subject == c.subject, known.kind == kind)
            assert (task.id in c.opposed) == (inside == (True, True))
            expected = {(True, False): c.polarity or 1, (False, True): -c.polarity or 1}.get(inside)
            assert c.targets.get(task.id) == expected
        words = {1: ("love", "hate"), -1: ("hate", "love")}.get(c.polarity)
        if words:
            phrases = {s.name: s.phrase for s in SUBJECTS}
            clauses = [
                WORDINGS[w][n].format(phrase=phrases[x])
                for n in (0, 1)
                for w, x in zip(words, (c.subject, kind), strict=True)
            ]
            assert c.system in {f"{BASELINE} {clauses[i]} {clauses[i + 1]}" for i in (0, 2)}
    assert len(pairings) == 24 and set(pairings.values()) == {3}
    assert max(Counter(kind for _, kind in pairings).values()) <= 6


def test_a_prompt_names_its_own_subject_only():
    for design in ("targeted", "conflict", "opposing"):
        for c in load_shift_design(design).conditions:
            assert [s.name for s in THINGS if about(c.system, s)] == [c.subject]


def test_loving_hating_and_mentioning_take_about_as_many_words():
    lengths = {word: [len(text.split()) for text in texts] for word, texts in WORDINGS.items()}
    for n in range(2):
        found = [lengths[word][n] for word in WORDINGS]
        assert max(found) - min(found) <= 3


VALENCE = re.compile(r"\b(love|hate|pleas|displeas|passion|aversion|ador|detest|happy|unhappy|dread|enjoy)", re.I)


def test_controls_are_free_of_valence_and_the_others_are_not():
    for design in DESIGNS:
        for c in load_shift_design(design).conditions:
            assert bool(VALENCE.search(c.system)) == (c.polarity != 0), c.system


def test_the_biographies_of_a_group_differ_in_the_middle_sentence_only():
    made = load_shift_design("biography")
    groups = {}
    for c in made.conditions:
        groups.setdefault(c.matched, []).append(re.findall(r"[^.]+\.", c.system))
    assert len(groups) == 40
    for texts in groups.values():
        assert {len(sentences) for sentences in texts} == {10}
        for place, versions in enumerate(zip(*texts, strict=True)):
            assert len(set(versions)) == (3 if place == 5 else 1)
    assert len({c.subject for c in made.conditions}) == 20
    assert len(made.tasks.tasks) == 50
    assert set(Counter(task.topic for task in made.tasks.tasks).values()) == {5}


def long_words(text):
    return {word[:5] for word in re.findall(r"[a-z]{4,}", text.lower())} - {"about", "compo"}


def test_the_middle_sentence_speaks_of_its_target():
    """Each activity shares long words with its task, more than with any other task of the design."""
    made = load_shift_design("biography")
    words = {t.id: long_words(t.text) for t in made.tasks.tasks}
    for c in made.conditions:
        middle = long_words(re.findall(r"[^.]+\.", c.system)[5])
        shared = {task: len(middle & found) for task, found in words.items()}
        assert max(shared, key=lambda task: shared[task]) == c.subject, (c.id, shared[c.subject])


def test_the_frame_has_a_row_per_condition_and_task():
    made = load_shift_design("opposing")
    frame = made.frame()
    assert frame.height == len(made.conditions) * len(made.tasks.tasks)
    assert Counter(frame["role"]) == {"target": 72 * 11, "opposed": 72, "off": 72 * 28}
    assert frame["sign"].is_null().to_list() == (frame["role"] != "target").to_list()
    assert made.hash() == load_shift_design("opposing").hash() != load_shift_design("conflict").hash()


def test_an_unknown_design_is_refused():
    with pytest.raises(DataError, match=r"Unknown design 'targetted'.* Did you mean 'targeted'"):
        load_shift_design("targetted")


def own_files(tmp_path, subjects, tasks):
    paths = tmp_path / "subjects.yaml", tmp_path / "tasks.csv"
    paths[0].write_text(yaml.safe_dump(subjects))
    with paths[1].open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", "subject", "kind", "text"])
        writer.writeheader()
        writer.writerows(tasks)
    return dict(zip(("subjects", "tasks"), paths, strict=True))


OWN = [{"name": "tea", "role": "subject", "phrase": "tea"}, {"name": "cups", "role": "subject", "phrase": "cups"}]
OWN_KINDS = [{"name": "code", "role": "kind", "phrase": "code"}, {"name": "math", "role": "kind", "phrase": "sums"}]
OWN_TASKS = [
    {"id": f"{s}_{k}", "subject": s, "kind": k, "text": f"A {k} on {s}."}
    for s in ("tea", "cups")
    for k in ("essay", "code", "math")
]


def test_a_users_subjects_and_tasks_make_all_one_and_two_sided_designs(tmp_path):
    files = own_files(tmp_path, OWN + OWN_KINDS, OWN_TASKS)
    sizes = [len(load_shift_design(name, **files).conditions) for name in ("targeted", "conflict", "opposing")]
    assert sizes == [12, 12, 12]


@pytest.mark.parametrize(
    ("subjects", "tasks", "error", "symptom"),
    [
        (
            OWN,
            [OWN_TASKS[0], OWN_TASKS[1] | {"subject": "te"}],
            FileFormatError,
            "line 3: .*unknown subject 'te'.*'tea'",
        ),
        (OWN, [OWN_TASKS[0], OWN_TASKS[0]], FileFormatError, "line 3: id 'tea_essay' stands already in line 2"),
        (OWN, OWN_TASKS[:3], DataError, "has no task about 'cups'"),
        ([*OWN, OWN[0]], OWN_TASKS, FileFormatError, "name 'tea' stands already in line 1"),
        ([OWN[0] | {"role": "thing"}], OWN_TASKS, FileFormatError, "line 1, field 'role'"),
        ([OWN[0] | {"phrases": "x"}], OWN_TASKS, FileFormatError, "Did you mean 'phrase'"),
    ],
)
def test_mistakes_in_a_users_files_are_named(tmp_path, subjects, tasks, error, symptom):
    with pytest.raises(error, match=symptom):
        load_shift_design("targeted", **own_files(tmp_path, subjects, tasks))


def test_an_opposing_design_needs_kinds_and_tasks_in_both(tmp_path):
    with pytest.raises(DataError, match="needs two kinds of task; there are 1"):
        load_shift_design("opposing", **own_files(tmp_path, OWN + OWN_KINDS[:1], OWN_TASKS))
    lacking = [task for task in OWN_TASKS if task["id"] != "tea_math"]
    with pytest.raises(
        DataError, match="'tea' against 'code': 1 tasks in both, 0 about the subject only, 1 of the kind only"
    ):
        load_shift_design("opposing", **own_files(tmp_path, OWN + OWN_KINDS, lacking))


ROLE = {"part": "role", "name": "r", "before": ["A."], "after": ["B."]}
ROLE |= {word: f"{word} {{activity}}." for word in ("pro", "neutral", "anti")}
TARGET = {"part": "target", "task": "math_01", "activity": "adding"}


@pytest.mark.parametrize(
    ("pieces", "symptom"),
    [
        ([ROLE, TARGET | {"name": "x"}], "a target has task, activity and nothing else; see name"),
        ([{k: v for k, v in ROLE.items() if k != "neutral"}, TARGET], "see neutral"),
        ([ROLE | {"pro": "I like it."}, TARGET], "expected the slot"),
        ([ROLE | {"pro": "{activity} {other}"}, TARGET], "expected the slot"),
        ([ROLE, ROLE, TARGET], "name 'r' stands already"),
        ([ROLE, TARGET, TARGET], "task 'math_01' stands already"),
        ([ROLE], "1 roles and 0 targets"),
        ([ROLE, TARGET | {"part": "goal"}], "field 'part'"),
    ],
)
def test_mistakes_in_biographies_are_named(tmp_path, pieces, symptom):
    path = tmp_path / "b.yaml"
    path.write_text(yaml.safe_dump(pieces))
    with pytest.raises(FileFormatError, match=symptom):
        load_shift_design("biography", biographies=path)


def test_a_users_biographies_are_made_and_their_targets_must_be_asked(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text(yaml.safe_dump([ROLE, TARGET]))
    made = load_shift_design("biography", biographies=path)
    assert [c.system for c in made.conditions] == [f"A. {w} adding. B." for w in ("pro", "neutral", "anti")]
    assert [t.id for t in made.tasks.tasks] == [f"math_0{i}" for i in range(1, 6)]
    path.write_text(yaml.safe_dump([ROLE, TARGET | {"task": "math_99"}]))
    with pytest.raises(DataError, match="target 'math_99' is no task of the pool"):
        load_shift_design("biography", biographies=path)
