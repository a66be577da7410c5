"""Change the texts of shotcrop in XMP that other programs have changed, and nothing else in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from lxml import etree

from shotcrop_cli.imaging.metadata.own_texts import (
    ALT_TEXT,
    DEFAULT_LANGUAGE,
    DESCRIPTION,
    HEADLINE,
    KEYWORDS,
    OTHER_DESCRIPTION,
    PREFIXES,
    TAGS,
    OwnTexts,
    own_packet,
    text_sha256,
)
from shotcrop_cli.imaging.metadata.xmp import caption_packet, without_control_characters

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MAX_BYTES = 64 << 20
"""Larger files are left alone. Edit histories of raw developers may have some megabytes; the limit is our choice."""
_UNREADABLE, _OWN_CAPTION = "it cannot be read as XMP", "it has a caption of its own"


@dataclass(frozen=True, slots=True)
class MergedCaption:
    """XMP with the texts of shotcrop.

    Args:
        content: The whole file or packet.
        note: Why it does not have the caption that was asked for; empty if it has.
        keeps_caption: Whether the reason is that somebody changed the caption in it.
    """

    content: bytes
    note: str = ""
    keeps_caption: bool = False


def merge_caption(existing: bytes, caption: str, last: str | None, *, force: bool = False) -> MergedCaption:
    """Put a caption into an XMP file; see `merge_texts`."""
    is_own = last is not None and existing == caption_packet(last)
    if is_own:
        return MergedCaption(caption_packet(caption))
    before = None if last is None else OwnTexts(last)
    return merge_texts(existing, OwnTexts(caption), before, force=force)


def merge_texts(
    existing: bytes,
    texts: OwnTexts,
    last: OwnTexts | None,
    *,
    force: bool = False,
    own: bool = False,
    as_alt_text: bool = False,
) -> MergedCaption:
    """Put the texts of shotcrop into XMP, and keep everything that others wrote.

    A text that somebody changed is kept, too, and one that somebody removed stays away. If nothing has to change, the
    content stays equal byte for byte.

    Args:
        existing: The content.
        texts: The new texts.
        last: The texts that shotcrop wrote into it before; None if it never did.
        force: Whether to replace a description that somebody changed.
        own: Whether it is as shotcrop wrote it, so that it may be written again.
        as_alt_text: Whether the caption becomes the alternative text if somebody else's description is kept and there
            is no other alternative text.
    """
    if own:
        return MergedCaption(own_packet(texts))
    root = _parse(existing)
    rdf = None if root is None else root if root.tag == f"{_RDF}RDF" else root.find(f"{_RDF}RDF")
    if root is None or rdf is None:
        return MergedCaption(existing, _UNREADABLE)
    before, last = etree.tostring(root), _recovered(last, rdf)
    keeps = keeps_description(rdf, texts, last) and not force
    if force:
        _remove(rdf, OTHER_DESCRIPTION)
    if not keeps:
        _merge(rdf, DESCRIPTION, texts.description, _last(last, DESCRIPTION), texts.language, force=force)
    elif as_alt_text and not texts.alt_text:
        texts = replace(texts, alt_text=texts.description)
    _merge(rdf, ALT_TEXT, texts.alt_text, _last(last, ALT_TEXT), texts.language)
    _merge(rdf, HEADLINE, texts.headline, _last(last, HEADLINE))
    for name, container in ((KEYWORDS, "Bag"), (TAGS, "Seq")):
        _merge_keywords(rdf, name, container, texts.keywords, () if last is None else last.keywords)
    content = existing if etree.tostring(root) == before else _serialise(root, existing)
    return MergedCaption(content, _OWN_CAPTION if keeps else "", keeps_caption=keeps)


def keeps_description(rdf: etree._Element, texts: OwnTexts, last: OwnTexts | None) -> bool:
    """Return whether there is a description that is not shotcrop's."""
    found = _texts(rdf, DESCRIPTION)
    ours = {without_control_characters(texts.description), *_last(last, DESCRIPTION)}
    return bool(found) and bool(texts.description or last) and not ours & set(found)


def recovered(last: OwnTexts | None, packet: bytes) -> OwnTexts | None:
    """Return the texts that shotcrop wrote into XMP. If only their hashes are known, those in it that have them."""
    root = _parse(packet) if last is not None and last.hashes and packet else None
    return last if root is None else _recovered(last, root)


def _recovered(last: OwnTexts | None, tree: etree._Element) -> OwnTexts | None:
    if last is None or not last.hashes:
        return last
    description, alt_text = (
        next((text for text in _texts(tree, name) if text_sha256(text) in last.hashes), "")
        for name in (DESCRIPTION, ALT_TEXT)
    )
    return replace(last, description=description, alt_text=alt_text, hashes=())


def descriptions(packet: bytes) -> list[str]:
    """Return the descriptions in XMP: in other languages only if there is no default."""
    root = _parse(packet) if packet else None
    return [] if root is None else _texts(root, DESCRIPTION) or _texts(root, OTHER_DESCRIPTION)


