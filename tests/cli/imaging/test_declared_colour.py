"""Colour that a file declares without a profile reaches its crops. All colours are compared in CIE Lab."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from conftest import SWAPPED_PROFILE, open_image, write_photo
from shotcrop_cli.imaging.decode import decode, read_source
from shotcrop_cli.imaging.encode import encode_crop
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.in_memory import photo_of_image
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.thumbnail import thumbnail
from shotcrop_cli.shots import PixelBox

_FORMATS = [CropFormat.SAME, CropFormat.JPEG, CropFormat.PNG, CropFormat.WEBP, CropFormat.AVIF, CropFormat.TIFF]
_TO_XYZ = {
    "srgb": ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)),
    "p3": ((0.4865709, 0.2656677, 0.1982173), (0.2289746, 0.6917385, 0.0792869), (0.0, 0.0451134, 1.0439444)),
    "2020": ((0.6369580, 0.1446169, 0.1688810), (0.2627002, 0.6779981, 0.0593017), (0.0, 0.0280727, 1.0609851)),
    "adobe": ((0.5767309, 0.1855540, 0.1881852), (0.2973769, 0.6273491, 0.0752741), (0.0270343, 0.0706872, 0.9911085)),
}
"""From linear RGB to XYZ under D65. Source: Bruce Lindbloom's tables; BT.2020 by ITU-R BT.2087."""
_D65_TO_D50 = (
    (1.0478112, 0.0228866, -0.0501270),
    (0.0295424, 0.9904844, -0.0170491),
    (-0.0092345, 0.0150436, 0.7521316),
)
_COLOURS = ((200, 60, 50), (70, 170, 60), (50, 80, 190), (128, 128, 128), (220, 190, 160), (30, 40, 35))
_BLOCK = 32
_BOX = PixelBox(0, 0, _BLOCK * 3, _BLOCK * 2)


def _patches(colours: Any = _COLOURS) -> Image.Image:
    blocks = np.array(colours, np.uint8).reshape(2, 3, -1).squeeze()
    return Image.fromarray(blocks.repeat(_BLOCK, 0).repeat(_BLOCK, 1))


def _srgb_light(values: Any) -> Any:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _bt709_light(values: Any) -> Any:
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


def _lab(light: Any, space: str) -> Any:
    """Return CIE Lab under D50 of linear light."""
    xyz = light @ np.array(_TO_XYZ[space]).T @ np.array(_D65_TO_D50).T / (0.9642, 1.0, 0.8249)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def _centres(image: Image.Image) -> Any:
    """Return the six colours of an image of patches, 0 to 1."""
    half = _BLOCK // 2
    return np.asarray(image.convert("RGB"), float)[half::_BLOCK, half::_BLOCK].reshape(6, 3) / 255


def _seen(image: Image.Image) -> Any:
    """Return the six colours of an image in CIE Lab, read by its own profile; without one it is sRGB."""
    profile = image.info.get("icc_profile")
    if profile is None:
        return _lab(_srgb_light(_centres(image)), "srgb")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = "L" if image.mode == "L" else "RGB"
    transform = ImageCms.buildTransform(
        source, ImageCms.createProfile("LAB"), mode, "LAB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    converted = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)
    assert converted is not None
    lab = np.frombuffer(converted.tobytes(), np.uint8).reshape(*image.size[::-1], 3)[_BLOCK // 2 :: _BLOCK]
    lab = lab[:, _BLOCK // 2 :: _BLOCK].reshape(6, 3)
    return np.concatenate([lab[:, :1] * (100 / 255), lab[:, 1:].astype(np.int8)], 1)


def _crop(photo: Photo, form: CropFormat, policy: MetadataPolicy = MetadataPolicy.NONE, **options: Any) -> Image.Image:
    quality: Any = 100 if form is not CropFormat.SAME else "same"
    image = Image.open(
        io.BytesIO(encode_crop(photo, _BOX, form=form, quality=quality, policy=policy, **options).content)
    )
    image.load()
    return image


def _close(found: Any, expected: Any, most: float = 3.0) -> bool:
    return bool(np.sqrt(((found - expected) ** 2).sum(-1)).max() < most)


def _with_chunks(path: Path, *chunks: tuple[bytes, bytes], image: Image.Image | None = None) -> Photo:
    content = write_photo(path, image or _patches()).read_bytes()
    packed = (
        struct.pack(">I", len(value)) + name + value + struct.pack(">I", zlib.crc32(name + value))
        for name, value in chunks
    )
    path.write_bytes(content[:33] + b"".join(packed) + content[33:])
    return decode(read_source(path))


def _gama_chrm(gamma: float, *chromaticities: float) -> list[tuple[bytes, bytes]]:
    return [
        (b"gAMA", struct.pack(">I", round(gamma * 100_000))),
        (b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in chromaticities))),
    ]


_P3_POINTS = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_SRGB_POINTS = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)


