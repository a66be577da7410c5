"""XMP packets: read them, edit a photo's packet for its crops, and write one with a caption.

The parser is safe with hostile packets: it resolves no entities, loads no document types and opens no connections.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape

from lxml import etree

from shotcrop_cli.imaging.metadata import xmp_names
from shotcrop_cli.imaging.metadata.embedded_images import contains_image

_RDF_SPACE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RDF, _DESCRIPTION, _ABOUT, _LI = (f"{{{_RDF_SPACE}}}{name}" for name in ("RDF", "Description", "about", "li"))
_PARSE_TYPE = f"{{{_RDF_SPACE}}}parseType"
_MM_SPACE, _REF_SPACE = "http://ns.adobe.com/xap/1.0/mm/", "http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
_NOTE_SPACE = "http://ns.adobe.com/xmp/note/"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_MAX_PACKET_BYTES = 4 << 20
"""Longer packets are not parsed. Packets of cameras and editors have about 10,000 bytes; the limit is our choice."""

_ORIENTATION = f"{_TIFF}Orientation"
_STORED_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
"""Where Pillow's `exif_transpose` finds an orientation. Both have to agree, as the boxes of sidecars depend on it."""
_WIDTHS = (f"{_TIFF}ImageWidth", f"{_EXIF}PixelXDimension")
_HEIGHTS = (f"{_TIFF}ImageLength", f"{_EXIF}PixelYDimension")
_SOURCE_IDS = ("InstanceID", "DocumentID", "OriginalDocumentID")
"""What a crop says about the photo that it is derived from. Source: XMP specification, part 2, section 2.2."""

_WRAPPER_BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_WRAPPER_END = b'\n<?xpacket end="w"?>'
"""The wrapper and its id. Source: XMP specification, part 1, section 7.3.2."""
_STANDARD, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00"
_HAS_EXTENDED = f"{{{_NOTE_SPACE}}}HasExtendedXMP"
_GUID = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")
_GUID_BYTES = 32
_MAX_STANDARD_BYTES, _MAX_PART_BYTES = 65_502, 65_400
"""The longest packet in one JPEG marker, and the longest part of a longer one. Source: XMP specification, part 3,
section 1.1.3.1."""
_RESERVED_BYTES = 200
"""For the entry that points to the other parts."""
_CAPTION_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
      <dc:description>
        <rdf:Alt>
          <rdf:li xml:lang="x-default">{caption}</rdf:li>
        </rdf:Alt>
      </dc:description>
    </rdf:Description>
  </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
OWN_CROP = b"urn:shotcrop:crop/"
"""Namespace that only crops by shotcrop have in their XMP. They have it as plain text, whatever the file format."""
_OWN_CROP_NAME = f"{{{OWN_CROP.decode()}}}By"
_NO_PACKET = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF_SPACE}"/></x:xmpmeta>'.encode()
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


def is_readable(packet: bytes) -> bool:
    """Return whether a packet can be edited for crops."""
    return parse(packet) is not None


def orientation(packet: bytes) -> int | None:
    """Return the orientation of the stored pixels, 1 to 8; None if it is absent or invalid."""
    found = _STORED_ORIENTATION.search(packet)
    number = 0 if found is None else int(found[1])
    return number if 1 <= number <= 8 else None


def has_position(packet: bytes) -> bool:
    """Return whether a packet says where the photo was taken, in coordinates."""
    root = parse(packet) if packet else None
    if root is None:
        return b"GPSLatitude" in packet
    return any(
        xmp_names.facts(name).is_position or xmp_names.has_coordinates(value)
        for element in root.iter()
        for name, value in ((element.tag, element.text or ""), *element.attrib.items())
    )


def values(packet: bytes) -> dict[str, str]:
    """Return the texts of a packet by `{namespace}name`: of each list only the first one, and nothing of structures."""
    root = parse(packet) if packet else None
    found: dict[str, str] = {}
    for description in () if root is None else root.iter(_DESCRIPTION):
        if description.getparent().tag != _RDF:
            continue
        for name, value in description.attrib.items():
            found.setdefault(name, value.strip())
        for element in description:
            inner = element if len(element) == 0 else element.find(f"*/{_LI}")
            if inner is not None and len(inner) == 0:
                found.setdefault(element.tag, (inner.text or "").strip())
    return found


