import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import SWAPPED_PROFILE, jpeg_bytes, picture
from metadata_samples import CAPTION, CITY, KEPT, UTF8, data_set, resources
from shotcrop_cli.imaging.metadata import iptc, jpeg
from shotcrop_cli.imaging.metadata.policy import Metadata


def test_texts_are_kept_byte_for_byte() -> None:
    assert iptc.for_crop(KEPT, keep_gps=True) == KEPT


@pytest.mark.parametrize(
    "leak",
    [
        data_set(2, 202, b"preview data"),
        data_set(2, 202, b"x" * 40_000),
        data_set(2, 200, b"\x00\x0b") + data_set(2, 201, b"\x00\x01"),
        data_set(2, 125, b"rasterised caption"),
        data_set(8, 10, b"the whole object"),
        data_set(2, 5, b"name " + jpeg_bytes(picture(16, 12))),
    ],
)
def test_images_are_removed_and_the_rest_is_kept(leak: bytes) -> None:
    assert iptc.for_crop(UTF8 + CITY + leak + CAPTION, keep_gps=True) == KEPT


def test_a_damaged_block_is_kept_up_to_the_damage() -> None:
    assert iptc.for_crop(KEPT + data_set(2, 80, b"Ana")[:-1], keep_gps=True) == KEPT
    assert iptc.for_crop(KEPT + b"\x00\x00\x00", keep_gps=True) == KEPT
    assert iptc.for_crop(b"\x1c\x02\x78\xff\xff", keep_gps=True) == b""


def test_the_block_is_found_among_other_resources() -> None:
    assert iptc.from_resources(resources((0x040C, b"thumbnail"), (0x0404, KEPT), (0x03ED, bytes(16)))) == KEPT
    assert iptc.from_resources(resources((0x040C, b"thumbnail"))) == b""
    assert iptc.from_resources(b"8BIM\x04") == b""


def test_inserting_iptc_leaves_the_jpeg_unchanged() -> None:
    plain = jpeg_bytes(picture(), icc_profile=SWAPPED_PROFILE, comment=b"hello")
    with_block, notes = jpeg.insert(plain, Metadata(iptc=KEPT))
    image = Image.open(io.BytesIO(with_block))
    assert image.info["photoshop"] == {iptc.RESOURCE: KEPT}
    assert image.info["icc_profile"] == SWAPPED_PROFILE
    assert image.info["comment"] == b"hello"
    assert image.tobytes() == Image.open(io.BytesIO(plain)).tobytes()
    assert notes == ()


def test_a_block_too_long_for_a_marker_is_left_out_with_a_note() -> None:
    plain = jpeg_bytes(picture())
    content, notes = jpeg.insert(plain, Metadata(iptc=data_set(2, 120, b"x" * 65_530)))
    assert content == plain
    assert len(notes) == 1
    assert "IPTC of 65,5" in notes[0]
    assert jpeg.insert(plain, Metadata()) == (plain, ())
    longest = data_set(2, 120, b"x" * 65_400)
    content, notes = jpeg.insert(plain, Metadata(iptc=longest))
    assert (Image.open(io.BytesIO(content)).info["photoshop"], notes) == ({iptc.RESOURCE: longest}, ())


@pytest.mark.parametrize(
    "stored",
    [
        data_set(1, 100, b"unique name of the object"),
        data_set(2, 187, b"unique document id"),
        data_set(2, 40, b"FBMD0a000a6e"),
        data_set(2, 221, b"0:0:0:000001"),
    ],
    ids=["unique name", "document id", "Facebook", "Photo Mechanic"],
)
def test_what_identifies_or_describes_the_photo_is_removed(stored: bytes) -> None:
    assert iptc.for_crop(UTF8 + stored + CITY + CAPTION, keep_gps=True) == KEPT


def test_keywords_that_are_coordinates_count_as_gps() -> None:
    keywords = data_set(2, 25, b"geotagged") + data_set(2, 25, b"geo:lat=47.37") + data_set(2, 25, b"geology")
    assert iptc.for_crop(UTF8 + keywords, keep_gps=True) == UTF8 + keywords
    assert iptc.has_position(keywords)
    kept = iptc.for_crop(keywords, keep_gps=False)
    assert kept == data_set(2, 25, b"geotagged") + data_set(2, 25, b"geology")
    assert not iptc.has_position(kept)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_error_and_editing_is_idempotent(noise: bytes) -> None:
    edited = iptc.for_crop(b"\x1c\x02" + noise, keep_gps=True)
    assert iptc.for_crop(edited, keep_gps=True) == edited
    assert len(iptc.from_resources(b"8BIM" + noise)) <= len(noise)
