"""The markers in which a JPEG stores metadata. What is too long for one is split by its standard, or left out."""

from __future__ import annotations

from shotcrop_cli.imaging.metadata import iptc, resolution, xmp
from shotcrop_cli.imaging.metadata.exif import for_jpeg
from shotcrop_cli.imaging.metadata.policy import COMMENT, Metadata

_RESOURCES_HEADER = b"Photoshop 3.0\x00"
_APP0, _APP1, _APP13, _COMMENT = 0xE0, 0xE1, 0xED, 0xFE
_PAYLOAD_BYTES = 65_533
"""Bytes after the size field of a marker. Source: ITU-T T.81, section B.1.1.4."""


def insert(content: bytes, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """Return a JPEG file with metadata, and one sentence for each part that it cannot hold.

    Args:
        content: A JPEG file without metadata.
        metadata: What to store.
    """
    payloads, notes = _payloads(metadata)
    markers = b"".join(
        bytes((0xFF, marker)) + (2 + len(payload)).to_bytes(2, "big") + payload for marker, payload in payloads
    )
    place = 4 + int.from_bytes(content[4:6], "big") if content[3] == _APP0 else 2
    head = resolution.insert_into_jpeg(content[:place], metadata.resolution)
    return b"".join((head, markers, memoryview(content)[place:])), tuple(notes)


def _payloads(metadata: Metadata) -> tuple[list[tuple[int, bytes]], list[str]]:
    """Return marker and payload of each part that fits, and a sentence for each that does not."""
    parts: list[tuple[int, bytes]] = []
    notes: list[str] = []

    def add(name: str, marker: int, payload: bytes) -> None:
        if len(payload) <= _PAYLOAD_BYTES:
            parts.append((marker, payload))
        else:
            notes.append(f"{name} of {len(payload):,} bytes was left out: a JPEG holds {_PAYLOAD_BYTES:,}")

    if metadata.exif:
        block, left_out = for_jpeg(metadata.exif, _PAYLOAD_BYTES)
        parts.append((_APP1, block))
        if left_out:
            notes.append(f"EXIF entries of {left_out:,} bytes were left out: a JPEG holds {_PAYLOAD_BYTES:,}")
    if metadata.xmp:
        first, *others = xmp.jpeg_payloads(metadata.xmp)
        fits = len(first) <= _PAYLOAD_BYTES
        add("XMP", _APP1, first)
        parts += [(_APP1, payload) for payload in others if fits]
    if metadata.iptc:
        add("IPTC", _APP13, _RESOURCES_HEADER + iptc.as_resource(metadata.iptc))
    for comment in metadata.comments:
        if comment.keyword == COMMENT:
            add("a comment", _COMMENT, comment.text.encode("utf-8", "replace"))
    if named := [comment.keyword for comment in metadata.comments if comment.keyword != COMMENT]:
        notes.append(f"the texts {', '.join(named)} were left out: a JPEG has no place for them")
    return parts, notes
