"""What a report shows of one photo: its sidecar and the images that the sidecar names."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from shotcrop_cli import sidecar
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.results import low_scores
from shotcrop_cli.shots import MAIN


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo of a report.

    Args:
        title: Path of the photo relative to its library, as the output tree mirrors it.
        folder: Folder of the sidecar and the crops.
        record: The sidecar.
        files: Gives access to the images.
        crops_of: Whom and which ratio sets the crops of the photo show, as pairs.
    """

    title: str
    folder: Path
    record: sidecar.Sidecar
    files: OutputFiles
    crops_of: frozenset[tuple[str, str]] = frozenset()

    @property
    def note(self) -> str:
        """Size of the photo, and whether it shows no people."""
        size = f"{self.record.source.width} x {self.record.source.height}"
        return size if self.record.status is sidecar.SidecarStatus.DONE else f"photo without people, {size}"

    @property
    def reasoning(self) -> str:
        """The model's chain of thought as one paragraph."""
        reasoning = self.record.reasoning
        return " ".join(filter(None, (reasoning.scene, reasoning.subject, reasoning.story)))

    @property
    def story(self) -> str:
        """The line that connects the shots: that of the captioner or of a person, otherwise that of the model."""
        captions = self.record.captions
        return (captions.story if captions is not None else "") or self.record.reasoning.story

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that a report may show of the photo."""
        captions = (text for shot in self.record.shots for text in (shot.caption, shot.alt_text))
        return (self.title, self.reasoning, self.story, *captions)

    @property
    def crops(self) -> tuple[sidecar.ShotRecord, ...]:
        """The shots that somebody may want to see: those with a crop that no one rejected or deleted."""
        if self.record.rejected:
            return ()
        return tuple(shot for shot in self.record.shots if not shot.rejected and self._has_file(shot))

    @property
    def is_rejected(self) -> bool:
        """Whether a person wants none of the crops."""
        shots = self.record.shots
        return self.record.rejected or (bool(shots) and all(shot.rejected for shot in shots))

    def _has_file(self, shot: sidecar.ShotRecord) -> bool:
        return shot.file is not None and is_inside(shot.file) and os.path.isfile(self.folder / shot.file)  # noqa: PTH113 - never raises

    @property
    def lowest_score(self) -> float:
        """Lowest score of its crops, as `Choice.below_score` counts them; infinity if none counts."""
        return min((low.score for low in low_scores(self.record.shots, math.inf)), default=math.inf)

    def open_source(self, bounds: tuple[int, int]) -> Image.Image | None:
        """Return the upright photo scaled to fit `bounds`; None if it cannot be read any more."""
        self.files.bring(photo := Path(self.record.source.path))
        return open_scaled(photo, bounds)

    def open_crop(self, shot: sidecar.ShotRecord, bounds: tuple[int, int]) -> Image.Image | None:
        """Return the crop of a shot scaled to fit `bounds`; None if it is missing or cannot be read."""
        if shot.file is None or not is_inside(shot.file):
            return None
        self.files.bring(crop := self.folder / shot.file)
        return open_scaled(crop, bounds)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which photos a report shows. The default is all of them.

    Args:
        status: Only photos that ended this way; None for any.
        below_score: Only photos with a crop that scores below this and that a person has not accepted; None for all.
        photos: Only these photos; None for all.
        person: Whose crops to show, as in `CropKey`.
        set_name: The ratio set to show; empty for ordinary crops or, where there are none, those of the first set.
    """

    status: sidecar.SidecarStatus | None = None
    below_score: float | None = None
    photos: frozenset[Path] | None = None
    person: str = MAIN
    set_name: str = ""

    def __contains__(self, record: sidecar.Sidecar) -> bool:
        return (
            (self.status is None or record.status is self.status)
            and (self.below_score is None or bool(low_scores(record.shots, self.below_score)))
            and (self.photos is None or Path(record.source.path) in self.photos)
        )

    def shows(self, crops_of: Iterable[tuple[str, str]]) -> bool:
        """Say whether a photo has crops of the chosen person and ratio set. Without a choice, every photo will do."""
        if self.person == MAIN and not self.set_name:
            return True
        return any(person == self.person and self.set_name in ("", name) for person, name in crops_of)


