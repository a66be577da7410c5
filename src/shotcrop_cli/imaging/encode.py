"""Cut crops from untouched pixels and encode them."""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass
from typing import IO

from PIL import Image

from shotcrop_cli import install_hint
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.colour import fits, to_srgb
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.formats import AVIF, JPEG, PNG, TIFF, WEBP, CropFormat, Format, written_as
from shotcrop_cli.imaging.metadata import exif, iptc
from shotcrop_cli.imaging.metadata.policy import Metadata, MetadataPolicy
from shotcrop_cli.imaging.pixels import DEEP_MODES, eight_bit, over_white, shrunk, sixteen_bit, white_of, with_alpha
from shotcrop_cli.shots import PixelBox

_MARKER_LIMIT = 65_000
"""Bytes of EXIF, XMP or comment that one JPEG marker holds, less the headers (65,533 in all)."""
_APPLICATION_MARKERS, _COMMENT_MARKER = range(0xE0, 0xF0), 0xFE
_CODING_MARKERS = (0xE0, 0xEE)
"""JFIF's and Adobe's, which tell of the pixels and not of the photo."""
_MODES = {
    JPEG: ("L", "RGB", "CMYK"),
    PNG: ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    WEBP: ("RGB", "RGBA"),
    AVIF: ("RGB", "RGBA"),
    TIFF: ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", *DEEP_MODES),
}
"""Pillow's modes that each format holds as they are."""
_SUBSAMPLING_NAMES = ("4:4:4", "4:2:2", "4:2:0")
_TIFF_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd")
_TIFF_COMPRESSIONS_BY_MODE = {"1": ("group3", "group4"), "L": ("jpeg",), "RGB": ("jpeg",)}


@dataclass(frozen=True, slots=True)
class EncodedCrop:
    """A crop as a file.

    Args:
        content: The file's content.
        width: Its picture's width in pixels.
        height: Its height.
    """

    content: bytes
    width: int
    height: int


def encode_crop(
    photo: Photo,
    box: PixelBox,
    *,
    form: CropFormat = CropFormat.SAME,
    quality: int,
    policy: MetadataPolicy,
    max_size: int | None = None,
) -> EncodedCrop:
    """Cut a crop and encode it.

    Args:
        photo: The photo, upright.
        box: Where to cut, inside the photo.
        form: Which format to write: the photo's own or the nearest that can be written, or another.
        quality: 1..100 for lossy formats; lossless photos stay lossless where the format can do it.
        policy: What of the photo's metadata the crop inherits.
        max_size: Longer side in pixels that a longer crop is shrunk to; None keeps all of its pixels.

    Raises:
        PhotoError: The format cannot hold these pixels, or this Pillow cannot write it.
    """
    written = written_as(photo.format, form)
    Image.init()
    if written.name not in Image.SAVE:
        raise PhotoError(
            f"this installation of Pillow cannot write {written.name}",
            hint=f"{install_hint.reinstall('pillow')}, or choose another --format",
        )
    crop = photo.pixels.crop(box.corners)
    # Pillow's writers look into `info`, which belongs to the whole photo: only transparency is a crop's own.
    crop.info = {key: value for key, value in photo.pixels.info.items() if key == "transparency"}
    try:
        crop = shrunk(crop, _size(box, max_size))
        crop, icc_profile = _fitted(crop, written, photo)
        metadata = photo.metadata.inherited(policy, crop.width, crop.height)
        content = _written(crop, written, photo, metadata, icc_profile, quality)
    except Exception as error:  # writers raise OSError, ValueError, KeyError and more for pixels they cannot hold
        raise PhotoError(
            f"a crop cannot be written as {written.name}: {error}", hint="choose another --format, such as png"
        ) from error
    return EncodedCrop(content, crop.width, crop.height)


def jpeg_markers(photo: Photo, policy: MetadataPolicy, width: int, height: int) -> bytes:
    """Return the metadata of a JPEG crop as the markers that `encode_crop` writes.

    Args:
        photo: The photo, of a mode that JPEG holds.
        policy: What of the photo's metadata the crop inherits.
        width: The crop's width in pixels.
        height: Its height.
    """
    blank, icc_profile = _fitted(Image.new(photo.pixels.mode, (1, 1)), JPEG, photo)
    content = _written(blank, JPEG, photo, photo.metadata.inherited(policy, width, height), icc_profile, quality=1)
    markers, place = b"", 2
    while content[place + 1] in (*_APPLICATION_MARKERS, _COMMENT_MARKER):
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] not in _CODING_MARKERS:
            markers += content[place:end]
        place = end
    return markers


