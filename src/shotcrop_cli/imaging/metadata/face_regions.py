"""Read who is where in a photo, as photo programs wrote it into XMP: the face regions of MWG and of Microsoft People.

Lightroom, digiKam and others write those of MWG, Windows programs those of Microsoft. The cameras of Apple write those
of MWG, too, but without names: only with numbers and angles of their own (namespace `apple-fi`). Apple's Photos knows
names, but we found nothing that says that its export writes them; osxphotos writes them. shotcrop recognises no faces
itself.

Sources: Metadata Working Group, Guidelines for Handling Image Metadata 2.0, section 5.9; "People Tagging Overview" of
Microsoft's Windows documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lxml import etree

from shotcrop_cli.geometry import clip, intersection, iou
from shotcrop_cli.imaging.metadata import xmp
from shotcrop_cli.imaging.metadata.xmp_names import local
from shotcrop_cli.shots import Box, Person

XMP_SUFFIXES = (".xmp", ".XMP")
MAX_REGIONS = 1000
"""More are not read (our choice)."""
_MAX_BYTES = 4 << 20
_LONGEST_NAME = 200
_NO_NAMES = ("", "_UNKNOWN_")
"""What programs write in place of a name. osxphotos calls faces without a name like this."""
_OVERLAP, _ALIKE = 0.5, 0.1
"""A region is on a head if this share of the smaller one is in the larger one, and this is the least ratio of their
areas. Programs draw regions from the eyes and mouth alone to head and shoulders (our choice)."""


@dataclass(frozen=True, slots=True)
class FaceRegion:
    """A face that has a name.

    Args:
        name: Who it is.
        box: Where it is, relative to the photo as the program saw it: as stored, or upright.
    """

    name: str
    box: Box


def read_face_regions(packet: bytes) -> tuple[FaceRegion, ...]:
    """Return the named faces of an XMP packet; none if it cannot be read."""
    root = xmp.parse(packet) if packet else None
    found: list[FaceRegion] = []
    for element in () if root is None else root.iter():
        if isinstance(element.tag, str) and len(found) < MAX_REGIONS:
            found += _mwg(element)
            found += _microsoft(element)
    return tuple(dict.fromkeys(found))


def regions_of_photo(path: Path, packet: bytes) -> tuple[FaceRegion, ...]:
    """Return the named faces of a photo: those in the XMP file next to it, otherwise those in the photo.

    Args:
        path: The photo. Its XMP file is called `IMG_1.jpg.xmp` or `IMG_1.xmp`.
        packet: The XMP in the photo.
    """
    for suffix in XMP_SUFFIXES:
        for name in (path.name + suffix, path.stem + suffix):
            try:
                with path.with_name(name).open("rb") as file:
                    found = read_face_regions(file.read(_MAX_BYTES))
            except (OSError, ValueError):
                continue
            if found:
                return found
    return read_face_regions(packet)


def name_people(people: Sequence[Person], regions: Sequence[FaceRegion], orientation: int) -> tuple[Person, ...]:
    """Return the people with the names of the regions that their heads are in; all others without a name.

    Most programs count from the picture as it is stored, some from the upright one. The way in which more regions are
    on heads is the right one.

    Args:
        people: Everybody in the photo.
        regions: The named faces.
        orientation: EXIF orientation of the stored picture, 1 to 8.
    """
    turned = [(region.name, upright(region.box, orientation)) for region in regions]
    as_they_are = [(region.name, region.box) for region in regions]
    matches = max(
        (_match(people, turned), _match(people, as_they_are)),
        key=lambda found: (len(found), sum(s for s, _ in found.values())),
    )
    return tuple(replace(person, name=matches.get(number, (0.0, None))[1]) for number, person in enumerate(people))


def _match(people: Sequence[Person], named: Sequence[tuple[str, Box]]) -> dict[int, tuple[float, str]]:
    """Return a name for the people on whose heads a region is, the best pairs first, with their overlap."""
    pairs = []
    for number, person in enumerate(people):
        head = person.head or person.face
        for index, (_, box) in enumerate(named):
            shared = None if head is None else intersection(head, box)
            if head is not None and shared is not None:
                overlap = shared.area / min(head.area, box.area)
                alike = min(head.area, box.area) / max(head.area, box.area)
                if overlap >= _OVERLAP and alike >= _ALIKE:
                    pairs.append((iou(head, box), number, index))
    found: dict[int, tuple[float, str]] = {}
    used: set[int] = set()
    for overlap, number, index in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if number not in found and index not in used:
            found[number] = (overlap, named[index][0])
            used.add(index)
    return found


def upright(box: Box, orientation: int) -> Box:
    """Return where a box of the stored picture is in the upright one.

    Args:
        box: Relative to the stored picture.
        orientation: EXIF orientation of the stored picture, 1 to 8.
    """
    x0, y0, x1, y1 = box
    if orientation >= 5:  # the sides are exchanged
        x0, y0, x1, y1 = y0, x0, y1, x1
    if orientation in (2, 3, 6, 7):
        x0, x1 = 1 - x1, 1 - x0
    if orientation in (3, 4, 7, 8):
        y0, y1 = 1 - y1, 1 - y0
    return Box(x0, y0, x1, y1)


def _mwg(element: etree._Element) -> Iterator[FaceRegion]:
    """Yield the region that an element of `mwg-rs:RegionList` is."""
    values = _values(element)
    name, area = values.get("Name"), values.get("Area")
    if not isinstance(name, str) or area is None or isinstance(area, str):
        return
    kind = values.get("Type", "Face")
    sides = _values(area)
    unit = sides.get("unit", "normalized")
    if kind not in ("Face", "") or unit != "normalized":
        return
    x, y, width, height = (_number(sides.get(side)) for side in ("x", "y", "w", "h"))
    yield from _region(name, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _microsoft(element: etree._Element) -> Iterator[FaceRegion]:
    """Yield the region that an element of `MP:RegionInfo` is."""
    values = _values(element)
    name, rectangle = values.get("PersonDisplayName"), values.get("Rectangle")
    if isinstance(name, str) and isinstance(rectangle, str):
        sides = [_number(side) for side in rectangle.split(",")]
        if len(sides) == 4:
            x, y, width, height = sides
            yield from _region(name, x, y, x + width, y + height)


def _region(name: str, x0: float, y0: float, x1: float, y1: float) -> Iterator[FaceRegion]:
    name = " ".join(name.split())[:_LONGEST_NAME]
    if (
        name not in _NO_NAMES
        and all(math.isfinite(side) for side in (x0, y0, x1, y1))
        and (box := clip(x0, y0, x1, y1)) is not None
    ):
        yield FaceRegion(name, box)


def _values(element: etree._Element) -> dict[str, str | etree._Element]:
    """Return the properties of a structure by their local names: a text, or the element of a structure inside."""
    found: dict[str, str | etree._Element] = {local(name): value for name, value in element.attrib.items()}
    for child in element:
        if not isinstance(child.tag, str):
            continue
        name = local(child.tag)
        if name == "Description":
            found |= _values(child)
        elif len(child) or any(local(attribute) != "parseType" for attribute in child.attrib):
            found[name] = child
        else:
            found[name] = (child.text or "").strip()
    return found


def _number(text: object) -> float:
    try:
        return float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return math.nan
