"""The texts that shotcrop writes about a crop, and the XMP packet that holds nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape

from shotcrop_cli.imaging.metadata.xmp import caption_packet, without_control_characters

DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
ALT_TEXT = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}AltTextAccessibility"
HEADLINE = "{http://ns.adobe.com/photoshop/1.0/}Headline"
KEYWORDS = "{http://purl.org/dc/elements/1.1/}subject"
TAGS = "{http://www.digikam.org/ns/1.0/}TagsList"
"""The same keywords, for programs that look only here."""
OTHER_DESCRIPTION = "{http://ns.adobe.com/tiff/1.0/}ImageDescription"
"""Where some programs repeat the description; shotcrop never writes it."""
PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://www.digikam.org/ns/1.0/": "digiKam",
}
DEFAULT_LANGUAGE = "x-default"


@dataclass(frozen=True, slots=True)
class OwnTexts:
    """What shotcrop says about a crop. Empty texts are not written.

    Args:
        description: Its caption.
        alt_text: The same for somebody who cannot see it.
        headline: The line that connects the crops of the photo.
        keywords: What is seen.
        language: Language of these texts, such as `en`; empty if it is unknown.
        hashes: If description and alternative text are unknown: hashes of them, see `text_sha256`.
    """

    description: str = ""
    alt_text: str = ""
    headline: str = ""
    keywords: tuple[str, ...] = ()
    language: str = ""
    hashes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.description or self.alt_text or self.headline or self.keywords)


def text_sha256(text: str) -> str:
    """Return a hash of a text, by which it can be recognised."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def own_packet(texts: OwnTexts) -> bytes:
    """Return an XMP packet with these texts, for a file next to the crop."""
    if texts == OwnTexts(description=texts.description):
        return caption_packet(texts.description)
    properties = [
        *_alternatives("dc:description", texts.description, texts.language),
        *_alternatives("Iptc4xmpCore:AltTextAccessibility", texts.alt_text, texts.language),
    ]
    if texts.headline:
        properties.append(f"<photoshop:Headline>{_escaped(texts.headline)}</photoshop:Headline>")
    if texts.keywords:
        items = [f"    <rdf:li>{_escaped(keyword)}</rdf:li>" for keyword in texts.keywords]
        properties += ["<dc:subject>", "  <rdf:Bag>", *items, "  </rdf:Bag>", "</dc:subject>"]
        properties += ["<digiKam:TagsList>", "  <rdf:Seq>", *items, "  </rdf:Seq>", "</digiKam:TagsList>"]
    spaces = "".join(
        f'\n        xmlns:{prefix}="{space}"'
        for space, prefix in PREFIXES.items()
        if any(line.startswith(f"<{prefix}:") for line in properties)
    )
    body = "".join(f"      {line}\n" for line in properties)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        '  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f'    <rdf:Description rdf:about=""{spaces}>\n{body}    </rdf:Description>\n'
        '  </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n'
    ).encode()


def _alternatives(name: str, text: str, language: str) -> list[str]:
    """Return a text in its language, and as the default for readers that know no languages."""
    if not text:
        return []
    items = [f'    <rdf:li xml:lang="{lang}">{_escaped(text)}</rdf:li>' for lang in _languages(language)]
    return [f"<{name}>", "  <rdf:Alt>", *items, "  </rdf:Alt>", f"</{name}>"]


def _languages(language: str) -> list[str]:
    return [DEFAULT_LANGUAGE, *([language] if language else [])]


def _escaped(text: str) -> str:
    return escape(without_control_characters(text), quote=False)
