import glob
import os
from itertools import product
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.library.wildcard import Wildcard


def _matches(pattern: Wildcard, path: PurePath) -> bool:
    reached = pattern.start
    for name in path.parts:
        reached = pattern.step(reached, name)
    return pattern.accepts(reached)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for first, second in product(("a", "b", "ab"), repeat=2):
        (root / first / second).mkdir(parents=True)
        for name in ("a.jpg", "b.jpg", "ab"):
            (root / first / second / name).touch()
    return root


_PARTS = ["**", "*", "a*", "?", "[!a]*", "*.jpg", "a"]


@given(st.sampled_from(_PARTS[:-1]), st.lists(st.sampled_from(_PARTS), max_size=3))
def test_photos_are_those_that_glob_finds_or_finds_the_folder_of(tree: Path, first: str, others: list[str]) -> None:
    pattern = Wildcard.parse(Path(first, *others))
    assert pattern is not None
    by_glob = {Path(path) for path in glob.glob("/".join([first, *others]), root_dir=tree, recursive=True)}  # noqa: PTH207
    for folder, _, names in os.walk(tree):
        for name in names:
            photo = Path(folder, name).relative_to(tree)
            ways = (photo, *photo.parents)
            assert any(_matches(pattern, way) for way in ways) == (not by_glob.isdisjoint(ways))


def test_the_fixed_folder_ends_before_the_first_pattern() -> None:
    assert Wildcard.parse(Path("photos/2026/*/a[12].jpg")) == Wildcard(Path("photos/2026"), ("*", "a[12].jpg"))
    assert Wildcard.parse(Path("*.jpg")) == Wildcard(Path(), ("*.jpg",))
    assert Wildcard.parse(Path("photos/**")) == Wildcard(Path("photos"), ("**", "*"))
    assert Wildcard.parse(Path("/photos/?")) == Wildcard(Path("/photos"), ("?",))


def test_a_plain_path_is_no_pattern() -> None:
    assert Wildcard.parse(Path("photos/a.jpg")) is None


def test_folders_that_cannot_hold_a_match_are_known() -> None:
    pattern = Wildcard(Path(), ("2026", "*.jpg"))
    assert pattern.step(pattern.start, "2026")
    assert not pattern.step(pattern.start, "2025")
    assert not pattern.step(pattern.step(pattern.step(pattern.start, "2026"), "album.jpg"), "a.jpg")


def test_case_counts() -> None:
    assert not _matches(Wildcard(Path(), ("*.jpg",)), PurePath("A.JPG"))
