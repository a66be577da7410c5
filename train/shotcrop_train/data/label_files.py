"""Files of annotation tools: COCO, Label Studio, CVAT, VIA, Labelme, and CSV tables.

Each photo has one box of each of `establishing`, `medium` and `close_up`. Sources: the format pages of cocodataset.org,
labelstud.io ("Label Studio JSON format of annotated tasks"), docs.cvat.ai ("CVAT for images 1.1"), the VIA 2 user guide
of the Visual Geometry Group, and the files that Labelme 5 writes.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lxml import etree

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.large.answer import shot_type
from shotcrop_train.data.drawn_boxes import DrawnBox, LabelledPhoto, Unit, fault, load_file

CAPTION = "caption"
"""Name of the attribute, column or text field with the caption of a box."""
_COLUMNS = (("x0", "y0", "x1", "y1"), ("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"))
_WRONG = (KeyError, TypeError, AttributeError, ValueError, IndexError)
"""What reading a file of another form raises."""


def _json(path: Path) -> Any:
    return load_file(path, lambda: json.loads(path.read_text(encoding="utf-8-sig")))


def read_coco(source: Path, photos: Path) -> list[LabelledPhoto]:
    """Read a COCO file: `bbox` is x, y, width and height in pixels of the upright photo.

    The caption is the annotation's `caption`, or an attribute of that name.
    """
    content = _json(source)
    try:
        kinds = {category["id"]: str(category["name"]) for category in content["categories"]}
        images = {image["id"]: image for image in content["images"]}
        boxes: dict[Any, list[DrawnBox]] = {}
        for annotation in content["annotations"]:
            images[annotation["image_id"]]
            x, y, w, h = (float(number) for number in annotation["bbox"])
            caption = annotation.get(CAPTION) or annotation.get("attributes", {}).get(CAPTION, "")
            drawn = DrawnBox(kinds[annotation["category_id"]], (x, y, x + w, y + h), str(caption))
            boxes.setdefault(annotation["image_id"], []).append(drawn)
        return [
            LabelledPhoto(str(images[identity]["file_name"]), drawn, _size(images[identity]))
            for identity, drawn in boxes.items()
        ]
    except _WRONG as error:
        raise fault(source, f"is not COCO-style: {type(error).__name__} {error}") from error


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    return (int(image["width"]), int(image["height"])) if "width" in image and "height" in image else None


def read_label_studio(source: Path, photos: Path) -> list[LabelledPhoto]:
    """Read a JSON export of Label Studio, with rectangles in percent and captions as texts of regions.

    A task without annotations takes its prediction, if the file has it, such as those that `shotcrop export
    --label-studio` writes; Label Studio itself exports only the numbers of predictions. A skipped task has no boxes.
    """
    content = _json(source)
    if isinstance(content, list) and any("annotations" not in one and "predictions" not in one for one in content):
        raise fault(
            source,
            "is no full export of Label Studio: a task has no annotations",
            hint="choose the format JSON when you export, not JSON-MIN",
        )
    try:
        return [_task(source, task, photos) for task in content]
    except _WRONG as error:
        raise fault(source, f"is not a JSON export of Label Studio: {type(error).__name__} {error}") from error


def _task(source: Path, task: Mapping[str, Any], photos: Path) -> LabelledPhoto:
    data = task["data"]
    address = data.get("name") or next(
        value for value in data.values() if isinstance(value, str) and ("/" in value or "." in value)
    )
    name = _name_in(photos, address)
    annotations = task.get("annotations", [])
    done = [one for one in annotations if not one.get("was_cancelled")]
    if len(done) > 1:
        raise fault(source, f"{name} has {len(done)} annotations", hint="keep one of each photo; nothing was written")
    proposed = [] if annotations else [one for one in task.get("predictions", []) if isinstance(one, dict)]
    chosen = (done or proposed or [{"result": []}])[0]
    texts: dict[str, str] = {}
    rectangles: list[tuple[str, str, tuple[float, float, float, float], tuple[int, int]]] = []
    for region in chosen["result"]:
        value = region["value"]
        if region["type"] == "textarea":
            texts[region["id"]] = " ".join(value["text"]) if isinstance(value["text"], list) else str(value["text"])
        elif region["type"] == "rectanglelabels":
            if abs(float(value.get("rotation", 0))) > 0.5:
                raise fault(source, f"{name} has a turned box", hint="draw it upright; nothing was written")
            x, y, w, h = (float(value[key]) for key in ("x", "y", "width", "height"))
            size = int(region["original_width"]), int(region["original_height"])
            rectangles.append((region["id"], value["rectanglelabels"][0], (x, y, x + w, y + h), size))
    boxes = [DrawnBox(label, sides, texts.get(identity, "")) for identity, label, sides, _ in rectangles]
    return LabelledPhoto(name, boxes, rectangles[0][3] if rectangles else None)


def _name_in(photos: Path, address: str) -> str:
    """Return the name of a photo below `photos` that an address of Label Studio means."""
    parts = urlsplit(address)
    path = parse_qs(parts.query).get("d", [None])[0] if parts.query else None
    text = unquote(path or parts.path or address).lstrip("/")
    steps = PurePosixPath(text).parts
    for first in range(len(steps)):
        name = PurePosixPath(*steps[first:]).as_posix()
        # Label Studio puts eight letters and a dash before the names of uploaded files.
        for one in (name, re.sub(r"(^|/)[0-9a-f]{8}-([^/]+)$", r"\1\2", name)):
            if (photos / one).is_file():
                return one
    return text


def read_cvat(source: Path, photos: Path) -> list[LabelledPhoto]:
    """Read an XML file of the format "CVAT for images 1.1", with captions as an attribute of that name."""

    def parse() -> Any:
        # A file from somewhere else may not read other files or grow without end.
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        return etree.fromstring(source.read_bytes(), parser)

    root = load_file(source, parse)
    try:
        if root.tag != "annotations":
            raise ValueError(f"its root is <{root.tag}>, not <annotations>")
        return [
            LabelledPhoto(
                image.get("name"),
                [_cvat_box(source, image.get("name"), box) for box in image.findall("box")],
                (int(image.get("width")), int(image.get("height"))),
            )
            for image in root.findall("image")
        ]
    except _WRONG as error:
        raise fault(
            source,
            f"is not a file of CVAT: {error}",
            hint="export the format 'CVAT for images 1.1', and unpack annotations.xml",
        ) from error


def _cvat_box(source: Path, name: str, box: Any) -> DrawnBox:
    if abs(float(box.get("rotation", 0))) > 0.5:
        raise fault(source, f"{name} has a turned box", hint="draw it upright; nothing was written")
    x0, y0, x1, y1 = (float(box.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
    caption = next((one.text or "" for one in box.findall("attribute") if one.get("name") == CAPTION), "")
    return DrawnBox(box.get("label"), (x0, y0, x1, y1), caption)


def read_via(source: Path, photos: Path) -> list[LabelledPhoto]:
    """Read a JSON file of the VGG Image Annotator 2: its annotations, or a whole project.

    One attribute of a region, of whatever name, says which shot it is; the attribute `caption` is its caption.
    """
    content = _json(source)
    try:
        images = content.get("_via_img_metadata", content)
        return [LabelledPhoto(str(image["filename"]), list(_via_boxes(source, image))) for image in images.values()]
    except _WRONG as error:
        raise fault(source, f"is not a JSON file of VIA 2: {type(error).__name__} {error}") from error


def _via_boxes(source: Path, image: Mapping[str, Any]) -> Iterator[DrawnBox]:
    regions = image["regions"]
    for region in regions.values() if isinstance(regions, dict) else regions:
        shape, attributes = region["shape_attributes"], region["region_attributes"]
        if shape["name"] != "rect":
            raise fault(
                source, f"{image['filename']} has a {shape['name']}", hint="draw rectangles; nothing was written"
            )
        x, y, w, h = (float(shape[key]) for key in ("x", "y", "width", "height"))
        # A checkbox is a table of what is ticked.
        words = [
            next((word for word, on in value.items() if on), "") if isinstance(value, dict) else str(value)
            for name, value in attributes.items()
            if name != CAPTION
        ]
        label = next((word for word in words if _is_shot(word)), words[0] if words else "")
        yield DrawnBox(label, (x, y, x + w, y + h), str(attributes.get(CAPTION, "")))


def _is_shot(word: str) -> bool:
    try:
        shot_type(word)
    except AnswerError:
        return False
    return True


def read_labelme(source: Path, photos: Path) -> list[LabelledPhoto]:
    """Read a folder of Labelme's JSON files, one for each photo. The description of a shape is its caption.

    A rectangle is any two opposite corners, in the order in which they were drawn.
    """
    found = []
    for path in sorted(source.rglob("*.json")):
        content = _json(path)
        try:
            name = _labelme_name(source, path, str(content["imagePath"]), photos)
            boxes = []
            for shape in content["shapes"]:
                if shape.get("shape_type", "polygon") != "rectangle":
                    raise fault(path, f"has a {shape.get('shape_type')}", hint="draw rectangles; nothing was written")
                (x0, y0), (x1, y1) = shape["points"]
                sides = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
                boxes.append(DrawnBox(str(shape["label"]), sides, str(shape.get("description") or "")))
            size = (int(content["imageWidth"]), int(content["imageHeight"])) if content.get("imageWidth") else None
            found.append(LabelledPhoto(name, boxes, size))
        except _WRONG as error:
            raise fault(path, f"is not a file of Labelme: {type(error).__name__} {error}") from error
    if not found:
        raise fault(source, "holds no JSON files", hint="name the folder of Labelme's files with --labelme")
    return found


def _labelme_name(source: Path, path: Path, image: str, photos: Path) -> str:
    """Return the photo's name below `photos`. Labelme writes it relative to its own file."""
    last = PurePosixPath(image.replace("\\", "/")).name
    beside = (path.parent.relative_to(source) / last).as_posix()
    return beside if (photos / beside).is_file() else last


