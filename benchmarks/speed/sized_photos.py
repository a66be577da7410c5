"""Make photos of a given size by resampling real ones."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"
QUALITY = 92
"""JPEG quality of the photos, with chroma halved both ways: about what cameras and phones write."""


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of real photos."""
    parser.add_argument(
        "--photos",
        type=jpegs,
        default=jpegs(EXAMPLES),
        metavar="DIR",
        help="folder of JPEGs to make the photos from; default: the example photos",
    )


def jpegs(folder: str | Path) -> list[Path]:
    """Return the JPEGs in a folder, sorted by name.

    Raises:
        ArgumentTypeError: There are none.
    """
    found = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not found:
        raise argparse.ArgumentTypeError(f"{folder} holds no JPEG")
    return found


def make_photos(folder: Path, sources: Sequence[Path], megapixels: float, count: int) -> list[Path]:
    """Write JPEGs of one size.

    If there are fewer sources than photos, the sources repeat as hard links. Readers see no difference.

    Args:
        folder: The folder to create.
        sources: The real photos.
        megapixels: Millions of pixels of each photo.
        count: The number of photos.
    """
    folder.mkdir(parents=True)
    photos = [folder / f"{place:05}.jpg" for place in range(count)]
    for place, photo in enumerate(photos):
        if place < len(sources):
            resampled(sources[place], megapixels).save(photo, quality=QUALITY, subsampling="4:2:0")
        else:
            os.link(photos[place % len(sources)], photo)
    return photos


def resampled(source: Path, megapixels: float) -> Image.Image:
    """Return a photo, upright, resampled to this many megapixels."""
    with Image.open(source) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def mean_megabytes(photos: Sequence[Path]) -> float:
    """Return the mean size of files in 10^6 bytes."""
    return sum(photo.stat().st_size for photo in photos) / len(photos) / 1e6
