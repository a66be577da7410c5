import base64
import struct
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from conftest import jpeg_bytes, picture, rich_exif
from metadata_samples import CITY, KEPT, data_set, packet
from shotcrop_cli.imaging.metadata.capture import CaptureInfo
from shotcrop_cli.imaging.metadata.policy import NO_METADATA, Comment, Metadata, MetadataPolicy

_THUMBNAIL = jpeg_bytes(picture(16, 12))
_RICH = Metadata(exif=rich_exif(_THUMBNAIL, orientation=6))


def _pillow(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block)
    return exif


def _inherited(metadata: Metadata = _RICH, policy: MetadataPolicy = MetadataPolicy.SAFE) -> Metadata:
    return metadata.for_crop(policy, 300, 200)


def test_the_sample_contains_what_must_be_removed() -> None:
    exif = _pillow(_RICH.exif)
    assert exif.get_ifd(0x8825)[2] == (47.0, 22.0, 0.0)
    assert exif.get_ifd(0x8769)[0x927C] == b"secret maker note 42"
    assert 0x0201 in exif.get_ifd(ExifTags.IFD.IFD1)
    assert _THUMBNAIL in _RICH.exif


def test_thumbnail_maker_note_and_gps_are_removed() -> None:
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


@pytest.mark.parametrize("endian", ["<", ">"])
def test_texts_numbers_and_directories_are_kept_exactly(endian: str) -> None:
    exif = Image.Exif()
    exif.endian = endian
    exif[0x8298] = "© José".encode()
    exif[0x9C9B] = "Grüße".encode("utf-16-le")
    comment = b"UNICODE\x00" + "Grüße".encode("utf-16-le" if endian == "<" else "utf-16-be")
    lens = (85.0, 85.0, 1.2, 1.2)
    exif[0x8769] = {0x9204: -0.5, 0x9286: comment, 0xA432: lens, 0xA005: {1: "R98", 2: b"0100"}}
    kept = _pillow(_inherited(Metadata(exif=exif.tobytes())).exif)
    assert kept.endian == endian
    assert kept[0x8298].encode("latin-1").decode() == "© José"
    assert kept[0x9C9B].decode("utf-16-le") == "Grüße"
    camera = kept.get_ifd(0x8769)
    assert (camera[0x9204], camera[0x9286]) == (-0.5, comment)
    assert camera[0xA432] == pytest.approx(lens)
    assert kept.get_ifd(0xA005) == {1: "R98", 2: b"0100"}


def test_an_image_under_any_tag_is_removed() -> None:
    exif = Image.Exif()
    exif[0xC000] = exif[0x0131] = b"preview: " + _THUMBNAIL
    exif[0x010E] = "data:image/jpeg;base64," + base64.b64encode(_THUMBNAIL).decode()
    exif[0x8769] = {0xC001: _THUMBNAIL, 0x9003: "2024:05:06 07:08:09"}
    block = _inherited(Metadata(exif=exif.tobytes())).exif
    assert b"\xff\xd8\xff" not in block
    assert b"base64" not in block
    assert _pillow(block).get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"


def test_only_an_invalid_entry_is_dropped() -> None:
    make_as_text = struct.pack("<HHI", 0x010F, 2, 6)
    assert make_as_text in _RICH.exif
    damaged = Metadata(exif=_RICH.exif.replace(make_as_text, struct.pack("<HHI", 0x010F, 10, 1)))
    exif = _pillow(_inherited(damaged).exif)
    assert 0x010F not in exif
    assert exif[0x0110] == "Canon EOS R5"
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"


def test_orientation_and_size_are_those_of_the_crop() -> None:
    exif = _pillow(_inherited().exif)
    assert exif[0x0112] == 1
    assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == (300, 200)


def test_no_metadata_stays_none() -> None:
    assert _inherited(Metadata()) == Metadata()


def test_safe_policy_keeps_place_names_but_no_gps() -> None:
    stored = Metadata(rich_exif(_THUMBNAIL), packet("", 'photoshop:City="Zurich" exif:GPSLatitude="47,22N"'), KEPT)
    kept = _inherited(stored)
    assert b"Zurich" in kept.xmp
    assert b"GPS" not in kept.xmp
    assert 0x8825 not in _pillow(kept.exif)
    assert kept.iptc == KEPT


def test_all_policy_keeps_gps_but_no_images() -> None:
    stored = Metadata(
        rich_exif(_THUMBNAIL), packet("<xmp:Thumbnails>a</xmp:Thumbnails>", 'exif:GPSLatitude="47,22N"'), KEPT
    )
    kept = _inherited(stored, MetadataPolicy.ALL)
    assert _pillow(kept.exif).get_ifd(0x8825)[2] == (47.0, 22.0, 0.0)
    assert b'GPSLatitude="47,22N"' in kept.xmp
    assert b"Thumbnails" not in kept.xmp
    assert not _pillow(kept.exif).get_ifd(ExifTags.IFD.IFD1)
    assert _THUMBNAIL not in kept.exif
    assert b"secret maker note" not in kept.exif