def _last(last: OwnTexts | None, name: str) -> set[str]:
    """Return the texts that shotcrop may have written for a property."""
    if last is None:
        return set()
    # Next to somebody's description, the caption is the alternative text.
    texts = {DESCRIPTION: [last.description], ALT_TEXT: [last.alt_text, last.description], HEADLINE: [last.headline]}
    return {without_control_characters(text) for text in texts[name] if text}


def _merge(
    rdf: etree._Element, name: str, text: str, last: Collection[str], language: str = "", *, force: bool = False
) -> None:
    """Set a text, unless somebody changed or removed it."""
    text = without_control_characters(text)
    found = _texts(rdf, name)
    if text in found:
        return
    if not text:
        if set(found) & set(last):
            _remove(rdf, name)
    elif not found:
        if force or text not in last:
            _set(rdf, name, text, last, language)
    elif force or set(found) & set(last):
        _set(rdf, name, text, last, language)


def _merge_keywords(
    rdf: etree._Element, name: str, container: str, keywords: Collection[str], last: Collection[str]
) -> None:
    """Add keywords that are new, and remove those of shotcrop that are obsolete."""
    wanted = [without_control_characters(keyword) for keyword in keywords]
    found = {(item.text or "").strip() for item in _items(rdf, name)}
    for item in list(_items(rdf, name)):
        if (text := (item.text or "").strip()) in last and text not in wanted:
            parent = item.getparent()
            parent.remove(item)
            if len(parent) == 0:
                parent.getparent().getparent().remove(parent.getparent())
    new = [keyword for keyword in wanted if keyword not in found and keyword not in last]
    if not new:
        return
    bag = next((item.getparent() for item in _items(rdf, name)), None)
    if bag is None:
        element = next(rdf.iter(name), None)
        bag = etree.SubElement(_add(rdf, name) if element is None else element, f"{_RDF}{container}")
    for keyword in new:
        etree.SubElement(bag, f"{_RDF}li").text = keyword


def _items(rdf: etree._Element, name: str) -> Iterator[etree._Element]:
    for element in rdf.iter(name):
        yield from element.iter(f"{_RDF}li")


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


def _texts(tree: etree._Element, name: str) -> list[str]:
    """Return the texts of a property that count as the default: other languages only if there is no default."""
    texts: list[str] = []
    for element in tree.iter(name):
        items = list(element.iter(f"{_RDF}li"))
        default = [item for item in items if item.get(_LANG, DEFAULT_LANGUAGE) == DEFAULT_LANGUAGE]
        texts += [item.text or "" for item in default or items] or [element.text or ""]
    texts += [value for node in tree.iter(f"{_RDF}Description") if (value := node.get(name)) is not None]
    return list(filter(str.strip, texts))


def _remove(rdf: etree._Element, name: str) -> None:
    for node in rdf.iter(f"{_RDF}Description"):
        node.attrib.pop(name, None)
    for element in list(rdf.iter(name)):
        element.getparent().remove(element)


def _add(rdf: etree._Element, name: str) -> etree._Element:
    """Add an empty property."""
    node = next(rdf.iter(f"{_RDF}Description"), None)
    if node is None:
        node = etree.SubElement(rdf, f"{_RDF}Description", {f"{_RDF}about": ""})
    space = name[1:].partition("}")[0]
    return etree.SubElement(node, name, nsmap={PREFIXES[space]: space})


def _set(rdf: etree._Element, name: str, text: str, last: Collection[str], language: str) -> None:
    """Set the default text of a property, and add it if there is none.

    Args:
        rdf: The tree.
        name: The property.
        text: The text.
        last: What shotcrop wrote before: its copy in a language changes, too.
        language: Language of the text; empty if it is unknown.
    """
    for node in rdf.iter(f"{_RDF}Description"):
        if name in node.attrib:
            node.set(name, text)
            return
    element = next(rdf.iter(name), None)
    is_new = element is None
    if element is None:
        element = _add(rdf, name)
    if name == HEADLINE:
        element.text = text
        return
    items = list(element.iter(f"{_RDF}li"))
    for item in items:
        if item.get(_LANG, DEFAULT_LANGUAGE) == DEFAULT_LANGUAGE:
            item.text = text
            copies = [copy for copy in items if copy is not item and copy.text in last]
            for copy in copies:
                copy.text = text
                if language:
                    copy.set(_LANG, language)
            return
    alternatives = element.find(f"{_RDF}Alt")
    if alternatives is None:
        element.text = None
        alternatives = etree.SubElement(element, f"{_RDF}Alt")
    new = etree.Element(f"{_RDF}li", {_LANG: DEFAULT_LANGUAGE})
    new.text = text
    alternatives.insert(0, new)
    if is_new and language:
        etree.SubElement(alternatives, f"{_RDF}li", {_LANG: language}).text = text
