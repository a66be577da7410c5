import pytest
from PIL import ExifTags, Image

from conftest import jpeg_bytes, picture, rich_exif
from shotcrop_cli.imaging.metadata import Metadata, MetadataPolicy

_THUMBNAIL = jpeg_bytes(picture(16, 12))
_RICH = Metadata(exif=rich_exif(_THUMBNAIL, orientation=6))


def _pillow(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block)
    return exif


def _inherited(metadata: Metadata = _RICH) -> Metadata:
    return metadata.inherited(MetadataPolicy.SAFE, 300, 200)


def test_the_fixture_really_holds_what_must_go() -> None:
    exif = _pillow(_RICH.exif)
    assert exif.get_ifd(0x8825)[2] == (47.0, 22.0, 0.0)
    assert exif.get_ifd(0x8769)[0x927C] == b"secret maker note 42"
    assert 0x0201 in exif.get_ifd(ExifTags.IFD.IFD1)
    assert _THUMBNAIL in _RICH.exif


def test_thumbnail_maker_note_and_gps_are_gone() -> None:
    block = _inherited().exif
    exif = _pillow(block)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert 0x8825 not in exif
    assert 0x927C not in exif.get_ifd(0x8769)
    assert b"\xff\xd8\xff" not in block
    assert b"secret" not in block


def test_camera_time_and_exposure_are_kept() -> None:
    exif = _pillow(_inherited().exif)
    assert exif[0x0110] == "Canon EOS R5"
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8769)[0x829A] == 0.004


def test_orientation_and_size_are_those_of_the_crop() -> None:
    exif = _pillow(_inherited().exif)
    assert exif[0x0112] == 1
    assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == (300, 200)


def test_no_metadata_stays_none() -> None:
    assert _inherited(Metadata()) == Metadata()


@pytest.mark.parametrize(
    "leak", [b"<xmp:Thumbnails/>", b"<exif:GPSLatitude>47</exif:GPSLatitude>", b'GImage:Data="/9j/4AAQ"']
)
def test_xmp_that_shows_or_locates_is_dropped(leak: bytes) -> None:
    assert _inherited(Metadata(xmp=b"<x:xmpmeta>" + leak + b"</x:xmpmeta>")).xmp == b""


def test_harmless_xmp_is_kept_without_its_orientation() -> None:
    xmp = b'<x:xmpmeta tiff:Orientation="6" dc:title="Ana"></x:xmpmeta>'
    assert _inherited(Metadata(xmp=xmp)).xmp == b'<x:xmpmeta  dc:title="Ana"></x:xmpmeta>'


def test_capture_facts_are_read() -> None:
    facts = _RICH.facts()
    assert facts.captured_at == "2024-05-06T07:08:09+02:00"
    assert facts.camera == "Canon EOS R5"
    assert facts.orientation == 6


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_counts_as_upright(value: int) -> None:
    assert Metadata(exif=rich_exif(_THUMBNAIL, orientation=value)).facts().orientation == 1


def test_a_clock_that_was_never_set_is_no_time() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "0000:00:00 00:00:00"}
    assert Metadata(exif=exif.tobytes()).facts().captured_at is None
