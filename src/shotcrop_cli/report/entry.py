"""What a report shows of one photo: its sidecar and the images that the sidecar names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shotcrop_cli import sidecar
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.library.results import low_scores


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo of a report.

    Args:
        title: Path of the photo relative to its library, as the output tree mirrors it.
        folder: Folder of the sidecar and the crops.
        record: The sidecar.
    """

    title: str
    folder: Path
    record: sidecar.Sidecar

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
    def lowest_score(self) -> float:
        """Lowest score of its crops, as `Choice.below_score` counts them; infinity if none counts."""
        return min((low.score for low in low_scores(self.record.shots, math.inf)), default=math.inf)

    def open_source(self, bounds: tuple[int, int]) -> Image.Image | None:
        """Return the upright photo scaled to fit `bounds`; None if it cannot be read any more."""
        return open_scaled(Path(self.record.source.path), bounds)

    def open_crop(self, shot: sidecar.ShotRecord, bounds: tuple[int, int]) -> Image.Image | None:
        """Return the crop of a shot scaled to fit `bounds`; None if it is missing or cannot be read."""
        if shot.file is None or not is_inside(shot.file):
            return None
        return open_scaled(self.folder / shot.file, bounds)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which photos a report shows. The default is all of them.

    Args:
        status: Only photos that ended this way; None for any.
        below_score: Only photos with a crop that scores below this and that a person has not accepted; None for all.
        photos: Only these photos; None for all.
    """

    status: sidecar.SidecarStatus | None = None
    below_score: float | None = None
    photos: frozenset[Path] | None = None

    def __contains__(self, record: sidecar.Sidecar) -> bool:
        return (
            (self.status is None or record.status is self.status)
            and (self.below_score is None or bool(low_scores(record.shots, self.below_score)))
            and (self.photos is None or Path(record.source.path) in self.photos)
        )


ALL = Choice()


def gather(
    root: Path, limit: int | None = None, choice: Choice = ALL, *, lowest_first: bool = False
) -> tuple[list[Entry], list[ShotcropError]]:
    """Read the sidecars of an output folder in the order of their paths, or of the lowest score of each photo.

    Args:
        root: Output folder of `shotcrop crop`.
        limit: Largest number of entries; None for all.
        choice: Which photos to take.
        lowest_first: Whether photos with the lowest scores come first. Those without scores come last.

    Returns:
        An entry for each sidecar, and an error for each JSON file that is not a sidecar.
    """
    entries: list[Entry] = []
    errors: list[ShotcropError] = []
    for path in sorted(root.rglob("*.json")):
        if len(entries) == limit and not lowest_first:
            break
        try:
            record = sidecar.read(path)
        except ShotcropError as error:
            errors.append(error)
            continue
        if record in choice:
            title = path.relative_to(root).with_suffix("").as_posix()
            entries.append(Entry(title, path.parent, record))
    if lowest_first:
        entries.sort(key=lambda entry: entry.lowest_score)
    return entries[:limit], errors


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
