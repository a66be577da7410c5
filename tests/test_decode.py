import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from conftest import SWAPPED_PROFILE, jpeg_bytes, picture, rich_exif, write_photo
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import ANY_SIZE_LONG_SIDE, Photo, decode, read_source, thumbnail
from shotcrop_cli.imaging.formats import PNG
from shotcrop_cli.model.preprocess import squash


def _decode(path: Path) -> Photo:
    return decode(read_source(path))


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Store an upright image as a camera held that way would, by undoing Pillow's own idea of upright."""
    for turn in (None, *Image.Transpose):
        stored = image if turn is None else image.transpose(turn)
        buffer = io.BytesIO()
        stored.save(buffer, "PNG", exif=_exif(orientation))
        upright = ImageOps.exif_transpose(Image.open(buffer))
        if upright.size == image.size and np.array_equal(np.asarray(upright), np.asarray(image)):
            return stored
    raise AssertionError(f"no way to store orientation {orientation}")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_every_orientation_is_set_upright_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = turned(picture(), orientation)
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    path = write_photo(tmp_path / f"a{suffix}", stored, exif=_exif(orientation), **options)
    photo = _decode(path)
    assert (photo.width, photo.height, photo.orientation) == (120, 80, orientation)
    difference = np.asarray(photo.pixels).astype(int) - np.asarray(picture())
    assert np.abs(difference).max() <= (5 if suffix == ".jpg" else 0)


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


def test_animation_yields_its_first_frame_and_says_so(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    photo = _decode(write_photo(tmp_path / "a.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True))
    assert thumbnail(photo, (8, 8)).getpixel((4, 4)) == (255, 0, 0)
    assert photo.warnings == ("animated: only the first frame is used",)
    assert photo.lossless


def test_models_of_any_size_get_the_photos_aspect() -> None:
    assert thumbnail(Photo(picture(), PNG), (0, 0)).size == (120, 80)
    big = Photo(Image.new("RGB", (4000, 1000)), PNG)
    assert thumbnail(big, (0, 0)).size == (ANY_SIZE_LONG_SIDE, ANY_SIZE_LONG_SIDE // 4)


def test_model_sees_photos_as_in_its_training() -> None:
    noise = Image.effect_noise((900, 700), 90).convert("RGB")
    small = thumbnail(Photo(noise, PNG), (64, 64))
    assert np.array_equal(np.asarray(small), np.asarray(squash(noise, 64)))


def test_heic_is_upright(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    path = write_photo(tmp_path / "a.heic", turned(picture(), 6), exif=_exif(6), quality=100)
    photo = _decode(path)
    assert (photo.width, photo.height, photo.orientation) == (120, 80, 6)
    difference = np.asarray(photo.pixels).astype(int) - np.asarray(picture())
    assert np.abs(difference).mean() < 8


def _truncated(path: Path) -> None:
    path.write_bytes(jpeg_bytes(picture())[:-400])


def _png_named_jpg(path: Path) -> None:
    picture().save(path, "PNG")


def _bomb(path: Path) -> None:
    path.write_bytes(jpeg_bytes(picture()))
    data = bytearray(path.read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = b"\xff\xdc\xff\xdc"  # 65500 x 65500 pixels
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "not a picture"),
        (_truncated, "damaged or incomplete"),
        (_png_named_jpg, "the content is PNG"),
        (_bomb, "larger than 178 megapixels"),
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    ],
    ids=["empty", "html", "truncated", "wrong extension", "bomb", "missing", "folder"],
)
def test_bad_files_name_themselves_and_a_remedy(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "bad.jpg"
    make(path)  # type: ignore[operator]
    with pytest.raises(PhotoError, match=message) as caught:
        _decode(path)
    assert caught.value.message.startswith(str(path))
    assert caught.value.hint


def test_a_source_is_fingerprinted_by_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    fingerprint = read_source(path).fingerprint
    assert fingerprint.size_bytes == 3
    assert fingerprint.mtime_ns == path.stat().st_mtime_ns
    assert fingerprint.sha256.startswith("ba7816bf")  # of "abc", FIPS 180-2


def test_metadata_survives_decoding(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", exif=rich_exif(jpeg_bytes(picture(16, 12))))
    assert _decode(path).metadata.facts().camera == "Canon EOS R5"
