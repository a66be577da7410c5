"""Read and decode photo files into upright pixels.

Pixels keep the file's own mode and colour space, because crops are made from them.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, TiffImagePlugin

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging import jpeg, jpeg_2000
from shotcrop_cli.imaging.codestream import Codestream, read_codestream
from shotcrop_cli.imaging.companions import companion_warnings
from shotcrop_cli.imaging.content_format import format_of_content, real_format
from shotcrop_cli.imaging.declared_colour import find_colour
from shotcrop_cli.imaging.formats import (
    BMP,
    DEFAULT_MAX_PIXELS,
    GIF,
    HEIF,
    JPEG,
    JPEG_XL,
    PNG,
    RAW,
    TIFF,
    Format,
    format_called,
    format_of,
)
from shotcrop_cli.imaging.hdr import hdr_colour
from shotcrop_cli.imaging.metadata import exif
from shotcrop_cli.imaging.metadata.policy import Metadata
from shotcrop_cli.imaging.metadata.readers import read_pillow_metadata, read_tiff_metadata
from shotcrop_cli.imaging.metadata.xmp import is_readable
from shotcrop_cli.imaging.open_image import open_image, register
from shotcrop_cli.imaging.photo import Photo
from shotcrop_cli.imaging.pixels import DEEP_MODES, from_12_bit, in_usual_mode, to_8_bit, to_full_range
from shotcrop_cli.imaging.png import read_chunks
from shotcrop_cli.imaging.quality import StoredQuality, read_quality
from shotcrop_cli.imaging.raw import extract_preview
from shotcrop_cli.imaging.tiff import read_coding

_LOSSLESS_FORMATS = (PNG, TIFF, GIF, BMP)

_MAX_FILE_BYTES = 2 << 30
"""Largest file that is read (our choice). Photos of 178 MP, Pillow's limit, take 1.4 GB in 16-bit RGBA."""
_LARGE_PHOTO_PIXELS = 60_000_000
"""Larger photos are decoded one at a time (our choice); the sensors of most cameras have fewer pixels."""
_LARGE_RAW_BYTES = 80_000_000
"""RAW files with more bytes may have a preview with as many pixels (our choice)."""
_large_photo_lock = threading.RLock()

_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that turns stored pixels upright, by EXIF orientation. Source: TIFF 6.0, tag 274."""
_SWAPPED_SIDES = (5, 6, 7, 8)
_RAW_MODE_16_BIT = re.compile("(?<!BGR);16")
_RAW_MODE_12_BIT = "I;12"
"""In Pillow's name of a stored pixel layout: 16 bits per channel, unless a whole BGR pixel has 16 bits."""


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


def read_source(path: Path) -> SourceBytes:
    """Read a whole file once and hash its content.

    Raises:
        PhotoError: The file cannot be read, is not a regular file, is empty, too large, or changed meanwhile.
    """
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise PhotoError(f"{path}: not a regular file", hint="replace it with the photo itself")
            if before.st_size > _MAX_FILE_BYTES:
                raise PhotoError(f"{path}: larger than {_MAX_FILE_BYTES >> 30} GiB", hint="scale it down first")
            data = file.read(_MAX_FILE_BYTES + 1)
            after = os.fstat(file.fileno())
    except ValueError as error:  # a path with characters that no file name can have
        raise PhotoError(f"{path}: cannot be read: {error}", hint="check the path") from error
    except OSError as error:
        raise PhotoError(
            f"{path}: cannot be read: {error.strerror}", hint="check that it exists and its permissions"
        ) from error
    if not data:
        raise PhotoError(f"{path}: the file is empty", hint="restore it from a backup")
    if (before.st_size, before.st_mtime_ns) != (len(data), after.st_mtime_ns):
        raise PhotoError(f"{path}: the file changed while it was read", hint="run again when it is complete")
    return SourceBytes(path, data, len(data), after.st_mtime_ns, hashlib.sha256(data).hexdigest())


