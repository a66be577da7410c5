"""Watching folders: `watch_photos` with real files, and `shotcrop crop --watch` as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, write_photo
from shotcrop_cli import CropOptions, ShotcropError, crop_photos, watch
from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.errors import ExitCode, InputError
from shotcrop_cli.library.output_folder import output_lock
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult
from shotcrop_cli.library.settling import Settling
from shotcrop_cli.library.source import Source
from shotcrop_cli.main import cli
from shotcrop_cli.watch import watch_photos
from tiny_nano import write_tiny_model

LONGEST = 60.0
"""Seconds after which a test gives up. A busy machine takes long, and waiting for what comes costs nothing."""
QUIET = 0.3


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all pauses."""
    for name, seconds in (
        ("QUIET_SECONDS", QUIET),
        ("LEAST_PAUSE", 0.05),
        ("POLL_SECONDS", 0.1),
        ("CHECK_SECONDS", 0.1),
    ):
        monkeypatch.setattr(watch, name, seconds)


class Watcher(Reporter):
    """Runs a script while folders are watched, and ends the run when the script is over."""

    def __init__(self, script: Callable[[Watcher], None]) -> None:
        self.done: list[str] = []
        self.events: list[str] = []
        self.result: RunResult | None = None
        self._script, self._error = script, threading.Event()
        self._failures: list[BaseException] = []

    def run(self, options: CropOptions, poll: float | None = None) -> RunResult:
        thread = threading.Thread(target=self._play)
        thread.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                watch_photos(options, self, poll=poll)
        finally:
            thread.join()
        assert not self._failures, self._failures
        assert self.result is not None
        return self.result

    def _play(self) -> None:
        try:
            self._script(self)
        except BaseException as error:  # an assertion belongs to the test, not to this thread
            self._failures.append(error)
        os.kill(os.getpid(), signal.SIGINT)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONGEST
        while not condition():
            assert time.monotonic() < deadline, self.events
            time.sleep(0.02)

    def until_done(self, *names: str) -> None:
        self.until(lambda: set(names) <= set(self.done))

    def info(self, text: str) -> None:
        self.events.append(f"info {text}")

    def warn(self, text: str) -> None:
        self.events.append(f"warn {text}")

    def photo(self, photo: PhotoResult) -> None:
        self.events.append(f"{photo.source.name} {photo.status}")
        if photo.status is PhotoStatus.DONE:
            self.done.append(photo.source.name)

    def finish(self, result: RunResult) -> None:
        self.result = result


