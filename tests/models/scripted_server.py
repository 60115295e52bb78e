"""A chat-completions server on this machine that plays a script: one entry for each request, the last one repeated."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def good(text: str = "I stay calm.", *, finish: str = "stop", tokens: int | None = 20) -> dict[str, Any]:
    """A usual answer."""
    body: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": finish}]}
    if tokens is not None:
        body["usage"] = {"total_tokens": tokens}
    return {"body": json.dumps(body)}


class Server(ThreadingHTTPServer):
    """Knows its script and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, script: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.asked = script, []  # type: ignore[var-annotated]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        step = self.server.script[min(len(self.server.asked), len(self.server.script) - 1)]
        self.server.asked.append((self.path, dict(self.headers), json.loads(self.rfile.read(length))))
        time.sleep(step.get("delay", 0))
        body = step.get("body", "").encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(step.get("status", 200))
            for name, value in step.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) + step.get("missing", 0)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(*script: dict[str, Any]) -> Iterator[Server]:
    """A running server; stopped on exit."""
    server = Server(list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
