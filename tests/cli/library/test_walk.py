import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.imaging.formats import FORMATS, format_of, format_of_name
from shotcrop_cli.library.discover import discover
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.library.source import Discovery


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def _touch(*paths: Path) -> Path:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths[0]


def _search(*paths: Path, output: Path | None = None, **options: object) -> Discovery:
    return discover(Selection(paths, **options), output or paths[0].parent / "out")  # type: ignore[arg-type]


def _relatives(found: Discovery) -> list[str]:
    return [str(source.relative) for source in found.sources]


def test_tree_is_walked_in_a_fixed_order_and_mirrored(photos: Path) -> None:
    for name in ("b.jpg", "a/2.PNG", "a/1.jpeg", "a/b/3.heic", "c.webp", "d.tiff", "e.txt", "f"):
        _touch(photos / name)
    assert _relatives(_search(photos)) == ["a/1.jpeg", "a/2.PNG", "a/b/3.heic", "b.jpg", "c.webp", "d.tiff"]


def test_only_the_files_in_the_folder_itself_are_taken_without_recursion(photos: Path) -> None:
    _touch(photos / "a.jpg", photos / "sub" / "b.jpg", photos / "album.jpg" / "c.jpg")
    found = _search(photos, recursive=False)
    assert _relatives(found) == ["a.jpg"]
    assert found.skipped == ()


def test_hidden_and_ignored_files_are_left_out(photos: Path) -> None:
    for name in (".hidden.jpg", "._a.jpg", ".thumbs/a.jpg", "@eaDir/a.jpg", "$Recycle.Bin/a.jpg", "private/.nomedia"):
        _touch(photos / name)
    _touch(photos / "private" / "a.jpg", photos / "Previews.lrdata" / "a.dng", photos / "kept.jpg")
    found = _search(photos)
    assert _relatives(found) == ["kept.jpg"]
    assert found.skipped == ()


def test_hidden_photos_are_taken_on_request_and_ignored_files_never(photos: Path) -> None:
    for name in (
        ".hidden.jpg",
        ".album/a.jpg",
        "._a.jpg",
        ".trashed-1-a.jpg",
        ".thumbnails/a.jpg",
        ".Trash-1000/a.jpg",
    ):
        _touch(photos / name)
    _touch(photos / "private" / ".nomedia", photos / "private" / "a.jpg")
    assert _relatives(_search(photos, hidden=True)) == [".album/a.jpg", ".hidden.jpg"]


def test_a_folder_that_is_named_itself_is_wanted_in_spite_of_nomedia(photos: Path) -> None:
    _touch(photos / ".nomedia", photos / "a.jpg")
    assert _relatives(_search(photos)) == ["a.jpg"]


def test_a_photo_library_is_reported_and_not_searched(photos: Path) -> None:
    _touch(photos / "My Photos.photoslibrary" / "originals" / "a.jpg")
    found = _search(photos)
    assert found.sources == ()
    ((passed),) = found.skipped
    assert passed.path == photos / "My Photos.photoslibrary"
    assert _relatives(_search(photos / "My Photos.photoslibrary" / "originals")) == ["a.jpg"]


def test_a_folder_named_like_a_photo_is_searched_and_reported(photos: Path) -> None:
    _touch(photos / "album.jpg" / "a.jpg")
    found = _search(photos)
    assert _relatives(found) == ["album.jpg/a.jpg"]
    assert [(passed.path, passed.reason) for passed in found.skipped] == [
        (photos / "album.jpg", "a folder; its photos are searched")
    ]


def test_pipes_are_neither_opened_nor_found(photos: Path) -> None:
    os.mkfifo(photos / "a.jpg")
    os.mkfifo(photos / "pipe")
    found = _search(photos)
    assert found.sources == ()
    assert [(passed.path.name, passed.reason) for passed in found.skipped] == [("a.jpg", "not a regular file")]


def test_excluded_folders_are_not_even_listed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(photos / "drafts" / "a.jpg", photos / "kept" / "b.jpg", photos / "kept" / "c.png")
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(Path(folder).name) or scandir(folder))
    assert _relatives(_search(photos, excludes=("drafts/", "*.png"))) == ["kept/b.jpg"]
    assert listed == ["photos", "kept"]


