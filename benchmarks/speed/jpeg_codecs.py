"""JPEG codecs for Python: decode a whole photo, encode a part of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from shotcrop_cli.imaging.formats import DEFAULT_QUALITY
from shotcrop_cli.shots import PixelBox

QUALITY = DEFAULT_QUALITY
"""JPEG quality of the crops, as in `shotcrop crop`. Chroma is halved both ways, as in the photos."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to read and write JPEGs, as programs usually do it.

    Pillow makes other threads wait while it encodes into memory. The other codecs do not.

    Args:
        decode: Turns a JPEG into pixels of any type.
        encode: Turns a part of such pixels into a JPEG.
    """

    decode: Callable[[bytes], Any]
    encode: Callable[[Any, PixelBox], bytes]


def _pillow() -> Codec:
    def decode(jpeg: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(jpeg))
        image.load()
        return image

    def encode(image: Image.Image, box: PixelBox) -> bytes:
        buffer = io.BytesIO()
        image.crop(box.corners).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
        return buffer.getvalue()

    return Codec(decode, encode)


def _simplejpeg() -> Codec:
    from simplejpeg import decode_jpeg, encode_jpeg

    return Codec(
        decode_jpeg, lambda pixels, box: encode_jpeg(_part(pixels, box), quality=QUALITY, colorsubsampling="420")
    )


def _pyturbojpeg() -> Codec:
    import turbojpeg

    codec = turbojpeg.TurboJPEG()
    rgb, halved = turbojpeg.TJPF_RGB, turbojpeg.TJSAMP_420
    return Codec(
        lambda jpeg: codec.decode(jpeg, pixel_format=rgb),
        lambda pixels, box: codec.encode(_part(pixels, box), quality=QUALITY, pixel_format=rgb, jpeg_subsample=halved),
    )


def _part(pixels: Any, box: PixelBox) -> Any:
    """Return a part of a height x width x 3 array as one block of memory, which libjpeg-turbo's bindings need."""
    import numpy as np

    return np.ascontiguousarray(pixels[box.y : box.y + box.height, box.x : box.x + box.width])


def _libvips() -> Codec:
    import pyvips

    pyvips.concurrency_set(1)  # the caller has its own threads
    pyvips.cache_set_max(0)
    return Codec(
        # Decode once: otherwise libvips decodes again for each part.
        lambda jpeg: pyvips.Image.new_from_buffer(jpeg, "").copy_memory(),
        lambda image, box: image.crop(box.x, box.y, box.width, box.height).jpegsave_buffer(
            Q=QUALITY, subsample_mode="on"
        ),
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """A codec that may be installed.

    Args:
        load: Imports it. Raises ImportError, OSError or RuntimeError if it is missing.
        remedy: How to install it.
    """

    load: Callable[[], Codec]
    remedy: str


OFFERS: Mapping[str, Offer] = {
    "Pillow": Offer(_pillow, "pip install pillow"),
    "simplejpeg": Offer(_simplejpeg, "pip install simplejpeg"),
    "PyTurboJPEG": Offer(_pyturbojpeg, "pip install PyTurboJPEG, and libjpeg-turbo 3 from its own site"),
    "libvips": Offer(_libvips, "pip install 'pyvips[binary]'"),
}
"""The codecs by name, Pillow first."""


def load_codecs() -> tuple[dict[str, Codec], list[str]]:
    """Return the installed codecs, and one line about each missing one."""
    found, missing = {}, []
    for name, offer in OFFERS.items():
        try:
            found[name] = offer.load()
        except (ImportError, OSError, RuntimeError):
            missing.append(f"{name} is not available and was left out: {offer.remedy}.")
    return found, missing
