import gc
import json
import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import (
    FIXED_BOXES,
    FakeComposer,
    fixed_composition,
    names_in,
    no_people,
    open_image,
    picture,
    write_photo,
)
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import AnswerError, OutputError
from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.library.discover import discover
from shotcrop_cli.library.output_names import plan
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.plan import Task, Wanted
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.pipeline import runner, steps
from shotcrop_cli.pipeline.loaded_photo import LoadedPhoto, RunContext
from shotcrop_cli.pipeline.runner import run
from shotcrop_cli.shots import Answer, ShotType
from shotcrop_cli.sidecar import read
from sidecar_examples import SCHEMA


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "shots"
    folder.mkdir()
    return folder


def _tasks(photos: Path, output: Path, settings: CropSettings = CropSettings()) -> list[Task]:  # noqa: B008
    state = OutputState(output, Wanted("ab" * 32, settings), overwrite=True)
    return [state.decide(target) for target in plan(discover(Selection((photos,)), output).sources, output).targets]


def _run(
    photos: Path,
    output: Path,
    composer: FakeComposer,
    *,
    workers: int = 2,
    batch_size: int = 4,
    **options: Any,
) -> list[PhotoResult]:
    results: list[PhotoResult] = []
    run(
        _tasks(photos, output),
        composer,
        RunContext(output),
        workers=workers,
        batch_size=batch_size,
        report=results.append,
        **options,
    )
    return sorted(results, key=lambda result: result.source)


def test_every_photo_gets_three_crops_and_a_sidecar(photos: Path, output: Path) -> None:
    for name in ("a.jpg", "sub/b.png", "sub/c.webp"):
        write_photo(photos / name)
    results = _run(photos, output, FakeComposer())
    assert [result.status for result in results] == [PhotoStatus.DONE] * 3
    assert names_in(output / "sub") == [
        "b.png.close_up.png",
        "b.png.establishing.png",
        "b.png.json",
        "b.png.medium.png",
        "c.webp.close_up.webp",
        "c.webp.establishing.webp",
        "c.webp.json",
        "c.webp.medium.webp",
    ]


@pytest.mark.parametrize("shot", ShotType)
def test_crops_are_where_the_model_says(photos: Path, output: Path, shot: ShotType) -> None:
    write_photo(photos / "a.png")
    _run(photos, output, FakeComposer())
    crop = open_image(output / f"a.png.{shot}.png")
    expected = picture().crop(to_pixels(FIXED_BOXES[shot], 120, 80).corners)
    assert np.array_equal(np.asarray(crop), np.asarray(expected))


