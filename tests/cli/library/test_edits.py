"""Edits of a review page change a sidecar as a person who edits the JSON does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.library.edits import (
    EDITS_SCHEMA,
    PhotoEdit,
    ShotEdit,
    StaleEditError,
    are_pending,
    as_seen,
    fingerprint,
    read_edits,
    save_edit,
    sidecar_of,
)
from shotcrop_cli.shots import PixelBox
from shotcrop_cli.sidecar import Sidecar
from sidecar_examples import example


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record = example()
    for shot in record.shots:
        if shot.file is not None:
            (tmp_path / shot.file).write_bytes(b"crop")
    written = tmp_path / "a.jpg.json"
    written.write_bytes(record.to_bytes())
    return written


def seen(path: Path) -> Sidecar:
    return as_seen(path, sidecars.read(path))


def edit_of(record: Sidecar, **changes: dict[str, object]) -> PhotoEdit:
    """Return the edit that leaves a photo as it is, but for changes of shots."""
    shots = []
    for shot in record.all_crops:
        edit = ShotEdit(str(shot.key), shot.box, shot.caption, shot.alt_text, shot.edited, shot.rejected)
        values = {name: getattr(edit, name) for name in edit.__struct_fields__}
        shots.append(ShotEdit(**{**values, **changes.get(str(shot.key), {})}))
    return PhotoEdit(fingerprint(record), tuple(shots), record.rejected)


def test_an_edit_without_changes_writes_nothing(path: Path) -> None:
    before = path.read_bytes(), path.stat().st_mtime_ns
    save_edit(path, path.parent, edit_of(seen(path)))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_moved_box_is_an_edited_one(path: Path) -> None:
    record = seen(path)
    box = replace(record.shots[2].box, y=record.shots[2].box.y + 1)
    save_edit(path, path.parent, edit_of(record, close_up={"box": box}))
    by_hand = json.loads(record.to_bytes())
    by_hand["shots"][2]["box"]["y"] += 1
    assert sidecars.read(path) == sidecars.parse(json.dumps(by_hand).encode())
    assert sidecars.read(path).shots[2].edited and not sidecars.read(path).shots[1].edited
    assert are_pending(path, sidecars.read(path))


def test_a_caption_of_an_old_sidecar_is_an_edited_one(path: Path) -> None:
    record = sidecars.read(path)
    old = replace(record, shots=tuple(replace(shot, written=None) for shot in record.shots))
    path.write_bytes(old.to_bytes())
    save_edit(path, path.parent, edit_of(seen(path), medium={"caption": "Ana"}))
    after = sidecars.read(path)
    assert (after.shots[1].caption, after.shots[1].edited) == ("Ana", True)


def test_a_shot_can_be_accepted_and_rejected(path: Path) -> None:
    save_edit(path, path.parent, edit_of(seen(path), medium={"edited": True}, close_up={"rejected": True}))
    after = sidecars.read(path)
    assert after.shots[1].edited and after.shots[2].rejected and not after.shots[2].edited
    assert not are_pending(path, after)
    save_edit(path, path.parent, edit_of(seen(path), medium={"edited": False}, close_up={"rejected": False}))
    assert not sidecars.read(path).shots[1].edited and not sidecars.read(path).shots[2].rejected


def test_a_deleted_crop_is_rejected_until_it_is_wanted_again(path: Path) -> None:
    file = sidecars.read(path).shots[2].file
    assert file is not None
    (path.parent / file).unlink()
    assert seen(path).shots[2].rejected
    save_edit(path, path.parent, edit_of(seen(path), medium={"caption": "Ana"}))
    assert sidecars.read(path).shots[2].rejected
    path.write_bytes(example().to_bytes())
    save_edit(path, path.parent, edit_of(seen(path), close_up={"rejected": False}))
    after = sidecars.read(path)
    assert after.shots[2].file == file and not seen(path).shots[2].rejected
    assert are_pending(path, after)


def test_what_changed_since_is_not_replaced(path: Path) -> None:
    edit = edit_of(seen(path), medium={"caption": "mine"})
    record = sidecars.read(path)
    theirs = replace(record, shots=(record.shots[0], replace(record.shots[1], caption="theirs"), record.shots[2]))
    path.write_bytes(theirs.to_bytes())
    with pytest.raises(StaleEditError, match="somebody changed it"):
        save_edit(path, path.parent, edit)
    assert sidecars.read(path).shots[1].caption == "theirs"


def test_making_the_crops_again_is_no_change(path: Path) -> None:
    edit = edit_of(seen(path), medium={"caption": "mine"})
    path.write_bytes(replace(sidecars.read(path), created="2030-01-01T00:00:00Z", timing_ms=None).to_bytes())
    save_edit(path, path.parent, edit)
    assert sidecars.read(path).shots[1].caption == "mine"


def test_a_dry_run_checks_and_writes_nothing(path: Path) -> None:
    before = path.read_bytes()
    save_edit(path, path.parent, edit_of(seen(path), medium={"caption": "mine"}), dry_run=True)
    assert path.read_bytes() == before
    with pytest.raises(PhotoError, match="no shot 'other'"):
        save_edit(path, path.parent, edit_of(seen(path), medium={"key": "other"}), dry_run=True)


@pytest.mark.parametrize(
    "box", [PixelBox(-1, 0, 5, 5), PixelBox(0, 0, 0, 5), PixelBox(0, 0, 100_000, 5), PixelBox(5, 5, -1, 5)]
)
def test_a_box_has_to_be_in_the_photo(path: Path, box: PixelBox) -> None:
    before = path.read_bytes()
    with pytest.raises(PhotoError, match="not inside the photo"):
        save_edit(path, path.parent, edit_of(seen(path), medium={"box": box}))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "photo", ["../a.jpg", "/etc/passwd", "", "a/../../b.jpg", "a\x00.jpg", "link.jpg", "out/a.jpg"]
)
def test_a_file_of_edits_names_no_photo_elsewhere(path: Path, tmp_path: Path, photo: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.jpg.json").symlink_to(path)
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(PhotoError, match="not a photo of"):
        sidecar_of(root, photo)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"schema": "shotcrop-edits/2", "photos": []}',
        b'{"schema": "shotcrop-edits/1"}',
        b"\xff",
        b"[" * 99_999,
    ],
)
def test_what_is_no_file_of_edits_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "edits.json"
    file.write_bytes(content)
    with pytest.raises(ShotcropError, match="not a file of edits"):
        read_edits(file)


def test_a_file_of_edits_is_read(tmp_path: Path) -> None:
    file = tmp_path / "edits.json"
    file.write_text(json.dumps({"schema": EDITS_SCHEMA, "photos": [{"photo": "a.jpg", "fingerprint": "x"}]}))
    assert read_edits(file).photos == (PhotoEdit("x", photo="a.jpg"),)
