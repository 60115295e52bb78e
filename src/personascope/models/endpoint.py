"""Text from any server that speaks the chat-completions protocol of OpenAI: `Endpoint(url, model)(prompt)`.

Answers are cached on disk under the hash of the whole request, so that an interrupted run asks nothing twice. The key
is read from an environment variable for each request; it is never stored, and never part of an error.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from personascope.errors import EndpointError, FileFormatError
from personascope.files import read_json, safe_child, sha256_json, write_json
from personascope.instruments.budget import Budget, Spending, estimated_tokens
from personascope.models.embedded import cache_folder

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_PATH = "/chat/completions"
_OVERHEAD_TOKENS = 16
"""Of the roles and separators around a message, which are billed too."""


@dataclass(frozen=True)
class Reply:
    """An answer of an endpoint.

    Args:
        text: what it wrote.
        truncated: whether it was cut off at the limit of tokens.
        tokens: sent and received, as the server counts them (estimated where it does not).
        cached: whether it came from the disk and cost nothing.
    """

    text: str
    truncated: bool
    tokens: int
    cached: bool


@dataclass
class Endpoint:
    """A chat model behind a URL.

    Args:
        url: base ("http://localhost:8000/v1") or the full address that ends in /chat/completions.
        model: name by which the server knows the model.
        api_key_env: environment variable that holds the key; no key is sent where it is not set.
        budget: calls and tokens; every request counts, repeated ones too, cached answers do not.
        retries: how often a request is repeated after 429, a server error or a timeout.
        timeout: seconds for one request.
        max_tokens: of an answer.
        temperature: of sampling.
        seed: sent along for servers that can repeat themselves; part of the hash under which answers are cached.
        cache: folder of answers; `endpoint/` in the cache folder of models by default.
        longest_wait: seconds; a server that asks for a longer pause is given up.
        sleep: how to wait.
        spending: what was spent so far.

    Raises:
        EndpointError: a URL that is not http(s), has no host, or carries a user name, password or query (which could
            hold a key and would be stored and shown).
    """

    url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    budget: Budget = field(default_factory=Budget)
    retries: int = 5
    timeout: float = 120.0
    max_tokens: int = 1024
    temperature: float = 1.0
    seed: int = 0
    cache: Path | None = None
    longest_wait: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    spending: Spending = field(init=False)

    def __post_init__(self) -> None:
        self.spending = Spending(self.budget)
        try:
            parts = urlsplit(self.url.strip())
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise EndpointError(
                "The address of the endpoint is not a URL that can be asked.",
                "It must begin with http:// or https:// and name a host.",
                "Give it like http://localhost:8000/v1",
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise EndpointError(
                f"The address of the endpoint at {parts.hostname} carries a user name, a password or a query.",
                "Addresses are stored with the answers and shown in errors; keys must not be part of them.",
                f"Put the key into the environment variable {self.api_key_env} and give the bare address.",
            )
        path = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}{path if path.endswith(_PATH) else path + _PATH}"

    def __call__(self, prompt: str) -> str:
        """The answer to one prompt. Of one that was cut off, the complete lines.

        Raises:
            EndpointError: see `chat`; also an answer cut off within its first line.
            BudgetSpent: the call could exceed the budget.
        """
        reply = self.chat([{"role": "user", "content": prompt}])
        if not reply.truncated:
            return reply.text
        kept, line_break, _ = reply.text.rpartition("\n")
        if not line_break:
            raise EndpointError(
                f"The answer of {self.model!r} was cut off after {self.max_tokens} tokens, within its first line.",
                "It reached the limit of tokens.",
                "Raise max_tokens.",
            )
        return kept

    def chat(self, messages: list[dict[str, str]]) -> Reply:
        """The answer to a conversation, from the disk where the same request was answered before.

        Raises:
            EndpointError: the server refuses, cannot be reached, keeps failing, or answers with something else.
            BudgetSpent: the call could exceed the budget.
        """
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        digest = sha256_json({"url": self.url, **body})
        folder = cache_folder() / "endpoint" if self.cache is None else self.cache
        stored = safe_child(folder, f"{digest}.json")
        known = _stored_reply(stored)
        if known is not None:
            return known
        sent = sum(estimated_tokens(message["content"]) + _OVERHEAD_TOKENS for message in messages)
        answer = self._ask(body, sent, digest)
        reply = self._reply(answer, sent)
        self.spending.tokens += reply.tokens
        told = {"text": reply.text, "truncated": reply.truncated, "tokens": reply.tokens}
        write_json(stored, {"request": {"url": self.url, **body}, "reply": told})
        return reply

    def _ask(self, body: dict[str, Any], sent: int, digest: str) -> Any:
        """The JSON of the first good response; waits and repeats while that may help."""
        failure = ""
        for attempt in range(self.retries + 1):
            self.spending.reserve(sent + self.max_tokens)
            self.spending.record(0)
            asked_wait: float | None = None
            try:
                response = httpx.post(self.url, json=body, headers=self._headers(), timeout=self.timeout)
            except httpx.TimeoutException:
                failure = f"no answer within {self.timeout:g} s"
                self.spending.tokens += sent  # it may have been read and billed
            except httpx.TransportError as error:
                failure = f"{type(error).__name__}: {self._redacted(str(error))}"
            except (httpx.InvalidURL, httpx.HTTPError, ValueError) as error:  # ValueError: a key no header can hold
                raise EndpointError(
                    f"{self.url} cannot be asked: {type(error).__name__}.",
                    "The address, or the key in the environment, has characters that a request cannot carry.",
                    f"Check the address and the variable {self.api_key_env}.",
                ) from None  # the message of the original could hold the key
            else:
                if response.status_code == httpx.codes.OK:
                    return self._json(response)
                if response.status_code not in _RETRIED:
                    raise self._refusal(response)
                failure = f"status {response.status_code}{self._said(response)}"
                asked_wait = _retry_after(response.headers.get("Retry-After"))
            if attempt < self.retries:
                self._wait(attempt, asked_wait, failure, digest)
        raise EndpointError(
            f"{self.url} failed {self.retries + 1} times; the last time: {failure}.",
            "The server is down, overloaded or unreachable.",
            "Check the address, or run the same command again later; answers that came are kept.",
        )

    def _wait(self, attempt: int, asked: float | None, failure: str, digest: str) -> None:
        """Sleep as long as the server asks, or 1, 2, 4 ... seconds with a spread that differs between requests."""
        if asked is not None and asked > self.longest_wait:
            raise EndpointError(
                f"{self.url} asks to wait {asked:,.0f} s ({failure}).",
                f"The longest wait is {self.longest_wait:g} s.",
                "Run the same command again later; answers that came are kept.",
            )
        spread = random.Random(f"{digest}{attempt}").uniform(0.75, 1.25)  # noqa: S311 (no secret)
        self.sleep(asked if asked is not None else min(self.longest_wait, 2.0**attempt) * spread)

    def _key(self) -> str:
        return os.environ.get(self.api_key_env, "").strip()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key()}"} if self._key() else {}

    def _redacted(self, text: str) -> str:
        """A server's words without the key that it may repeat, at most 200 characters."""
        key = self._key()
        return " ".join((text.replace(key, "[key]") if key else text).split())[:200]

    def _said(self, response: httpx.Response) -> str:
        try:
            error = response.json().get("error")
            words = error.get("message") if isinstance(error, dict) else error
        except (ValueError, AttributeError):
            words = response.text
        return f" ({self._redacted(str(words))})" if words else ""

    def _refusal(self, response: httpx.Response) -> EndpointError:
        status, said = response.status_code, self._said(response)
        if status in (401, 403):
            state = "was sent and is not accepted" if self._key() else "is not set, so no key was sent"
            return EndpointError(
                f"{self.url} refuses access: status {status}{said}.",
                f"The key of the environment variable {self.api_key_env} {state}.",
                f"Set {self.api_key_env}, or name another variable with api_key_env.",
            )
        if status == 404:
            return EndpointError(
                f"{self.url} does not exist on that server, or it has no model {self.model!r}: status 404{said}.",
                "The base address usually ends in /v1.",
                "Check the address and the name of the model.",
            )
        return EndpointError(
            f"{self.url} refuses the request: status {status}{said}.", "", "Check the model's name and its limits."
        )

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise EndpointError(
                f"{self.url} answered with something that is not JSON: {self._redacted(response.text)[:80]!r}.",
                "It is not a chat-completions server, or the answer was damaged on the way.",
                "Check the address; it usually ends in /v1.",
            ) from None

    def _reply(self, answer: Any, sent: int) -> Reply:
        try:
            choice = answer["choices"][0]
            text, reason = choice["message"]["content"], choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            text = None
        if not isinstance(text, str):
            raise EndpointError(
                f"The answer of {self.url} has no choices[0].message.content.",
                f"It begins {self._redacted(str(answer))[:80]!r}.",
                "Check that the address is that of a chat-completions server.",
            )
        usage = answer.get("usage")
        counted = usage.get("total_tokens") if isinstance(usage, dict) else None
        tokens = counted if isinstance(counted, int) and counted >= 0 else sent + estimated_tokens(text)
        return Reply(text, reason == "length", tokens, cached=False)


def _stored_reply(path: Path) -> Reply | None:
    """The reply of an earlier run; None when there is none or its file is damaged, which then is written anew."""
    if not path.is_file():
        return None
    try:
        told = read_json(path)["reply"]
        return Reply(str(told["text"]), bool(told["truncated"]), int(told["tokens"]), cached=True)
    except (FileFormatError, KeyError, TypeError, ValueError):
        return None


def _retry_after(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None when it holds neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
