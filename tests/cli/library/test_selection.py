import glob
import io
import os
import sys
from itertools import product
from pathlib import Path, PurePath
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.library.selection import Filter, Wildcard, read_list


def test_without_patterns_everything_is_taken() -> None:
    assert Filter().accepts_photo("a/b.jpg")
    assert Filter().accepts_folder("a")


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.png", "a/b.png", "a/b.jpg"),
        ("/a.jpg", "a.jpg", "b/a.jpg"),
        ("drafts/", "2026/drafts/a.jpg", "2026/drafts"),
        ("2026/*.jpg", "2026/a.jpg", "x/2026/a.jpg"),
        ("**/raw/**", "a/raw/b/c.jpg", "raw.jpg"),
        ("IMG_[0-4]*", "IMG_3.jpg", "IMG_7.jpg"),
        ("#recycle", "#recycle/a.jpg", "recycle/a.jpg"),
        ("*.jpg", "a\nb.jpg", "a\nb.png"),
        ("cache/", "x\ny/cache/a\nb.jpg", "x\ny/a.jpg"),
        ("a?.jpg", "a\udcff.jpg", "b\udcff.jpg"),
        ("a?.jpg", "a\n.jpg", "a\n\n.jpg"),
    ],
)
def test_patterns_are_those_of_gitignore(pattern: str, matching: str, other: str) -> None:
    assert not Filter(excludes=[pattern]).accepts_photo(matching)
    assert Filter(excludes=[pattern]).accepts_photo(other)
    assert Filter(includes=[pattern]).accepts_photo(matching)
    assert not Filter(includes=[pattern]).accepts_photo(other)


def test_one_include_is_enough_and_one_exclude_too_much() -> None:
    wanted = Filter(["*.jpg", "*.png"], ["b.*"])
    assert wanted.accepts_photo("a.jpg")
    assert wanted.accepts_photo("a.png")
    assert not wanted.accepts_photo("a.webp")
    assert not wanted.accepts_photo("b.jpg")


def test_an_excluded_folder_is_not_entered() -> None:
    assert not Filter(excludes=["drafts"]).accepts_folder("2026/drafts")
    assert Filter(excludes=["drafts"]).accepts_folder("2026")
    assert Filter(includes=["2026/"]).accepts_folder("2025")


def test_an_exception_from_an_exclude_is_reached() -> None:
    wanted = Filter(excludes=["2026/**", "!2026/kept.jpg"])
    assert wanted.accepts_folder("2026")
    assert wanted.accepts_photo("2026/kept.jpg")
    assert not wanted.accepts_photo("2026/a.jpg")


@pytest.mark.parametrize("pattern", ["", " ", "/", "!", "\\", "a[", "[z-a].jpg"])
@pytest.mark.parametrize("flag", ["include", "exclude"])
def test_a_pattern_that_is_none_is_a_usage_error_that_names_it(flag: str, pattern: str) -> None:
    with pytest.raises(ShotcropError) as caught:
        Filter(**{f"{flag}s": ["*.jpg", pattern]})
    assert caught.value.message == f"--{flag} {pattern!r}: not a pattern"
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint


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


def test_case_counts_as_in_a_shell_but_not_in_extensions() -> None:
    for pattern, name, expected in (
        ("*.jpg", "A.JPG", True),
        ("*.JPG", "a.jpg", True),
        ("IMG_*.Jpg", "IMG_1.jpG", True),
        ("IMG_*.jpg", "img_1.jpg", False),
        ("*.[j]pg", "A.JPG", False),
        ("*.jpg", "A.JPEG", False),
        ("*jpg", "A.JPG", False),
        (".jpg", "JPG", False),
    ):
        assert _matches(Wildcard(Path(), (pattern,)), PurePath(name)) is expected, (pattern, name)


@pytest.mark.parametrize("pattern", ["*.jpg", "*.JPG", "*.[Jj]pg", "img_*", "2026/", "/2026/**/*.jPg", "*.jp?"])
def test_includes_and_excludes_ignore_case(pattern: str) -> None:
    names = ("2026/IMG_1.JPG", "2026/img_1.jpg")
    included, excluded = Filter(includes=[pattern]), Filter(excludes=[pattern])
    assert all(map(included.accepts_photo, names))
    assert not any(map(excluded.accepts_photo, names))
    assert not included.accepts_photo("2027/pic.png")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["a.jpg\r\nsub/Zo\u00eb \u5199\u771f.jpg\r\n", "a.jpg\nsub/Zo\u00eb \u5199\u771f.jpg"])
@pytest.mark.parametrize("mark", [True, False])
def test_lists_that_windows_programs_write_are_read(tmp_path: Path, encoding: str, text: str, mark: bool) -> None:
    content = text.encode(encoding)
    if encoding.endswith("e") and mark:
        content = "\ufeff".encode(encoding) + content
    assert _names(tmp_path, content) == [b"a.jpg", "sub/Zo\u00eb \u5199\u771f.jpg".encode()]


def test_bytes_that_look_like_a_mark_stay_in_a_list_with_nul(tmp_path: Path) -> None:
    for name in (b"\xff\xfea.jpg", b"\xfe\xffa.jpg", b"\xef\xbb\xbfa.jpg"):
        assert _names(tmp_path, name + b"\0", null=True) == [name]


def test_damaged_utf_16_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="not valid UTF-16"):
        _names(tmp_path, "a.jpg\n".encode("utf-16") + b"\x00")


def _names(tmp_path: Path, content: bytes, *, null: bool = False) -> list[bytes]:
    path = tmp_path / "list"
    path.write_bytes(content)
    return [os.fsencode(name) for name in read_list(str(path), null=null)]


def test_names_are_read_line_by_line(tmp_path: Path) -> None:
    assert _names(tmp_path, b"a.jpg\r\n\n  \nsub/b c.jpg\n\xff.jpg") == [b"a.jpg", b"sub/b c.jpg", b"\xff.jpg"]


def test_names_that_end_with_nul_keep_every_other_byte(tmp_path: Path) -> None:
    content = b"a\nb.jpg\0c\r\0\0\xfe\xff.jpg\0 d .jpg"
    assert _names(tmp_path, content, null=True) == [b"a\nb.jpg", b"c\r", b"\xfe\xff.jpg", b" d .jpg"]


def test_names_are_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a.jpg\0b.jpg\0")))
    assert read_list("-", null=True) == (Path("a.jpg"), Path("b.jpg"))


def test_a_list_on_a_closed_standard_input_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ShotcropError, match="standard input is closed"):
        read_list("-", null=False)


def test_an_empty_list_names_nothing(tmp_path: Path) -> None:
    assert _names(tmp_path, b"") == []


def test_a_list_with_nul_asks_for_the_flag(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="end with NUL") as caught:
        _names(tmp_path, b"a.jpg\0b.jpg\0")
    assert caught.value.hint == "add -0"


@pytest.mark.parametrize("name", ["gone", "."])
def test_a_list_that_cannot_be_read_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ShotcropError, match="the list of photos cannot be read") as caught:
        read_list(str(tmp_path / name), null=False)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "\n" not in caught.value.message
