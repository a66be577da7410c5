"""Crop new photos as they arrive: `watch_photos`, which the command `crop --watch` calls.

Each look at the folders is a run of `crop_photos`, so a look does what any run does: it skips what is finished, holds
the lock of the output while it works, and follows renamed photos. What the system reports of the folders only decides
when to look.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from shotcrop_cli import install_hint
from shotcrop_cli.api import crop_photos
from shotcrop_cli.errors import InputError, LockedError, ShotcropError
from shotcrop_cli.library.mounts import is_on_network
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult, duration
from shotcrop_cli.library.selection import Wildcard
from shotcrop_cli.library.settling import QUIET_SECONDS, Settling
from shotcrop_cli.run_options import CropOptions
from shotcrop_cli.runs.crop_model import CropModel
from shotcrop_cli.storage.location import is_url

LEAST_PAUSE = 1.0
"""Seconds between two looks, so that a folder that changes all the time is not searched all the time."""
PAUSE_PER_LOOK = 4.0
"""Between two looks is at least this many times the time that a look takes without new photos."""
POLL_SECONDS, POLLS_PER_LOOK = 5.0, 20.0
"""Without reports of the system: seconds between two looks; at least this many times the time that a look takes."""
SAFETY_SECONDS = 600.0
"""With reports of the system: seconds until a look without any, in case one was lost."""
CHECK_SECONDS = 5.0
"""Seconds between two checks of whether a folder was unmounted and mounted again."""
_TOLD = 1000
"""Warnings that are remembered, so that each is printed once."""


def watch_photos(options: CropOptions, reporter: Reporter | None = None, *, poll: float | None = None) -> RunResult:
    """Crop the photos of some folders, then wait for new ones and crop them when they are complete.

    This returns only when `options.max_time` is over. Otherwise an exception ends it, such as `KeyboardInterrupt`; the
    reporter gets the result then, too.

    Args:
        options: What to do.
        reporter: Receives the result of every photo, but each failure only once; None to report nothing.
        poll: Seconds between two looks at the folders, instead of asking the system what changes; None to ask it where
            it knows.

    Returns:
        How the photos ended, all looks together. It lists those that failed and did not succeed later.

    Raises:
        InputError: The options are for single runs only, or a package is missing.
        ShotcropError: The first look cannot begin, or the output cannot be written.
    """
    return _Watch(options, reporter or Reporter(), poll).run()


class _Total(Reporter):
    """Passes on what is new, and adds up the results of all looks."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.wants_unchanged = reporter.wants_unchanged
        self.counts: Counter[PhotoStatus] = Counter()
        self.failed: dict[Path, PhotoResult] = {}
        self.is_first = True
        self.seconds = 0.0
        self.provider, self.left = "", 0
        self.changes: Counter[str] = Counter()
        self._told: dict[str, None] = {}
        self._new: Counter[PhotoStatus] = Counter()

    def start(self) -> None:
        if self.is_first:
            self._reporter.start()

    def info(self, text: str) -> None:
        self._reporter.info(text)

    def warn(self, text: str) -> None:
        if text not in self._told:
            self._told[text] = None
            self._reporter.warn(text)
        if len(self._told) > _TOLD:
            self._told.clear()

    def detail(self, text: str) -> None:
        self._reporter.detail(text)

    def progress(self, total: int) -> AbstractContextManager[Callable[[], None]]:
        return self._reporter.progress(total)

    def photo(self, photo: PhotoResult) -> None:
        known = self.failed.pop(photo.source, None)
        is_new = photo.status in (PhotoStatus.DONE, PhotoStatus.NO_SUBJECT) or photo.is_own_crop
        if photo.status is PhotoStatus.FAILED:
            self.failed[photo.source] = photo
            is_new = known is None or known.reason != photo.reason
        if is_new:
            self._new[photo.status] += 1
        if is_new or self.is_first:
            self._reporter.photo(photo)

    def finish(self, result: RunResult) -> None:
        for status in (PhotoStatus.DONE, PhotoStatus.NO_SUBJECT):
            self.counts[status] += result.counts.get(status, 0)
        if self.is_first:
            self.counts[PhotoStatus.UNCHANGED] = result.counts.get(PhotoStatus.UNCHANGED, 0)
        self.changes.update(result.changes)
        self.provider, self.left = result.provider or self.provider, result.left
        cropped = self._new[PhotoStatus.DONE] + self._new[PhotoStatus.NO_SUBJECT]
        if new := cropped + self._new[PhotoStatus.FAILED]:
            self.seconds += result.seconds
            failed = f", {self._new[PhotoStatus.FAILED]} failed" if self._new[PhotoStatus.FAILED] else ""
            photos = "photo" if new == 1 else "photos"
            self._reporter.info(f"{new} new {photos}: {cropped} done{failed} in {duration(result.seconds)}")
        self._new.clear()
        self.is_first = self.wants_unchanged = False

    def result(self) -> RunResult:
        """Return the result of all looks. A photo that failed and was deleted since counts no more."""
        self.failed = {path: photo for path, photo in self.failed.items() if os.path.lexists(path)}
        counts = {**self.counts, PhotoStatus.FAILED: len(self.failed)}
        return RunResult(
            counts={status: number for status, number in counts.items() if number},
            failed=tuple(self.failed.values()),
            left=self.left,
            changes=dict(self.changes.most_common()),
            seconds=self.seconds,
            provider=self.provider,
        )

    def end(self) -> None:
        """Pass on the result of all looks."""
        self._reporter.finish(self.result())


