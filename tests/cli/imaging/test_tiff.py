"""TIFF crops keep the compression of their photo, and BigTIFF the metadata."""

import io
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from colour_profiles import PROFILES
from conftest import jpeg_bytes, picture, rich_exif, write_photo
from metadata_samples import packet
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import JPEG, TIFF, CropFormat
from shotcrop_cli.imaging.metadata.policy import Metadata, MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.shots import PixelBox

_SIZE = (320, 240)
_BOX = PixelBox(16, 16, 256, 192)
_SHARE = _BOX.width * _BOX.height / (_SIZE[0] * _SIZE[1])


_LOSSLESS = [
    *(("raw", 1), ("packbits", 1), ("tiff_lzw", 1), ("tiff_lzw", 2), ("tiff_adobe_deflate", 1)),
    *(("tiff_adobe_deflate", 2), ("zstd", 1), ("zstd", 2), ("lzma", 1), ("lzma", 2)),
]


def _detailed(mode: str = "RGB") -> Image.Image:
    """Return a picture with edges and grain, about as hard to compress as a photo."""
    random = np.random.default_rng(8)
    blocks = Image.fromarray(random.integers(0, 256, (10, 8, 3), np.uint8)).resize(_SIZE, Image.Resampling.BICUBIC)
    grain = random.normal(0, 4, (*_SIZE[::-1], 1))
    image = Image.fromarray((np.asarray(blocks) + grain).clip(0, 255).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert("L").convert(mode) if mode in ("F", "I") else image.convert(mode)


def _photo(path: Path, image: Image.Image, *, predictor: int = 1, **options: Any) -> Photo:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if predictor > 1:
        tags[317] = predictor
    return decode(read_source(write_photo(path, image, tiffinfo=tags, **options)))


def _crop(photo: Photo, policy: MetadataPolicy = MetadataPolicy.SAFE, **options: Any) -> tuple[Image.Image, bytes]:
    content = encode_crop(photo, _BOX, policy=policy, **options).content
    image = Image.open(io.BytesIO(content))
    image.load()
    return image, content


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "P", "I;16", "I", "F"])
@pytest.mark.parametrize(("compression", "predictor"), _LOSSLESS)
def test_lossless_compression_is_kept(tmp_path: Path, compression: str, predictor: int, mode: str) -> None:
    predictor = 1 if mode in ("P", "F") else predictor
    photo = _photo(tmp_path / "a.tif", _detailed(mode), compression=compression, predictor=predictor)
    crop, content = _crop(photo)
    assert (crop.info["compression"], crop.tag_v2.get(317, 1)) == (compression, predictor)
    assert np.array_equal(np.asarray(crop), np.asarray(photo.pixels.crop(_BOX.corners)))
    assert len(content) < 1.3 * _SHARE * (tmp_path / "a.tif").stat().st_size + 2000


def test_the_predictor_of_floats_is_kept(tmp_path: Path) -> None:
    photo = _photo(tmp_path / "a.tif", _detailed("F"), compression="zstd", predictor=3)
    crop, _ = _crop(photo)
    assert crop.tag_v2[317] == 3
    assert np.array_equal(np.asarray(crop), np.asarray(photo.pixels.crop(_BOX.corners)))


@pytest.mark.parametrize(
    ("compression", "expected"), [("group3", "group3"), ("group4", "group4"), ("tiff_ccitt", "group4"), ("raw", "raw")]
)
def test_bilevel_compression_is_kept(tmp_path: Path, compression: str, expected: str) -> None:
    photo = _photo(tmp_path / "a.tif", _detailed("1"), compression=compression)
    crop, _ = _crop(photo)
    assert (crop.mode, crop.info["compression"]) == ("1", expected)
    assert np.array_equal(np.asarray(crop), np.asarray(photo.pixels.crop(_BOX.corners)))
    shrunk, _ = _crop(photo, max_size=64)
    assert (shrunk.mode, shrunk.info["compression"]) == ("L", "raw" if compression == "raw" else "tiff_adobe_deflate")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("quality", [30, 90])
def test_jpeg_compression_is_kept_with_its_quality(tmp_path: Path, quality: int, mode: str) -> None:
    photo = _photo(tmp_path / "a.tif", _detailed(mode), compression="jpeg", quality=quality)
    assert photo.quality is not None
    assert photo.quality.for_format(JPEG) == quality
    assert not photo.lossless
    crop, content = _crop(photo, MetadataPolicy.NONE)
    assert (crop.mode, crop.info["compression"]) == (mode, "jpeg")
    assert len(content) < 1.3 * _SHARE * (tmp_path / "a.tif").stat().st_size + 2000
    error = np.abs(np.asarray(crop).astype(int) - np.asarray(photo.pixels.crop(_BOX.corners))).mean()
    assert error < 5


