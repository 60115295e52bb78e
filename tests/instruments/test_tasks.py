import json
from collections import Counter

import pytest

from personascope.errors import DataError, FileFormatError
from personascope.instruments.tasks import TaskPool, load_tasks


def test_the_built_in_pool_has_twenty_tasks_on_each_of_twelve_topics():
    pool = load_tasks()
    assert len(pool.tasks) == 240
    assert len(pool.topics) == 12
    assert set(Counter(task.topic for task in pool.tasks).values()) == {20}


def test_ids_and_texts_are_unique():
    pool = load_tasks()
    assert len({task.id for task in pool.tasks}) == len({task.text.casefold() for task in pool.tasks}) == 240


def test_the_frame_has_a_row_per_task():
    frame = load_tasks().frame()
    assert frame.columns == ["id", "topic", "text"]
    assert frame.height == 240
    assert frame["id"].to_list() == [task.id for task in load_tasks().tasks]


def test_a_subset_keeps_the_first_tasks_of_every_topic():
    pool = load_tasks()
    small = pool.subset(3)
    assert small.topics == pool.topics
    for topic in pool.topics:
        whole, part = ([task for task in p.tasks if task.topic == topic] for p in (pool, small))
        assert part == whole[:3]
    assert pool.subset(20) == pool.subset(99) == pool


@pytest.mark.parametrize("per_topic", [0, -1])
def test_a_pool_without_tasks_is_refused(per_topic):
    with pytest.raises(DataError, match=f"per_topic is {per_topic}"):
        load_tasks().subset(per_topic)


def test_the_hash_follows_content_and_order():
    pool = load_tasks()
    assert pool.hash() == load_tasks().hash()
    assert TaskPool(pool.tasks[::-1], pool.name).hash() != pool.hash()


def test_a_users_pool_is_read_and_its_mistakes_are_named_by_line(tmp_path):
    path = tmp_path / "pool.jsonl"
    rows = [{"id": "a", "topic": "x", "text": "Do a."}, {"id": "b", "topic": "y", "text": "Do b.", "note": 1}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    pool = load_tasks(path)
    assert (pool.name, pool.topics, [task.text for task in pool.tasks]) == ("pool", ("x", "y"), ["Do a.", "Do b."])
    for change, symptom in [
        ({"id": "a"}, "line 3: id 'a' stands already in line 1"),
        ({"text": "DO A."}, "line 3: text 'do a.' stands already in line 1"),
        ({"topic": " "}, "line 3, field 'topic'"),
        ({"text": 5}, "line 3, field 'text'"),
    ]:
        bad = {"id": "c", "topic": "x", "text": "Do c.", **change}
        path.write_text("\n".join(json.dumps(row) for row in [*rows, bad]))
        with pytest.raises(FileFormatError, match=symptom):
            load_tasks(path)
