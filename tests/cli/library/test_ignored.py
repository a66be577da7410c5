import pytest

from shotcrop_cli.library.ignored import is_ignored_file, is_ignored_folder, is_photo_library


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "$Recycle.Bin", "lost+found", "@Recently-Snapshot", ".Trash-1000", "A.lrdata"]
)
def test_ignored_folders_are_recognised_in_any_case(name: str) -> None:
    assert is_ignored_folder(name)
    assert is_ignored_folder(name.upper())


@pytest.mark.parametrize("name", ["2026", "recycle", "Trash", "thumbnails", "lrdata", "snapshot", "@home"])
def test_folders_that_may_hold_photos_are_not_ignored(name: str) -> None:
    assert not is_ignored_folder(name)


def test_files_of_the_system_are_distinguished_from_hidden_photos() -> None:
    assert is_ignored_file("._IMG_1.jpg")
    assert is_ignored_file(".trashed-1700000000-IMG_1.jpg")
    assert not is_ignored_file(".IMG_1.jpg")


def test_packages_of_photo_programs_are_known() -> None:
    assert is_photo_library("Photos Library.photoslibrary")
    assert not is_photo_library("photoslibrary")
