"""What a file holds besides its photo is named when crops leave it out."""

import io
import struct
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from conftest import jpeg_bytes, picture, write_photo
from metadata_samples import packet
from shotcrop_cli.imaging.companions import companion_warnings
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.formats import HEIF

_VIDEO = struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + struct.pack(">I", 16) + b"mdat" + bytes(8)
_GAIN_MAP, _DEPTH, _MOTION = (
    "the HDR gain map was left out",
    "the depth map was left out",
    "the motion video was left out",
)


def _warnings(path: Path, content: bytes) -> tuple[str, ...]:
    path.write_bytes(content)
    return decode(read_source(path)).warnings


def _multi_picture(*kinds: int, xmp: bytes = b"", markers: bytes = b"") -> bytes:
    """Return a JPEG with an index of more pictures (CIPA DC-007) of given types, and these pictures."""
    others = [jpeg_bytes(picture(30, 20)) for _ in kinds]
    rows = [(0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack("<I", 1 + len(kinds)))]
    rows.append((0xB002, 7, 16 * (1 + len(kinds)), struct.pack("<I", 8 + 2 + 12 * 3 + 4)))
    index = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 3)
    index += b"".join(struct.pack("<HHI", *row[:3]) + row[3] for row in rows) + bytes(4)
    plain = jpeg_bytes(picture(), **({"xmp": xmp} if xmp else {}))
    sizes = [len(plain) + len(markers) + 8 + len(index) + 16 * (1 + len(kinds)), *map(len, others)]
    place = 0
    for kind, size in zip((0x030000, *kinds), sizes, strict=True):
        index += struct.pack("<IIIHH", kind, size, place and place - 10, 0, 0)
        place += size
    marker = b"\xff\xe2" + struct.pack(">H", 6 + len(index)) + b"MPF\x00" + index
    return plain[:2] + marker + markers + plain[2:] + b"".join(others)


_DISPARITY, _THUMBNAIL, _UNDEFINED = 0x020002, 0x010002, 0
_ULTRA_HDR = packet("", 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"')
_CONTAINER = packet(
    '<C:Directory xmlns:C="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" Item:Semantic="Depth"/>'
)
_ISO = b"\xff\xe2" + struct.pack(">H", 2 + 32) + b"urn:iso:std:iso:ts:21496:-1\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (_multi_picture(_DISPARITY), ("another picture was left out",)),
        (_multi_picture(_DISPARITY, _DISPARITY), ("2 more pictures were left out",)),
        (_multi_picture(_THUMBNAIL), ()),
        (_multi_picture(_THUMBNAIL, _DISPARITY), ("another picture was left out",)),
        (_multi_picture(_UNDEFINED, xmp=_ULTRA_HDR), (_GAIN_MAP,)),
        (_multi_picture(_UNDEFINED, markers=_ISO), (_GAIN_MAP,)),
        (_multi_picture(_UNDEFINED, _DISPARITY, xmp=_ULTRA_HDR), (_GAIN_MAP, "another picture was left out")),
        (_multi_picture(_UNDEFINED, xmp=_CONTAINER), (_DEPTH,)),
        (_multi_picture(_UNDEFINED, xmp=_ULTRA_HDR) + _VIDEO, (_GAIN_MAP, _MOTION)),
        (jpeg_bytes(picture(), xmp=_ULTRA_HDR), ()),  # somebody has removed the gain map
        (jpeg_bytes(picture()) + _VIDEO, (_MOTION,)),
        (jpeg_bytes(picture()) + b"MotionPhoto_Data" + _VIDEO + b"SEFT", (_MOTION,)),
        (jpeg_bytes(picture()) + b"some notes about ftyp", ()),
        (jpeg_bytes(picture()), ()),
    ],
    ids=[
        *("stereo", "three views", "thumbnail", "thumbnail and view", "Ultra HDR", "ISO gain map", "gain map and view"),
        *("depth", "gain map and motion", "removed gain map", "motion", "Samsung motion", "text", "plain"),
    ],
)
def test_what_a_jpeg_loses_is_named(tmp_path: Path, content: bytes, expected: tuple[str, ...]) -> None:
    assert _warnings(tmp_path / "a.jpg", content) == expected


def test_mpo_of_pillow_is_named(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[picture(), picture()])
    assert decode(read_source(path)).warnings == ("2 more pictures were left out",)


def _heic_with(kind: bytes) -> bytes:
    """Return a HEIC whose second image is an auxiliary one of a given type."""
    pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    picture().save(buffer, "HEIF", save_all=True, append_images=[picture(60, 40)])
    return _with_property(buffer.getvalue(), b"auxC" + bytes(4) + kind + b"\x00")


def _with_property(content: bytes, box: bytes) -> bytes:
    """Append a property to a file and give it to the last item; what is behind the metadata moves."""
    box = struct.pack(">I", 4 + len(box)) + box
    data = bytearray(content)
    added = len(box) + 1
    ipco = data.index(b"ipco") - 4
    size = struct.unpack_from(">I", data, ipco)[0]
    count, place, end = 0, ipco + 8, ipco + size
    while place < end:
        place, count = place + struct.unpack_from(">I", data, place)[0], count + 1
    ipma = data.index(b"ipma") - 4
    links = ipma + 16
    for _ in range(struct.unpack_from(">I", data, ipma + 12)[0] - 1):
        links += 3 + data[links + 2]
    last = links + 3 + data[links + 2]
    assert data[ipma + 11] == 0  # short numbers of properties
    data[links + 2] += 1
    data[last:last] = bytes((count + 1,))
    data[end:end] = box
    for name, grown in ((b"meta", added), (b"iprp", added), (b"ipco", len(box)), (b"ipma", 1)):
        start = data.index(name) - 4
        struct.pack_into(">I", data, start, struct.unpack_from(">I", data, start)[0] + grown)
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"urn:com:apple:photo:2020:aux:hdrgainmap", _GAIN_MAP),
        (b"urn:mpeg:hevc:2015:auxid:2", _DEPTH),
        (b"urn:mpeg:hevc:2015:auxid:1", None),
    ],
)
def test_auxiliary_images_of_heic_are_named(kind: bytes, expected: str | None) -> None:
    found = companion_warnings(Image.new("RGB", (1, 1)), _heic_with(kind), HEIF, b"")
    assert found == ([] if expected is None else [expected])


def test_a_motion_video_in_heic_is_named(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    content = write_photo(tmp_path / "a.heic").read_bytes()
    assert _warnings(tmp_path / "a.heic", content) == ()
    video = struct.pack(">I", 8 + len(_VIDEO)) + b"mpvd" + _VIDEO
    assert _warnings(tmp_path / "a.heic", content + video) == (_MOTION,)
