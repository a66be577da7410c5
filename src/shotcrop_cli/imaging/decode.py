"""Photo files to upright pixels.

Pixels keep the file's own mode and colour space, since crops are cut from them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image, JpegImagePlugin, TiffImagePlugin

from shotcrop_cli import install_hint
from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.codestream import Codestream, codestream
from shotcrop_cli.imaging.formats import BMP, FORMATS, GIF, HEIF, PNG, RAW, TIFF, Format, format_of
from shotcrop_cli.imaging.metadata import exif
from shotcrop_cli.imaging.metadata.policy import NO_METADATA, Metadata
from shotcrop_cli.imaging.metadata.readers import picture_metadata, tiff_metadata
from shotcrop_cli.imaging.metadata.xmp import is_readable
from shotcrop_cli.imaging.pixels import DEEP_MODES
from shotcrop_cli.imaging.raw import embedded_preview
from shotcrop_cli.imaging.read_limit import Metered

_READ = tuple(dict.fromkeys(name for form in FORMATS.values() for name in form.pillow_names))
"""Pillow's names of all that is read; it knows formats that would run other programs."""
_LOSSLESS = (PNG, TIFF, GIF, BMP)
_LOSSY_TIFFS = ("jpeg", "tiff_jpeg", "webp")

_LARGEST_FILE = 2 << 30
"""Bytes of a file that is read; as many as 178 megapixels have in 16-bit RGBA, and then some [O]."""
_READ_ALLOWANCE = 16 << 20
"""Bytes that reading a picture may cost beyond eight times its length [O]."""
_LARGE = 60_000_000
"""Pixels from which pictures are decoded one at a time; the sensors of most cameras have fewer [O]."""
_turn = threading.Lock()

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
_DCT_SIDE = 8


