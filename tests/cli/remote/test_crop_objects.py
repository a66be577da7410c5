"""`shotcrop crop` from and to an S3 server."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, no_people, picture, write_photo
from object_store import SECRET, ObjectStore
from shotcrop_cli import CropOptions, RunResult, ShotcropError, crop_photos
from shotcrop_cli.crop_settings import CropSettings, XmpMode
from shotcrop_cli.errors import ExitCode, LockedError
from shotcrop_cli.library.hand_work import Allowed
from shotcrop_cli.library.name_template import NameTemplate
from shotcrop_cli.library.results import PhotoStatus
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.main import cli
from shotcrop_cli.ratio_sets import Ratio, RatioSet
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.subjects import Subjects

PHOTOS, SHOTS = "s3://photos/trip", "s3://shots/trip"
Trees = dict[str, bytes]


@pytest.fixture
def library(photos: Path, composer: FakeComposer, store: ObjectStore) -> Path:
    composer.answer = lambda image, aspect: (
        no_people(image, aspect) if aspect > 1.9 else FakeComposer().answer(image, aspect)
    )
    for number in range(6):
        write_photo(photos / f"{number % 2}" / f"IMG_{number:02}.jpg", picture(120 + number, 90))
    write_photo(photos / "no one.jpg", picture(160, 80))
    write_photo(photos / ".hidden.jpg")
    write_photo(photos / "@eaDir" / "thumb.jpg")
    (photos / "bad.png").write_bytes(b"no photo")
    (photos / "notes.txt").write_bytes(b"no photo by its name")
    store.upload(photos, "photos", "trip")
    store.forget()
    return photos


def _run(photos: object = PHOTOS, output: object = SHOTS, **options: object) -> RunResult:
    return crop_photos(CropOptions(photos, output, reproducible=True, workers=2, **options))  # type: ignore[arg-type]


def _comparable(tree: Trees, photos: str) -> Trees:
    """Return a tree without what has to differ: where the photos are, and their times."""
    same: Trees = {}
    for name, data in tree.items():
        if name == ".shotcrop.sources" or name.startswith(".shotcrop."):
            continue
        if name.endswith(".json"):
            document = json.loads(data)
            assert document["source"]["path"].startswith(f"{photos}/")
            document["source"]["path"] = document["source"]["path"].removeprefix(f"{photos}/")
            document["source"]["mtime"] = ""
            data = json.dumps(document).encode()
        same[name] = data
    return same


def _local_tree(folder: Path) -> Trees:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_objects_give_the_same_tree_as_local_files(library: Path, store: ObjectStore, output: Path) -> None:
    local, remote = _run(library, output), _run()
    assert remote.counts == local.counts == {PhotoStatus.DONE: 6, PhotoStatus.NO_SUBJECT: 1, PhotoStatus.FAILED: 1}
    assert _comparable(store.tree("shots", "trip"), PHOTOS) == _comparable(_local_tree(output), str(library))
    assert [str(photo.source) for photo in remote.failed] == [f"{PHOTOS}/bad.png"]
    assert remote.failed[0].reason == local.failed[0].reason
    done = next(photo for photo in remote.photos if str(photo.source) == f"{PHOTOS}/0/IMG_00.jpg")
    assert str(done.sidecar) == f"{SHOTS}/0/IMG_00.jpg.json"
    assert str(done.crops[0]) == f"{SHOTS}/0/IMG_00.jpg.establishing.jpg"


def test_ratio_sets_add_up_in_object_stores_too(library: Path, store: ObjectStore, output: Path) -> None:
    ratio = dict.fromkeys(SHOT_TYPES, Ratio.parse("9:16:18x32"))
    story = {
        "settings": CropSettings(sets=(RatioSet.of("story", ratio),)),
        "sets": ("story",),
        "subjects": Subjects(None),
    }
    for options in ({}, story):
        _run(library, output, **options)
        _run(**options)
    tree = store.tree("shots", "trip")
    assert len([name for name in tree if name.endswith(".medium-story.jpg")]) == 6
    assert _comparable(tree, PHOTOS) == _comparable(_local_tree(output), str(library))


@pytest.mark.parametrize("side", ["photos", "output"])
def test_one_side_may_be_local(library: Path, store: ObjectStore, output: Path, tmp_path: Path, side: str) -> None:
    _run(library, tmp_path / "whole")
    if side == "photos":
        _run(f"file://{library}", SHOTS)
        tree, photos = store.tree("shots", "trip"), str(library)
    else:
        _run(PHOTOS, output)
        tree, photos = _local_tree(output), PHOTOS
    assert _comparable(tree, photos) == _comparable(_local_tree(tmp_path / "whole"), str(library))


def test_each_new_photo_takes_five_requests_and_a_finished_one_takes_one(library: Path, store: ObjectStore) -> None:
    _run()
    by_object = Counter((method, path.partition("?")[0]) for method, path in store.requests)
    assert max(count for (_, path), count in by_object.items() if "IMG_" in path) == 1
    for number in range(6):
        named = Counter(method for method, path in store.requests if f"IMG_{number:02}" in path.partition("?")[0])
        assert named == {"GET": 1, "PUT": 4}
    no_one = Counter(method for method, path in store.requests if "no%20one" in path or "no one" in path)
    assert no_one == {"GET": 1, "PUT": 1}
    store.forget()
    assert _run().counts[PhotoStatus.UNCHANGED] == 7
    named = Counter(method for method, path in store.requests if "IMG_" in path.partition("?")[0])
    assert named == {"GET": 6}
    # Two listings for the lease, two for photos and crops, and because of the bad photo, which has no crops, three to
    # look for photos that are gone; the lease, the sources, the bad photo and seven sidecars.
    assert store.kinds() == {"LIST": 7, "GET": 1 + 1 + 1 + 7, "PUT": 2}
    store.client().delete_object(Bucket="photos", Key="trip/bad.png")
    store.forget()
    _run()
    assert store.kinds() == {"LIST": 4, "GET": 1 + 1 + 7, "PUT": 2}


def test_a_dry_run_costs_listings_only(library: Path, store: ObjectStore) -> None:
    planned = _run(dry_run=True)
    assert planned.counts == {PhotoStatus.PLANNED: 8}
    assert store.kinds() == {"LIST": 2}
    assert store.keys("shots") == []
    _run()
    store.forget()
    assert _run(dry_run=True).counts == {PhotoStatus.UNCHANGED: 7, PhotoStatus.PLANNED: 1}
    assert store.kinds() == {"LIST": 2}


def test_everything_is_written_under_a_condition_and_the_sidecar_last(library: Path, store: ObjectStore) -> None:
    _run()
    puts = [path for method, path in store.requests if method == "PUT"]
    assert len(store.conditions) == len(puts) + sum(method == "GET" and "/photos/" in p for method, p in store.requests)
    for number in range(6):
        own = [path for path in puts if f"IMG_{number:02}" in path]
        assert len(own) == 4 and own[-1].endswith(".json")
    assert not [key for key in store.keys("shots") if ".tmp" in key]


def test_a_photo_that_changed_is_cropped_again(library: Path, store: ObjectStore, composer: FakeComposer) -> None:
    _run()
    changed = picture(120, 90).transpose(0)
    path = write_photo(library / "0" / "IMG_00.jpg", changed)
    content = path.read_bytes()
    store.client().put_object(Bucket="photos", Key="trip/0/IMG_00.jpg", Body=content)
    assert _run().counts == {PhotoStatus.UNCHANGED: 6, PhotoStatus.DONE: 1, PhotoStatus.FAILED: 1}
    record = json.loads(store.tree("shots", "trip")["0/IMG_00.jpg.json"])
    assert record["source"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_another_content_of_the_same_size_and_time_shows_in_its_etag(
    library: Path, store: ObjectStore, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shotcrop_cli.storage.s3 import S3Storage

    found, moment = S3Storage._found, 1_700_000_000_000_000_000
    monkeypatch.setattr(S3Storage, "_found", lambda _self, *given: replace(found(*given), mtime_ns=moment))
    _run()
    data = bytearray((library / "0" / "IMG_00.jpg").read_bytes())
    data[-40] ^= 1
    store.client().put_object(Bucket="photos", Key="trip/0/IMG_00.jpg", Body=bytes(data))
    assert _run().counts[PhotoStatus.DONE] == 1
    assert _run().counts.get(PhotoStatus.DONE) is None


def test_a_photo_that_changes_during_the_run_fails(library: Path, store: ObjectStore) -> None:
    changed = []

    def change(method: str, path: str, _number: int) -> None:
        if method == "GET" and "IMG_" in path and not changed:
            changed.append(path)
            for number in range(1, 6):
                key = f"trip/{number % 2}/IMG_{number:02}.jpg"
                store.client().put_object(Bucket="photos", Key=key, Body=b"another one")

    store.fault = change
    result = _run()
    reasons = [photo.reason for photo in result.failed if "IMG_" in photo.source.name]
    assert reasons and all(reason == "the photo changed during the run. Fix: run again" for reason in reasons)


def test_work_by_hand_stays(library: Path, store: ObjectStore) -> None:
    _run()
    client = store.client()
    client.put_object(Bucket="shots", Key="trip/0/IMG_00.jpg.medium.jpg", Body=b"retouched")
    client.delete_object(Bucket="shots", Key="trip/1/IMG_01.jpg.medium.jpg")
    sidecar = json.loads(store.tree("shots", "trip")["0/IMG_02.jpg.json"])
    sidecar["shots"][0] |= {"edited": True, "caption": "my words"}
    client.put_object(Bucket="shots", Key="trip/0/IMG_02.jpg.json", Body=json.dumps(sidecar).encode())
    result = _run(settings=CropSettings(quality=60))
    tree = store.tree("shots", "trip")
    assert tree["0/IMG_00.jpg.medium.jpg"] == b"retouched" and "1/IMG_01.jpg.medium.jpg" not in tree
    assert [str(path) for photo in result.kept for path in photo.kept] == [f"{SHOTS}/0/IMG_00.jpg.medium.jpg"]
    assert result.rejected == 1
    assert result.changes == {"quality same to 60": result.counts[PhotoStatus.DONE]}
    assert json.loads(tree["0/IMG_02.jpg.json"])["shots"][0]["caption"] == "my words"
    backed_up = _run(settings=CropSettings(quality=50), allowed=Allowed(overwrite_edited=True))
    tree = store.tree("shots", "trip")
    assert tree["0/IMG_00.jpg.medium.jpg.bak"] == b"retouched" and tree["0/IMG_00.jpg.medium.jpg"][:2] == b"\xff\xd8"
    names = [str(path) for photo in backed_up.photos for path in photo.backups]
    assert names == [f"{SHOTS}/0/IMG_00.jpg.medium.jpg.bak"]


@pytest.mark.parametrize("left", [1, 3, 6])
def test_a_run_that_breaks_off_at_any_write_is_continued(
    library: Path, store: ObjectStore, tmp_path: Path, left: int
) -> None:
    _run()
    whole = store.tree("shots", "trip")
    store.clear("shots")
    puts: list[str] = []

    def stop(method: str, path: str, _number: int) -> tuple[int, str] | None:
        if method == "PUT" and "IMG_" in path:
            puts.append(path)
            if len(puts) > left * 3:
                return 403, "ExpiredToken"
        return None

    store.fault = stop
    with pytest.raises(ShotcropError, match="access denied") as caught:
        _run()
    assert caught.value.exit_code is ExitCode.OUTPUT and SECRET not in str(caught.value)
    store.fault = lambda _method, _path, _number: None
    for name, data in store.tree("shots", "trip").items():
        assert data == whole[name]  # nothing is half written
    result = _run()
    assert not result.kept and store.tree("shots", "trip") == whole


def test_crops_that_change_replace_the_old_ones(library: Path, store: ObjectStore) -> None:
    _run()
    template = NameTemplate.parse("{stem}-{shot}.{ext}")
    result = _run(template=template, allowed=Allowed(replace=True), settings=CropSettings(xmp=XmpMode.SIDECAR))
    assert result.counts[PhotoStatus.DONE] == 6
    names = [name for name in store.tree("shots", "trip") if "IMG_00" in name]
    crops = [f"0/IMG_00-{shot}.jpg" for shot in ("close_up", "establishing", "medium")]
    assert sorted(names) == sorted(["0/IMG_00.jpg.json", *crops, *(f"{crop}.xmp" for crop in crops)])
    again = _run(template=template, settings=CropSettings(xmp=XmpMode.SIDECAR))
    assert again.counts == {PhotoStatus.UNCHANGED: 7, PhotoStatus.FAILED: 1}


def test_a_bucket_without_delete_rights_only_costs_a_warning(library: Path, store: ObjectStore) -> None:
    _run()
    store.fault = lambda method, _path, _number: (403, "AccessDenied") if method == "DELETE" else None
    arguments = ["crop", PHOTOS, "-o", SHOTS, "--name-template", "{stem}-{shot}.{ext}", "--replace"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == ExitCode.SOME_FAILED  # bad.png
    assert "18 objects could not be deleted, because access is denied, such as s3://shots/trip/" in result.stderr
    assert "0/IMG_00-medium.jpg" in store.tree("shots", "trip")


def test_a_photo_that_may_not_be_read_fails_alone(library: Path, store: ObjectStore) -> None:
    store.fault = lambda method, path, _number: (
        (403, "AccessDenied") if method == "GET" and path.endswith("IMG_03.jpg") else None
    )
    result = _run()
    (denied,) = (photo for photo in result.failed if photo.source.name == "IMG_03.jpg")
    assert denied.reason == "cannot be read: access denied. Fix: allow to read it"
    assert result.counts[PhotoStatus.DONE] == 5


def test_a_store_that_asks_to_slow_down_gets_the_same_requests_again(library: Path, store: ObjectStore) -> None:
    _run()
    whole = store.tree("shots", "trip")
    store.clear("shots")
    seen: Counter[tuple[str, str]] = Counter()

    def slow(method: str, path: str, _number: int) -> tuple[int, str] | None:
        seen[method, path] += 1
        return (503, "SlowDown") if seen[method, path] == 1 and ("IMG_0" in path or path == "/photos") else None

    store.fault = slow
    result = _run()
    store.fault = lambda _method, _path, _number: None
    assert result.counts == {PhotoStatus.DONE: 6, PhotoStatus.NO_SUBJECT: 1, PhotoStatus.FAILED: 1}
    assert store.tree("shots", "trip") == whole


def test_a_store_that_stays_busy_ends_the_run(
    library: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setattr("shotcrop_cli.storage.s3._ATTEMPTS", 1)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    store.fault = lambda method, _path, _number: (503, "SlowDown") if method == "PUT" else None
    result = CliRunner().invoke(cli, ["crop", PHOTOS, "-o", SHOTS])
    s3fs.S3FileSystem.clear_instance_cache()
    assert result.exit_code == ExitCode.OUTPUT, result.output
    assert "the store does not answer as it should" in result.stderr
    assert SECRET not in result.output
    store.fault = lambda _method, _path, _number: None
    assert _run().counts[PhotoStatus.DONE] == 6


def test_a_photo_that_only_the_listing_still_has_fails_alone(library: Path, store: ObjectStore) -> None:
    def remove(method: str, path: str, _number: int) -> None:
        if method == "GET" and "IMG_" in path and not removed:
            removed.append(path)
            store.client().delete_object(Bucket="photos", Key="trip/1/IMG_05.jpg")

    removed: list[str] = []
    store.fault = remove
    result = _run()
    assert result.counts[PhotoStatus.DONE] == 5
    assert {photo.source.name: photo.reason for photo in result.failed}["IMG_05.jpg"].startswith("cannot be read")


def test_a_write_whose_answer_was_lost_is_no_conflict(library: Path, store: ObjectStore) -> None:
    from shotcrop_cli.storage.s3 import S3Storage

    write, lost = S3Storage.write, []

    def written_twice(self: S3Storage, name: str, *given: object) -> str:
        if name.endswith("IMG_00.jpg.medium.jpg"):
            lost.append(write(self, name, *given))  # type: ignore[arg-type]
        return write(self, name, *given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Storage, "write", written_twice)
        result = _run()
    assert lost and result.counts[PhotoStatus.DONE] == 6


def test_an_old_listing_does_no_harm(library: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listing of the output may not show what was written a moment ago."""
    from shotcrop_cli.storage.s3 import S3Storage

    _run()
    whole, listed = store.tree("shots", "trip"), S3Storage.list

    def nothing(self: S3Storage, **given: str) -> object:
        return iter(()) if self.url == SHOTS and not given.get("below") else listed(self, **given)

    monkeypatch.setattr(S3Storage, "list", nothing)
    result = _run()
    assert store.tree("shots", "trip") == whole
    assert result.counts[PhotoStatus.DONE] == 6  # the same bytes were there already


