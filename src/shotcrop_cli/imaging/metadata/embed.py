"""Write the texts of shotcrop into finished image files, without touching their pixels.

Only the places that hold XMP and IPTC change; all other bytes are copied. In JPEG and TIFF files, IPTC repeats the
description, the headline and the keywords for older programs.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from shotcrop_cli.imaging.metadata import avif_file, exif, iptc, xmp
from shotcrop_cli.imaging.metadata.own_texts import OwnTexts
from shotcrop_cli.imaging.metadata.xmp_caption import descriptions, merge_texts, recovered

_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
)
_LONG = 1000
"""Characters from which a caption in IPTC may be shortened."""
_STANDARD, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00"
_RESOURCES = b"Photoshop 3.0\x00"
_APP0, _APP1, _APP13, _SCAN = 0xE0, 0xE1, 0xED, 0xDA
_PAYLOAD_BYTES = 65_533
_PNG, _PNG_XMP = b"\x89PNG\r\n\x1a\n", b"XML:com.adobe.xmp\x00"
_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10
_XMP_TAG, _IPTC_TAG, _BYTE, _UNDEFINED = 700, 33723, 1, 7


@dataclass(frozen=True, slots=True)
class Embedded:
    """An image file with the texts of shotcrop.

    Args:
        content: The content of the file.
        note: Why it does not have the texts; empty if it has, or if somebody else's description is kept.
        keeps_caption: Whether somebody else's description is kept.
    """

    content: bytes
    note: str = ""
    keeps_caption: bool = False


def embed_texts(content: bytes, texts: OwnTexts, last: OwnTexts | None = None, *, force: bool = False) -> Embedded:
    """Put the texts of shotcrop into an image file.

    A description of somebody else is kept, be it in XMP, IPTC or EXIF. The caption then becomes the alternative text.

    Args:
        content: A JPEG, PNG, WebP, AVIF or TIFF file. Others stay as they are.
        texts: The new texts.
        last: The texts that shotcrop wrote into it before; None if it never did.
        force: Whether to replace a description that is not shotcrop's.
    """
    kind = _kind_of(content)
    if kind is None:
        return Embedded(content, "this format cannot take captions later")
    try:
        packet, block = kind.read(content)
        last = recovered(last, packet)
        ours = () if last is None else (last.description,)
        other = None if force else other_description(content, packet, block, (texts.description, *ours))
        if other is not None:
            alt_text = texts.alt_text or texts.description
            wanted = OwnTexts("", alt_text, texts.headline, texts.keywords, texts.language)
        else:
            wanted = texts
        merged = merge_texts(packet or _EMPTY, wanted, last, force=force)
        if merged.note and not merged.keeps_caption:
            return Embedded(content, merged.note)
        new_block = block
        if kind.has_iptc:
            new_block = iptc.with_texts(block, wanted, last, force=force)
        if merged.content == packet and new_block == block:
            return Embedded(content, keeps_caption=other is not None)
        return Embedded(kind.write(content, merged.content, new_block), keeps_caption=other is not None)
    except (ValueError, IndexError, struct.error) as error:
        return Embedded(content, f"the file is damaged: {error}")


def described_by_somebody(content: bytes, ours: tuple[str, ...]) -> bool:
    """Return whether an image file has a description that is none of ours.

    Args:
        content: The content of the file, of any format.
        ours: Captions that shotcrop wrote.
    """
    kind = _kind_of(content)
    try:
        packet, block = (b"", b"") if kind is None else kind.read(content)
    except (ValueError, IndexError, struct.error):
        packet, block = b"", b""
    return other_description(content, packet, block, ours) is not None


def other_description(content: bytes, packet: bytes, block: bytes, ours: tuple[str, ...]) -> str | None:
    """Return the description of an image file that is none of ours; None if there is none.

    Args:
        content: The content of the file, to look into its EXIF.
        packet: Its XMP.
        block: Its IPTC.
        ours: Captions that shotcrop wrote.
    """
    known = {*filter(None, ours)}
    in_xmp = descriptions(packet)
    if in_xmp and not known & set(in_xmp):
        return in_xmp[0]
    for text in (iptc.values(block).get(iptc.CAPTION, ""), _exif_description(content)):
        # IPTC holds only the beginning of a long caption.
        if text and text not in known and not any(own.startswith(text) for own in known if len(text) >= _LONG):
            return text
    return None


def _exif_description(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content)) as image:
            text = image.getexif().get(exif.DESCRIPTION, "")
    except Exception:  # Pillow raises many kinds for damaged files
        return ""
    text = text if isinstance(text, str) else ""
    with suppress(ValueError):  # Pillow reads these fields as Latin-1, and programs write UTF-8
        text = text.encode("latin-1").decode("utf-8")
    return "" if exif.is_camera_text(text) else text.strip("\x00 ")


class _Container:
    """Where a format keeps XMP and IPTC."""

    has_iptc = False

    def read(self, content: bytes) -> tuple[bytes, bytes]:
        """Return XMP and IPTC; each is empty if there is none.

        Raises:
            ValueError: The file is damaged.
        """
        raise NotImplementedError

    def write(self, content: bytes, packet: bytes, block: bytes) -> bytes:
        """Return the file with other XMP and IPTC."""
        raise NotImplementedError


class _Jpeg(_Container):
    has_iptc = True

    def read(self, content: bytes) -> tuple[bytes, bytes]:
        packet, resources, payloads = b"", b"", []
        for marker, start, end in _segments(content):
            payload = content[start + 4 : end]
            if marker == _APP1:
                payloads.append(payload)
                if payload.startswith(_STANDARD):
                    packet = packet or payload[len(_STANDARD) :]
            elif marker == _APP13 and payload.startswith(_RESOURCES):
                resources += payload[len(_RESOURCES) :]
        return xmp.from_jpeg(packet, payloads)[0], iptc.from_resources(resources)

    def write(self, content: bytes, packet: bytes, block: bytes) -> bytes:
        segments = list(_segments(content))
        resources = b"".join(
            content[start + 4 + len(_RESOURCES) : end] for start, end in _ranges(segments, content, _APP13, _RESOURCES)
        )
        has_new_block = iptc.from_resources(resources) != block
        kept, place = [content[:2]], 2
        after = 0
        for marker, start, end in segments:
            payload = content[start + 4 : end]
            is_xmp = marker == _APP1 and payload.startswith((_STANDARD, _EXTENSION))
            is_iptc = has_new_block and marker == _APP13 and payload.startswith(_RESOURCES)
            if not is_xmp and not is_iptc:
                kept.append(content[start:end])
                if marker in (_APP0, _APP1):
                    after = len(kept)
            place = end
        new = [_segment(_APP1, payload) for payload in xmp.jpeg_payloads(packet)]
        if has_new_block:
            new += _resource_segments(iptc.replaced_in_resources(resources, block))
        kept[after or 1 : after or 1] = new
        return b"".join(kept) + content[place:]


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment before the coded pixels.

    Raises:
        ValueError: The file is damaged.
    """
    place = 2
    while True:
        if content[place] != 0xFF:
            raise ValueError("a marker is missing")
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == _SCAN:
            return
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if end > len(content):
            raise ValueError("a segment is cut off")
        yield marker, place, end
        place = end