def _avif(path: Path, primaries: int, transfer: int, image: Image.Image | None = None) -> Photo:
    write_photo(path, image or _patches(), quality=100, subsampling="4:4:4")
    content = path.read_bytes().replace(
        b"colrnclx\x00\x01\x00\x0d", b"colrnclx" + struct.pack(">HH", primaries, transfer)
    )
    path.write_bytes(content)
    return decode(read_source(path))


def _heic(path: Path, primaries: int, transfer: int) -> Photo:
    pillow_heif.register_heif_opener()
    numbers = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 6}
    write_photo(path, _patches(), quality=100, chroma=444, full_range_flag=1, **numbers)
    return decode(read_source(path))


def _adobe_rgb(path: Path, space: int = 0xFFFF, index: bytes = b"R03\x00") -> Photo:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: space, 0xA005: {1: index}}
    options = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    write_photo(path, _patches(), exif=exif.tobytes(), **options)
    return decode(read_source(path))


def _light(gamma: float) -> Any:
    return lambda values: values**gamma


_DECLARED: dict[str, tuple[Any, Any, str]] = {
    "gAMA and cHRM": (lambda p: _with_chunks(p / "a.png", *_gama_chrm(1.0, *_P3_POINTS)), _light(1.0), "p3"),
    "gAMA 2.2": (lambda p: _with_chunks(p / "a.png", *_gama_chrm(1 / 2.2, *_P3_POINTS)), _light(2.2), "p3"),
    "cHRM alone": (lambda p: _with_chunks(p / "a.png", _gama_chrm(1, *_P3_POINTS)[1]), _srgb_light, "p3"),
    "gAMA alone": (lambda p: _with_chunks(p / "a.png", _gama_chrm(1 / 1.8, *_P3_POINTS)[0]), _light(1.8), "srgb"),
    "cICP P3": (lambda p: _with_chunks(p / "a.png", (b"cICP", bytes((12, 13, 0, 1)))), _srgb_light, "p3"),
    "cICP 2020": (lambda p: _with_chunks(p / "a.png", (b"cICP", bytes((9, 14, 0, 1)))), _bt709_light, "2020"),
    "AVIF P3": (lambda p: _avif(p / "a.avif", 12, 13), _srgb_light, "p3"),
    "AVIF 2020": (lambda p: _avif(p / "a.avif", 9, 4), _light(2.2), "2020"),
    "HEIC P3": (lambda p: _heic(p / "a.heic", 12, 13), _srgb_light, "p3"),
    "HEIC 2020": (lambda p: _heic(p / "a.heic", 9, 4), _light(2.2), "2020"),
    "EXIF": (lambda p: _adobe_rgb(p / "a.jpg"), _light(563 / 256), "adobe"),
    "EXIF in PNG": (lambda p: _adobe_rgb(p / "a.png"), _light(563 / 256), "adobe"),
    "EXIF space 2": (lambda p: _adobe_rgb(p / "a.jpg", space=2, index=b"R98\x00"), _light(563 / 256), "adobe"),
}


