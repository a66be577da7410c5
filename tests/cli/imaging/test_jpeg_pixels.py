from pathlib import Path

import pytest
from PIL import Image

from camera_files import orientation_exif
from conftest import jpeg_bytes, picture, write_photo
from shotcrop_cli.imaging.jpeg import FRAMES, count_pixels, segments


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": orientation_exif(6)}, {"comment": b"x" * 9}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_frame_header_says_how_many_pixels_there_are(tmp_path: Path, mode: str, options: dict[str, object]) -> None:
    path = write_photo(tmp_path / "a.jpg", picture(121, 83).convert(mode), **options)
    assert count_pixels(path.read_bytes()) == 121 * 83


def test_the_pixels_of_an_embedded_thumbnail_do_not_count(tmp_path: Path) -> None:
    thumbnail = jpeg_bytes(picture(16, 12))
    path = write_photo(tmp_path / "a.jpg", picture(121, 83), extra=b"\xff\xe2" + _size(thumbnail) + thumbnail)
    with Image.open(path) as image:
        assert image.size == (121, 83)
    assert count_pixels(path.read_bytes()) == 121 * 83


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc0\x00\x05\x08\x00", b"x" * 99]
)
def test_what_has_no_frame_has_no_number(data: bytes) -> None:
    assert count_pixels(data) is None


def test_a_frame_that_is_cut_off_has_no_number() -> None:
    data = jpeg_bytes(picture())
    frame = next(content for marker, content in segments(data) if marker in FRAMES)
    assert count_pixels(data[: data.index(frame) + 4]) is None


def _size(content: bytes) -> bytes:
    return (2 + len(content)).to_bytes(2, "big")
