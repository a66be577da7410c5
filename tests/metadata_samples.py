"""IPTC blocks and XMP packets as cameras, editors and photo agencies write them."""

from __future__ import annotations

NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "exifEX": "http://cipa.jp/exif/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "stRef": "http://ns.adobe.com/xap/1.0/sType/ResourceRef#",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "drone-dji": "http://www.dji.com/drone-dji/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}


def packet(body: str = "", attributes: str = "") -> bytes:
    """Return a packet as cameras and editors write it, padding included."""
    spaces = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in NAMESPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta {spaces}><rdf:RDF><rdf:Description rdf:about="" {attributes}>'
        f"{body}</rdf:Description></rdf:RDF></x:xmpmeta>\n" + 40 * " " + '\n<?xpacket end="w"?>\x00\x00'
    ).encode()


def data_set(record: int, number: int, value: bytes) -> bytes:
    """Return one IPTC-IIM data set, with an extended size field if it needs one."""
    size = len(value).to_bytes(2, "big") if len(value) < 0x8000 else b"\x80\x04" + len(value).to_bytes(4, "big")
    return bytes((0x1C, record, number)) + size + value


CITY = data_set(2, 90, b"Zurich")
CAPTION = data_set(2, 120, "Ana am Fluss, ein Gruß".encode())
UTF8 = data_set(1, 90, b"\x1b%G")
KEPT = UTF8 + CITY + CAPTION


def resources(*blocks: tuple[int, bytes]) -> bytes:
    """Return Photoshop image resources as a JPEG's APP13 marker holds them."""
    stored = b"Photoshop 3.0\x00"
    for code, block in blocks:
        stored += b"8BIM" + code.to_bytes(2, "big") + b"\x00\x00" + len(block).to_bytes(4, "big")
        stored += block + b"\x00" * (len(block) % 2)
    return stored
