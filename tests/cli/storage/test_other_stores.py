"""Google Cloud Storage and Azure, at servers that speak their languages."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, picture, write_photo
from shotcrop_cli import CropOptions, RunResult, crop_photos
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import ExitCode, LockedError
from shotcrop_cli.library.hand_work import Allowed
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.results import PhotoStatus
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.main import cli
from shotcrop_cli.storage.interface import ABSENT, ANY, MTIME_KEY, PHOTO_TAG_KEY, Changed, Storage, StorageError
from shotcrop_cli.storage.location import open_storage

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def storage(emulator: str, folder: str) -> Storage:
    return open_storage(f"{emulator}://shots/{folder}")


def test_objects_are_listed_read_and_deleted(storage: Storage) -> None:
    storage.write("b/c ä+%.txt", b"2")
    first = storage.write("a.txt", b"1", ABSENT, {MTIME_KEY: "1700000000.123456789", PHOTO_TAG_KEY: "x"})
    assert [(entry.name, entry.size_bytes) for entry in storage.list()] == [("a.txt", 1), ("b/c ä+%.txt", 1)]
    assert [entry.name for entry in storage.list(start="a.txt0")] == ["b/c ä+%.txt"]
    assert [entry.name for entry in storage.list(below="a")] == ["a.txt"]
    content, entry = storage.read("a.txt", first), storage.stat("a.txt")
    assert content.data == b"1" and entry is not None and entry.tag == content.tag == first
    assert content.metadata == {MTIME_KEY: "1700000000.123456789", PHOTO_TAG_KEY: "x"}
    with pytest.raises(FileNotFoundError):
        storage.read("none")
    storage.delete("a.txt")
    storage.delete("a.txt")
    assert storage.stat("a.txt") is None


def test_every_write_and_read_can_be_conditional(storage: Storage) -> None:
    first = storage.write("a", b"1", ABSENT)
    for tag in (ABSENT, "1"):
        with pytest.raises(Changed):
            storage.write("a", b"2", tag)
    second = storage.write("a", b"22", first)
    with pytest.raises(Changed):
        storage.write("a", b"333", first)
    with pytest.raises(Changed):
        storage.write("none", b"3", second)
    with pytest.raises(Changed):
        storage.read("a", first)
    assert storage.read("a", second).data == b"22"
    storage.write("a", b"4", ANY)


def test_a_listing_has_pages(storage: Storage, emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"shotcrop_cli.storage.{'gcs' if emulator == 'gs' else 'azure'}._PAGE", 3)
    names = [f"{number:02}" for number in range(10)]
    for name in names:
        storage.write(name, b"")
    assert [entry.name for entry in storage.list()] == names
    assert [entry.name for entry in storage.list(start="04")] == names[4:]


@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")  # by the client of Azure
def test_large_objects_are_written_in_parts(storage: Storage, emulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(70 << 20)  # the client of Azure has parts from 64 MiB on
    tag = storage.write("large", data, ABSENT, {MTIME_KEY: "1.5"})
    content = storage.read("large", tag)
    assert content.data == data and content.metadata == {MTIME_KEY: "1.5"}
    if emulator == "az":  # fake-gcs-server has no conditions for uploads in parts
        with pytest.raises(Changed):
            storage.write("large", data, ABSENT)


def test_a_lease_excludes_other_runs(storage: Storage) -> None:
    with storage.hold(0, lambda: None, None) as check:
        check()
        for shard in (None, Shard(1, 2)):
            with pytest.raises(LockedError), storage.hold(0, list, shard):
                pass
    with storage.hold(0, list, Shard(1, 2)), storage.hold(0, list, Shard(2, 2)), pytest.raises(LockedError):
        storage.hold(0, list, None).__enter__()
    assert storage.stat(LOCK_NAME) is not None


def test_missing_buckets_are_named(emulator: str) -> None:
    nowhere = open_storage(f"{emulator}://nowhere/at/all")
    for work in (lambda: list(nowhere.list()), lambda: nowhere.write("a", b"", ABSENT)):
        with pytest.raises(StorageError, match="there is no such"):
            work()


@pytest.fixture
def urls(emulator: str, folder: str, photos: Path, composer: FakeComposer) -> tuple[str, str]:
    storage = open_storage(f"{emulator}://photos/{folder}")
    for number in range(4):
        path = write_photo(photos / f"{number % 2}" / f"IMG_{number}.jpg", picture(120 + number, 90))
        storage.write(path.relative_to(photos).as_posix(), path.read_bytes())
    return storage.url, f"{emulator}://shots/{folder}"


def _crop(photos: object, output: object, **options: object) -> RunResult:
    return crop_photos(CropOptions(photos, output, reproducible=True, workers=2, **options))  # type: ignore[arg-type]


def _tree(url: str) -> dict[str, bytes]:
    storage = open_storage(url)
    return {entry.name: storage.read(entry.name).data for entry in storage.list() if LOCK_NAME not in entry.name}


def _comparable(name: str, data: bytes, photos: str) -> object:
    if not name.endswith(".json"):
        return data
    document = json.loads(data)
    document["source"]["path"] = document["source"]["path"].removeprefix(photos)
    document["source"]["mtime"] = ""
    return document


def test_a_library_is_cropped_resumed_and_applied(urls: tuple[str, str], photos: Path, output: Path) -> None:
    source, shots = urls
    _crop(photos, output)
    assert _crop(source, shots, limit=2).counts[PhotoStatus.DONE] == 2
    rest = _crop(source, shots)
    assert rest.counts == {PhotoStatus.UNCHANGED: 2, PhotoStatus.DONE: 2}
    assert _crop(source, shots).counts == {PhotoStatus.UNCHANGED: 4}
    local = {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    tree = {name: data for name, data in _tree(shots).items() if not name.startswith(".")}
    assert tree.keys() == {name for name in local if not name.startswith(".shotcrop")}
    for name, data in tree.items():
        assert _comparable(name, data, source) == _comparable(name, local[name], str(photos))
    storage = open_storage(shots)
    content = storage.read("0/IMG_0.jpg.json")
    document = json.loads(content.data)
    document["shots"][1]["box"] = {"x": 5, "y": 6, "width": 40, "height": 30}
    storage.write("0/IMG_0.jpg.json", json.dumps(document).encode(), content.tag)
    result = CliRunner().invoke(cli, ["apply", shots, "--json"])
    assert result.exit_code == ExitCode.OK, result.stderr
    assert [json.loads(line)["source"] for line in result.stdout.splitlines()] == [f"{source}/0/IMG_0.jpg"]
    assert json.loads(_tree(shots)["0/IMG_0.jpg.json"])["shots"][1]["size"] == {"width": 40, "height": 30}
    assert _crop(source, shots).counts == {PhotoStatus.UNCHANGED: 4}


def test_what_changes_and_what_people_changed_is_treated_as_on_a_disk(urls: tuple[str, str], photos: Path) -> None:
    source, shots = urls
    _crop(source, shots)
    open_storage(shots).write("0/IMG_0.jpg.medium.jpg", b"retouched")
    changed = write_photo(photos / "new.jpg", picture(140, 90).transpose(0))
    open_storage(source).write("1/IMG_1.jpg", changed.read_bytes())
    assert _crop(source, shots).counts == {PhotoStatus.UNCHANGED: 3, PhotoStatus.DONE: 1}
    again = _crop(source, shots, settings=CropSettings(quality=60), allowed=Allowed(overwrite_edited=True))
    assert [str(path) for photo in again.photos for path in photo.backups] == [f"{shots}/0/IMG_0.jpg.medium.jpg.bak"]
    assert _tree(shots)["0/IMG_0.jpg.medium.jpg.bak"] == b"retouched"


def test_shards_share_an_output(urls: tuple[str, str]) -> None:
    source, shots = urls
    parts = [_crop(source, shots, shard=Shard(number, 2)) for number in (1, 2)]
    assert sum(part.counts.get(PhotoStatus.DONE, 0) for part in parts) == 4
    assert _crop(source, shots).counts == {PhotoStatus.UNCHANGED: 4}


def test_wrong_credentials_end_the_run_without_a_secret(
    emulator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if emulator == "gs":
        pytest.skip("fake-gcs-server takes any credentials")
    secret = "c2VjcmV0LXRoYXQtbm8tbWVzc2FnZS1tYXktc2hvdw=="
    before = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    start, _, end = before.partition("AccountKey=")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"{start}AccountKey={secret};{end.partition(';')[2]}")
    import adlfs

    adlfs.AzureBlobFileSystem.clear_instance_cache()
    result = CliRunner().invoke(cli, ["crop", "az://photos/x", "-o", str(tmp_path / "out"), "-v"])
    adlfs.AzureBlobFileSystem.clear_instance_cache()
    assert result.exit_code == ExitCode.OUTPUT, result.output
    assert "access denied" in result.stderr and secret not in result.output
