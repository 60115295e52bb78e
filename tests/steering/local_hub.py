"""A hub on this machine that speaks the part of the Hugging Face hub's protocol that publishing and fetching use."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class LocalHub(ThreadingHTTPServer):
    """Repositories as lists of commits, each (hash, files by path); what was asked for is kept."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.downloaded: list[str] = []
        self.tokens: set[str | None] = set()
        self.refuse: int | None = None
        self.meanwhile = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        past = self.repos.setdefault(repo, [])
        everything = {**(past[-1][1] if past else {}), **files}
        identity = hashlib.sha1(repr((len(past), sorted(everything.items()))).encode()).hexdigest()
        past.append((identity, everything))
        return identity

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        past = self.repos[repo]
        return past[-1] if revision == "main" else next((c for c in past if c[0] == revision), None)


class Handler(BaseHTTPRequestHandler):
    server: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, body: object = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refused(self) -> bool:
        said = self.headers.get("authorization")
        self.server.tokens.add(said)
        if self.server.refuse is not None:  # a hub that repeats the token in its answer
            self.answer(self.server.refuse, {"error": f"no, {said}"}, X_Error_Message=f"no, {said}")
        return self.server.refuse is not None

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refused():
            return
        path = urlsplit(self.path).path
        if path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(content)
            repo = f"{asked['organization']}/{asked['name']}"
            if repo not in self.server.repos:
                self.server.commit(repo, {".gitattributes": b""})
                self.answer(200, {"url": f"{self.server.url}/{repo}"})
            else:
                self.answer(409, {"error": "it exists", "url": f"{self.server.url}/{repo}"})
        elif "/preupload/" in path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(content)["files"]
            ]
            self.answer(200, {"files": files})
        else:
            self.accept(path.removeprefix("/api/models/").split("/commit/")[0], content)

    def accept(self, repo: str, content: bytes) -> None:
        lines = [json.loads(line) for line in content.splitlines()]
        if self.server.meanwhile:
            self.server.commit(repo, {"other.txt": b"somebody else's"})
        if lines[0]["value"]["parentCommit"] != self.server.repos[repo][-1][0]:
            return self.answer(412, {"error": "a commit has happened since"})
        files = {e["value"]["path"]: base64.b64decode(e["value"]["content"]) for e in lines[1:]}
        identity = self.server.commit(repo, files)
        return self.answer(200, {"commitUrl": f"{self.server.url}/{repo}/commit/{identity}", "commitOid": identity})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.refused():
            return
        path = unquote(urlsplit(self.path).path)
        parts = path.removeprefix("/api/models").strip("/").split("/")
        repo, kind, rest = "/".join(parts[:2]), *(parts[2:3] or ["revision"]), parts[3:]
        if repo not in self.server.repos:
            return self.answer(404, {"error": "none"}, X_Error_Code="RepoNotFound")
        found = self.server.at(repo, rest[0] if rest else "main")
        if found is None:
            return self.answer(404, {"error": "none"}, X_Error_Code="RevisionNotFound")
        commit, files = found
        if kind == "revision":
            return self.answer(200, {"id": repo, "sha": commit, "private": False, "tags": [], "siblings": []})
        if kind == "tree":
            deep = "recursive=True" in self.path or "recursive=true" in self.path
            shown = {name: content for name, content in files.items() if deep or "/" not in name.removeprefix("../")}
            entries = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in shown.items()
            ]
            return self.answer(200, entries)
        name = "/".join(rest[1:])
        if self.command == "GET":
            self.server.downloaded.append(name)
        tag = hashlib.sha1(files[name]).hexdigest()
        return self.answer(200, files[name], ETag=f'"{tag}"', X_Repo_Commit=commit)
