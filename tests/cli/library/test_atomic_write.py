import os
from pathlib import Path

import pytest

from conftest import names_in
from shotcrop_cli.errors import OutputError, PhotoError
from shotcrop_cli.library.atomic_write import NewFile, is_temporary, put_in_place


def test_files_appear_whole_with_the_time_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "a.jpg"
    put_in_place([NewFile(file, b"content", mtime_ns=1_000_000_000)], root=tmp_path)
    assert file.read_bytes() == b"content"
    assert file.stat().st_mtime_ns == 1_000_000_000
    assert names_in(file.parent) == ["a.jpg"]


def test_a_failed_write_leaves_what_was_there_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crop, sidecar = tmp_path / "a.jpg", tmp_path / "a.json"
    crop.write_bytes(b"old crop")
    sidecar.write_bytes(b"old sidecar")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        put_in_place([NewFile(crop, b"new"), NewFile(sidecar, b"new")], root=tmp_path, obsolete=[sidecar])
    assert (crop.read_bytes(), sidecar.read_bytes()) == (b"old crop", b"old sidecar")
    assert names_in(tmp_path) == ["a.jpg", "a.json"]


def test_a_lost_output_folder_is_noticed_and_not_made_again(tmp_path: Path) -> None:
    root = tmp_path / "gone"
    with pytest.raises(OutputError, match="is gone"):
        put_in_place([NewFile(root / "a.jpg", b"x")], root=root)
    assert not root.exists()


def test_a_name_too_long_costs_one_photo_not_the_run(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="File name too long"):
        put_in_place([NewFile(tmp_path / ("a" * 300), b"x")], root=tmp_path)
    assert names_in(tmp_path) == []


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(PhotoError, match=r"/a\.jpg: cannot be written"):
        put_in_place([NewFile(tmp_path / "a.jpg", b"x")], root=tmp_path)


def test_a_name_that_the_file_system_refuses_costs_one_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_self: Path, target: Path) -> Path:
        raise OSError(22, "Invalid argument", "temporary", None, str(target))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(PhotoError, match=r"12:30\.jpg: cannot be written: Invalid argument"):
        put_in_place([NewFile(tmp_path / "12:30.jpg", b"x")], root=tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "expected"), [(".shotcrop-12ab.tmp", True), (".shotcrop.lock", False), ("a.tmp", False)]
)
def test_temporaries_are_recognised_by_name(name: str, expected: bool) -> None:
    assert is_temporary(name) is expected


def test_every_file_is_on_the_disk_before_the_first_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(number: int) -> None:
        fsync(number)
        steps.append(("sync", Path(f"/dev/fd/{number}").read_text()))

    def renamed(path: Path, target: Path) -> Path:
        steps.append(("rename", path.read_text()))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    contents = [f"content {number}" for number in range(20)]
    put_in_place(
        [NewFile(tmp_path / f"{text}.jpg", text.encode(), mtime_ns=10**18) for text in contents], root=tmp_path
    )
    assert steps == [("sync", text) for text in contents] + [("rename", text) for text in contents]
    assert {path.stat().st_mtime_ns for path in tmp_path.iterdir()} == {10**18}


def test_few_files_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, most = os.fsync, list[int]()

    def counted(number: int) -> None:
        fsync(number)
        most.append(len(os.listdir("/dev/fd")))  # noqa: PTH208

    monkeypatch.setattr(os, "fsync", counted)
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    put_in_place([NewFile(tmp_path / f"{number}.jpg", b"x") for number in range(50)], root=tmp_path)
    assert len(most) == 50 and max(most) - before <= 8
