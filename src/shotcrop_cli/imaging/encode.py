"""Cut crops from untouched pixels, encode them, and put files in place without ever leaving half of one."""

from __future__ import annotations

import errno
import io
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shotcrop_cli.errors import OutputError, PhotoError
from shotcrop_cli.imaging.decode import Photo
from shotcrop_cli.imaging.formats import AVIF, JPEG, PNG, TIFF, WEBP, Format, written_as
from shotcrop_cli.imaging.metadata import Metadata, MetadataPolicy
from shotcrop_cli.shots import PixelBox

_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".shotcrop-", ".tmp"
_ERRORS_OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ)
"""What the output says of one unlucky name; any other error would befall every photo."""
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


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to put in place.

    Args:
        path: Its final path.
        content: All of it.
        mtime_ns: Modification time to give it, nanoseconds since the epoch; None for now.
    """

    path: Path
    content: bytes
    mtime_ns: int | None = None


def put_in_place(files: Sequence[NewFile], *, root: Path, obsolete: Sequence[Path] = ()) -> None:
    """Write files so that each final name holds all of its content or what it held before.

    All contents reach the disk under temporary names first; then `obsolete` goes, and the files are
    renamed in the order given. A process killed anywhere leaves temporaries at worst.

    Args:
        files: What to write, the completion marker last.
        root: The output folder; folders below it are made, itself never, so that a lost disk is noticed.
        obsolete: Files to remove just before the renaming, absent ones included.

    Raises:
        PhotoError: A name is too long, or a folder is in its place.
        OutputError: The output cannot be written, whatever the photo.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        if not root.is_dir():
            raise OutputError(f"{root}: the output folder is gone", hint="mount it again and rerun")
        for file in files:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.path.parent / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
            staged.append((temporary, file.path))
            _write(temporary, file)
        for path in obsolete:
            path.unlink(missing_ok=True)
        for temporary, path in staged:
            temporary.replace(path)
    except OSError as error:
        if error.errno in _ERRORS_OF_ONE_NAME:
            raise PhotoError(
                f"{error.filename}: cannot be written: {error.strerror}",
                hint="rename the photo or the obstacle",
            ) from error
        raise OutputError(
            f"{root}: cannot write: {error.strerror} ({error.filename or staged[-1][1]})",
            hint="free space or fix permissions, then rerun: finished photos are kept",
        ) from error
    finally:
        for temporary, _ in staged:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _write(temporary: Path, file: NewFile) -> None:
    with temporary.open("xb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())
    if file.mtime_ns is not None:
        os.utime(temporary, ns=(file.mtime_ns, file.mtime_ns))


def is_temporary(name: str) -> bool:
    """Tell whether a file name is one of the temporaries that a killed run may leave."""
    return name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)
