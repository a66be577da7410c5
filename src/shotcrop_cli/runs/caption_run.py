"""The run of `shotcrop caption`: write the captions of finished crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shotcrop_cli.errors import InputError, ShotcropError
from shotcrop_cli.library.output_folder import open_output
from shotcrop_cli.library.recrop import output_root, sidecars_in
from shotcrop_cli.library.remote import refuse_remote
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult
from shotcrop_cli.run_options import RecaptionOptions
from shotcrop_cli.runs.captioner import find_captions, queue_captions
from shotcrop_cli.runs.run import FirstFailure, Run, tell_waiting
from shotcrop_cli.sidecar import read

if TYPE_CHECKING:
    from shotcrop_cli.captions.service import CaptionService


class CaptionRun(Run):
    """Asks a captioner about finished crops, and makes no crops."""

    def __init__(self, options: RecaptionOptions, reporter: Reporter) -> None:
        super().__init__(options, reporter)
        self._options = options

    def run(self) -> RunResult:
        """Write all captions."""
        options = self._options
        for named in options.sidecars:
            refuse_remote(named)
        # A dry run sends nothing, so it does not say where to.
        service = find_captions(options.captions, Reporter() if options.dry_run else self.reporter)
        if service is None:
            raise InputError("captions: no server to ask", hint="name an endpoint in CaptionOptions")
        roots: dict[Path, list[Path]] = {}
        for path in options.sidecars:
            roots.setdefault(output_root(path), []).append(path)
        self.reporter.start()
        try:
            with suppress(FirstFailure):
                for root, paths in roots.items():
                    found = list(dict.fromkeys(path for named in paths for path in _sidecars_of(named)))
                    if options.dry_run:
                        for path in found:
                            self._plan(service, path, root)
                        continue
                    with open_output(root, options.wait, partial(tell_waiting, root, self.reporter)):
                        self._write(service, found, root)
        finally:
            result = self.result()
            self.reporter.finish(result)
        return result

    def _write(self, service: CaptionService, paths: Sequence[Path], root: Path) -> None:
        options = self._options.captions
        with self.reporter.progress(len(paths)) as advance:

            def report(photo: PhotoResult) -> None:
                advance()
                self.add(photo)

            with queue_captions(service, options, root, self.reporter, report, captions_only=True) as put:
                for path in paths:
                    put(PhotoResult(_photo_of(path), PhotoStatus.DONE, path))

    def _plan(self, service: CaptionService, path: Path, root: Path) -> None:
        try:
            is_due = service.would_write(path, root)
        except (ShotcropError, OSError) as error:
            reason = str(error).removeprefix(f"{path}: ")
            self.add(PhotoResult(path, PhotoStatus.FAILED, reason=reason))
            return
        if is_due:
            self.add(PhotoResult(_photo_of(path), PhotoStatus.PLANNED, path, (path,), "captions are missing or old"))
        else:
            self.results.counts[PhotoStatus.UNCHANGED] += 1


def _sidecars_of(named: Path) -> Iterator[Path]:
    yield from (path.resolve() for path in (sidecars_in(named) if named.is_dir() else (named,)))


def _photo_of(path: Path) -> Path:
    """Return the photo that a sidecar names; the sidecar itself if it cannot be read, which is reported later."""
    try:
        return Path(read(path).source.path)
    except (ShotcropError, FileNotFoundError):
        return path