def test_none_policy_keeps_nothing() -> None:
    stored = Metadata(rich_exif(_THUMBNAIL), packet(), KEPT, (Comment("Comment", "hello"),))
    assert _inherited(stored, MetadataPolicy.NONE) == NO_METADATA


def test_comments_are_kept_unless_they_encode_an_image() -> None:
    stored = Metadata(comments=(Comment("Title", "Ana"), Comment("Comment", "/9j/4AAQSkZJRgABAQAAAQ")))
    assert _inherited(stored).comments == (Comment("Title", "Ana"),)


def test_subject_positions_are_removed() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9214: (3000, 2000, 500, 400), 0xA214: (3000, 2000), 0x9003: "2024:05:06 07:08:09"}
    assert set(_pillow(_inherited(Metadata(exif=exif.tobytes())).exif).get_ifd(0x8769)) == {0x9003, 0xA002, 0xA003}


def test_private_tags_of_raw_developers_are_removed() -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0xC634], exif[0xEA1C] = "Canon EOS R5", b"secret development", b"padding"
    assert set(_pillow(_inherited(Metadata(exif=exif.tobytes())).exif)) == {0x0110, 0x0112}


@pytest.mark.parametrize("policy", [MetadataPolicy.SAFE, MetadataPolicy.ALL])
def test_previews_in_iptc_are_removed(policy: MetadataPolicy) -> None:
    assert _inherited(Metadata(iptc=CITY + data_set(2, 202, _THUMBNAIL)), policy).iptc == CITY


def test_capture_info_is_read() -> None:
    assert _RICH.capture_info() == CaptureInfo("2024-05-06T07:08:09+02:00", "Canon EOS R5", None, has_gps=True)
    assert _RICH.orientation == 6


def test_a_time_without_utc_offset_gets_none() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09"}
    assert Metadata(exif=exif.tobytes()).capture_info().captured_at == "2024-05-06T07:08:09"


def test_a_crop_has_the_capture_info_of_its_photo() -> None:
    assert _inherited(policy=MetadataPolicy.ALL).capture_info() == _RICH.capture_info()
    assert _inherited().capture_info() == replace(_RICH.capture_info(), has_gps=False)


def test_the_lens_is_read() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA434: "RF85mm F1.2 L USM"}
    assert Metadata(exif=exif.tobytes()).capture_info() == CaptureInfo(lens="RF85mm F1.2 L USM")


def test_gps_in_xmp_is_found() -> None:
    assert Metadata(xmp=packet("", 'exif:GPSLatitude="47,22N"')).capture_info().has_gps
    assert not Metadata(xmp=packet()).capture_info().has_gps


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_invalid_orientation_means_upright(value: int) -> None:
    assert Metadata(exif=rich_exif(_THUMBNAIL, orientation=value)).orientation == 1


def test_a_zero_date_is_no_time() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "0000:00:00 00:00:00"}
    assert Metadata(exif=exif.tobytes()).capture_info().captured_at is None


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.binary(max_size=300), st.sampled_from([b"II*\x00", b"MM\x00*", b"Exif\x00\x00II*\x00\x08\x00\x00\x00"]))
def test_any_bytes_are_read_without_error(tail: bytes, head: bytes) -> None:
    metadata = Metadata(exif=head + tail)
    assert 1 <= metadata.orientation <= 8
    assert metadata.capture_info() is not None
    assert len(_inherited(metadata).exif) <= 2 * len(metadata.exif) + 100


def _sharing(count: int, shared: bytes) -> Metadata:
    """Return metadata that is upside down and whose other entries all claim the same bytes."""
    rows = struct.pack("<HHII", 0x0112, 3, 1, 3)
    rows += b"".join(struct.pack("<HHII", 0x4000 + i, 2, len(shared), 14 + 12 * (count + 1)) for i in range(count))
    return Metadata(exif=b"II*\x00" + struct.pack("<IH", 8, count + 1) + rows + b"\x00" * 4 + shared)


def test_reading_stops_if_thousands_of_entries_share_bytes() -> None:
    assert _sharing(3, b"x" * 10).capture_info() == CaptureInfo()
    tracemalloc.start()
    assert _sharing(3000, b"x" * 10_000).capture_info() == CaptureInfo()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6  # of 30 million bytes claimed


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_block_with_shared_bytes_does_not_grow() -> None:
    tracemalloc.start()
    assert len(_inherited(_sharing(3000, b"x" * 50_000)).exif) < 200_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6  # of 150 million bytes claimed


def test_damage_elsewhere_does_not_change_the_orientation() -> None:
    assert _sharing(3000, b"x" * 10_000).orientation == 3


def test_directories_that_point_to_themselves_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    first = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 26)
    second = struct.pack("<HI", 0, 8)
    metadata = Metadata(exif=b"II*\x00" + struct.pack("<I", 8) + first + second)
    assert metadata.capture_info() == CaptureInfo()
    assert _inherited(metadata).exif == b""
    assert not caplog.records
