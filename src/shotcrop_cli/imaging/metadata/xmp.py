"""XMP packets: edit a photo's packet for its crops, and write one with a caption.

The parser is safe with hostile packets: it resolves no entities, loads no document types and opens no connections.
"""

from __future__ import annotations

import re
from html import escape

from lxml import etree

from shotcrop_cli.imaging.metadata.embedded_images import contains_image

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}RDF"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_MAX_PACKET_BYTES = 4 << 20
"""Longer packets are not parsed. Packets of cameras and editors have about 10,000 bytes; the limit is our choice."""

_WHOLE_PHOTO_ONLY = re.compile(
    r"\{(http://ns\.google\.com/photos/"  # depth maps, embedded originals, panoramas, motion photos
    r"|http://ns\.adobe\.com/(hdr-gain-map|camera-raw-settings|xmp/note|xap/1\.0/g/img)/"
    r"|http://ns\.apple\.com/"  # gain maps and pixel data
    r"|http://ns\.microsoft\.com/photo/1\.[12]"  # regions of people
    r"|http://www\.metadataworkinggroup\.com/schemas/regions/"
    r"|http://iptc\.org/std/Iptc4xmpExt/2008-02-29/\}ImageRegion)"
)
"""Names that describe the whole photo, regions in it or other images in the file. They are wrong for a crop."""
_PREVIEW = re.compile(r"\}(thumbnails?|previews?)$", re.IGNORECASE)
_COORDINATES = re.compile(r"\}[^}]*(gps|latitude|longt?itude)|geo/wgs84_pos#\}", re.IGNORECASE)
"""Names of GPS coordinates. Names of cities and countries are editorial and stay. DJI spells it "longtitude"."""
_ORIENTATION = f"{_TIFF}Orientation"
_WIDTHS = (f"{_TIFF}ImageWidth", f"{_EXIF}PixelXDimension")
_HEIGHTS = (f"{_TIFF}ImageLength", f"{_EXIF}PixelYDimension")

_WRAPPER_BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_WRAPPER_END = b'\n<?xpacket end="w"?>'
"""The wrapper and its id. Source: XMP specification, part 1, section 7.3.2."""
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
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


def is_readable(packet: bytes) -> bool:
    """Return whether a packet can be edited for crops."""
    return _parse(packet) is not None


def has_gps(packet: bytes) -> bool:
    """Return whether a packet holds GPS coordinates."""
    return b"GPSLatitude" in packet


def for_crop(packet: bytes, width: int, height: int, *, keep_gps: bool) -> bytes:
    """Return the packet for a crop, empty if the photo's packet cannot be read.

    Args:
        packet: The photo's packet.
        width: Width of the written crop in pixels.
        height: Its height in pixels.
        keep_gps: Whether to keep GPS coordinates.
    """
    root = _parse(packet) if packet else None
    if root is None:
        return b""
    new_values = {_ORIENTATION: "1", **dict.fromkeys(_WIDTHS, str(width)), **dict.fromkeys(_HEIGHTS, str(height))}
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
    return _WRAPPER_BEGIN + bytes(etree.tostring(root, encoding="utf-8", with_tail=False)) + _WRAPPER_END


def caption_packet(caption: str) -> bytes:
    """Return an XMP packet whose `dc:description` is a caption, for an XMP file next to the crop.

    Args:
        caption: What the crop shows. Characters that XML cannot hold are left out.
    """
    return _CAPTION_PACKET.format(caption=escape(_NOT_XML.sub("", caption), quote=False)).encode("utf-8")


def _parse(packet: bytes) -> etree._Element | None:
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


def _is_dropped(name: str, value: str, *, keep_gps: bool) -> bool:
    if _WHOLE_PHOTO_ONLY.match(name) or _PREVIEW.search(name):
        return True
    return (not keep_gps and _COORDINATES.search(name) is not None) or contains_image(value)