@pytest.mark.parametrize("policy", list(MetadataPolicy))
@pytest.mark.parametrize("kind", _DECLARED)
def test_declared_colour_reaches_every_format(tmp_path: Path, kind: str, policy: MetadataPolicy) -> None:
    make, curve, space = _DECLARED[kind]
    photo = make(tmp_path)
    expected = _lab(curve(_centres(_patches())), space)
    assert not _close(_lab(_srgb_light(_centres(_patches())), "srgb"), expected, 8.0)  # it matters
    lossy = 5.0 if photo.format.name in ("AVIF", "HEIF") else 3.0
    for form in _FORMATS if policy is MetadataPolicy.NONE else (CropFormat.SAME, CropFormat.TIFF):
        crop = _crop(photo, form, policy)
        assert _close(_seen(crop), expected, 5.0 if crop.format in ("JPEG", "AVIF", "WEBP") else lossy), form
    in_srgb = _crop(photo, CropFormat.PNG, policy, srgb=True)
    assert "icc_profile" not in in_srgb.info
    for converted in (in_srgb, thumbnail(photo, photo.pixels.size)):
        assert _close(_seen(converted)[3:], expected[3:], lossy)  # the first three are outside sRGB
    assert photo.warnings == ()


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"sRGB", b"\x00"), *_gama_chrm(1.0, *_P3_POINTS)],
        _gama_chrm(0.45455, *_SRGB_POINTS),
        [(b"cICP", bytes((1, 13, 0, 1))), *_gama_chrm(1.0, *_P3_POINTS)],
        [(b"cICP", bytes((2, 2, 0, 1)))],
        [],
    ],
    ids=["sRGB chunk", "sRGB by numbers", "cICP wins", "unspecified", "nothing"],
)
def test_srgb_gets_no_profile(tmp_path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    photo = _with_chunks(tmp_path / "a.png", *chunks)
    assert (photo.icc_profile, photo.hdr, photo.warnings) == (b"", None, ())


def test_code_points_win_over_a_profile_in_png_and_lose_in_avif(tmp_path: Path) -> None:
    packed = b"a\x00\x00" + zlib.compress(SWAPPED_PROFILE)
    photo = _with_chunks(tmp_path / "a.png", (b"cICP", bytes((1, 13, 0, 1))), (b"iCCP", packed))
    assert photo.icc_profile == b""
    path = write_photo(tmp_path / "a.avif", _patches(), icc_profile=SWAPPED_PROFILE)
    assert decode(read_source(path)).icc_profile == SWAPPED_PROFILE


@pytest.mark.parametrize(("space", "index"), [(1, b"R98\x00"), (1, b"R03\x00"), (0xFFFF, b"R98\x00")])
def test_other_exif_colour_spaces_are_srgb(tmp_path: Path, space: int, index: bytes) -> None:
    assert _adobe_rgb(tmp_path / "a.jpg", space, index).icc_profile == b""


def test_impossible_chromaticities_are_srgb_with_a_warning(tmp_path: Path) -> None:
    photo = _with_chunks(tmp_path / "a.png", *_gama_chrm(1.0, *[0.3] * 8))
    assert photo.icc_profile == b""
    assert photo.warnings == ("the colour space in the PNG is impossible, so sRGB was assumed",)


def test_unknown_code_points_are_srgb_with_a_warning(tmp_path: Path) -> None:
    photo = _with_chunks(tmp_path / "a.png", (b"cICP", bytes((77, 13, 0, 1))))
    assert photo.icc_profile == b""
    assert photo.warnings == ("the colour code points 77/13 are unknown, so sRGB was assumed",)


def test_gamma_of_gray_is_kept(tmp_path: Path) -> None:
    gray = _patches([55] * 6)
    photo = _with_chunks(tmp_path / "a.png", *_gama_chrm(1.0, *_SRGB_POINTS), image=gray)
    crop = _crop(photo, CropFormat.SAME)
    assert crop.mode == "L"
    assert _seen(crop)[0] == pytest.approx(_lab(np.full(3, 55 / 255), "srgb"), abs=1.5)
    assert thumbnail(photo, gray.size).getpixel((5, 5)) == pytest.approx((128, 128, 128), abs=2)


def test_narrow_range_becomes_full(tmp_path: Path) -> None:
    image = _patches([(16, 16, 16), (235, 235, 235), (126, 126, 126), (0, 255, 16), (235, 16, 16), (60, 60, 60)])
    photo = _with_chunks(tmp_path / "a.png", (b"cICP", bytes((1, 13, 0, 0))), image=image)
    assert (_centres(photo.pixels)[:4] * 255).round().astype(int).tolist() == [
        *([0, 0, 0], [255, 255, 255], [128, 128, 128], [0, 255, 0]),
    ]


def test_a_pillow_image_of_such_a_file_keeps_its_colours(tmp_path: Path) -> None:
    _with_chunks(tmp_path / "a.png", *_gama_chrm(1.0, *_P3_POINTS))
    _adobe_rgb(tmp_path / "a.jpg")
    for name in ("a.png", "a.jpg"):
        with Image.open(tmp_path / name) as image:
            assert photo_of_image(image).icc_profile == decode(read_source(tmp_path / name)).icc_profile != b""


def _pq_nits(values: Any) -> Any:
    power = values ** (1 / 78.84375)
    return 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)


def _hlg_nits(values: Any, space: str) -> Any:
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return 1000 * (scene @ np.array(_TO_XYZ[space][1]))[..., None] ** 0.2 * scene


_DIM = ((120, 60, 50), (70, 110, 60), (50, 80, 120), (100, 100, 100), (130, 120, 100), (30, 40, 35))
"""As PQ, all below 80 % of the reference white."""


