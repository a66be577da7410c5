"""Photos that no camera took, drawn or put together from the examples: the ones that a model is tempted to fail on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from shotcrop_cli.shots import Box

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
FACES = {
    "astronaut.jpg": Box(0.37, 0.17, 0.52, 0.36),
    "camera.jpg": Box(0.36, 0.24, 0.50, 0.37),
    "commodore.jpg": Box(0.36, 0.24, 0.66, 0.51),
}
"""The faces in the example photos, brow to chin, measured by eye."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """A photo, and where the faces in it are."""

    image: Image.Image
    faces: tuple[Box, ...] = ()


def example(name: str) -> Image.Image:
    with Image.open(PHOTOS / name) as photo:
        return photo.convert("RGB")


def gradient(
    width: int = 800, height: int = 600, upper: Colour = (20, 30, 90), lower: Colour = (255, 200, 120)
) -> Drawn:
    share = np.linspace(0, 1, height)[:, None, None]
    rows = np.array(upper) * (1 - share) + np.array(lower) * share
    return Drawn(Image.fromarray(rows.repeat(width, 1).astype(np.uint8)))


def flat(grey: int) -> Drawn:
    return Drawn(Image.new("RGB", (800, 600), (grey, grey, grey)))


def noise(width: int, height: int) -> Drawn:
    """Return random colours, so many a side, enlarged softly to a photo."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Drawn(Image.fromarray(values).resize((800, 600), Image.Resampling.BICUBIC))


def landscape(width: int = 1200, height: int = 800, *, house: bool = False) -> Drawn:
    """Return a sky over three rows of hills, on request with a house on the nearest."""
    image = gradient(width, height, (120, 170, 230), (225, 235, 245)).image
    draw = ImageDraw.Draw(image)
    for row, (horizon, colour) in enumerate(((0.55, (110, 130, 150)), (0.65, (80, 110, 90)), (0.8, (60, 90, 50)))):
        ridge = [
            (x, height * (horizon + 0.06 * np.sin(x / width * (5 + 3 * row) + row))) for x in range(0, width + 1, 8)
        ]
        draw.polygon([(0, height), *ridge, (width, height)], fill=colour)
    if house:
        left, top, side = width * 0.42, height * 0.5, width * 0.2
        draw.rectangle((left, top, left + side, top + side), fill=(170, 90, 70))
        draw.polygon([(left - 20, top), (left + side / 2, top - side / 2), (left + side + 20, top)], fill=(90, 40, 40))
        draw.rectangle((left + side * 0.4, top + side * 0.5, left + side * 0.6, top + side), fill=(70, 50, 40))
    return Drawn(image)


def far_away(name: str, share: float, place: tuple[float, float]) -> Drawn:
    """Put an example into a landscape, so high in shares of its height, its upper left corner at `place`."""
    image, photo = landscape().image, example(name)
    photo = photo.resize((round(photo.width * image.height * share / photo.height), round(image.height * share)))
    left, upper = round(place[0] * image.width), round(place[1] * image.height)
    image.paste(photo, (left, upper))
    return Drawn(image, (_within(FACES[name], (left, upper), photo.size, image.size),))


def side_by_side(*names: str) -> Drawn:
    """Put examples into one row."""
    photos = [example(name) for name in names]
    photos = [photo.resize((round(photo.width * 600 / photo.height), 600)) for photo in photos]
    image = Image.new("RGB", (sum(photo.width for photo in photos), 600))
    faces, left = [], 0
    for name, photo in zip(names, photos, strict=True):
        image.paste(photo, (left, 0))
        faces.append(_within(FACES[name], (left, 0), photo.size, image.size))
        left += photo.width
    return Drawn(image, tuple(faces))


def tight(name: str, share: float) -> Drawn:
    """Cut an example so close that the face is this share of the sides."""
    photo, face = example(name), FACES[name]
    (x, y), width, height = face.centre, face.width / share / 2, face.height / share / 2
    cut = Box(max(x - width, 0.0), max(y - height, 0.0), min(x + width, 1.0), min(y + height, 1.0))
    return Drawn(photo.crop(_pixels(cut, photo.size)))


def behind_a_visor(name: str) -> Drawn:
    """Paint a helmet over a whole head."""
    photo, face = example(name), FACES[name]
    left, upper, right, lower = _pixels(face, photo.size)
    margin = (right - left) // 2
    ImageDraw.Draw(photo).ellipse((left - margin, upper - margin, right + margin, lower + 10), fill=(200, 40, 40))
    return Drawn(photo, (face,))


def from_behind(name: str) -> Drawn:
    """Paint hair over a face."""
    photo, face = example(name), FACES[name]
    ImageDraw.Draw(photo).rectangle(_pixels(face, photo.size), fill=(60, 45, 35))
    return Drawn(photo, (face,))


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    return round(x0 * size[0]), round(y0 * size[1]), round(x1 * size[0]), round(y1 * size[1])


def _within(box: Box, corner: tuple[int, int], size: tuple[int, int], whole: tuple[int, int]) -> Box:
    """Express a box of a pasted photo in the coordinates of what it was pasted into."""
    across, down = ((corner[i] / whole[i], size[i] / whole[i]) for i in (0, 1))
    return Box(
        *(offset + side * scale for side, (offset, scale) in zip(box, (across, down, across, down), strict=True))
    )
