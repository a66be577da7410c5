import functools
import io
import os
import stat
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pillow_heif
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from camera_files import dng
from colour_profiles import PROFILES
from conftest import SWAPPED_PROFILE, jpeg_bytes, open_image, picture, rich_exif, write_photo
from metadata_samples import KEPT, data_set, packet, resources
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import JPEG, PNG, TIFF, CropFormat, output_format
from shotcrop_cli.imaging.metadata.policy import Comment, Metadata, MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.shots import PixelBox

_BOX = PixelBox(10, 20, 60, 40)
_CORNERS = (10, 20, 70, 60)


_FORMATS = [CropFormat.JPEG, CropFormat.PNG, CropFormat.WEBP, CropFormat.AVIF, CropFormat.TIFF]


def _cut(
    photo: Photo,
    form: CropFormat = CropFormat.SAME,
    policy: MetadataPolicy = MetadataPolicy.SAFE,
    max_size: int | None = None,
) -> Image.Image:
    """Return a crop as anyone would open it."""
    crop = encode_crop(photo, _BOX, form=form, quality=95, policy=policy, max_size=max_size)
    image = Image.open(io.BytesIO(crop.content))
    image.load()
    assert image.size == (crop.width, crop.height)
    return image


def _crop(path: Path) -> Image.Image:
    return _cut(decode(read_source(path)))


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
def test_crops_of_lossless_photos_have_the_exact_pixels(
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


def test_turned_4_2_2_chroma_becomes_4_4_4(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write_photo(tmp_path / "a.jpg", quality=95, subsampling=1, exif=exif.tobytes())
    assert JpegImagePlugin.get_sampling(_crop(path)) == 0


def test_lower_quality_gives_smaller_files(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", Image.effect_noise((120, 80), 90).convert("RGB"), quality=95)
    photo = decode(read_source(path))
    sizes = [
        len(encode_crop(photo, _BOX, quality=quality, policy=MetadataPolicy.NONE).content) for quality in (30, 60, 95)
    ]
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
def test_output_removes_embedded_thumbnail_and_gps(tmp_path: Path, suffix: str) -> None:
    thumbnail = jpeg_bytes(picture(16, 12))
    path = write_photo(tmp_path / f"a{suffix}", exif=rich_exif(thumbnail))
    crop = _crop(path)
    exif = crop.getexif()
    assert exif[0x0110] == "Canon EOS R5"
    assert exif.get(0x0112, 1) == 1  # AVIF writes it as a property of the image
    assert not exif.get_ifd(0x8825)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert exif.get_ifd(0x8769).get(0xA002) == (None if suffix == ".tif" else 60)
    data = encode_crop(decode(read_source(path)), _BOX, quality=95, policy=MetadataPolicy.SAFE).content
    assert thumbnail not in data
    assert b"secret maker note" not in data


def test_tiff_crop_does_not_keep_the_pixel_layout_of_its_source(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.tif", compression="tiff_lzw")
    crop = _crop(path)
    assert (crop.tag_v2[256], crop.tag_v2[257]) == (60, 40)
    assert crop.info["compression"] == "tiff_lzw"


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_tiff_crop_keeps_exif_for_every_source_compression(tmp_path: Path, compression: str) -> None:
    photo = decode(read_source(write_photo(tmp_path / "a.tif", compression=compression)))
    dated = replace(photo, metadata=Metadata(rich_exif(jpeg_bytes(picture(16, 12)))))
    crop = Image.open(io.BytesIO(encode_crop(dated, _BOX, quality=95, policy=MetadataPolicy.SAFE).content))
    assert crop.getexif().get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert crop.info["compression"] == compression
    loss = np.abs(np.asarray(crop, int) - np.asarray(photo.pixels.crop(_CORNERS), int)).max()
    assert loss <= (8 if compression == "jpeg" else 0)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_damaged_exif_does_not_fail_the_crop(tmp_path: Path, suffix: str) -> None:
    photo = decode(read_source(write_photo(tmp_path / f"a{suffix}")))
    block = rich_exif(jpeg_bytes(picture(16, 12)))
    for damage in range(14, 200, 3):
        damaged = replace(photo, metadata=Metadata(block[:damage] + b"\x05\xff" + block[damage + 2 :]))
        crop = Image.open(io.BytesIO(encode_crop(damaged, _BOX, quality=95, policy=MetadataPolicy.SAFE).content))
        assert crop.size == (60, 40)


def test_heic_crops_are_jpeg(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    crop = _crop(write_photo(tmp_path / "a.heic"))
    assert (crop.format, crop.size) == ("JPEG", (60, 40))


@functools.cache
def _deep() -> np.ndarray:
    return np.linspace(0, 65535, 120 * 80).reshape(80, 120)


def _sources(folder: Path) -> dict[str, Path]:
    """Write one photo of every kind."""
    smooth = picture()

    def two_frames() -> dict[str, object]:
        return {"save_all": True, "append_images": [Image.new("RGB", (120, 80), "blue")]}

    alpha = smooth.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
    kinds: dict[str, tuple[str, Image.Image, dict[str, object]]] = {
        "jpeg": ("a.jpg", smooth, {"quality": 95}),
        "progressive jpeg": ("b.jpg", smooth, {"quality": 95, "progressive": True}),
        "gray jpeg": ("c.jpg", smooth.convert("L"), {"icc_profile": PROFILES["gray"]}),
        "cmyk jpeg": ("d.jpg", smooth.convert("CMYK"), {"icc_profile": PROFILES["cmyk"]}),
        "mpo": ("e.jpg", smooth, {"format": "MPO", **two_frames()}),
        "png": ("a.png", smooth, {}),
        "palette png": ("b.png", smooth.convert("P", dither=Image.Dither.NONE), {}),
        "transparent palette png": ("c.png", smooth.convert("P", dither=Image.Dither.NONE), {"transparency": 7}),
        "alpha png": ("d.png", alpha, {}),
        "gray alpha png": ("e.png", alpha.convert("LA"), {}),
        "transparent gray png": ("f.png", smooth.convert("L"), {"transparency": 7}),
        "bilevel png": ("g.png", smooth.convert("1", dither=Image.Dither.NONE), {}),
        "16-bit gray png": ("h.png", Image.fromarray(_deep().astype(np.uint16)), {"icc_profile": PROFILES["gray"]}),
        "apng": ("i.png", smooth, two_frames()),
        "webp": ("a.webp", smooth, {"quality": 95}),
        "lossless webp": ("b.webp", alpha, {"lossless": True}),
        "animated webp": ("c.webp", smooth, two_frames()),
        "tiff": ("a.tif", smooth, {"compression": "tiff_lzw", "icc_profile": SWAPPED_PROFILE}),
        "jpeg tiff": ("b.tif", smooth, {"compression": "jpeg"}),
        "fax tiff": ("c.tif", smooth.convert("1", dither=Image.Dither.NONE), {"compression": "group4"}),
        "16-bit gray tiff": ("d.tif", Image.fromarray(_deep().astype(np.uint16)), {}),
        "big-endian gray tiff": ("e.tif", Image.fromarray(_deep().astype(">u2")), {}),
        "32-bit gray tiff": ("f.tif", Image.fromarray((_deep() * 1000).astype(np.int32)), {}),
        "float tiff": ("g.tif", Image.fromarray((_deep() / 65535).astype(np.float32)), {}),
        "lab tiff": ("h.tif", Image.new("LAB", (120, 80), (150, 128, 128)), {}),
        "cmyk tiff": ("i.tif", smooth.convert("CMYK"), {"icc_profile": PROFILES["cmyk"]}),
        "ycbcr tiff": ("j.tif", smooth.convert("YCbCr"), {}),
        "multi-page tiff": ("k.tif", smooth, two_frames()),
        "avif": ("a.avif", smooth, {"quality": 95}),
        "alpha avif": ("b.avif", alpha, {"quality": 95}),
        "gif": ("a.gif", smooth.convert("P", dither=Image.Dither.NONE), two_frames()),
        "bmp": ("a.bmp", smooth, {}),
        "heic": ("a.heic", smooth, {"quality": 95}),
        "dng": ("a.dng", smooth, {}),
    }
    # The last Pillow for Python 3.10 is 12.3, which cannot read the YCbCr TIFF that it writes.
    if int(PIL.__version__.split(".")[0]) < 13:
        del kinds["ycbcr tiff"]
    paths = {}
    for kind, (name, image, options) in kinds.items():
        paths[kind] = folder / name
        if kind == "dng":
            paths[kind].write_bytes(dng(image))
        else:
            write_photo(folder / name, image.copy(), **options)  # Pillow's writers change the image object
    return paths


_MODES = {
    CropFormat.JPEG: {"L", "RGB", "CMYK"},
    CropFormat.PNG: {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"},
    CropFormat.WEBP: {"RGB", "RGBA"},
    CropFormat.AVIF: {"RGB", "RGBA"},
}


def test_every_kind_of_photo_is_written_in_every_format_and_size(tmp_path: Path) -> None:
    pytest.importorskip("rawpy", reason="needs the extra `raw`")
    pillow_heif.register_heif_opener()
    for kind, path in _sources(tmp_path).items():
        photo = decode(read_source(path))
        seen = thumbnail(photo, photo.pixels.size).crop(_CORNERS)
        for form in CropFormat:
            for max_size in (None, 30):
                crop = _cut(photo, form, max_size=max_size)
                where = f"{kind} as {form}, at most {max_size}"
                assert crop.format == output_format(photo.format, form).name, where
                assert crop.size == ((60, 40) if max_size is None else (30, 20)), where
                assert crop.mode in _MODES.get(form, {crop.mode}), where
                if crop.mode in ("I", "F"):
                    continue  # what is white in them depends on the whole photo
                shown = thumbnail(Photo(crop, PNG, icc_profile=crop.info.get("icc_profile") or b""), crop.size)
                difference = np.asarray(shown).astype(int) - np.asarray(seen.resize(crop.size, Image.Resampling.BOX))
                assert np.abs(difference).mean() < 7, where


@pytest.mark.parametrize("form", _FORMATS)
@pytest.mark.parametrize("name", ["display p3", "adobe rgb"])
def test_rgb_keeps_its_profile_in_every_format(tmp_path: Path, form: CropFormat, name: str) -> None:
    photo = decode(read_source(write_photo(tmp_path / "a.jpg", icc_profile=PROFILES[name])))
    assert _cut(photo, form, MetadataPolicy.NONE).info["icc_profile"] == PROFILES[name]


@pytest.mark.parametrize("form", _FORMATS)
def test_gray_keeps_its_profile_where_it_stays_gray(tmp_path: Path, form: CropFormat) -> None:
    path = write_photo(tmp_path / "a.png", Image.new("L", (120, 80), 55), icc_profile=PROFILES["gray"])
    crop = _cut(decode(read_source(path)), form)
    if form in (CropFormat.WEBP, CropFormat.AVIF):
        assert "icc_profile" not in crop.info
        assert crop.getpixel((30, 20)) == pytest.approx((127,) * 3, abs=2)  # 55 in linear light
    else:
        assert (crop.mode, crop.info["icc_profile"]) == ("L", PROFILES["gray"])
        assert crop.getpixel((30, 20)) == 55


@pytest.mark.parametrize("form", _FORMATS)
def test_cmyk_keeps_its_profile_or_is_converted_to_srgb(tmp_path: Path, form: CropFormat) -> None:
    path = write_photo(tmp_path / "a.tif", Image.new("CMYK", (120, 80), (255, 0, 0, 0)), icc_profile=PROFILES["cmyk"])
    crop = _cut(decode(read_source(path)), form)
    if form in (CropFormat.JPEG, CropFormat.TIFF):
        assert (crop.mode, crop.info["icc_profile"]) == ("CMYK", PROFILES["cmyk"])
    else:
        r, g, b = crop.getpixel((30, 20))
        assert r > max(g, b) + 60  # the profile's cyan is red
        assert "icc_profile" not in crop.info


def test_a_profile_of_another_colour_space_is_not_written(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", picture().convert("L"), icc_profile=SWAPPED_PROFILE)
    assert "icc_profile" not in _crop(path).info


@pytest.mark.parametrize("form", [CropFormat.JPEG, CropFormat.WEBP, CropFormat.AVIF])
@pytest.mark.parametrize(("mode", "top"), [("I;16", 65535), ("I", 65535), ("I", 10_000_000), ("F", 1.0)])
def test_deep_gray_is_scaled_not_clipped(form: CropFormat, mode: str, top: float) -> None:
    kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    ramp = np.linspace(0, top, 120).astype(kind)[None].repeat(80, 0)
    crop = np.asarray(_cut(Photo(Image.fromarray(ramp), TIFF, lossless=True), form).convert("L")).astype(int)
    expected = ramp[0, 10:70] * (255 / top)
    assert np.abs(crop - expected).max() < 5


@pytest.mark.parametrize("form", [CropFormat.PNG, CropFormat.TIFF])
def test_16_bit_gray_stays_exact_where_the_format_allows(form: CropFormat) -> None:
    deep = Image.fromarray(_deep().astype(np.uint16))
    assert np.array_equal(np.asarray(_cut(Photo(deep, TIFF), form)), np.asarray(deep.crop(_CORNERS)))


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i4", "<f4"])
def test_shrinking_deep_gray_keeps_the_value_range(tmp_path: Path, kind: str) -> None:
    edge = np.full((80, 120), 1000)
    edge[:, 40:] = 65000
    photo = decode(read_source(write_photo(tmp_path / "a.tif", Image.fromarray(edge.astype(kind)))))
    values = np.asarray(_cut(photo, max_size=30))
    assert (values.min(), values.max()) == (1000, 65000)
    assert values.dtype.itemsize == np.dtype(kind).itemsize


def test_transparency_becomes_white_in_jpeg(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (120, 80), (200, 0, 0, 0))
    crop = _cut(decode(read_source(write_photo(tmp_path / "a.png", clear))), CropFormat.JPEG)
    assert crop.getpixel((30, 20)) == (255, 255, 255)


@pytest.mark.parametrize("form", [CropFormat.PNG, CropFormat.WEBP, CropFormat.TIFF])
def test_lossless_stays_lossless(tmp_path: Path, form: CropFormat) -> None:
    noise = Image.effect_noise((120, 80), 90).convert("RGBA")
    noise.putalpha(Image.linear_gradient("L").resize(noise.size))
    crop = _cut(decode(read_source(write_photo(tmp_path / "a.png", noise))), form)
    assert np.array_equal(np.asarray(crop), np.asarray(noise.crop(_CORNERS)))


def test_lossy_photos_become_lossy_webp(tmp_path: Path) -> None:
    noise = Image.effect_noise((120, 80), 90).convert("RGB")
    for name, options in {"a.jpg": {"quality": 95}, "a.tif": {"compression": "jpeg"}}.items():
        photo = decode(read_source(write_photo(tmp_path / name, noise, **options)))
        content = encode_crop(photo, _BOX, form=CropFormat.WEBP, quality=50, policy=MetadataPolicy.NONE).content
        assert b"VP8 " in content[:40]


def test_avif_keeps_its_chroma_subsampling(tmp_path: Path) -> None:
    for subsampling in ("4:4:4", "4:2:0"):
        photo = decode(read_source(write_photo(tmp_path / "a.avif", subsampling=subsampling)))
        content = encode_crop(photo, _BOX, quality=95, policy=MetadataPolicy.NONE).content
        (tmp_path / "b.avif").write_bytes(content)
        assert decode(read_source(tmp_path / "b.avif")).subsampling == photo.subsampling == (subsampling == "4:2:0") * 2


@pytest.mark.parametrize("max_size", [None, 50])
@pytest.mark.parametrize("in_memory", [True, False])
def test_jpeg_encoding_does_not_block_other_threads(
    monkeypatch: pytest.MonkeyPatch, in_memory: bool, max_size: int | None
) -> None:
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    photo = Photo(picture(), JPEG)
    expected, get_encoder = _cut(photo, max_size=max_size), Image._getencoder
    real: list[bool] = []

    class Watched:
        """An encoder of which only `encode_to_file` lets other threads run."""

        def __init__(self, *arguments: object) -> None:
            self._encoder = get_encoder(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self._encoder, name)

        def encode_to_file(self, number: int, size: int) -> int:
            real.append(stat.S_ISREG(os.fstat(number).st_mode))
            return self._encoder.encode_to_file(number, size)

    monkeypatch.setattr(Image, "_getencoder", Watched)
    assert np.array_equal(_cut(photo, max_size=max_size), expected)
    assert real == [True]


@pytest.mark.parametrize(
    ("box", "max_size", "expected"),
    [
        (PixelBox(0, 0, 120, 80), 60, (60, 40)),
        (PixelBox(0, 0, 40, 80), 60, (30, 60)),
        (PixelBox(0, 0, 60, 40), 60, (60, 40)),
        (PixelBox(0, 0, 60, 40), 600, (60, 40)),
        (PixelBox(0, 0, 120, 1), 10, (10, 1)),
    ],
)
def test_max_size_shrinks_the_longer_side_and_never_enlarges(
    box: PixelBox, max_size: int, expected: tuple[int, int]
) -> None:
    crop = encode_crop(Photo(picture(), PNG), box, quality=95, policy=MetadataPolicy.NONE, max_size=max_size)
    assert (crop.width, crop.height) == Image.open(io.BytesIO(crop.content)).size == expected


def test_shrinking_ignores_the_colour_of_transparent_pixels(tmp_path: Path) -> None:
    image = Image.new("RGBA", (120, 80), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 45, 80))
    crop = np.asarray(_cut(decode(read_source(write_photo(tmp_path / "a.png", image))), max_size=30))
    assert crop[crop[:, :, 3] > 10][:, 0].max() < 20


def _described(thumbnail: bytes) -> Metadata:
    return Metadata(
        exif=rich_exif(thumbnail, orientation=6),
        xmp=packet("<dc:title>Ana</dc:title>", 'exif:GPSLatitude="47,22N" tiff:Orientation="6"'),
        iptc=KEPT + data_set(2, 202, thumbnail),
        comments=(Comment("Comment", "by hand"),),
    )


@pytest.mark.parametrize("form", _FORMATS)
@pytest.mark.parametrize("policy", list(MetadataPolicy))
def test_every_format_follows_every_metadata_policy(form: CropFormat, policy: MetadataPolicy) -> None:
    thumbnail_bytes = jpeg_bytes(picture(16, 12))
    photo = Photo(picture(), JPEG, metadata=_described(thumbnail_bytes), icc_profile=SWAPPED_PROFILE)
    content = encode_crop(photo, _BOX, form=form, quality=95, policy=policy, max_size=30).content
    crop = Image.open(io.BytesIO(content))
    stored, inside = crop.getexif(), crop.getexif().get_ifd(0x8769)
    kept = policy is not MetadataPolicy.NONE
    assert crop.info["icc_profile"] == SWAPPED_PROFILE
    assert thumbnail_bytes[20:] not in content
    assert b"secret maker note" not in content
    assert (stored.get(0x0110), stored.get(0x0112, 1)) == ("Canon EOS R5" if kept else None, 1)
    has_size = kept and form is not CropFormat.TIFF  # where EXIF does not allow it
    assert (inside.get(0xA002), inside.get(0xA003)) == ((30, 20) if has_size else (None, None))
    assert bool(stored.get_ifd(0x8825)) == (b"GPSLatitude" in content) == (policy is MetadataPolicy.ALL)
    assert not stored.get_ifd(ExifTags.IFD.IFD1)
    assert (b"Ana" in content) == (KEPT in content) == kept
    if form in (CropFormat.JPEG, CropFormat.PNG):
        assert (b"by hand" in content) == kept


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_iptc_is_kept_in_jpeg_and_tiff(tmp_path: Path, name: str) -> None:
    plain = decode(read_source(write_photo(tmp_path / name)))
    described = replace(plain, metadata=Metadata(iptc=KEPT))
    (tmp_path / name).write_bytes(encode_crop(described, _BOX, quality=95, policy=MetadataPolicy.SAFE).content)
    assert decode(read_source(tmp_path / name)).metadata.iptc == KEPT


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_xmp_is_kept_in_every_format(tmp_path: Path, suffix: str) -> None:
    plain = decode(read_source(write_photo(tmp_path / f"a{suffix}")))
    described = replace(plain, metadata=Metadata(xmp=packet("<dc:title>Ana in Zürich</dc:title>")))
    crop = encode_crop(described, _BOX, quality=95, policy=MetadataPolicy.SAFE)
    (tmp_path / f"a{suffix}").write_bytes(crop.content)
    assert "Ana in Zürich" in decode(read_source(tmp_path / f"a{suffix}")).metadata.xmp.decode()


@pytest.mark.parametrize("form", _FORMATS)
def test_non_ascii_texts_are_kept(form: CropFormat) -> None:
    stored = Image.Exif()
    stored[0x8298] = "© José".encode()
    stored[0x8769] = {0x9003: "2024:05:06 07:08:09", 0xA434: "Größe".encode()}
    crop = _cut(Photo(picture(), JPEG, metadata=Metadata(stored.tobytes())), form)
    assert crop.getexif()[0x8298].encode("latin-1").decode() == "© José"
    assert crop.getexif().get_ifd(0x8769)[0xA434].decode() == "Größe"


def _long_xmp() -> bytes:
    keywords = "".join(f"<rdf:li>keyword {number:05}</rdf:li>" for number in range(4000))
    return packet(f"<dc:subject><rdf:Bag>{keywords}</rdf:Bag></dc:subject><dc:title>Ana</dc:title>")


def test_xmp_too_long_for_a_marker_is_split_and_read_again(tmp_path: Path) -> None:
    photo = Photo(picture(), JPEG, metadata=Metadata(xmp=_long_xmp()))
    crop = encode_crop(photo, _BOX, quality=95, policy=MetadataPolicy.SAFE)
    assert crop.warnings == ()
    first = Image.open(io.BytesIO(crop.content)).info["xmp"]
    assert b"Ana" in first  # programs that read only the first marker find the short texts
    assert b"keyword" not in first
    (tmp_path / "a.jpg").write_bytes(crop.content)
    again = decode(read_source(tmp_path / "a.jpg"))
    assert again.metadata.xmp.count(b"keyword ") == 4000
    assert b"Ana" in again.metadata.xmp
    assert b"HasExtendedXMP" not in again.metadata.for_crop(MetadataPolicy.SAFE, 1, 1).xmp
    assert (
        b"HasExtendedXMP"
        not in encode_crop(again, _BOX, form=CropFormat.PNG, quality=95, policy=MetadataPolicy.SAFE).content
    )


def test_a_missing_part_of_the_xmp_is_told_and_the_first_part_is_kept(tmp_path: Path) -> None:
    photo = Photo(picture(), JPEG, metadata=Metadata(xmp=_long_xmp()))
    content = encode_crop(photo, _BOX, quality=95, policy=MetadataPolicy.SAFE).content
    (tmp_path / "a.jpg").write_bytes(content.replace(b"http://ns.adobe.com/xmp/extension/", b"-" * 34))
    crop = encode_crop(decode(read_source(tmp_path / "a.jpg")), _BOX, quality=95, policy=MetadataPolicy.SAFE)
    assert crop.warnings == ("a part of the XMP is damaged or missing and was left out",)
    assert b"Ana" in crop.content
    assert b"HasExtendedXMP" not in crop.content


def test_the_longest_legal_packet_stays_in_one_marker() -> None:
    body = "<dc:title>" + "a " * 32_000 + "</dc:title>"
    kept = Metadata(xmp=packet(body)).for_crop(MetadataPolicy.SAFE, 60, 40)
    assert 64_000 < len(kept.xmp) < 65_502
    crop = _cut(Photo(picture(), JPEG, metadata=Metadata(xmp=packet(body))))
    assert crop.info["xmp"] == kept.xmp


def test_only_the_longest_exif_entries_are_left_out_of_a_jpeg() -> None:
    stored = Image.Exif()
    stored[0x0110], stored[0x010E] = "Canon EOS R5", "far too long " * 6000
    stored[0x8769] = {0x9003: "2024:05:06 07:08:09", 0x9286: b"ASCII\0\0\0" + b"too long " * 7000}
    photo = Photo(picture(), JPEG, metadata=Metadata(stored.tobytes()))
    crop = encode_crop(photo, _BOX, quality=95, policy=MetadataPolicy.SAFE)
    exif = Image.open(io.BytesIO(crop.content)).getexif()
    assert (exif[0x0110], exif.get(0x010E)) == ("Canon EOS R5", None)
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert len(exif.get_ifd(0x8769)[0x9286]) == 63_008
    assert crop.warnings == ("EXIF entries of 78,001 bytes were left out: a JPEG holds 65,533",)


def test_every_comment_of_a_jpeg_is_kept(tmp_path: Path) -> None:
    plain = jpeg_bytes(picture())
    markers = b"".join(
        b"\xff\xfe" + struct.pack(">H", 2 + len(text)) + text for text in (b"first", b"second", b"first")
    )
    (tmp_path / "a.jpg").write_bytes(plain[:20] + markers + plain[20:])
    photo = decode(read_source(tmp_path / "a.jpg"))
    crop = encode_crop(photo, _BOX, quality=95, policy=MetadataPolicy.SAFE)
    found = [data for name, data in Image.open(io.BytesIO(crop.content)).applist if name == "COM"]
    assert found == [b"first", b"second"]


def test_what_a_jpeg_cannot_hold_is_told() -> None:
    large = Metadata(
        comments=(Comment("Comment", "far too long " * 6000), Comment("Title", "far too")),
        iptc=data_set(2, 120, b"far too long " * 6000),
    )
    crop = encode_crop(Photo(picture(), JPEG, metadata=large), _BOX, quality=95, policy=MetadataPolicy.SAFE)
    assert b"far too" not in crop.content
    assert [warning.partition(" was left")[0].partition(" were left")[0] for warning in crop.warnings] == [
        "IPTC of 78,036 bytes",
        "a comment of 78,000 bytes",
        "the texts Title",
    ]
    kept = encode_crop(
        Photo(picture(), JPEG, metadata=large), _BOX, form=CropFormat.PNG, quality=95, policy=MetadataPolicy.SAFE
    )
    assert kept.warnings == ()
    assert kept.content.count(b"far too long ") == 2 * 6000


_DPI_SOURCES = {
    "a.jpg": {"dpi": (300, 300)},
    "a.png": {"dpi": (300, 300)},
    "a.bmp": {"dpi": (300, 300)},
    "a.tif": {"dpi": (300, 300)},
    "b.tif": {"dpi": (300, 300), "compression": "tiff_lzw"},
}


@pytest.mark.parametrize("form", [CropFormat.SAME, *_FORMATS])
@pytest.mark.parametrize("name", _DPI_SOURCES)
def test_crops_have_the_resolution_of_their_photo(tmp_path: Path, name: str, form: CropFormat) -> None:
    photo = decode(read_source(write_photo(tmp_path / name, **_DPI_SOURCES[name])))
    crop = _cut(photo, form)
    if crop.format in ("JPEG", "PNG", "TIFF"):
        assert crop.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    else:
        assert (crop.getexif()[0x011A], crop.getexif()[0x011B], crop.getexif()[0x0128]) == (300, 300, 2)
    none = encode_crop(photo, _BOX, form=form, quality=95, policy=MetadataPolicy.NONE).content
    assert "dpi" not in Image.open(io.BytesIO(none)).info or Image.open(io.BytesIO(none)).info["dpi"] == (1, 1)


@pytest.mark.parametrize(
    ("density", "unit"), [((118, 118), 2), ((300, 600), 1), ((2, 1), 0)], ids=["centimetres", "unequal", "pixel shape"]
)
def test_the_density_of_a_jpeg_is_kept_as_it_is(tmp_path: Path, density: tuple[int, int], unit: int) -> None:
    content = bytearray(jpeg_bytes(picture()))
    content[13:18] = bytes((unit, density[0] >> 8, density[0] & 255, density[1] >> 8, density[1] & 255))
    (tmp_path / "a.jpg").write_bytes(content)
    crop = _cut(decode(read_source(tmp_path / "a.jpg")))
    assert (crop.info["jfif_density"], crop.info["jfif_unit"]) == (density, unit)


def test_a_resolution_that_only_photoshop_stored_is_kept(tmp_path: Path) -> None:
    plain = jpeg_bytes(picture())
    printed = resources((0x03ED, struct.pack(">IHHIHH", 240 << 16, 1, 1, 240 << 16, 1, 1)))
    marker = b"\xff\xed" + struct.pack(">H", 2 + len(printed)) + printed
    (tmp_path / "a.jpg").write_bytes(plain[:20] + marker + plain[20:])
    crop = _cut(decode(read_source(tmp_path / "a.jpg")))
    assert (crop.info["jfif_density"], crop.info["jfif_unit"]) == ((240, 240), 1)


def test_a_senseless_resolution_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 4_000_000_000, 4_000_000_000, 2
    path = write_photo(tmp_path / "a.jpg", exif=exif)
    for form in _FORMATS:
        assert _cut(decode(read_source(path)), form).size == (60, 40)


def test_the_resolution_turns_with_the_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x011B], exif[0x0128] = 6, 300, 600, 2
    crop = _cut(decode(read_source(write_photo(tmp_path / "a.jpg", dpi=(300, 600), exif=exif))))
    assert crop.info["jfif_density"] == (600, 300)
    assert (crop.getexif()[0x011A], crop.getexif()[0x011B]) == (600, 300)


def test_pixels_that_cannot_be_written_are_a_photo_error() -> None:
    long = Photo(Image.new("RGB", (17_000, 2)), PNG)  # WebP ends at 16,383
    with pytest.raises(PhotoError, match="cannot be written as WEBP") as caught:
        encode_crop(long, PixelBox(0, 0, 17_000, 2), form=CropFormat.WEBP, quality=95, policy=MetadataPolicy.SAFE)
    assert caught.value.hint


def test_a_format_missing_in_pillow_gives_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.delitem(Image.SAVE, "AVIF")
    with pytest.raises(PhotoError, match="cannot write AVIF") as caught:
        _cut(Photo(picture(), PNG), CropFormat.AVIF)
    assert "pip install --force-reinstall pillow" in caught.value.hint
