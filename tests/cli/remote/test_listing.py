"""Listings are read in parts, and every file of the output finds its photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.library.selection import Selection
from shotcrop_cli.remote.listing import PhotoSearch, parts
from shotcrop_cli.storage.interface import Entry


class Listed:
    """A storage that can only be listed, in the order of an object store."""

    def __init__(self, names: list[str]) -> None:
        self.names = sorted(names, key=str.encode)
        self.read = 0

    def list(self, *, start: str = "", below: str = "") -> Iterator[Entry]:
        for name in self.names:
            if name.encode() >= start.encode() and name.startswith(below):
                self.read += 1
                yield Entry(name, 1, 1)


_NAMES = st.text("ab-._/Z~é", min_size=1, max_size=6).filter(lambda name: "//" not in name and name[0] != "/")


@given(st.sets(_NAMES.map(lambda name: f"{name}x.jpg"), max_size=12), st.integers(1, 5))
def test_every_file_finds_its_photo_whatever_the_size_of_the_parts(photos: set[str], size: int) -> None:
    suffixes = (".json", ".medium.jpg", ".medium.jpg.xmp", ".close_up.jpg.bak.2")
    names = [f"{photo}{suffix}" for photo in photos for suffix in suffixes]
    output = Listed([*names, ".shotcrop.lock", "other/z.txt"])
    ordered = (Entry(photo, 1, 1) for photo in sorted(photos, key=str.encode))
    found: dict[str, dict[str, Entry]] = {}
    for part in parts(ordered, output, size):  # type: ignore[arg-type]
        assert len(part.photos) <= size
        found |= part.files
    assert found.keys() == photos
    for photo in photos:
        others = [other for other in photos if len(other) > len(photo) and other.startswith(f"{photo}.")]
        own = {f"{photo}{suffix}" for suffix in suffixes}
        assert own - {f"{other}{suffix}" for other in others for suffix in suffixes} <= found[photo].keys()
    assert output.read <= len(output.names)


def test_the_output_is_listed_once() -> None:
    photos = [f"{number:04}.jpg" for number in range(1_000)]
    output = Listed([f"{photo}{suffix}" for photo in photos for suffix in (".json", ".medium.jpg")])
    ordered = (Entry(photo, 1, 1) for photo in photos)
    found = list(parts(ordered, output, 10))  # type: ignore[arg-type]
    assert len(found) == 100 and all(len(files) == 2 for part in found for files in part.files.values())
    assert output.read == 2_000


def _found(*names: str, output: str = "s3://b/out", **selection: object) -> list[str]:
    search = PhotoSearch(Selection((Path("s3://b/in"),), **selection), output, "s3://b/in")  # type: ignore[arg-type]
    entries = (Entry(name, 1, 1) for name in sorted(names, key=str.encode))
    return [entry.name for entry in search.photos(entries)]


def test_the_search_has_the_rules_of_a_local_one() -> None:
    names = ("a.jpg", "a.txt", ".b.jpg", "x/.c/d.jpg", "@eaDir/e.jpg", "L.photoslibrary/f.jpg", "._g.jpg", "h/i.JPG")
    assert _found(*names) == ["a.jpg", "h/i.JPG"]
    assert _found(*names, recursive=False) == ["a.jpg"]
    assert ".b.jpg" in _found(*names, hidden=True) and "x/.c/d.jpg" in _found(*names, hidden=True)
    assert _found(*names, includes=("*.jpg",), excludes=("h/",)) == ["a.jpg"]


def test_raw_files_give_way_to_a_jpeg_of_the_same_name() -> None:
    assert _found("a.CR2", "a.jpg", "b.CR2") == ["a.jpg", "b.CR2"]


def test_outputs_and_folders_marked_for_galleries_are_left_out() -> None:
    assert _found("shots/.shotcrop.lock", "shots/a.jpg", "b.jpg", "c/.nomedia", "c/d.jpg") == ["b.jpg"]
    assert _found("shots/a.jpg", "b.jpg", output="s3://b/in/shots") == ["b.jpg"]


def test_names_that_no_file_can_have_are_left_out() -> None:
    assert _found("a//b.jpg", "../c.jpg", "d/./e.jpg", "f.jpg", hidden=True) == ["f.jpg"]
