from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from named_faces import apple, as_elements, microsoft, mwg, packet
from shotcrop_cli.imaging.metadata.face_regions import (
    FaceRegion,
    name_people,
    read_face_regions,
    regions_of_photo,
    upright,
)
from shotcrop_cli.shots import SHOT_TYPES, Box, Person, Shot

ANNA, BEN = Box(0.2, 0.1, 0.4, 0.3), Box(0.6, 0.1, 0.8, 0.3)


def person(head: Box | None) -> Person:
    return Person(None, head, None, 0.5, tuple(Shot(kind, Box(0.0, 0.0, 1.0, 1.0)) for kind in SHOT_TYPES))


def approx(box: Box) -> object:
    return pytest.approx(tuple(box), abs=1e-6)


@pytest.mark.parametrize(
    "written",
    [
        mwg(("Anna  Ek", ANNA)),
        as_elements("Anna Ek", ANNA),
        microsoft("Anna Ek", ANNA),
        apple(ANNA, name="Anna Ek"),
        apple(ANNA, name="Anna Ek", prefix="ns1"),  # a prefix means nothing, its namespace does
    ],
)
def test_regions_of_photo_programs_are_read(written: bytes) -> None:
    (region,) = read_face_regions(written)
    assert region.name == "Anna Ek"
    assert tuple(region.box) == approx(ANNA)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"<no xml",
        b"<a/>",
        mwg(("", ANNA)),
        mwg(("_UNKNOWN_", ANNA)),
        microsoft("_UNKNOWN_", ANNA),
        apple(ANNA, BEN),
        apple(ANNA, prefix="ns1"),
        mwg(("Rex", ANNA), kind="Pet"),
        mwg(("Anna", ANNA)).replace(b"normalized", b"pixel"),
        mwg(("Anna", ANNA)).replace(b"stArea:w='0.2", b"stArea:w='none"),
        mwg(("Anna", ANNA)).replace(b"stArea:x='0.3", b"stArea:x='7.3"),
        microsoft("Anna", ANNA).replace(b"0.2, 0.1,", b"nan, 0.1,"),
        microsoft("Anna", ANNA).replace(b"0.2, 0.1,", b"0.1,"),
    ],
)
def test_what_is_no_named_face_is_ignored(written: bytes) -> None:
    assert read_face_regions(written) == ()


def test_regions_without_names_do_not_hide_those_with_names(tmp_path: Path) -> None:
    """An exporter adds the names of a library to a photo whose camera marked all faces."""
    both = apple(ANNA, BEN).replace(b"<mwg-rs:Type>Face</mwg-rs:Type>", b"<mwg-rs:Name>Anna</mwg-rs:Name>", 1)
    assert [(region.name, tuple(region.box)) for region in read_face_regions(both)] == [("Anna", approx(ANNA))]
    (tmp_path / "IMG_1.xmp").write_bytes(apple(ANNA, BEN))
    assert [region.name for region in regions_of_photo(tmp_path / "IMG_1.jpg", mwg(("Ben", BEN)))] == ["Ben"]


def test_the_xmp_file_next_to_the_photo_comes_first(tmp_path: Path) -> None:
    photo = tmp_path / "IMG_1.jpg"
    inside = mwg(("Anna", ANNA))
    assert [region.name for region in regions_of_photo(photo, inside)] == ["Anna"]
    (tmp_path / "IMG_1.xmp").write_bytes(mwg(("Ben", BEN)))
    assert [region.name for region in regions_of_photo(photo, inside)] == ["Ben"]
    (tmp_path / "IMG_1.jpg.xmp").write_bytes(mwg(("Cleo", BEN)))
    assert [region.name for region in regions_of_photo(photo, inside)] == ["Cleo"]
    (tmp_path / "IMG_1.jpg.xmp").write_bytes(packet(""))  # a rating, say, and no faces
    assert [region.name for region in regions_of_photo(photo, inside)] == ["Ben"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_stored_box_is_turned_as_its_pixels_are(orientation: int) -> None:
    stored = Image.new("L", (60, 40))
    stored.paste(255, (6, 4, 24, 12))
    stored.getexif()[0x0112] = orientation
    turned = ImageOps.exif_transpose(stored)
    box = upright(Box(0.1, 0.1, 0.4, 0.3), orientation)
    found = turned.getbbox()
    assert found == pytest.approx(
        (box.x0 * turned.width, box.y0 * turned.height, box.x1 * turned.width, box.y1 * turned.height), abs=1e-6
    )


@given(st.integers(1, 8), st.booleans())
def test_names_find_their_heads_however_the_photo_is_turned(orientation: int, is_upright: bool) -> None:
    people = [person(BEN), person(None), person(Box(0.45, 0.6, 0.55, 0.7)), person(ANNA)]
    back = {6: 8, 8: 6}.get(orientation, orientation)  # all others are their own inverse
    regions = [
        FaceRegion(name, box if is_upright else upright(box, back)) for name, box in (("Anna", ANNA), ("Ben", BEN))
    ]
    assert [one.name for one in name_people(people, regions, orientation)] == ["Ben", None, None, "Anna"]


def test_each_name_belongs_to_one_person_and_far_regions_to_no_one() -> None:
    regions = [FaceRegion("Anna", Box(0.22, 0.14, 0.38, 0.28)), FaceRegion("Far", Box(0.0, 0.8, 0.1, 0.9))]
    people = [person(Box(0.25, 0.12, 0.45, 0.32)), person(ANNA)]
    assert [one.name for one in name_people(people, regions, 1)] == [None, "Anna"]
    assert [one.name for one in name_people(people, [], 1)] == [None, None]
    whole = FaceRegion("Anna", Box(0.0, 0.0, 1.0, 1.0))  # a region of the whole photo says nothing
    assert [one.name for one in name_people([person(ANNA)], [whole], 1)] == [None]