def for_crop(packet: bytes, width: int, height: int, *, keep_gps: bool) -> tuple[bytes, tuple[str, ...]]:
    """Return the packet for a crop, empty if the photo's packet cannot be read, and what a user should know of it.

    Args:
        packet: The photo's packet.
        width: Width of the written crop in pixels.
        height: Its height in pixels.
        keep_gps: Whether to keep what the policy `all` keeps: coordinates, serial numbers, and what is unknown.
    """
    root = parse(packet) if packet else None
    if root is None:
        return b"", ()
    source_ids = _source_ids(root)
    unknown = set() if keep_gps else _remove_unknown(root)
    new_values = {
        **dict.fromkeys((_ABOUT, "about"), ""),  # some programs put a unique id there
        _ORIENTATION: "1",
        **dict.fromkeys(_WIDTHS, str(width)),
        **dict.fromkeys(_HEIGHTS, str(height)),
    }
    for element in list(root.iter()):
        for name, value in element.attrib.items():
            if _is_dropped(name, value, keep_gps=keep_gps):
                del element.attrib[name]
            elif name in new_values:
                element.set(name, new_values[name])
        texts = (element.text or "", element.tail or "")
        parent = element.getparent()
        if parent is not None and any(_is_dropped(element.tag, text, keep_gps=keep_gps) for text in texts):
            parent.remove(element)
        elif element.tag in new_values:
            element.text = new_values[element.tag]
    _remove_regions(root)
    if source_ids:
        _add_derived_from(root, source_ids)
    etree.cleanup_namespaces(root)
    notes = (_unknown_note(unknown),) if unknown else ()
    return _wrapped(root), notes


def mark_as_crop(packet: bytes) -> bytes:
    """Return a packet that says that shotcrop made the crop, so that later runs do not crop it again.

    Args:
        packet: What `for_crop` returned; empty for a photo without a packet.
    """
    return _marked(packet) if packet else _only_mark()


@lru_cache(maxsize=1)
def _only_mark() -> bytes:
    return _marked(_NO_PACKET)


def _marked(packet: bytes) -> bytes:
    root = parse(packet)
    if root is None:
        return packet
    rdf = root if root.tag == _RDF else root.find(_RDF)
    assert rdf is not None  # by `parse`
    if any(description.get(_OWN_CROP_NAME) for description in rdf):
        return packet
    description = etree.SubElement(rdf, _DESCRIPTION, nsmap={"shotcrop": OWN_CROP.decode()})
    description.set(_ABOUT, "")
    description.set(_OWN_CROP_NAME, "shotcrop")
    return _wrapped(root)


def caption_packet(caption: str) -> bytes:
    """Return an XMP packet whose `dc:description` is a caption, for an XMP file next to the crop.

    Args:
        caption: What the crop shows. Characters that XML cannot hold are left out.
    """
    return _CAPTION_PACKET.format(caption=escape(without_control_characters(caption), quote=False)).encode("utf-8")