def _ranges(
    segments: list[tuple[int, int, int]], content: bytes, wanted: int, beginning: bytes
) -> Iterator[tuple[int, int]]:
    for marker, start, end in segments:
        if marker == wanted and content.startswith(beginning, start + 4):
            yield start, end


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (2 + len(payload)).to_bytes(2, "big") + payload


def _resource_segments(resources: bytes) -> list[bytes]:
    part = _PAYLOAD_BYTES - len(_RESOURCES)
    parts = (resources[place : place + part] for place in range(0, len(resources), part))
    return [_segment(_APP13, _RESOURCES + each) for each in parts]


class _Png(_Container):
    def read(self, content: bytes) -> tuple[bytes, bytes]:
        for name, start, end in _png_chunks(content):
            if name == b"iTXt" and content.startswith(_PNG_XMP, start + 8):
                _, _, rest = content[start + 8 : end - 4].partition(b"\x00")
                text = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
                return (zlib.decompress(text) if rest[:1] == b"\x01" else text), b""
        return b"", b""

    def write(self, content: bytes, packet: bytes, block: bytes) -> bytes:
        body = b"iTXt" + _PNG_XMP + b"\x00\x00\x00\x00" + packet
        new = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        parts, done = [_PNG], False
        for name, start, end in _png_chunks(content):
            if name == b"iTXt" and content.startswith(_PNG_XMP, start + 8):
                continue
            if name == b"IDAT" and not done:
                parts.append(new)
                done = True
            parts.append(content[start:end])
        return b"".join(parts)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk, its length and check sum included."""
    place = len(_PNG)
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if end > len(content):
            raise ValueError("a chunk is cut off")
        yield content[place + 4 : place + 8], place, end
        place = end


class _WebP(_Container):
    def read(self, content: bytes) -> tuple[bytes, bytes]:
        for name, start, end in _riff_chunks(content):
            if name == b"XMP ":
                return content[start:end], b""
        return b"", b""

    def write(self, content: bytes, packet: bytes, block: bytes) -> bytes:
        chunks = [(name, content[start:end]) for name, start, end in _riff_chunks(content) if name != b"XMP "]
        if chunks[0][0] != b"VP8X":
            with Image.open(io.BytesIO(content)) as image:
                flags = _ALPHA_FLAG if image.mode == "RGBA" else 0
                sides = (side.to_bytes(3, "little") for side in (image.width - 1, image.height - 1))
                chunks.insert(0, (b"VP8X", bytes((flags, 0, 0, 0)) + b"".join(sides)))
        header = chunks[0][1]
        chunks[0] = b"VP8X", bytes((header[0] | _XMP_FLAG,)) + header[1:]
        chunks.append((b"XMP ", packet))
        body = b"WEBP" + b"".join(
            name + struct.pack("<I", len(data)) + data + b"\x00" * (len(data) % 2) for name, data in chunks
        )
        return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of the data of each chunk."""
    place = 12
    while place + 8 <= len(content):
        start = place + 8
        end = start + int.from_bytes(content[place + 4 : start], "little")
        if end > len(content):
            raise ValueError("a chunk is cut off")
        yield content[place : place + 4], start, end
        place = end + (end - start) % 2


