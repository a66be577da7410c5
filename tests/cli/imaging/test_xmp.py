import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from metadata_samples import NAMESPACES, packet
from shotcrop_cli.imaging.metadata import xmp

_PICTURE = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0a"


def _edited(stored: bytes, *, places: bool = False) -> bytes:
    return xmp.for_crop(stored, 300, 200, keep_gps=places)


def test_texts_and_names_are_kept_in_every_script() -> None:
    body = "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Ana in Zürich 写真</rdf:li></rdf:Alt></dc:title>"
    kept = _edited(packet(body, 'photoshop:City="Zürich" photoshop:Country="Schweiz" xmp:Rating="5"'))
    root = etree.fromstring(kept)
    described = root.find(".//rdf:Description", NAMESPACES)
    assert described is not None
    assert root.findtext(".//rdf:li", namespaces=NAMESPACES) == "Ana in Zürich 写真"
    assert described.get(f"{{{NAMESPACES['photoshop']}}}City") == "Zürich"
    assert described.get(f"{{{NAMESPACES['photoshop']}}}Country") == "Schweiz"
    assert described.get(f"{{{NAMESPACES['xmp']}}}Rating") == "5"


def test_the_wrapper_is_kept_and_the_padding_is_not() -> None:
    kept = _edited(packet())
    assert kept.startswith(b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    assert kept.endswith(b'<?xpacket end="w"?>')
    assert b"    " not in kept


def test_an_edited_packet_is_not_changed_by_a_second_edit() -> None:
    once = _edited(packet("<dc:source>a</dc:source>", 'tiff:Orientation="6" exif:GPSLatitude="47,22N"'))
    assert _edited(once) == once


@pytest.mark.parametrize(
    "place",
    [
        '<exif:GPSLatitude xmlns:exif="http://ns.adobe.com/exif/1.0/">47,22.1N</exif:GPSLatitude>',
        '<rdf:li drone-dji:GpsLongtitude="8.54" dc:source="47,22.1N"/>',
        "<Iptc4xmpExt:LocationShown><rdf:li exif:GPSLatitude='47,22.1N'/></Iptc4xmpExt:LocationShown>",
    ],
)
def test_gps_is_removed_unless_it_is_kept(place: str) -> None:
    gone, kept = _edited(packet(place)), _edited(packet(place), places=True)
    assert b"GPS" not in gone
    assert b"Gps" not in gone
    assert b"GPS" in kept or b"Gps" in kept


@pytest.mark.parametrize("places", [False, True])
@pytest.mark.parametrize(
    "leak",
    [
        f"<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>{_PICTURE}</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>",
        f"<GDepth:Data>{_PICTURE}</GDepth:Data>",
        f"<rdf:li GImage:Data='{_PICTURE}'/>",
        "<Container:Directory>secret</Container:Directory>",
        f"<dc:source>{_PICTURE}</dc:source>",
        f"<dc:source>data:{_PICTURE[:20]}&#xA;{_PICTURE[20:]}</dc:source>",
        f"<dc:source>{'QUJD' * 400}</dc:source>",
        f"<rdf:li>a</rdf:li>{_PICTURE}",
        f"<rdf:li><!-- {_PICTURE} --></rdf:li>",
        f"<rdf:li><?note {_PICTURE}?></rdf:li>",
    ],
    ids=["thumbnails", "depth", "image", "container", "base64", "split", "any data", "tail", "comment", "instruction"],
)
def test_images_are_always_removed_and_the_rest_is_kept(leak: str, places: bool) -> None:
    kept = _edited(packet(f"{leak}<dc:creator>Ana</dc:creator>"), places=places)
    for part in (_PICTURE, _PICTURE[20:], "QUJDQUJD", "secret"):
        assert part.encode() not in kept
    assert b"Ana" in kept


@pytest.mark.parametrize(
    "attribute",
    [
        'crs:CropTop="0.2"',
        'mwg-rs:Regions="Bob"',
        'Iptc4xmpExt:ImageRegion="Bob"',
        'Container:Version="0123456789"',
        'xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF"',
    ],
)
def test_entries_about_the_whole_photo_are_removed(attribute: str) -> None:
    assert b'="' + attribute.split('"')[1].encode() not in _edited(packet("", attribute), places=True)


def test_orientation_and_size_are_those_of_the_crop() -> None:
    body = "<tiff:ImageWidth>6000</tiff:ImageWidth><tiff:Orientation>8</tiff:Orientation>"
    root = etree.fromstring(_edited(packet(body, 'exif:PixelXDimension="6000" exif:PixelYDimension="4000"')))
    described = root.find(".//rdf:Description", NAMESPACES)
    assert described is not None
    exif = f"{{{NAMESPACES['exif']}}}"
    assert (described.get(f"{exif}PixelXDimension"), described.get(f"{exif}PixelYDimension")) == ("300", "200")
    assert root.findtext(".//tiff:ImageWidth", namespaces=NAMESPACES) == "300"
    assert root.findtext(".//tiff:Orientation", namespaces=NAMESPACES) == "1"


_BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>'
)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"no XML at all",
        b"<a><b></a>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        _BOMB + packet("<dc:source>&d;&d;</dc:source>").partition(b"?>")[2].partition(b"<?xpacket")[0],
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + b"<x/>",
        b"<a>" * 10_000,
        packet("<dc:source>" + "a " * (3 << 20) + "</dc:source>"),
    ],
    ids=["empty", "text", "broken", "svg", "entities", "external", "deep", "huge"],
)
def test_untrusted_packets_are_dropped(stored: bytes) -> None:
    tracemalloc.start()
    assert not xmp.is_readable(stored)
    assert _edited(stored) == b""
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("filler", ["A" * 999 + " ", " " * 1000, "\n" * 1000], ids=["words", "spaces", "lines"])
def test_long_texts_do_not_make_the_image_search_slow(filler: str) -> None:
    start = time.process_time()
    assert b"source" in _edited(packet(f"<dc:source>{filler * 4000}</dc:source>"))
    assert time.process_time() - start < 5


@given(st.binary(max_size=60), st.integers(0, 1200))
def test_a_damaged_packet_is_edited_or_dropped(noise: bytes, place: int) -> None:
    stored = packet("<dc:source>a</dc:source>")
    edited = _edited(stored[:place] + noise + stored[place:])
    assert edited == b"" or etree.fromstring(edited) is not None