def test_a_photo_has_to_match_an_include_and_no_exclude(photos: Path) -> None:
    _touch(photos / "2025" / "a.jpg", photos / "2026" / "a.jpg", photos / "2026" / "b.jpg", photos / "2026" / "c.png")
    assert _relatives(_search(photos, includes=("2026/",), excludes=("b.*", "*.png"))) == ["2026/a.jpg"]


# Crops


def test_output_tree_is_never_taken_for_input(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "a.jpg", photos / "shots" / "a.jpg.medium.jpg")
    link = tmp_path / "link"
    link.symlink_to(photos)
    assert _relatives(_search(photos, output=photos / "shots")) == ["a.jpg"]
    assert _relatives(_search(link, output=photos / "shots")) == ["a.jpg"]
    assert _relatives(_search(photos, output=link / "shots")) == ["a.jpg"]


def test_output_of_other_runs_is_left_out_too(photos: Path) -> None:
    _touch(photos / "old-shots" / LOCK_NAME, photos / "old-shots" / "2026" / "a.jpg.medium.jpg", photos / "a.jpg")
    assert _relatives(_search(photos)) == ["a.jpg"]


@pytest.mark.parametrize("target", ["", "2026", "2026/a.jpg"])
@pytest.mark.parametrize("marked", [True, False])
def test_no_link_leads_into_crops(photos: Path, tmp_path: Path, target: str, marked: bool) -> None:
    shots = tmp_path / "shots"
    _touch(shots / "2026" / "a.jpg", shots / LOCK_NAME if marked else shots / "other", photos / "b.jpg")
    (photos / "link.jpg").symlink_to(shots / target)
    found = _search(photos, output=tmp_path / "new" if marked else shots, follow_symlinks=True)
    assert _relatives(found) == ["b.jpg"]


# Links


def test_symbolic_links_are_left_out(photos: Path, tmp_path: Path) -> None:
    elsewhere = _touch(tmp_path / "elsewhere" / "a.jpg")
    (photos / "file.jpg").symlink_to(elsewhere)
    (photos / "folder").symlink_to(elsewhere.parent)
    (photos / "loop").symlink_to(photos)
    (photos / "broken.jpg").symlink_to("nowhere")
    found = _search(photos)
    assert found.sources == found.skipped == found.unreadable == ()


def test_links_are_followed_on_request(photos: Path, tmp_path: Path) -> None:
    elsewhere = _touch(tmp_path / "elsewhere" / "sub" / "a.jpg", tmp_path / "elsewhere" / "b.jpg")
    (photos / "file.jpg").symlink_to(elsewhere.parent.parent / "b.jpg")
    (photos / "folder").symlink_to(elsewhere.parent)
    found = _search(photos, follow_symlinks=True)
    assert _relatives(found) == ["file.jpg", "folder/a.jpg"]
    assert [source.path for source in found.sources] == [photos / "file.jpg", photos / "folder" / "a.jpg"]
    assert all(source.size_bytes == 1 for source in found.sources)


def test_a_loop_of_links_ends(photos: Path) -> None:
    _touch(photos / "a" / "b" / "1.jpg", photos / "c" / "2.jpg")
    (photos / "a" / "b" / "up").symlink_to(photos)
    (photos / "a" / "across").symlink_to(photos / "c")
    (photos / "c" / "across").symlink_to(photos / "a")
    assert _relatives(_search(photos, follow_symlinks=True)) == ["a/b/1.jpg", "c/2.jpg"]


def test_a_loop_of_links_ends_in_a_pattern(photos: Path) -> None:
    _touch(photos / "a" / "1.jpg")
    (photos / "a" / "up").symlink_to(photos)
    assert _relatives(_search(photos / "**" / "*.jpg", follow_symlinks=True)) == ["a/1.jpg"]


def test_a_linked_photo_keeps_the_place_where_it_lies(photos: Path) -> None:
    _touch(photos / "z" / "1.jpg", photos / "z" / "2.jpg")
    (photos / "best").mkdir()
    (photos / "best" / "1.jpg").symlink_to(photos / "z" / "1.jpg")
    (photos / "best" / "again.jpg").symlink_to("1.jpg")
    (photos / "all").symlink_to("z")
    assert _relatives(_search(photos, follow_symlinks=True)) == ["z/1.jpg", "z/2.jpg"]


