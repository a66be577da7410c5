"""A stand-in for the HTTP interface of the Hugging Face hub: it keeps repositories in memory, on this machine.

It answers what `huggingface_hub` asks to create a repository, to commit small files, and to download a revision.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_stand_in"


@dataclass
class Hub:
    """The hub.

    Args:
        address: Where it listens, for `HF_ENDPOINT`.
        revisions: Files of each revision of each repository, such as `models/org/name`, the newest last.
        tags: Names of revisions.
        asked: What was asked for.
    """

    address: str = ""
    revisions: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    tags: dict[tuple[str, str], int] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def files(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit and the files of a revision."""
        commits = self.revisions.get(repository)
        if not commits:
            return None
        names = {commit_of(repository, number): number for number in range(len(commits))}
        names |= {name: number for (where, name), number in self.tags.items() if where == repository}
        number = names.get(revision, len(commits) - 1 if revision == "main" else None)
        return None if number is None else (commit_of(repository, number), commits[number])


def commit_of(repository: str, number: int) -> str:
    return hashlib.sha1(f"{repository} {number}".encode()).hexdigest()


@contextmanager
def running() -> Iterator[Hub]:
    """Run a hub on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def _send(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(json.dumps(content).encode(), status, Content_Type="application/json")

    def _missing(self) -> None:
        self._send(b"{}", 404, X_Error_Code="RepoNotFound", Content_Type="application/json")

    def _steps(self) -> list[str]:
        self.hub.asked.append(f"{self.command} {self.path}")
        return [unquote(step) for step in urlsplit(self.path).path.strip("/").split("/")]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        steps = self._steps()
        if steps == ["api", "whoami-v2"]:
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            self._json({"type": "user", "name": "org", "orgs": []} if known else {}, 200 if known else 401)
        elif steps[0] == "api":
            self._info(steps[1:])
        else:
            self._file(steps)

    def _info(self, steps: list[str]) -> None:
        if len(steps) < 3:
            return self._missing()
        kind, organisation, name = steps[:3]
        revision = steps[4] if len(steps) > 4 else "main"
        found = self.hub.files(f"{kind}/{organisation}/{name}", revision)
        if found is None:
            return self._missing()
        commit, files = found
        if len(steps) > 3 and steps[3] == "tree":
            entries = [
                {"type": "file", "path": path, "size": len(one), "oid": _sha(one)} for path, one in files.items()
            ]
            return self._json(entries)
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
        private = f"{kind}/{organisation}/{name}" in self.hub.private
        self._json(
            {"id": f"{organisation}/{name}", "sha": commit, "siblings": siblings, "private": private, "tags": []}
        )

    def _file(self, steps: list[str]) -> None:
        kind = "datasets" if steps[0] == "datasets" else "models"
        steps = steps[1:] if kind == "datasets" else steps
        organisation, name, _, revision, *path = steps
        found = self.hub.files(f"{kind}/{organisation}/{name}", revision)
        if found is None or "/".join(path) not in found[1]:
            return self._missing()
        content = found[1]["/".join(path)]
        self._send(content, ETag=f'"{_sha(content)}"', X_Repo_Commit=found[0], Accept_Ranges="bytes")

    def do_POST(self) -> None:
        steps = self._steps()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
        if steps == ["api", "repos", "create"]:
            asked = json.loads(body)
            repository = f"{asked.get('type') or 'model'}s/{asked['organization']}/{asked['name']}"
            self.hub.revisions.setdefault(repository, [])
            if asked.get("private") or asked.get("visibility") == "private":
                self.hub.private.add(repository)
            self._json({"url": f"{self.hub.address}/{asked['organization']}/{asked['name']}", "id": repository})
        elif steps[-1] == "validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "preupload" in steps:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for one in json.loads(body)["files"]
            ]
            self._json({"files": files})
        elif "commit" in steps:
            self._commit("/".join(steps[1:4]), body)
        else:
            self._missing()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().strip(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _commit(self, repository: str, body: bytes) -> None:
        commits = self.hub.revisions[repository]
        files = dict(commits[-1]) if commits else {}
        for line in map(json.loads, body.decode().splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commits.append(files)
        commit = commit_of(repository, len(commits) - 1)
        address = f"{self.hub.address}/{repository.removeprefix('models/')}/commit/{commit}"
        self._json({"commitUrl": address, "commitOid": commit, "success": True})


def _sha(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
