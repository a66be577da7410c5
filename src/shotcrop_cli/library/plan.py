"""Decide, without touching the disk, what is written for each photo and whether there is anything to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import JPEG, format_of, written_as
from shotcrop_cli.library.discover import Source
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.sidecar import Sidecar, SidecarStatus, iso_mtime


@dataclass(frozen=True, slots=True)
class Job:
    """One photo and the files that come of it.

    Args:
        source: The photo.
        folder: Where its files go.
        suffix: Extension of its crops.
    """

    source: Source
    folder: Path
    suffix: str

    @property
    def sidecar(self) -> Path:
        """Path of the sidecar, the completion marker."""
        return self.folder / f"{self.source.path.name}.json"

    def crop(self, shot: ShotType) -> Path:
        """Path of one crop."""
        return self.folder / f"{self.source.path.name}.{shot}{self.suffix}"

    @property
    def crops(self) -> tuple[Path, ...]:
        """Paths of the three crops, widest first."""
        return tuple(self.crop(shot) for shot in SHOT_TYPES)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a photo has to be done.

    Args:
        due: True when it has to be done (again).
        reason: Why, in words.
        crops: The crops that lie there already, when nothing is due.
        sha256: The source's hash where it had to be taken to decide, to spare the next run the same.
    """

    due: bool
    reason: str
    crops: tuple[Path, ...] = ()
    sha256: str | None = None


def plan(sources: Sequence[Source], output: Path) -> tuple[Job, ...]:
    """Give every photo its output names, the tree of the sources mirrored below the output folder.

    Raises:
        ShotcropError: Two photos would write to the same file, on this or on a file system that does not
            tell case or Unicode composition apart.
    """
    taken: dict[str, Source] = {}
    for source in sources:
        # All names of a photo grow from its own by fixed endings, so photos collide when these names do.
        other = taken.setdefault(_folded(source.relative), source)
        if other is not source:
            raise ShotcropError(
                f"{other.path} and {source.path} would be cut to the same files below {output}",
                hint="rename one of them, or crop them to different --output folders",
            )
    return tuple(_job(source, output) for source in sources)


def decide(
    job: Job,
    sidecar: Sidecar | None,
    present: Collection[str],
    *,
    model_sha256: str,
    settings_hash: str,
    digest: Callable[[], str],
) -> Decision:
    """Compare what an earlier run left with what this run would make.

    Args:
        job: The photo and its files.
        sidecar: What the earlier run recorded, None when there is no readable sidecar.
        present: Names of the files in the job's folder.
        model_sha256: Content hash of the model of this run.
        settings_hash: Hash of the settings of this run.
        digest: Hashes the source; only called when its size fits but its modification time does not.
    """
    if sidecar is None:
        return Decision(True, "the sidecar is damaged" if job.sidecar.name in present else "new")
    if sidecar.model.sha256 != model_sha256:
        return Decision(True, "the model changed")
    if sidecar.settings.hash != settings_hash:
        return Decision(True, "the settings changed")
    crops = job.crops if sidecar.status is SidecarStatus.DONE else ()
    for crop in crops:
        if crop.name not in present:
            return Decision(True, f"{crop.name} is missing")
    record = sidecar.source
    if record.size_bytes != job.source.size_bytes:
        return Decision(True, "the photo changed")
    if record.mtime == iso_mtime(job.source.mtime_ns):
        return Decision(False, "unchanged", crops)
    sha256 = digest()
    if record.sha256 != sha256:
        return Decision(True, "the photo changed")
    return Decision(False, "unchanged but for its time", crops, sha256)


def _job(source: Source, output: Path) -> Job:
    form = written_as(format_of(source.path) or JPEG)
    return Job(source, output / source.relative.parent, form.suffix)


def _folded(relative: PurePath) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(relative)).casefold())