def test_a_photo_that_several_links_lead_to_counts_once(photos: Path, tmp_path: Path) -> None:
    elsewhere = _touch(tmp_path / "elsewhere" / "a.jpg")
    (photos / "1.jpg").symlink_to(elsewhere)
    (photos / "2.jpg").symlink_to(elsewhere)
    (photos / "folder").symlink_to(elsewhere.parent)
    assert _relatives(_search(photos, tmp_path / "elsewhere", follow_symlinks=True)) == ["a.jpg"]
    assert _relatives(_search(photos, follow_symlinks=True)) == ["1.jpg"]


def test_a_loop_leads_to_nothing_that_is_excluded(photos: Path) -> None:
    _touch(photos / "a.jpg", photos / "private" / "b.jpg")
    (photos / "loop").symlink_to(photos)
    assert _relatives(_search(photos, follow_symlinks=True, excludes=("/private/",))) == ["a.jpg"]


def test_a_broken_link_with_the_name_of_a_photo_is_unreadable(photos: Path) -> None:
    (photos / "broken.jpg").symlink_to("nowhere")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    (photos / "excluded.jpg").symlink_to("nowhere")
    (photos / "broken").symlink_to("nowhere")
    found = _search(photos, follow_symlinks=True, excludes=("excluded.*",))
    assert [(passed.path.name, passed.reason) for passed in found.unreadable] == [
        (
            "broken.jpg",
            "a broken link (No such file or directory); fix or delete it, or do not follow links",
        ),
        (
            "loop.jpg",
            "a broken link (Too many levels of symbolic links); fix or delete it, or do not follow links",
        ),
    ]


def test_hard_links_are_photos_of_their_own(photos: Path) -> None:
    (photos / "b.jpg").hardlink_to(_touch(photos / "a.jpg"))
    assert _relatives(_search(photos, follow_symlinks=True)) == ["a.jpg", "b.jpg"]


# Trouble


def test_an_unreadable_folder_is_reported_and_the_rest_found(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(photos / "closed" / "a.jpg", photos / "open.jpg")
    scandir = os.scandir

    def guarded(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    found = _search(photos)
    assert _relatives(found) == ["open.jpg"]
    assert [(passed.path, passed.reason) for passed in found.unreadable] == [
        (photos / "closed", "cannot be listed: Permission denied")
    ]
    assert _search(photos / "c*" / "*.jpg").unreadable == found.unreadable


@contextmanager
def _chain(photos: Path, name: str, depth: int) -> Iterator[None]:
    """Make a photo in folders in folders, deeper than pathlib and shutil can make or remove them."""
    at = Path.cwd()
    os.chdir(photos)
    for _ in range(depth):
        Path(name).mkdir()
        os.chdir(name)
    Path("a.jpg").write_bytes(b"x")
    try:
        yield
    finally:
        Path("a.jpg").unlink()
        for _ in range(depth):
            os.chdir("..")
            Path(name).rmdir()
        os.chdir(at)


def test_a_tree_of_any_depth_is_walked(photos: Path) -> None:
    with _chain(photos, "d", 1500):
        found = _search(photos)
        by_pattern = _search(photos / "**" / "a.jpg")
    assert [source.relative for source in found.sources] == [PurePath(*["d"] * 1500, "a.jpg")]
    assert _relatives(by_pattern) == _relatives(found)


def test_a_path_too_long_for_the_system_is_reported(photos: Path) -> None:
    _touch(photos / "z.jpg")
    with _chain(photos, "d" * 250, 20):
        found = _search(photos)
    assert _relatives(found) == ["z.jpg"]
    assert [passed.reason for passed in found.unreadable] == ["cannot be accessed: File name too long"]


@given(
    st.text(st.sampled_from("ab.J"), max_size=4).map(lambda stem: stem + ".x"),
    st.sampled_from([*FORMATS, "", ".", ".txt"]),
)
def test_formats_by_name_are_those_by_path(stem: str, extension: str) -> None:
    for name in (stem + extension, stem + extension.upper(), extension or "x"):
        assert format_of_name(name) is format_of(Path(name))
