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
from shotcrop_cli.imaging.metadata import exif, jpeg, xmp
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


def test_without_metadata_there_is_only_the_mark_of_a_crop() -> None:
    inherited = _inherited(Metadata())
    assert inherited == Metadata(xmp=inherited.xmp)
    assert inherited.xmp == xmp.mark_as_crop(b"")
    assert len(inherited.xmp) < 400
    assert _inherited(Metadata(), MetadataPolicy.NONE) == Metadata()


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


def _exif(order: str, main: dict[int, tuple[int, bytes]], camera: dict[int, tuple[int, bytes]] | None = None) -> bytes:
    """Return a block with entries of any type, written without the code under test."""

    def directory(entries: dict[int, tuple[int, bytes]], start: int) -> bytes:
        sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}
        rows, values = b"", b""
        for tag, (kind, value) in sorted(entries.items()):
            stored = value.ljust(4, b"\x00")
            if len(value) > 4:
                stored = struct.pack(f"{order}I", start + 2 + 12 * len(entries) + 4 + len(values))
                values += value + b"\x00" * (len(value) % 2)
            rows += struct.pack(f"{order}HHI", tag, kind, len(value) // sizes[kind]) + stored
        return struct.pack(f"{order}H", len(entries)) + rows + bytes(4) + values

    start = b"II*\x00" if order == "<" else b"MM\x00*"
    if camera:
        main = {**main, 0x8769: (4, bytes(4))}
        place = 8 + len(directory(main, 8))
        main[0x8769] = (4, struct.pack(f"{order}I", place))
        return start + struct.pack(f"{order}I", 8) + directory(main, 8) + directory(camera, place)
    return start + struct.pack(f"{order}I", 8) + directory(main, 8)


def _entries(block: bytes) -> dict[int, tuple[int, bytes]]:
    """Return types and values of IFD0 and the Exif directory, read without the code under test."""
    block = block.removeprefix(b"Exif\x00\x00")
    order = "<" if block.startswith(b"II") else ">"
    found: dict[int, tuple[int, bytes]] = {}
    starts = [struct.unpack_from(f"{order}I", block, 4)[0]]
    for start in starts:
        for row in range(start + 2, start + 2 + 12 * struct.unpack_from(f"{order}H", block, start)[0], 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", block, row)
            size = count * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}[kind]
            place = row + 8 if size <= 4 else struct.unpack_from(f"{order}I", block, row + 8)[0]
            if tag == 0x8769:
                starts.append(struct.unpack_from(f"{order}I", block, row + 8)[0])
            else:
                found[tag] = kind, block[place : place + size]
    return found


@pytest.mark.parametrize("order", ["<", ">"])
def test_types_are_those_that_the_camera_wrote(order: str) -> None:
    main = {
        0x010E: (129, "Straße".encode() + b"\x00"),
        0x0213: (3, struct.pack(f"{order}H", 2)),
        0x4746: (4, struct.pack(f"{order}I", 5)),  # a rating as LONG
        0x9C9B: (1, "Título".encode("utf-16-le")),
    }
    camera = {
        0x9000: (7, b"0232"),
        0x9101: (7, b"\x01\x02\x03\x00"),
        0x9204: (10, struct.pack(f"{order}ii", -2, 3)),
        0x9206: (5, struct.pack(f"{order}II", 0xFFFFFFFF, 1)),  # infinity
        0x829A: (5, struct.pack(f"{order}II", 10, 2500)),  # not reduced
        0x9286: (7, b"UNICODE\x00" + "Grüße".encode("utf-16-le")),
        0xA300: (7, b"\x03"),
        0xA301: (7, b"\x01"),
        0xA002: (3, struct.pack(f"{order}H", 6000)),
        0xA003: (4, struct.pack(f"{order}I", 4000)),
        0xA500: (12, struct.pack(f"{order}d", 2.2)),
    }
    kept = _entries(_inherited(Metadata(exif=_exif(order, main, camera))).exif)
    assert kept.pop(0x0112) == (3, struct.pack(f"{order}H", 1))
    assert kept.pop(0xA002) == (3, struct.pack(f"{order}H", 300))
    assert kept.pop(0xA003) == (4, struct.pack(f"{order}I", 200))
    assert kept == {tag: entry for tag, entry in (main | camera).items() if tag not in (0xA002, 0xA003)}


_IDS = {
    0xA420: (2, b"0123456789abcdef0123456789abcdef\x00"),
    0x9211: (4, b"\x07\x00\x00\x00"),
    0x9213: (2, b"developed twice\x00"),
    0x9102: (5, struct.pack("<II", 5, 1)),
    0xA004: (2, b"SOUND001.WAV\x00"),
}
_SERIAL_NUMBERS = {0xA431: (2, b"042000001\x00"), 0xA435: (2, b"0000c15998\x00")}
_OWNER = {0xA430: (2, b"Ana\x00")}


@pytest.mark.parametrize("policy", [MetadataPolicy.SAFE, MetadataPolicy.ALL])
def test_unique_ids_are_removed_and_serial_numbers_follow_the_policy(policy: MetadataPolicy) -> None:
    stored = Metadata(exif=_exif("<", {}, _IDS | _SERIAL_NUMBERS | _OWNER))
    kept = _entries(_inherited(stored, policy).exif)
    assert set(kept) - {0x0112, 0xA002, 0xA003} == set(
        _OWNER if policy is MetadataPolicy.SAFE else _OWNER | _SERIAL_NUMBERS
    )


_MAP = {
    0x830E: (12, struct.pack("<3d", 0.5, 0.5, 0)),
    0x8482: (12, struct.pack("<6d", 0, 0, 0, 13.405, 52.52, 0)),
    0x87AF: (3, struct.pack("<4H", 1, 1, 0, 0)),
    0x87B0: (12, struct.pack("<d", 6378137)),
    0x87B1: (2, b"WGS 84|\x00"),
    0xA480: (2, b"<GDALMetadata/>\x00"),
}


@pytest.mark.parametrize("position", [0x8482, 0x85D8])
@pytest.mark.parametrize("policy", [MetadataPolicy.SAFE, MetadataPolicy.ALL])
def test_places_on_the_map_are_found_and_removed(position: int, policy: MetadataPolicy) -> None:
    entries = {tag: entry for tag, entry in _MAP.items() if tag != 0x8482} | {
        position: (12, struct.pack("<16d", *range(16)))
    }
    stored = Metadata(exif=_exif("<", {**entries, 0x0131: (2, b"gdal\x00")}))
    assert stored.capture_info().has_gps
    kept = _inherited(stored, policy)
    assert set(_entries(kept.exif)) == {0x0131, 0x0112}
    assert not kept.capture_info().has_gps
    told = ("the place on the map was left out: a GeoTIFF gives it for the whole photo",)
    assert kept.notes == (told if policy is MetadataPolicy.ALL else ())


def test_keywords_of_windows_that_are_coordinates_count_as_gps() -> None:
    keywords = "Ana;geo:lat=47.37;geo:lon=8.54;geology\x00".encode("utf-16-le")
    stored = Metadata(exif=_exif("<", {0x9C9E: (1, keywords)}))
    assert stored.capture_info().has_gps
    assert _entries(_inherited(stored, MetadataPolicy.ALL).exif)[0x9C9E] == (1, keywords)
    kept = _inherited(stored)
    assert _entries(kept.exif)[0x9C9E] == (1, "Ana;geology\x00".encode("utf-16-le"))
    assert not kept.capture_info().has_gps


def test_an_altitude_alone_is_no_position() -> None:
    exif = Image.Exif()
    exif[0x8825] = {0: b"\x02\x03\x00\x00", 5: b"\x00", 6: 100.0}
    assert not Metadata(exif=exif.tobytes()).capture_info().has_gps


def _dated(**texts: str) -> Metadata:
    tags = {"taken": 0x9003, "taken_offset": 0x9011, "taken_fraction": 0x9291}
    tags |= {"digitised": 0x9004, "digitised_offset": 0x9012, "digitised_fraction": 0x9292}
    camera = {tags[name]: (2, text.encode() + b"\x00") for name, text in texts.items()}
    return Metadata(exif=_exif(">", {}, camera)) if camera else Metadata()


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"taken": "2024:05:01 10:11:12"}, "2024-05-01T10:11:12"),
        (
            {"taken": "2024:05:01 10:11:12", "taken_offset": "+02:00", "taken_fraction": "05"},
            "2024-05-01T10:11:12.05+02:00",
        ),
        ({"taken": "2024:05:01 10:11:12", "taken_offset": "Z"}, "2024-05-01T10:11:12Z"),
        ({"taken": "2024:05:01 10:11:12", "taken_offset": "   :  ", "taken_fraction": "  "}, "2024-05-01T10:11:12"),
        ({"taken": "2024:05:01 10:11:12", "taken_offset": "+99:99", "taken_fraction": "x"}, "2024-05-01T10:11:12"),
        ({"taken": "2024-05-01T10:11:12.5+0200"}, "2024-05-01T10:11:12.5+02:00"),
        ({"taken": "2024/05/01 10:11:12"}, "2024-05-01T10:11:12"),
        ({"taken": "2024:05:01"}, "2024-05-01"),
        (
            {"digitised": "2024:05:01 10:00:00", "digitised_offset": "-03:30", "digitised_fraction": "250"},
            "2024-05-01T10:00:00.250-03:30",
        ),
        ({"taken": "2023:01:02 03:04:05", "digitised": "2024:05:01 10:00:00"}, "2023-01-02T03:04:05"),
        ({"taken": "0000:00:00 00:00:00", "digitised": "2024:05:01 10:00:00"}, "2024-05-01T10:00:00"),
        *(({"taken": wrong}, None) for wrong in ("0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:01 10:00:00")),
        *(({"taken": wrong}, None) for wrong in ("2024:02:30 10:00:00", "2024:05:01 24:00:00", "2024:05:01 10:61:00")),
        *(({"taken": wrong}, None) for wrong in ("", "yesterday", "2024", "2024:05", "2024:05:01 10:00:00 and more")),
    ],
)
def test_times_are_valid_iso_8601_or_none(stored: dict[str, str], expected: str | None) -> None:
    assert _dated(**stored).capture_info().captured_at == expected


