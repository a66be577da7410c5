"""Boxes that people drew in annotation tools, and the checks that find usual mistakes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import TypeVar

from PIL import Image

from shotcrop_cli.errors import AnswerError, PhotoError, ShotcropError
from shotcrop_cli.geometry import clip
from shotcrop_cli.model.large.answer import shot_type
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, NoSubject, Shot, ShotType
from shotcrop_train.data.samples import load_photo

STRAY_PIXELS = 2.0
"""A hand-drawn box may leave the photo by this many pixels and is clipped. Our own choice."""
LARGE_PHOTO = 1500
"""Boxes of a photo with a longer side are hardly all below 1000 pixels. Our own choice."""

_T = TypeVar("_T")


class Unit(str, Enum):
    """What the numbers of boxes count."""

    PIXELS = "pixels"
    SHARES = "shares"
    PERMILLE = "permille"
    PERCENT = "percent"

    @property
    def words(self) -> str:
        """Name the unit in messages."""
        return {"pixels": "pixels", "shares": "shares from 0 to 1", "permille": "numbers from 0 to 1000"}.get(
            self.value, "percent"
        )

    def per_side(self, side: int) -> float:
        """Return how many units a side of so many pixels has."""
        return {"pixels": float(side), "shares": 1.0, "permille": 1000.0, "percent": 100.0}[self.value]


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo and its answer.

    Args:
        name: The photo's name, relative to the folder of photos.
        size: Width and height of the upright photo in pixels.
        answer: The triple, or that there are no people.
    """

    name: str
    size: tuple[int, int]
    answer: Composition | NoSubject


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box as a tool wrote it.

    Args:
        label: Name of the shot.
        sides: Left, top, right and bottom.
        caption: Its caption, empty if there is none.
    """

    label: str
    sides: tuple[float, float, float, float]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A photo and its boxes.

    Args:
        name: The photo's name, relative to the folder of photos.
        boxes: Its boxes, none for a photo that no one has annotated; it is left out.
        size: Width and height in pixels that the tool saw; None if it does not say.
    """

    name: str
    boxes: Sequence[DrawnBox]
    size: tuple[int, int] | None = None


def entries_of(source: Path, photos_of: Iterable[LabelledPhoto], photos: Path, unit: Unit) -> list[Entry]:
    """Check boxes and make entries of them.

    Args:
        source: The file that they are from, for messages.
        photos_of: The photos with their boxes.
        photos: Folder of the photos.
        unit: What the numbers count.

    Raises:
        ShotcropError: A shot is missing, unknown or drawn twice, or a box is swapped, empty, outside or in other units.
        PhotoError: A photo cannot be opened.
    """
    labelled = [one for one in photos_of if one.boxes]
    if not labelled:
        raise fault(source, "holds no boxes", hint="draw a box of each shot, establishing, medium and close_up")
    sizes = {one.name: photo_size(photos, one.name) for one in labelled}
    _check_units(source, labelled, sizes, unit)
    return [_entry(source, one, sizes[one.name], unit) for one in labelled]


def _entry(source: Path, photo: LabelledPhoto, size: tuple[int, int], unit: Unit) -> Entry:
    if photo.size is not None and photo.size != size:
        raise fault(
            source,
            f"{photo.name} has {photo.size[0]} x {photo.size[1]} pixels there, but {size[0]} x {size[1]} when upright",
            hint="annotate the upright photo",
        )
    shots: dict[ShotType, Shot] = {}
    for drawn in photo.boxes:
        try:
            kind = shot_type(drawn.label)
        except AnswerError:
            known = ", ".join(str(one) for one in SHOT_TYPES)
            raise fault(
                source, f"{photo.name} has a box of an unknown shot: '{drawn.label}'", hint=f"name it one of {known}"
            ) from None
        if kind in shots:
            raise fault(source, f"{photo.name} has two {kind} boxes", hint="delete one of them; nothing was written")
        shots[kind] = Shot(kind, _box(source, f"{photo.name}, {kind}", drawn.sides, size, unit), drawn.caption.strip())
    missing = [str(kind) for kind in SHOT_TYPES if kind not in shots]
    if missing:
        raise fault(
            source,
            f"{photo.name} has no box for {', '.join(missing)}",
            hint="draw it, or delete the other boxes of this photo; nothing was written",
        )
    return Entry(photo.name, size, Composition(tuple(shots[kind] for kind in SHOT_TYPES)))


