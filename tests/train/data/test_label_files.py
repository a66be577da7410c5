"""Boxes from annotation tools: each format's round trip, and the mistakes that people make."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from PIL import Image

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import read_dataset
from shotcrop_cli.main import cli
from shotcrop_cli.shots import SHOT_TYPES, Box
from shotcrop_train.data.check_data import check
from shotcrop_train.data.drawn_boxes import Unit
from shotcrop_train.data.importer import import_labels
from shotcrop_train.data.label_files import FORMATS

Boxes = Mapping[str, tuple[float, float, float, float]]
"""Left, top, right and bottom of each shot, in pixels."""

SIZES = {"trip/a.jpg": (200, 100), "b.jpg": (120, 160)}
DRAWN: dict[str, Boxes] = {
    "trip/a.jpg": {"establishing": (0, 0, 200, 100), "medium": (60, 10, 140, 90), "close_up": (80, 12, 120, 42)},
    "b.jpg": {"establishing": (6, 8, 114, 152), "medium": (30, 16, 90, 96), "close_up": (42, 16, 78, 64)},
}
CAPTIONS = {"establishing": "A wide field", "medium": "A man, waiting", "close_up": 'His "hat" & face'}


def write_coco(path: Path, photos: Mapping[str, Boxes]) -> None:
    images = [{"id": index, "file_name": name} for index, name in enumerate(photos)]
    annotations = [
        {"image_id": index, "category_id": kind, "bbox": [x0, y0, x1 - x0, y1 - y0], "caption": CAPTIONS[kind]}
        for index, boxes in enumerate(photos.values())
        for kind, (x0, y0, x1, y1) in boxes.items()
    ]
    kinds = {kind for boxes in photos.values() for kind in boxes}
    categories = [{"id": kind, "name": kind} for kind in kinds]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}), "utf-8")


def write_label_studio(path: Path, photos: Mapping[str, Boxes]) -> None:
    tasks = []
    for index, (name, boxes) in enumerate(photos.items()):
        width, height = SIZES[name]
        regions = []
        for kind, (x0, y0, x1, y1) in boxes.items():
            value = {
                "x": 100 * x0 / width, "y": 100 * y0 / height, "width": 100 * (x1 - x0) / width,
                "height": 100 * (y1 - y0) / height, "rotation": 0,
            }  # fmt: skip
            common = {"id": f"r{kind}", "original_width": width, "original_height": height}
            regions.append({**common, "type": "rectanglelabels", "value": {**value, "rectanglelabels": [kind]}})
            regions.append({**common, "type": "textarea", "value": {**value, "text": [CAPTIONS[kind]]}})
        # The first photo is on the annotator's disk, the second was uploaded.
        url = "/data/local-files/?d=trip/a.jpg" if index == 0 else "/data/upload/3/0a1b2c3d-b.jpg"
        skipped = {"was_cancelled": True, "result": []}
        tasks.append({"data": {"image": url}, "annotations": [skipped, {"was_cancelled": False, "result": regions}]})
    path.write_text(json.dumps(tasks), "utf-8")


def write_cvat(path: Path, photos: Mapping[str, Boxes]) -> None:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for name, boxes in photos.items():
        width, height = SIZES[name]
        image = ElementTree.SubElement(root, "image", {"name": name, "width": str(width), "height": str(height)})
        for kind, sides in boxes.items():
            corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(str, sides), strict=True))
            box = ElementTree.SubElement(image, "box", {"label": kind, "occluded": "0", **corners})
            ElementTree.SubElement(box, "attribute", {"name": "caption"}).text = CAPTIONS[kind]
    ElementTree.ElementTree(root).write(path, "utf-8", xml_declaration=True)


def write_via(path: Path, photos: Mapping[str, Boxes]) -> None:
    images = {}
    for index, (name, boxes) in enumerate(photos.items()):
        regions = [
            {
                "shape_attributes": {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0},
                "region_attributes": {"which": kind if index else {kind: True}, "caption": CAPTIONS[kind]},
            }
            for kind, (x0, y0, x1, y1) in boxes.items()
        ]
        images[f"{name}99"] = {"filename": name, "size": 99, "regions": regions, "file_attributes": {}}
    path.write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": images}), "utf-8")


def write_labelme(path: Path, photos: Mapping[str, Boxes]) -> None:
    path.mkdir()
    for name, boxes in photos.items():
        width, height = SIZES[name]
        shapes = [
            # A rectangle may be drawn from its lower right corner.
            {"label": kind, "shape_type": "rectangle", "points": [[x1, y1], [x0, y0]], "description": CAPTIONS[kind]}
            for kind, (x0, y0, x1, y1) in boxes.items()
        ]
        file = path / Path(name).with_suffix(".json")
        file.parent.mkdir(exist_ok=True)
        content = {"imagePath": Path(name).name, "imageWidth": width, "imageHeight": height, "shapes": shapes}
        file.write_text(json.dumps(content), "utf-8")


def write_csv(path: Path, photos: Mapping[str, Boxes]) -> None:
    quoted = {kind: text.replace('"', '""') for kind, text in CAPTIONS.items()}
    lines = ["file_name,shot,x0,y0,x1,y1,caption"]
    for name, boxes in photos.items():
        lines += [f'{name},{kind},{",".join(map(str, sides))},"{quoted[kind]}"' for kind, sides in boxes.items()]
    path.write_text("\n".join(lines) + "\n", "utf-8")


WRITERS: dict[str, Callable[[Path, Mapping[str, Boxes]], None]] = {
    "coco": write_coco,
    "label-studio": write_label_studio,
    "cvat": write_cvat,
    "via": write_via,
    "labelme": write_labelme,
    "csv": write_csv,
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 50).convert("RGB").save(path)
    return tmp_path / "photos"


def refused(kind: str, photos: Path, drawn: Mapping[str, Boxes], unit: Unit | None = None) -> ShotcropError:
    """Return the error of an import, which must have written nothing."""
    source, output = photos.parent / "source", photos.parent / "made"
    WRITERS[kind](source, drawn)
    with pytest.raises(ShotcropError) as caught:
        import_labels(kind, source, photos, output, unit)
    assert not output.exists()
    assert caught.value.hint and "\n" not in str(caught.value)
    return caught.value


def test_there_is_a_test_of_each_format() -> None:
    assert set(WRITERS) == set(FORMATS)


@pytest.mark.parametrize("kind", WRITERS)
def test_what_was_drawn_is_what_is_imported(kind: str, photos: Path, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path / "source", DRAWN)
    arguments = ["train", "import-data", f"--{kind}", tmp_path / "source", "--photos", photos, "-o", tmp_path / "made"]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    records = {
        record.path.relative_to(tmp_path / "made").as_posix(): record for record in read_dataset(tmp_path / "made")
    }
    assert set(records) == set(DRAWN)
    for name, boxes in DRAWN.items():
        width, height = SIZES[name]
        record = records[name]
        assert (record.width, record.height) == (width, height) and record.composition is not None
        for shot in SHOT_TYPES:
            x0, y0, x1, y1 = boxes[shot.value]
            wanted = Box(x0 / width, y0 / height, x1 / width, y1 / height)
            assert tuple(record.composition[shot].box) == pytest.approx(tuple(wanted), abs=1e-3)
            assert record.composition[shot].caption == CAPTIONS[shot.value]
    assert [one for one in check(tmp_path / "made") if one.severity == "error"] == []


def changed(name: str, kind: str, sides: tuple[float, float, float, float]) -> dict[str, Boxes]:
    return {**DRAWN, name: {**DRAWN[name], kind: sides}}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_box_outside_the_photo_is_named_with_the_photos_size(kind: str, photos: Path) -> None:
    error = refused(kind, photos, changed("b.jpg", "medium", (30, 16, 150, 96)))
    assert "b.jpg, medium: the box [" in error.message and "leaves the photo of 120 x 160 pixels" in error.message


@pytest.mark.parametrize("kind", WRITERS)
def test_a_missing_shot_is_named(kind: str, photos: Path) -> None:
    boxes = {name: box for name, box in DRAWN["b.jpg"].items() if name != "close_up"}
    assert "b.jpg has no box for close_up" in refused(kind, photos, {**DRAWN, "b.jpg": boxes}).message


@pytest.mark.parametrize("kind", ["coco", "label-studio", "cvat", "via", "csv"])
def test_swapped_corners_are_named_and_put_right_in_the_hint(kind: str, photos: Path) -> None:
    error = refused(kind, photos, changed("trip/a.jpg", "medium", (140, 10, 60, 90)))
    assert "trip/a.jpg, medium: the corners of the box [" in error.message and "are swapped" in error.message
    right = "[30.0, 10.0, 70.0, 90.0]" if kind == "label-studio" else "[60.0, 10.0, 140.0, 90.0]"
    assert right in (error.hint or "")


@pytest.mark.parametrize("kind", ["coco", "label-studio", "cvat", "via", "labelme"])
def test_an_unknown_shot_is_named_with_the_known_ones(kind: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAPTIONS, "portrait", "")
    error = refused(kind, photos, {**DRAWN, "b.jpg": {"portrait": (1, 1, 9, 9)}})
    assert "b.jpg has a box of an unknown shot: 'portrait'" in error.message
    assert "establishing, medium, close_up" in (error.hint or "")


def test_a_shot_drawn_twice_is_named(photos: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "source", DRAWN)
    twice = (tmp_path / "source").read_text("utf-8") + "b.jpg,Close Up,42,16,78,64,again\n"
    (tmp_path / "source").write_text(twice, "utf-8")
    with pytest.raises(ShotcropError, match=r"b\.jpg has two close_up boxes"):
        import_labels("csv", tmp_path / "source", photos, tmp_path / "made")


def scaled(unit: Unit) -> dict[str, Boxes]:
    """Return the boxes in another unit than pixels."""
    return {
        name: {
            kind: (
                x0 / width * unit.per_side(width), y0 / height * unit.per_side(height),
                x1 / width * unit.per_side(width), y1 / height * unit.per_side(height),
            )
            for kind, (x0, y0, x1, y1) in boxes.items()
        }
        for name, boxes in DRAWN.items()
        for width, height in [SIZES[name]]
    }  # fmt: skip


@pytest.mark.parametrize("unit", [Unit.SHARES, Unit.PERMILLE, Unit.PERCENT])
def test_a_table_in_another_unit_is_imported_as_told(unit: Unit, photos: Path, tmp_path: Path) -> None:
    for name, drawn in (("one", DRAWN), ("other", scaled(unit))):
        write_csv(tmp_path / name, drawn)
    import_labels("csv", tmp_path / "one", photos, tmp_path / "first")
    import_labels("csv", tmp_path / "other", photos, tmp_path / "second", unit)
    rows = [(tmp_path / made / "metadata.jsonl").read_text("utf-8") for made in ("first", "second")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("given", "told", "seen"),
    [
        (Unit.SHARES, Unit.PIXELS, "shares from 0 to 1"),
        (Unit.PERMILLE, Unit.PIXELS, "numbers from 0 to 1000"),
        (Unit.SHARES, Unit.PERMILLE, "shares from 0 to 1"),
        (Unit.PERMILLE, Unit.SHARES, "numbers from 0 to 1000"),
        (Unit.PERCENT, Unit.SHARES, "percent"),
    ],
)
def test_another_unit_than_told_is_recognised(given: Unit, told: Unit, seen: str, photos: Path) -> None:
    error = refused("csv", photos, scaled(given), told)
    assert f"boxes should be in {told.words}, but they look like {seen}" in error.message
    assert f"--coord-space {given.value}" in (error.hint or "")


@pytest.mark.parametrize("kind", ["coco", "cvat", "via", "labelme"])
def test_shares_in_a_format_of_pixels_are_recognised(kind: str, photos: Path) -> None:
    assert "look like shares from 0 to 1" in refused(kind, photos, scaled(Unit.SHARES)).message


def test_thousandths_of_large_photos_are_not_taken_for_pixels(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (3000, 2000)).save(photos / "large.jpg")
    monkeypatch.setitem(SIZES, "large.jpg", (3000, 2000))
    boxes = {"establishing": (0, 0, 1000, 1000), "medium": (200, 100, 700, 900), "close_up": (300, 100, 500, 400)}
    assert "look like numbers from 0 to 1000" in refused("csv", photos, {"large.jpg": boxes}).message
    pixels = {kind: tuple(2.0 * side for side in sides) for kind, sides in boxes.items()}
    pixels["establishing"] = (0, 0, 2900, 1990)
    write_csv(tmp_path / "source", {"large.jpg": pixels})  # type: ignore[dict-item]
    import_labels("csv", tmp_path / "source", photos, tmp_path / "made")


FAULTS = {
    "label studio, short": ("label-studio", '[{"image": "/a.jpg", "label": []}]', "no full export", "JSON-MIN"),
    "label studio, other": ("label-studio", '{"a": 1}', "is not a JSON export of Label Studio", ""),
    "label studio, two": (
        "label-studio",
        '[{"data": {"image": "b.jpg"}, "annotations": [{"result": []}, {"result": []}]}]',
        "b.jpg has 2 annotations",
        "keep one",
    ),
    "cvat, other": ("cvat", "<html/>", "is not a file of CVAT", "CVAT for images 1.1"),
    "cvat, torn": ("cvat", "<annotations><image", "cannot be read", ""),
    "via, other": ("via", '{"a": {"b": 1}}', "is not a JSON file of VIA 2", ""),
    "csv, columns": ("csv", "file,x,y\n", "lacks columns: it has file, x, y", "file_name, shot, x0"),
    "csv, words": ("csv", "file_name,shot,x0,y0,x1,y1\nb.jpg,medium,1,2,3,\n", "line 2: x0, y0, x1, y1 must be", ""),
    "csv, empty": ("csv", "file_name,shot,x0,y0,x1,y1\n", "holds no boxes", "draw a box of each shot"),
}


@pytest.mark.parametrize(("kind", "text", "message", "hint"), FAULTS.values(), ids=FAULTS.keys())
def test_a_file_of_another_form_is_named(kind: str, text: str, message: str, hint: str, photos: Path) -> None:
    source = photos.parent / "source"
    source.write_text(text, "utf-8")
    with pytest.raises(ShotcropError) as caught:
        import_labels(kind, source, photos, photos.parent / "made")
    assert message in caught.value.message and hint in (caught.value.hint or "")
    assert str(source) in caught.value.message


def test_turned_boxes_and_other_shapes_are_refused(photos: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for kind, old, new, message in (
        ("cvat", 'label="medium"', 'label="medium" rotation="30"', "turned box"),
        ("label-studio", '"rotation": 0', '"rotation": 12', "turned box"),
        ("via", '"name": "rect"', '"name": "circle"', "has a circle"),
    ):
        WRITERS[kind](source, DRAWN)
        source.write_text(source.read_text("utf-8").replace(old, new), "utf-8")
        with pytest.raises(ShotcropError, match=message):
            import_labels(kind, source, photos, tmp_path / "made")
    write_labelme(tmp_path / "folder", DRAWN)
    path = tmp_path / "folder" / "b.json"
    path.write_text(path.read_text("utf-8").replace('"rectangle"', '"polygon"'), "utf-8")
    with pytest.raises(ShotcropError, match="has a polygon"):
        import_labels("labelme", tmp_path / "folder", photos, tmp_path / "made")


def test_a_file_of_cvat_cannot_read_other_files(photos: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret words", "utf-8")
    write_cvat(tmp_path / "source", DRAWN)
    text = (tmp_path / "source").read_text("utf-8").replace("A wide field", "&leak;")
    head, _, rest = text.partition("\n")
    entity = f'<!DOCTYPE annotations [<!ENTITY leak SYSTEM "{secret.as_uri()}">]>'
    (tmp_path / "source").write_text(f"{head}\n{entity}\n{rest}", "utf-8")
    import_labels("cvat", tmp_path / "source", photos, tmp_path / "made")
    assert "secret words" not in (tmp_path / "made" / "metadata.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--coco", "x", "--csv", "x"],
        ["--coco", "x", "--coord-space", "pixels"],
        ["--csv", "x", "--coord-space", "location"],
    ],
)
def test_the_command_takes_one_file_and_a_unit_that_fits(arguments: list[str], photos: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("", "utf-8")
    given = [str(tmp_path / "x") if one == "x" else one for one in arguments]
    command = ["train", "import-data", *given, "--photos", str(photos), "-o", str(tmp_path / "made")]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 2, result.output
    assert "Give one of --coco, --label-studio" in result.output or "--coord-space is" in result.output


REAL_EXPORT = Path(__file__).parent / "label_studio_1.23.json"
"""What Label Studio 1.23.2 exported with `download_all_tasks`. It had tasks of `shotcrop export`: one annotated, one
skipped, one untouched. Of predictions it writes only the numbers."""


def test_an_export_of_label_studio_itself_holds_what_somebody_annotated(tmp_path: Path) -> None:
    photos = Path(__file__).parents[3] / "examples" / "photos"
    (record,) = read_dataset(import_labels("label-studio", REAL_EXPORT, photos, tmp_path / "made"))
    assert record.path.name == "astronaut.jpg"
    assert record.composition is not None
    assert [shot.type for shot in record.composition.shots] == list(SHOT_TYPES)
    assert all(shot.caption for shot in record.composition.shots)


def test_a_skipped_task_does_not_take_its_prediction(tmp_path: Path) -> None:
    for name, (width, height) in SIZES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, height)).save(tmp_path / name)
    file = tmp_path / "export.json"
    write_label_studio(file, DRAWN)
    kept, skipped = json.loads(file.read_text("utf-8"))
    skipped["predictions"], skipped["annotations"] = skipped["annotations"], [{"was_cancelled": True, "result": []}]
    file.write_text(json.dumps([kept, skipped]), "utf-8")
    (record,) = read_dataset(import_labels("label-studio", file, tmp_path, tmp_path / "made"))
    assert record.path.name == "a.jpg"
