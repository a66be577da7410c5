import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from conftest import SWAPPED_PROFILE, jpeg_bytes, open_image, picture, rich_exif, write_photo
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.metadata import Metadata, MetadataPolicy
from shotcrop_cli.shots import PixelBox

_BOX = PixelBox(10, 20, 60, 40)
_CORNERS = (10, 20, 70, 60)


def _crop(path: Path, quality: int = 95) -> Image.Image:
    photo = decode(read_source(path))
    return Image.open(io.BytesIO(encode_crop(photo, _BOX, quality=quality, policy=MetadataPolicy.SAFE).content))


@pytest.mark.parametrize(
    ("image", "name", "options"),
    [
        (picture(), "a.png", {}),
        (picture().convert("P"), "a.png", {}),
        (picture().convert("RGBA"), "a.png", {}),
        (picture().convert("1"), "a.png", {}),
        (Image.fromarray(np.arange(120 * 80, dtype=np.uint16).reshape(80, 120) * 6), "a.png", {}),
        (picture(), "a.webp", {"lossless": True}),
        (picture(), "a.tif", {"compression": "tiff_lzw"}),
        (picture().convert("CMYK"), "a.tif", {}),
        (picture().convert("F"), "a.tif", {}),
        (picture(), "a.bmp", {}),
        (picture().convert("P"), "a.gif", {}),
    ],
)
def test_lossless_photos_give_exactly_their_own_pixels(
    tmp_path: Path, image: Image.Image, name: str, options: dict[str, object]
) -> None:
    path = write_photo(tmp_path / name, image, **options)
    crop = _crop(path)
    expected = open_image(path).crop(_CORNERS)
    mode = "RGBA" if expected.mode == "P" else expected.mode
    assert crop.format == {".bmp": "PNG", ".gif": "PNG"}.get(path.suffix, open_image(path).format)
    assert np.array_equal(np.asarray(crop.convert(mode)), np.asarray(expected.convert(mode)))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_stays_jpeg_with_its_chroma_subsampling(tmp_path: Path, subsampling: int) -> None:
    path = write_photo(tmp_path / "a.jpg", quality=95, subsampling=subsampling)
    crop = _crop(path)
    assert crop.format == "JPEG"
    assert JpegImagePlugin.get_sampling(crop) == subsampling
    difference = np.asarray(crop).astype(int) - np.asarray(open_image(path).crop(_CORNERS))
    assert np.abs(difference).mean() < 2


def test_chroma_that_cannot_be_kept_turned_is_kept_whole(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write_photo(tmp_path / "a.jpg", quality=95, subsampling=1, exif=exif.tobytes())
    assert JpegImagePlugin.get_sampling(_crop(path)) == 0


def test_quality_is_obeyed(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", Image.effect_noise((120, 80), 90).convert("RGB"), quality=95)
    photo = decode(read_source(path))
    sizes = [len(encode_crop(photo, _BOX, quality=quality, policy=MetadataPolicy.SAFE).content) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_keeps_its_colour_model(tmp_path: Path, mode: str) -> None:
    path = write_photo(tmp_path / "a.jpg", picture().convert(mode), quality=95)
    crop = _crop(path)
    assert crop.mode == mode
    difference = np.asarray(crop).astype(int) - np.asarray(open_image(path).crop(_CORNERS))
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_colour_profile_is_kept(tmp_path: Path, suffix: str) -> None:
    path = write_photo(tmp_path / f"a{suffix}", icc_profile=SWAPPED_PROFILE)
    assert _crop(path).info["icc_profile"] == SWAPPED_PROFILE


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_output_removes_embedded_thumbnail_and_place(tmp_path: Path, suffix: str) -> None:
    thumbnail = jpeg_bytes(picture(16, 12))
    path = write_photo(tmp_path / f"a{suffix}", exif=rich_exif(thumbnail))
    crop = _crop(path)
    exif = crop.getexif()
    assert exif[0x0110] == "Canon EOS R5"
    assert exif.get(0x0112, 1) == 1  # AVIF writes it as a property of the picture
    assert not exif.get_ifd(0x8825)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert exif.get_ifd(0x8769)[0xA002] == 60
    data = encode_crop(decode(read_source(path)), _BOX, quality=95, policy=MetadataPolicy.SAFE).content
    assert thumbnail not in data
    assert b"secret maker note" not in data


def test_tiff_crop_does_not_inherit_the_layout_of_its_source(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.tif", compression="tiff_lzw")
    crop = _crop(path)
    assert (crop.tag_v2[256], crop.tag_v2[257]) == (60, 40)
    assert crop.info["compression"] == "tiff_lzw"


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_tiff_crop_keeps_its_exif_however_the_source_was_compressed(tmp_path: Path, compression: str) -> None:
    photo = decode(read_source(write_photo(tmp_path / "a.tif", compression=compression)))
    dated = replace(photo, metadata=Metadata(rich_exif(jpeg_bytes(picture(16, 12)))))
    crop = Image.open(io.BytesIO(encode_crop(dated, _BOX, quality=95, policy=MetadataPolicy.SAFE).content))
    assert crop.getexif().get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert np.array_equal(np.asarray(crop), np.asarray(photo.pixels.crop(_CORNERS)))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_damaged_exif_does_not_cost_the_crop(tmp_path: Path, suffix: str) -> None:
    photo = decode(read_source(write_photo(tmp_path / f"a{suffix}")))
    block = rich_exif(jpeg_bytes(picture(16, 12)))
    for damage in range(14, 200, 3):
        damaged = replace(photo, metadata=Metadata(block[:damage] + b"\x05\xff" + block[damage + 2 :]))
        crop = Image.open(io.BytesIO(encode_crop(damaged, _BOX, quality=95, policy=MetadataPolicy.SAFE).content))
        assert crop.size == (60, 40)


def test_heic_falls_to_jpeg(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    crop = _crop(write_photo(tmp_path / "a.heic"))
    assert (crop.format, crop.size) == ("JPEG", (60, 40))


def test_harmless_xmp_is_kept(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" dc:title="Ana"></x:xmpmeta>'
    assert _crop(write_photo(tmp_path / "a.jpg", xmp=xmp)).info["xmp"] == xmp


def test_pixels_that_cannot_be_written_are_a_photo_error(tmp_path: Path) -> None:
    photo = decode(read_source(write_photo(tmp_path / "a.png")))
    photo.pixels.putpixel((0, 0), (1, 2, 3))
    odd = type(photo)(Image.new("HSV", (120, 80)), photo.format)
    with pytest.raises(PhotoError, match="cannot be written as PNG"):
        encode_crop(odd, _BOX, quality=95, policy=MetadataPolicy.SAFE)