def _size(box: PixelBox, max_size: int | None) -> tuple[int, int]:
    longer = max(box.width, box.height)
    if max_size is None or longer <= max_size:
        return box.width, box.height
    return max(1, round(box.width * max_size / longer)), max(1, round(box.height * max_size / longer))


def _fitted(crop: Image.Image, form: Format, photo: Photo) -> tuple[Image.Image, bytes]:
    """Return a crop in a mode that a format holds, and the profile of its colours: empty for sRGB, or when unknown."""
    modes = _MODES[form]
    icc_profile = photo.icc_profile if fits(photo.icc_profile, crop.mode) else b""
    if crop.mode in DEEP_MODES and crop.mode not in modes:
        white = white_of(photo.pixels)  # of the whole photo, so that its crops are equally bright
        crop = sixteen_bit(crop, white) if "I;16" in modes else eight_bit(crop, white)
    if form is not PNG:
        crop = with_alpha(crop)
    if form is JPEG:
        crop = over_white(crop)
    if crop.mode in modes:
        return crop, icc_profile
    crop = eight_bit(crop)
    if crop.mode in modes:
        return crop, icc_profile
    if crop.mode == "YCbCr":
        return crop.convert("RGB"), icc_profile
    return to_srgb(crop, icc_profile), b""


def _written(
    crop: Image.Image, form: Format, photo: Photo, metadata: Metadata, icc_profile: bytes, quality: int
) -> bytes:
    options: dict[str, object]
    if form is JPEG:
        options = {"quality": quality, "subsampling": photo.subsampling if crop.mode == "RGB" else -1}
        options |= _jpeg_metadata(metadata)
    elif form is PNG:
        options = _png_metadata(metadata)
    elif form is TIFF:
        block = exif.carrying(metadata.exif, xmp=metadata.xmp, iptc=metadata.iptc)
        options = {"exif": block and exif.exact(block)}
        options["compression"] = _tiff_compression(crop.mode, photo, has_metadata=bool(block))
        if options["compression"] == "jpeg":
            options["quality"] = quality
    else:
        block = exif.carrying(metadata.exif, iptc=metadata.iptc)
        options = {"exif": block, "xmp": metadata.xmp, "quality": quality}
        if form is WEBP:
            # `exact` keeps the colours of transparent pixels.
            options |= {"lossless": photo.lossless, "exact": photo.lossless}
        else:
            options |= {"exif": block and exif.exact(block), "subsampling": _SUBSAMPLING_NAMES[photo.subsampling]}
    options = {name: value for name, value in options.items() if value != b""}
    with _file_in_memory() if form is JPEG else io.BytesIO() as file:
        crop.save(file, form.name, icc_profile=icc_profile or None, **options)
        file.seek(0)
        content = file.read()
    return iptc.into_jpeg(content, metadata.iptc) if form is JPEG else content


def _file_in_memory() -> IO[bytes]:
    """Return a file without a name, on the disk where the system has none in memory.

    To a file that the system knows Pillow's JPEG encoder writes by itself, while other threads run Python. For anything
    else it keeps them waiting.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("crop"), "w+b")
    return tempfile.TemporaryFile()


def _jpeg_metadata(metadata: Metadata) -> dict[str, bytes]:
    comment = "\n".join(comment.text for comment in metadata.comments if comment.keyword == "Comment")
    blocks = {"exif": metadata.exif, "xmp": metadata.xmp, "comment": comment.encode("utf-8", "replace")}
    return {name: block for name, block in blocks.items() if len(block) < _MARKER_LIMIT}


def _png_metadata(metadata: Metadata) -> dict[str, object]:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for comment in metadata.comments:
        info.add_text(comment.keyword, comment.text)
    if metadata.xmp:
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    return {"pnginfo": info, "exif": exif.carrying(metadata.exif, iptc=metadata.iptc)}


def _tiff_compression(mode: str, photo: Photo, *, has_metadata: bool) -> str:
    """Return the photo's own compression where it can be had together with the metadata.

    To compress, Pillow hands all tags to libtiff, which refuses the Exif directory and, up to Pillow 11.3 at
    least, crashes the process on values that contradict their tag. Crops with metadata are thus not compressed.
    """
    if has_metadata:
        return "raw"
    can_be_had = photo.compression in (*_TIFF_COMPRESSIONS, *_TIFF_COMPRESSIONS_BY_MODE.get(mode, ()))
    return photo.compression if can_be_had else "tiff_adobe_deflate"