@dataclass(frozen=True, slots=True)
class SourceBytes:
    """A photo file that was read once.

    Args:
        path: Its path.
        data: Its content.
        size_bytes: Size of the content.
        mtime_ns: Time of the last change in nanoseconds since the epoch.
        sha256: Hash of exactly this content, hexadecimal.
    """

    path: Path
    data: bytes
    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A decoded photo.

    Args:
        pixels: The upright first frame in its own mode and colour space.
        format: The container it came in.
        orientation: How the stored pixels were turned, 1..8, before they were set upright.
        icc_profile: The embedded colour profile, empty when there is none.
        metadata: EXIF, XMP, IPTC and comments as stored.
        subsampling: Chroma subsampling for JPEG and AVIF crops cut from it: 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0).
        block: Width and height in pixels of what a JPEG codes together, upright; other formats code each pixel alone.
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
    block: tuple[int, int] = (1, 1)
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
        PhotoError: The file cannot be read, is none that ends, is empty or huge, or changed meanwhile.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise PhotoError(f"{path}: not a regular file", hint="replace it by the photo itself")
            if before.st_size > _LARGEST_FILE:
                raise PhotoError(f"{path}: larger than {_LARGEST_FILE >> 30} GiB", hint="scale it down first")
            data = file.read(_LARGEST_FILE + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise PhotoError(
            f"{path}: cannot be read: {error.strerror}", hint="check that it exists and its permissions"
        ) from error
    if not data:
        raise PhotoError(f"{path}: the file is empty", hint="restore it from a backup")
    if (before.st_size, before.st_mtime_ns) != (len(data), after.st_mtime_ns):
        raise PhotoError(f"{path}: the file changed while it was read", hint="run again when it is complete")
    return SourceBytes(path, data, len(data), after.st_mtime_ns, hashlib.sha256(data).hexdigest())


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a photo may have become a pipe that nobody writes to."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode(source: SourceBytes) -> Photo:
    """Decode the first frame and set it upright.

    Raises:
        PhotoError: The content is damaged, too large, or not of the format that the extension promises.
    """
    promised = format_of(source.path)
    if promised is RAW:
        return _developed(source)
    if promised is HEIF:
        try:
            register_heif()
        except ImportError as error:
            raise PhotoError(
                f"{source.path}: pillow-heif cannot be loaded: {error}", hint=install_hint.reinstall("pillow-heif")
            ) from error
    return _decoded(source.path, source.data, promised)


def _developed(source: SourceBytes) -> Photo:
    """Return a RAW photo as its camera developed it; its metadata is the RAW's own where that can be read."""
    preview = embedded_preview(source.path, source.data)
    photo = _decoded(source.path, preview.content, preview.format)
    own = tiff_metadata(source.data)
    pixels, orientation = photo.pixels, photo.orientation
    if exif.orientation(photo.metadata.exif) is None and preview.orientation in _UPRIGHT:
        pixels, orientation = pixels.transpose(_UPRIGHT[preview.orientation]), preview.orientation
    return replace(
        photo,
        pixels=pixels,
        format=RAW,
        orientation=orientation,
        metadata=Metadata(
            exif=own.exif or photo.metadata.exif,
            xmp=own.xmp or photo.metadata.xmp,
            iptc=own.iptc or photo.metadata.iptc,
        ),
        lossless=False,
        warnings=(
            f"cut from the embedded preview of {pixels.width} x {pixels.height} pixels",
            *photo.warnings,
        ),
    )


def _decoded(path: Path, data: bytes, promised: Format | None) -> Photo:
    Image.init()
    try:
        image = Image.open(
            Metered(data, _READ_ALLOWANCE + 8 * len(data)), formats=[name for name in _READ if name in Image.OPEN]
        )
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
        with _turn_for(image):
            return _upright(image, promised, data)
    except MemoryError as error:
        raise PhotoError(
            f"{path}: {image.width} x {image.height} pixels do not fit into memory", hint="use fewer --jobs"
        ) from error
    except Exception as error:  # as above: truncation shows only here
        raise PhotoError(
            f"{path}: the picture is damaged or incomplete ({error})", hint="restore it from a backup"
        ) from error


def _turn_for(image: Image.Image) -> AbstractContextManager[object]:
    """Have large pictures decoded one at a time, so that headers that lie do not add up."""
    return _turn if image.width * image.height > _LARGE else nullcontext()


def _upright(image: Image.Image, form: Format, data: bytes) -> Photo:
    sixteen_bit = ";16" in str(getattr(image, "tile", ""))
    more = _says_there_is_more(image, form)
    image.load()  # before `info` is read: PNG stores blocks behind its pixels
    metadata = tiff_metadata(data) if form is TIFF else picture_metadata(image)
    orientation = int(image.info.get("original_orientation") or metadata.orientation)
    pixels = image
    # Pillow turns TIFF on load, and pillow-heif HEIC, which is then marked with its original orientation.
    if orientation in _UPRIGHT and form is not TIFF and "original_orientation" not in image.info:
        pixels = image.transpose(_UPRIGHT[orientation])
    stream = codestream(image, data, form)
    warnings = [more] if more else []
    bits = 16 if sixteen_bit else stream.bits
    if bits > 8 and pixels.mode not in DEEP_MODES:
        warnings.append(f"{bits} bits per channel were reduced to 8")
    if metadata.xmp and not is_readable(metadata.xmp):
        metadata = replace(metadata, xmp=b"")
        warnings.append("the XMP is damaged and was left out")
    compression = image.info.get("compression")
    compression = compression if form is TIFF and isinstance(compression, str) else ""
    icc_profile = image.info.get("icc_profile")
    return Photo(
        pixels=pixels,
        format=form,
        orientation=orientation,
        icc_profile=icc_profile if isinstance(icc_profile, bytes) else b"",  # a TIFF may say that it is a number
        metadata=metadata,
        subsampling=_subsampling(image, stream, orientation),
        block=_block(image, orientation),
        lossless=stream.lossless or (form in _LOSSLESS and compression not in _LOSSY_TIFFS),
        compression=compression,
        warnings=tuple(warnings),
    )


def _says_there_is_more(image: Image.Image, form: Format) -> str:
    """Return a warning when the file holds more than one picture; those of MPO are views of the same."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Counting the pages would follow every link of a chain that may have millions.
        return "more than one page: only the first is used" if image.tag_v2.next else ""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return ""
    return "more than one picture: only the first is used" if form is HEIF else "animated: only the first frame is used"


def _subsampling(image: Image.Image, stream: Codestream, orientation: int) -> int:
    """Return the chroma subsampling that loses none of the photo's: 4:4:4 where Pillow knows no equal."""
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    sampling = int(JpegImagePlugin.get_sampling(image)) if is_jpeg else stream.subsampling
    # 4:2:2 turned by a quarter is 4:4:0, which Pillow cannot write.
    if sampling < 0 or (sampling == 1 and orientation in _SIDEWAYS):
        return 0
    return sampling


def _block(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Return the size of a JPEG's MCU as it is upright (ITU-T T.81, section A.2)."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return 1, 1
    # A component alone is not interleaved, whatever factors it is given.
    factors = [(across, down) for _, across, down, _ in image.layer] if len(image.layer) > 1 else [(1, 1)]
    across, down = (_DCT_SIDE * max(axis) for axis in zip(*factors, strict=True))
    return (down, across) if orientation in _SIDEWAYS else (across, down)


@lru_cache(maxsize=1)
def register_heif() -> None:
    """Let Pillow read HEIC; a run without HEIC photos does not load libheif."""
    import pillow_heif

    pillow_heif.register_heif_opener()
