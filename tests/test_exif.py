import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import jpeg_bytes, picture, rich_exif
from shotcrop_cli.imaging.exif import EXIF_POINTER, Entry, Exif, parse

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}


@st.composite
def plain_entries(draw: st.DrawFn) -> tuple[Entry, ...]:
    tags = draw(st.lists(st.integers(0x0100, 0x8000), unique=True, max_size=6))
    entries = []
    for tag in sorted(tags):
        kind = draw(st.sampled_from(sorted(_SIZES)))
        count = draw(st.integers(1, 5))
        size = count * _SIZES[kind]
        entries.append(Entry(tag, kind, count, draw(st.binary(min_size=size, max_size=size))))
    return tuple(entries)


@given(order=st.sampled_from("<>"), entries=plain_entries(), below=plain_entries())
def test_what_is_written_is_read_back_unchanged(
    order: str, entries: tuple[Entry, ...], below: tuple[Entry, ...]
) -> None:
    if below:
        entries = (*entries, Entry(EXIF_POINTER, 4, 1, b"", below))
    exif = Exif(order, entries)
    assert parse(exif.to_bytes()).entries == entries


@given(st.binary(max_size=300), st.sampled_from([b"II*\x00", b"MM\x00*", b"Exif\x00\x00II*\x00\x08\x00\x00\x00"]))
def test_any_bytes_are_read_without_error(tail: bytes, head: bytes) -> None:
    assert len(parse(head + tail).to_bytes()) <= 2 * len(head + tail) + 100


def test_entries_that_share_their_bytes_do_not_multiply_them() -> None:
    shared = b"x" * 10_000
    count = 3_000
    rows = b"".join(struct.pack("<HHII", 0x100 + i, 7, len(shared), 10 + 12 * count) for i in range(count))
    block = b"II*\x00" + struct.pack("<IH", 8, count) + rows + shared
    kept = sum(len(entry.value) for entry in parse(block).entries)
    assert 0 < kept <= len(block)


def test_a_directory_that_points_to_itself_ends() -> None:
    block = b"II*\x00" + struct.pack("<IHHHII", 8, 1, EXIF_POINTER, 4, 1, 8) + b"\x00" * 4
    assert parse(block).text(0x010F) is None


@pytest.mark.parametrize("tag", [0x010F, 0x9003])
def test_texts_agree_with_pillow(tag: int) -> None:
    block = rich_exif(jpeg_bytes(picture(16, 12)))
    pillow = Image.Exif()
    pillow.load(block)
    assert parse(block).text(tag) == {**pillow, **pillow.get_ifd(EXIF_POINTER)}[tag]
