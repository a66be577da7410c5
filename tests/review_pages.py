"""Run the review page in a thread, and talk to it as a browser does."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.framing import Aspect, Framing
from shotcrop_cli.review.server import ReviewServer, ServerOptions, review_server
from shotcrop_cli.shots import ShotType

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "photos"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SETTINGS = CropSettings(framing=Framing(aspects=((ShotType.CLOSE_UP, Aspect(4, 5)),)))


@dataclass(frozen=True)
class Library:
    """Photos and the output folder of their crops."""

    photos: Path
    shots: Path

    def sidecar(self, name: str) -> Path:
        return self.shots / f"{name}.json"

    def record(self, name: str) -> dict[str, Any]:
        return json.loads(self.sidecar(name).read_bytes())

    def shot(self, name: str, key: str) -> dict[str, Any]:
        return next(shot for shot in self.record(name)["shots"] if shot["shot"] == key)

    def edit(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit a sidecar as a person does."""
        record = self.record(name)
        change(record)
        self.sidecar(name).write_text(json.dumps(record, indent=2))


@dataclass
class Running:
    """A server that runs in a thread."""

    server: ReviewServer
    thread: threading.Thread

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def base(self) -> str:
        return self.address.partition("/?")[0]

    @property
    def port(self) -> int:
        return int(urlsplit(self.address).port or 0)

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).query)["token"][0]

    def request(
        self, method: str, path: str, body: bytes | None = None, **changes: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request as the page does, but for changes of its headers; None removes one."""
        access = self.server.review.access
        headers: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.port}",
            "Cookie": f"{access.cookie}={access.session}",
        }
        if method == "POST":
            headers |= {"Content-Type": "application/json", "X-Shotcrop-CSRF": access.csrf, "Origin": self.base}
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Return the JSON at an address."""
        status, _, content = self.request("GET", path)
        assert status == 200, content
        return json.loads(content)

    def post(self, path: str, content: object) -> tuple[int, Any]:
        status, _, answer = self.request("POST", path, json.dumps(content).encode())
        return status, json.loads(answer)

    def photo(self, name: str) -> dict[str, Any]:
        """Return the state of a photo."""
        rows = self.get("/api/list?limit=200&sort=name")["rows"]
        (row,) = [row for row in rows if row["name"] == name]
        return self.get(f"/api/photo/{row['id']}")["state"]

    def wait_for_crops(self) -> None:
        recropper = self.server.review.recropper
        assert recropper is not None
        until(lambda: recropper.waiting == 0)

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(20)


def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.02)


@contextmanager
def running(options: ServerOptions) -> Iterator[Running]:
    """Run a server whose index is complete."""
    with review_server(options) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            until(lambda: server.review.index.progress.complete)
            yield Running(server, thread)
        finally:
            server.stop()
            thread.join(20)
            if server.review.recropper is not None:
                server.review.recropper.finish(20)
            server.review.index.close()


def edit_of(state: dict[str, Any]) -> dict[str, Any]:
    """Return what the page sends to save a photo as it is."""
    names = ("key", "box", "caption", "alt_text", "edited", "rejected")
    shots = [{name: shot[name] for name in names} for shot in state["shots"]]
    return {"fingerprint": state["fingerprint"], "rejected": state["rejected"], "shots": shots}
