"""`shotcrop train import-data`: turn annotations of other tools, or answers of models, into a dataset.

Photos are hard-linked into the new dataset, or copied if the file system cannot link. Nothing is guessed: the first
error ends the import before anything is written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from PIL import Image

from shotcrop_cli.errors import AnswerError, OutputError, PhotoError, ShotcropError
from shotcrop_cli.evaluation.dataset import METADATA
from shotcrop_cli.geometry import clip, to_permille
from shotcrop_cli.model.large.answer import CoordSpace, parse, shot_type
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, NoSubject, Shot, ShotType
from shotcrop_train.data.samples import load_photo

STRAY_PIXELS = 2.0
"""A hand-drawn box may leave the photo by this many pixels and is clipped. Our own choice."""

_T = TypeVar("_T")


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


def import_coco(source: Path, photos: Path, output: Path) -> Path:
    """Make a dataset from a COCO-style file.

    Its categories are `establishing`, `medium` and `close_up`; every annotated image has one box of each, `bbox` as
    x, y, width and height in pixels of the upright photo. The annotation may hold a caption, as `caption` or as an
    attribute of that name. Images without annotations are left out.

    Args:
        source: The JSON file.
        photos: Folder that the images' `file_name` is relative to.
        output: The dataset's folder.

    Returns:
        `output`.

    Raises:
        ShotcropError: The file, a photo or an annotation is not as described; the message names it.
        OutputError: The dataset cannot be written or exists already.
    """
    content = _load(source, lambda: json.loads(source.read_text(encoding="utf-8-sig")))
    try:
        kinds = {category["id"]: shot_type(category["name"]) for category in content["categories"]}
        images = {image["id"]: image for image in content["images"]}
        boxes: dict[Any, list[Mapping[str, Any]]] = {}
        for annotation in content["annotations"]:
            boxes.setdefault(annotation["image_id"], []).append(annotation)
        entries = [
            _coco_entry(source, photos, images[identity], kinds, annotations) for identity, annotations in boxes.items()
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _fault(source, f"is not COCO-style: {type(error).__name__} {error}") from error
    except AnswerError as error:
        raise _fault(source, error.message) from None
    return _write(entries, photos, output)


def _coco_entry(
    source: Path,
    photos: Path,
    image: Mapping[str, Any],
    kinds: Mapping[Any, ShotType],
    annotations: Sequence[Mapping[str, Any]],
) -> Entry:
    name = str(image["file_name"])
    width, height = _photo_size(photos, name)
    if (image.get("width", width), image.get("height", height)) != (width, height):
        raise _fault(
            source,
            f"{name} has {image['width']} x {image['height']} pixels there, but {width} x {height} when upright",
            hint="annotate the upright photo",
        )
    shots: dict[ShotType, Shot] = {}
    for annotation in annotations:
        kind = kinds[annotation["category_id"]]
        if kind in shots:
            raise _fault(source, f"{name} has two {kind} boxes")
        x, y, w, h = (float(number) for number in annotation["bbox"])
        caption = annotation.get("caption") or annotation.get("attributes", {}).get("caption", "")
        shots[kind] = Shot(kind, _box(source, f"{name}, {kind}", (x, y, x + w, y + h), (width, height)), str(caption))
    missing = [str(kind) for kind in SHOT_TYPES if kind not in shots]
    if missing:
        raise _fault(source, f"{name} has no box for {', '.join(missing)}")
    return Entry(name, (width, height), Composition(tuple(shots[kind] for kind in SHOT_TYPES)))


def _box(source: Path, where: str, sides: Sequence[float], size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = sides
    width, height = size
    inside = min(x0, y0) >= -STRAY_PIXELS and x1 <= width + STRAY_PIXELS and y1 <= height + STRAY_PIXELS
    box = clip(x0 / width, y0 / height, x1 / width, y1 / height) if inside else None
    if box is None:
        raise _fault(source, f"{where}: the box {[round(side, 1) for side in sides]} is empty or leaves the photo")
    return box


def import_answers(source: Path, photos: Path, output: Path, space: CoordSpace = CoordSpace.PERMILLE) -> Path:
    """Make a dataset from models' answers, JSON Lines of `{"file_name": ..., "answer": ...}`.

    Args:
        source: The file; an answer is any text that `shotcrop_cli.model.large.answer.parse` reads, bbox tags included.
        photos: Folder that `file_name` is relative to.
        output: The dataset's folder.
        space: How the boxes are written; absolute ones are in pixels of the upright photo.

    Returns:
        `output`.

    Raises:
        ShotcropError: A line, photo or answer is not as described; the message names it.
        OutputError: The dataset cannot be written or exists already.
    """
    lines = _load(source, lambda: source.read_text(encoding="utf-8-sig").split("\n"))
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, text = str(row["file_name"]), str(row["answer"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _fault(source, f"line {number} is not an object with file_name and answer") from None
        size = _photo_size(photos, name)
        try:
            entries.append(Entry(name, size, parse(text, space=space, image_size=size)))
        except AnswerError as error:
            raise _fault(source, f"line {number}, {name}: {error.message}") from None
    return _write(entries, photos, output)


def _load(source: Path, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except (OSError, ValueError, RecursionError) as error:
        raise _fault(source, f"cannot be read: {error}") from error


def _fault(source: Path, message: str, *, hint: str = "fix the file; nothing was written") -> ShotcropError:
    return ShotcropError(f"{source}: {message}", hint=hint)


def _photo_size(photos: Path, name: str) -> tuple[int, int]:
    path = photos / name
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise PhotoError(f"{name} is not in {photos}", hint="name photos relative to the folder of photos")
    try:
        return load_photo(path).size
    except FileNotFoundError:
        raise PhotoError(f"{path} does not exist", hint="name the folder of the photos with --photos") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{path} cannot be opened: {error}", hint="export the photo again") from error


def _write(entries: Sequence[Entry], photos: Path, output: Path) -> Path:
    target = output / METADATA
    if target.exists():
        raise OutputError(f"{target} exists already", hint="name a new folder with --output")
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ShotcropError(f"{twice} is annotated twice", hint="keep one of the two; nothing was written")
    try:
        for name in names:
            link_photo(photos / name, output / name)
        output.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        partial.write_text("".join(f"{line}\n" for line in _rows(entries)), encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written: {error}", hint="check its permissions and free space"
        ) from error
    return output


def link_photo(photo: Path, place: Path) -> None:
    """Link a photo into a dataset, or copy it where the file system cannot link.

    Raises:
        OutputError: There is another file.
        OSError: The folder cannot be written.
    """
    if place.exists():
        if not place.samefile(photo):
            raise OutputError(f"{place} exists already and is a different file", hint="name a new folder with --output")
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(photo.resolve(), place)
    except OSError:
        shutil.copyfile(photo, place)


def _rows(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        width, height = entry.size
        row: dict[str, Any] = {"file_name": entry.name, "width": width, "height": height}
        if isinstance(entry.answer, Composition):
            reasoning = entry.answer.reasoning
            row["annotation"] = {
                **{"scene": reasoning.scene, "subject": reasoning.subject, "story": reasoning.story},
                "shots": {
                    str(shot.type): {"box": list(to_permille(shot.box)), "caption": shot.caption}
                    for shot in entry.answer.shots
                },
            }
        else:
            row["no_subject"] = True
        yield json.dumps(row, ensure_ascii=False)
