import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from conftest import write_photo
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.library.name_template import NameTemplate, TemplateNames
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.plan import Action, Target, Wanted
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.library.up_to_date import Index
from shotcrop_cli.sidecar import Sidecar, iso_mtime, read
from sidecar_examples import example

WANTED = Wanted("d" * 64, CropSettings())
OTHER_MODEL = replace(WANTED, model_sha256="e" * 64)


@pytest.fixture
def target(photos: Path, output: Path) -> Target:
    """Return a photo that an earlier run has cropped."""
    status = write_photo(photos / "a.jpg").stat()
    source = Source(Folder(photos, PurePath()), "a.jpg", status.st_size, status.st_mtime_ns)
    target = Target(source, output, TemplateNames(NameTemplate(), ".jpg"))
    output.mkdir()
    for crop in target.crops():
        crop.touch()
    target.sidecar.write_bytes(_record(target).to_bytes())
    return target


def _record(target: Target) -> Sidecar:
    source = target.source
    of_source = {"path": str(source.path), "size_bytes": source.size_bytes, "mtime": iso_mtime(source.mtime_ns)}
    return replace(example(), source=replace(example().source, **of_source))


def test_a_photo_with_its_crops_is_skipped(target: Target, output: Path) -> None:
    assert OutputState(output, WANTED).decide(target).action is Action.SKIP


def test_a_task_is_resumed_as_it_was_decided(target: Target, output: Path) -> None:
    state = OutputState(output, OTHER_MODEL)
    task = state.decide(target)
    assert (task.action, task.record) == (Action.COMPOSE, _record(target))
    waiting = state.suspend(task)
    assert waiting.record is None
    assert state.resume(waiting) == task


def test_a_new_photo_is_resumed_without_a_sidecar(target: Target, output: Path) -> None:
    target.sidecar.unlink()
    state = OutputState(output, WANTED)
    task = state.decide(target)
    assert (task.reason, state.resume(state.suspend(task))) == ("new", task)


def test_a_damaged_sidecar_is_refused_with_line_and_column(target: Target, output: Path) -> None:
    target.sidecar.write_bytes(b'{\n  "schema": "shotcrop/1",\n  oops\n}')
    task = OutputState(output, WANTED).decide(target)
    assert (task.action, "line 3 column 3" in task.reason) == (Action.REFUSE, True)
    target.sidecar.write_bytes(b'{\n  "caf\xe9": 1}')
    assert "line 2 column 7 is not UTF-8" in OutputState(output, WANTED).decide(target).reason


def test_an_empty_sidecar_counts_as_none(target: Target, output: Path) -> None:
    target.sidecar.write_bytes(b"")
    state = OutputState(output, WANTED)
    task = state.decide(target)
    assert (task.reason, state.resume(state.suspend(task))) == ("new", task)


def test_a_task_is_decided_again_if_its_sidecar_changed(target: Target, output: Path) -> None:
    state = OutputState(output, OTHER_MODEL)
    waiting = state.suspend(state.decide(target))
    document = json.loads(target.sidecar.read_bytes())
    document["shots"][1]["edited"] = True
    target.sidecar.write_text(json.dumps(document), encoding="utf-8")
    assert (waiting.action, state.resume(waiting).action) == (Action.COMPOSE, Action.SKIP)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_moved_photo_is_recorded_unless_the_output_is_read_only(
    target: Target, photos: Path, output: Path, read_only: bool
) -> None:
    moved = Target(replace(target.source, folder=Folder(photos.parent, PurePath())), output, target.names)
    before = target.sidecar.read_bytes()
    assert OutputState(output, WANTED, read_only=read_only).decide(moved).action is Action.SKIP
    assert (target.sidecar.read_bytes() == before) is read_only
    assert read(target.sidecar).source.path == str((target if read_only else moved).source.path)


