"""Photo files to upright pixels, and to the thumbnails a model sees.

Pixels keep the file's own mode and colour space, since crops are cut from them. Only thumbnails are sRGB.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, JpegImagePlugin

from shotcrop_cli.errors import PhotoError
from shotcrop_cli.imaging.exif import parse
from shotcrop_cli.imaging.formats import BMP, FORMATS, GIF, HEIF, PNG, TIFF, WEBP, Format, format_of
from shotcrop_cli.imaging.metadata import NO_METADATA, Metadata

ANY_SIZE_LONG_SIDE = 1536
"""Longer side in pixels of a thumbnail for models that take any size; about 1.8 megapixels at 4:3 [N]."""
_REDUCING_GAP = 2.0
"""Shrink by whole factors while twice the wanted size remains, 5x faster than a plain resize [O].

Filter and gap are those of `preprocess.squash`, through which models see their training photos."""
_READ = tuple(dict.fromkeys(name for form in FORMATS.values() for name in form.pillow_names))
"""Pillow's names of all that is read; it knows formats that would run other programs."""
_LOSSLESS = (PNG, TIFF, GIF, BMP)
_MODES_16_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")

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
        # A TIFF is its own EXIF block; what is read from it does not keep the file in memory.
        exif=parse(data).to_bytes() if form is TIFF else image.info.get("exif") or b"",
        xmp=_bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")),
    )
    orientation = int(image.info.get("original_orientation") or metadata.facts().orientation)
    pixels = image
    # Pillow turns TIFF on load, and pillow-heif HEIC, which is then marked with its original orientation.
    if orientation in _UPRIGHT and form is not TIFF and "original_orientation" not in image.info:
        pixels = image.transpose(_UPRIGHT[orientation])
    warnings = []
    if getattr(image, "is_animated", False) and image.format != "MPO":
        warnings.append("animated: only the first frame is used")
    if sixteen_bit and pixels.mode not in _MODES_16_BIT:
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


def thumbnail(photo: Photo, size: tuple[int, int]) -> Image.Image:
    """Return what a model sees: sRGB, mode RGB, transparency over white.

    Args:
        photo: The photo; its own pixels stay as they are.
        size: Width and height in pixels that the photo is squashed to; (0, 0) keeps its aspect and
            shrinks its longer side to `ANY_SIZE_LONG_SIDE` where it is longer.
    """
    if size == (0, 0):
        scale = min(1.0, ANY_SIZE_LONG_SIDE / max(photo.pixels.size))
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    small = _eight_bit(photo.pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    if small.mode in ("LA", "RGBA"):
        opaque = Image.new("RGBA", small.size, "white")
        opaque.alpha_composite(small.convert("RGBA"))
        small = opaque.convert("L" if small.mode == "LA" else "RGB")
    return _to_srgb(small, photo.icc_profile)


def _eight_bit(pixels: Image.Image) -> Image.Image:
    """Return the pixels in an 8-bit mode that can be resized, scaled where they had more bits."""
    if pixels.mode in _MODES_16_BIT:
        stored = np.asarray(pixels)
        if stored.dtype.itemsize == 2:
            return Image.fromarray((stored >> 8).astype(np.uint8))
        values = stored.astype(np.float32)
        # 32-bit modes have no agreed white: 16-bit values are common, anything else is stretched to fit.
        white = 65535.0 if pixels.mode != "F" and values.max() <= 65535 else float(values.max()) or 1.0
        return Image.fromarray((values.clip(0, white) * (255.0 / white) + 0.5).astype(np.uint8))
    if pixels.mode == "1":
        return pixels.convert("L")
    if pixels.mode in ("P", "PA") or (pixels.mode in ("L", "RGB") and "transparency" in pixels.info):
        return pixels.convert("RGBA" if pixels.mode == "PA" or "transparency" in pixels.info else "RGB")
    return pixels


def _to_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    transform = _srgb_transform(icc_profile, image.mode) if icc_profile else None
    if transform is not None:
        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None  # None is returned for conversions in place only
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _srgb_transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion to sRGB, None where there is nothing to convert or the profile is of no use."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        if mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(profile):
            return None
        return ImageCms.buildTransform(profile, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
