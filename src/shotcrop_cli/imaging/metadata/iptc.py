"""IPTC-IIM blocks: captions, names and rights that photo agencies write."""

from __future__ import annotations

from collections.abc import Iterator

from shotcrop_cli.imaging.metadata import xmp_names
from shotcrop_cli.imaging.metadata.embedded_images import contains_image

RESOURCE = 0x0404
"""Number of the IPTC block among Photoshop's image resources."""
_TAG_MARKER = 0x1C
_APPLICATION_RECORD = 2
_KEPT_RECORDS = (1, _APPLICATION_RECORD)
"""Envelope and application record. The other records describe or hold the object, which is the whole photo."""
_OF_THE_PHOTO = {
    *((2, 125), (2, 200), (2, 201), (2, 202)),  # a rasterised caption and the preview of the object
    *((1, 100), (2, 185), (2, 186), (2, 187)),  # unique names of the object and the document
    *((2, number) for number in range(209, 240)),  # how Photo Mechanic crops and turns the photo
}
"""Record and number of data sets that show or identify the whole photo."""
_READ_BYTES = 4000
"""Of a value only these first bytes are searched for dates and coordinates (our choice)."""
_EXTENDED_SIZE = 0x8000
"""Bit in the size field that says: the real size follows."""

MAX_BLOCK_BYTES = 1 << 20
"""Longer blocks are dropped. Blocks of agencies have about 5,000 bytes; the limit is our choice."""
_RESOURCES_HEADER = b"Photoshop 3.0\x00"
_MAX_RESOURCES_BYTES = 16 << 20
"""Only these first bytes of image resources are searched (our choice): they also hold layers and previews."""


def for_crop(block: bytes, *, keep_gps: bool) -> bytes:
    """Return the block for a crop: without images and ids of the photo. A damaged block is kept up to the damage.

    Args:
        block: The photo's block.
        keep_gps: Whether to keep keywords that are coordinates.
    """
    kept = []
    for record, data_set, value, stored in _data_sets(block):
        text = value[:_READ_BYTES].decode("latin-1")
        if (
            record not in _KEPT_RECORDS
            or (record, data_set) in _OF_THE_PHOTO
            or contains_image(value)
            or xmp_names.is_tracking(text)
            or (not keep_gps and xmp_names.has_coordinates(text))
        ):
            continue
        kept.append(stored)
    return b"".join(kept)


def without_padding(block: bytes) -> bytes:
    """Return a block up to the end of its last data set."""
    return b"".join(stored for *_, stored in _data_sets(block))


def values(block: bytes) -> dict[int, str]:
    """Return the texts of the application record by the numbers of their data sets, the first of each."""
    found: dict[int, str] = {}
    for record, data_set, value, _ in _data_sets(block):
        if record == _APPLICATION_RECORD:
            found.setdefault(data_set, value[:_READ_BYTES].decode("utf-8", "replace"))
    return found


def has_position(block: bytes) -> bool:
    """Return whether one of the keywords is a coordinate."""
    return any(xmp_names.has_coordinates(value[:_READ_BYTES].decode("latin-1")) for _, _, value, _ in _data_sets(block))


def _data_sets(block: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Yield record, number, value and stored bytes of each data set, up to the first damage."""
    if len(block) > MAX_BLOCK_BYTES:
        return
    place = 0
    while place + 5 <= len(block) and block[place] == _TAG_MARKER:
        record, data_set = block[place + 1], block[place + 2]
        size, start = int.from_bytes(block[place + 3 : place + 5], "big"), place + 5
        if size & _EXTENDED_SIZE:
            digits = size - _EXTENDED_SIZE
            size, start = int.from_bytes(block[start : start + digits], "big"), start + digits
        end = start + size
        if end > len(block):
            break
        yield record, data_set, block[start:end], block[place:end]
        place = end


def from_resources(resources: bytes) -> bytes:
    """Return the IPTC block in Photoshop's image resources, empty if there is none."""
    resources = resources[:_MAX_RESOURCES_BYTES]
    place = len(_RESOURCES_HEADER) if resources.startswith(_RESOURCES_HEADER) else 0
    while resources[place : place + 4] == b"8BIM":
        code = int.from_bytes(resources[place + 4 : place + 6], "big")
        name_size = resources[place + 6] if place + 6 < len(resources) else 0
        place += 6 + _round_up_to_even(1 + name_size)
        size = int.from_bytes(resources[place : place + 4], "big")
        if code == RESOURCE:
            return resources[place + 4 : place + 4 + size]
        place += 4 + _round_up_to_even(size)
    return b""


def as_resource(block: bytes) -> bytes:
    """Return an IPTC block as one of Photoshop's image resources."""
    size = len(block).to_bytes(4, "big")
    return b"8BIM" + RESOURCE.to_bytes(2, "big") + b"\x00\x00" + size + block + b"\x00" * (len(block) % 2)


def _round_up_to_even(size: int) -> int:
    return size + size % 2