def test_a_sidecar_that_needs_no_update_is_not_written(target: Target, output: Path) -> None:
    """The sidecar of a photo whose name is not UTF-8 is parsed in every run."""
    odd = Target(replace(target.source, name="\udcff.jpg"), output, target.names)
    for crop in odd.crops():
        crop.touch()
    shots = tuple(replace(shot, file=name) for shot, name in zip(example().shots, odd.crop_names, strict=True))
    odd.sidecar.write_bytes(replace(_record(odd), shots=shots).to_bytes())
    before = odd.sidecar.stat().st_ino
    assert OutputState(output, WANTED).decide(odd).action is Action.SKIP
    assert odd.sidecar.stat().st_ino == before


def _write_in_place(path: Path, *, replaced: bool) -> None:
    """Change one byte of a file and keep its size and time, as `exiftool -P` and photo managers do."""
    status = path.stat()
    content = path.read_bytes()[:-1] + b"x"
    if replaced:
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
    else:
        path.write_bytes(content)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    while path.stat().st_ctime_ns == status.st_ctime_ns:  # the clock of a file system may be slow
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _seen_now(target: Target) -> Target:
    status = target.source.path.stat()
    stamp = {
        "size_bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }
    return replace(target, source=replace(target.source, **stamp))


def _run(output: Path, target: Target, wanted: Wanted = WANTED, **options: bool) -> str:
    """Decide as a run does, whose index the next run reads, and return the reason."""
    state = OutputState(output, wanted, index=Index(output, wanted, "{name}"), **options)
    reason = state.decide(_seen_now(target)).reason
    state.save()
    return reason


@pytest.fixture
def finished(target: Target) -> Target:
    """Return the photo with the true hash of its content in the sidecar."""
    sha256 = hashlib.sha256(target.source.path.read_bytes()).hexdigest()
    record = _record(target)
    target.sidecar.write_bytes(replace(record, source=replace(record.source, sha256=sha256)).to_bytes())
    return target


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("later", [WANTED, replace(WANTED, settings=CropSettings(quality=1))])
def test_a_photo_that_changed_under_its_size_and_time_is_noticed_until_it_is_cropped(
    finished: Target, output: Path, replaced: bool, later: Wanted
) -> None:
    assert _run(output, finished) == "unchanged"
    _write_in_place(finished.source.path, replaced=replaced)
    for _ in range(2):  # a run that is killed after this leaves the old sidecar
        assert _run(output, finished, later) == "the photo changed"


def test_a_new_photo_that_changes_after_it_was_cropped_is_noticed(finished: Target, output: Path) -> None:
    sidecar = finished.sidecar.read_bytes()
    finished.sidecar.unlink()
    assert _run(output, finished) == "new"
    finished.sidecar.write_bytes(sidecar)
    assert _run(output, finished) == "unchanged"
    _write_in_place(finished.source.path, replaced=False)
    assert _run(output, finished) == "the photo changed"


def test_a_photo_whose_attributes_changed_is_read_once(
    finished: Target, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(output, finished) == "unchanged"
    before = finished.source.path.stat().st_ctime_ns
    while finished.source.path.stat().st_ctime_ns == before:
        finished.source.path.chmod(0o600)
    assert _run(output, finished) == "unchanged"
    monkeypatch.setattr("shotcrop_cli.library.output_state._sha256", None)  # the photo must not be read again
    assert (
        OutputState(output, WANTED, index=Index(output, WANTED, "{name}")).decide(_seen_now(finished)).is_due is False
    )


def test_without_an_index_only_the_content_shows_the_change(finished: Target, output: Path) -> None:
    _write_in_place(finished.source.path, replaced=True)
    assert _run(output, finished) == "unchanged"
    assert _run(output, finished, check_content=True) == "the photo changed"
    assert _run(output, finished, check_content=True) == "the photo changed"


def test_an_unchanged_photo_is_unchanged_after_its_content_was_compared(finished: Target, output: Path) -> None:
    assert _run(output, finished, check_content=True) == "unchanged"