class _Tiff(_Container):
    has_iptc = True

    def read(self, content: bytes) -> tuple[bytes, bytes]:
        rows, order, _ = _directory(content)
        found = {}
        for tag in (_XMP_TAG, _IPTC_TAG):
            if tag not in rows:
                found[tag] = b""
                continue
            kind, count, offset = struct.unpack(f"{order}HII", rows[tag][2:])
            size = count * (4 if kind in (4, 9) else 1)
            place = offset
            found[tag] = content[place : place + size] if size > 4 else rows[tag][8 : 8 + size]
        return found[_XMP_TAG], iptc.without_padding(found[_IPTC_TAG])

    def write(self, content: bytes, packet: bytes, block: bytes) -> bytes:
        rows, order, following = _directory(content)
        content += b"\x00" * (len(content) % 2)
        for tag, kind, value in ((_XMP_TAG, _BYTE, packet), (_IPTC_TAG, _UNDEFINED, block)):
            if len(value) > 4:
                rows[tag] = struct.pack(f"{order}HHII", tag, kind, len(value), len(content))
                content += value + b"\x00" * (len(value) % 2)
        directory = b"".join(rows[tag] for tag in sorted(rows))
        start = struct.pack(f"{order}I", len(content))
        return content[:4] + start + content[8:] + struct.pack(f"{order}H", len(rows)) + directory + following


class _Avif(_Container):
    def read(self, content: bytes) -> tuple[bytes, bytes]:
        return avif_file.read_xmp(content), b""

    def write(self, content: bytes, packet: bytes, block: bytes) -> bytes:
        return avif_file.with_xmp(content, packet)


def _directory(content: bytes) -> tuple[dict[int, bytes], str, bytes]:
    """Return the rows of the first directory by tag, the byte order, and the offset of the next directory as stored."""
    order = "<" if content[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    end = start + 2 + 12 * count
    if end + 4 > len(content):
        raise ValueError("the directory is cut off")
    rows = {}
    for place in range(start + 2, end, 12):
        rows[struct.unpack_from(f"{order}H", content, place)[0]] = content[place : place + 12]
    return rows, order, content[end : end + 4]


def _kind_of(content: bytes) -> _Container | None:
    if content.startswith(b"\xff\xd8\xff"):
        return _Jpeg()
    if content.startswith(_PNG):
        return _Png()
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _WebP()
    if avif_file.is_avif_image(content):
        return _Avif()
    return _Tiff() if content[:4] in (b"II*\x00", b"MM\x00*") else None
