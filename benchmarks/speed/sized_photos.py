"""Photos of a wanted size, made from real ones by resampling."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"
QUALITY = 92
"""Of the photos, with chroma halved both ways: what cameras and phones write, about [O]."""


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the flag that names the photos to make others from."""
    parser.add_argument(
        "--photos",
        type=jpegs,
        default=jpegs(EXAMPLES),
        metavar="DIR",
        help="make the photos from the JPEGs of this folder; by default from the example photos",
    )


def jpegs(folder: str | Path) -> list[Path]:
    """Return the JPEGs that lie in a folder, in order.

    Raises:
        ArgumentTypeError: There are none.
    """
    found = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not found:
        raise argparse.ArgumentTypeError(f"{folder} holds no JPEG")
    return found


def make_photos(folder: Path, sources: Sequence[Path], megapixels: float, count: int) -> list[Path]:
    """Write JPEGs of one size.

    Where more are wanted than there are sources, the same ones come again, as links, which no reader can tell.

    Args:
        folder: Where to; it is made.
        sources: What from.
        megapixels: Millions of pixels of each, whatever its shape.
        count: How many.
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
    """Return a photo, upright, with so many pixels."""
    with Image.open(source) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def mean_megabytes(photos: Sequence[Path]) -> float:
    """Return the mean size of files in 10^6 bytes."""
    return sum(photo.stat().st_size for photo in photos) / len(photos) / 1e6
