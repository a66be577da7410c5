"""Other croppers through their own interfaces: one photo in, one crop out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageOps

from shotcrop_cli.imaging.formats import DEFAULT_QUALITY
from shotcrop_cli.shots import Box

QUALITY = DEFAULT_QUALITY
"""JPEG quality of the crops, as in `shotcrop crop`."""

Cropper = Callable[[Path, Path], "Box | None"]
"""Crops a photo into a file and returns the box relative to the photo, or None if it finds nothing to crop."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A cropper that may be installed.

    Args:
        load: Imports it. Raises ImportError or OSError if it is missing.
        remedy: How to install it.
    """

    load: Callable[[], Cropper]
    remedy: str


def _smartcrop() -> Cropper:
    from smartcrop import SmartCrop

    cropper = SmartCrop()

    def crop(photo: Path, target: Path) -> Box:
        with Image.open(photo) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        best = cropper.crop(image, 100, 100)["top_crop"]  # the default of its own command
        corners = (best["x"], best["y"], best["x"] + best["width"], best["y"] + best["height"])
        image.crop(corners).save(target, "JPEG", quality=QUALITY)
        return _box(*corners, image.width, image.height)

    return crop


def _autocrop() -> Cropper:
    import cv2
    from autocrop import Cropper as FaceCropper

    cv2.setNumThreads(1)  # the caller has its own processes
    cropper = FaceCropper(resize=False)

    def crop(photo: Path, target: Path) -> Box | None:
        found = cropper.crop(str(photo))
        if found.image is None:
            return None
        Image.fromarray(found.image).convert("RGB").save(target, "JPEG", quality=QUALITY)
        part, whole = found.diagnostics.crop_rectangle, found.diagnostics.input_dimensions
        return _box(part.x, part.y, part.x + part.width, part.y + part.height, whole.width, whole.height)

    return crop


def _libvips() -> Cropper:
    import pyvips

    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)  # only the warm-up photos come twice

    def crop(photo: Path, target: Path) -> Box:
        image = pyvips.Image.new_from_file(str(photo)).autorot()
        side = min(image.width, image.height)
        part = image.smartcrop(side, side, interesting="attention")
        part.jpegsave(str(target), Q=QUALITY)
        left, upper = -part.xoffset, -part.yoffset  # libvips reports the place of a part as an offset
        return _box(left, upper, left + part.width, upper + part.height, image.width, image.height)

    return crop


def _box(left: float, upper: float, right: float, lower: float, width: int, height: int) -> Box:
    """Return a box relative to the photo. A cropper may be one pixel outside of it."""
    return Box(max(0, left) / width, max(0, upper) / height, min(right, width) / width, min(lower, height) / height)


PEERS: Mapping[str, Peer] = {
    "smartcrop": Peer(_smartcrop, "pip install smartcrop"),
    "autocrop": Peer(_autocrop, "pip install 'autocrop>=2'"),
    "libvips smartcrop": Peer(_libvips, "pip install 'pyvips[binary]'"),
}
"""The other croppers by name."""


@lru_cache(maxsize=1)
def _loaded(name: str) -> Cropper:
    return PEERS[name].load()


def crop_photo(name: str, photo: Path, target: Path) -> Box | None:
    """Crop a photo with a peer. It is loaded once per process."""
    return _loaded(name)(photo, target)


def installed() -> tuple[list[str], list[str]]:
    """Return the names of the installed peers, and one line about each missing one."""
    names, missing = [], []
    for name, peer in PEERS.items():
        try:
            peer.load()
        except (ImportError, OSError):
            missing.append(f"{name} is not installed and was left out: {peer.remedy}.")
        else:
            names.append(name)
    return names, missing