ALL = Choice()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The photos of a report.

    Args:
        sidecars: Their sidecars in the order of the report.
        errors: An error for each JSON file that is not a sidecar.
        characters: All characters of their texts.
        seen: Number of sidecars that were read.
        without_crops: Number of photos that were left out because they have no crops.
        rejected: Number of photos that were left out because a person rejected them.
        not_shown: Number of photos that were left out because they lack crops of the chosen person or ratio set.
        crops_of: The people and ratio sets of the crops in the whole folder, as pairs.
        choice: By what they were chosen.
    """

    sidecars: list[Path] = field(default_factory=list)
    errors: list[ShotcropError] = field(default_factory=list)
    characters: set[str] = field(default_factory=set)
    seen: int = 0
    without_crops: int = 0
    rejected: int = 0
    not_shown: int = 0
    crops_of: set[tuple[str, str]] = field(default_factory=set)
    choice: Choice = ALL


def choose(
    files: OutputFiles,
    limit: int | None = None,
    choice: Choice = ALL,
    *,
    lowest_first: bool = False,
    needs_crops: bool = False,
    count: Callable[[], None] = lambda: None,
) -> Chosen:
    """Choose photos of an output folder, in the order of their paths or of the lowest score of each photo.

    Each sidecar is read and forgotten again, because large libraries have 100,000 of them.

    Args:
        files: The files of an output of `shotcrop crop`.
        limit: Largest number of photos; None for all.
        choice: Which photos to take.
        lowest_first: Whether photos with the lowest scores come first. Those without scores come last.
        needs_crops: Whether to leave out photos without crops.
        count: Called for each photo that is chosen.
    """
    chosen = Chosen(choice=choice)
    found: list[tuple[float, Path]] = []
    seen = without_crops = rejected = not_shown = 0
    for path in sorted(files.root.rglob("*.json")):
        if len(found) == limit and not lowest_first:
            break
        try:
            entry = read_entry(files, path, choice)
        except ShotcropError as error:
            chosen.errors.append(error)
            continue
        seen += 1
        chosen.crops_of.update(entry.crops_of)
        if entry.record not in choice:
            continue
        if not choice.shows(entry.crops_of):
            not_shown += 1
            continue
        if needs_crops and not entry.crops:
            rejected += entry.is_rejected
            without_crops += not entry.is_rejected
            continue
        count()
        chosen.characters.update(*entry.texts)
        found.append((entry.lowest_score if lowest_first else 0.0, path))
    if lowest_first:
        found.sort(key=lambda scored: scored[0])
    chosen.sidecars.extend(path for _, path in found[:limit])
    return replace(chosen, seen=seen, without_crops=without_crops, rejected=rejected, not_shown=not_shown)


def read_entry(files: OutputFiles, path: Path, choice: Choice = ALL) -> Entry:
    """Read the sidecar of a photo, with the crops of the chosen person and ratio set as its shots.

    Raises:
        ShotcropError: It is not a sidecar.
    """
    try:
        record = sidecar.read(path)
    except FileNotFoundError as error:
        raise ShotcropError(f"{files.show(path)}: the sidecar is gone") from error
    except ShotcropError as error:
        error.message = files.show_text(error.message)
        raise
    viewed = record.viewed(choice.person, choice.set_name)
    title = path.relative_to(files.root).with_suffix("").as_posix()
    return Entry(title, path.parent, viewed, files, _crops_of(record))


def _crops_of(record: sidecar.Sidecar) -> frozenset[tuple[str, str]]:
    """Return whom and which ratio sets the crops of a photo show, as pairs.

    Every sidecar has the ordinary shots. They do not count if the user asked for others only.
    """
    has_ordinary = any(shot.file is not None or shot.rejected for shot in record.shots)
    only_others = not has_ordinary and any(crop.file is not None for crop in record.more_crops)
    crops = record.more_crops if only_others else record.all_crops
    return frozenset((crop.person, crop.set_name) for crop in crops)


def read_entries(files: OutputFiles, sidecars: Iterable[Path], choice: Choice = ALL) -> Iterator[Entry]:
    """Read the sidecars of photos one by one.

    Raises:
        ShotcropError: One of them is no sidecar any more.
    """
    return (read_entry(files, path, choice) for path in sidecars)


def open_scaled(path: Path, bounds: tuple[int, int]) -> Image.Image | None:
    """Open an image for display: upright, in sRGB, scaled to fit.

    Args:
        path: An image file.
        bounds: Largest width and height in pixels. Smaller images are enlarged, so that columns align.

    Returns:
        The image; None if the file is missing or cannot be decoded.
    """
    try:
        photo = decode(read_source(path))
    except PhotoError:
        return None
    scale = min(bounds[0] / photo.width, bounds[1] / photo.height)
    return thumbnail(photo, (max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
