"""RAW files by the preview that the camera embedded: its own idea of the finished photo."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shotcrop_cli import install_hint
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.formats import BMP, JPEG, Format

_ORIENTATIONS = {3: 3, 5: 8, 6: 6}
"""EXIF's orientation by LibRaw's flip."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The largest picture in a RAW file.

    Args:
        content: A picture file.
        format: Of the content; a bare bitmap comes as BMP.
        orientation: How the RAW is turned, 1..8, for a preview that does not say it itself.
    """

    content: bytes
    format: Format
    orientation: int


def embedded_preview(path: Path, data: bytes) -> Preview:
    """Take the largest preview out of a RAW file.

    Args:
        path: What to name in errors.
        data: The file's content.

    Raises:
        PhotoError: `rawpy` is not installed, or the file is damaged or holds no preview.
    """
    try:
        import rawpy
    except ImportError as error:
        raise PhotoError(f"{path}: RAW needs an extra", hint=install_hint.add_extras("raw")) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)
            preview = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError) as error:
        raise PhotoError(f"{path}: holds no preview", hint="develop it to JPEG or TIFF first") from error
    except Exception as error:  # a parser fed with hostile bytes may raise anything
        raise PhotoError(
            f"{path}: not a RAW photo that can be read", hint="check that it opens in a viewer, or develop it first"
        ) from error
    if preview.format is rawpy.ThumbFormat.JPEG:
        return Preview(preview.data, JPEG, orientation)
    buffer = io.BytesIO()
    Image.fromarray(preview.data).save(buffer, "BMP")
    return Preview(buffer.getvalue(), BMP, orientation)
