"""Make a crop by the settings: copied from its photo without loss if asked for and possible, otherwise encoded."""

from __future__ import annotations

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.imaging.background import on_background
from shotcrop_cli.imaging.encode import EncodedCrop, encode_crop
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.lossless import LosslessError, crop_lossless, supports_lossless
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.ratio_sets import Ratio
from shotcrop_cli.shots import CropKey, PixelBox, ShotType


def copies_blocks(photo: Photo, settings: CropSettings) -> bool:
    """Say whether crops are copied from the JPEG blocks of a photo, so that their boxes have to start at a block."""
    return settings.lossless and supports_lossless(photo, settings.format) and not _is_converted(photo, settings)


def make_crop(
    photo: Photo,
    data: bytes,
    box: PixelBox,
    settings: CropSettings,
    key: CropKey | ShotType = ShotType.ESTABLISHING,
    *,
    padded: bool = False,
) -> tuple[EncodedCrop, str]:
    """Make a crop.

    Args:
        photo: The photo.
        data: The content of its file, if `copies_blocks`.
        box: Where to crop, in pixels of the upright photo.
        settings: How the crop should look.
        key: Which crop it is; crops of a ratio set may have an exact size.
        padded: Whether it is put on the background of its set.

    Returns:
        The crop, and why it was encoded again although it should have been copied; otherwise an empty text.

    Raises:
        PhotoError: The crop cannot be encoded.
    """
    loss = ""
    key = CropKey.of(key)
    ratio_set = settings.ratio_set(key.set_name)
    ratio = None if ratio_set is None else ratio_set.ratio(key.shot)
    if ratio_set is not None and ratio is not None and (padded or ratio.size is not None):
        size = crop_size(box, ratio, upscale=ratio_set.upscale, padded=padded)
        if padded:
            photo = on_background(photo, box, size, ratio_set.background)
            box = PixelBox(0, 0, *size)
        return _encoded(photo, box, settings, size), loss
    if settings.lossless:
        try:
            return _copied(photo, data, box, settings), loss
        except LosslessError as error:
            # Encoding loses nothing in PNG and similar formats.
            loss = "" if photo.lossless and settings.format is CropFormat.SAME else f"encoded again: {error}"
    return _encoded(photo, box, settings), loss


def crop_size(box: PixelBox, ratio: Ratio, *, upscale: bool = False, padded: bool = False) -> tuple[int, int]:
    """Return the size of a crop in a ratio: its exact size, or that of the box if it has fewer pixels.

    Args:
        box: Where it is in the photo.
        ratio: Its ratio and exact size.
        upscale: Whether to enlarge it to the exact size.
        padded: Whether the box is put on a background that has the ratio.
    """
    width, height = box.width, box.height
    if padded:
        aspect = ratio.aspect
        width = max(width, round(height * aspect.width / aspect.height))
        height = max(height, round(width * aspect.height / aspect.width))
    size = ratio.size
    if size is not None and (upscale or (width >= size[0] and height >= size[1])):
        return size
    return width, height


def _encoded(photo: Photo, box: PixelBox, settings: CropSettings, size: tuple[int, int] | None = None) -> EncodedCrop:
    return encode_crop(
        photo,
        box,
        form=settings.format,
        quality=settings.quality,
        policy=settings.metadata,
        max_size=settings.max_size,
        srgb=settings.to_srgb,
        size=size,
    )


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
