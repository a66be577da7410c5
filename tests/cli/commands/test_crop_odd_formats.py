"""Photos with odd extensions: those of another format, rare ones, and ones whose reader is not installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from camera_files import orientation_exif, turned
from conftest import names_in, open_image, picture, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging.formats import format_of
from shotcrop_cli.main import cli
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")


def _crop(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def _records(*arguments: object, code: ExitCode = ExitCode.OK) -> dict[str, Any]:
    lines = _crop(*arguments, "--json", code=code).stdout.splitlines()
    return {Path(record["source"]).name: record for record in map(json.loads, lines)}


def _bytes_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


_CONTENTS = {
    "a.jpg": ("PNG", ".png"),
    "b.png": ("JPEG", ".jpg"),
    "c.heic": ("WEBP", ".webp"),
    "d.dng": ("JPEG", ".jpg"),
    "e.jpg": ("HEIF", ".jpg"),
    "f.tif": ("TIFF", ".tif"),
}
"""The format of some photos, and the extension of their crops."""


@pytest.fixture(autouse=True)
def _heif() -> None:
    pillow_heif.register_heif_opener()


@pytest.mark.parametrize("template", [(), ("--name-template", "{shot}/{stem}.{ext}")])
def test_a_photo_is_cropped_by_its_content_whatever_its_extension(
    photos: Path, output: Path, template: tuple[str, ...]
) -> None:
    for name, (form, _) in _CONTENTS.items():
        write_photo(photos / name, format=form)
    planned = _crop(photos, "-o", output, *template, "--dry-run").stdout
    records = _records(photos, "-o", output, *template)
    assert {record["status"] for record in records.values()} == {"done"}
    for name, (_, suffix) in _CONTENTS.items():
        crops = [Path(crop) for crop in records[name]["crops"]]
        assert {crop.suffix for crop in crops} == {suffix}
        assert all(open_image(crop).format == format_of(crop).name for crop in crops)  # type: ignore[union-attr]
        assert f"{photos / name} -> " in planned
        assert f"{suffix} (new)" in next(line for line in planned.splitlines() if f"{photos / name} -> " in line)
        warnings = read(output / f"{name}.json").warnings
        assert ("in spite of its extension" in " ".join(warnings)) is (name != "f.tif")
    before = _bytes_in(output)
    assert len(before) == 4 * 6
    assert "0 done, 6 unchanged" in _crop(photos, "-o", output, *template).stderr
    assert _bytes_in(output) == before


def test_crops_of_a_photo_with_a_wrong_extension_follow_its_new_content(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg", format="PNG")
    _crop(photos, "-o", output)
    write_photo(photos / "a.jpg", picture(200, 100))
    _crop(photos, "-o", output)
    assert [Path(name).suffix for name in names_in(output) if name.startswith("a.")] == [".jpg"] * 2 + [".json", ".jpg"]


def test_one_line_says_that_extensions_are_wrong(photos: Path, output: Path) -> None:
    for number in range(5):
        write_photo(photos / f"{number}.jpg", format="PNG")
    stderr = _crop(photos, "-o", output).stderr
    assert stderr.count("warning: ") == 1
    assert f"warning: 5 photos have the extension of another format, such as {photos}/0.jpg (PNG)" in stderr
    assert "warning" not in _crop(photos, "-o", output).stderr


@pytest.mark.parametrize("name", ["a.HIF", "a.heics", "a.heifs", "a.avci", "a.avcs"])
def test_heif_is_seen_under_the_names_of_all_cameras(photos: Path, output: Path, name: str) -> None:
    path = write_photo(photos / name, format="HEIF")
    assert _records(photos, "-o", output)[name]["status"] == "done"
    assert _records(path, "-o", output)[name]["status"] == "unchanged"


@pytest.mark.parametrize(
    ("name", "form", "suffix"),
    [
        ("a.mpo", "MPO", ".jpg"),
        ("a.jpe", "JPEG", ".jpg"),
        ("a.JFIF", "JPEG", ".jpg"),
        ("a.jp2", "JPEG2000", ".jpg"),
        ("a.j2k", "JPEG2000", ".jpg"),
        ("a.dib", "BMP", ".png"),
        ("a.apng", "PNG", ".png"),
        ("a.avifs", "AVIF", ".avif"),
    ],
)
def test_rare_extensions_are_seen(photos: Path, output: Path, name: str, form: str, suffix: str) -> None:
    write_photo(photos / name, format=form)
    (record,) = _records(photos, "-o", output).values()
    assert record["status"] == "done"
    assert {Path(crop).suffix for crop in record["crops"]} == {suffix}
    assert read(output / f"{name}.json").warnings == ()


@pytest.mark.parametrize(("name", "package"), [("a.jxl", "pillow_jxl"), ("a.dng", "rawpy")])
@pytest.mark.parametrize("named", [False, True])
def test_a_photo_whose_reader_is_missing_is_told_the_extra(
    photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, named: bool
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    photos.mkdir()
    (photos / name).write_bytes(_JXL_START if name.endswith(".jxl") else b"II*\x00" + bytes(200))
    stderr = _crop(photos / name if named else photos, "-o", output, code=ExitCode.SOME_FAILED).stderr
    assert f"failed: {photos / name}: " in stderr
    assert f"pip install 'shotcrop-cli[{Path(name).suffix[1:].replace('dng', 'raw')}]'" in stderr


_JXL_START = b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(200)


def test_jpeg_xl_is_cropped_and_turned_once(photos: Path, output: Path) -> None:
    pytest.importorskip("pillow_jxl", reason="needs the extra `jxl`")
    stored = turned(picture(), 6)
    write_photo(photos / "pixels.jxl", picture(), exif=orientation_exif(6))  # its own orientation counts
    packed = write_photo(photos / "a.jpg", stored, exif=orientation_exif(6), quality=95)
    with Image.open(packed) as image:
        image.save(photos / "packed.jxl", lossless_jpeg=True)
    packed.unlink()
    records = _records(photos, "-o", output)
    assert [records[name]["status"] for name in ("packed.jxl", "pixels.jxl")] == ["done", "done"]
    for name in records:
        source = read(output / f"{name}.json").source
        assert (source.format, source.width, source.height) == ("JXL", 120, 80)
        assert names_in(output).count(f"{name}.medium.jpg") == 1


def test_named_files_that_are_no_photos_are_said_in_few_lines(photos: Path, output: Path) -> None:
    names = [write_photo(photos / "a.jpg")]
    for number in range(9):
        names.append(photos / f"{number}.txt")
        names[-1].touch()
    for options in ([], ["--dry-run"]):
        stderr = _crop(*names, "-o", output, *options).stderr
        assert [line for line in stderr.splitlines() if line.startswith("warning: ")] == [
            *(f"warning: {photos}/{number}.txt: not a photo by its name" for number in range(3)),
            "warning: 6 more of the files and folders you named are ignored, too; --verbose lists them",
        ]
    assert "warning" not in _crop(photos, "-o", output).stderr


def test_edited_boxes_of_a_photo_with_a_wrong_extension_are_applied(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg", format="PNG")
    _crop(photos, "-o", output)
    sidecar = output / "a.jpg.json"
    document = json.loads(sidecar.read_bytes())
    document["shots"][1]["box"] = {"x": 1, "y": 2, "width": 33, "height": 44}
    sidecar.write_text(json.dumps(document), "utf-8")
    result = CliRunner().invoke(cli, ["apply", str(output)])
    assert result.exit_code == ExitCode.OK, result.output
    assert open_image(output / "a.jpg.medium.png").size == (33, 44)
    assert "1 unchanged" in _crop(photos, "-o", output).stderr
    assert open_image(output / "a.jpg.medium.png").size == (33, 44)
