"""Every Pillow mode is shown to the model, cropped and written in every format, without an error."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import picture, write_photo
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import PNG, CropFormat
from shotcrop_cli.imaging.in_memory import photo_of_image
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.shots import PixelBox

_BOX = PixelBox(10, 20, 60, 40)
_WIDE = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_MODES = [*("1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"), *_WIDE]


def _image(mode: str) -> Image.Image:
    gray, half = picture().convert("L"), Image.new("L", picture().size, 128)
    if mode in ("LA", "La", "PA"):
        layers = Image.merge("LA", (gray, half))
        return layers.convert(mode)
    if mode in ("RGBA", "RGBa"):
        layers = picture().convert("RGBA")
        layers.putalpha(half)
        return layers.convert(mode)
    if mode == "LAB":
        return Image.merge("LAB", (gray, half, half))
    if mode in _WIDE:
        deep = gray.convert("I").point(lambda value: value * 257)
        return deep if mode == "I" else deep.convert("F") if mode == "F" else deep.convert("I;16").convert(mode)
    return picture().convert(mode)


@pytest.mark.parametrize("mode", _MODES)
def test_every_mode_is_cropped(mode: str) -> None:
    try:
        image = _image(mode)
    except ValueError:
        image = Image.new(mode, picture().size)
    assert image.mode == mode
    taken = photo_of_image(image)
    for photo in (taken, Photo(image, PNG, lossless=True)):
        seen = thumbnail(photo, (60, 40))
        assert (seen.mode, seen.size) == ("RGB", (60, 40))
        for form in CropFormat:
            for max_size in (None, 30):
                for srgb in (False, True):
                    crop = encode_crop(photo, _BOX, form=form, policy=MetadataPolicy.NONE, max_size=max_size, srgb=srgb)
                    with Image.open(io.BytesIO(crop.content)) as written:
                        written.load()
                        assert written.size == ((60, 40) if max_size is None else (30, 20))


def test_premultiplied_pixels_keep_their_values() -> None:
    for mode, usual in (("La", "LA"), ("RGBa", "RGBA")):
        photo = photo_of_image(_image(mode))
        assert photo.pixels.mode == usual
        crop = encode_crop(photo, _BOX, policy=MetadataPolicy.NONE)
        with Image.open(io.BytesIO(crop.content)) as written:
            difference = np.asarray(written, int) - np.asarray(_image(usual).crop(_BOX.corners), int)
        assert np.abs(difference).max() <= 1


def test_a_tiff_with_premultiplied_gray_is_read(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.tif", _image("LA"))
    content = bytearray(path.read_bytes())
    extra = content.index((338).to_bytes(2, "little"))
    content[extra + 8] = 1  # premultiplied
    path.write_bytes(content)
    with Image.open(path) as image:
        assert image.mode == "La"
    photo = decode(read_source(path))
    assert photo.pixels.mode == "LA"
    assert encode_crop(photo, _BOX, policy=MetadataPolicy.SAFE).width == 60
