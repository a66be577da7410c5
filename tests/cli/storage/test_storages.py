"""What storages have in common, on a local folder, on S3 and in memory."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from object_store import ObjectStore
from shotcrop_cli.errors import LockedError, ShotcropError
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.storage import lease
from shotcrop_cli.storage.interface import ABSENT, MTIME_KEY, Changed, Storage, StorageError
from shotcrop_cli.storage.location import UrlPath, is_url, open_storage, place
from shotcrop_cli.storage.redact import redact


@pytest.fixture(params=["local", "s3", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        folder = tmp_path / "out"
        folder.mkdir()
        yield open_storage(folder)
    elif request.param == "s3":
        request.getfixturevalue("store")
        yield open_storage("s3://shots/some/folder")
    else:
        pytest.importorskip("fsspec")
        yield open_storage(f"memory://{uuid.uuid4().hex}/folder")


def test_what_is_written_is_read_and_listed(storage: Storage) -> None:
    storage.write("b/c.txt", b"2")
    storage.write("a.txt", b"1", ABSENT)
    assert [(entry.name, entry.size_bytes) for entry in storage.list()] == [("a.txt", 1), ("b/c.txt", 1)]
    assert [entry.name for entry in storage.list(start="a.txt0")] == ["b/c.txt"]
    assert [entry.name for entry in storage.list(start="a.txt")] == ["a.txt", "b/c.txt"]
    assert [entry.name for entry in storage.list(below="b")] == ["b/c.txt"]
    content, entry = storage.read("a.txt"), storage.stat("a.txt")
    assert content.data == b"1" and entry is not None and entry.tag == content.tag
    assert storage.stat("b") is None and storage.stat("none") is None
    with pytest.raises(FileNotFoundError):
        storage.read("none")
    storage.delete("a.txt")
    storage.delete("a.txt")
    assert storage.stat("a.txt") is None


def test_conditions_hold(storage: Storage) -> None:
    first = storage.write("a", b"1", ABSENT)
    with pytest.raises(Changed):
        storage.write("a", b"2", ABSENT)
    second = storage.write("a", b"22", first)
    with pytest.raises(Changed):
        storage.write("a", b"333", first)
    with pytest.raises(Changed):
        storage.write("none", b"3", second)
    assert storage.read("a").data == b"22"


@pytest.mark.parametrize("storage", ["local", "s3"], indirect=True)
def test_tags_and_times_are_kept(storage: Storage) -> None:
    tag = storage.write("a", b"1", ABSENT, {MTIME_KEY: "1700000000.123456789"})
    assert storage.read("a", tag).metadata[MTIME_KEY] == "1700000000.123456789"
    with pytest.raises(Changed):
        storage.read("a", "another")


def test_a_large_object_is_written_in_parts(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from shotcrop_cli.storage import s3

    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 12 << 20)
    storage, data = open_storage("s3://shots/large"), os.urandom(13 << 20)
    tag = storage.write("a", data, ABSENT, {MTIME_KEY: "1.5"})
    content = storage.read("a", tag)
    assert content.data == data and content.metadata[MTIME_KEY] == "1.5"
    assert any("uploadId" in path for _, path in store.requests)
    with pytest.raises(Changed):
        storage.write("a", data, ABSENT)
    with pytest.raises(Changed):
        storage.write("a", data, "another")
    uploads = store.client().list_multipart_uploads(Bucket="shots")
    assert not uploads.get("Uploads")


@pytest.mark.parametrize("storage", ["s3", "memory"], indirect=True)
def test_a_lease_excludes_other_runs(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    with storage.hold(0, lambda: None, None) as check:
        check()
        for shard in (None, Shard(1, 2)):
            with pytest.raises(LockedError, match="another run is still using"), storage.hold(0, list, shard):
                pass
        with pytest.raises(LockedError), storage.hold(0.3, lambda: waited.append(1), None):
            pass
    assert waited == [1]
    with storage.hold(0, list, Shard(1, 2)), storage.hold(0, list, Shard(2, 2)):
        for shard in (None, Shard(1, 2), Shard(1, 3)):
            with pytest.raises(LockedError), storage.hold(0, list, shard):
                pass
    with storage.hold(0, list, None):
        pass
    assert storage.stat(LOCK_NAME) is not None


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_the_lease_of_a_killed_run_is_taken_over(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, process = lease._machine(), lease._process(str(os.getpid()))
    assert machine and process
    dead = lease._Holder("run", machine, f"{process.partition(' ')[0]} 1")  # the number is that of a new process
    storage.write(LOCK_NAME, dead.to_bytes())
    with storage.hold(0, list, None):
        pass
    elsewhere = lease._Holder("run", "another machine", "1 1")
    storage.write(LOCK_NAME, elsewhere.to_bytes())
    with pytest.raises(LockedError, match="its lease ends in 1"), storage.hold(0, list, None):
        pass
    monkeypatch.setattr(lease, "TTL_SECONDS", 0.0)
    with storage.hold(0, list, None):
        pass


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_a_lease_is_held_even_if_the_answer_was_lost(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    write = storage.write

    def written_twice(name: str, *given: object) -> str:
        write(name, *given)  # type: ignore[arg-type]
        return write(name, *given)  # type: ignore[arg-type]

    for _ in range(2):  # without a lease, and with a free one
        with monkeypatch.context() as patch:
            patch.setattr(storage, "write", written_twice)
            holding = storage.hold(0, list, None)
            check = holding.__enter__()
        check()
        with pytest.raises(LockedError), storage.hold(0, list, None):
            pass
        holding.__exit__(None, None, None)


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_a_run_that_lost_its_lease_stops_writing(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.05)
    with storage.hold(0, list, None) as check:
        check()
        storage.write(LOCK_NAME, lease._Holder("thief", "m", "1 1").to_bytes())
        for _ in range(200):
            try:
                check()
            except StorageError as error:
                assert "another run has taken over this output" in str(error)
                break
            lease.time.sleep(0.02)
        else:
            pytest.fail("the run did not notice")
    assert b"thief" in storage.read(LOCK_NAME).data


def test_a_listing_takes_the_memory_of_one_page(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages are made here, because a real server takes minutes to store so many objects."""
    storage, moment = open_storage("s3://shots/many"), datetime.now(timezone.utc)

    def peak(total: int) -> int:
        class Pages:
            def call_s3(self, _method: str, ContinuationToken: str = "0", **_given: str) -> dict[str, object]:
                first = int(ContinuationToken)
                keys = [f"many/{number:08}.jpg" for number in range(first, first + 1_000)]
                contents = [{"Key": key, "Size": 1, "ETag": f'"{key}"', "LastModified": moment} for key in keys]
                is_last = first + 1_000 >= total
                return {"Contents": contents, "IsTruncated": not is_last, "NextContinuationToken": str(first + 1_000)}

        monkeypatch.setattr(storage, "_files", Pages())
        gc.collect()
        tracemalloc.start()
        try:
            assert sum(1 for _ in storage.list()) == total
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1_000)
    assert peak(30_000) < 1.5 * peak(3_000) < 6_000_000


