"""JPEGs that lack their end marker, a few last rows, or more."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import jpeg_bytes, picture
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging import jpeg
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.photo import Photo

_SIZE = (640, 960)
_COMPLETE = ("the end marker is missing; the photo is complete",)


def _noise(mode: str) -> Image.Image:
    values = np.random.default_rng(3).normal(128, 60, (_SIZE[1], _SIZE[0]))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert(mode)


def _decode(folder: Path, content: bytes) -> Photo:
    (folder / "a.jpg").write_bytes(content)
    return decode(read_source(folder / "a.jpg"))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("end", [b"", b"\xff", b"\xff\xff"])
def test_a_jpeg_without_end_marker_has_every_pixel(tmp_path: Path, mode: str, progressive: bool, end: bytes) -> None:
    whole = jpeg_bytes(_noise(mode), progressive=progressive)
    photo = _decode(tmp_path, whole.removesuffix(jpeg.END) + end)
    assert np.array_equal(np.asarray(photo.pixels), np.asarray(Image.open(io.BytesIO(whole))))
    assert photo.warnings in (_COMPLETE, ())  # sometimes Pillow has all pixels before it misses the marker


def test_a_missing_end_marker_gives_a_warning(tmp_path: Path) -> None:
    assert _decode(tmp_path, jpeg_bytes(_noise("RGB")).removesuffix(jpeg.END)).warnings == _COMPLETE


def _without_last(rows: int, image: Image.Image, **options: object) -> bytes:
    """Return a baseline JPEG cut off at the first row of blocks that holds one of its last rows."""
    whole = jpeg_bytes(image, subsampling=0, **options)
    expected = np.asarray(Image.open(io.BytesIO(whole)))
    low, high = 0, len(whole)
    while high - low > 1:  # the longest start of the file whose last complete row is far enough from the end
        middle = (low + high) // 2
        try:
            found = np.asarray(Image.open(io.BytesIO(jpeg.with_end(whole[:middle]))))
        except OSError:
            low = middle
            continue
        complete = (found == expected).reshape(image.height, -1).all(axis=1)
        lacks = image.height if not complete.all() and not complete[0] else image.height - int(complete.sum())
        low, high = (middle, high) if lacks >= rows else (low, middle)
    return whole[:low]


@pytest.mark.parametrize("rows", [8, 32])
def test_a_jpeg_that_lacks_a_few_rows_is_read_with_a_warning(tmp_path: Path, rows: int) -> None:
    image = _noise("RGB")
    photo = _decode(tmp_path, _without_last(rows, image))
    assert photo.warnings == (f"the end of the file is missing, so the last {rows} rows are incomplete",)
    expected = np.asarray(Image.open(io.BytesIO(jpeg_bytes(image, subsampling=0))))
    assert np.array_equal(np.asarray(photo.pixels)[:-rows], expected[:-rows])


@pytest.mark.parametrize("rows", [40, 200, 960])
def test_a_jpeg_that_lacks_more_rows_is_damaged(tmp_path: Path, rows: int) -> None:
    with pytest.raises(PhotoError, match="damaged or incomplete"):
        _decode(tmp_path, _without_last(rows, _noise("RGB")))


def test_a_progressive_jpeg_without_its_last_scans_is_damaged(tmp_path: Path) -> None:
    whole = jpeg_bytes(_noise("RGB"), progressive=True)
    last_scan = whole.rindex(b"\xff\xda")
    assert jpeg.has_all_scans(whole[:-2])
    assert not jpeg.has_all_scans(whole[:last_scan])
    with pytest.raises(PhotoError, match="damaged or incomplete"):
        _decode(tmp_path, whole[:last_scan])


def test_an_end_in_the_header_is_damaged(tmp_path: Path) -> None:
    whole = jpeg_bytes(picture())
    for size in range(20, whole.index(b"\xff\xda") + 14, 7):
        with pytest.raises(PhotoError):
            _decode(tmp_path, whole[:size])


@pytest.mark.parametrize(("height", "block", "rows"), [(960, 8, 32), (3000, 16, 60), (200, 16, 20), (80, 16, 16)])
def test_a_few_rows_are_32_or_two_percent(height: int, block: int, rows: int) -> None:
    assert jpeg.few_rows(height, block) == rows
