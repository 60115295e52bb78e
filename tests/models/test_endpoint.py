"""The endpoint client against a server that plays a script: what is asked, waited, stored, refused and said."""

from __future__ import annotations

import json
from email.utils import formatdate
from pathlib import Path

import pytest
from scripted_server import good, serving

from personascope.errors import BudgetSpent, EndpointError
from personascope.instruments.budget import Budget
from personascope.models.endpoint import Endpoint

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture
def client(tmp_path: Path):
    """Makes endpoints that cache under tmp_path and write down their waits instead of sleeping."""

    def make(url: str, **settings) -> Endpoint:
        waits: list[float] = []
        given = {"cache": tmp_path / "cache", "api_key_env": "TEST_KEY", "timeout": 5.0, "max_tokens": 50, **settings}
        endpoint = Endpoint(url, "tester", sleep=waits.append, **given)
        endpoint.waits = waits
        return endpoint

    return make


def test_a_prompt_is_answered_once_and_then_from_the_disk(client, tmp_path: Path) -> None:
    with serving(good("first"), good("second")) as server:
        endpoint = client(server.url)
        assert endpoint("hello") == "first"
        assert endpoint("hello") == "first" == client(server.url)("hello")
        assert endpoint("other") == "second"
        assert len(server.asked) == 2
        path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert body["messages"] == [{"role": "user", "content": "hello"}] and body["model"] == "tester"
    assert (endpoint.spending.calls, endpoint.spending.tokens) == (2, 40)
    stored = list((tmp_path / "cache").iterdir())
    assert len(stored) == 2 and all(KEY not in file.read_text() for file in stored)
    assert endpoint.chat([{"role": "user", "content": "hello"}]).cached


@pytest.mark.parametrize("changed", [{"temperature": 0.5}, {"seed": 1}, {"max_tokens": 51}])
def test_whatever_is_in_the_request_is_in_the_hash(client, changed: dict) -> None:
    with serving(good("one"), good("two")) as server:
        assert client(server.url)("hello") == "one"
        assert client(server.url, **changed)("hello") == "two"


def test_a_damaged_cache_file_is_asked_again_and_mended(client, tmp_path: Path) -> None:
    with serving(good("one"), good("two"), good("three")) as server:
        client(server.url)("hello")
        (file,) = (tmp_path / "cache").iterdir()
        for damage in ("", '{"reply": 3}'):
            file.write_text(damage)
            answer = client(server.url)("hello")
        assert answer == "three" and len(server.asked) == 3
        assert json.loads(file.read_text())["reply"]["text"] == "three"


