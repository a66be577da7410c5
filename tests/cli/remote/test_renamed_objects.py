"""Crops in an object store follow photos that were renamed or moved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import FakeComposer, picture, write_photo
from object_store import ObjectStore
from shotcrop_cli import CropOptions, RunResult, ShotcropError, crop_photos
from shotcrop_cli.library.name_template import NameTemplate
from shotcrop_cli.library.results import PhotoStatus

PHOTOS, SHOTS = "s3://photos/all", "s3://shots/trip"


@pytest.fixture
def cropped(photos: Path, store: ObjectStore, composer: FakeComposer) -> ObjectStore:
    for number in range(3):
        write_photo(photos / f"IMG_{number}.jpg", picture(120 + number, 90))
    store.upload(photos, "photos", "all")
    _run()
    record = json.loads(store.tree("shots", "trip")["IMG_1.jpg.json"])
    record["shots"][0] |= {"caption": "my words", "edited": True}
    store.client().put_object(Bucket="shots", Key="trip/IMG_1.jpg.json", Body=json.dumps(record).encode())
    store.client().delete_object(Bucket="shots", Key="trip/IMG_1.jpg.medium.jpg")
    store.client().put_object(Bucket="shots", Key="trip/IMG_1.jpg.close_up.jpg", Body=b"retouched")
    composer.seen.clear()
    store.forget()
    return store


def _run(photos: object = PHOTOS, **options: object) -> RunResult:
    return crop_photos(CropOptions(photos, SHOTS, reproducible=True, workers=1, **options))  # type: ignore[arg-type]


def _move(store: ObjectStore, old: str, new: str) -> None:
    client = store.client()
    client.copy_object(Bucket="photos", Key=f"all/{new}", CopySource={"Bucket": "photos", "Key": f"all/{old}"})
    client.delete_object(Bucket="photos", Key=f"all/{old}")


def _check_moved(store: ObjectStore, source: str) -> None:
    tree = {name: data for name, data in store.tree("shots", "trip").items() if not name.startswith("IMG_")}
    own = sorted(name for name in tree if not name.startswith("."))
    assert own == [f"a/new.jpg.{end}" for end in ("close_up.jpg", "establishing.jpg", "json")]
    assert tree["a/new.jpg.close_up.jpg"] == b"retouched"
    record = json.loads(tree["a/new.jpg.json"])
    assert record["source"]["path"] == source and record["shots"][0]["caption"] == "my words"


def test_a_renamed_photo_keeps_its_crops_and_what_people_did(cropped: ObjectStore, composer: FakeComposer) -> None:
    _move(cropped, "IMG_1.jpg", "a/new.jpg")
    cropped.forget()
    result = _run()
    named = [(method, path) for method, path in cropped.requests if "IMG_0" in path.partition("?")[0]]
    assert named == [("GET", "/shots/trip/IMG_0.jpg.json")]  # other photos cost what they always cost
    assert result.counts == {PhotoStatus.UNCHANGED: 3} and not composer.seen
    former = {str(photo.source): str(photo.former) for photo in result.photos if photo.former is not None}
    assert former == {f"{PHOTOS}/a/new.jpg": f"{PHOTOS}/IMG_1.jpg"}
    _check_moved(cropped, f"{PHOTOS}/a/new.jpg")
    assert not [name for name in cropped.tree("shots", "trip") if "IMG_1" in name]
    assert _run().counts == {PhotoStatus.UNCHANGED: 3}


def test_photos_of_this_machine_are_followed_too(store: ObjectStore, photos: Path, composer: FakeComposer) -> None:
    path = write_photo(photos / "b.jpg")
    write_photo(photos / "c.jpg", picture(130, 90))
    _run(photos)
    path.rename(photos / "z.jpg")
    result = _run(photos)
    assert result.counts == {PhotoStatus.UNCHANGED: 2}
    assert [(str(one.source), str(one.former)) for one in result.photos if one.former] == [
        (str(photos / "z.jpg"), str(photos / "b.jpg"))
    ]


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_move_that_breaks_off_is_finished_by_the_next_run(cropped: ObjectStore, writes: int) -> None:
    _move(cropped, "IMG_1.jpg", "a/new.jpg")
    puts: list[str] = []

    def stop(method: str, path: str, _number: int) -> tuple[int, str] | None:
        if method == "PUT" and "new.jpg" in path:
            puts.append(path)
            return (403, "ExpiredToken") if len(puts) > writes else None
        return None

    cropped.fault = stop
    with pytest.raises(ShotcropError, match="access denied"):
        _run()
    cropped.fault = lambda _method, _path, _number: None
    assert "IMG_1.jpg.json" in cropped.tree("shots", "trip")
    assert _run().counts == {PhotoStatus.UNCHANGED: 3}
    _check_moved(cropped, f"{PHOTOS}/a/new.jpg")


def test_a_copy_is_a_new_photo_and_a_template_names_the_crops(cropped: ObjectStore, composer: FakeComposer) -> None:
    template = NameTemplate.parse("{stem}-{shot}.{ext}")
    run = {"output": "s3://shots/named", "template": template, "reproducible": True}
    crop_photos(CropOptions(PHOTOS, **run))  # type: ignore[arg-type]
    composer.seen.clear()
    client = cropped.client()
    client.copy_object(Bucket="photos", Key="all/copy.jpg", CopySource={"Bucket": "photos", "Key": "all/IMG_0.jpg"})
    _move(cropped, "IMG_2.jpg", "new.jpg")
    result = crop_photos(CropOptions(PHOTOS, **run))  # type: ignore[arg-type]
    assert result.counts == {PhotoStatus.UNCHANGED: 3, PhotoStatus.DONE: 1} and len(composer.seen) == 1
    names = cropped.tree("shots", "named")
    assert {"new-medium.jpg", "copy-medium.jpg", "IMG_0-medium.jpg"} <= names.keys() and "IMG_2-medium.jpg" not in names


def test_other_content_in_the_way_stays(cropped: ObjectStore) -> None:
    cropped.client().put_object(Bucket="shots", Key="trip/new.jpg.close_up.jpg", Body=b"of somebody else")
    _move(cropped, "IMG_1.jpg", "new.jpg")
    result = _run()
    tree = cropped.tree("shots", "trip")
    assert tree["new.jpg.close_up.jpg"] == b"of somebody else" and tree["IMG_1.jpg.close_up.jpg"] == b"retouched"
    assert "IMG_1.jpg.json" in tree and result.counts[PhotoStatus.UNCHANGED] == 2
