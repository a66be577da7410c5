"""Crops have the quality of their photo."""

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from camera_files import orientation_exif
from conftest import picture, write_photo
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import AVIF, DEFAULT_QUALITY, JPEG, PNG, WEBP, CropFormat
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.quality import StoredQuality, read_quality
from shotcrop_cli.shots import PixelBox

_SIZE = (240, 320)
_THREE = (PixelBox(0, 20, 240, 280), PixelBox(30, 30, 180, 200), PixelBox(60, 40, 120, 120))


def _detailed() -> Image.Image:
    """Return a picture with edges and grain, about as hard to compress as a photo."""
    random = np.random.default_rng(8)
    blocks = Image.fromarray(random.integers(0, 256, (10, 8, 3), np.uint8)).resize(_SIZE, Image.Resampling.BICUBIC)
    grain = random.normal(0, 8, (*_SIZE[::-1], 1))
    return Image.fromarray((np.asarray(blocks) + grain).clip(0, 255).astype(np.uint8))


def _photo(path: Path, quality: int, **options: object) -> Photo:
    pillow_heif.register_heif_opener()
    return decode(read_source(write_photo(path, _detailed(), quality=quality, **options)))


def _crop(photo: Photo, box: PixelBox, form: CropFormat = CropFormat.SAME) -> bytes:
    return encode_crop(photo, box, form=form, policy=MetadataPolicy.NONE).content


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 75, 92, 100])
def test_jpeg_quality_is_read_from_the_tables(tmp_path: Path, quality: int) -> None:
    photo = _photo(tmp_path / "a.jpg", quality)
    assert photo.quality is not None
    assert photo.quality.for_format(JPEG) == quality


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
@pytest.mark.parametrize("quality", [10, 30, 40, 55, 75, 80, 92])
def test_webp_and_avif_quality_is_read_from_the_quantiser(tmp_path: Path, suffix: str, quality: int) -> None:
    photo = _photo(tmp_path / f"a{suffix}", quality)
    assert photo.quality is not None
    assert photo.quality.for_format(photo.format) == pytest.approx(quality, abs=3)


def test_heic_quality_grows_with_that_of_the_photo(tmp_path: Path) -> None:
    found = [_photo(tmp_path / f"{quality}.heic", quality).quality for quality in (20, 30, 40, 50, 60)]
    values = [quality.for_format(JPEG) for quality in found if quality is not None]
    assert values == sorted(set(values))
    assert len(values) == 5
    assert values[0] < 20
    assert values[-1] > 90


def _shuffled_tables() -> list[list[int]]:
    random = np.random.default_rng(1)
    return [sorted(random.integers(2, 90, 64).tolist()) for _ in range(2)]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_jpeg_crops_keep_the_tables_of_their_photo(tmp_path: Path, orientation: int) -> None:
    tables = _shuffled_tables()
    path = write_photo(tmp_path / "a.jpg", qtables=tables, subsampling=0, exif=orientation_exif(orientation))
    written = Image.open(io.BytesIO(_crop(decode(read_source(path)), PixelBox(5, 5, 40, 40))))
    if orientation in (6, 8):  # rows of the stored photo are columns of the crop
        tables = [np.reshape(table, (8, 8)).T.ravel().tolist() for table in tables]
    assert [list(written.quantization[number]) for _, _, _, number in written.layer] == [
        tables[0],
        tables[1],
        tables[1],
    ]


def test_a_crop_at_block_borders_loses_next_to_nothing(tmp_path: Path) -> None:
    photo = _photo(tmp_path / "a.jpg", 60, subsampling=0)
    box = PixelBox(64, 128, 128, 128)
    crop = np.asarray(Image.open(io.BytesIO(_crop(photo, box))), float)
    expected = np.asarray(photo.pixels.crop(box.corners), float)
    error = np.abs(crop - expected)
    other = encode_crop(photo, box, quality=65, policy=MetadataPolicy.NONE).content
    assert error.mean() < 0.5
    assert error.mean() < 0.3 * np.abs(np.asarray(Image.open(io.BytesIO(other)), float) - expected).mean()


@pytest.mark.parametrize("quality", [40, 85])
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".heic"])
@pytest.mark.parametrize("form", [CropFormat.SAME, CropFormat.JPEG, CropFormat.WEBP, CropFormat.AVIF])
def test_three_crops_do_not_weigh_more_than_their_area(
    tmp_path: Path, suffix: str, quality: int, form: CropFormat
) -> None:
    path = tmp_path / f"a{suffix}"
    photo = _photo(path, quality)
    area = sum(box.width * box.height for box in _THREE) / (photo.width * photo.height)
    weight = sum(len(_crop(photo, box, form)) for box in _THREE)
    # A JPEG takes up to three times the bytes of the other formats for the same error.
    factor = 3.2 if suffix != ".jpg" and form is not CropFormat.AVIF else 1.6
    assert weight < factor * area * path.stat().st_size


def test_a_wanted_quality_overrides_that_of_the_photo(tmp_path: Path) -> None:
    photo = _photo(tmp_path / "a.jpg", 30)
    content = encode_crop(photo, _THREE[0], quality=90, policy=MetadataPolicy.NONE).content
    (tmp_path / "b.jpg").write_bytes(content)
    again = decode(read_source(tmp_path / "b.jpg"))
    assert again.quality is not None
    assert again.quality.for_format(JPEG) == 90


def test_lossless_photos_give_crops_of_the_default_quality(tmp_path: Path) -> None:
    photo = decode(read_source(write_photo(tmp_path / "a.png")))
    assert photo.quality is None
    (tmp_path / "b.jpg").write_bytes(_crop(photo, PixelBox(0, 0, 80, 60), CropFormat.JPEG))
    written = decode(read_source(tmp_path / "b.jpg")).quality
    assert written is not None
    assert written.for_format(JPEG) == DEFAULT_QUALITY == 95


def test_another_codec_never_gets_more_than_the_default() -> None:
    for codec in (JPEG, WEBP, AVIF):
        stored = StoredQuality(codec, 100)
        assert stored.for_format(codec) == 100
        assert {stored.for_format(form) for form in (JPEG, WEBP, AVIF) if form is not codec} == {DEFAULT_QUALITY}


@pytest.mark.parametrize("name", ["a.webp", "a.avif"])
def test_damaged_headers_leave_an_estimate_by_size(tmp_path: Path, name: str) -> None:
    photo = _photo(tmp_path / name, 60)
    content = bytearray((tmp_path / name).read_bytes())
    place = content.index(b"\x9d\x01\x2a") if name == "a.webp" else content.index(b"mdat") + 4
    content[place : place + 3] = b"\x00\x00\x00"
    estimate = read_quality(picture(*_SIZE), bytes(content), photo.format)
    assert estimate.codec is JPEG
    assert 20 < estimate.value <= 95
    assert photo.format is not PNG
