import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from conftest import jpeg_bytes, picture, rich_exif, write_photo
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import Photo, decode, read_source


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


def test_animation_yields_its_first_frame_and_says_so(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    photo = _decode(write_photo(tmp_path / "a.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True))
    assert photo.pixels.convert("RGB").getpixel((4, 4)) == (255, 0, 0)
    assert photo.warnings == ("animated: only the first frame is used",)
    assert photo.lossless


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


def test_metadata_of_a_tiff_survives_without_the_layout_of_its_pixels(tmp_path: Path) -> None:
    exif = rich_exif(jpeg_bytes(picture(16, 12)))
    metadata = _decode(write_photo(tmp_path / "a.tif", picture(600, 400), exif=exif)).metadata
    assert metadata.facts().captured_at == "2024-05-06T07:08:09+02:00"
    kept = Image.Exif()
    kept.load(metadata.exif)
    assert not {0x0100, 0x0111, 0x0117} & set(kept)  # width, strip offsets, strip sizes
    assert len(metadata.exif) < 1000
