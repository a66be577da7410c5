"""Sound little photos of every format that is read, and of most variants of each, made in memory."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, PngImagePlugin

PORTRAIT = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"
PNG_START = b"\x89PNG\r\n\x1a\n"


def picture() -> Image.Image:
    """Return a small portrait, so that the model sees a person and makes crops."""
    with Image.open(PORTRAIT) as image:
        portrait: Image.Image = image.convert("RGB").resize((160, 120))
    return portrait


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, form, **options)  # a copy, because writing changes the image object
    return buffer.getvalue()


def exif_block() -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Canon", "Canon EOS R5", 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 1.0, 22.0)})
    return exif.tobytes()


def sound_photos() -> Iterator[tuple[str, bytes]]:
    """Yield sound photos of every format and most of their variants."""
    rgb = picture()
    second = rgb.transpose(Image.Transpose.ROTATE_180)
    gray, alpha, palette = rgb.convert("L"), rgb.convert("RGBA"), rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    alpha.putalpha(gray)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    icc = _profile()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
    tags = {"exif": exif_block(), "icc_profile": icc, "xmp": xmp}
    yield "baseline.jpg", saved(rgb, "JPEG", quality=90)
    yield "progressive.jpg", saved(rgb, "JPEG", progressive=True, subsampling=0)
    yield "restarts.jpg", saved(rgb, "JPEG", restart_marker_blocks=4, subsampling=1)
    yield "gray.jpg", saved(gray, "JPEG")
    yield "cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG")
    yield "tags.jpg", _with_iptc(saved(rgb, "JPEG", **tags))
    yield "several.jpg", saved(rgb, "MPO", save_all=True, append_images=[second], exif=exif_block())
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    yield "rgb.png", saved(rgb, "PNG", exif=exif_block(), icc_profile=icc, pnginfo=info)
    yield "alpha.png", saved(alpha, "PNG")
    yield "deep.png", saved(deep, "PNG")
    yield "deep-rgb.png", _sixteen_bits(rgb)
    yield "palette.png", saved(palette, "PNG", transparency=3)
    yield "bits.png", saved(rgb.convert("1"), "PNG")
    yield "interlaced.png", _interlaced(gray)
    yield "animated.png", saved(rgb, "PNG", save_all=True, append_images=[second])
    yield "lossy.webp", saved(rgb, "WEBP", **tags)
    yield "lossless.webp", saved(alpha, "WEBP", lossless=True)
    yield "animated.webp", saved(rgb, "WEBP", save_all=True, append_images=[second])
    for compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd", "lzma"):
        yield f"{compression}.tif", saved(rgb, "TIFF", compression=compression)
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield f"{compression}.tif", saved(rgb.convert("1"), "TIFF", compression=compression)
    yield "tags.tiff", saved(rgb, "TIFF", **tags)
    yield "deep.tif", saved(deep, "TIFF", compression="tiff_lzw")
    yield "float.tif", saved(gray.convert("F"), "TIFF")
    yield "cmyk.tif", saved(rgb.convert("CMYK"), "TIFF")
    yield "big.tif", saved(rgb, "TIFF", big_tiff=True)
    yield "pages.tif", saved(rgb, "TIFF", save_all=True, append_images=[picture()])
    yield "still.gif", saved(palette, "GIF", transparency=3)
    yield "animated.gif", saved(rgb, "GIF", save_all=True, append_images=[second], duration=50)
    for name, image in (("rgb", rgb), ("palette", palette), ("bits", rgb.convert("1"))):
        yield f"{name}.bmp", saved(image, "BMP")
    pillow_heif.register_heif_opener()
    yield "photo.heic", saved(rgb, "HEIF", exif=exif_block(), icc_profile=icc)
    yield "alpha.heif", saved(alpha, "HEIF", quality=-1)
    yield "photo.avif", saved(rgb, "AVIF", speed=9, exif=exif_block(), icc_profile=icc)
    yield "animated.avif", _timeless(saved(rgb, "AVIF", speed=9, save_all=True, append_images=[second]))


def _profile() -> bytes:
    """Return an sRGB profile, less the time when it was made (ICC.1, 7.2.8), so that it is always the same."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


def _timeless(film: bytes) -> bytes:
    """Overwrite the time of an animation (ISO 14496-12, 8.2.2: two numbers of 64 bits after version and flags)."""
    return re.sub(rb"(?s)((?:mvhd|tkhd|mdhd)\x01...).{16}", rb"\1" + bytes(16), film)


def _with_iptc(jpeg: bytes) -> bytes:
    """Insert a Photoshop block with an IPTC caption at the start of a JPEG."""
    caption = b"\x1c\x02\x78\x00\x05hello"
    block = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(caption)) + caption
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def _interlaced(gray: Image.Image) -> bytes:
    """Write an interlaced PNG, which Pillow only reads (PNG specification, 8.2: the seven passes of Adam7)."""
    pixels = np.asarray(gray)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    lines = b"".join(b"\x00" + bytes(line) for x, y, dx, dy in passes for line in pixels[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", gray.width, gray.height, 8, 0, 0, 0, 1)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))


def _sixteen_bits(rgb: Image.Image) -> bytes:
    """Write a PNG of 16 bits per channel, which Pillow only reads."""
    lines = b"".join(b"\x00" + line.tobytes() for line in np.asarray(rgb).astype(">u2") * 257)
    header = struct.pack(">IIBBBBB", rgb.width, rgb.height, 16, 2, 0, 0, 0)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Put a PNG together."""
    return PNG_START + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