def test_two_runs_never_work_on_one_output(library: Path, store: ObjectStore) -> None:
    second: list[BaseException | RunResult] = []

    def begin(method: str, path: str, _number: int) -> None:
        if method == "PUT" and "IMG_" in path and not second:
            second.append(LockedError("running"))
            try:
                _run()
            except LockedError as error:
                second[0] = error

    store.fault = begin
    _run()
    assert "another run is still using this output" in str(second[0])
    assert _run().counts[PhotoStatus.UNCHANGED] == 7


def test_shards_share_an_output(library: Path, store: ObjectStore) -> None:
    whole = _run(output="s3://shots/whole")
    with ThreadPoolExecutor(3) as machines:
        parts = list(machines.map(lambda number: _run(shard=Shard(number, 3)), (1, 2, 3)))
    assert _comparable(store.tree("shots", "trip"), PHOTOS) == _comparable(store.tree("shots", "whole"), PHOTOS)
    for status in PhotoStatus:
        assert sum(part.counts.get(status, 0) for part in parts) == whole.counts.get(status, 0)


def test_the_output_is_not_searched_for_photos(library: Path, store: ObjectStore) -> None:
    _run(PHOTOS, f"{PHOTOS}/shots")
    again = _run(PHOTOS, "s3://shots/other")
    assert again.counts == {PhotoStatus.DONE: 6, PhotoStatus.NO_SUBJECT: 1, PhotoStatus.FAILED: 1}