def read_csv(source: Path, photos: Path) -> list[LabelledPhoto]:
    """Read a table with the columns `file_name`, `shot`, the four sides and, if there are captions, `caption`.

    The sides are `x0,y0,x1,y1`, `left,top,right,bottom` or `xmin,ymin,xmax,ymax`.
    """

    def parse() -> tuple[Sequence[str], list[dict[str, str]]]:
        with source.open(encoding="utf-8-sig", newline="") as file:
            start = file.read(4096)
            file.seek(0)
            separator = max(",;\t", key=start.partition("\n")[0].count)
            table = csv.DictReader(file, delimiter=separator)
            return list(table.fieldnames or ()), list(table)

    columns, rows = load_file(source, parse)
    sides = next((names for names in _COLUMNS if set(names) <= set(columns)), None)
    if sides is None or not {"file_name", "shot"} <= set(columns):
        raise fault(
            source,
            f"lacks columns: it has {', '.join(columns) or 'none'}",
            hint="name them file_name, shot, x0, y0, x1, y1 and caption in the first line",
        )
    boxes: dict[str, list[DrawnBox]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            x0, y0, x1, y1 = (float(row[name]) for name in sides)
        except (TypeError, ValueError):
            raise fault(source, f"line {number}: {', '.join(sides)} must be four numbers") from None
        drawn = DrawnBox(row["shot"] or "", (x0, y0, x1, y1), row.get(CAPTION) or "")
        boxes.setdefault(row["file_name"] or "", []).append(drawn)
    return [LabelledPhoto(name, drawn) for name, drawn in boxes.items()]


FORMATS: Mapping[str, tuple[Unit, Callable[[Path, Path], list[LabelledPhoto]]]] = {
    "coco": (Unit.PIXELS, read_coco),
    "label-studio": (Unit.PERCENT, read_label_studio),
    "cvat": (Unit.PIXELS, read_cvat),
    "via": (Unit.PIXELS, read_via),
    "labelme": (Unit.PIXELS, read_labelme),
    "csv": (Unit.PIXELS, read_csv),
}
"""What each format counts in, and its reader. A reader gets the file and the folder of the photos."""
