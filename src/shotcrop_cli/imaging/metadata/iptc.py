"""IPTC-IIM blocks: captions, names and rights that photo agencies write."""

from __future__ import annotations

from shotcrop_cli.imaging.metadata.embedded_images import contains_image

RESOURCE = 0x0404
"""Number of the IPTC block among Photoshop's image resources."""
_TAG_MARKER = 0x1C
_KEPT_RECORDS = (1, 2)
"""Envelope and application record. The other records describe or hold the object, which is the whole photo."""
_IMAGE_DATA_SETS = (125, 200, 201, 202)
"""Data sets of record 2 that hold or describe an image: a rasterised caption and the object's preview."""
_EXTENDED_SIZE = 0x8000
"""Bit in the size field that says: the real size follows."""

_MAX_BLOCK_BYTES = 1 << 20
"""Longer blocks are dropped. Blocks of agencies have about 5,000 bytes; the limit is our choice."""
_RESOURCES_HEADER = b"Photoshop 3.0\x00"
_MAX_RESOURCES_BYTES = 16 << 20
"""Only these first bytes of image resources are searched (our choice): they also hold layers and previews."""
_MARKER_LIMIT = 65_500
"""Largest block in bytes for one JPEG marker, which holds 65,533 bytes with its headers."""


def without_images(block: bytes) -> bytes:
    """Return a block without images. A damaged block is kept up to the damage."""
    if len(block) > _MAX_BLOCK_BYTES:
        return b""
    kept, place = [], 0
    while place + 5 <= len(block) and block[place] == _TAG_MARKER:
        record, data_set = block[place + 1], block[place + 2]
        size, start = int.from_bytes(block[place + 3 : place + 5], "big"), place + 5
        if size & _EXTENDED_SIZE:
            digits = size - _EXTENDED_SIZE
            size, start = int.from_bytes(block[start : start + digits], "big"), start + digits
        end = start + size
        if end > len(block):
            break
        is_image = record == 2 and data_set in _IMAGE_DATA_SETS
        if record in _KEPT_RECORDS and not is_image and not contains_image(block[start:end]):
            kept.append(block[place:end])
        place = end
    return b"".join(kept)


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


def insert_into_jpeg(content: bytes, block: bytes) -> bytes:
    """Return a JPEG file with a block after its other application markers. A block that is too long is left out."""
    if not block or len(block) > _MARKER_LIMIT:
        return content
    padded = block + b"\x00" * (len(block) % 2)
    resource = b"8BIM" + RESOURCE.to_bytes(2, "big") + b"\x00\x00" + len(block).to_bytes(4, "big") + padded
    payload = _RESOURCES_HEADER + resource
    place = 2
    while content[place] == 0xFF and 0xE0 <= content[place + 1] <= 0xEF:
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return content[:place] + b"\xff\xed" + (2 + len(payload)).to_bytes(2, "big") + payload + content[place:]


def _round_up_to_even(size: int) -> int:
    return size + size % 2