def test_the_sidecar_records_source_model_and_boxes(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.png")
    _run(photos, output, FakeComposer())
    SCHEMA.validate(json.loads((output / "a.png.json").read_bytes()))
    sidecar = read(output / "a.png.json")
    assert sidecar.source.path == str(path)
    assert sidecar.source.size_bytes == path.stat().st_size
    assert (sidecar.source.width, sidecar.source.height, sidecar.source.format) == (120, 80, "PNG")
    assert sidecar.model == FakeComposer().identity
    assert sidecar.reasoning == fixed_composition().reasoning
    assert sidecar.shots[0].box == to_pixels(FIXED_BOXES[ShotType.ESTABLISHING], 120, 80)
    assert [shot.caption for shot in sidecar.shots] == [f"the {kind} shot" for kind in ShotType]


def test_crops_have_the_time_of_their_photo(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.png")
    os.utime(path, ns=(0, 1_234_567_890_000_000_000))
    _run(photos, output, FakeComposer())
    assert (output / "a.png.medium.png").stat().st_mtime_ns == 1_234_567_890_000_000_000


def test_model_sees_thumbnails_in_order_with_their_aspects(photos: Path, output: Path) -> None:
    for i in range(5):
        write_photo(photos / f"{i}.png", Image.new("RGB", (100 + 10 * i, 50), (40 * i, 0, 0)))
    composer = FakeComposer()
    _run(photos, output, composer, batch_size=2)
    assert composer.batches == [2, 2, 1]
    assert composer.aspects == [2.0, 2.2, 2.4, 2.6, 2.8]
    assert {(image.mode, image.size) for image in composer.seen} == {("RGB", (64, 64))}
    assert [image.getpixel((5, 5))[0] for image in composer.seen] == [0, 40, 80, 120, 160]
    assert composer.threads == {threading.current_thread().name}


def test_one_bad_photo_fails_alone(photos: Path, output: Path) -> None:
    for name in ("a.png", "c.png"):
        write_photo(photos / name)
    (photos / "b.png").write_bytes(b"no picture")
    results = _run(photos, output, FakeComposer())
    assert [result.status.value for result in results] == ["done", "failed", "done"]
    assert results[1].reason.startswith("cannot be read as an image")
    assert not [name for name in names_in(output) if name.startswith("b")]


def test_an_unreadable_answer_fails_alone(photos: Path, output: Path) -> None:
    for name in ("a.png", "b.png"):
        write_photo(photos / name)
    answers = iter([AnswerError("no box in the answer"), fixed_composition()])
    results = _run(photos, output, FakeComposer(lambda _image, _aspect: next(answers)))
    assert [(result.status.value, result.reason) for result in results] == [
        ("failed", "no box in the answer"),
        ("done", ""),
    ]


def test_an_unexpected_error_fails_alone_and_says_so(
    photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "a.png")

    def broken(*_args: object) -> Image.Image:
        raise KeyError("surprise")

    monkeypatch.setattr(steps, "thumbnail", broken)
    (result,) = _run(photos, output, FakeComposer())
    assert (result.status, result.reason) == (PhotoStatus.FAILED, "unexpected KeyError: 'surprise'")


def test_a_photo_without_people_is_not_a_failure_and_its_old_crops_are_removed(photos: Path, output: Path) -> None:
    write_photo(photos / "a.png")
    _run(photos, output, FakeComposer())
    (result,) = _run(photos, output, FakeComposer(no_people))
    assert result.status is PhotoStatus.NO_SUBJECT
    assert names_in(output) == ["a.png.json"]
    SCHEMA.validate(json.loads((output / "a.png.json").read_bytes()))


def test_a_full_disk_ends_the_run(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        write_photo(photos / f"{i:02d}.png")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    composer = FakeComposer()
    with pytest.raises(OutputError, match="No space left on device"):
        _run(photos, output, composer, batch_size=1)
    assert len(composer.seen) < 20
    assert names_in(output) == []


def test_an_output_lost_midway_ends_the_run(photos: Path, output: Path) -> None:
    for i in range(20):
        write_photo(photos / f"{i:02d}.png")

    def lose(image: Image.Image, aspect: float) -> Answer:
        if output.exists():
            output.rename(output.with_name("moved"))
        return fixed_composition()

    with pytest.raises(OutputError, match="the output folder is gone"):
        _run(photos, output, FakeComposer(lose), batch_size=2)
    assert not output.exists()


def test_an_output_unmounted_midway_is_not_written_below_its_mount_point(photos: Path, output: Path) -> None:
    for i in range(20):
        write_photo(photos / f"{i:02d}.png")

    def unmount(_image: Image.Image, _aspect: float) -> Answer:
        if not output.with_name("disk").exists():
            output.rename(output.with_name("disk"))
            output.mkdir()  # what is left of a disk that is unmounted
        return fixed_composition()

    with pytest.raises(OutputError, match="the output folder is gone"):
        _run(photos, output, FakeComposer(unmount), batch_size=2)
    assert names_in(output) == []


def test_an_interrupt_leaves_whole_photos_or_nothing(photos: Path, output: Path) -> None:
    for i in range(30):
        write_photo(photos / f"{i:02d}.png")
    seen = 0

    def interrupt(_image: Image.Image, _aspect: float) -> Answer:
        nonlocal seen
        seen += 1
        if seen > 10:
            raise KeyboardInterrupt
        return fixed_composition()

    results: list[PhotoResult] = []
    composer = FakeComposer(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(_tasks(photos, output), composer, RunContext(output), workers=2, batch_size=2, report=results.append)
    done = {result.source.name for result in results}
    assert 1 <= len(done) <= 10
    expected = [
        f"{name}.{kind}" for name in done for kind in ("close_up.png", "establishing.png", "json", "medium.png")
    ]
    assert names_in(output) == sorted(expected)


def test_a_report_that_raises_does_not_replace_an_interrupt(photos: Path, output: Path) -> None:
    for i in range(6):
        write_photo(photos / f"{i}.png")
    interrupted = threading.Event()

    def finish_late(loaded: LoadedPhoto, context: RunContext) -> PhotoResult:
        interrupted.wait(30)
        return steps.finish(loaded, context)

    class Interrupted(FakeComposer):
        def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
            if self.batches:
                interrupted.set()
                raise KeyboardInterrupt
            return super().compose(thumbnails, aspects)

    def report(result: PhotoResult) -> None:
        results.append(result)
        raise ValueError("such as the first failure of --fail-fast")

    results: list[PhotoResult] = []
    late = steps.Steps(finish=finish_late)
    with pytest.raises(KeyboardInterrupt):
        run(
            _tasks(photos, output),
            Interrupted(),
            RunContext(output),
            workers=2,
            batch_size=2,
            report=report,
            steps=late,
        )
    assert {result.source.name for result in results} == {"0.png", "1.png"}


def test_a_run_of_many_photos_holds_few_in_memory(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(40):
        write_photo(photos / f"{i:02d}.png", picture(100, 100))
    alive: set[Path] = set()
    most = 0
    load = steps.load

    def counted(task: Task, size: tuple[int, int], **options: bool) -> LoadedPhoto | PhotoResult:
        nonlocal most
        loaded = load(task, size, **options)
        assert isinstance(loaded, LoadedPhoto)
        alive.add(task.target.source.path)
        weakref.finalize(loaded.photo.pixels, alive.discard, task.target.source.path)
        most = max(most, len(alive))
        return loaded

    # Room for six such photos: three with the model, two in the decoders, one being written. Without a budget, there
    # would be 8 + 8 + 8 in flight.
    monkeypatch.setattr(runner, "_EXPECTED_BYTES", 40_000.0)
    composer = FakeComposer()
    watched = steps.Steps(load=counted)
    results = _run(photos, output, composer, batch_size=8, workers=2, byte_budget=240_000, steps=watched)
    gc.collect()
    assert len(results) == 40
    assert composer.batches == [3] * 13 + [1]
    assert most <= 6 + 1  # one may be decoded while the last one written is on its way out


def test_a_large_photo_makes_batches_smaller_at_once_and_for_a_while(
    photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        write_photo(photos / f"{i:02d}.png", picture(200 if i == 1 else 100, 100))
    monkeypatch.setattr(runner, "_EXPECTED_BYTES", 40_000.0)
    composer = FakeComposer()
    _run(photos, output, composer, batch_size=8, workers=1, byte_budget=320_000)
    assert composer.batches == [6, 3, 3]


def test_a_photo_larger_than_the_budget_is_still_done(photos: Path, output: Path) -> None:
    for name in ("a.png", "b.png"):
        write_photo(photos / name, picture(200, 100))
    results = _run(photos, output, FakeComposer(), byte_budget=1)
    assert [result.status.value for result in results] == ["done", "done"]


def test_originals_are_not_touched(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.jpg")
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    _run(photos, output, FakeComposer())
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert names_in(photos) == ["a.jpg"]