def without_control_characters(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _NOT_XML.sub("", text)


def from_jpeg(packet: bytes, payloads: Iterable[bytes]) -> tuple[bytes, tuple[str, ...]]:
    """Return the whole packet of a JPEG whose packet did not fit into one marker, and what could not be read.

    Args:
        packet: The packet in the first marker.
        payloads: The payloads of all its APP1 markers.
    """
    guid = _GUID.search(packet)
    if guid is None:
        return packet, ()
    total, parts = 0, dict[int, bytes]()
    start = len(_EXTENSION) + _GUID_BYTES
    for payload in payloads:
        if payload.startswith(_EXTENSION + guid[1]):
            total = int.from_bytes(payload[start : start + 4], "big")
            parts[int.from_bytes(payload[start + 4 : start + 8], "big")] = payload[start + 8 :]
    extended = b"".join(parts[offset] for offset in sorted(parts))
    if len(extended) > _MAX_PACKET_BYTES:
        return packet, (f"a part of the XMP is larger than {_MAX_PACKET_BYTES >> 20} MiB and was left out",)
    root, more = parse(packet), parse(extended) if len(extended) == total else None
    if root is None or more is None:
        return packet, ("a part of the XMP is damaged or missing and was left out",)
    _rdf(root).extend(_rdf(more))
    return _wrapped(root), ()


def jpeg_payloads(packet: bytes) -> list[bytes]:
    """Return the payloads of the JPEG markers that hold a packet: one, or more if the packet is too long.

    The longest properties go to the further markers, so that programs which read only the first one find most.

    Args:
        packet: A packet that `is_readable`.
    """
    root = None if len(packet) <= _MAX_STANDARD_BYTES else parse(packet)
    if root is None:
        return [_STANDARD + packet]
    more = etree.Element(_RDF, nsmap={"rdf": _RDF_SPACE})
    described = etree.SubElement(more, _DESCRIPTION, {_ABOUT: ""})
    size = len(packet)
    for _, element in sorted(_properties(root), key=lambda item: -item[0]):
        if size <= _MAX_STANDARD_BYTES - _RESERVED_BYTES:
            break
        described.append(element)
        size = len(_wrapped(root))
    extended = bytes(etree.tostring(more, encoding="utf-8"))
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
    pointer = etree.SubElement(_rdf(root), _DESCRIPTION, {_ABOUT: ""}, nsmap={"xmpNote": _NOTE_SPACE})
    pointer.set(_HAS_EXTENDED, guid)
    head = _EXTENSION + guid.encode() + len(extended).to_bytes(4, "big")
    parts = range(0, len(extended), _MAX_PART_BYTES)
    return [
        _STANDARD + _wrapped(root),
        *(head + offset.to_bytes(4, "big") + extended[offset : offset + _MAX_PART_BYTES] for offset in parts),
    ]


def _properties(root: etree._Element) -> Iterator[tuple[int, etree._Element]]:
    """Yield size and element of each property. Those written as attributes become elements first."""
    for description in _rdf(root):
        for name, value in description.attrib.items():
            if xmp_names.namespace(name) not in (_RDF_SPACE, ""):
                etree.SubElement(description, name).text = value
                del description.attrib[name]
        for element in description:
            yield len(etree.tostring(element, encoding="utf-8")), element


def parse(packet: bytes) -> etree._Element | None:
    """Return the root; None if the packet is damaged, is not XMP, or has a document type, which XMP never has."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    packet = packet.strip(b"\x00 \t\r\n")
    if len(packet) > _MAX_PACKET_BYTES:
        return None
    try:
        root = etree.fromstring(packet, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    tree = root.getroottree()
    is_xmp = root.tag == _RDF or root.find(_RDF) is not None
    return root if is_xmp and not tree.docinfo.doctype else None


def _rdf(root: etree._Element) -> etree._Element:
    found = root if root.tag == _RDF else root.find(_RDF)
    assert found is not None  # `parse` returns no other packets
    return found


def _wrapped(root: etree._Element) -> bytes:
    return _WRAPPER_BEGIN + bytes(etree.tostring(root, encoding="utf-8", with_tail=False)) + _WRAPPER_END


def _is_dropped(name: str, value: str, *, keep_gps: bool) -> bool:
    facts = xmp_names.facts(name)
    if facts.is_about_the_file or xmp_names.is_tracking(value) or contains_image(value):
        return True
    return not keep_gps and (facts.is_place or facts.is_serial_number or xmp_names.has_coordinates(value))


def _remove_unknown(root: etree._Element) -> set[str]:
    """Remove what is of namespaces that shotcrop does not know, and return them."""
    unknown: set[str] = set()
    for element in list(root.iter()):
        names = [name for name in element.attrib if not xmp_names.facts(name).is_known]
        for name in names:
            del element.attrib[name]
        parent = element.getparent()
        if parent is not None and not xmp_names.facts(element.tag).is_known:
            parent.remove(element)
            names.append(element.tag)
        unknown |= set(map(xmp_names.namespace, names))
    return unknown


def _unknown_note(unknown: set[str]) -> str:
    first, *others = sorted(unknown)
    more = f" and {len(others)} more" if others else ""
    return f"XMP of {first}{more} was left out, because it may not be true of a crop: --metadata all keeps it"


def _remove_regions(root: etree._Element) -> None:
    """Remove each property that has a region of the photo inside, of whatever program."""
    for description in _rdf(root):
        for element in list(description):
            inside = element.iter()
            if any(xmp_names.is_region([*part.attrib, *(child.tag for child in part)]) for part in inside):
                description.remove(element)


def _source_ids(root: etree._Element) -> dict[str, str]:
    """Return the ids of the photo by their names in a reference to it."""
    found: dict[str, str] = {}
    for description in _rdf(root):
        for name in _SOURCE_IDS:
            full = f"{{{_MM_SPACE}}}{name}"
            if value := (description.get(full) or description.findtext(full) or "").strip():
                found.setdefault(name[0].lower() + name[1:], value)
    return {name: value for name, value in found.items() if not contains_image(value)}


def _add_derived_from(root: etree._Element, source_ids: dict[str, str]) -> None:
    spaces = {"xmpMM": _MM_SPACE, "stRef": _REF_SPACE}
    description = etree.SubElement(_rdf(root), _DESCRIPTION, {_ABOUT: ""}, nsmap=spaces)
    derived = etree.SubElement(description, f"{{{_MM_SPACE}}}DerivedFrom", {_PARSE_TYPE: "Resource"})
    for name, value in source_ids.items():
        etree.SubElement(derived, f"{{{_REF_SPACE}}}{name}").text = value
