"""PNG chunks beyond Pillow's limit."""

import struct
import zlib
from pathlib import Path

import pytest

from conftest import SWAPPED_PROFILE, picture, write_photo
from metadata_samples import packet
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.in_memory import photo_of_bytes
from shotcrop_cli.imaging.metadata.policy import Comment
from shotcrop_cli.imaging.photo import Photo

_MEBIBYTE = 1 << 20


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _decode(path: Path, *chunks: bytes, at_end: bool = False) -> Photo:
    """Decode a PNG with chunks before its pixels, or after them."""
    content = write_photo(path).read_bytes()
    place = len(content) - 12 if at_end else 33  # after IHDR
    path.write_bytes(content[:place] + b"".join(chunks) + content[place:])
    return decode(read_source(path))


def _long_xmp() -> bytes:
    return packet("<dc:title>Ana</dc:title><dc:source>" + "long " * 300_000 + "</dc:source>")


@pytest.mark.parametrize("at_end", [False, True])
def test_large_compressed_chunks_are_read(tmp_path: Path, at_end: bool) -> None:
    xmp = _long_xmp()
    assert _MEBIBYTE < len(xmp) < 4 * _MEBIBYTE
    chunks = [
        _chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + zlib.compress(xmp)),
        _chunk(b"zTXt", b"Description\x00\x00" + zlib.compress(b"words " * _MEBIBYTE)),
        _chunk(b"iTXt", b"Author\x00\x01\x00de\x00Urheber\x00" + zlib.compress("José ".encode() * _MEBIBYTE)),
        _chunk(b"zTXt", b"workflow\x00\x00" + zlib.compress(b"{}" * _MEBIBYTE)),
    ]
    photo = _decode(tmp_path / "a.png", *chunks, at_end=at_end)
    assert photo.metadata.xmp == xmp
    assert set(photo.metadata.comments) == {
        Comment("Description", "words " * _MEBIBYTE),
        Comment("Author", "José " * _MEBIBYTE),
    }
    assert photo.warnings == ()
    assert photo.pixels.convert("RGB").tobytes() == picture().tobytes()


def test_a_large_profile_is_read(tmp_path: Path) -> None:
    profile = SWAPPED_PROFILE + bytes(3 * _MEBIBYTE)
    photo = _decode(tmp_path / "a.png", _chunk(b"iCCP", b"a\x00\x00" + zlib.compress(profile)))
    assert photo.icc_profile == profile
    assert photo.warnings == ()
    assert photo_of_bytes((tmp_path / "a.png").read_bytes()).icc_profile == profile


@pytest.mark.parametrize(
    "chunks",
    [
        [_chunk(b"zTXt", b"Title\x00\x00" + zlib.compress(bytes(17 * _MEBIBYTE)))],
        [_chunk(b"zTXt", b"Title\x00\x00" + zlib.compress(bytes(9 * _MEBIBYTE)))] * 8,
        [_chunk(b"tEXt", b"Title\x00" + b"a" * (9 * _MEBIBYTE))] * 8,
    ],
    ids=["one", "many", "plain"],
)
def test_what_is_too_large_is_left_out_with_a_warning(tmp_path: Path, chunks: list[bytes]) -> None:
    photo = _decode(tmp_path / "a.png", *chunks)
    assert photo.warnings == ("a text or colour profile that is too large was left out",)
    assert photo.pixels.tobytes() == picture().tobytes()


def test_damaged_compression_does_not_fail_the_photo(tmp_path: Path) -> None:
    damaged = zlib.compress(bytes(3 * _MEBIBYTE))[:-9]
    chunks = [_chunk(b"zTXt", b"Title\x00\x00" + damaged), _chunk(b"zTXt", b"Author\x00\x00!")]
    photo = _decode(tmp_path / "a.png", *chunks)
    assert photo.pixels.tobytes() == picture().tobytes()
