"""Cut crops from untouched pixels and encode them."""

from __future__ import annotations

import io

from PIL import Image

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.formats import AVIF, JPEG, PNG, TIFF, WEBP, Format, written_as
from shotcrop_cli.imaging.metadata import Metadata, MetadataPolicy
from shotcrop_cli.shots import PixelBox

_JPEG_MARKER_LIMIT = 65_000
"""Bytes of EXIF or XMP that one JPEG marker holds, less the headers (65,533 in all)."""
_JPEG_MODES = ("L", "RGB", "CMYK")
_TIFF_COMPRESSIONS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "group3", "group4", "jpeg")


def encode_crop(photo: Photo, box: PixelBox, *, quality: int, policy: MetadataPolicy) -> bytes:
    """Cut a crop and encode it in the photo's own format, or in the nearest that can be written.

    Args:
        photo: The photo, upright.
        box: Where to cut, inside the photo.
        quality: 1..100 for lossy formats; lossless photos stay lossless.
        policy: What of the photo's metadata the crop inherits.

    Returns:
        The file's content.

    Raises:
        PhotoError: The format cannot hold these pixels.
    """
    form = written_as(photo.format)
    crop = photo.pixels.crop(box.corners)
    # Pillow's writers look into `info`, which belongs to the whole photo: only transparency is a crop's own.
    crop.info = {key: value for key, value in photo.pixels.info.items() if key == "transparency"}
    if form is JPEG and crop.mode not in _JPEG_MODES:
        crop = _opaque(crop)
    metadata = photo.metadata.inherited(policy, box.width, box.height)
    options = _options(form, photo, crop, metadata, quality)
    buffer = io.BytesIO()
    try:
        crop.save(buffer, form.name, icc_profile=photo.icc_profile or None, **options)
    except Exception as error:  # writers raise OSError, ValueError, KeyError and more for pixels they cannot hold
        raise PhotoError(
            f"a crop cannot be written as {form.name}: {error}", hint="convert the photo to PNG or JPEG first"
        ) from error
    return buffer.getvalue()


def _options(form: Format, photo: Photo, crop: Image.Image, metadata: Metadata, quality: int) -> dict[str, object]:
    options: dict[str, object] = {}
    if form is JPEG:
        metadata = Metadata(
            *(block if len(block) < _JPEG_MARKER_LIMIT else b"" for block in (metadata.exif, metadata.xmp))
        )
        options |= {"quality": quality, "subsampling": photo.subsampling if crop.mode == "RGB" else -1}
    elif form is WEBP:
        options |= {"quality": quality, "lossless": photo.lossless}
    elif form is AVIF:
        options |= {"quality": quality}
    elif form is TIFF:
        options["compression"] = _tiff_compression(photo, metadata)
        if options["compression"] == "jpeg":
            options["quality"] = quality
    if metadata.exif:
        options["exif"] = metadata.exif
    if metadata.xmp and form in (JPEG, WEBP, AVIF):
        options["xmp"] = metadata.xmp
    if metadata.xmp and form is PNG:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
        options["pnginfo"] = info
    return options


def _tiff_compression(photo: Photo, metadata: Metadata) -> str:
    """Return the photo's own compression where it can be had together with the metadata.

    To compress, Pillow hands all tags to libtiff, which refuses the Exif directory and, up to Pillow 11.3 at
    least, crashes the process on values that contradict their tag. Crops with EXIF are thus not compressed.
    """
    if metadata.exif:
        return "raw"
    return photo.compression if photo.compression in _TIFF_COMPRESSIONS else "tiff_adobe_deflate"


def _opaque(crop: Image.Image) -> Image.Image:
    """Return a crop that JPEG can hold, transparency over white."""
    if not crop.has_transparency_data:
        return crop.convert("RGB")
    background = Image.new("RGBA", crop.size, "white")
    background.alpha_composite(crop.convert("RGBA"))
    return background.convert("RGB")
