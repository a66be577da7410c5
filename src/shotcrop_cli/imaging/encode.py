"""Crop the pixels of a photo and encode the crop in an image format."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from PIL import Image

from shotcrop_cli import install_hint
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.code_points import CodePoints
from shotcrop_cli.imaging.colour import profile_fits, to_srgb
from shotcrop_cli.imaging.declared_colour import is_adobe_rgb
from shotcrop_cli.imaging.formats import (
    AVIF,
    DEFAULT_QUALITY,
    JPEG,
    PNG,
    SAME_QUALITY,
    TIFF,
    WEBP,
    CropFormat,
    Format,
    Quality,
    output_format,
)
from shotcrop_cli.imaging.hdr import to_standard_range
from shotcrop_cli.imaging.jpeg_part import encode_jpeg
from shotcrop_cli.imaging.metadata import exif, jpeg
from shotcrop_cli.imaging.metadata.policy import Metadata, MetadataPolicy
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import (
    DEEP_MODES,
    in_usual_mode,
    onto_white,
    part_resized,
    to_8_bit,
    to_16_bit,
    white_level,
    with_alpha,
)
from shotcrop_cli.imaging.tiff import TiffCoding, with_jpeg, write_options
from shotcrop_cli.shots import PixelBox

_APPLICATION_MARKERS, _COMMENT_MARKER = range(0xE0, 0xF0), 0xFE
_CODING_MARKERS = (0xE0, 0xEE)
"""The markers of JFIF and Adobe, which describe the coding and not the photo."""
_MODES = {
    JPEG: ("L", "RGB", "CMYK"),
    PNG: ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    WEBP: ("RGB", "RGBA"),
    AVIF: ("RGB", "RGBA"),
    TIFF: ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", *DEEP_MODES),
}
"""The Pillow modes that each format can store without conversion."""
_HDR_FORMATS = (PNG, AVIF)
"""Formats whose crops stay HDR. The others know no code points."""
_SUBSAMPLING_NAMES = ("4:4:4", "4:2:2", "4:2:0")


@dataclass(frozen=True, slots=True)
class EncodedCrop:
    """A crop as an image file.

    Args:
        content: The content of the file.
        width: Width of the image in pixels.
        height: Its height in pixels.
        warnings: What was lost in writing it, one sentence each.
    """

    content: bytes
    width: int
    height: int
    warnings: tuple[str, ...] = ()


def encode_crop(
    photo: Photo,
    box: PixelBox,
    *,
    form: CropFormat = CropFormat.SAME,
    quality: Quality = SAME_QUALITY,
    policy: MetadataPolicy,
    max_size: int | None = None,
    srgb: bool = False,
    size: tuple[int, int] | None = None,
) -> EncodedCrop:
    """Crop a photo and encode the crop.

    Args:
        photo: The photo, upright.
        box: A box inside the photo, in pixels of the upright photo.
        form: The format to write. `SAME` is the photo's own format, or the nearest one that can be written.
        quality: 1 to 100 for lossy formats, or `same` for the photo's own. Lossless photos stay lossless if the format
            can do it.
        policy: Which metadata of the photo the crop keeps.
        max_size: Largest longer side in pixels, to which larger crops are shrunk; None keeps the size.
        srgb: Whether to convert the pixels to sRGB.
        size: Exact width and height to scale the crop to; None to go by `max_size`.

    Raises:
        PhotoError: The format cannot store these pixels, or this Pillow cannot write the format.
    """
    crop_format = output_format(photo.format, form)
    Image.init()
    if crop_format.name not in Image.SAVE:
        raise PhotoError(
            f"this installation of Pillow cannot write {crop_format.name}",
            hint=f"{install_hint.reinstall('pillow')}, or choose another --format",
        )
    size = _size(box, max_size) if size is None else size
    try:
        in_place = None
        if crop_format is JPEG and size == (box.width, box.height) and _stays_as_it_is(photo, srgb=srgb):
            crop, in_place = Image.new(photo.pixels.mode, (1, 1)), box.corners
        else:
            crop = part_resized(photo.pixels, box.corners, size)
        crop, colour = _convert(crop, crop_format, photo, srgb=srgb)
        metadata = photo.metadata.for_crop(policy, *size)
        if colour.is_srgb and is_adobe_rgb(metadata.exif):
            metadata = replace(metadata, exif=exif.as_srgb(metadata.exif))
        content, notes = _encode(crop, crop_format, photo, metadata, colour, quality, in_place)
    except Exception as error:  # writers raise OSError, ValueError, KeyError and more for pixels they cannot store
        raise PhotoError(
            f"a crop cannot be written as {crop_format.name}: {error}", hint="choose another --format, such as png"
        ) from error
    return EncodedCrop(content, *size, (*colour.warnings, *metadata.notes, *notes))


def jpeg_markers(photo: Photo, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """Return the JPEG markers with metadata that `encode_crop` would write, and what they cannot keep.

    Args:
        photo: The photo, in a mode that JPEG can store.
        metadata: The metadata of the crop.
    """
    blank, colour = _convert(in_usual_mode(Image.new(photo.pixels.mode, (1, 1))), JPEG, photo)
    content, notes = _encode(blank, JPEG, photo, metadata, colour, 1)
    markers, place = b"", 2
    while content[place + 1] in (*_APPLICATION_MARKERS, _COMMENT_MARKER):
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] not in _CODING_MARKERS:
            markers += content[place:end]
        place = end
    return markers, (*metadata.notes, *notes)


def _stays_as_it_is(photo: Photo, *, srgb: bool) -> bool:
    """Say whether JPEG can store the pixels of a photo without conversion, so that crops need no copy of them."""
    if photo.pixels.mode not in _MODES[JPEG] or "transparency" in photo.pixels.info:
        return False
    blank = Image.new(photo.pixels.mode, (1, 1))
    return _convert(blank, JPEG, photo, srgb=srgb)[0] is blank


def _size(box: PixelBox, max_size: int | None) -> tuple[int, int]:
    longer = max(box.width, box.height)
    if max_size is None or longer <= max_size:
        return box.width, box.height
    return max(1, round(box.width * max_size / longer)), max(1, round(box.height * max_size / longer))


@dataclass(frozen=True, slots=True)
class _CropColour:
    """The colour space of a crop.

    Args:
        icc_profile: Its profile, empty for sRGB, for HDR, or if it is unknown.
        points: Its code points if it is HDR.
        warnings: What was lost in converting it.
    """

    icc_profile: bytes = b""
    points: CodePoints | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_srgb(self) -> bool:
        """Whether readers should take the pixels for sRGB."""
        return not self.icc_profile and self.points is None


def _convert(crop: Image.Image, form: Format, photo: Photo, *, srgb: bool = False) -> tuple[Image.Image, _CropColour]:
    """Return a crop in a mode and colour space that a format can store."""
    if photo.hdr is None:
        crop, icc_profile = _in_mode(crop, form, photo, photo.icc_profile, srgb=srgb)
        return crop, _CropColour(icc_profile)
    if form in _HDR_FORMATS and not srgb:
        crop, _ = _in_mode(crop, form, photo, b"")
        return crop, _CropColour(points=photo.hdr.points)
    crop, icc_profile = to_standard_range(to_8_bit(crop, white_level(photo.pixels)), photo.hdr)
    crop, icc_profile = _in_mode(crop, form, photo, icc_profile, srgb=srgb)
    reason = "--to-srgb" if srgb else f"{form.name} cannot hold it"
    warning = f"HDR ({photo.hdr.name}) was converted to standard range: {reason}"
    return crop, _CropColour(icc_profile, warnings=(warning,))


def _in_mode(
    crop: Image.Image, form: Format, photo: Photo, icc_profile: bytes, *, srgb: bool = False
) -> tuple[Image.Image, bytes]:
    """Return a crop in a mode that a format can store, and its colour profile: empty for sRGB, or if unknown."""
    modes = _MODES[form]
    icc_profile = icc_profile if profile_fits(icc_profile, crop.mode) else b""
    if srgb and (icc_profile or crop.mode in ("CMYK", "LAB")):
        crop, icc_profile = to_srgb(to_8_bit(crop, white_level(photo.pixels)), icc_profile), b""
    if crop.mode in DEEP_MODES and crop.mode not in modes:
        white = white_level(photo.pixels)  # of the whole photo, so that all crops have the same brightness
        crop = to_16_bit(crop, white) if "I;16" in modes else to_8_bit(crop, white)
    if form is not PNG:
        crop = with_alpha(crop)
    if form is JPEG:
        crop = onto_white(crop)
    if crop.mode in modes:
        return crop, icc_profile
    crop = to_8_bit(crop)
    if crop.mode in modes:
        return crop, icc_profile
    if crop.mode == "YCbCr":
        return crop.convert("RGB"), icc_profile
    return to_srgb(crop, icc_profile), b""


def _encode(
    crop: Image.Image,
    form: Format,
    photo: Photo,
    metadata: Metadata,
    colour: _CropColour,
    wanted: Quality,
    in_place: tuple[int, int, int, int] | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """Return a crop as an image file, and which metadata it could not keep.

    Args:
        crop: Its pixels, or any pixels of the same mode if `in_place`.
        form: The format to write.
        photo: The photo.
        metadata: The metadata of the crop.
        colour: The colour space of the crop.
        wanted: The quality.
        in_place: The corners of a JPEG crop that is encoded from the photo's own pixels.
    """
    options: dict[str, object]
    stored = photo.quality if wanted == SAME_QUALITY else None
    codec = JPEG if form is TIFF else form
    quality = wanted if isinstance(wanted, int) else DEFAULT_QUALITY if stored is None else stored.for_format(codec)
    block = metadata.exif
    if metadata.resolution is not None and form not in (JPEG, PNG) and metadata.resolution.dpi is not None:
        block = exif.with_resolution(block, metadata.resolution)
    # Pillow takes the tables as they are if there is no quality.
    how: dict[str, object] = {"qtables": stored.tables} if stored and stored.tables else {"quality": quality}
    as_jpeg = {**how, "subsampling": photo.subsampling if crop.mode == "RGB" else -1}
    if form is JPEG:
        options = as_jpeg
    elif form is PNG:
        options = _png_metadata(metadata, colour.points)
    elif form is TIFF:
        options = write_options(photo.tiff or TiffCoding(), crop.mode)
        if photo.tiff is not None and photo.tiff.is_lossy and crop.mode == "CMYK":
            options = {"compression": "jpeg", "quality": quality}
    else:
        block = exif.add_iptc(block, metadata.iptc)
        options = {"exif": block, "xmp": metadata.xmp, "quality": quality}
        if form is WEBP:
            # `exact` keeps the colours of transparent pixels.
            options |= {"lossless": photo.lossless, "exact": photo.lossless}
        else:
            block = exif.without_orientation(block)
            options |= {"exif": block, "subsampling": _SUBSAMPLING_NAMES[photo.subsampling]}
    options = {name: value for name, value in options.items() if value != b""}
    if form is TIFF and photo.tiff is not None and photo.tiff.is_lossy and crop.mode in ("L", "RGB"):
        content = with_jpeg(crop, colour.icc_profile, **as_jpeg)
    elif form is JPEG:
        options["icc_profile"] = colour.icc_profile or None
        content = encode_jpeg(crop if in_place is None else photo.pixels, options, in_place)
        return jpeg.insert(content, metadata)
    else:
        with io.BytesIO() as file:
            crop.save(file, form.name, icc_profile=colour.icc_profile or None, **options)
            content = file.getvalue()
    if form is TIFF:
        content = exif.insert_into_tiff(content, block, xmp=metadata.xmp, iptc=metadata.iptc)
    if form is AVIF and colour.points is not None:
        content = _with_nclx(content, colour.points)
    if metadata.comments and form is not PNG:
        return content, (f"a comment was left out: {form.name} has no place for it",)
    return content, ()


def _with_nclx(content: bytes, points: CodePoints) -> bytes:
    """Return an AVIF file with other code points: Pillow always writes those of sRGB."""
    place = content.index(b"colrnclx") + 8
    numbers = points.primaries.to_bytes(2, "big") + points.transfer.to_bytes(2, "big")
    return content[:place] + numbers + content[place + 4 :]


def _png_metadata(metadata: Metadata, points: CodePoints | None) -> dict[str, object]:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if points is not None:
        info.add(b"cICP", bytes((points.primaries, points.transfer, 0, points.full_range)))
    for comment in metadata.comments:
        info.add_text(comment.keyword, comment.text)
    if metadata.xmp:
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    options = {"pnginfo": info, "exif": exif.add_iptc(metadata.exif, metadata.iptc)}
    if metadata.resolution is not None and metadata.resolution.dpi is not None:
        options["dpi"] = metadata.resolution.dpi
    return options
