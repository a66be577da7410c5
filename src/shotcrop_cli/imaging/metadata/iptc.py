"""IPTC-IIM blocks: captions, names and rights that picture desks write."""

from __future__ import annotations

from shotcrop_cli.imaging.metadata.embedded_images import holds_picture

RESOURCE = 0x0404
"""Where Photoshop keeps the block among its image resources."""
_MARK = 0x1C
_KEPT_RECORDS = (1, 2)
"""Envelope and application record; the others describe or hold the object, that is the whole photo."""
_PICTURES = (125, 200, 201, 202)
"""Data sets of record 2 that hold or describe a picture: a rasterised caption and the object's preview."""
_LONG = 0x8000
"""Set in the size of a data set whose real size follows."""

_LARGEST = 1 << 20
"""Bytes of a block that is looked at; those of agencies have some 5,000 [O]."""
_RESOURCES = b"Photoshop 3.0\x00"
_RESOURCES_READ = 16 << 20
"""Bytes of image resources that are searched, which hold layers and previews as well [O]."""
_MARKER_LIMIT = 65_500
"""Bytes of IPTC that one JPEG marker holds, less its headers (65,533 in all)."""


def without_pictures(block: bytes) -> bytes:
    """Return a block without previews, up to where it is damaged."""
    if len(block) > _LARGEST:
        return b""
    kept, place = [], 0
    while place + 5 <= len(block) and block[place] == _MARK:
        record, data_set = block[place + 1], block[place + 2]
        size, start = int.from_bytes(block[place + 3 : place + 5], "big"), place + 5
        if size & _LONG:
            digits = size - _LONG
            size, start = int.from_bytes(block[start : start + digits], "big"), start + digits
        end = start + size
        if end > len(block):
            break
        is_picture = record == 2 and data_set in _PICTURES
        if record in _KEPT_RECORDS and not is_picture and not holds_picture(block[start:end]):
            kept.append(block[place:end])
        place = end
    return b"".join(kept)


def from_resources(resources: bytes) -> bytes:
    """Return the block among Photoshop's image resources, empty when there is none."""
    resources = resources[:_RESOURCES_READ]
    place = len(_RESOURCES) if resources.startswith(_RESOURCES) else 0
    while resources[place : place + 4] == b"8BIM":
        code = int.from_bytes(resources[place + 4 : place + 6], "big")
        name_size = resources[place + 6] if place + 6 < len(resources) else 0
        place += 6 + _even(1 + name_size)
        size = int.from_bytes(resources[place : place + 4], "big")
        if code == RESOURCE:
            return resources[place + 4 : place + 4 + size]
        place += 4 + _even(size)
    return b""


def into_jpeg(content: bytes, block: bytes) -> bytes:
    """Return a JPEG file with a block behind its other application markers; a block that is too long is left out."""
    if not block or len(block) > _MARKER_LIMIT:
        return content
    padded = block + b"\x00" * (len(block) % 2)
    resource = b"8BIM" + RESOURCE.to_bytes(2, "big") + b"\x00\x00" + len(block).to_bytes(4, "big") + padded
    payload = _RESOURCES + resource
    place = 2
    while content[place] == 0xFF and 0xE0 <= content[place + 1] <= 0xEF:
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return content[:place] + b"\xff\xed" + (2 + len(payload)).to_bytes(2, "big") + payload + content[place:]


def _even(size: int) -> int:
    return size + size % 2