def _hdr(folder: Path, kind: str, transfer: int, colours: Any) -> Photo:
    if kind == "png":
        return _with_chunks(folder / "a.png", (b"cICP", bytes((9, transfer, 0, 1))), image=_patches(colours))
    return _avif(folder / "a.avif", 9, transfer, _patches(colours))


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("kind", ["png", "avif"])
def test_png_and_avif_crops_stay_hdr(tmp_path: Path, kind: str, transfer: int) -> None:
    photo = _hdr(tmp_path, kind, transfer, _COLOURS)
    for form, suffix in ((CropFormat.PNG, ".png"), (CropFormat.AVIF, ".avif")):
        crop = encode_crop(photo, _BOX, form=form, quality=100, policy=MetadataPolicy.NONE)
        (tmp_path / f"b{suffix}").write_bytes(crop.content)
        again = decode(read_source(tmp_path / f"b{suffix}"))
        assert again.hdr is not None
        assert (again.hdr.points.primaries, again.hdr.points.transfer) == (9, transfer)
        assert np.abs(_centres(again.pixels) - _centres(photo.pixels)).max() * 255 <= 4
        assert crop.warnings == ()


@pytest.mark.parametrize("form", [CropFormat.JPEG, CropFormat.WEBP, CropFormat.TIFF])
@pytest.mark.parametrize("transfer", [16, 18])
def test_other_formats_are_converted_to_standard_range(tmp_path: Path, form: CropFormat, transfer: int) -> None:
    photo = _hdr(tmp_path, "png", transfer, _DIM)
    values = _centres(_patches(_DIM))
    nits = _pq_nits(values) if transfer == 16 else _hlg_nits(values, "2020")
    assert nits.max() < 0.8 * 203
    assert _close(_seen(_crop(photo, form)), _lab(nits / 203, "2020"))
    crop = encode_crop(photo, _BOX, form=form, policy=MetadataPolicy.NONE)
    name = "PQ" if transfer == 16 else "HLG"
    assert crop.warnings == (f"HDR ({name}) was converted to standard range: {form.name} cannot hold it",)


@pytest.mark.parametrize("transfer", [16, 18])
def test_highlights_are_compressed_in_order_and_keep_their_hue(tmp_path: Path, transfer: int) -> None:
    steps = [(value, value, value) for value in (100, 150, 180, 200, 225, 255)]
    photo = _hdr(tmp_path, "png", transfer, steps)
    grays = (_centres(_crop(photo, CropFormat.TIFF)) * 255).round().astype(int)
    assert grays.tolist() == sorted([int(row[0])] * 3 for row in grays)
    assert len({int(row[0]) for row in grays}) >= 5
    assert grays[-1, 0] == 255
    bright = [(255, 200, 180), (240, 190, 170), (200, 150, 140), (120, 90, 80), (180, 120, 110), (100, 60, 50)]
    photo = _hdr(tmp_path, "png", transfer, bright)
    nits = _pq_nits(_centres(photo.pixels)) if transfer == 16 else _hlg_nits(_centres(photo.pixels), "2020")
    light = _srgb_light(_centres(_crop(photo, CropFormat.TIFF)))
    assert light / light.max(1, keepdims=True) == pytest.approx(nits / nits.max(1, keepdims=True), abs=0.02)


def test_an_hdr_photo_is_converted_to_srgb_on_purpose(tmp_path: Path) -> None:
    photo = _hdr(tmp_path, "png", 16, _DIM)
    crop = _crop(photo, CropFormat.PNG, srgb=True)
    assert "icc_profile" not in crop.info
    expected = _lab(_pq_nits(_centres(_patches(_DIM))) / 203, "2020")
    assert _close(_seen(crop)[3:], expected[3:])  # the first three are outside sRGB
    assert _close(_seen(thumbnail(photo, photo.pixels.size))[3:], expected[3:])


def test_an_srgb_profile_by_another_name_changes_nothing_and_another_profile_named_srgb_does() -> None:
    named = SWAPPED_PROFILE.replace("swap".encode("utf-16-be"), "sRGB".encode("utf-16-be")).replace(b"swap", b"sRGB")
    photo = photo_of_image(_patches())
    seen = thumbnail(replace(photo, icc_profile=named), photo.pixels.size)
    assert np.abs(_centres(seen) - _centres(_patches())).max() > 0.2


@pytest.mark.parametrize("form", _FORMATS)
def test_exif_of_converted_crops_says_srgb(tmp_path: Path, form: CropFormat) -> None:
    photo = _adobe_rgb(tmp_path / "a.jpg")
    for srgb in (False, True):
        crop = encode_crop(photo, _BOX, form=form, policy=MetadataPolicy.SAFE, srgb=srgb)
        path = tmp_path / f"b.{Image.open(io.BytesIO(crop.content)).format.lower()}"
        path.write_bytes(crop.content)
        again = decode(read_source(path))
        assert (again.icc_profile == b"") == srgb
        exif = open_image(path).getexif()
        assert exif.get_ifd(0x8769)[0xA001] == (1 if srgb else 0xFFFF)
        assert exif.get_ifd(0xA005)[1].strip("\0") == ("R98" if srgb else "R03")
