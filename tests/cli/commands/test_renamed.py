"""Crops follow photos that were renamed or moved, and those of deleted photos are listed and pruned."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, names_in, open_image, picture, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.output_folder import LOCK_NAME, ROOTS_NAME
from shotcrop_cli.main import cli
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")
BOX = {"x": 1, "y": 2, "width": 33, "height": 44}


def _run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def library(photos: Path, output: Path) -> Path:
    """Return a cropped library with work by hand in one photo."""
    write_photo(photos / "2026" / "IMG_1.JPG")
    write_photo(photos / "other.jpg", picture(90, 90))
    _run("crop", photos, "-o", output, "--xmp")
    sidecar = output / "2026" / "IMG_1.JPG.json"
    document = json.loads(sidecar.read_bytes())
    document["shots"][1]["box"] = BOX
    document["shots"][0]["caption"] = "Ana"
    sidecar.write_text(json.dumps(document), "utf-8")
    _run("apply", output)
    (output / "2026" / "IMG_1.JPG.medium.jpg.xmp").write_text("rated", "utf-8")
    _retouch(output / "2026" / "IMG_1.JPG.close_up.jpg")
    return photos


def _retouch(crop: Path) -> None:
    open_image(crop).convert("L").save(crop)


def _crops(folder: Path, name: str) -> dict[str, bytes]:
    """Return the crops and XMP files of a photo without its name."""
    files = folder.glob(f"{name}.*")
    return {path.name.removeprefix(name): path.read_bytes() for path in files if path.suffix in (".jpg", ".xmp")}


@pytest.mark.parametrize("new", ["2026/IMG_1.jpg", "2026/ana.jpeg", "ana/IMG_1.JPG", "ana/deep/ana.jpg", "IMG_1.JPG"])
def test_sidecar_edits_and_crops_follow(library: Path, output: Path, composer: FakeComposer, new: str) -> None:
    before = _crops(output / "2026", "IMG_1.JPG")
    record = read(output / "2026" / "IMG_1.JPG.json")
    (library / new).parent.mkdir(parents=True, exist_ok=True)
    (library / "2026" / "IMG_1.JPG").rename(library / new)
    composer.seen.clear()
    result = _run("crop", library, "-o", output, "--xmp", "--json")
    assert composer.seen == []
    assert "0 done, 2 unchanged" in result.stderr and "1 renamed photo recognised" in result.stderr
    former = {line["source"]: line["former"] for line in map(json.loads, result.stdout.splitlines())}
    assert former[str(library / new)] == str(library / "2026" / "IMG_1.JPG")
    folder, name = (output / new).parent, Path(new).name
    assert _crops(folder, name) == before
    followed = read(folder / f"{name}.json")
    assert followed.source.path == str(library / new)
    assert [shot.file for shot in followed.shots] == [
        f"{name}.{shot}.jpg" for shot in ("establishing", "medium", "close_up")
    ]
    assert [shot.box for shot in followed.shots] == [shot.box for shot in record.shots]
    assert [shot.caption for shot in followed.shots] == [shot.caption for shot in record.shots]
    assert [shot.edited for shot in followed.shots] == [True, True, False]
    assert not list(output.rglob("2026/IMG_1.JPG.*"))
    if not new.startswith("2026"):
        assert not (output / "2026").exists()
    again = _run("crop", library, "-o", output, "--xmp").stderr
    assert "2 unchanged" in again and "recognised" not in again


def test_a_retouched_crop_is_still_known_as_such_after_a_move(library: Path, output: Path) -> None:
    (library / "2026" / "IMG_1.JPG").rename(library / "ana.jpg")
    _run("crop", library, "-o", output, "--xmp")
    before = (output / "ana.jpg.close_up.jpg").read_bytes()
    assert "2 edited files kept" in _run("crop", library, "-o", output, "--xmp", "--quality", "50").stderr
    assert (output / "ana.jpg.close_up.jpg").read_bytes() == before


def test_backups_and_xmp_files_of_either_name_follow(library: Path, output: Path) -> None:
    folder = output / "2026"
    for name in ("IMG_1.JPG.medium.xmp", "IMG_1.JPG.medium.jpg.bak", "IMG_1.JPG.medium.jpg.bak.2"):
        (folder / name).write_text(name, "utf-8")
    (library / "2026" / "IMG_1.JPG").rename(library / "2026" / "b.jpg")
    _run("crop", library, "-o", output, "--xmp")
    for name in ("b.jpg.medium.xmp", "b.jpg.medium.jpg.bak", "b.jpg.medium.jpg.bak.2"):
        assert (folder / name).read_text("utf-8") == name.replace("b.jpg", "IMG_1.JPG")


@pytest.mark.parametrize("template", ["{shot}/{stem}.{ext}", "{stem}-{shot}.{ext}"])
def test_names_from_a_template_follow(photos: Path, output: Path, template: str) -> None:
    write_photo(photos / "a.jpg")
    options = ("-o", output, "--name-template", template)
    _run("crop", photos, *options)
    (photos / "a.jpg").rename(photos / "b.jpg")
    assert "0 done, 1 unchanged" in _run("crop", photos, *options).stderr
    names = [shot.file or "" for shot in read(output / "b.jpg.json").shots]
    assert names == [template.format(shot=s, stem="b", ext="jpg") for s in ("establishing", "medium", "close_up")]
    assert all((output / name).is_file() for name in names)


def test_rejected_shots_and_photos_stay_rejected(library: Path, output: Path) -> None:
    (output / "2026" / "IMG_1.JPG.medium.jpg").unlink()
    (library / "2026" / "IMG_1.JPG").rename(library / "b.jpg")
    result = _run("crop", library, "-o", output, "--xmp")
    assert "1 rejected crop left out" in result.stderr
    assert not (output / "b.jpg.medium.jpg").exists()


def test_a_copy_is_a_new_photo(library: Path, output: Path) -> None:
    shutil.copy2(library / "2026" / "IMG_1.JPG", library / "copy.jpg")
    assert "1 done, 2 unchanged" in _run("crop", library, "-o", output, "--xmp").stderr
    assert (output / "2026" / "IMG_1.JPG.json").exists() and (output / "copy.jpg.json").exists()


def test_of_two_equal_photos_each_keeps_its_own(photos: Path, output: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg"):
        write_photo(photos / name)
    _run("crop", photos, "-o", output)
    for name in "ab":
        sidecar = output / name / "x.jpg.json"
        sidecar.write_text(sidecar.read_text("utf-8").replace("the medium shot", f"of {name}"), "utf-8")
    _run("apply", output)
    (photos / "a").rename(photos / "c")
    (photos / "b" / "x.jpg").rename(photos / "b" / "y.jpg")
    assert "2 renamed photos recognised" in _run("crop", photos, "-o", output).stderr
    assert read(output / "c" / "x.jpg.json").shots[1].caption == "of a"
    assert read(output / "b" / "y.jpg.json").shots[1].caption == "of b"


def test_files_in_the_new_place_are_not_overwritten(library: Path, output: Path) -> None:
    own = output / "2026" / "b.jpg.medium.jpg"
    own.write_bytes(b"mine")
    (library / "2026" / "IMG_1.JPG").rename(library / "2026" / "b.jpg")
    result = _run("crop", library, "-o", output, "--xmp")
    assert own.read_bytes() == b"mine"
    assert "1 photo gone" in result.stderr and (output / "2026" / "IMG_1.JPG.json").exists()


def test_a_dry_run_says_so_and_changes_nothing(library: Path, output: Path) -> None:
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    (library / "2026" / "IMG_1.JPG").rename(library / "b.jpg")
    result = _run("crop", library, "-o", output, "--xmp", "-n")
    assert f"(renamed from {library}/2026/IMG_1.JPG, its crops would follow)" in result.stdout
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("killed_at", range(10))
def test_a_killed_run_moves_the_rest_later(
    library: Path, output: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    before = _crops(output / "2026", "IMG_1.JPG")
    (library / "2026" / "IMG_1.JPG").rename(library / "b.jpg")
    count = 0

    def killed(change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal count
            if self.is_relative_to(output) and not self.name.startswith(".shotcrop."):
                count += 1
                if count > killed_at:
                    raise SystemExit(99)
            return change(self, *arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink"):
            patch.setattr(Path, name, killed(getattr(Path, name)))
        CliRunner().invoke(cli, list(map(str, ("crop", library, "-o", output, "--xmp"))))
    _run("crop", library, "-o", output, "--xmp")
    assert _crops(output, "b.jpg") == before
    record = read(output / "b.jpg.json")
    assert ([shot.edited for shot in record.shots], record.shots[1].box.width) == ([True, True, False], 33)
    assert not any(shot.rejected for shot in record.shots)


class TestTakenNames:
    """Photos that got the name of another photo."""

    def _edit(self, sidecar: Path) -> None:
        document = json.loads(sidecar.read_bytes())
        document["shots"][1]["box"] = BOX
        sidecar.write_text(json.dumps(document), "utf-8")

    def _three(self, photos: Path, output: Path, edited: str = "") -> None:
        for number in (1, 2):
            write_photo(photos / f"{number}.jpg", picture(100 + 10 * number, 80))
        write_photo(photos / "other.jpg", picture(90, 90))
        _run("crop", photos, "-o", output)
        for name in edited:
            self._edit(output / f"{name}.jpg.json")
        _run("apply", output)

    def _widths(self, output: Path) -> dict[str, int]:
        return {path.name.split(".")[0]: read(path).source.width for path in output.glob("*.json")}

    def test_without_work_by_hand_every_photo_gets_its_own_crops(self, photos: Path, output: Path) -> None:
        self._three(photos, output)
        (photos / "2.jpg").rename(photos / "3.jpg")
        (photos / "1.jpg").rename(photos / "2.jpg")
        _run("crop", photos, "-o", output)
        assert {**self._widths(output), "other": 0} == {"2": 110, "3": 120, "other": 0}

    def test_edits_follow_a_photo_that_replaced_another(self, photos: Path, output: Path) -> None:
        self._three(photos, output, edited="1")
        (photos / "1.jpg").replace(photos / "2.jpg")
        result = _run("crop", photos, "-o", output, "-n")
        assert f"(renamed from {photos}/1.jpg, its crops would follow)" in result.stdout
        assert "1 renamed photo recognised" in _run("crop", photos, "-o", output).stderr
        assert read(output / "2.jpg.json").shots[1].box.width == BOX["width"]
        assert self._widths(output) == {"2": 110, "other": 90}
        assert "2 unchanged" in _run("crop", photos, "-o", output).stderr

    def test_edits_on_both_sides_are_not_mixed(self, photos: Path, output: Path) -> None:
        self._three(photos, output, edited="12")
        (photos / "1.jpg").replace(photos / "2.jpg")
        before = {path: path.read_bytes() for path in output.glob("[12].jpg*")}
        result = _run("crop", photos, "-o", output, code=ExitCode.SOME_FAILED)
        assert f"it has the content of {photos}/1.jpg, but its name belonged to a photo with edited" in result.stderr
        assert {path: path.read_bytes() for path in output.glob("[12].jpg*")} == before
        for path in output.glob("2.jpg*"):
            path.unlink()
        _run("crop", photos, "-o", output)
        assert read(output / "2.jpg.json").shots[1].box.width == BOX["width"]

    @pytest.mark.parametrize("options", [(), ("-n",), ("--overwrite",)])
    def test_edits_are_not_used_for_another_photo_of_the_same_name(
        self, photos: Path, output: Path, options: tuple[str, ...]
    ) -> None:
        self._three(photos, output, edited="1")
        (photos / "1.jpg").rename(photos / "moved.jpg")
        write_photo(photos / "1.jpg", picture(110, 80).rotate(180))
        before = {path: path.read_bytes() for path in output.glob("1.jpg*")}
        result = _run("crop", photos, "-o", output, *options, code=ExitCode.SOME_FAILED)
        assert f"edited for another content, which {photos}/moved.jpg has now" in result.stderr
        assert f"it has the content that {photos}/1.jpg had" in result.stderr
        assert {path: path.read_bytes() for path in output.glob("1.jpg*")} == before
        assert not list(output.glob("moved*"))
        # The fix for another photo: rename it for one run.
        (photos / "1.jpg").rename(photos / "new.jpg")
        assert "1 renamed photo recognised" in _run("crop", photos, "-o", output).stderr
        assert read(output / "moved.jpg.json").shots[1].box.width == BOX["width"]
        (photos / "new.jpg").rename(photos / "1.jpg")
        _run("crop", photos, "-o", output)
        assert not read(output / "1.jpg.json").edited

    def test_a_photo_that_was_edited_after_it_was_copied_keeps_its_edits(self, photos: Path, output: Path) -> None:
        self._three(photos, output, edited="1")
        shutil.copy2(photos / "1.jpg", photos / "copy.jpg")
        write_photo(photos / "1.jpg", picture(110, 80).point(lambda value: value // 2))
        result = _run("crop", photos, "-o", output, code=ExitCode.SOME_FAILED)
        assert f"if it is still the same photo, run `shotcrop apply {output}/1.jpg.json`" in result.stderr
        _run("apply", output / "1.jpg.json")
        assert "1 done, 3 unchanged" in _run("crop", photos, "-o", output).stderr
        assert read(output / "1.jpg.json").shots[1].box.width == BOX["width"]

    def test_exchanged_names_of_edited_photos_can_be_sorted_out(self, photos: Path, output: Path) -> None:
        self._three(photos, output, edited="12")
        one, two, away = photos / "1.jpg", photos / "2.jpg", photos / "away.jpg"
        one.rename(away)
        two.rename(one)
        away.rename(two)
        assert "2 failed" in _run("crop", photos, "-o", output, code=ExitCode.SOME_FAILED).stderr
        assert self._widths(output) == {"1": 110, "2": 120, "other": 90}
        two.rename(away)  # for one run, which lets the crops of both photos go
        _run("crop", photos, "-o", output, code=ExitCode.SOME_FAILED)
        one.rename(photos / "away2.jpg")
        _run("crop", photos, "-o", output)
        away.rename(two)
        (photos / "away2.jpg").rename(one)
        _run("crop", photos, "-o", output)
        assert self._widths(output) == {"1": 120, "2": 110, "other": 90}
        assert all(read(output / f"{name}.jpg.json").shots[1].box.width == BOX["width"] for name in "12")


class TestOrphans:
    """Crops of photos that are gone."""

    def test_the_summary_and_json_list_them(self, library: Path, output: Path) -> None:
        (library / "2026" / "IMG_1.JPG").unlink()
        for _ in range(2):
            result = _run("crop", library, "-o", output, "--xmp", "--json")
            assert "1 photo gone" in result.stderr
            assert f"gone: {library}/2026/IMG_1.JPG: it is gone, but 3 of its crops" in result.stderr
            assert f"shotcrop prune {output}" in result.stderr
            (line,) = [line for line in map(json.loads, result.stdout.splitlines()) if line["status"] == "orphan"]
            assert line["sidecar"] == str(output / "2026" / "IMG_1.JPG.json") and len(line["crops"]) == 3

    def test_photos_that_a_run_leaves_out_are_not_gone(self, library: Path, output: Path) -> None:
        for options in (("--exclude", "2026/"), ("--include", "other*"), ("--no-recursive",)):
            assert "gone" not in _run("crop", library, "-o", output, "--xmp", *options).stderr
        assert "gone" not in _run("crop", library / "other.jpg", "-o", output, "--xmp").stderr

    def test_photos_of_another_library_are_not_gone(self, tmp_path: Path, library: Path, output: Path) -> None:
        second = tmp_path / "second"
        write_photo(second / "c.jpg", picture(80, 80))
        _run("crop", second, "-o", output)
        shutil.rmtree(library)
        assert "gone" not in _run("crop", second, "-o", output).stderr

    def test_a_dry_run_of_prune_lists_them_and_deletes_nothing(self, library: Path, output: Path) -> None:
        (library / "other.jpg").unlink()
        before = sorted(output.rglob("*"))
        result = _run("prune", output)
        assert result.stdout == (f"{library}/other.jpg is gone; 7 files, would be deleted: {output}/other.jpg.json\n")
        assert "1 photo is gone, 7 files are left of it; nothing was deleted. To delete them" in result.stderr
        assert sorted(output.rglob("*")) == before

    def test_prune_deletes_exactly_them(self, library: Path, output: Path) -> None:
        (library / "other.jpg").unlink()
        kept = [path for path in sorted(output.rglob("*")) if not path.name.startswith("other")]
        assert "deleted 7 files of 1 photo" in _run("prune", output, "--delete").stderr
        assert sorted(output.rglob("*")) == kept
        assert "0 photos are gone" in _run("prune", output).stderr

    def test_prune_keeps_work_by_hand_and_names_it(self, library: Path, output: Path) -> None:
        (library / "2026" / "IMG_1.JPG").unlink()
        (library / "2026" / "more.txt").touch()
        before = sorted(output.rglob("*"))
        result = _run("prune", output, "--delete")
        folder = output / "2026"
        for line in (
            f"  {folder}/IMG_1.JPG.close_up.jpg: somebody changed it",
            f"  {folder}/IMG_1.JPG.medium.jpg.xmp: somebody changed it",
            f"  {folder}/IMG_1.JPG.medium.jpg: its box or caption was edited",
            f"  {folder}/IMG_1.JPG.establishing.jpg: its box or caption was edited",
        ):
            assert line in result.stdout.splitlines()
        assert "kept: edited by hand" in result.stdout
        assert sorted(output.rglob("*")) == before
        _run("prune", output, "--delete", "--edited")
        assert not folder.exists()

    def test_prune_keeps_backups(self, library: Path, output: Path) -> None:
        (output / "other.jpg.medium.jpg.bak").write_bytes(b"mine")
        (library / "other.jpg").unlink()
        _run("prune", output, "--delete")
        assert (output / "other.jpg.medium.jpg.bak").exists() and (output / "other.jpg.medium.jpg").exists()

    @pytest.mark.parametrize("missing", ["library", "folder"])
    def test_prune_deletes_nothing_of_a_disk_that_may_not_be_mounted(
        self, photos: Path, output: Path, missing: str
    ) -> None:
        write_photo(photos / "disk" / "a.jpg")
        write_photo(photos / "b.jpg", picture(90, 90))
        _run("crop", photos, "-o", output)
        shutil.rmtree(photos if missing == "library" else photos / "disk")
        if missing == "folder":
            (photos / "disk").mkdir()  # the mount point
        before = sorted(output.rglob("*"))
        result = _run("prune", output, "--delete")
        assert "its disk may not be mounted" in result.stdout
        assert sorted(output.rglob("*")) == before
        _run("prune", output, "--delete", "--unmounted")
        assert not (output / "disk").exists()

    def test_a_folder_that_was_deleted_is_gone(self, photos: Path, output: Path) -> None:
        write_photo(photos / "2025" / "a.jpg")
        write_photo(photos / "b.jpg", picture(90, 90))
        _run("crop", photos, "-o", output)
        shutil.rmtree(photos / "2025")
        _run("prune", output, "--delete")
        assert names_in(output) == sorted(
            [LOCK_NAME, ROOTS_NAME, *(name for name in names_in(output) if name.startswith((".shotcrop.i", "b.jpg")))]
        )
        assert not (output / "2025").exists()

    def test_prune_prints_json(self, library: Path, output: Path) -> None:
        (library / "2026" / "IMG_1.JPG").unlink()
        (line,) = _run("prune", output, "--json").stdout.splitlines()
        record = json.loads(line)
        assert (record["photo"], record["deleted"]) == (str(library / "2026" / "IMG_1.JPG"), False)
        assert record["files"][-1] == str(output / "2026" / "IMG_1.JPG.json")
        assert {edit["file"] for edit in record["edits"]} <= set(record["files"])

    def test_prune_finds_a_moved_library(self, tmp_path: Path, library: Path, output: Path) -> None:
        moved = library.rename(tmp_path / "moved")
        (moved / "other.jpg").unlink()
        assert "2 photos are gone" in _run("prune", output).stderr
        assert "1 photo is gone" in _run("prune", output, "--photos", moved).stderr

    def test_prune_needs_an_output_folder(self, tmp_path: Path, library: Path, output: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert "not in an output folder" in _run("prune", tmp_path / "empty", "--delete", code=ExitCode.USAGE).stderr
        assert names_in(tmp_path / "empty") == []
        assert f"name {output}" in _run("prune", output / "2026", code=ExitCode.USAGE).stderr

    def test_a_hostile_sidecar_deletes_nothing_elsewhere(self, tmp_path: Path, library: Path, output: Path) -> None:
        precious = tmp_path / "precious.jpg"
        precious.write_bytes(b"mine")
        (output / "link").symlink_to(tmp_path)
        sidecar = output / "other.jpg.json"
        document = json.loads(sidecar.read_bytes())
        names = ("../precious.jpg", str(precious), "link/precious.jpg")
        for shot, name in zip(document["shots"], names, strict=True):
            shot["file"] = name
        sidecar.write_text(json.dumps(document), "utf-8")
        (library / "other.jpg").unlink()
        _run("prune", output, "--delete", "--edited")
        assert precious.read_bytes() == b"mine" and not sidecar.exists()
