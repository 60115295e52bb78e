"""Publishing and fetching directions, against a small hub on this machine that speaks the same protocol."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from local_hub import LocalHub

from personascope.direction import Direction
from personascope.errors import DirectionError, EndpointError, FileFormatError, PersonascopeError, UnsafePathError
from personascope.steering import hub
from personascope.steering.hub import pull_directions, push_directions

TOKEN = "hf_secretsecretsecret"
REPO = "me/directions"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A local hub, with the hub's library switched on for it alone and with a cache of its own."""
    local = LocalHub()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # so that nothing which the library asks for by itself leaves this machine
    monkeypatch.setattr(constants, "ENDPOINT", local.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", local.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    huggingface_hub.close_session()
    thread = threading.Thread(target=local.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield local
    local.shutdown()
    local.server_close()
    thread.join()
    huggingface_hub.close_session()


def made(layer: int = 3, **changes: object) -> Direction:
    vector = np.random.default_rng(layer).standard_normal(24)
    fields = {"model": "org/m", "reference_norm": 20.5, "means": "more", "fit": "ridge", "extra": {"alpha": 0.1}}
    return Direction(vector, layer, "eot", **{**fields, **changes})


def push(server: LocalHub, directions: dict[str, Direction], repo: str = REPO, **options: object) -> str:
    return push_directions(directions, repo, endpoint=server.url, token=TOKEN, **options)


def pull(server: LocalHub, repo: str = REPO, **options: object) -> dict[str, Direction]:
    return pull_directions(repo, endpoint=server.url, token=TOKEN, **options)


def assert_same(found: Direction, written: Direction) -> None:
    assert found.card() == written.card() and np.array_equal(found.vector, written.vector)


def test_what_was_pushed_is_pulled_bit_for_bit(server: LocalHub) -> None:
    directions = {"honesty": 0.06 * made(3), "warmth.v2": -made(5, model_hash="ab")}
    commit = push(server, directions)
    assert set(server.at(REPO, commit)[1]) == {
        ".gitattributes", "README.md", "honesty.json", "honesty.safetensors", "warmth.v2.json", "warmth.v2.safetensors",
    }  # fmt: skip
    for revision in (None, "main", commit):
        found = pull(server, revision=revision)
        assert list(found) == ["honesty", "warmth.v2"]
        for name, one in found.items():
            assert_same(one, directions[name])


def test_a_commit_pins_what_is_pulled_and_the_card_lists_what_is_there(server: LocalHub) -> None:
    first = push(server, {"a": made(1)})
    second = push(server, {"b": made(2), "a": made(1, means="changed")})
    assert list(pull(server, revision=first)) == ["a"] and pull(server, revision=first)["a"].means == "more"
    assert list(pull(server)) == ["a", "b"] and pull(server, revision=second)["a"].means == "changed"
    third = push(server, {"c": made(3)})
    card = server.at(REPO, third)[1]["README.md"].decode()
    assert [line for line in card.splitlines() if line.startswith("## ")][:3] == ["## a", "## b", "## c"]
    assert "changed" in card and f"pull_directions('{REPO}'" in card


def test_nothing_but_directions_is_fetched(server: LocalHub) -> None:
    push(server, {"a": made(1), "b": made(2)})
    strange = dict.fromkeys(
        ("code.py", "a.pkl", "model.safetensors", "config.json", "sub/c.safetensors", "sub/c.json"), b"x"
    )
    strange |= {"../up.safetensors": b"x", "../up.json": b"x"}
    server.commit(REPO, strange)
    server.downloaded.clear()
    assert list(pull(server)) == ["a", "b"]
    assert sorted(server.downloaded) == ["a.json", "a.safetensors", "b.json", "b.safetensors"]
    server.commit(REPO, {"b.json": b"changed"})
    server.downloaded.clear()
    assert list(pull(server, names=["a"])) == ["a"] and pull(server, names=[]) == {}
    assert all(name.startswith("a.") for name in server.downloaded)


def test_a_branch_that_moves_while_it_is_read_is_noticed(server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    push(server, {"a": made(1)})
    listing = hub._listing

    def listed_and_moved(*call: object) -> object:
        found = listing(*call)
        server.commit(REPO, {"other.txt": b"new"})
        return found

    monkeypatch.setattr(hub, "_listing", listed_and_moved)
    with pytest.raises(EndpointError, match="changed while it was read"):
        pull(server)


def test_large_files_are_refused_before_they_are_fetched(server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    push(server, {"a": made(1)})
    monkeypatch.setattr(hub, "_LARGEST", 50)
    server.downloaded.clear()
    with pytest.raises(FileFormatError, match=r"a\.safetensors is no direction"):
        pull(server)
    assert server.downloaded == []


def test_offline_the_cache_answers_or_says_that_it_cannot(server: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = push(server, {"a": made(1), "b": made(2)})
    pull(server)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_same(pull(server, revision=commit)["a"], made(1))
    assert list(pull(server, names=["b"])) == ["b"]
    with pytest.raises(DirectionError, match="no direction 'c'"):
        pull(server, revision=commit, names=["c"])
    for call in (lambda: pull(server, "me/other"), lambda: push(server, {"a": made(1)})):
        with pytest.raises(EndpointError, match="HF_HUB_OFFLINE"):
            call()


def test_what_is_not_there_is_explained(server: LocalHub) -> None:
    push(server, {"honesty": made(1)})
    with pytest.raises(EndpointError, match="no such repository"):
        pull(server, "me/nothing")
    with pytest.raises(EndpointError, match="no such revision"):
        pull(server, revision="v9")
    with pytest.raises(EndpointError, match="no name of a repository"):
        pull(server, "me/../x")
    with pytest.raises(DirectionError, match="Did you mean 'honesty'"):
        pull(server, names=["honest"])
    server.commit("me/model", {"model.safetensors": b"x", "config.json": b"{}"})
    with pytest.raises(FileFormatError, match="holds no directions"):
        pull(server, "me/model")
    server.commit(REPO, {"honesty.json": b'{"layer": "3"}'})
    with pytest.raises(FileFormatError, match=f"{REPO}: honesty is not a saved direction"):
        pull(server)


@pytest.mark.parametrize(
    ("status", "message"), [(401, "who is asking"), (403, "may not do this"), (418, "HTTP status 418")]
)
def test_a_token_is_sent_and_never_shown(server: LocalHub, status: int, message: str) -> None:
    push(server, {"a": made(1)})
    assert server.tokens == {f"Bearer {TOKEN}"}
    assert not any(TOKEN.encode() in content for _, files in server.repos[REPO] for content in files.values())
    server.refuse = status
    for call in (lambda: push(server, {"a": made(2)}), lambda: pull(server)):
        with pytest.raises(EndpointError, match=message) as caught:
            call()
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
        assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_a_hub_that_is_not_there_is_explained(server: LocalHub) -> None:
    with pytest.raises(EndpointError, match="not reached"):
        pull_directions(REPO, endpoint="http://127.0.0.1:9", token=False)


def test_a_push_is_refused_when_the_repository_changed_meanwhile(server: LocalHub) -> None:
    push(server, {"a": made(1)})
    server.meanwhile = True
    with pytest.raises(EndpointError, match="Somebody else changed"):
        push(server, {"b": made(2)})
    server.meanwhile = False
    push(server, {"b": made(2)})
    assert list(pull(server)) == ["a", "b"]


def test_a_readme_of_another_kind_is_not_replaced(server: LocalHub) -> None:
    server.commit(REPO, {"README.md": b"# A model\xff\n"})
    with pytest.raises(DirectionError, match="a README that is not a card"):
        push(server, {"a": made(1)})
    assert len(server.repos[REPO]) == 1


@pytest.mark.parametrize(
    ("directions", "error"),
    [
        ({}, DirectionError),
        ({"../up": made()}, UnsafePathError),
        ({"a/b": made()}, UnsafePathError),
        ({"a": made(), "b": made(extra={"x": float("nan")})}, DirectionError),
    ],
)
def test_what_cannot_be_published_reaches_no_hub(
    server: LocalHub, directions: dict[str, Direction], error: type[PersonascopeError]
) -> None:
    with pytest.raises(error):
        push(server, directions)
    assert server.repos == {} and server.tokens == set()