def _subsampled(path: Path, subsampling: str) -> Photo:
    """Write a TIFF that holds a JPEG in one strip, big-endian, with its tables apart, as libtiff does."""
    stream = jpeg_bytes(_detailed(), quality=50, subsampling=subsampling)
    frame, scan = stream.index(b"\xff\xc0"), stream.index(b"\xff\xc4")
    tables = stream[:2] + stream[stream.index(b"\xff\xdb") : frame] + b"\xff\xd9"
    strip = stream[:2] + stream[frame:scan] + stream[scan:]
    factors = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}[subsampling]
    rows = [(256, 4, 1, _SIZE[0]), (257, 4, 1, _SIZE[1]), (258, 3, 3, None), (259, 3, 1, 7 << 16), (262, 3, 1, 6 << 16)]
    rows += [(273, 4, 1, None), (277, 3, 1, 3 << 16), (278, 4, 1, _SIZE[1]), (279, 4, 1, len(strip))]
    rows += [(284, 3, 1, 1 << 16), (347, 7, len(tables), None), (530, 3, 2, factors[0] << 16 | factors[1])]
    start = 8 + 2 + 12 * len(rows) + 4
    places = {258: start, 347: start + 6, 273: start + 6 + len(tables)}
    values = (places[tag] if value is None else value for tag, _, _, value in rows)
    table = b"".join(struct.pack(">HHII", *row[:3], value) for row, value in zip(rows, values, strict=True))
    head = struct.pack(">2sHI", b"MM", 42, 8) + struct.pack(">H", len(rows)) + table + bytes(4)
    path.write_bytes(head + struct.pack(">3H", 8, 8, 8) + tables + strip)
    return decode(read_source(path))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_chroma_subsampling_of_jpeg_compression_is_kept(tmp_path: Path, subsampling: str) -> None:
    photo = _subsampled(tmp_path / "a.tif", subsampling)
    assert photo.quality is not None
    assert photo.quality.for_format(JPEG) == 50
    crop, content = _crop(photo, MetadataPolicy.NONE)
    assert crop.tag_v2[530] == {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}[subsampling]
    assert len(content) < 1.2 * _SHARE * (tmp_path / "a.tif").stat().st_size
    error = np.abs(np.asarray(crop).astype(int) - np.asarray(photo.pixels.crop(_BOX.corners)))
    assert error.mean() < 3


def test_a_crop_with_jpeg_compression_keeps_profile_and_metadata(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.tif", _detailed(), compression="jpeg", icc_profile=PROFILES["display p3"])
    metadata = Metadata(rich_exif(jpeg_bytes(picture(16, 12))))
    crop, content = _crop(replace(decode(read_source(path)), metadata=metadata))
    assert crop.info["icc_profile"] == PROFILES["display p3"]
    assert crop.getexif()[0x0110] == "Canon EOS R5"
    if which("exiftool"):
        (tmp_path / "b.tif").write_bytes(content)
        validate = ["exiftool", "-validate", "-warning", "-error", "-a", tmp_path / "b.tif"]
        found = subprocess.run(validate, capture_output=True, check=False, text=True).stdout
        assert "Error" not in found, found


def _as_bigtiff(classic: bytes) -> bytes:
    """Return a little-endian TIFF with 64-bit directories at its end; what they refer to moves by eight bytes."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}
    content = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) + classic[8:])

    def directory(start: int) -> int:
        (count,) = struct.unpack_from("<H", classic, start)
        rows = b""
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from("<HHI", classic, place)
            size = sizes[kind] * values
            value = classic[place + 8 : place + 8 + size]
            if size > 4:
                (offset,) = struct.unpack_from("<I", classic, place + 8)
                value = classic[offset : offset + size]
            if tag == 273:
                kind, size = 16, 8 * values
                value = b"".join(struct.pack("<Q", offset + 8) for offset in struct.unpack(f"<{values}I", value))
            if tag in (0x8769, 0x8825):
                kind, size, value = 18, 8, struct.pack("<Q", directory(struct.unpack("<I", value)[0]))
            if size > 8:
                content.extend(value)
                value = struct.pack("<Q", len(content) - size)
            rows += struct.pack("<HHQ", tag, kind, values) + value.ljust(8, b"\x00")
        content.extend(struct.pack("<Q", count) + rows + bytes(8))
        return len(content) - len(rows) - 16

    (first,) = struct.unpack_from("<I", classic, 4)
    struct.pack_into("<Q", content, 8, directory(first))
    return bytes(content)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
def test_bigtiff_has_the_metadata_of_a_classic_tiff(tmp_path: Path, compression: str) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {271: "Canon", 272: "EOS R5", 274: 6, 306: "2024:05:06 07:08:09", 700: packet()}.items():
        tags[tag] = value
    # Pillow writes the Exif directory of uncompressed files only.
    exif = rich_exif(jpeg_bytes(picture(16, 12)), orientation=6)
    stored = {"exif": exif} if compression == "raw" else {"tiffinfo": tags}
    found = []
    for big in (False, True):
        path = write_photo(tmp_path / f"{big}.tif", _detailed(), compression=compression, **stored)
        if big:
            path.write_bytes(_as_bigtiff(path.read_bytes()))
        assert path.read_bytes()[2] == (43 if big else 42)
        photo = decode(read_source(path))
        crop, _ = _crop(photo)
        found.append((photo.orientation, photo.pixels.size, photo.metadata, dict(crop.getexif())))
        assert (photo.format, crop.info["compression"]) == (TIFF, compression)
    assert found[0] == found[1]
    assert found[0][:2] == (6, _SIZE[::-1])
    assert found[0][2].capture_info().camera is not None


def test_another_format_becomes_a_deflated_tiff(tmp_path: Path) -> None:
    photo = decode(read_source(write_photo(tmp_path / "a.png", _detailed())))
    crop, content = _crop(photo, form=CropFormat.TIFF)
    assert crop.info["compression"] == "tiff_adobe_deflate"
    assert len(content) < 1.2 * (tmp_path / "a.png").stat().st_size