class _Refusing(BaseHTTPRequestHandler):
    """Answers every request as Google does if the credentials are wrong."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b'{"error": {"code": 401, "message": "no"}}')

    def log_message(self, *_arguments: object) -> None:
        pass


def test_errors_of_google_cloud_storage_take_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("gcsfs", reason="the package gcsfs is not installed")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(StorageError, match="access denied"):
            list(open_storage("gs://photos/x").list())
        server.shutdown()
    assert not caplog.records


def test_urls_keep_their_form() -> None:
    assert str(place("s3a://bucket//a/b/")) == "s3://bucket/a/b"
    assert str(place("gcs://bucket")) == "gs://bucket"
    path = place(Path("s3://bucket/a"))
    assert isinstance(path, UrlPath) and str(path / "b.jpg") == "s3://bucket/a/b.jpg"
    assert os.fspath(path.parent) == "s3://bucket" and os.fsencode(path) == b"s3://bucket/a"
    assert place("file:///tmp/a") == Path("/tmp/a") and not is_url("/tmp/s3://a") and not is_url("C:/x")


@pytest.mark.parametrize("url", ["ftp://a/b", "s3://", "s3:///", "s3://key:hush@bucket/a", "s3://bucket/../a"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ShotcropError) as caught:
        is_url(url)
    assert caught.value.hint and "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://x.blob.core.windows.net/a?sv=2024&sig=S3cr3tS3cr3t%3D&se=1",
        "https://b.s3.amazonaws.com/a?X-Amz-Credential=S3cr3tS3cr3t&X-Amz-Signature=S3cr3tS3cr3t",
        "AccountKey=S3cr3tS3cr3t;EndpointSuffix=x",
        "Authorization: Bearer S3cr3tS3cr3t",
        "s3://user:S3cr3tS3cr3t@bucket/a",
        "the key is S3cr3tS3cr3t",
        "AKIAS3CR3TS3CR3T0000 does not exist",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    shown = redact(text, {"AWS_SECRET_ACCESS_KEY": "S3cr3tS3cr3t", "HOME": "bucket"})
    assert "s3cr3t" not in shown.lower()


def test_other_words_are_shown() -> None:
    text = "s3://bucket/a.jpg: access denied (signed in as ana, token bucket full)"
    assert redact(text, {"AWS_PROFILE": "bucket", "SOME_TOKEN": "a"}) == text
