"""IPTC-IIM blocks: captions, names and rights that photo agencies write."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from shotcrop_cli.imaging.metadata import xmp_names
from shotcrop_cli.imaging.metadata.embedded_images import contains_image
from shotcrop_cli.imaging.metadata.own_texts import OwnTexts

RESOURCE = 0x0404
"""Number of the IPTC block among Photoshop's image resources."""
_DIGEST = 0x0425
"""Number of the check sum of the IPTC block, by which Adobe's programs see that others changed it."""
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

CAPTION, HEADLINE, KEYWORD = 120, 105, 25
"""Numbers of data sets in the application record."""
_LONGEST = {CAPTION: 2000, HEADLINE: 256, KEYWORD: 64}
"""Bytes of the longest value. Source: IPTC-IIM 4.2."""
_CHARACTER_SET, _UTF8, _VERSION = (1, 90), b"\x1b%G", (2, 0)

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


def with_texts(block: bytes, texts: OwnTexts, last: OwnTexts | None = None, *, force: bool = False) -> bytes:
    """Return a block with the texts of shotcrop, without those that somebody else wrote, changed or removed.

    Args:
        block: The block; empty for none.
        texts: The new texts.
        last: The texts that shotcrop wrote into it before; None if it never did.
        force: Whether to replace a caption that is not shotcrop's.
    """
    sets = [(record, number, value) for record, number, value, _ in _data_sets(block)]
    decoded = "utf-8" if (*_CHARACTER_SET, _UTF8) in sets or _decodes(sets) else "latin-1"
    before = last or OwnTexts()
    new: dict[int, list[str]] = {}
    scalars = ((CAPTION, texts.description, before.description), (HEADLINE, texts.headline, before.headline))
    for number, text, old in scalars:
        found = _found(sets, number, decoded)
        text, old = _shortened(text, number), _shortened(old, number)
        is_ours = not found or found == [old] or (force and number == CAPTION)
        was_removed = not found and last is not None and text == old
        if is_ours and not was_removed and found != [text] and (text or found):
            new[number] = [text] if text else []
    keywords = _found(sets, KEYWORD, decoded)
    wanted = [keyword for keyword in texts.keywords if len(keyword.encode()) <= _LONGEST[KEYWORD]]
    kept = [keyword for keyword in keywords if keyword in wanted or keyword not in before.keywords]
    kept += [keyword for keyword in wanted if keyword not in keywords and keyword not in before.keywords]
    if kept != keywords:
        new[KEYWORD] = kept
    if not new:
        return block
    return _written(sets, new, decoded) or block


def _found(sets: list[tuple[int, int, bytes]], number: int, encoding: str) -> list[str]:
    return [value.decode(encoding, "replace") for record, each, value in sets if (record, each) == (2, number)]


def _decodes(sets: list[tuple[int, int, bytes]]) -> bool:
    try:
        b"\n".join(value for *_, value in sets).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _shortened(text: str, number: int) -> str:
    return text.encode()[: _LONGEST[number]].decode("utf-8", "ignore")


def _written(sets: list[tuple[int, int, bytes]], new: dict[int, list[str]], encoding: str) -> bytes:
    """Write a block with other values; empty if its character set cannot hold them."""
    values = [each for each in sets if not (each[0] == _APPLICATION_RECORD and each[1] in new)]
    values = [each for each in values if each[:2] != _VERSION]
    try:
        added = [(2, number, text.encode(encoding)) for number, texts in new.items() for text in texts]
    except UnicodeEncodeError:
        return b""
    if encoding == "utf-8":
        values = [(*_CHARACTER_SET, _UTF8), *(each for each in values if each[:2] != _CHARACTER_SET)]
    values = [*values, *added]
    if any(record == _APPLICATION_RECORD for record, *_ in values):
        values.append((*_VERSION, b"\x00\x04"))
    values.sort(key=lambda each: (each[0], each[1] if each[:2] in (_VERSION, _CHARACTER_SET) else 256))
    return b"".join(_stored(*each) for each in values)


def _stored(record: int, number: int, value: bytes) -> bytes:
    size = len(value)
    head = bytes((_TAG_MARKER, record, number))
    if size < _EXTENDED_SIZE:
        return head + size.to_bytes(2, "big") + value
    return head + (_EXTENDED_SIZE + 4).to_bytes(2, "big") + size.to_bytes(4, "big") + value


def replaced_in_resources(resources: bytes, block: bytes) -> bytes:
    """Return Photoshop's image resources with another IPTC block, and with its check sum if they have one.

    Args:
        resources: The resources without their header, which may lack an IPTC block.
        block: The new block.
    """
    kept, place = [], 0
    while resources[place : place + 4] == b"8BIM":
        code, start = int.from_bytes(resources[place + 4 : place + 6], "big"), place
        name_size = resources[place + 6]
        place += 6 + _round_up_to_even(1 + name_size)
        size = int.from_bytes(resources[place : place + 4], "big")
        place += 4 + _round_up_to_even(size)
        if code == _DIGEST:
            digest = hashlib.md5(block, usedforsecurity=False).digest()
            kept.append(resources[start : place - len(digest)] + digest if size == len(digest) else b"")
        elif code != RESOURCE:
            kept.append(resources[start:place])
    return b"".join([as_resource(block) if block else b"", *kept])


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
