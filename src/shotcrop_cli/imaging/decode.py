"""Photo files to upright pixels.

Pixels keep the file's own mode and colour space, since crops are cut from them.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, JpegImagePlugin

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.formats import BMP, FORMATS, GIF, HEIF, PNG, TIFF, WEBP, Format, format_of
from shotcrop_cli.imaging.metadata import NO_METADATA, Metadata, tiff_exif

_READ = tuple(dict.fromkeys(name for form in FORMATS.values() for name in form.pillow_names))
"""Pillow's names of all that is read; it knows formats that would run other programs."""
_LOSSLESS = (PNG, TIFF, GIF, BMP)
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Pillow's modes of more than 8 bits per channel."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns stored pixels upright, by EXIF orientation (TIFF 6.0, tag 274)."""
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells one state of a source file from another.

    Args:
        size_bytes: The file's size.
        mtime_ns: Time of last modification, nanoseconds since the epoch.
        sha256: Hash of the content, hexadecimal.
    """

    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SourceBytes:
    """A file read once: its content and the fingerprint of exactly that content."""

    path: Path
    data: bytes
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A decoded photo.

    Args:
        pixels: The upright first frame in its own mode and colour space.
        format: The container it came in.
        orientation: How the stored pixels were turned, 1..8, before they were set upright.
        icc_profile: The embedded colour profile, empty when there is none.
        metadata: EXIF and XMP as stored.
        subsampling: Chroma subsampling for JPEGs cut from it: 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0).
        lossless: Whether its pixels were stored without loss.
        compression: Pillow's name of a TIFF's compression, empty for other formats.
        warnings: What was lost on reading, in words.
    """

    pixels: Image.Image
    format: Format
    orientation: int = 1
    icc_profile: bytes = b""
    metadata: Metadata = NO_METADATA
    subsampling: int = 0
    lossless: bool = False
    compression: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Width in pixels of the upright photo."""
        return self.pixels.width

    @property
    def height(self) -> int:
        """Height in pixels of the upright photo."""
        return self.pixels.height


def read_source(path: Path) -> SourceBytes:
    """Read a file whole, once, and fingerprint what was read.

    Raises:
        PhotoError: The file cannot be read, is empty, or changed meanwhile.
    """
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            data = file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise PhotoError(
            f"{path}: cannot be read: {error.strerror}", hint="check that it exists and its permissions"
        ) from error
    if not data:
        raise PhotoError(f"{path}: the file is empty", hint="restore it from a backup")
    if (before.st_size, before.st_mtime_ns) != (len(data), after.st_mtime_ns):
        raise PhotoError(f"{path}: the file changed while it was read", hint="run again when it is complete")
    return SourceBytes(path, data, Fingerprint(len(data), after.st_mtime_ns, hashlib.sha256(data).hexdigest()))


def decode(source: SourceBytes) -> Photo:
    """Decode the first frame and set it upright.

    Raises:
        PhotoError: The content is damaged, too large, or not of the format that the extension promises.
    """
    path = source.path
    promised = format_of(path)
    if promised is HEIF and not _heif_registered():
        raise PhotoError(f"{path}: HEIC needs an extra", hint="pip install 'shotcrop-cli[heif]'")
    Image.init()
    try:
        image = Image.open(io.BytesIO(source.data), formats=[name for name in _READ if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise PhotoError(
            f"{path}: the picture is larger than {limit} megapixels", hint="scale it down first"
        ) from error
    except Exception as error:  # a parser fed with hostile bytes may raise anything
        raise PhotoError(f"{path}: not a picture that can be read", hint="check that it opens in a viewer") from error
    if promised is None or image.format not in promised.pillow_names:
        raise PhotoError(
            f"{path}: the content is {image.format}, which the extension does not say",
            hint="rename the file to the extension of its format",
        )
    try:
        return _upright(image, promised, source.data)
    except MemoryError as error:
        raise PhotoError(
            f"{path}: {image.width} x {image.height} pixels do not fit into memory", hint="use fewer --jobs"
        ) from error
    except Exception as error:  # as above: truncation shows only here
        raise PhotoError(
            f"{path}: the picture is damaged or incomplete ({error})", hint="restore it from a backup"
        ) from error


def _upright(image: Image.Image, form: Format, data: bytes) -> Photo:
    sixteen_bit = ";16" in str(getattr(image, "tile", ""))
    image.load()  # before `info` is read: PNG stores blocks behind its pixels
    metadata = Metadata(
        exif=tiff_exif(data) if form is TIFF else image.info.get("exif") or b"",
        xmp=_bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")),
    )
    orientation = int(image.info.get("original_orientation") or metadata.orientation)
    pixels = image
    # Pillow turns TIFF on load, and pillow-heif HEIC, which is then marked with its original orientation.
    if orientation in _UPRIGHT and form is not TIFF and "original_orientation" not in image.info:
        pixels = image.transpose(_UPRIGHT[orientation])
    warnings = []
    if getattr(image, "is_animated", False) and image.format != "MPO":
        warnings.append("animated: only the first frame is used")
    if sixteen_bit and pixels.mode not in DEEP_MODES:
        warnings.append("16 bits per channel were reduced to 8")
    compression = image.info.get("compression")
    return Photo(
        pixels=pixels,
        format=form,
        orientation=orientation,
        icc_profile=image.info.get("icc_profile") or b"",
        metadata=metadata,
        subsampling=_subsampling(image, orientation),
        lossless=_webp_is_lossless(data) if form is WEBP else form in _LOSSLESS,
        compression=compression if form is TIFF and isinstance(compression, str) else "",
        warnings=tuple(warnings),
    )


def _webp_is_lossless(data: bytes) -> bool:
    """Walk the RIFF chunks to the picture's own: VP8L is lossless, VP8 is not."""
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        # An animation's pictures lie inside its frames, behind 16 bytes of placement.
        place += 8 + 16 if name == b"ANMF" else 8 + size + size % 2
    return False


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _subsampling(image: Image.Image, orientation: int) -> int:
    """Return the chroma subsampling that loses none of the photo's: 4:4:4 where Pillow knows no equal."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return 0
    sampling = int(JpegImagePlugin.get_sampling(image))
    # 4:2:2 turned by a quarter is 4:4:0, which Pillow cannot write.
    if sampling < 0 or (sampling == 1 and orientation in _SIDEWAYS):
        return 0
    return sampling


@lru_cache(maxsize=1)
def _heif_registered() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
