"""Read TSC datasets: a folder of photos with one row per photo in `metadata.jsonl` (an `imagefolder`).

Boxes and points in the file are 0..1000 relative to the upright photo; in a `Record` they are 0..1.
No photo is opened and no training library is needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.detections import Detections, Face, Keypoint, Person, Point
from shotcrop_cli.geometry import PERMILLE, clip, from_permille
from shotcrop_cli.shots import (
    FACINGS,
    MANY_PEOPLE,
    NATIVE_SCALES,
    SETTINGS,
    SHOT_TYPES,
    Box,
    Composition,
    Grounding,
    Reasoning,
    Shot,
    ShotType,
)

METADATA = "metadata.jsonl"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Record:
    """One photo of a dataset.

    Args:
        path: The photo; not checked to exist.
        source: Name of the collection it comes from.
        width: Width of the upright photo in pixels.
        height: Height of the upright photo in pixels.
        squashed: The frame was squashed to a square, so its true aspect is unknown.
        captions: Captions of the whole photo, written by people; often none.
        detections: Detections in the photo; empty when no detector ran.
        composition: The expert's triple, or None. Its grounding holds people, setting, facing and native scale, but
            neither box of the main person.
        no_subject: No people are visible; such a row has no composition.
        accepted: For each shot of the triple, whether it is good enough to learn from. Shots of experts always are,
            those of pseudo labels not always.
    """

    path: Path
    source: str
    width: int
    height: int
    squashed: bool
    captions: tuple[str, ...]
    detections: Detections
    composition: Composition | None
    no_subject: bool
    accepted: tuple[bool, bool, bool] = (True, True, True)

    @property
    def aspect(self) -> float:
        """Width / height in pixels: 1.0 for a squashed photo, whose true aspect is unknown."""
        return self.width / self.height


def read_dataset(folder: Path) -> list[Record]:
    """Read every row of a dataset, in the order of the file.

    Args:
        folder: Holds `metadata.jsonl` and the photos that it names.

    Returns:
        One record per row. Empty lines are skipped.

    Raises:
        ShotcropError: The file is missing or unreadable, or a row is malformed; the message names its line.
    """
    records = []
    for number, line in read_lines(folder):
        try:
            records.append(read_row(folder, line))
        except (ValueError, OverflowError, RecursionError) as error:
            raise ShotcropError(
                f"{folder / METADATA}, line {number}: {error}", hint="fix or delete that line"
            ) from error
    return records


def read_lines(folder: Path) -> list[tuple[int, str]]:
    """Read the rows of a dataset as text, each with its line number; empty lines are skipped.

    Raises:
        ShotcropError: The file is missing or unreadable.
    """
    path = folder / METADATA
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise ShotcropError(
            f"{folder} is not a dataset: it has no {METADATA}",
            hint="name the folder that holds the photos and their metadata.jsonl",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ShotcropError(
            f"{path} cannot be read: {error}", hint="check its permissions and that it is UTF-8 text"
        ) from error
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def read_row(folder: Path, line: str) -> Record:
    """Parse one line of `metadata.jsonl`.

    Args:
        folder: The folder that the photo's name is relative to.
        line: One JSON object.

    Raises:
        ValueError: The line is malformed.
        OverflowError: A number is too large.
        RecursionError: The line is nested too deeply.
    """
    return parse_row(folder, json.loads(line))


def parse_row(folder: Path, content: object) -> Record:
    """Parse one row of a dataset.

    Args:
        folder: The folder that the photo's name is relative to.
        content: The JSON object.

    Raises:
        ValueError: The row is malformed.
        OverflowError: A number is too large.
    """
    row = _object(content, "the row")
    name = _text(row, "file_name")
    if not name:
        raise ValueError("file_name is empty")
    no_subject = _flag(row, "no_subject")
    annotation = None if row.get("annotation") is None else _object(row["annotation"], "annotation")
    if no_subject and annotation is not None:
        raise ValueError("a row is either no_subject or has an annotation, not both")
    return Record(
        path=folder / name,
        source=_text(row, "source", default=""),
        width=_pixels(row, "width"),
        height=_pixels(row, "height"),
        squashed=_flag(row, "squashed"),
        captions=tuple(_strings(row, "captions")),
        detections=_detections(_object(row.get("detections") or {}, "detections")),
        composition=None if annotation is None else _composition(annotation),
        no_subject=no_subject,
        accepted=(True, True, True) if annotation is None else _accepted(annotation),
    )


def _composition(annotation: Mapping[str, object]) -> Composition:
    shots = _object(annotation.get("shots"), "annotation.shots")
    unknown = sorted(set(shots) - {str(shot_type) for shot_type in SHOT_TYPES})
    if unknown:
        raise ValueError(f"annotation.shots has unknown shots: {', '.join(unknown)}")
    people = annotation.get("people")
    if people is not None and (not isinstance(people, int) or isinstance(people, bool) or people < 1):
        raise ValueError(f"people must be a whole number of at least 1, not {people!r}")
    return Composition(
        shots=tuple(_shot(shot_type, shots) for shot_type in SHOT_TYPES),
        reasoning=Reasoning(
            scene=_text(annotation, "scene", default=""),
            subject=_text(annotation, "subject", default=""),
            story=_text(annotation, "story", default=""),
        ),
        grounding=Grounding(
            people=None if people is None else min(people, MANY_PEOPLE),
            setting=_choice(annotation, "setting", SETTINGS),
            facing=_choice(annotation, "facing", FACINGS),
            native_scale=_choice(annotation, "native_scale", NATIVE_SCALES),
        ),
    )


def _accepted(annotation: Mapping[str, object]) -> tuple[bool, bool, bool]:
    shots = _object(annotation.get("shots"), "annotation.shots")
    wide, medium, close = (
        _flag(_object(shots.get(kind.value), f"annotation.shots.{kind}"), "accepted", default=True)
        for kind in SHOT_TYPES
    )
    return wide, medium, close


def _shot(shot_type: ShotType, shots: Mapping[str, object]) -> Shot:
    shot = _object(shots.get(shot_type.value), f"annotation.shots.{shot_type}")
    try:
        box = from_permille(_numbers(shot.get("box")))
    except ValueError as error:
        raise ValueError(f"{shot_type}: {error}") from None
    return Shot(shot_type, box, caption=_text(shot, "caption", default=""))


def _detections(row: Mapping[str, object]) -> Detections:
    """Parse detections; a box that is empty or outside the frame is dropped with its points."""
    return Detections(persons=tuple(_each(row, "persons", _person)), faces=tuple(_each(row, "faces", _face)))


def _each(row: Mapping[str, object], key: str, read: Callable[[Mapping[str, object], Box], _T]) -> list[_T]:
    found = []
    for item in _list(row, key):
        entry = _object(item, f"an entry of detections.{key}")
        sides = _numbers(entry.get("box"), count=4)
        box = clip(*(side / PERMILLE for side in sides))
        if box is not None:
            found.append(read(entry, box))
    return found


def _person(entry: Mapping[str, object], box: Box) -> Person:
    points = (_numbers(point, count=3) for point in _list(entry, "keypoints"))
    keypoints = tuple(Keypoint(x / PERMILLE, y / PERMILLE, confidence) for x, y, confidence in points)
    return Person(box, _score(entry), keypoints)


def _face(entry: Mapping[str, object], box: Box) -> Face:
    points = (_numbers(point, count=2) for point in _list(entry, "landmarks"))
    return Face(box, _score(entry), tuple(Point(x / PERMILLE, y / PERMILLE) for x, y in points))


def _score(entry: Mapping[str, object]) -> float:
    (score,) = _numbers([entry.get("score")])
    return score


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object")
    return value


def _list(row: Mapping[str, object], key: str) -> Sequence[object]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list")
    return value


def _strings(row: Mapping[str, object], key: str) -> Sequence[str]:
    values = _list(row, key)
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values):
        raise ValueError(f"{key} must be a list of strings")
    return texts


def _text(row: Mapping[str, object], key: str, *, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string, not {value!r}")
    return value


def _choice(row: Mapping[str, object], key: str, choices: Sequence[str]) -> str | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{key} must be one of {', '.join(choices)}, not {value!r}")
    return value


def _flag(row: Mapping[str, object], key: str, *, default: bool = False) -> bool:
    value = row.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, not {value!r}")
    return value


def _pixels(row: Mapping[str, object], key: str) -> int:
    value = row.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} must be a whole number of pixels, not {value!r}")
    return value


def _numbers(value: object, *, count: int | None = None) -> list[float]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list of numbers, not {value!r}")
    numbers = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item):
            raise ValueError(f"expected finite numbers, not {item!r}")
        numbers.append(float(item))
    if count is not None and len(numbers) != count:
        raise ValueError(f"expected {count} numbers, not {len(numbers)}")
    return numbers