def _open_nonblocking(path: str, flags: int) -> int:
    """Open a file without waiting: the path may be a pipe without a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode(
    source: SourceBytes, max_pixels: int = DEFAULT_MAX_PIXELS, *, least_sides: tuple[int, int] | None = None
) -> Photo:
    """Decode the first frame of a photo and turn it upright. The content decides the format, not the extension.

    Args:
        source: The photo file.
        max_pixels: Pixels that the photo may have.
        least_sides: Shorter and longer side in pixels that are enough. A JPEG is then decoded at a reduced scale, which
            is faster, and the photo gets a `full_size`. None for all pixels.

    Raises:
        PhotoError: The content is damaged or too large, or what reads its format is not installed.
    """
    named, content = format_of(source.path), format_of_content(source.data)
    form = real_format(source.path.name, content)
    if form is RAW:
        try:
            photo = _decode_raw(source, max_pixels)
        except PhotoError as error:
            if content is not TIFF:
                raise
            photo = _decode_plain_tiff(source, max_pixels, error)
    else:
        register(source.path, form)
        photo = _decode_image(source.path, source.data, max_pixels, least_sides)
    if named is None or photo.format is named:
        return photo
    warning = f"the file is {photo.format.name} in spite of its extension {source.path.suffix}"
    return replace(photo, warnings=(warning, *photo.warnings))


def _decode_plain_tiff(source: SourceBytes, max_pixels: int, error: PhotoError) -> Photo:
    """Decode a TIFF with the extension of a RAW file.

    Raises:
        PhotoError: `error`, because the file is no readable TIFF, either.
    """
    try:
        return _decode_image(source.path, source.data, max_pixels)
    except PhotoError:
        raise error from None


def _decode_raw(source: SourceBytes, max_pixels: int) -> Photo:
    """Return the embedded preview of a RAW file, with the metadata of the RAW itself where it can be read."""
    preview = extract_preview(source.path, source.data)
    photo = _decode_image(source.path, preview.content, max_pixels)
    own = read_tiff_metadata(source.data)
    pixels, orientation = photo.pixels, photo.orientation
    if not exif.orientation(photo.metadata.exif) and preview.orientation in _TO_UPRIGHT:
        pixels, orientation = pixels.transpose(_TO_UPRIGHT[preview.orientation]), preview.orientation
        photo = replace(photo, quality=_turned(photo.quality, orientation))
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
            f"cropped from the embedded preview of {pixels.width} x {pixels.height} pixels",
            *photo.warnings,
        ),
    )


def _decode_image(path: Path, data: bytes, max_pixels: int, least_sides: tuple[int, int] | None = None) -> Photo:
    chunks = read_chunks(data)
    image = open_image(path, chunks.content, max_pixels=max_pixels)
    image.info.update(chunks.info)
    image.info.update(jpeg_2000.read_info(data))
    form = format_called(image.format or "")
    assert form is not None  # `open_image` opens no others
    size = image.size
    if least_sides is not None:
        jpeg.reduce_scale(image, least_sides)
    try:
        with _guard(image.width * image.height > _LARGE_PHOTO_PIXELS):
            photo = _to_photo(image, form, data, chunks.code_points)
    except MemoryError as error:
        raise PhotoError(
            f"{path}: {image.width} x {image.height} pixels do not fit into memory", hint="use fewer --jobs"
        ) from error
    except Exception as error:  # as above; a truncated file is found out only here
        raise PhotoError(
            f"{path}: the image is damaged or incomplete ({error})", hint="restore it from a backup"
        ) from error
    full_size = size[::-1] if photo.orientation in _SWAPPED_SIDES else size
    if image.size != size and photo.pixels.size != full_size:
        photo = replace(photo, full_size=full_size)
    if chunks.left_out:
        photo = replace(photo, warnings=(*photo.warnings, "a text or colour profile that is too large was left out"))
    return photo


def _is_large(source: SourceBytes) -> bool:
    """Return whether a photo is so large that it should be in memory alone."""
    form = real_format(source.path.name, format_of_content(source.data))
    if form is RAW:
        return source.size_bytes > _LARGE_RAW_BYTES
    if form is JPEG and (pixels := jpeg.count_pixels(source.data)):
        return pixels > _LARGE_PHOTO_PIXELS
    try:
        register(source.path, form)
        image = open_image(source.path, read_chunks(source.data).content)
    except PhotoError:  # `decode` reports it
        return False
    return image.width * image.height > _LARGE_PHOTO_PIXELS


@contextmanager
def guard_memory(source: SourceBytes) -> Iterator[bool]:
    """Yield whether a photo is large; while it is in the context, no other large photo is in memory."""
    large = _is_large(source)
    with _guard(large):
        yield large


def _guard(large: bool) -> AbstractContextManager[object]:
    return _large_photo_lock if large else nullcontext()


def _load(image: Image.Image, data: bytes) -> tuple[Image.Image, list[str]]:
    """Load the pixels of an image. Return it, or a JPEG with a new end, and a warning in that case.

    This comes before reading `info`, because PNG stores some blocks after the pixels.

    Raises:
        Exception: The image is damaged, or lacks more than a few rows.
    """
    try:
        image.load()
    except OSError:
        if not isinstance(image, JpegImagePlugin.JpegImageFile) or not jpeg.has_all_scans(data):
            raise
        loaded = open_image("", jpeg.with_end(data))
        loaded.load()
        incomplete = _incomplete_rows(loaded, jpeg.with_other_end(data))
        if incomplete > jpeg.few_rows(loaded.height, jpeg.coding_unit(image)[1]):
            raise
        if incomplete:
            return loaded, [f"the end of the file is missing, so the last {incomplete} rows are incomplete"]
        return loaded, ["the end marker is missing; the photo is complete"]
    return image, []


def _incomplete_rows(image: Image.Image, other_end: bytes) -> int:
    """Return how many rows of a JPEG depend on what follows its end."""
    other = open_image("", other_end)
    other.load()
    differs = (np.asarray(image) != np.asarray(other)).reshape(image.height, -1).any(axis=1)
    return image.height - int(differs.argmax()) if differs.any() else 0


def _to_photo(image: Image.Image, form: Format, data: bytes, cicp: bytes) -> Photo:
    layout = str(getattr(image, "tile", ""))
    is_16_bit = _RAW_MODE_16_BIT.search(layout) is not None
    warnings = _warn_about_more_images(image, form)
    image, incomplete = _load(image, data)
    warnings += incomplete
    metadata = read_tiff_metadata(data) if form is TIFF else read_pillow_metadata(image)
    orientation = int(image.info.get("original_orientation") or metadata.orientation)
    if form is JPEG_XL and not getattr(image, "jpeg", False):
        orientation = 1  # its decoder has turned the pixels, except those of a JPEG that was packed without loss
    pixels = in_usual_mode(image)
    # Pillow turns TIFF on load, and pillow-heif HEIC; then `info` has the original orientation.
    if orientation in _TO_UPRIGHT and form is not TIFF and "original_orientation" not in image.info:
        pixels = pixels.transpose(_TO_UPRIGHT[orientation])
    if _RAW_MODE_12_BIT in layout:
        pixels = from_12_bit(pixels)
    tiff = read_coding(image, data) if form is TIFF else None
    stream = read_codestream(image, data, form) if tiff is None else Codestream(subsampling=tiff.subsampling)
    bits = 16 if is_16_bit else stream.bits
    if bits > 8 and pixels.mode not in DEEP_MODES:
        warnings.append(f"{bits} bits per channel were reduced to 8")
    if metadata.xmp and not is_readable(metadata.xmp):
        metadata = replace(metadata, xmp=b"")
        warnings.append("the XMP is damaged or larger than 4 MiB and was left out")
    tables = () if tiff is None else tiff.tables
    colour = find_colour(image, data, form, cicp, metadata.exif)
    if colour.narrow_range:
        pixels = to_full_range(pixels)
    warnings += [colour.warning] if colour.warning else []
    warnings += companion_warnings(image, data, form, metadata.xmp)
    lossless = stream.lossless or (form in _LOSSLESS_FORMATS and not (tiff and tiff.is_lossy))
    return Photo(
        pixels=pixels,
        format=form,
        orientation=orientation,
        icc_profile=colour.icc_profile,
        hdr=None if colour.hdr is None else hdr_colour(to_8_bit(pixels), colour.hdr),
        metadata=metadata,
        subsampling=_subsampling(image, stream, orientation),
        block_size=_block_size(image, orientation),
        lossless=lossless,
        quality=None if lossless else _turned(read_quality(image, data, form, tables), orientation),
        tiff=tiff,
        warnings=tuple(warnings),
    )


def _warn_about_more_images(image: Image.Image, form: Format) -> list[str]:
    """Return a warning if the file has more than one image. MPO gives none: its images are views of the same scene."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Counting the pages would follow a chain that may have millions of links.
        return ["more than one page: only the first is used"] if image.tag_v2.next else []
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return []
    return ["more than one image: only the first is used" if form is HEIF else "animated: only the first frame is used"]


def _subsampling(image: Image.Image, stream: Codestream, orientation: int) -> int:
    """Return a chroma subsampling that loses nothing: the photo's own, or 4:4:4 if Pillow cannot write that."""
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    sampling = int(JpegImagePlugin.get_sampling(image)) if is_jpeg else stream.subsampling
    # 4:2:2 turned by 90 degrees is 4:4:0, which Pillow cannot write.
    if sampling < 0 or (sampling == 1 and orientation in _SWAPPED_SIDES):
        return 0
    return sampling


def _turned(quality: StoredQuality | None, orientation: int) -> StoredQuality | None:
    return quality.turned() if quality is not None and orientation in _SWAPPED_SIDES else quality


def _block_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    """Return width and height of a JPEG coding unit (MCU) in the upright photo. Source: ITU-T T.81, section A.2."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return 1, 1
    across, down = jpeg.coding_unit(image)
    return (down, across) if orientation in _SWAPPED_SIDES else (across, down)
