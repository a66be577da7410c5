import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import SWAPPED_PROFILE, picture, write_photo
from shotcrop_cli.imaging.decode import Photo, decode, read_source
from shotcrop_cli.imaging.formats import PNG
from shotcrop_cli.imaging.thumbnail import ANY_SIZE_LONG_SIDE, thumbnail
from shotcrop_cli.model.nano.preprocess import squash

_DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
_ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
_SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
"""XYZ of each space's red, green and blue, adapted to D50."""


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _profile(name: str, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return an ICC profile of version 2.4 (ICC.1:2001)."""
    text = name.encode() + b"\x00"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(12 + 67)
    tags = {b"desc": described, b"wtpt": b"XYZ " + bytes(4) + _fixed(0.9642, 1, 0.8249), **tags}
    table, values = struct.pack(">I", len(tags)), b""
    for signature, value in tags.items():
        table += signature + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(values), len(value))
        values += value + bytes(-len(value) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = bytes(4) + struct.pack(">I", 0x02400000) + kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    head += _fixed(0.9642, 1, 0.8249)
    return struct.pack(">I", 128 + len(table) + len(values)) + head + bytes(48) + table + values


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def _rgb_profile(name: str, primaries: tuple[tuple[float, ...], ...]) -> bytes:
    tags = {name + b"TRC": _gamma(2.2) for name in (b"r", b"g", b"b")}
    xyz = zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    return _profile(name, b"RGB ", b"XYZ ", tags | {tag: b"XYZ " + bytes(4) + _fixed(*value) for tag, value in xyz})


def _cmyk_profile() -> bytes:
    """Return a profile whose cyan ink is red, so that a conversion cannot be missed."""
    corners = bytearray()
    for ink in range(16):  # the last ink varies fastest
        cyan, magenta, yellow, black = (ink >> shift & 1 for shift in (3, 2, 1, 0))
        lightness = 0 if black else 255 - 60 * (cyan + magenta + yellow)
        corners += bytes((lightness, 128 + 80 * (cyan - magenta) * (1 - black), 128))
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += 4 * identity + bytes(corners) + 3 * identity
    return _profile("Red Ink", b"CMYK", b"Lab ", {b"A2B0": lut})


PROFILES = {
    "display p3": _rgb_profile("Display P3 like", _DISPLAY_P3),
    "adobe rgb": _rgb_profile("Adobe RGB like", _ADOBE_RGB),
    "gray": _profile("Gray Gamma 1.0", b"GRAY", b"XYZ ", {b"kTRC": _gamma(1.0)}),
    "cmyk": _cmyk_profile(),
}


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


def test_an_unusable_profile_does_not_cost_the_photo(tmp_path: Path) -> None:
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


def test_sixteen_bit_is_scaled_not_clipped(tmp_path: Path) -> None:
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


def test_models_of_any_size_get_the_photos_aspect() -> None:
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


@pytest.mark.parametrize(("name", "primaries"), [("display p3", _DISPLAY_P3), ("adobe rgb", _ADOBE_RGB)])
def test_model_sees_wide_gamuts_as_srgb(tmp_path: Path, name: str, primaries: tuple[tuple[float, ...], ...]) -> None:
    colour = (150, 120, 90)
    linear = (np.array(colour) / 255) ** 2.2 @ np.array(primaries) @ np.linalg.inv(np.array(_SRGB))
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


def test_model_sees_inks_through_their_profile(tmp_path: Path) -> None:
    image = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    photo = _decode(write_photo(tmp_path / "a.tif", image, icc_profile=PROFILES["cmyk"]))
    r, g, b = thumbnail(photo, (8, 8)).getpixel((4, 4))
    assert r > g + 60
    assert r > b + 60


def test_a_profile_of_another_colour_space_is_no_use(tmp_path: Path) -> None:
    photo = _decode(write_photo(tmp_path / "a.png", Image.new("L", (20, 20), 55), icc_profile=SWAPPED_PROFILE))
    assert thumbnail(photo, (8, 8)).getpixel((4, 4)) == (55, 55, 55)
