"""A crop by the settings: copied out of its photo where that is wanted and can be had, otherwise encoded."""

from __future__ import annotations

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.encode import EncodedCrop, encode_crop
from shotcrop_cli.imaging.formats import CropFormat
from shotcrop_cli.imaging.lossless import LossError, can_be_kept, cut
from shotcrop_cli.shots import PixelBox


def copies_blocks(photo: Photo, settings: CropSettings) -> bool:
    """Tell whether a photo's crops are to consist of its own blocks, so that their boxes have to begin at some."""
    return settings.lossless and can_be_kept(photo, settings.format)


def crop_of(photo: Photo, stored: bytes, box: PixelBox, settings: CropSettings) -> tuple[EncodedCrop, str]:
    """Cut a crop.

    Args:
        photo: The photo.
        stored: Its file, where `copies_blocks`.
        box: Where to cut.
        settings: What it is to look like.

    Returns:
        The crop and, where it should have lost nothing and was encoded all the same, why; otherwise an empty text.

    Raises:
        PhotoError: It cannot be written.
    """
    loss = ""
    if settings.lossless:
        try:
            return _copied(photo, stored, box, settings), loss
        except LossError as error:
            # PNG and its like lose nothing by being encoded.
            loss = "" if photo.lossless and settings.format is CropFormat.SAME else f"encoded anew: {error}"
    crop = encode_crop(
        photo,
        box,
        form=settings.format,
        quality=settings.quality,
        policy=settings.metadata,
        max_size=settings.max_size,
    )
    return crop, loss


def _copied(photo: Photo, stored: bytes, box: PixelBox, settings: CropSettings) -> EncodedCrop:
    if not copies_blocks(photo, settings):
        raise LossError("only crops from JPEG to JPEG are copied")
    if settings.max_size is not None and max(box.width, box.height) > settings.max_size:
        raise LossError("--max-size shrinks it")
    return cut(photo, stored, box, settings.metadata)