def test_new_photos_are_cropped_when_they_are_complete(
    photos: Path, output: Path, composer: FakeComposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "old.jpg")
    seen: Counter[str] = Counter()
    now = [0.0]

    class Paced(Settling):
        """Goes by a clock that only this test sets forward, and counts how often it is asked about a file."""

        def __init__(self, quiet: float) -> None:
            super().__init__(quiet, lambda: now[0])

        def is_ready(self, source: Source) -> bool:
            is_ready = super().is_ready(source)
            seen[source.path.name] += 1
            return is_ready

    monkeypatch.setattr(watch, "Settling", Paced)

    def until_done(watcher: Watcher, *names: str) -> None:
        def is_done() -> bool:
            now[0] += QUIET / 2
            return set(names) <= set(watcher.done)

        watcher.until(is_done)

    def until_seen_again(watcher: Watcher, name: str) -> None:
        looks = seen[name] + 2  # the next one may have begun before the file changed
        watcher.until(lambda: seen[name] >= looks)

    def script(watcher: Watcher) -> None:
        until_done(watcher, "old.jpg")
        content = write_photo(photos.parent / "whole.jpg").read_bytes()
        with (photos / "slow.jpg").open("wb") as file:  # a copy that takes longer than the pause
            for start in range(0, len(content), len(content) // 4):
                file.write(content[start : start + len(content) // 4])
                file.flush()
                until_seen_again(watcher, "slow.jpg")
                now[0] += QUIET * 0.9
                until_seen_again(watcher, "slow.jpg")
                assert "slow.jpg" not in watcher.done
        write_photo(photos / "2026" / "deep.jpg")
        (photos / "sync.jpg.part").write_bytes(content)
        until_done(watcher, "slow.jpg", "deep.jpg")
        (photos / "sync.jpg.part").rename(photos / "sync.jpg")
        until_done(watcher, "sync.jpg")

    result = Watcher(script).run(CropOptions(photos, output))
    assert result.counts == {PhotoStatus.DONE: 4}
    assert (output / "2026" / "deep.jpg.json").is_file()
    assert not list(output.rglob("*.part*"))
    assert len(composer.seen) == 4


@pytest.mark.parametrize("poll", [None, 0.2])
def test_a_folder_may_vanish_and_return(photos: Path, output: Path, composer: FakeComposer, poll: float | None) -> None:
    write_photo(photos / "a.jpg")
    away = photos.parent / "unmounted"

    def script(watcher: Watcher) -> None:
        watcher.until_done("a.jpg")
        photos.rename(away)
        watcher.until(lambda: any(event.startswith(f"warn {photos} is gone") for event in watcher.events))
        away.rename(photos)
        watcher.until(lambda: f"info {photos} is there again" in watcher.events)
        write_photo(photos / "b.jpg")
        watcher.until_done("b.jpg")

    watcher = Watcher(script)
    watcher.run(CropOptions(photos, output), poll)
    assert watcher.done == ["a.jpg", "b.jpg"]


def test_an_output_that_vanishes_is_not_made_again(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")
    away = output.parent / "unmounted"

    def script(watcher: Watcher) -> None:
        watcher.until_done("a.jpg")
        with output_lock(output, wait=LONGEST):  # the run that cropped it still writes
            output.rename(away)
        write_photo(photos / "b.jpg")
        watcher.until(lambda: any("output folder is gone" in event for event in watcher.events))
        time.sleep(0.5)
        assert not output.exists()
        away.rename(output)
        watcher.until_done("b.jpg")

    watcher = Watcher(script)
    watcher.run(CropOptions(photos, output), 0.2)
    assert watcher.done == ["a.jpg", "b.jpg"]


def test_a_failure_is_told_once_and_the_photo_tried_again_when_it_changes(
    photos: Path, output: Path, composer: FakeComposer
) -> None:
    photos.mkdir()
    (photos / "bad.jpg").write_bytes(b"no photo")
    (photos / "gone.jpg").write_bytes(b"no photo")

    def script(watcher: Watcher) -> None:
        watcher.until(lambda: {"bad.jpg failed", "gone.jpg failed"} <= set(watcher.events))
        for name in ("a.jpg", "b.jpg"):
            write_photo(photos / name)
            watcher.until_done(name)
        (photos / "gone.jpg").unlink()
        write_photo(photos / "bad.jpg")
        watcher.until_done("bad.jpg")

    watcher = Watcher(script)
    result = watcher.run(CropOptions(photos, output))
    assert watcher.events.count("bad.jpg failed") == 1
    assert (result.failed, result.exit_code) == ((), ExitCode.OK)


def test_what_is_finished_is_skipped_after_a_restart(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")
    options = CropOptions(photos, output)
    Watcher(lambda watcher: watcher.until_done("a.jpg")).run(options)
    write_photo(photos / "b.jpg")
    result = Watcher(lambda watcher: watcher.until_done("b.jpg")).run(options)
    assert (result.counts, result.changes) == ({PhotoStatus.UNCHANGED: 1, PhotoStatus.DONE: 1}, {})
    assert len(composer.seen) == 2
    options = replace(options, settings=CropSettings(quality=60))
    result = Watcher(lambda watcher: watcher.until_done("a.jpg", "b.jpg")).run(options)
    assert result.changes == {"quality same to 60": 2}


def test_other_runs_may_use_the_output_between_looks(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")

    def script(watcher: Watcher) -> None:
        watcher.until_done("a.jpg")
        with output_lock(output, wait=LONGEST):
            write_photo(photos / "b.jpg")
            watcher.until(lambda: any("another run uses" in event for event in watcher.events))
            assert watcher.done == ["a.jpg"]
        watcher.until_done("b.jpg")

    Watcher(script).run(CropOptions(photos, output))


def test_what_is_written_below_the_watched_folder_is_no_reason_to_look_again(
    photos: Path, composer: FakeComposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def counted(*arguments: object, **options: object) -> object:
        looks.append(time.monotonic())
        return crop_photos(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(watch, "crop_photos", counted)
    write_photo(photos / "a.jpg")

    def script(watcher: Watcher) -> None:
        watcher.until_done("a.jpg")
        time.sleep(1.0)

    Watcher(script).run(CropOptions(photos, photos / "shots"))
    assert len(composer.seen) == 1
    assert len(looks) <= 3  # the photo is found, is complete, and one more at most


class UntilDone(Reporter):
    """Sets the clock forward when a photo is cropped, so that the time of the run is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._clock = Clock()
        monkeypatch.setattr(watch, "time", self._clock)

    def info(self, text: str) -> None:
        if "1 done" in text:
            self._clock.ahead += 1e6


def test_the_run_ends_after_its_time(
    photos: Path, output: Path, composer: FakeComposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "a.jpg")
    result = watch_photos(CropOptions(photos, output, max_time=1e5), UntilDone(monkeypatch))
    assert (result.counts, result.exit_code) == ({PhotoStatus.DONE: 1}, ExitCode.OK)


def test_what_waits_does_not_pile_up(photos: Path, output: Path, composer: FakeComposer) -> None:
    def script(watcher: Watcher) -> None:
        for number in range(5):
            write_photo(photos / f"{number}.jpg")
            watcher.until_done(f"{number}.jpg")

    photos.mkdir()
    made: list[watch.Settling] = []

    class Kept(watch.Settling):
        def __init__(self, *arguments: float) -> None:
            super().__init__(*arguments)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "Settling", Kept)
        result = Watcher(script).run(CropOptions(photos, output))
    assert len(made[0]) <= 1
    assert (result.photos, result.failed) == ((), ())


def test_the_first_look_fails_as_a_run_does(photos: Path, output: Path, composer: FakeComposer) -> None:
    with pytest.raises(ShotcropError, match="No such file"):
        watch_photos(CropOptions(photos, output))


def test_a_missing_package_is_named_before_any_work(
    photos: Path, output: Path, composer: FakeComposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "a.jpg")
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(InputError, match=r"needs the package 'watchfiles'.*pip install watchfiles, or give --poll"):
        watch_photos(CropOptions(photos, output))
    assert not output.exists()
    result = watch_photos(CropOptions(photos, output, max_time=1e5), UntilDone(monkeypatch), poll=0.1)
    assert result.counts == {PhotoStatus.DONE: 1}


def test_where_the_system_reports_nothing_the_folder_is_searched_regularly(
    photos: Path, output: Path, composer: FakeComposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("watchfiles.watch", refuse)
    photos.mkdir()

    def script(watcher: Watcher) -> None:
        assert "warn no photos found" not in watcher.events
        watcher.until(lambda: any("watch limit reached" in event for event in watcher.events))
        write_photo(photos / "a.jpg")
        watcher.until_done("a.jpg")

    Watcher(script).run(CropOptions(photos, output))


@pytest.mark.parametrize(
    "options",
    [["--dry-run"], ["--limit", "3"], ["--overwrite"], ["--fail-fast"], ["--files-from", "-"], ["--manifest", "m.csv"]],
)
def test_options_for_single_runs_are_refused(photos: Path, output: Path, options: list[str]) -> None:
    result = CliRunner().invoke(cli, ["crop", str(photos), "-o", str(output), "--watch", *options])
    assert result.exit_code == ExitCode.USAGE
    assert f"{options[0]} is for single runs" in result.stderr


@pytest.mark.parametrize("paths", [["s3://bucket/photos", "-o", "shots"], ["photos", "-o", "s3://bucket/shots"]])
def test_object_stores_are_not_watched(paths: list[str]) -> None:
    result = CliRunner().invoke(cli, ["crop", *paths, "--watch"])
    assert result.exit_code == ExitCode.USAGE
    assert "only folders of this machine can be watched" in result.stderr


def test_polling_needs_something_to_watch(photos: Path, output: Path) -> None:
    result = CliRunner().invoke(cli, ["crop", str(photos), "-o", str(output), "--poll", "9s"])
    assert (result.exit_code, "--poll needs --watch" in result.stderr) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_a_signal_ends_the_command_with_the_usual_exit_code(
    photos: Path, output: Path, tmp_path: Path, number: signal.Signals, code: ExitCode
) -> None:
    write_photo(photos / "a.jpg")
    (tmp_path / "tiny").mkdir()
    model = write_tiny_model(tmp_path / "tiny")
    command = [
        sys.executable,
        "-m",
        "shotcrop_cli",
        "crop",
        str(photos),
        "-o",
        str(output),
        "--watch",
        "-m",
        str(model),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + LONGEST
            while not (output / "a.jpg.json").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(number)
            _, errors = process.communicate(timeout=LONGEST)
        finally:
            process.kill()  # otherwise a test that fails would wait for it for ever
    assert process.returncode == code
    assert "1 done, 0 unchanged" in errors
    assert not (output / ".shotcrop.running").exists()
