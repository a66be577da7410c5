import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from shotcrop_cli.imaging.metadata.xmp import caption_packet
from shotcrop_cli.imaging.metadata.xmp_caption import merge_caption

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
RATING = '<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/>'


def _file(description: str = "", before: str = "", after: str = "") -> bytes:
    return (
        f'{before}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about="" {DC}>'
        f"{description}</rdf:Description>{RATING}</rdf:RDF></x:xmpmeta>{after}"
    ).encode()


def _described(*items: tuple[str, str]) -> str:
    lines = "".join(f'<rdf:li xml:lang="{lang}">{text}</rdf:li>' for lang, text in items)
    return f"<dc:description><rdf:Alt>{lines}</rdf:Alt></dc:description>"


def _canonical(packet: bytes) -> bytes:
    """Return a packet without differences that mean nothing, such as the order of attributes."""
    return etree.tostring(etree.fromstring(packet), method="c14n")


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_file_of_shotcrop_is_replaced(last: str, caption: str) -> None:
    assert merge_caption(caption_packet(last), caption, last).content == caption_packet(caption)


@pytest.mark.parametrize("text", ["new", "new & <old>"])
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("<?xpacket begin=''?>\n<!-- a -->\n", "\n<?xpacket end='w'?>\n\n")]
)
def test_only_the_caption_changes(text: str, before: str, after: str) -> None:
    merged = merge_caption(_file(_described(("x-default", "old"), ("de", "alt")), before, after), text, "old")
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    expected = _file(_described(("x-default", escaped), ("de", "alt")), before, after)
    assert _canonical(merged.content) == _canonical(expected)
    assert merged.content.startswith(before.encode()) and merged.content.endswith(after.encode())
    assert merged.note == ""


@pytest.mark.parametrize(
    ("description", "last"),
    [
        (_described(("x-default", "of a person")), "old"),
        (_described(("x-default", "of a person")), None),
        (_described(("x-default", "old")), None),
        (_described(("de", "von jemand")), "old"),
        ("<dc:description>of a person</dc:description>", "old"),
    ],
)
def test_a_caption_that_somebody_wrote_stays_unless_forced(description: str, last: str | None) -> None:
    existing = _file(description)
    merged = merge_caption(existing, "new", last)
    assert (merged.content, merged.keeps_caption) == (existing, True)
    forced = merge_caption(existing, "new", last, force=True)
    assert b'<rdf:li xml:lang="x-default">new</rdf:li>' in forced.content
    assert b'xmp:Rating="5"' in forced.content and not forced.note


def test_an_equal_caption_changes_no_byte() -> None:
    existing = _file(_described(("x-default", "new")))
    assert merge_caption(existing, "new", "old").content == existing


def test_a_caption_is_added_where_there_is_none_but_not_where_somebody_removed_it() -> None:
    assert b">new</rdf:li></rdf:Alt></dc:description>" in merge_caption(_file(), "new", None).content
    assert b">new</rdf:li></rdf:Alt></dc:description>" in merge_caption(_file(), "new", "old").content
    assert merge_caption(_file(), "old", "old").content == _file()


def test_a_description_that_is_an_attribute_is_changed_there() -> None:
    existing = f'<rdf:RDF {RDF}><rdf:Description {DC} dc:description="old"/></rdf:RDF>'.encode()
    assert merge_caption(existing, "new", "old").content == existing.replace(b"old", b"new")


def test_other_encodings_are_read() -> None:
    existing = '<?xml version="1.0" encoding="UTF-16"?>' + _file(_described(("x-default", "old"))).decode()
    merged = merge_caption(existing.encode("utf-16"), "写真", "old")
    assert "写真" in "".join(etree.fromstring(merged.content).itertext())
    assert b'xmp:Rating="5"' in merged.content


@pytest.mark.parametrize(
    "existing", [b"", b"text", b"<x/>", b'<!DOCTYPE a [<!ENTITY b "c">]>' + _file(), _file()[:-5], b"\x00" * 50]
)
def test_what_cannot_be_read_stays(existing: bytes) -> None:
    merged = merge_caption(existing, "new", "old", force=True)
    assert (merged.content, merged.note, merged.keeps_caption) == (existing, "it cannot be read as XMP", False)
