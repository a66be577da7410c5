from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colour_profiles import ADOBE_RGB, DISPLAY_P3, PROFILES, SRGB
from conftest import SWAPPED_PROFILE, picture, write_photo
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.formats import PNG
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.thumbnail import ANY_SIZE_LONG_SIDE, thumbnail
from shotcrop_cli.model.nano.preprocess import squash


def _decode(path: Path) -> Photo:
    return decode(read_source(path))


def test_model_sees_srgb_and_the_photo_keeps_its_own_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (40, 40), (255, 0, 0))
    photo = _decode(write_photo(tmp_path / "a.png", red, icc_profile=SWAPPED_PROFILE))
    small = thumbnail(photo, (8, 8))
    r, g, _ = small.getpixel((4, 4))
    assert (r < 30, g > 200) == (True, True)
    assert photo.pixels.getpixel((4, 4)) == (255, 0, 0)
    assert photo.icc_profile == SWAPPED_PROFILE


def test_an_unusable_profile_does_not_fail_the_photo(tmp_path: Path) -> None:
    red = Image.new("RGB", (40, 40), (200, 0, 0))
    photo = _decode(write_photo(tmp_path / "a.png", red, icc_profile=b"no profile at all"))
    assert thumbnail(photo, (8, 8)).getpixel((4, 4)) == (200, 0, 0)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (40, 30), 77), (77, 77, 77)),
        (Image.new("1", (40, 30), 1), (255, 255, 255)),
        (Image.new("P", (40, 30), 0), (0, 0, 0)),
        (Image.new("RGBA", (40, 30), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("RGBA", (40, 30), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("LA", (40, 30), (10, 255)), (10, 10, 10)),
        (Image.new("CMYK", (40, 30), (0, 0, 0, 255)), (0, 0, 0)),
        (Image.new("I;16", (40, 30), 0x8000), (128, 128, 128)),
        (Image.new("I", (40, 30), 0x8000), (128, 128, 128)),
        (Image.new("F", (40, 30), 0.5), (255, 255, 255)),
        (Image.new("PA", (40, 30)), (255, 255, 255)),
        (Image.new("YCbCr", (40, 30), (255, 128, 128)), (255, 255, 255)),
        (Image.new("LAB", (40, 30), (255, 128, 128)), (255, 255, 255)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, int, int]) -> None:
    small = thumbnail(Photo(image, PNG), (16, 16))
    assert (small.mode, small.size) == ("RGB", (16, 16))
    assert all(abs(a - b) <= 1 for a, b in zip(small.getpixel((8, 8)), expected, strict=True))


def test_16_bit_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16))
    photo = _decode(write_photo(tmp_path / "a.png", ramp))
    assert photo.pixels.mode == "I;16"
    values = np.asarray(thumbnail(photo, (64, 64)))[:, :, 0]
    assert np.array_equal(values, np.asarray(ramp) >> 8)


def test_palette_transparency_shows_white(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([255, 0, 0] * 256)
    photo = _decode(write_photo(tmp_path / "a.png", image, transparency=0))
    assert thumbnail(photo, (8, 8)).getpixel((4, 4)) == (255, 255, 255)


def test_any_size_thumbnails_keep_the_aspect_ratio() -> None:
    assert thumbnail(Photo(picture(), PNG), (0, 0)).size == (120, 80)
    big = Photo(Image.new("RGB", (4000, 1000)), PNG)
    assert thumbnail(big, (0, 0)).size == (ANY_SIZE_LONG_SIDE, ANY_SIZE_LONG_SIDE // 4)


def test_model_sees_photos_as_in_its_training() -> None:
    noise = Image.effect_noise((900, 700), 90).convert("RGB")
    small = thumbnail(Photo(noise, PNG), (64, 64))
    assert np.array_equal(np.asarray(small), np.asarray(squash(noise, 64)))


def test_gray_with_a_transparent_shade_shows_white(tmp_path: Path) -> None:
    photo = _decode(write_photo(tmp_path / "a.png", Image.new("L", (20, 20), 9), transparency=9))
    assert thumbnail(photo, (8, 8)).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(("name", "primaries"), [("display p3", DISPLAY_P3), ("adobe rgb", ADOBE_RGB)])
def test_model_sees_wide_gamuts_as_srgb(tmp_path: Path, name: str, primaries: tuple[tuple[float, ...], ...]) -> None:
    colour = (150, 120, 90)
    linear = (np.array(colour) / 255) ** 2.2 @ np.array(primaries) @ np.linalg.inv(np.array(SRGB))
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    photo = _decode(write_photo(tmp_path / "a.png", Image.new("RGB", (20, 20), colour), icc_profile=PROFILES[name]))
    seen = thumbnail(photo, (8, 8)).getpixel((4, 4))
    assert np.abs(np.array(seen) - expected).max() < 2
    assert np.abs(np.array(seen) - colour).max() > 5


def test_model_sees_gray_through_its_profile(tmp_path: Path) -> None:
    image = Image.new("L", (20, 20), 55)  # linear light
    photo = _decode(write_photo(tmp_path / "a.png", image, icc_profile=PROFILES["gray"]))
    expected = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    assert thumbnail(photo, (8, 8)).getpixel((4, 4)) == pytest.approx((expected,) * 3, abs=2)


def test_model_sees_cmyk_through_its_profile(tmp_path: Path) -> None:
    image = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    photo = _decode(write_photo(tmp_path / "a.tif", image, icc_profile=PROFILES["cmyk"]))
    r, g, b = thumbnail(photo, (8, 8)).getpixel((4, 4))
    assert r > g + 60
    assert r > b + 60


def test_a_profile_of_another_colour_space_is_ignored(tmp_path: Path) -> None:
    photo = _decode(write_photo(tmp_path / "a.png", Image.new("L", (20, 20), 55), icc_profile=SWAPPED_PROFILE))
    assert thumbnail(photo, (8, 8)).getpixel((4, 4)) == (55, 55, 55)