def test_a_failed_list_leads_to_the_same_photos(library: Path, store: ObjectStore, tmp_path: Path) -> None:
    runner, failed = CliRunner(), tmp_path / "failed.txt"
    first = runner.invoke(cli, ["crop", PHOTOS, "-o", SHOTS, "--failed-list", str(failed), "--json"])
    assert failed.read_text() == f"{PHOTOS}/bad.png\n"
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    done = next(line for line in lines if line["status"] == "done")
    assert done["source"].startswith(f"{PHOTOS}/") and len(done["shots"]) == 3
    assert all(shot["file"].startswith(f"{SHOTS}/") and not shot["rejected"] for shot in done["shots"])
    again = runner.invoke(cli, ["crop", PHOTOS, "-o", SHOTS, "--files-from", str(failed)])
    assert again.exit_code == ExitCode.SOME_FAILED and "1 failed" in again.stderr


def test_limit_and_filters_hold(library: Path, store: ObjectStore) -> None:
    assert _run(limit=2).counts[PhotoStatus.DONE] == 2
    selection = Selection((Path(PHOTOS),), includes=("0/",), excludes=("*_02*",))
    assert _run(selection, "s3://shots/some").counts == {PhotoStatus.DONE: 2}
    flat = Selection((Path(PHOTOS),), recursive=False)
    assert _run(flat, "s3://shots/flat").counts == {PhotoStatus.NO_SUBJECT: 1, PhotoStatus.FAILED: 1}


def test_messages_show_no_secret(library: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another-secret-in-a-token")
    for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "Whatever"):
        store.fault = lambda _method, _path, _number, code=code: (403, code)  # type: ignore[misc]
        result = CliRunner().invoke(cli, ["crop", PHOTOS, "-o", SHOTS, "-v"])
        assert result.exit_code == ExitCode.OUTPUT, result.output
        for secret in (SECRET, "AKIAIOSFODNN7EXAMPLE", "another-secret-in-a-token"):
            assert secret not in result.output
    assert CliRunner().invoke(cli, ["crop", "s3://key:word@photos", "-o", SHOTS]).exit_code == ExitCode.USAGE


def test_a_missing_bucket_is_named(library: Path, store: ObjectStore) -> None:
    result = CliRunner().invoke(cli, ["crop", "s3://nowhere/at/all", "-o", SHOTS])
    assert "s3://nowhere/at/all: there is no such bucket" in result.stderr
