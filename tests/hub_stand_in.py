"""A stand-in for the HTTP interface of the Hugging Face hub: it keeps repositories in memory, on this machine.

It answers what `huggingface_hub` asks to create a repository, to commit small files, to download a revision, and to
read parts of files. It can break off while it sends a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import HfFileSystem, constants

TOKEN = "hf_stand_in"


@dataclass
class Hub:
    """The hub.

    Args:
        address: Where it listens, for `HF_ENDPOINT`.
        revisions: Files of each revision of each repository, such as `models/org/name`, the newest last.
        tags: Names of revisions.
        asked: What was asked for.
        gated: Repositories whose terms nobody has accepted.
        cut: Files that break off after this many bytes, once.
    """

    address: str = ""
    revisions: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    tags: dict[tuple[str, str], int] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    gated: set[str] = field(default_factory=set)
    cut: dict[str, int] = field(default_factory=dict)

    def add(self, repository: str, folder: Path) -> str:
        """Commit the files of a folder and return the commit."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        commits = self.revisions.setdefault(repository, [])
        commits.append(files)
        return commit_of(repository, len(commits) - 1)

    def use(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        """Let `huggingface_hub` in this process ask this hub, and download into a folder."""
        patch.setattr(constants, "ENDPOINT", self.address)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", self.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_CACHE", str(home))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        HfFileSystem.clear_instance_cache()

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

    def _missing(self, what: str = "Repo") -> None:
        self._send(b"{}", 404, X_Error_Code=f"{what}NotFound", Content_Type="application/json")

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
            return self._missing("Revision" if self.hub.revisions.get(f"{kind}/{organisation}/{name}") else "Repo")
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
        if f"{kind}/{organisation}/{name}" in self.hub.gated:
            return self._send(b"{}", 403, X_Error_Code="GatedRepo")
        content = found[1]["/".join(path)]
        about = {"ETag": f'"{_sha(content)}"', "X_Repo_Commit": found[0], "Accept_Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or len(content) - 1)) if asked else (0, len(content) - 1)
        if asked:
            about["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        if self.command == "GET" and "/".join(path) in self.hub.cut:
            sent = self.hub.cut.pop("/".join(path))
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part[:sent])
            return None
        self._send(part, 206 if asked else 200, **about)
        return None

    def do_POST(self) -> None:
        steps = self._steps()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
        if "paths-info" in steps:
            found = self.hub.files("/".join(steps[1:4]), steps[5])
            paths = parse_qs(body.decode())["paths"]
            known = found[1] if found else {}
            self._json(
                [
                    {"type": "file", "path": path, "size": len(known[path]), "oid": _sha(known[path])}
                    for path in paths
                    if path in known
                ]
            )
        elif steps == ["api", "repos", "create"]:
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
