import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import SWAPPED_PROFILE, jpeg_bytes, picture
from metadata_samples import CAPTION, CITY, KEPT, UTF8, data_set, resources
from shotcrop_cli.imaging.metadata import iptc


def test_texts_are_kept_byte_for_byte() -> None:
    assert iptc.without_images(KEPT) == KEPT


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
    assert iptc.without_images(UTF8 + CITY + leak + CAPTION) == KEPT


def test_a_damaged_block_is_kept_up_to_the_damage() -> None:
    assert iptc.without_images(KEPT + data_set(2, 80, b"Ana")[:-1]) == KEPT
    assert iptc.without_images(KEPT + b"\x00\x00\x00") == KEPT
    assert iptc.without_images(b"\x1c\x02\x78\xff\xff") == b""


def test_the_block_is_found_among_other_resources() -> None:
    assert iptc.from_resources(resources((0x040C, b"thumbnail"), (0x0404, KEPT), (0x03ED, bytes(16)))) == KEPT
    assert iptc.from_resources(resources((0x040C, b"thumbnail"))) == b""
    assert iptc.from_resources(b"8BIM\x04") == b""


def test_inserting_iptc_leaves_the_jpeg_unchanged() -> None:
    plain = jpeg_bytes(picture(), icc_profile=SWAPPED_PROFILE, comment=b"hello")
    with_block = iptc.insert_into_jpeg(plain, KEPT)
    image = Image.open(io.BytesIO(with_block))
    assert image.info["photoshop"] == {iptc.RESOURCE: KEPT}
    assert image.info["icc_profile"] == SWAPPED_PROFILE
    assert image.info["comment"] == b"hello"
    assert image.tobytes() == Image.open(io.BytesIO(plain)).tobytes()


def test_a_block_too_long_for_a_marker_is_dropped() -> None:
    plain = jpeg_bytes(picture())
    assert iptc.insert_into_jpeg(plain, data_set(2, 120, b"x" * 65_530)) == plain
    assert iptc.insert_into_jpeg(plain, b"") == plain
    longest = data_set(2, 120, b"x" * 65_400)
    assert Image.open(io.BytesIO(iptc.insert_into_jpeg(plain, longest))).info["photoshop"] == {iptc.RESOURCE: longest}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_error_and_editing_is_idempotent(noise: bytes) -> None:
    edited = iptc.without_images(b"\x1c\x02" + noise)
    assert iptc.without_images(edited) == edited
    assert len(iptc.from_resources(b"8BIM" + noise)) <= len(noise)
