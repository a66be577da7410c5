"""Texts in finished image files: what other programs read, and that pixels and all other bytes stay."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shotcrop_cli.imaging.isobmff import boxes, read_items, top_level_boxes
from shotcrop_cli.imaging.metadata import iptc
from shotcrop_cli.imaging.metadata.avif_file import _box, _read_places, _written_places
from shotcrop_cli.imaging.metadata.embed import described_by_somebody, embed_texts
from shotcrop_cli.imaging.metadata.exif import is_camera_text
from shotcrop_cli.imaging.metadata.own_texts import OwnTexts, own_packet

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
TEXTS = OwnTexts("Ana am Fluß, “glücklich”", "Ana steht am Fluß.", "Ana wartet auf das Boot.", ("river", "Boot"), "de")
OTHER = OwnTexts("Zoë", "Zoë lacht.", "Eine Reise.", ("river", "snow"), "de")
needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not on PATH")


def image(form: str, **options: Any) -> bytes:
    picture = Image.effect_noise((64, 48), 60).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.tobytes()


def coded_pixels(content: bytes, form: str) -> bytes:
    """Return the bytes of the coded pixels as stored."""
    if form == "JPEG":
        return content[content.index(b"\xff\xda") :]
    if form == "PNG":
        return content[content.index(b"IDAT") : content.index(b"IEND")]
    if form == "WEBP":
        return content[content.index(b"VP8 ") :].partition(b"XMP ")[0]
    if form == "AVIF":
        items = read_items(content)
        start, size = items.places[items.primary]
        return content[start : start + size]
    with Image.open(io.BytesIO(content)) as opened:
        tags = opened.tag_v2  # type: ignore[attr-defined]
        strips = zip(tags[273], tags[279], strict=True)
        return b"".join(content[start : start + size] for start, size in strips)


def exiftool(content: bytes, tmp_path: Path, *options: str) -> dict[str, Any]:
    path = tmp_path / "image"
    path.write_bytes(content)
    command = ["exiftool", "-j", "-G1", "-struct", *options, str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    return found


def described(content: bytes, tmp_path: Path, *tags: str) -> bytes:
    """Let exiftool, an independent program, describe an image."""
    path = tmp_path / "described"
    path.write_bytes(content)
    command = ["exiftool", "-q", "-overwrite_original", "-codedcharacterset=utf8", *tags, str(path)]
    subprocess.run(command, check=True)
    return path.read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_pixels_stay_byte_for_byte(form: str) -> None:
    before = image(form)
    first = embed_texts(before, TEXTS)
    again = embed_texts(first.content, OTHER, TEXTS)
    for content in (first.content, again.content):
        assert content != before
        assert coded_pixels(content, form).rstrip(b"\x00") == coded_pixels(before, form).rstrip(b"\x00")
        assert pixels(content) == pixels(before)
    assert embed_texts(again.content, OTHER, OTHER).content == again.content
    assert first.note == again.note == ""


@needs_exiftool
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("options", [{}, {"exif": Image.Exif(), "icc_profile": bytes(200)}])
def test_an_independent_program_reads_the_texts(form: str, options: dict[str, Any], tmp_path: Path) -> None:
    for texts, last in ((TEXTS, None), (OTHER, TEXTS)):
        content = embed_texts(embed_texts(image(form, **options), TEXTS).content, texts, last).content
        found = exiftool(content, tmp_path)
        languages = exiftool(content, tmp_path, "-XMP:all")
        assert found["XMP-dc:Description"] == texts.description
        assert languages["XMP-dc:Description-de"] == texts.description
        assert found["XMP-iptcCore:AltTextAccessibility"] == texts.alt_text
        assert languages["XMP-iptcCore:AltTextAccessibility-de"] == texts.alt_text
        assert found["XMP-photoshop:Headline"] == texts.headline
        assert sorted(found["XMP-dc:Subject"]) == sorted(found["XMP-digiKam:TagsList"]) == sorted(texts.keywords)
        if form in ("JPEG", "TIFF"):
            assert found["IPTC:Caption-Abstract"] == texts.description
            assert found["IPTC:Headline"] == texts.headline
            assert sorted(found["IPTC:Keywords"]) == sorted(texts.keywords)
        faults = exiftool(content, tmp_path, "-validate", "-warning", "-a")
        assert faults["ExifTool:Validate"] == "OK" or form == "TIFF" or "icc_profile" in options, faults


@needs_exiftool
@pytest.mark.parametrize("form", FORMATS)
def test_what_somebody_wrote_stays_and_our_caption_becomes_the_alternative_text(form: str, tmp_path: Path) -> None:
    places = [
        "-XMP-dc:Description=Oma",
        "-XMP-dc:Subject=family",
        "-XMP-photoshop:Headline=Sommer",
        "-XMP-xmp:Rating=5",
    ]
    if form in ("JPEG", "TIFF"):
        places += ["-IPTC:Caption-Abstract=Oma", "-IPTC:Keywords=family", "-IPTC:City=Zürich"]
    theirs = described(image(form), tmp_path, *places)
    caption = OwnTexts("A person outdoors", "", "A story", ("river",), "en")
    merged = embed_texts(theirs, caption)
    assert merged.keeps_caption and described_by_somebody(theirs, ())
    found = exiftool(merged.content, tmp_path)
    assert found["XMP-dc:Description"] == "Oma"
    assert found["XMP-iptcCore:AltTextAccessibility"] == "A person outdoors"
    assert found["XMP-photoshop:Headline"] == "Sommer" and found["XMP-xmp:Rating"] == 5
    assert found["XMP-dc:Subject"] == ["family", "river"]
    if form in ("JPEG", "TIFF"):
        assert found["IPTC:Caption-Abstract"] == "Oma" and found["IPTC:City"] == "Zürich"
    renewed = exiftool(embed_texts(merged.content, OTHER, caption).content, tmp_path)
    assert renewed["XMP-dc:Description"] == "Oma"
    assert renewed["XMP-iptcCore:AltTextAccessibility"] == "Zoë lacht."
    assert renewed["XMP-dc:Subject"] == ["family", "river", "snow"]
    forced = exiftool(embed_texts(theirs, TEXTS, force=True).content, tmp_path)
    assert forced["XMP-dc:Description"] == TEXTS.description
    if form in ("JPEG", "TIFF"):
        assert forced["IPTC:Caption-Abstract"] == TEXTS.description


@needs_exiftool
@pytest.mark.parametrize("name", ["EXIF:ImageDescription", "IPTC:Caption-Abstract", "XMP-tiff:ImageDescription"])
def test_captions_in_exif_and_iptc_count_as_somebodys(name: str, tmp_path: Path) -> None:
    theirs = described(image("JPEG"), tmp_path, f"-{name}=Oma am Fluß")
    found = exiftool(embed_texts(theirs, TEXTS).content, tmp_path)
    assert "XMP-dc:Description" not in found
    assert found["XMP-iptcCore:AltTextAccessibility"] == TEXTS.alt_text
    assert found[name.replace("EXIF", "IFD0")] == "Oma am Fluß"


@pytest.mark.parametrize("text", ["OLYMPUS DIGITAL CAMERA         ", "SONY DSC", "   ", "", "\x00\x00", "default"])
def test_texts_of_cameras_are_nobodys(text: str) -> None:
    assert is_camera_text(text)
    exif = Image.Exif()
    exif[0x010E] = text
    assert not described_by_somebody(image("JPEG", exif=exif), ())
    assert not embed_texts(image("JPEG", exif=exif), TEXTS).keeps_caption


@needs_exiftool
@pytest.mark.parametrize("form", FORMATS)
def test_texts_that_are_no_longer_wanted_go_and_removed_ones_stay_away(form: str, tmp_path: Path) -> None:
    first = embed_texts(image(form), TEXTS).content
    found = exiftool(embed_texts(first, OwnTexts("Ana", language="de"), TEXTS).content, tmp_path)
    assert found["XMP-dc:Description"] == "Ana"
    assert not {"XMP-iptcCore:AltTextAccessibility", "XMP-photoshop:Headline", "XMP-dc:Subject"} & set(found)
    assert not {"IPTC:Headline", "IPTC:Keywords"} & set(found)
    removed = described(first, tmp_path, "-XMP-dc:Description=", "-IPTC:Caption-Abstract=", "-XMP-dc:Subject=")
    again = exiftool(embed_texts(removed, TEXTS, TEXTS).content, tmp_path)
    assert not {"XMP-dc:Description", "IPTC:Caption-Abstract", "XMP-dc:Subject"} & set(again)


@needs_exiftool
def test_the_check_sum_of_adobes_programs_is_renewed(tmp_path: Path) -> None:
    places = ("-IPTC:City=Bern", "-Photoshop:IPTCDigest=new", "-Photoshop:GlobalAngle=33")
    content = embed_texts(described(image("JPEG"), tmp_path, *places), TEXTS).content
    found = exiftool(content, tmp_path, "-All", "-CurrentIPTCDigest")
    assert found["Photoshop:IPTCDigest"] == found["File:CurrentIPTCDigest"]
    assert found["Photoshop:GlobalAngle"] == 33 and found["IPTC:City"] == "Bern"


@needs_exiftool
def test_long_packets_are_split_again(tmp_path: Path) -> None:
    theirs = described(image("JPEG"), tmp_path, f"-XMP-dc:Rights={'long ' * 20_000}")
    content = embed_texts(theirs, TEXTS).content
    found = exiftool(content, tmp_path)
    assert len(found["XMP-dc:Rights"]) > 90_000 and found["XMP-dc:Description"] == TEXTS.description
    assert pixels(content) == pixels(theirs)


def test_damaged_and_other_files_stay_as_they_are() -> None:
    damaged = (image("JPEG")[:30], image("PNG")[:60], image("TIFF")[:9], image("WEBP")[:60], b"II*\x00")
    damaged += (image("AVIF")[:40], image("AVIF")[:200], image("AVIF")[:-9])
    for content in (b"", b"no image", image("GIF"), *damaged):
        assert embed_texts(content, TEXTS).content == content
        assert embed_texts(content, TEXTS).note


@needs_exiftool
@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_avif_file_may_be_built_in_other_ways(version: int, tmp_path: Path) -> None:
    """Encoders differ in the versions of their boxes, and in where they put the pixels."""
    before = image("AVIF", xmp=b"", exif=image_exif())
    places = _read_places(next(before[start:end] for name, start, end in meta_boxes(before) if name == b"iloc"))
    moved, last = b"", 0
    for name, start, end in top_level_boxes(before):
        box = before[last:end]
        if name == b"meta":
            parts = []
            for kind, inside, stop in meta_boxes(before):
                data = before[inside:stop]
                grows = len(_written_places(version, places)) - len(_written_places(0, places)) + FREE
                if kind == b"iloc":
                    data = _written_places(version, [one.moved(grows.__add__) for one in places])
                parts.append(_box(kind, data))
            box = _box(b"meta", before[start : start + 4] + b"".join(parts)) + _box(b"free", bytes(FREE - 8))
        moved += box
        last = end
    assert pixels(moved) == pixels(before)
    content = embed_texts(embed_texts(moved, TEXTS).content, OTHER, TEXTS).content
    assert pixels(content) == pixels(before)
    assert coded_pixels(content, "AVIF") == coded_pixels(before, "AVIF")
    found = exiftool(content, tmp_path)
    assert found["XMP-dc:Description"] == OTHER.description and found["IFD0:Model"] == "Canon"
    assert TEXTS.description.encode() not in content  # the former text is gone, not only unused


def image_exif() -> Image.Exif:
    block = Image.Exif()
    block[0x0110] = "Canon"
    return block


def meta_boxes(content: bytes) -> list[tuple[bytes, int, int]]:
    start, end = next((start, end) for name, start, end in top_level_boxes(content) if name == b"meta")
    return list(boxes(content, start + 4, end))


FREE = 24


@needs_exiftool
def test_texts_go_into_avif_files_that_other_programs_wrote(tmp_path: Path) -> None:
    theirs = described(image("AVIF", exif=image_exif()), tmp_path, "-XMP-xmp:Rating=5", "-EXIF:Artist=Zoë")
    content = embed_texts(theirs, TEXTS).content
    assert pixels(content) == pixels(theirs)
    found = exiftool(content, tmp_path)
    assert found["XMP-xmp:Rating"] == 5 and found["IFD0:Artist"] == "Zoë"
    assert found["XMP-dc:Description"] == TEXTS.description
    with Image.open(io.BytesIO(content)) as opened:
        assert TEXTS.description.encode() in opened.info["xmp"]


def test_latin_1_blocks_keep_their_character_set() -> None:
    latin = b"\x1c\x02\x5a\x00\x06Z\xfcrich"
    block = iptc.with_texts(latin, OwnTexts("Käse"))
    assert latin in block and "Käse".encode("latin-1") in block and b"\x1b%G" not in block
    assert iptc.with_texts(latin, OwnTexts("Łódź")) == latin  # it cannot hold that; XMP has it
    assert iptc.values(iptc.with_texts(b"", OwnTexts("Łódź")))[iptc.CAPTION] == "Łódź"


def test_packets_of_shotcrop_are_stable() -> None:
    assert own_packet(TEXTS) == own_packet(TEXTS)
    assert b'<rdf:li xml:lang="x-default">' in own_packet(TEXTS) and b'<rdf:li xml:lang="de">' in own_packet(TEXTS)
    assert own_packet(OwnTexts("Ana", language="de")).count(b"Ana") == 2
