"""Write boxes in the formats of annotation tools: COCO and Label Studio. Rejected shots are left out.

Sources: the format page of cocodataset.org, and the pages "Import pre-annotated data" and "Label Studio Task Format" of
labelstud.io.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shotcrop_cli import __version__
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import format_of
from shotcrop_cli.interchange.recorded_photo import RecordedPhoto
from shotcrop_cli.library.atomic_write import check_can_write, written_whole
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.sidecar import SCORE_DIGITS, ShotRecord

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves the files of its own machine: the path below its document root follows."""
BOXES, CAPTIONS, IMAGE = "shot", "caption", "photo"
"""Names of the tags in the labelling configuration of Label Studio."""
_COPY_BYTES = 1 << 20


def check_annotations(path: Path) -> None:
    """Check that annotations can be written to a file, before the work and not after.

    Raises:
        ShotcropError: Its suffix is not .json, or it has the name of a sidecar.
        OutputError: Its folder cannot be written.
    """
    if path.suffix.lower() != ".json":
        raise ShotcropError(f"{path}: shotcrop writes annotations as JSON", hint="let the name end with .json")
    if path.name.endswith(SIDECAR_SUFFIX) and format_of(Path(path.name.removesuffix(SIDECAR_SUFFIX))) is not None:
        raise ShotcropError(f"{path}: sidecars have such names", hint="choose a name such as boxes.json")
    check_can_write(path)


def write_coco(path: Path, photos: Iterable[RecordedPhoto]) -> int:
    """Write the boxes as a COCO file for object detection, and return their number.

    The categories are the three shots. Photos without boxes are images without annotations. Images come before
    annotations, so these wait in a temporary file.

    Raises:
        OutputError: The file cannot be written.
    """
    numbers = count(1)
    boxes = 0
    with written_whole(path) as file, tempfile.TemporaryFile() as waiting:
        categories = [{"id": number, "name": str(shot)} for number, shot in enumerate(SHOT_TYPES, start=1)]
        head = {"info": {"description": "Crops by shotcrop", "version": __version__}, "licenses": []}
        file.write(_json({**head, "categories": categories})[:-1] + b', "images": [')
        for image, photo in enumerate(photos, start=1):
            file.write((b",\n" if image > 1 else b"\n") + _json(_coco_image(image, photo)))
            for shot in _wanted(photo):
                waiting.write((b",\n" if boxes else b"\n") + _json(_coco_annotation(next(numbers), image, shot)))
                boxes += 1
        file.write(b'\n], "annotations": [')
        waiting.seek(0)
        shutil.copyfileobj(waiting, file, _COPY_BYTES)
        file.write(b"\n]}\n")
    return boxes


def _coco_image(number: int, photo: RecordedPhoto) -> dict[str, Any]:
    source = photo.record.source
    image = {"id": number, "file_name": photo.name, "width": source.width, "height": source.height}
    return image if source.captured_at is None else {**image, "date_captured": source.captured_at}


def _coco_annotation(number: int, image: int, shot: ShotRecord) -> dict[str, Any]:
    box = shot.box
    left, upper, right, lower = box.corners
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image,
        "category_id": SHOT_TYPES.index(shot.shot) + 1,
        "bbox": [box.x, box.y, box.width, box.height],
        "area": box.width * box.height,
        "segmentation": [[left, upper, right, upper, right, lower, left, lower]],
        "iscrowd": 0,
        "caption": shot.caption,
        "attributes": {"edited": shot.edited},
    }
    if shot.alt_text:
        annotation["alt_text"] = shot.alt_text
    return annotation if shot.score is None else {**annotation, "score": round(shot.score, SCORE_DIGITS)}


def write_label_studio(path: Path, photos: Iterable[RecordedPhoto], image_url: str = LOCAL_FILES) -> int:
    """Write the boxes and captions as tasks with predictions for Label Studio, and return the number of boxes.

    Args:
        path: The file.
        photos: The photos; each becomes a task, also without boxes.
        image_url: What comes before the path of a photo below its library.

    Raises:
        OutputError: The file cannot be written.
    """
    boxes = 0
    with written_whole(path) as file:
        file.write(b"[")
        for number, photo in enumerate(photos):
            task = _task(photo, image_url)
            boxes += len(list(_wanted(photo)))
            file.write((b",\n" if number else b"\n") + _json(task))
        file.write(b"\n]\n")
    return boxes


def _task(photo: RecordedPhoto, image_url: str) -> dict[str, Any]:
    shots = list(_wanted(photo))
    scores = [shot.score for shot in shots if shot.score is not None]
    prediction: dict[str, Any] = {
        "model_version": photo.record.model.id,
        "result": [region for shot in shots for region in _regions(photo, shot)],
    }
    if scores:  # the lowest, so that tasks sorted by score begin with the doubtful ones
        prediction["score"] = round(min(scores), SCORE_DIGITS)
    return {
        "data": {IMAGE: image_url + quote(os.fsencode(photo.name)), "name": photo.name},
        "predictions": [prediction] if shots else [],
    }


def _regions(photo: RecordedPhoto, shot: ShotRecord) -> Iterator[dict[str, Any]]:
    """Yield the box of a shot, and its caption as a text of that region."""
    source, box = photo.record.source, shot.box
    place = {
        "x": 100 * box.x / source.width,
        "y": 100 * box.y / source.height,
        "width": 100 * box.width / source.width,
        "height": 100 * box.height / source.height,
        "rotation": 0,
    }
    region = {
        "id": str(shot.shot),
        "to_name": IMAGE,
        "original_width": source.width,
        "original_height": source.height,
        "image_rotation": 0,
    }
    score = {} if shot.score is None else {"score": round(shot.score, SCORE_DIGITS)}
    yield {
        **region,
        "from_name": BOXES,
        "type": "rectanglelabels",
        "value": {**place, "rectanglelabels": [str(shot.shot)]},
        **score,
    }
    if shot.caption:
        yield {**region, "from_name": CAPTIONS, "type": "textarea", "value": {**place, "text": [shot.caption]}}


def _wanted(photo: RecordedPhoto) -> Iterator[ShotRecord]:
    return (shot for shot in photo.record.shots if not photo.is_rejected(shot))


def _json(value: object) -> bytes:
    # File names that are not UTF-8 have lone surrogates here, which JSON can write as ASCII escapes.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