class _Watch:
    def __init__(self, options: CropOptions, reporter: Reporter, poll: float | None) -> None:
        for name in ("dry_run", "overwrite", "limit", "fail_fast"):
            if getattr(options, name):
                raise InputError(f"{name}: not for runs that watch folders", hint="leave it out")
        self._options, self._selection = options, options.selection
        for path in (options.output, *self._selection.paths):
            if is_url(path):
                raise InputError(
                    f"{path}: only folders of this machine can be watched", hint="run `shotcrop crop` every few minutes"
                )
        if self._selection.listed is not None:
            raise InputError("a list of photos cannot be watched", hint="name folders instead of the list")
        self._reporter, self._total = reporter, _Total(reporter)
        self._poll = poll
        self._settling = Settling(QUIET_SECONDS)
        self._start = time.monotonic()
        self._missing: frozenset[Path] = frozenset()
        self._model: CropModel | None = None
        self._idle_look = 0.0
        self._is_locked = False

    def run(self) -> RunResult:
        changes = _Changes(self._folders(), Path(self._options.output), self._total, polls=self._poll is not None)
        self._model = CropModel.find(self._options.model, self._reporter)
        try:
            with changes:
                self._look()
                self._reporter.info("watching for new photos; to stop, press Ctrl+C")
                while not self._is_over():
                    self._wait(changes)
                    if not self._is_over():
                        self._look()
        finally:
            if not self._total.is_first:
                self._total.end()
        return self._total.result()

    def _folders(self) -> list[Path]:
        """Return the folders to watch: those named, and those that patterns start with."""
        wildcards = [(path, Wildcard.parse(path)) for path in self._selection.paths]
        folders = [_expanded(path if one is None or path.exists() else one.base) for path, one in wildcards]
        return [folder if folder.is_dir() else folder.parent for folder in folders]

    def _look(self) -> None:
        present = tuple(path for path in self._selection.paths if self._exists(path))
        self._tell_missing(frozenset(self._selection.paths) - frozenset(present))
        is_first = self._total.is_first
        if not is_first and (not present or not self._has_output()):
            return
        selection = self._selection if is_first else replace(self._selection, paths=present)
        options = replace(
            self._options,
            photos=selection,
            fail_if_empty=self._options.fail_if_empty and is_first,
            max_time=self._time_left(),
            keep_results=False,
        )
        before, started = sum(self._total.counts.values()), time.monotonic()
        try:
            crop_photos(options, self._total, model=self._model, is_ready=self._settling.is_ready)
            self._is_locked = False
        except LockedError:
            if is_first:
                raise
            if not self._is_locked:
                self._reporter.info("another run uses the output folder; looking again when it has ended")
            self._is_locked = True
        except ShotcropError as error:
            if is_first or type(error) is not ShotcropError:
                raise
            self._total.warn(str(error))  # a folder vanished just now, or a pattern matches nothing any more
        finally:
            self._settling.end_look()
        if sum(self._total.counts.values()) == before and not is_first:  # the first one also loads modules
            self._idle_look = time.monotonic() - started

    def _wait(self, changes: _Changes) -> None:
        """Wait until it is worth looking again, or the time is over."""
        pause = max(LEAST_PAUSE, PAUSE_PER_LOOK * self._idle_look)
        longest = SAFETY_SECONDS
        if not changes.are_reported:
            longest = max(POLL_SECONDS, POLLS_PER_LOOK * self._idle_look) if self._poll is None else self._poll
        if self._is_locked or self._missing:
            longest = min(longest, POLL_SECONDS)
        if (due := self._settling.seconds_left()) is not None:
            longest = min(longest, due)
        now = time.monotonic()
        earliest, latest = now + pause, now + max(pause, longest)
        if self._settling.is_settling:  # files that are being written change all the time
            earliest = latest
        is_changed = False
        while not self._is_over() and (left := (earliest if is_changed else latest) - time.monotonic()) > 0:
            seconds = min(left, CHECK_SECONDS, self._time_left() or left)
            if is_changed:
                time.sleep(seconds)
            else:
                is_changed = changes.wait(seconds)
        changes.clear()

    def _exists(self, path: Path) -> bool:
        wildcard = None if path.exists() else Wildcard.parse(path)
        return _expanded(path if wildcard is None else wildcard.base).exists()

    def _tell_missing(self, missing: frozenset[Path]) -> None:
        for path in missing - self._missing:
            self._reporter.warn(f"{path} is gone; waiting until it is there again")
        for path in self._missing - missing:
            self._reporter.info(f"{path} is there again")
        self._missing = missing

    def _has_output(self) -> bool:
        """Say whether the output folder is there. A disk that is not mounted must not be replaced by a new folder."""
        output = Path(self._options.output)
        if not (is_there := (output / LOCK_NAME).exists()):
            self._total.warn(f"{output}: the output folder is gone; waiting until it is there again")
        return is_there

    def _time_left(self) -> float | None:
        max_time = self._options.max_time
        return None if max_time is None else max(0.0, max_time - (time.monotonic() - self._start))

    def _is_over(self) -> bool:
        return self._time_left() == 0.0


