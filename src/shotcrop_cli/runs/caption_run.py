"""The run of `shotcrop caption`: write the captions of finished crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shotcrop_cli.captions.messages import check_language
from shotcrop_cli.errors import InputError, ShotcropError
from shotcrop_cli.library.output_folder import open_output
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.library.recrop import output_root, sidecars_in
from shotcrop_cli.library.results import PhotoResult, PhotoStatus, Reporter, RunResult
from shotcrop_cli.run_options import RecaptionOptions
from shotcrop_cli.runs.captioner import find_captions, queue_captions
from shotcrop_cli.runs.run import Run, tell_waiting
from shotcrop_cli.sidecar import read
from shotcrop_cli.storage.location import UrlPath, is_url

if TYPE_CHECKING:
    from shotcrop_cli.captions.outcome import CaptionWriter


class CaptionRun(Run):
    """Writes the captions of finished crops, and makes no crops."""

    def __init__(self, options: RecaptionOptions, reporter: Reporter) -> None:
        super().__init__(options, reporter)
        self._options = options

    def run(self) -> RunResult:
        """Write all captions."""
        options = self._options
        # A dry run sends nothing, so it does not say where to.
        service = _find_writer(options, Reporter() if options.dry_run else self.reporter)
        roots: dict[Path, list[Path]] = {}
        urls = [path for path in options.sidecars if is_url(path)]
        for path in options.sidecars:
            if path not in urls:
                roots.setdefault(output_root(path), []).append(path)
        self.reporter.start()
        with self.summed_up():
            for url in urls:
                self._caption_objects(service, url)
            for root, paths in roots.items():
                found = list(dict.fromkeys(path for named in paths for path in _sidecars_of(named)))
                if options.dry_run:
                    for path in found:
                        self._plan(service, path, root)
                    continue
                with open_output(root, options.wait, partial(tell_waiting, root, self.reporter)):
                    self._write(service, found, root)
        return self.final

    def _caption_objects(self, service: CaptionWriter, named: Path) -> None:
        """Write the captions of a sidecar, or of those of a folder, in an object store."""
        from shotcrop_cli.remote.apply_run import output_of
        from shotcrop_cli.remote.copies import CopiesFolder
        from shotcrop_cli.remote.mirror import Mirror

        options, (output, name) = self._options, output_of(named)
        tell = partial(tell_waiting, UrlPath(output.url), self.reporter)
        with CopiesFolder() as folder:
            service.files = files = Mirror(folder, output)
            self.show = files.staging.shown
            try:
                with nullcontext() if options.dry_run else files.hold(options.wait, tell), files.writable():
                    files.load(_start_of(name))
                    paths = [path for path in sidecars_in(files.root) if _is_in(path, files.root / name)]
                    if not paths and name.endswith(SIDECAR_SUFFIX):
                        raise ShotcropError(f"{named}: there is no such sidecar", hint="check the URL")
                    if not options.dry_run:
                        self._write(service, paths, files.root)
                    for path in paths if options.dry_run else ():
                        self._plan(service, path, files.root)
            finally:
                service.files = None

    def _write(self, service: CaptionWriter, paths: Sequence[Path], root: Path) -> None:
        options = self._options.captions
        with self.reporter.progress(len(paths)) as advance:

            def report(photo: PhotoResult) -> None:
                advance()
                self.add(photo)

            with queue_captions(service, options, root, self.reporter, report, captions_only=True) as put:
                for path in paths:
                    photo = _photo_of(path)
                    shown = photo if service.files is None else service.files.show(photo)
                    put(PhotoResult(shown, PhotoStatus.DONE, path))

    def _plan(self, service: CaptionWriter, path: Path, root: Path) -> None:
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


def _find_writer(options: RecaptionOptions, reporter: Reporter) -> CaptionWriter:
    """Return what writes the captions.

    Raises:
        ShotcropError: It cannot be found, or the options name none.
    """
    if options.by_rule is not None:
        from shotcrop_cli.captions.rule_writer import RuleWriter

        check_language(options.language)
        return RuleWriter(options.by_rule, options.language)
    service = find_captions(options.captions, reporter)
    if service is None:
        raise InputError("captions: no server to ask", hint="name an endpoint in CaptionOptions, or set by_rule")
    return service


def _sidecars_of(named: Path) -> Iterator[Path]:
    yield from (path.resolve() for path in (sidecars_in(named) if named.is_dir() else (named,)))


def _start_of(name: str) -> str:
    """Return what the names of all files begin with that belong to a sidecar, or that are in a folder."""
    if name.endswith(SIDECAR_SUFFIX):
        return name.removesuffix(SIDECAR_SUFFIX) + "."
    return f"{name}/" if name else ""


def _is_in(path: Path, place: Path) -> bool:
    return path == place or path.is_relative_to(place)


def _photo_of(path: Path) -> Path:
    """Return the photo that a sidecar names; the sidecar itself if it cannot be read, which is reported later."""
    try:
        return Path(read(path).source.path)
    except (ShotcropError, FileNotFoundError):
        return path