@pytest.mark.parametrize(
    ("attributes", "iptc", "expected"),
    [
        ('exif:DateTimeOriginal="2024-05-01T10:00:00+02:00"', b"", "2024-05-01T10:00:00+02:00"),
        ('photoshop:DateCreated="2024-05-01T10:00:00.25Z"', b"", "2024-05-01T10:00:00.25Z"),
        ('xmp:CreateDate="2024-05-01T10:00"', b"", "2024-05-01T10:00:00"),
        ('xmp:CreateDate="2022-01-01" exif:DateTimeOriginal="2024-05-01"', b"", "2024-05-01"),
        ('xmp:ModifyDate="2024-05-01T10:00:00"', b"", None),
        (
            'exif:DateTimeOriginal="2024-05-01T10:00:00" exifEX:OffsetTimeOriginal="+02:00" '
            'exif:SubSecTimeOriginal="25"',
            b"",
            "2024-05-01T10:00:00.25+02:00",
        ),
        (
            'xmp:CreateDate="2024-05-01T10:00:00.5Z" exif:OffsetTimeDigitized="+02:00" exif:SubSecTimeDigitized="25"',
            b"",
            "2024-05-01T10:00:00.5Z",
        ),
        ('xmp:CreateDate="2024-05"', b"", None),
        ("", data_set(2, 55, b"20240501"), "2024-05-01"),
        ("", data_set(2, 55, b"20240501") + data_set(2, 60, b"101112+0200"), "2024-05-01T10:11:12+02:00"),
        ("", data_set(2, 55, b"20240501") + data_set(2, 60, b"999999"), "2024-05-01"),
        ("", data_set(2, 62, b"20240501") + data_set(2, 63, b"101112-0500"), "2024-05-01T10:11:12-05:00"),
        ("", data_set(2, 55, b"20240500"), None),
        ('xmp:CreateDate="2024-05-01T10:00:00"', data_set(2, 55, b"20230101"), "2024-05-01T10:00:00"),
        ('xmp:CreateDate="0000-00-00"', data_set(2, 55, b"20230101"), "2023-01-01"),
    ],
)
def test_times_come_from_xmp_then_from_iptc(attributes: str, iptc: bytes, expected: str | None) -> None:
    stored = Metadata(xmp=packet("", attributes), iptc=iptc)
    assert stored.capture_info().captured_at == expected
    newer = replace(stored, exif=_dated(digitised="2025:01:01 00:00:00").exif)
    assert newer.capture_info().captured_at == "2025-01-01T00:00:00"


