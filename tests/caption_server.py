"""A server on this machine that speaks the protocol of chat completions, and fails in the ways that servers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SHOTS = ("establishing", "medium", "close_up")
GOOD: dict[str, Any] = {
    "establishing": {"caption": "A person on a wide field", "alt_text": "A person is on a wide field in the sun."},
    "medium": {"caption": "They hold a camera", "alt_text": "The person is holding a camera with both hands."},
    "close_up": {"caption": "A smile in the light", "alt_text": "The face of the person with a smile."},
    "story": "From the field to the smile of the person with the camera.",
}
"""A good answer, in English."""
GERMAN: dict[str, Any] = {
    "establishing": {
        "caption": "Eine Person auf dem Feld",
        "alt_text": "Eine Person steht auf einem Feld.",
    },
    "medium": {"caption": "Sie hält die Kamera", "alt_text": "Die Person hält mit der Hand eine Kamera."},
    "close_up": {"caption": "Ein Lächeln im Licht", "alt_text": "Das Gesicht ist mit einem Lächeln im Licht."},
    "story": "Von dem Feld zu dem Lächeln der Person mit der Kamera.",
}


@dataclass(frozen=True)
class Reply:
    """What the server answers.

    Args:
        answer: The content of the message; an object is sent as JSON.
        status: The HTTP status.
        body: The whole body, instead of a chat completion.
        headers: More headers.
        delay: Seconds to wait first.
    """

    answer: Any = None
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass
class CaptionServer:
    """The running server: `reply` decides what it answers to each request, and `requests` keeps them."""

    url: str = ""
    reply: Callable[[int, dict[str, Any]], Reply] = lambda _number, _request: Reply(GOOD)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def host(self) -> str:
        return self.url.split("/")[2]


@contextmanager
def running() -> Iterator[CaptionServer]:
    """Run a server until the context ends."""
    server, lock, busy = CaptionServer(), threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(content)
            with lock:
                number = len(server.requests)
                server.requests.append(request)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.paths.append(self.path)
                busy[0] += 1
                server.most_at_once = max(server.most_at_once, busy[0])
            try:
                self._answer(server.reply(number, request))
            finally:
                with lock:
                    busy[0] -= 1

        def _answer(self, reply: Reply) -> None:
            time.sleep(reply.delay)
            text = reply.answer if isinstance(reply.answer, str) else json.dumps(reply.answer)
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            document = {"id": "1", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice]}
            body = json.dumps(document).encode() if reply.body is None else reply.body
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the client no longer waits

        def log_message(self, *_arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
