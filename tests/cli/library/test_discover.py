import os
from pathlib import Path, PurePath

import pytest

from conftest import write_photo
from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.library.discover import discover
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.library.source import Discovery, Ignored


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    return folder


def _touch(*paths: Path) -> Path:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths[0]


def _search(*paths: Path | str, output: Path | str = "out", **options: object) -> Discovery:
    return discover(Selection(tuple(map(Path, paths)), **options), Path(output))  # type: ignore[arg-type]


def _listed(*names: Path | str, paths: tuple[Path, ...] = (), **options: object) -> Discovery:
    return _search(*paths, listed=tuple(map(Path, names)), **options)


def _relatives(found: Discovery) -> list[str]:
    return [str(source.relative) for source in found.sources]


def _noted(passed: tuple[Ignored, ...]) -> list[tuple[str, str]]:
    return [(one.path.name, one.reason) for one in passed]


# Named paths


def test_photos_come_in_the_order_of_the_paths_and_once_each(photos: Path) -> None:
    _touch(photos / "b" / "2.jpg", photos / "b" / "1.jpg", photos / "a" / "3.jpg")
    found = _search(photos / "b", photos / "b" / "2.jpg", photos)
    assert _relatives(found) == ["1.jpg", "2.jpg", "a/3.jpg"]
    assert found.roots == (photos / "b", photos)


