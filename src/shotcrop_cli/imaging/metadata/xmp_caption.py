"""Change the caption in an XMP file that other programs have changed, and nothing else in it."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from shotcrop_cli.imaging.metadata.xmp import caption_packet

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_DEFAULT = "x-default"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MAX_BYTES = 64 << 20
"""Larger files are left alone. Edit histories of raw developers may have some megabytes; the limit is our choice."""


@dataclass(frozen=True, slots=True)
class MergedCaption:
    """An XMP file with a caption.

    Args:
        content: The whole file.
        note: Why it does not have the caption that was asked for; empty if it has.
        keeps_caption: Whether the reason is that somebody changed the caption in the file.
    """

    content: bytes
    note: str = ""
    keeps_caption: bool = False


def merge_caption(existing: bytes, caption: str, last: str | None, *, force: bool = False) -> MergedCaption:
    """Put a caption into an XMP file and keep everything that other programs wrote.

    A caption that somebody changed in the file is kept, too. If nothing has to change, the content stays equal byte for
    byte.

    Args:
        existing: Content of the file.
        caption: The new caption.
        last: The caption that shotcrop wrote into the file before; None if it never did.
        force: Whether to replace a caption that somebody changed.
    """
    packet = caption_packet(caption)
    if last is not None and existing == caption_packet(last):
        return MergedCaption(packet)  # as shotcrop wrote it
    root = _parse(existing)
    rdf = None if root is None else root if root.tag == f"{_RDF}RDF" else root.find(f"{_RDF}RDF")
    if root is None or rdf is None:
        return MergedCaption(existing, "it cannot be read as XMP")
    found = _texts(rdf)
    wanted = _text_of(packet)
    if any(text == wanted for text in found):
        return MergedCaption(existing)
    if not found:
        if last is not None and caption == last and not force:
            return MergedCaption(existing)  # somebody removed it
    elif not force and (last is None or _text_of(caption_packet(last)) not in found):
        return MergedCaption(existing, "it has a caption of its own", keeps_caption=True)
    _set(rdf, wanted)
    return MergedCaption(_serialise(root, existing))


def _parse(content: bytes) -> etree._Element | None:
    """Return the root; None if it is not XML, or has a document type, which XMP never has."""
    if len(content) > _MAX_BYTES:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content if content[:2] in _UTF16 else content.strip(b"\x00 \t\r\n"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return None if root.getroottree().docinfo.doctype else root


def _serialise(root: etree._Element, existing: bytes) -> bytes:
    """Write the tree, with whatever comes before and after its root in the file, such as the packet's wrapper."""
    encoding = root.getroottree().docinfo.encoding or "UTF-8"
    name = etree.QName(root).localname
    name = f"{root.prefix}:{name}" if root.prefix else name
    start, end = existing.find(f"<{name}".encode()), existing.rfind(f"</{name}>".encode())
    if encoding.upper() not in ("UTF-8", "ASCII", "US-ASCII") or not 0 <= start < end:
        return bytes(etree.tostring(root.getroottree(), encoding="utf-8", xml_declaration=True)) + b"\n"
    content = bytes(etree.tostring(root, encoding="utf-8", with_tail=False))
    return existing[:start] + content + existing[end + len(f"</{name}>") :]


def _text_of(packet: bytes) -> str:
    """Return the caption of a packet as `caption_packet` wrote it, without characters that XML cannot hold."""
    root = _parse(packet)
    texts = [] if root is None else _texts(root)
    return texts[0] if texts else ""


def _texts(tree: etree._Element) -> list[str]:
    """Return the texts of all descriptions that count as the default: other languages only if there is no default."""
    texts: list[str] = []
    for element in tree.iter(_DESCRIPTION):
        items = list(element.iter(f"{_RDF}li"))
        default = [item for item in items if item.get(_LANG, _DEFAULT) == _DEFAULT]
        texts += [item.text or "" for item in default or items] or [element.text or ""]
    texts += [value for node in tree.iter(f"{_RDF}Description") if (value := node.get(_DESCRIPTION)) is not None]
    return list(filter(str.strip, texts))


def _set(rdf: etree._Element, text: str) -> None:
    """Set the default text of the description, and add a description if there is none."""
    nodes = list(rdf.iter(f"{_RDF}Description"))
    for node in nodes:
        if _DESCRIPTION in node.attrib:
            node.set(_DESCRIPTION, text)
            return
    element = next(rdf.iter(_DESCRIPTION), None)
    if element is None:
        node = nodes[0] if nodes else etree.SubElement(rdf, f"{_RDF}Description", {f"{_RDF}about": ""})
        element = etree.SubElement(node, _DESCRIPTION, nsmap={"dc": _DESCRIPTION[1:].partition("}")[0]})
    items = list(element.iter(f"{_RDF}li"))
    for item in items:
        if item.get(_LANG, _DEFAULT) == _DEFAULT:
            item.text = text
            return
    alternatives = element.find(f"{_RDF}Alt")
    if alternatives is None:
        element.text = None
        alternatives = etree.SubElement(element, f"{_RDF}Alt")
    new = etree.Element(f"{_RDF}li", {_LANG: _DEFAULT})
    new.text = text
    alternatives.insert(0, new)
