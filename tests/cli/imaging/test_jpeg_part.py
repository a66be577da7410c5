import io
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from colour_profiles import PROFILES
from conftest import picture
from shotcrop_cli.imaging import jpeg_part
from shotcrop_cli.imaging import pixels as pixels_module
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import JPEG, CropFormat
from shotcrop_cli.imaging.jpeg_part import encode_jpeg, takes_parts
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.shots import PixelBox

_CORNERS = (11, 21, 74, 60)
_TABLES = (tuple(range(1, 65)), tuple(range(65, 129)))


@pytest.fixture(autouse=True)
def _try_pillow_again() -> Iterator[None]:
    takes_parts.cache_clear()
    yield
    takes_parts.cache_clear()


def _copied(image: Image.Image, **options: object) -> bytes:
    part, file = image.crop(_CORNERS), io.BytesIO()
    part.info = {}
    part.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("how", [{"quality": 30}, {"quality": 100}, {"qtables": _TABLES}])
def test_a_part_is_encoded_like_a_copy_of_it(mode: str, subsampling: int, how: dict[str, object]) -> None:
    image = picture().convert(mode)
    options = {**how, "subsampling": subsampling if mode == "RGB" else -1, "icc_profile": b"profile" * 20_000}
    assert takes_parts()
    assert encode_jpeg(image, options, _CORNERS) == _copied(image, **options)


def test_a_part_may_be_the_whole_or_one_pixel() -> None:
    image = picture()
    for corners in [(0, 0, *image.size), (119, 79, 120, 80), (0, 0, 1, 80)]:
        part = Image.open(io.BytesIO(encode_jpeg(image, {"quality": 100, "subsampling": 0}, corners)))
        assert part.size == (corners[2] - corners[0], corners[3] - corners[1])
        assert np.abs(np.asarray(part, int) - np.asarray(image.crop(corners), int)).max() < 40


def test_a_part_beyond_the_image_is_black_there() -> None:
    part = Image.open(io.BytesIO(encode_jpeg(picture(), {"quality": 95}, (100, 60, 160, 120))))
    assert part.size == (60, 60)
    assert np.asarray(part)[32:, 32:].max() < 10


def test_a_comment_of_the_photo_is_not_in_the_part() -> None:
    image = picture()
    image.info["comment"] = b"about the whole photo"
    for _ in range(2):
        assert b"about" not in encode_jpeg(image, {"quality": 90}, _CORNERS)
        takes_parts.cache_clear()
    assert image.info["comment"] == b"about the whole photo"


@pytest.mark.parametrize("broken", ["missing", "raises", "wrong"])
def test_another_pillow_encodes_a_copy_of_the_part(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    get_encoder = Image._getencoder

    class Shifted:
        def __init__(self, *arguments: object) -> None:
            self._encoder = get_encoder(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self._encoder, name)

        def setimage(self, core: object, corners: tuple[int, int, int, int]) -> None:
            left, upper, right, lower = corners
            self._encoder.setimage(core, (0, 0, right - left, lower - upper))

    def fails(*_: object) -> None:
        raise TypeError("another signature")

    image, options = picture(), {"quality": 90, "subsampling": 2}
    expected = _copied(image, **options)
    if broken == "missing":
        monkeypatch.setattr(jpeg_part, "_encode_part", fails)
    else:
        monkeypatch.setattr(Image, "_getencoder", {"raises": fails, "wrong": Shifted}[broken])
    assert not takes_parts()
    monkeypatch.setattr(Image, "_getencoder", get_encoder)
    assert encode_jpeg(image, options, _CORNERS) == expected


@pytest.mark.parametrize(("mode", "copies"), [("L", 0), ("RGB", 0), ("CMYK", 0), ("RGBA", 1), ("P", 1), ("I;16", 1)])
def test_only_pixels_that_change_are_copied(monkeypatch: pytest.MonkeyPatch, mode: str, copies: int) -> None:
    pixels = Image.new(mode, (120, 80)) if mode == "I;16" else picture().convert(mode)
    cropped = list[object]()
    real = pixels_module.cropped
    monkeypatch.setattr(pixels_module, "cropped", lambda *arguments: cropped.append(arguments) or real(*arguments))
    monkeypatch.setattr(jpeg_part, "cropped", lambda *arguments: cropped.append(arguments) or real(*arguments))
    crop = encode_crop(
        Photo(pixels, JPEG), PixelBox(10, 20, 60, 40), form=CropFormat.JPEG, quality=90, policy=MetadataPolicy.NONE
    )
    assert (crop.width, crop.height) == Image.open(io.BytesIO(crop.content)).size == (60, 40)
    assert len(cropped) == copies


def test_shrunk_and_converted_crops_are_not_taken_from_the_photo() -> None:
    plain, box = picture(), PixelBox(10, 20, 60, 40)
    for max_size, srgb in itertools.product((None, 30), (False, True)):
        photo = Photo(plain, JPEG, icc_profile=PROFILES["display p3"] if srgb else b"")
        crop = encode_crop(photo, box, quality=95, policy=MetadataPolicy.NONE, max_size=max_size, srgb=srgb)
        image = Image.open(io.BytesIO(crop.content))
        assert image.size == (crop.width, crop.height) == ((30, 20) if max_size else (60, 40))
        assert "icc_profile" not in image.info