@pytest.mark.parametrize("named", ["~/a/1.jpg", "~/**/*.jpg", "~/a"])
def test_quotes_do_not_keep_home_from_being_found(photos: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    _touch(photos / "a" / "1.jpg")
    monkeypatch.setenv("HOME", str(photos))
    assert len(_search(Path(named)).sources) == 1


def test_a_named_file_is_mirrored_by_its_name_alone(photos: Path) -> None:
    found = _search(_touch(photos / "a" / "1.jpg"))
    assert _relatives(found) == ["1.jpg"]
    assert found.roots == (photos / "a",)


def test_relative_paths_start_from_a_root(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "a" / "1.jpg", photos / "2.jpg", tmp_path / "x" / "y.jpg", photos / "deep" / "er" / "z.jpg")
    found = _search(photos / "a", "x/y.jpg", "photos/*/er")
    assert len(found.sources) == 3
    for source in found.sources:
        assert source.path in {root / source.relative for root in found.roots}


def test_each_problem_is_reported_once(photos: Path) -> None:
    (photos / "sub").mkdir()
    os.mkfifo(photos / "sub" / "pipe.jpg")
    (photos / "sub" / "broken.jpg").symlink_to("nowhere")
    found = _search(photos / "sub", photos, "photos/*", follow_symlinks=True)
    assert [name for name, _ in _noted(found.skipped)] == ["pipe.jpg"]
    assert [name for name, _ in _noted(found.unreadable)] == ["broken.jpg"]


def test_size_and_time_are_taken_on_the_way(photos: Path) -> None:
    path = write_photo(photos / "a.jpg")
    for found in (_search(photos), _search(path), _listed(path)):
        (source,) = found.sources
        assert (source.size_bytes, source.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)


def test_a_folder_named_through_a_link_keeps_the_name_the_user_knows(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "a.jpg")
    (tmp_path / "link").symlink_to(photos)
    (source,) = _search("link").sources
    assert source.path == tmp_path / "link" / "a.jpg"


def test_dots_after_a_link_are_resolved_as_the_system_does(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "inner" / "b.jpg", photos / "a.jpg", tmp_path / "a.jpg")
    (tmp_path / "link").symlink_to(photos / "inner")
    (source,) = _search("link/../a.jpg").sources
    assert source.path == photos / "a.jpg"


def test_missing_path_is_refused(photos: Path) -> None:
    with pytest.raises(ShotcropError, match=r"no\.jpg: No such file or directory") as caught:
        _search(photos / "no.jpg")
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_listed_url_fails_alone(photos: Path) -> None:
    found = _listed("s3://bucket/a.jpg", _touch(photos / "a.jpg"))
    assert [source.name for source in found.sources] == ["a.jpg"]
    assert "s3:// is not supported yet" in found.unreadable[0].reason


@pytest.mark.parametrize("path", ["s3://bucket/x", Path("s3://bucket/x"), "file:///photos"])
def test_a_url_is_refused(photos: Path, path: Path | str) -> None:
    with pytest.raises(ShotcropError, match=r"(s3|file)://"):
        _search(path)


def test_named_files_that_are_no_photos_are_skipped_with_a_reason(photos: Path) -> None:
    _touch(photos / "notes.txt", photos / "._a.jpg")
    os.mkfifo(photos / "pipe.jpg")
    for found in (
        _search(*(photos / name for name in ("notes.txt", "._a.jpg", "pipe.jpg"))),
        _listed("notes.txt", "._a.jpg", "pipe.jpg", paths=(photos,)),
    ):
        assert found.sources == found.unreadable == ()
        assert _noted(found.skipped) == [
            ("notes.txt", "not a photo by its name"),
            ("._a.jpg", "not a photo by its name"),
            ("pipe.jpg", "not a regular file"),
        ]


def test_a_hidden_photo_that_is_named_or_listed_is_wanted(photos: Path) -> None:
    hidden = _touch(photos / ".private" / ".a.jpg")
    assert _relatives(_search(hidden)) == [".a.jpg"]
    assert _relatives(_search(photos / ".private", hidden=True)) == [".a.jpg"]
    assert _relatives(_listed(".private/.a.jpg", paths=(photos,))) == [".private/.a.jpg"]


def test_a_named_folder_that_is_ignored_is_reported(photos: Path) -> None:
    _touch(photos / "@eaDir" / "a.jpg", photos / "Old.photoslibrary" / "resources" / "a.jpg")
    found = _search(photos / "@eaDir", photos / "Old.photoslibrary")
    assert found.sources == ()
    assert [name for name, _ in _noted(found.skipped)] == ["@eaDir", "Old.photoslibrary"]


def test_includes_and_excludes_hold_for_named_and_listed_files(photos: Path) -> None:
    _touch(photos / "a.jpg", photos / "b.png", photos / "drafts" / "c.jpg")
    assert _relatives(_search(photos / "a.jpg", photos / "b.png", excludes=("*.png",))) == ["a.jpg"]
    listed = _listed("a.jpg", "b.png", "drafts/c.jpg", paths=(photos,), includes=("*.jpg",), excludes=("drafts/",))
    assert _relatives(listed) == ["a.jpg"]


# Crops


@pytest.mark.parametrize(
    "named", ["photos/shots", "photos/shots/2026", "photos/shots/2026/a.jpg", "link", "photos/l.jpg"]
)
def test_input_among_the_output_is_refused(photos: Path, tmp_path: Path, named: str) -> None:
    crop = _touch(photos / "shots" / "2026" / "a.jpg")
    (tmp_path / "link").symlink_to(crop.parent)
    (photos / "l.jpg").symlink_to(crop)
    why = "the folder of the photos and the output" if named == "photos/shots" else "inside the output folder"
    with pytest.raises(ShotcropError, match=f"{named}: {why}") as caught:
        _search(named, output=photos / "shots")
    assert caught.value.hint


def test_the_folder_of_the_photos_is_refused_as_output(photos: Path) -> None:
    _touch(photos / "a.jpg")
    with pytest.raises(ShotcropError, match="the folder of the photos and the output folder are the same"):
        _search(photos, output="photos")


@pytest.mark.parametrize("named", ["photos", "photos/2026", "photos/2026/a.jpg"])
def test_crops_of_another_run_are_refused_as_input(photos: Path, named: str) -> None:
    _touch(photos / LOCK_NAME, photos / "2026" / "a.jpg")
    with pytest.raises(ShotcropError, match="inside the output folder of this or another run"):
        _search(named)


def test_patterns_and_lists_that_include_crops_leave_them_out(photos: Path) -> None:
    _touch(photos / "a.jpg", photos / "shots" / "b.jpg", photos / "old" / LOCK_NAME, photos / "old" / "x" / "c.jpg")
    (photos / "link.jpg").symlink_to("old/x/c.jpg")
    swept = _search("photos/**/*.jpg", output="photos/shots")
    assert _relatives(swept) == ["a.jpg"]
    listed = _listed("a.jpg", "shots/b.jpg", "old/x/c.jpg", "link.jpg", paths=(photos,), output="photos/shots")
    assert _relatives(listed) == ["a.jpg"]
    assert swept.skipped == swept.unreadable == listed.skipped == listed.unreadable == ()


@pytest.mark.parametrize("pattern", ["photos/shots/*.jpg", "photos/*/*.jpg", "photos/s*"])
def test_a_pattern_that_matches_crops_alone_is_no_error(photos: Path, pattern: str) -> None:
    _touch(photos / "shots" / "b.jpg")
    assert _search(pattern, output="photos/shots").sources == ()


# Patterns


def test_patterns_are_expanded_and_mirrored_from_their_fixed_folder(photos: Path) -> None:
    _touch(photos / "2025" / "a.jpg", photos / "2026" / "b.jpg", photos / "2026" / "deep" / "c.jpg", photos / "d.jpg")
    found = _search("photos/2*/*.jpg")
    assert _relatives(found) == ["2025/a.jpg", "2026/b.jpg"]
    assert found.roots == (photos,)
    assert _relatives(_search(photos / "**" / "[bc].jpg")) == ["2026/b.jpg", "2026/deep/c.jpg"]
    assert _relatives(_search("photos/*6")) == ["2026/b.jpg", "2026/deep/c.jpg"]
    assert _relatives(_search("photos/*6", recursive=False)) == ["2026/b.jpg"]
    assert _relatives(_search("*/**", recursive=False)) == [f"photos/{name}" for name in _relatives(_search(photos))]


def test_a_file_that_is_called_like_a_pattern_is_that_file(photos: Path) -> None:
    _touch(photos / "a[1].jpg", photos / "a1.jpg")
    assert _relatives(_search("photos/a[1].jpg")) == ["a[1].jpg"]


@pytest.mark.parametrize("pattern", ["photos/*.png", "nowhere/*.jpg", "photos/**/x?.jpg"])
def test_a_pattern_without_match_is_refused_by_name(photos: Path, pattern: str) -> None:
    _touch(photos / "a.jpg")
    with pytest.raises(ShotcropError) as caught:
        _search("photos/*.jpg", pattern)
    assert caught.value.message == f"{pattern}: matches nothing"
    assert caught.value.hint


def test_patterns_match_neither_hidden_nor_ignored_files(photos: Path) -> None:
    _touch(photos / "a.jpg", photos / ".b.jpg", photos / ".c" / "d.jpg", photos / "@eaDir" / "e.jpg")
    _touch(photos / "private" / ".nomedia", photos / "private" / "f.jpg")
    assert _relatives(_search("photos/**/*.jpg")) == ["a.jpg"]
    assert _relatives(_search("photos/**/*.jpg", hidden=True)) == [".b.jpg", ".c/d.jpg", "a.jpg"]


def test_a_pattern_for_photos_that_are_all_excluded_is_no_error(photos: Path) -> None:
    _touch(photos / "a.png")
    assert _search("photos/*.png", excludes=("*.png",)).sources == ()


# Lists


def test_listed_names_are_relative_to_the_named_folder(photos: Path) -> None:
    _touch(photos / "a" / "1.jpg", photos / "2.jpg", photos / "3.jpg")
    found = _listed("a/1.jpg", photos / "2.jpg", "./a/../2.jpg", paths=(photos,))
    assert _relatives(found) == ["a/1.jpg", "2.jpg"]
    assert found.roots == (photos,)


def test_listed_names_without_a_folder_are_relative_to_the_current_one(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "a.jpg", tmp_path / "b.jpg")
    os.chdir(photos)
    found = _listed("a.jpg", "../b.jpg")
    assert _relatives(found) == ["a.jpg", str(PurePath(*tmp_path.parts[1:], "b.jpg"))]
    assert found.roots == (photos, Path("/"))


def test_a_listed_name_that_cannot_be_taken_fails_alone(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "a.jpg", tmp_path / "b.jpg", tmp_path / "photos-2" / "c.jpg")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    names = ("gone.jpg", "../b.jpg", tmp_path / "photos-2" / "c.jpg", "loop.jpg", "a.jpg")
    found = _listed(*names, paths=(photos,))
    assert _relatives(found) == ["a.jpg"]
    assert _noted(found.unreadable) == [
        ("gone.jpg", "cannot be accessed: No such file or directory"),
        ("b.jpg", f"outside of {photos}"),
        ("c.jpg", f"outside of {photos}"),
        ("loop.jpg", "cannot be accessed: Too many levels of symbolic links"),
    ]


def test_a_listed_folder_is_skipped(photos: Path) -> None:
    _touch(photos / "a" / "1.jpg")
    found = _listed("photos", "photos/a/1.jpg")
    assert _relatives(found) == ["photos/a/1.jpg"]
    assert _noted(found.skipped) == [("photos", "a folder; a list has to name photos")]


def test_a_list_takes_one_folder_at_most(photos: Path) -> None:
    photo = _touch(photos / "a.jpg")
    for paths in ((photos, photos), (photo,), (photos / "gone",)):
        with pytest.raises(ShotcropError, match="PATH has to be the one folder") as caught:
            _listed("a.jpg", paths=paths)
        assert caught.value.hint


# RAW and JPEG


def test_a_raw_file_next_to_a_jpeg_or_heic_is_the_same_photo(photos: Path) -> None:
    _touch(photos / "IMG_1.CR2", photos / "img_1.jpg", photos / "b.dng", photos / "b.HEIC", photos / "alone.nef")
    _touch(photos / "c.dng", photos / "c.png", photos / "sub" / "alone.jpg")
    found = _search(photos)
    assert _relatives(found) == ["alone.nef", "b.HEIC", "c.dng", "c.png", "img_1.jpg", "sub/alone.jpg"]
    assert _noted(found.skipped) == [
        ("IMG_1.CR2", "the same photo as img_1.jpg"),
        ("b.dng", "the same photo as b.HEIC"),
    ]


def test_a_raw_file_is_one_photo_with_its_jpeg_when_both_are_named(photos: Path) -> None:
    _touch(photos / "a.cr2", photos / "a.jpg")
    for found in (_search(photos / "a.cr2", photos / "a.jpg"), _listed("a.jpg", "a.cr2", paths=(photos,))):
        assert _relatives(found) == ["a.jpg"]
        assert _noted(found.skipped) == [("a.cr2", "the same photo as a.jpg")]


def test_a_raw_file_is_a_photo_where_its_jpeg_is_not_asked_for(photos: Path) -> None:
    _touch(photos / "a.cr2", photos / "a.jpg")
    assert _relatives(_search(photos / "a.cr2")) == ["a.cr2"]
    assert _relatives(_search(photos, excludes=("*.jpg",))) == ["a.cr2"]


# Names


def test_any_name_a_file_system_takes_survives(photos: Path) -> None:
    names = [b"new\nline.jpg", b"tab\t.jpg", b"back\\slash.jpg", b"-.jpg", "\U0001f4f7.jpg".encode(), b"\xff\xfe.jpg"]
    for name in names:
        (photos / os.fsdecode(name)).write_bytes(b"x")
    for found in (_search(photos), _search("photos/*.jpg"), _listed(*map(os.fsdecode, sorted(names)), paths=(photos,))):
        assert [os.fsencode(source.relative) for source in found.sources] == sorted(names)
        assert all(source.path.read_bytes() == b"x" for source in found.sources)
