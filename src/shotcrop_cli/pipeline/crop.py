"""Make a crop by the settings: copied from its photo without loss if asked for and possible, otherwise encoded."""

from __future__ import annotations

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.imaging.encode import EncodedCrop, encode_crop
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.lossless import LosslessError, crop_lossless, supports_lossless
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.shots import PixelBox


def copies_blocks(photo: Photo, settings: CropSettings) -> bool:
    """Say whether crops are copied from the JPEG blocks of a photo, so that their boxes have to start at a block."""
    return settings.lossless and supports_lossless(photo, settings.format) and not _is_converted(photo, settings)


def make_crop(photo: Photo, data: bytes, box: PixelBox, settings: CropSettings) -> tuple[EncodedCrop, str]:
    """Make a crop.

    Args:
        photo: The photo.
        data: The content of its file, if `copies_blocks`.
        box: Where to crop, in pixels of the upright photo.
        settings: How the crop should look.

    Returns:
        The crop, and why it was encoded again although it should have been copied; otherwise an empty text.

    Raises:
        PhotoError: The crop cannot be encoded.
    """
    loss = ""
    if settings.lossless:
        try:
            return _copied(photo, data, box, settings), loss
        except LosslessError as error:
            # Encoding loses nothing in PNG and similar formats.
            loss = "" if photo.lossless and settings.format is CropFormat.SAME else f"encoded again: {error}"
    crop = encode_crop(
        photo,
        box,
        form=settings.format,
        quality=settings.quality,
        policy=settings.metadata,
        max_size=settings.max_size,
        srgb=settings.to_srgb,
    )
    return crop, loss


def _is_converted(photo: Photo, settings: CropSettings) -> bool:
    return settings.to_srgb and (bool(photo.icc_profile) or photo.pixels.mode == "CMYK")


def _copied(photo: Photo, data: bytes, box: PixelBox, settings: CropSettings) -> EncodedCrop:
    if _is_converted(photo, settings):
        raise LosslessError("--to-srgb converts it")
    if not copies_blocks(photo, settings):
        raise LosslessError("only crops from JPEG to JPEG are copied")
    if settings.max_size is not None and max(box.width, box.height) > settings.max_size:
        raise LosslessError("--max-size shrinks it")
    return crop_lossless(photo, data, box, settings.metadata)
