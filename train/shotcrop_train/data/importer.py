"""`shotcrop train import-data`: turn annotations of other tools, or answers of models, into a dataset.

Photos are hard-linked into the new dataset, or copied if the file system cannot link. Nothing is guessed: the first
error ends the import before anything is written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shotcrop_cli.errors import AnswerError, OutputError, ShotcropError
from shotcrop_cli.evaluation.dataset import METADATA
from shotcrop_cli.geometry import to_permille
from shotcrop_cli.model.large.answer import CoordSpace, parse
from shotcrop_cli.shots import Composition
from shotcrop_train.data.drawn_boxes import Entry, Unit, entries_of, fault, load_file, photo_size
from shotcrop_train.data.label_files import FORMATS


def import_labels(kind: str, source: Path, photos: Path, output: Path, unit: Unit | None = None) -> Path:
    """Make a dataset from the boxes that somebody drew in an annotation tool; see `label_files`.

    Args:
        kind: Name of the format, one of `FORMATS`.
        source: The file, or for Labelme the folder of files.
        photos: Folder that the names of photos are relative to.
        output: The dataset's folder.
        unit: What the numbers of a CSV file count; None for pixels. The other formats say it themselves.

    Returns:
        `output`.

    Raises:
        ShotcropError: The file, a photo or a box is not as described; the message names it.
        OutputError: The dataset cannot be written or exists already.
    """
    own, read = FORMATS[kind]
    return _write(entries_of(source, read(source, photos), photos, unit or own), photos, output)


def import_coco(source: Path, photos: Path, output: Path) -> Path:
    """Make a dataset from a COCO-style file; see `import_labels`."""
    return import_labels("coco", source, photos, output)


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
    lines = load_file(source, lambda: source.read_text(encoding="utf-8-sig").split("\n"))
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, text = str(row["file_name"]), str(row["answer"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise fault(source, f"line {number} is not an object with file_name and answer") from None
        size = photo_size(photos, name)
        try:
            entries.append(Entry(name, size, parse(text, space=space, image_size=size)))
        except AnswerError as error:
            raise fault(source, f"line {number}, {name}: {error.message}") from None
    return _write(entries, photos, output)


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
