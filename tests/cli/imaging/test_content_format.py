import io
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camera_files import dng
from conftest import picture
from shotcrop_cli.imaging import formats
from shotcrop_cli.imaging.content_format import HEAD_BYTES, format_of_content, read_format
from shotcrop_cli.imaging.formats import AVIF, FORMATS, HEIF, JPEG, JPEG_2000, JPEG_XL, RAW, TIFF, Format, format_called


def _saved(form: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_what_pillow_writes_is_recognised(form: str) -> None:
    assert format_of_content(_saved(form)[:HEAD_BYTES]) is format_called(form)


def test_a_big_tiff_is_a_tiff() -> None:
    assert format_of_content(_saved("TIFF", big_tiff=True)) is TIFF
    assert format_of_content(b"MM\x00+\x00\x08\x00\x00") is TIFF


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_with_a_small_preview_and_a_directory_below_is_raw(order: str) -> None:
    start = b"II*\x00" if order == "<" else b"MM\x00*"
    rows = [(254, 4, 1, 1), (330, 4, 1, 500)]
    table = struct.pack(f"{order}H", len(rows)) + b"".join(struct.pack(f"{order}HHII", *row) for row in rows)
    assert format_of_content(start + struct.pack(f"{order}I", 8) + table) is RAW
    assert format_of_content(start + struct.pack(f"{order}I", 8) + table[:14]) is TIFF


def test_a_dng_is_raw() -> None:
    assert format_of_content(dng(picture(), 1)) is RAW


def _box(*brands: bytes) -> bytes:
    content = b"ftyp" + brands[0] + b"\x00\x00\x00\x00" + b"".join(brands)
    return struct.pack(">I", len(content) + 4) + content + b"\x00\x00\x00\x20meta" + bytes(40)


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (_box(b"heic", b"mif1"), HEIF),
        (_box(b"mif1", b"heic"), HEIF),
        (_box(b"mif1", b"avif", b"miaf"), AVIF),
        (_box(b"mif1", b"avif", b"heic"), HEIF),
        (_box(b"avis", b"msf1"), AVIF),
        (_box(b"msf1", b"hevc"), HEIF),
        (_box(b"avci", b"mif1"), HEIF),
        (_box(b"avcs", b"msf1"), HEIF),
        (_box(b"crx ", b"isom"), RAW),
        (_box(b"isom", b"mp42"), None),
        (_box(b"qt  "), None),
        (b"\xff\x0a\xfa\x1f", JPEG_XL),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", JPEG_XL),
        (b"\xff\x4f\xff\x51\x00\x2f", JPEG_2000),
        (b"FUJIFILMCCD-RAW 0201", RAW),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", RAW),
        (b"IIU\x00\x18\x00\x00\x00", RAW),
        (b"\xff\xd8\xff\xe1", JPEG),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"BM, a car maker, writes a page", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_first_bytes_tell_the_format(head: bytes, form: Format | None) -> None:
    assert format_of_content(head) is form


@given(st.sampled_from([b"", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x18ftyp", b"BM"]), st.binary(max_size=80))
def test_no_bytes_raise_an_error(start: bytes, rest: bytes) -> None:
    assert format_of_content(start + rest) in {*FORMATS.values(), None}


def test_a_file_has_the_format_of_its_content_or_else_of_its_extension(tmp_path: Path) -> None:
    contents = {
        "a.jpg": (_saved("PNG"), formats.PNG),
        "b.jpg": (b"no photo", JPEG),
        "c.nef": (_saved("TIFF"), RAW),  # only its extension tells
        "d.nef": (_saved("JPEG"), JPEG),
        "e.jpg": (dng(picture(), 1), RAW),
    }
    for name, (content, form) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert read_format(tmp_path / name) is form
    assert read_format(tmp_path / "missing.png") is formats.PNG


def test_the_docs_list_every_extension() -> None:
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text("utf-8")
    rows = re.findall(r"^\| [\w ]+ \| ((?:`\.\w+` ?)+) \| (\w+) \|", page, re.MULTILINE)
    documented = {suffix: form for suffixes, form in rows for suffix in re.findall(r"`(\.\w+)`", suffixes)}
    assert {suffix: form.upper() for suffix, form in documented.items()} == {
        suffix: formats.output_format(form).name for suffix, form in FORMATS.items()
    }