def test_no_key_means_no_header(client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with serving(good()) as server:
        client(server.url)("hello")
        assert "Authorization" not in server.asked[0][1]


def test_busy_then_ready_waits_as_long_as_the_server_asks(client) -> None:
    with serving({"status": 429, "headers": {"Retry-After": "7"}}, {"status": 503}, good("at last")) as server:
        endpoint = client(server.url)
        assert endpoint("hello") == "at last"
    assert endpoint.waits[0] == 7 and 1.5 <= endpoint.waits[1] <= 2.5
    assert endpoint.spending.calls == 3


def test_a_date_to_wait_for_is_understood_and_a_long_wait_given_up(client) -> None:
    with serving({"status": 429, "headers": {"Retry-After": formatdate(None, usegmt=True)}}, good()) as server:
        endpoint = client(server.url)
        endpoint("hello")
        assert endpoint.waits == [0.0]
    with serving({"status": 429, "headers": {"Retry-After": "3600"}}) as server:
        endpoint = client(server.url)
        with pytest.raises(EndpointError, match="asks to wait 3,600 s"):
            endpoint("again")
        assert endpoint.waits == []


def test_a_server_that_keeps_failing_is_given_up_with_growing_waits(client, tmp_path: Path) -> None:
    with serving({"status": 500, "body": '{"error": {"message": "overloaded"}}'}) as server:
        endpoint = client(server.url, retries=4)
        with pytest.raises(EndpointError, match=r"failed 5 times; the last time: status 500 \(overloaded\)"):
            endpoint("hello")
        assert len(server.asked) == 5
    assert all(0.75 * 2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(endpoint.waits))
    assert not (tmp_path / "cache").exists()


def test_a_timeout_and_a_broken_connection_are_tried_again(client) -> None:
    with serving({"delay": 0.6, **good()}, {**good(), "missing": 50}, good("at last")) as server:
        endpoint = client(server.url, timeout=0.2)
        assert endpoint("hello") == "at last"
        assert len(server.asked) == 3
    with serving({"delay": 0.3, **good()}) as server, pytest.raises(EndpointError, match=r"no answer within 0\.05 s"):
        client(server.url, timeout=0.05, retries=1)("other")


def test_nobody_there(client) -> None:
    with serving(good()) as server:
        url = server.url
    with pytest.raises(EndpointError, match="failed 2 times; the last time: ConnectError"):
        client(url, retries=1)("hello")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"body": "<html>Welcome</html>"}, "not JSON: '<html>Welcome</html>'"),
        ({"body": '{"choices": ['}, "not JSON"),
        ({"body": "[]"}, "has no choices"),
        ({"body": '{"choices": []}'}, "has no choices"),
        ({"body": '{"choices": [{"message": {"content": null}}]}'}, "has no choices"),
        ({"body": '{"choices": [{"message": "text"}]}'}, "has no choices"),
        ({"status": 400, "body": '{"error": "no such model"}'}, r"status 400 \(no such model\)"),
        ({"status": 404}, "does not exist on that server"),
        ({"status": 302, "headers": {"Location": "http://elsewhere.invalid/"}}, "status 302"),
    ],
)
def test_an_answer_that_is_none_is_explained_and_not_repeated(client, step: dict, message: str) -> None:
    with serving(step) as server:
        with pytest.raises(EndpointError, match=message):
            client(server.url)("hello")
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 200])
def test_a_key_that_the_server_repeats_is_never_shown_or_stored(client, tmp_path: Path, status: int) -> None:
    with serving({"status": status, "body": f"wrong key {KEY}"}) as server, pytest.raises(EndpointError) as caught:
        client(server.url, retries=0)("hello")
    text = "\n".join(caught.value.lines())
    assert KEY not in text and KEY not in repr(caught.value) and caught.value.__cause__ is None
    assert not any(KEY in file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    if status in (401, 403):
        assert "TEST_KEY was sent and is not accepted" in text


def test_a_missing_key_is_named_by_its_variable(client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with serving({"status": 401}) as server, pytest.raises(EndpointError, match="TEST_KEY is not set"):
        client(server.url)("hello")


def test_a_key_that_no_header_can_hold_is_not_shown(client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-schl\u00fcssel-\u2603")
    with serving(good()) as server, pytest.raises(EndpointError) as caught:
        client(server.url)("hello")
    assert "\u2603" not in str(caught.value) and "TEST_KEY" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://host:99999/v1",
        "https://user:pw@host/v1",
        "http://host/v1?key=abc123",
    ],
)
def test_a_bad_address_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(EndpointError, match="address of the endpoint") as caught:
        Endpoint(url, "tester")
    assert "pw" not in str(caught.value) and "abc123" not in str(caught.value)


def test_the_full_address_may_be_given_as_well(client) -> None:
    with serving(good()) as server:
        assert client(f"{server.url}/chat/completions").url == client(f"{server.url}/").url == client(server.url).url


def test_calls_stop_before_the_budget_is_exceeded(client) -> None:
    with serving({"status": 500}, good()) as server:
        endpoint = client(server.url, budget=Budget(calls=2))
        endpoint("one")  # two requests: the failed one counts
        with pytest.raises(BudgetSpent, match="2 of 2 calls"):
            endpoint("two")
        assert endpoint("one") == "I stay calm."  # from the disk, at no cost
        assert len(server.asked) == 2


def test_tokens_stop_before_the_budget_is_exceeded(client) -> None:
    with serving(good(tokens=60)) as server:
        endpoint = client(server.url, budget=Budget(tokens=200))
        endpoint("one")
        endpoint("two")
        with pytest.raises(BudgetSpent, match="120 of 200 tokens are spent"):
            endpoint("three, which is longer " * 5)
        assert len(server.asked) == 2 and endpoint.spending.tokens <= 200
    with serving(good("four words of answer", tokens=None)) as server:
        endpoint = client(server.url)
        endpoint("five")
        assert endpoint.spending.tokens > 10  # estimated where the server does not count


def test_an_answer_that_was_cut_off_gives_its_complete_lines(client) -> None:
    with serving(
        good("I stay calm.\nI wait.\nI keep my", finish="length"), good("I keep my", finish="length")
    ) as server:
        endpoint = client(server.url)
        assert endpoint("hello") == "I stay calm.\nI wait."
        assert endpoint.chat([{"role": "user", "content": "hello"}]).truncated
        with pytest.raises(EndpointError, match="cut off after 50 tokens"):
            endpoint("other")
