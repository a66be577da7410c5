"""RAW files: take the preview that the camera embedded, which is its own rendering of the photo."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shotcrop_cli import install_hint
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.formats import BMP, JPEG, Format

_ORIENTATIONS = {3: 3, 5: 8, 6: 6}
"""EXIF orientation by LibRaw's flip number."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The largest preview in a RAW file.

    Args:
        content: The preview as an image file.
        format: Format of the content; an uncompressed preview becomes a BMP.
        orientation: EXIF orientation of the RAW, 1 to 8, for a preview that has none of its own.
    """

    content: bytes
    format: Format
    orientation: int


def extract_preview(path: Path, data: bytes) -> Preview:
    """Take the largest preview out of a RAW file.

    Args:
        path: The file, for error messages.
        data: The file's content.

    Raises:
        PhotoError: `rawpy` is not installed, or the file is damaged or has no preview.
    """
    try:
        import rawpy
    except ImportError as error:
        raise PhotoError(f"{path}: RAW support is not installed", hint=install_hint.add_extras("raw")) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)
            preview = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError) as error:
        raise PhotoError(
            f"{path}: the RAW file has no embedded preview", hint="develop it to JPEG or TIFF first"
        ) from error
    except Exception as error:  # a parser fed with hostile bytes may raise anything
        raise PhotoError(
            f"{path}: the RAW file cannot be read", hint="check that it opens in a viewer, or develop it first"
        ) from error
    if preview.format is rawpy.ThumbFormat.JPEG:
        return Preview(preview.data, JPEG, orientation)
    buffer = io.BytesIO()
    Image.fromarray(preview.data).save(buffer, "BMP")
    return Preview(buffer.getvalue(), BMP, orientation)
