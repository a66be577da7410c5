import pytest

from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.library.selection import Filter


def test_without_patterns_everything_is_taken() -> None:
    assert Filter().takes("a/b.jpg")
    assert Filter().enters("a")


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
    assert not Filter(excludes=[pattern]).takes(matching)
    assert Filter(excludes=[pattern]).takes(other)
    assert Filter(includes=[pattern]).takes(matching)
    assert not Filter(includes=[pattern]).takes(other)


def test_one_include_is_enough_and_one_exclude_too_much() -> None:
    wanted = Filter(["*.jpg", "*.png"], ["b.*"])
    assert wanted.takes("a.jpg")
    assert wanted.takes("a.png")
    assert not wanted.takes("a.webp")
    assert not wanted.takes("b.jpg")


def test_an_excluded_folder_is_not_entered() -> None:
    assert not Filter(excludes=["drafts"]).enters("2026/drafts")
    assert Filter(excludes=["drafts"]).enters("2026")
    assert Filter(includes=["2026/"]).enters("2025")


def test_an_exception_from_an_exclude_is_reached() -> None:
    wanted = Filter(excludes=["2026/**", "!2026/kept.jpg"])
    assert wanted.enters("2026")
    assert wanted.takes("2026/kept.jpg")
    assert not wanted.takes("2026/a.jpg")


@pytest.mark.parametrize("pattern", ["", " ", "/", "!", "\\", "a[", "[z-a].jpg"])
@pytest.mark.parametrize("flag", ["include", "exclude"])
def test_a_pattern_that_is_none_is_a_usage_error_that_names_it(flag: str, pattern: str) -> None:
    with pytest.raises(ShotcropError) as caught:
        Filter(**{f"{flag}s": ["*.jpg", pattern]})
    assert caught.value.message == f"--{flag} {pattern!r}: not a pattern"
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint
