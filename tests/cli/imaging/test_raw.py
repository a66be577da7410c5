import io
import random
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camera_files import dng, turned
from conftest import open_image, picture
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import RAW, CropFormat, format_of, output_format
from shotcrop_cli.imaging.metadata import exif
from shotcrop_cli.imaging.metadata.capture import CaptureInfo, read_capture_info
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.shots import PixelBox

_BOX = PixelBox(10, 20, 60, 40)


@pytest.fixture
def rawpy() -> None:
    pytest.importorskip("rawpy", reason="needs the extra `raw`")


def _write(path: Path, orientation: int = 1, *, compressed: bool = True) -> Path:
    path.write_bytes(dng(turned(picture(), orientation), orientation, compressed=compressed))
    return path


def _decode(path: Path) -> Photo:
    return decode(read_source(path))


@pytest.mark.parametrize("name", ["a.CR2", "a.cr3", "a.nef", "a.arw", "a.dng", "a.raf", "a.orf", "a.rw2", "a.pef"])
def test_camera_extensions_are_raw_and_written_as_jpeg(name: str) -> None:
    form = format_of(Path(name))
    assert form is RAW
    assert output_format(form).suffix == ".jpg"
    assert output_format(form, CropFormat.WEBP).suffix == ".webp"


@pytest.mark.usefixtures("rawpy")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("compressed", [True, False])
def test_raw_yields_its_upright_embedded_preview(tmp_path: Path, orientation: int, compressed: bool) -> None:
    photo = _decode(_write(tmp_path / "a.dng", orientation, compressed=compressed))
    assert (photo.format, photo.orientation) == (RAW, orientation)
    difference = np.asarray(photo.pixels).astype(int) - np.asarray(picture())
    assert np.abs(difference).mean() < 2
    assert photo.warnings == ("cropped from the embedded preview of 120 x 80 pixels",)


@pytest.mark.usefixtures("rawpy")
def test_capture_info_comes_from_the_raw(tmp_path: Path) -> None:
    facts = _decode(_write(tmp_path / "a.dng")).metadata.capture_info()
    assert facts == CaptureInfo("2024-05-06T07:08:09", "Canon EOS R5", "RF85mm F1.2 L USM")


@pytest.mark.usefixtures("rawpy")
def test_raw_crops_are_jpegs_with_exif_but_no_development_tags(tmp_path: Path) -> None:
    photo = _decode(_write(tmp_path / "a.dng", 6))
    content = encode_crop(photo, _BOX, quality=95, policy=MetadataPolicy.ALL).content
    crop = Image.open(io.BytesIO(content))
    assert (crop.format, crop.size) == ("JPEG", (60, 40))
    stored = crop.getexif()
    assert (stored[0x0110], stored[0x0112]) == ("Canon EOS R5", 1)
    assert stored.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert max(stored) < 0xC612
    assert b"secret" not in content


def test_raw_without_rawpy_gives_an_error_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(PhotoError, match="RAW support is not installed") as caught:
        _decode(_write(tmp_path / "a.dng"))
    assert caught.value.hint == "pip install 'shotcrop-cli[raw]'"


@pytest.mark.usefixtures("rawpy")
def test_a_raw_without_preview_is_an_error(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.dng")
    size = struct.pack("<HHI", 279, 4, 1)  # of the preview, whose directory is the first
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<HHI", 65000, 4, 1), 1))
    with pytest.raises(PhotoError, match="has no embedded preview") as caught:
        _decode(path)
    assert caught.value.hint


@pytest.mark.usefixtures("rawpy")
@pytest.mark.parametrize("content", [b"<html>", b"II*\x00" + bytes(100)])
def test_a_file_that_is_not_raw_is_a_photo_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nef").write_bytes(content)
    with pytest.raises(PhotoError, match=r"a\.nef: the RAW file (cannot be read|has no embedded preview)"):
        _decode(tmp_path / "a.nef")


@pytest.mark.usefixtures("rawpy")
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_raws_are_decoded_or_refused_and_never_crash(tmp_path: Path) -> None:
    chance, whole = random.Random(3), dng(picture())
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole[: chance.randrange(8, len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / "a.dng").write_bytes(data)
        try:
            outcomes.add(_decode(tmp_path / "a.dng").pixels.mode)
        except PhotoError:
            outcomes.add("refused")
    assert "refused" in outcomes
    assert "RGB" in outcomes


def _cr3(directories: dict[bytes, bytes]) -> bytes:
    boxes = b"".join(struct.pack(">I", 8 + len(block)) + name + block for name, block in directories.items())
    return struct.pack(">I", 24) + b"ftypcrx " + bytes(12) + b"moov" + boxes


def _block(entries: dict[int, object]) -> bytes:
    written = Image.Exif()
    written.update(entries)
    return written.tobytes().removeprefix(b"Exif\x00\x00")


def test_cr3_directories_become_one_exif_block() -> None:
    data = _cr3(
        {
            b"CMT1": _block({0x010F: "Canon", 0x0110: "Canon EOS R6", 0x0112: 8}),
            b"CMT2": _block({0x9003: "2024:05:06 07:08:09", 0xA434: "RF50mm F1.8 STM"}),
            b"CMT4": _block({1: "N", 2: (47.0, 22.0, 0.0)}),
        }
    )
    block = exif.from_tiff(data).exif
    assert exif.orientation(block) == 8
    assert read_capture_info(block) == CaptureInfo(
        "2024-05-06T07:08:09", "Canon EOS R6", "RF50mm F1.8 STM", has_gps=True
    )


@pytest.mark.parametrize("magic", [b"IIRO", b"IIRS"])
def test_olympus_raw_is_read_despite_its_own_magic(magic: bytes) -> None:
    little = Image.Exif()
    little.endian = "<"
    little[0x0110] = "E-M1"
    data = little.tobytes().removeprefix(b"Exif\x00\x00")
    assert read_capture_info(exif.from_tiff(magic + data[4:]).exif).camera == "E-M1"


def test_the_sample_dng_has_a_readable_preview(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(dng(picture(), compressed=False))
    assert np.array_equal(np.asarray(open_image(tmp_path / "a.tif")), np.asarray(picture()))