def _check_units(
    source: Path, labelled: Sequence[LabelledPhoto], sizes: Mapping[str, tuple[int, int]], unit: Unit
) -> None:
    """Find numbers that are all in another unit than they should be."""
    largest = max(side for one in labelled for box in one.boxes for side in box.sides)
    likely: Unit | None = None
    if unit is Unit.PIXELS and largest <= 1.0:
        likely = Unit.SHARES
    elif unit is Unit.PIXELS and largest <= 1000.0 and _looks_permille(labelled, sizes):
        likely = Unit.PERMILLE
    elif unit is Unit.PERMILLE and largest <= 1.0:
        likely = Unit.SHARES
    elif unit is Unit.SHARES and 1.5 < largest <= 100.0:
        likely = Unit.PERCENT
    elif unit is Unit.SHARES and 100.0 < largest <= 1000.0:
        likely = Unit.PERMILLE
    elif (unit is Unit.SHARES and largest > 1000.0) or (unit is Unit.PERMILLE and largest > 1010.0):
        likely = Unit.PIXELS
    if likely is not None:
        raise fault(
            source,
            f"boxes should be in {unit.words}, but they look like {likely.words}: the largest number is {largest:g}",
            hint=f"with --csv, say --coord-space {likely.value}; otherwise convert the boxes. Nothing was written",
        )


def _looks_permille(labelled: Sequence[LabelledPhoto], sizes: Mapping[str, tuple[int, int]]) -> bool:
    """Return whether pixels up to 1000 are unlikely: in large photos, or where they leave smaller ones."""
    if all(max(sizes[one.name]) >= LARGE_PHOTO for one in labelled):
        return True
    outside = [
        any(box.sides[2] > sizes[one.name][0] + 50 or box.sides[3] > sizes[one.name][1] + 50 for box in one.boxes)
        for one in labelled
    ]
    return len(labelled) > 1 and sum(outside) > len(labelled) / 2


def _box(source: Path, where: str, sides: tuple[float, float, float, float], size: tuple[int, int], unit: Unit) -> Box:
    x0, y0, x1, y1 = sides
    width, height = unit.per_side(size[0]), unit.per_side(size[1])
    shown = [round(side, 3 if unit is Unit.SHARES else 1) for side in sides]
    if x1 < x0 or y1 < y0:
        right = [min(shown[0], shown[2]), min(shown[1], shown[3]), max(shown[0], shown[2]), max(shown[1], shown[3])]
        raise fault(
            source,
            f"{where}: the corners of the box {shown} are swapped",
            hint=f"write left, top, right, bottom: {right}; nothing was written",
        )
    stray = STRAY_PIXELS * width / size[0], STRAY_PIXELS * height / size[1]
    inside = x0 >= -stray[0] and y0 >= -stray[1] and x1 <= width + stray[0] and y1 <= height + stray[1]
    box = clip(x0 / width, y0 / height, x1 / width, y1 / height) if inside else None
    if box is None:
        raise fault(
            source,
            f"{where}: the box {shown} is empty or leaves the photo of {size[0]} x {size[1]} pixels"
            + ("" if unit is Unit.PIXELS else f", in {unit.words}"),
        )
    return box


def load_file(source: Path, read: Callable[[], _T]) -> _T:
    """Return what `read` makes of a file.

    Raises:
        ShotcropError: It cannot be read; the message names it.
    """
    try:
        return read()
    except (OSError, ValueError, RecursionError, SyntaxError) as error:
        raise fault(source, f"cannot be read: {error}") from error


def fault(source: Path, message: str, *, hint: str = "fix the file; nothing was written") -> ShotcropError:
    """Return the error for a faulty file."""
    return ShotcropError(f"{source}: {message}", hint=hint)


def photo_size(photos: Path, name: str) -> tuple[int, int]:
    """Return width and height of an upright photo.

    Raises:
        PhotoError: It is not in the folder, or it cannot be opened.
    """
    path = photos / name
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise PhotoError(f"{name} is not in {photos}", hint="name photos relative to the folder of photos")
    try:
        return load_photo(path).size
    except FileNotFoundError:
        raise PhotoError(f"{path} does not exist", hint="name the folder of the photos with --photos") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{path} cannot be opened: {error}", hint="export the photo again") from error
