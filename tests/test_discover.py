import os
from pathlib import Path

import pytest

from conftest import write_photo
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.discover import Discovery, discover
from shotcrop_cli.library.lock import LOCK_NAME


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def _found(*paths: Path, output: Path) -> list[str]:
    return [str(source.relative) for source in discover(paths, output).sources]


def test_tree_is_walked_in_a_fixed_order_and_mirrored(photos: Path, tmp_path: Path) -> None:
    for name in ("b.jpg", "a/2.PNG", "a/1.jpeg", "a/b/3.heic", "c.webp", "d.tiff", "e.txt", "f"):
        _touch(photos / name)
    assert _found(photos, output=tmp_path / "out") == [
        "a/1.jpeg",
        "a/2.PNG",
        "a/b/3.heic",
        "b.jpg",
        "c.webp",
        "d.tiff",
    ]


def test_hidden_and_junk_are_left_out(photos: Path, tmp_path: Path) -> None:
    for name in (
        ".hidden.jpg",
        "._a.jpg",
        ".thumbs/a.jpg",
        "@eaDir/a.jpg",
        "#recycle/a.jpg",
        "private/.nomedia",
    ):
        _touch(photos / name)
    _touch(photos / "private" / "a.jpg")
    _touch(photos / "kept.jpg")
    assert _found(photos, output=tmp_path / "out") == ["kept.jpg"]


def test_symbolic_links_below_a_folder_are_left_out(photos: Path, tmp_path: Path) -> None:
    elsewhere = _touch(tmp_path / "elsewhere" / "a.jpg")
    (photos / "file.jpg").symlink_to(elsewhere)
    (photos / "folder").symlink_to(elsewhere.parent)
    (photos / "loop").symlink_to(photos)
    assert _found(photos, output=tmp_path / "out") == []


def test_a_folder_named_through_a_link_is_walked(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "a.jpg")
    link = tmp_path / "link"
    link.symlink_to(photos)
    (source,) = discover([link], tmp_path / "out").sources
    assert source.path == link / "a.jpg"


def test_output_tree_is_never_taken_for_input(photos: Path) -> None:
    _touch(photos / "a.jpg")
    _touch(photos / "shots" / "a.jpg.medium.jpg")
    assert _found(photos, output=photos / "shots") == ["a.jpg"]


def test_output_tree_is_known_through_a_link(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "shots" / "a.jpg.medium.jpg")
    link = tmp_path / "link"
    link.symlink_to(photos)
    assert _found(link, output=photos / "shots") == []


def test_output_of_other_runs_is_left_out_too(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "old-shots" / LOCK_NAME)
    _touch(photos / "old-shots" / "2026" / "a.jpg.medium.jpg")
    assert _found(photos, output=tmp_path / "out") == []


@pytest.mark.parametrize("named", ["shots", "shots/2026", "shots/2026/a.jpg", "."])
def test_input_among_the_output_is_refused(photos: Path, named: str) -> None:
    _touch(photos / "shots" / "2026" / "a.jpg")
    output = photos if named == "." else photos / "shots"
    with pytest.raises(ShotcropError, match="lies in the output folder"):
        discover([photos / named], output)


def test_crops_of_another_run_are_refused_as_input(photos: Path, tmp_path: Path) -> None:
    _touch(photos / LOCK_NAME)
    with pytest.raises(ShotcropError, match="holds crops of an earlier run"):
        discover([photos], tmp_path / "out")


def test_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match=r"no\.jpg: No such file or directory") as caught:
        discover([tmp_path / "no.jpg"], tmp_path / "out")
    assert caught.value.hint


def test_pipes_are_neither_opened_nor_found(photos: Path, tmp_path: Path) -> None:
    os.mkfifo(photos / "a.jpg")
    assert _found(photos, output=tmp_path / "out") == []
    with pytest.raises(ShotcropError, match="neither a file nor a folder"):
        discover([photos / "a.jpg"], tmp_path / "out")


def test_a_folder_named_like_a_photo_is_a_folder(photos: Path, tmp_path: Path) -> None:
    _touch(photos / "album.jpg" / "a.jpg")
    assert _found(photos, output=tmp_path / "out") == ["album.jpg/a.jpg"]


def test_overlapping_paths_yield_each_photo_once(photos: Path, tmp_path: Path) -> None:
    photo = _touch(photos / "sub" / "a.jpg")
    assert _found(photos, photos / "sub", photo, output=tmp_path / "out") == ["sub/a.jpg"]


def test_a_named_file_of_another_kind_is_reported(photos: Path, tmp_path: Path) -> None:
    text = _touch(photos / "notes.txt")
    found = discover([text], tmp_path / "out")
    assert found.sources == ()
    assert [passed.path for passed in found.ignored] == [text]


def test_an_unreadable_folder_is_reported(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(photos / "closed" / "a.jpg")
    _touch(photos / "open.jpg")
    scandir = os.scandir

    def guarded(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    found: Discovery = discover([photos], tmp_path / "out")
    assert [source.relative.name for source in found.sources] == ["open.jpg"]
    assert [(passed.path.name, passed.reason) for passed in found.unreadable] == [
        ("closed", "cannot be listed: Permission denied")
    ]


def test_size_and_time_are_taken_on_the_way(photos: Path, tmp_path: Path) -> None:
    path = write_photo(photos / "a.jpg")
    (source,) = discover([photos], tmp_path / "out").sources
    assert (source.size_bytes, source.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