class _Changes:
    """Hears from the system that something changed in some folders.

    Args:
        folders: The folders, with everything below.
        output: The output folder, whose changes do not count.
        reporter: Is told where the system reports nothing.
        polls: Whether to ask the system for nothing.

    Raises:
        InputError: The package that asks the system is not installed.
    """

    def __init__(self, folders: Sequence[Path], output: Path, reporter: Reporter, *, polls: bool) -> None:
        self._folders, self._output, self._reporter = folders, os.path.realpath(output), reporter
        self._changed, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._identities: tuple[object, ...] = ()
        self.are_reported = not polls and not any(map(is_on_network, folders))
        if self.are_reported:
            try:
                import watchfiles  # noqa: F401 - loaded here, so that the message comes before any work
            except ModuleNotFoundError as error:
                raise InputError(
                    f"watching folders needs the package '{error.name}'",
                    hint=f"{install_hint.add_packages('watchfiles')}, or give --poll",
                ) from error
        elif not polls:
            reporter.info("a folder is on a network share, which reports no changes; looking at it regularly")

    def __enter__(self) -> _Changes:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._silence()

    def wait(self, seconds: float) -> bool:
        """Wait for a change, and say whether there was one. A folder that was mounted again is one."""
        if self.are_reported and self._identities != self._identify():
            self._silence()
            self._listen()
            self._changed.set()
        return self._changed.wait(seconds)

    def clear(self) -> None:
        """Forget the changes so far."""
        self._changed.clear()

    def _listen(self) -> None:
        self._identities = self._identify()
        folders = [folder for folder in self._folders if folder.is_dir()]
        if self.are_reported and folders:
            self._stop = threading.Event()
            arguments = (folders, self._stop)
            self._thread = threading.Thread(target=self._hear, args=arguments, name="watch", daemon=True)
            self._thread.start()

    def _silence(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
            self._thread = None

    def _identify(self) -> tuple[object, ...]:
        return tuple(_identity(folder) for folder in self._folders)

    def _hear(self, folders: Sequence[Path], stop: threading.Event) -> None:
        from watchfiles import watch

        def counts(_change: object, path: str) -> bool:
            return path != self._output and not path.startswith(f"{self._output}/")

        try:
            for _ in watch(
                *map(os.path.realpath, folders),
                watch_filter=counts,
                stop_event=stop,
                rust_timeout=500,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self._changed.set()
        except FileNotFoundError:
            pass  # it vanished just now; it is watched again when it returns
        except (OSError, RuntimeError) as error:  # such as too few watches of inotify
            self.are_reported = False
            self._reporter.warn(f"the system does not report changes ({error}); looking at the folders regularly")
            self._changed.set()


def _expanded(path: Path) -> Path:
    return path if os.path.lexists(path) else Path(os.path.expanduser(path))  # noqa: PTH111 - for a quoted `~`


def _identity(folder: Path) -> object:
    with suppress(OSError):
        status = folder.stat()
        return status.st_dev, status.st_ino
    return None
