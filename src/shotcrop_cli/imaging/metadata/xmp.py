"""XMP packets: parsed with every door shut, and edited for a crop."""

from __future__ import annotations

import re

from lxml import etree

from shotcrop_cli.imaging.metadata.embedded_images import holds_picture

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}RDF"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_LARGEST = 4 << 20
"""Bytes of a packet that is looked at; those of cameras and editors have some 10,000 [O]."""

_OF_THE_WHOLE = re.compile(
    r"\{(http://ns\.google\.com/photos/"  # depth maps, embedded originals, panoramas, motion photos
    r"|http://ns\.adobe\.com/(hdr-gain-map|camera-raw-settings|xmp/note|xap/1\.0/g/img)/"
    r"|http://ns\.apple\.com/"  # gain maps and pixel data
    r"|http://ns\.microsoft\.com/photo/1\.[12]"  # regions of people
    r"|http://www\.metadataworkinggroup\.com/schemas/regions/"
    r"|http://iptc\.org/std/Iptc4xmpExt/2008-02-29/\}ImageRegion)"
)
"""Namespaces that tell of the whole photo, of places in it or of pictures behind it: false of a crop."""
_PREVIEW = re.compile(r"\}(thumbnails?|previews?)$", re.IGNORECASE)
_PLACE = re.compile(r"\}[^}]*(gps|latitude|longt?itude)|geo/wgs84_pos#\}", re.IGNORECASE)
"""Coordinates; names of cities and countries are editorial and stay. DJI spells it "longtitude"."""
_TURNED = f"{_TIFF}Orientation"
_WIDTHS = (f"{_TIFF}ImageWidth", f"{_EXIF}PixelXDimension")
_HEIGHTS = (f"{_TIFF}ImageLength", f"{_EXIF}PixelYDimension")

_HEAD = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_TAIL = b'\n<?xpacket end="w"?>'
"""The wrapper and its id are those of the XMP specification, part 1, section 7.3.2."""


def is_readable(packet: bytes) -> bool:
    """Tell whether a packet can be edited for crops."""
    return _parsed(packet) is not None


def has_gps(packet: bytes) -> bool:
    """Tell whether a packet holds coordinates."""
    return b"GPSLatitude" in packet


def of_crop(packet: bytes, width: int, height: int, *, places: bool) -> bytes:
    """Return the packet of a crop, empty when it cannot be read.

    Args:
        packet: The photo's packet.
        width: The crop's width in pixels, as written.
        height: Its height.
        places: Whether to keep coordinates.
    """
    root = _parsed(packet) if packet else None
    if root is None:
        return b""
    true = {_TURNED: "1", **dict.fromkeys(_WIDTHS, str(width)), **dict.fromkeys(_HEIGHTS, str(height))}
    for element in list(root.iter()):
        for name, value in element.attrib.items():
            if _is_dropped(name, value, places=places):
                del element.attrib[name]
            elif name in true:
                element.set(name, true[name])
        texts = (element.text or "", element.tail or "")
        parent = element.getparent()
        if parent is not None and any(_is_dropped(element.tag, text, places=places) for text in texts):
            parent.remove(element)
        elif element.tag in true:
            element.text = true[element.tag]
    return _HEAD + bytes(etree.tostring(root, encoding="utf-8", with_tail=False)) + _TAIL


def _parsed(packet: bytes) -> etree._Element | None:
    """Return the root, None when the packet is damaged, no XMP, or brings a document type, which XMP never has."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    packet = packet.strip(b"\x00 \t\r\n")
    if len(packet) > _LARGEST:
        return None
    try:
        root = etree.fromstring(packet, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    tree = root.getroottree()
    is_xmp = root.tag == _RDF or root.find(_RDF) is not None
    return root if is_xmp and not tree.docinfo.doctype else None


def _is_dropped(name: str, value: str, *, places: bool) -> bool:
    if _OF_THE_WHOLE.match(name) or _PREVIEW.search(name):
        return True
    return (not places and _PLACE.search(name) is not None) or holds_picture(value)
