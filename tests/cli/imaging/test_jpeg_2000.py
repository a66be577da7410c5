import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_files import orientation_exif, turned
from conftest import SWAPPED_PROFILE, jpeg_bytes, picture, rich_exif
from metadata_samples import packet
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import JPEG_2000
from shotcrop_cli.imaging.jpeg_2000 import read_info
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.shots import PixelBox

_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def _box(name: bytes, content: bytes, *, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I", 1) + name + struct.pack(">Q", len(content) + 16) + content
    return struct.pack(">I", len(content) + 8) + name + content


def _photo(image=None, icc: bytes = b"", exif: bytes = b"", xmp: bytes = b"", *, long: bool = False) -> bytes:  # type: ignore[no-untyped-def]
    """Return a JPEG 2000 with metadata, by adding boxes to what Pillow writes."""
    file = io.BytesIO()
    (image or picture()).save(file, "JPEG2000", quality_mode="dB", quality_layers=[60])
    data = file.getvalue()
    if icc:
        at = data.index(b"jp2h") - 4
        size = int.from_bytes(data[at : at + 4], "big")
        header, rest = data[at + 8 : at + size], data[at + size :]
        place = header.index(b"colr") - 4
        header = header[:place] + _box(b"colr", b"\x02\x00\x00" + icc) + header[place + 15 :]
        data = data[:at] + _box(b"jp2h", header) + rest
    at = data.index(b"jp2c") - 4
    more = b"".join(
        _box(b"uuid", uuid + block, long=long)
        for uuid, block in ((b"JpgTiffExif->JP2", exif), (_XMP_UUID, xmp))
        if block
    )
    return data[:at] + more + data[at:]


@pytest.mark.parametrize("long", [False, True])
def test_profile_and_metadata_reach_the_crops(tmp_path: Path, long: bool) -> None:
    exif = rich_exif(jpeg_bytes(picture(16, 12))).removeprefix(b"Exif\x00\x00")
    xmp = packet("", 'photoshop:City="Zurich"')
    (tmp_path / "a.jp2").write_bytes(_photo(icc=SWAPPED_PROFILE, exif=exif, xmp=xmp, long=long))
    photo = decode(read_source(tmp_path / "a.jp2"))
    assert (photo.format, photo.icc_profile, photo.metadata.xmp) == (JPEG_2000, SWAPPED_PROFILE, xmp)
    facts = photo.metadata.capture_info()
    assert (facts.captured_at, facts.camera) == ("2024-05-06T07:08:09+02:00", "Canon EOS R5")
    crop = encode_crop(photo, PixelBox(0, 0, 60, 40), quality=95, policy=MetadataPolicy.SAFE).content
    assert SWAPPED_PROFILE in crop
    assert b"Zurich" in crop


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_by_their_exif(tmp_path: Path, orientation: int) -> None:
    exif = orientation_exif(orientation).removeprefix(b"Exif\x00\x00")
    (tmp_path / "a.jp2").write_bytes(_photo(turned(picture(), orientation), exif=exif))
    photo = decode(read_source(tmp_path / "a.jp2"))
    assert (photo.width, photo.height, photo.orientation) == (120, 80, orientation)


def test_without_metadata_there_is_none() -> None:
    assert read_info(_photo()) == {}
    assert read_info(b"\xff\x4f\xff\x51" + bytes(50)) == {}


@given(st.binary(max_size=60))
def test_no_bytes_raise_an_error(rest: bytes) -> None:
    signature = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
    read_info(signature + rest)
    read_info(signature + struct.pack(">I", len(rest) + 8) + b"jp2h" + rest)


def test_a_photo_that_lost_its_end_still_has_its_metadata(tmp_path: Path) -> None:
    data = _photo(icc=SWAPPED_PROFILE, xmp=packet("", 'photoshop:City="Zurich"'))
    assert read_info(data[:-10]).keys() == {"icc_profile", "xmp"}