def test_a_time_may_be_an_element() -> None:
    body = "<exif:DateTimeOriginal>2024-05-01T10:00:00</exif:DateTimeOriginal>"
    assert Metadata(xmp=packet(body)).capture_info().captured_at == "2024-05-01T10:00:00"
    nested = "<dc:source><rdf:Description exif:DateTimeOriginal='2024-05-01T10:00:00'/></dc:source>"
    assert Metadata(xmp=packet(nested)).capture_info().captured_at is None


def test_camera_and_lens_come_from_xmp_if_exif_has_none() -> None:
    described = packet("", 'tiff:Make="Canon" tiff:Model="Canon EOS R5" aux:Lens="RF85mm F1.2 L USM"')
    info = Metadata(xmp=described).capture_info()
    assert (info.camera, info.lens) == ("Canon EOS R5", "RF85mm F1.2 L USM")
    newer = packet("", 'tiff:Make="FUJIFILM" tiff:Model="X-T3" exifEX:LensModel="XF35" aux:Lens="other"')
    info = Metadata(xmp=newer).capture_info()
    assert (info.camera, info.lens) == ("FUJIFILM X-T3", "XF35")
    assert Metadata(_RICH.exif, newer).capture_info().camera == "Canon EOS R5"


@pytest.mark.parametrize("form", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"])
def test_orientation_in_xmp_counts_if_exif_has_none(form: str) -> None:
    described = packet(form) if form.startswith("<") else packet("", form)
    assert Metadata(xmp=described).orientation == 6
    assert Metadata(rich_exif(_THUMBNAIL, orientation=3), described).orientation == 3
    assert Metadata(rich_exif(_THUMBNAIL, orientation=0), described).orientation == 1
    kept = _inherited(Metadata(xmp=described)).xmp
    assert b'Orientation="1"' in kept or b"Orientation>1<" in kept


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.binary(max_size=300), st.sampled_from([b"II*\x00", b"MM\x00*", b"Exif\x00\x00II*\x00\x08\x00\x00\x00"]))
def test_any_bytes_are_read_without_error(tail: bytes, head: bytes) -> None:
    metadata = Metadata(exif=head + tail)
    assert 1 <= metadata.orientation <= 8
    assert metadata.capture_info() is not None
    assert len(_inherited(metadata).exif) <= 2 * len(metadata.exif) + 100


@given(
    st.binary(max_size=300),
    st.sampled_from([b"II*\x00", b"MM\x00*", b"II+\x00", b"Exif\x00\x00II*\x00\x08\x00\x00\x00"]),
)
def test_any_block_can_be_stored_in_every_format(tail: bytes, head: bytes) -> None:
    described = Metadata(exif=head + tail).for_crop(MetadataPolicy.ALL, 30, 20)
    content, notes = jpeg.insert(jpeg_bytes(picture(8, 8)), described)
    assert content.startswith(b"\xff\xd8")
    assert notes == ()
    for order in ("II", "MM"):
        empty = order.encode() + struct.pack("<HIHI" if order == "II" else ">HIHI", 42, 8, 0, 0)
        assert exif.insert_into_tiff(empty, described.exif, xmp=described.xmp).startswith(empty[:4])
    assert isinstance(exif.without_orientation(described.exif), bytes)
    assert isinstance(exif.add_iptc(described.exif, CITY), bytes)


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
