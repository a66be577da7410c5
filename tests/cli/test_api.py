import gc
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from conftest import FakeComposer, fixed_composition, no_people, write_photo
from shotcrop_cli import CropOptions, ShotcropError, crop_photos
from shotcrop_cli.api import apply_sidecars
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.output_state import OutputState
from shotcrop_cli.library.plan import Target, Task
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.run_options import ApplyOptions
from shotcrop_cli.shots import Answer
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")


class Recorder(Reporter):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.finished: list[RunResult] = []

    def start(self) -> None:
        self.events.append("start")

    def info(self, text: str) -> None:
        self.events.append(f"info {text}")

    def detail(self, text: str) -> None:
        self.events.append(f"detail {text}")

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[], None]]:
        self.events.append(f"progress of {total}")
        yield lambda: self.events.append("advance")

    def photo(self, photo: PhotoResult) -> None:
        self.events.append(f"{photo.source.name} {photo.status}")

    def finish(self, result: RunResult) -> None:
        self.finished.append(result)


def test_a_run_returns_how_each_photo_ended(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.jpg")
    (photos / "b.jpg").write_bytes(b"")
    result = crop_photos(CropOptions(str(photos), str(output)))
    assert result.counts == {PhotoStatus.DONE: 1, PhotoStatus.FAILED: 1}
    assert result.exit_code is ExitCode.SOME_FAILED
    done = next(photo for photo in result.photos if photo.status is PhotoStatus.DONE)
    assert (done.source, done.sidecar) == (path, output / "a.jpg.json")
    assert [crop.name for crop in done.crops] == [
        f"a.jpg.{shot}.jpg" for shot in ("establishing", "medium", "close_up")
    ]
    assert [photo.source.name for photo in result.failed] == ["b.jpg"]
    assert (result.provider, result.dry_run) == ("cpu", False)


def test_unchanged_photos_are_results_too(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    crop_photos(CropOptions(photos, output))
    result = crop_photos(CropOptions([photos], output))
    assert [(photo.source.name, photo.status) for photo in result.photos] == [("a.jpg", PhotoStatus.UNCHANGED)]
    assert [crop.is_file() for crop in result.photos[0].crops] == [True] * 3
    assert result.exit_code is ExitCode.OK
    slim = crop_photos(CropOptions(photos, output, keep_results=False))
    assert (slim.photos, slim.counts) == ((), {PhotoStatus.UNCHANGED: 1})


def test_a_selection_may_filter(photos: Path, output: Path) -> None:
    for name in ("a.jpg", "b.png"):
        write_photo(photos / name)
    result = crop_photos(CropOptions(Selection((photos,), includes=("*.png",)), output))
    assert [photo.source.name for photo in result.photos] == ["b.png"]


def test_a_dry_run_writes_nothing(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    recorder = Recorder()
    result = crop_photos(CropOptions(photos, output, dry_run=True), recorder)
    assert (result.counts, result.dry_run) == ({PhotoStatus.PLANNED: 1}, True)
    assert recorder.events == ["a.jpg planned"] and recorder.finished == [result]
    assert not output.exists()


def test_a_reporter_hears_of_everything_in_order(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    recorder = Recorder()
    result = crop_photos(CropOptions(photos, output), recorder)
    assert recorder.events == [
        "start",
        f"detail {photos / 'a.jpg'}: to do, new",
        "detail model fake (abababababab) runs on cpu",
        "progress of 1",
        "advance",
        "a.jpg done",
    ]
    assert recorder.finished == [result]


def test_an_interrupted_run_reports_how_far_it_got(photos: Path, output: Path, composer: FakeComposer) -> None:
    for i in range(30):
        write_photo(photos / f"{i:02d}.png")

    def interrupt(_image: Image.Image, _aspect: float) -> Answer:
        if len(composer.seen) > 5:
            raise KeyboardInterrupt
        return fixed_composition()

    composer.answer = interrupt
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        crop_photos(CropOptions(photos, output, reproducible=True), recorder)
    (result,) = recorder.finished
    assert 0 < result.counts[PhotoStatus.DONE] < 30


def test_a_run_that_cannot_begin_raises(photos: Path, output: Path) -> None:
    with pytest.raises(ShotcropError, match="No such file"):
        crop_photos(CropOptions(photos / "gone", output))


def test_strict_runs_fail_photos_without_people(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")
    composer.answer = no_people
    for _ in range(2):
        result = crop_photos(CropOptions(photos, output, strict=True))
        assert [photo.status for photo in result.failed] == [PhotoStatus.NO_SUBJECT]


def test_every_photo_is_decided_once(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        write_photo(photos / f"{i}.png")
    decided: list[str] = []
    decide = OutputState.decide

    def counted(self: OutputState, target: Target) -> Task:
        decided.append(target.source.name)
        return decide(self, target)

    monkeypatch.setattr(OutputState, "decide", counted)
    for options in ({}, {"overwrite": True}, {}):
        decided.clear()
        crop_photos(CropOptions(photos, output, **options))
        assert decided == [f"{i}.png" for i in range(5)]


@pytest.mark.parametrize("undone", [False, True])
def test_a_box_set_while_its_photo_waits_is_kept(
    photos: Path, output: Path, composer: FakeComposer, undone: bool
) -> None:
    for i in range(20):
        write_photo(photos / f"{i:02d}.png")
    crop_photos(CropOptions(photos, output))
    last = output / "19.png.json"
    before = last.read_bytes()

    def edit(_image: Image.Image, _aspect: float) -> Answer:
        document = json.loads(before)
        if undone:  # as if another run had made it up to date in the meantime
            document["model"]["sha256"] = composer.sha256
        else:
            document["shots"][1]["box"] = {"x": 1, "y": 2, "width": 33, "height": 44}
        last.write_text(json.dumps(document), encoding="utf-8")
        return fixed_composition()

    composer.sha256, composer.answer = "cd" * 32, edit
    result = crop_photos(CropOptions(photos, output, reproducible=True, workers=1))
    assert result.counts == {PhotoStatus.DONE: 19, PhotoStatus.UNCHANGED: 1}
    assert len(composer.seen) == 20 + 19
    assert read(last).shots[1].edited is not undone


def test_a_run_leaves_the_process_as_it_was(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    before = (list(warnings.filters), gc.get_freeze_count())
    crop_photos(CropOptions(photos, output))
    assert (list(warnings.filters), gc.get_freeze_count()) == before


def test_sidecars_are_applied(photos: Path, output: Path) -> None:
    write_photo(photos / "a.png")
    crop_photos(CropOptions(photos, output))
    sidecar = output / "a.png.json"
    sidecar.write_text(
        sidecar.read_text("utf-8").replace('"caption": "the medium', '"caption": "one medium', 1), "utf-8"
    )
    planned = apply_sidecars(ApplyOptions((output,), dry_run=True))
    assert planned.counts == {PhotoStatus.PLANNED: 1}
    result = apply_sidecars(ApplyOptions((output,)))
    assert [photo.source.name for photo in result.photos] == ["a.png"]
    assert read(sidecar).shots[1].edited
    assert apply_sidecars(ApplyOptions((output,))).photos == ()
