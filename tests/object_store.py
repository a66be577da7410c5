"""A real S3 server on localhost, from the package moto, that counts requests and fails on demand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SECRET = "a-secret-that-no-message-may-show"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}

Fault = Callable[[str, str, int], "tuple[int, str] | None"]
"""Gets method, path and number of a request. Returns the HTTP status and the code of an error, or None to serve it."""


@dataclass
class ObjectStore:
    """A server.

    Args:
        url: Where it listens.
        requests: Method and path of every request so far.
        headers: The conditions of every request so far.
        fault: Decides which requests fail.
    """

    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    fault: Fault = lambda _method, _path, _number: None
    _client: Any = None

    def kinds(self) -> Counter[str]:
        """Count requests: LIST, HEAD, GET, PUT, DELETE."""
        return Counter("LIST" if "list-type=2" in path else method for method, path in self.requests)

    def forget(self) -> None:
        self.requests.clear()
        self.conditions.clear()

    def client(self) -> Any:
        import botocore.session

        if self._client is None:  # making one takes longer than most requests
            self._client = botocore.session.Session().create_client("s3", endpoint_url=self.url)
        return self._client

    def keys(self, bucket: str) -> list[str]:
        return sorted(_backend().buckets[bucket].keys, key=str.encode)

    def tree(self, bucket: str, folder: str = "") -> dict[str, bytes]:
        """Return the objects of a folder, but for the lease."""
        start, found = f"{folder}/" if folder else "", _backend().buckets[bucket].keys
        names = [name for name in self.keys(bucket) if name.startswith(start) and ".shotcrop.lock" not in name]
        return {name.removeprefix(start): found[name].value for name in names}

    def upload(self, folder: Path, bucket: str, prefix: str = "") -> None:
        start = f"{prefix}/" if prefix else ""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                _backend().put_object(bucket, start + path.relative_to(folder).as_posix(), path.read_bytes())

    def clear(self, bucket: str) -> None:
        """Make a bucket if there is none, and delete what is in it."""
        if bucket not in _backend().buckets:
            _backend().create_bucket(bucket, ENVIRONMENT["AWS_DEFAULT_REGION"])
        for name in self.keys(bucket):
            _backend().delete_object(bucket, name)


def _backend() -> Any:
    """Return where moto keeps objects. That takes a fraction of the time of a request, and is not counted as one."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


@contextmanager
def running_store() -> Iterator[ObjectStore]:
    """Serve S3 in threads of this process."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    store, application = ObjectStore(), create_backend_app("s3")

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_arguments: object, **_more: object) -> None:
            pass

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        query = environ.get("QUERY_STRING", "")
        store.requests.append((method, f"{path}?{query}" if query else path))
        for name in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"):
            if name in environ:
                store.conditions.append(f"{method} {path} {name[5:]}")
        if (failure := store.fault(method, path, len(store.requests))) is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, code = failure
            body = f"<Error><Code>{code}</Code><Message>no: {SECRET}</Message></Error>".encode()
            start_response(f"{status} Failed", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
            return [body]
        return application(environ, start_response)  # type: ignore[no-any-return]

    server = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def server() -> Iterator[ObjectStore]:
    """Return a server for all tests."""
    pytest.importorskip("moto.server", reason="the package moto is not installed")
    pytest.importorskip("s3fs", reason="the package s3fs is not installed")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with running_store() as store:
        yield store
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def store(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """Return the server with the empty buckets `photos` and `shots`, which every client of this test finds."""
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    server.fault = lambda _method, _path, _number: None
    for bucket in ("photos", "shots"):
        server.clear(bucket)
    server.forget()
    return server
