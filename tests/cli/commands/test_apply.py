import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, names_in, open_image, picture, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.output_folder import ROOTS_NAME, output_lock
from shotcrop_cli.main import cli
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")


def _run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("2026/a.png", "b.png"):
        write_photo(folder / name)
    return folder


@pytest.fixture
def output(tmp_path: Path, photos: Path) -> Path:
    folder = tmp_path / "shots"
    _run("crop", photos, "-o", folder)
    return folder


@pytest.fixture
def sidecar(output: Path) -> Path:
    return output / "2026" / "a.png.json"


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def _move_medium(document: dict[str, Any]) -> None:
    document["shots"][1]["box"] = {"x": 1, "y": 2, "width": 33, "height": 44}


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_edited_box_is_cropped_without_the_model(sidecar: Path, composer: FakeComposer) -> None:
    composer.seen.clear()
    _edit(sidecar, _move_medium)
    assert "1 done, 0 unchanged" in _run("apply", sidecar).stderr
    assert composer.seen == []
    crop = open_image(sidecar.parent / "a.png.medium.png")
    assert crop.tobytes() == picture().crop((1, 2, 34, 46)).tobytes()


def test_the_sidecar_records_the_new_box_and_that_a_person_set_it(sidecar: Path) -> None:
    before = read(sidecar)
    _edit(sidecar, _move_medium)
    _run("apply", sidecar)
    after = read(sidecar)
    assert tuple(after.shots[1].box_norm) == (
        pytest.approx(1 / 120, abs=1e-6),
        0.025,
        pytest.approx(34 / 120, abs=1e-6),
        0.575,
    )
    assert [shot.edited for shot in after.shots] == [False, True, False]
    assert after.shots[1].model_box == before.shots[1].model_box
    assert (after.model, after.reasoning, after.shots[0]) == (before.model, before.reasoning, before.shots[0])


def test_what_a_person_set_survives_later_runs_until_overwritten(
    photos: Path, output: Path, sidecar: Path, composer: FakeComposer
) -> None:
    _edit(sidecar, _move_medium)
    _run("apply", sidecar)
    composer.sha256 = "cd" * 32
    assert "1 done, 1 unchanged" in _run("crop", photos, "-o", output).stderr
    _run("crop", photos, "-o", output, "--format", "webp", "--replace")
    assert read(sidecar).shots[1].box.corners == (1, 2, 34, 46)
    assert open_image(sidecar.parent / "a.png.medium.webp").size == (33, 44)
    _run("crop", photos, "-o", output, "--format", "webp", "--overwrite")
    assert read(sidecar).shots[1].box.corners == (1, 2, 34, 46)
    edited = sidecar.read_bytes()
    _run("crop", photos, "-o", output, "--format", "webp", "--overwrite", "--overwrite-edited")
    assert (sidecar.parent / "a.png.json.bak").read_bytes() == edited
    assert read(sidecar).shots[1].box.corners == (30, 20, 90, 60)


def test_a_run_before_apply_gives_up_nothing_a_person_set(
    photos: Path, output: Path, sidecar: Path, composer: FakeComposer
) -> None:
    _edit(sidecar, _move_medium)
    composer.sha256 = "cd" * 32
    assert "1 done, 1 unchanged" in _run("crop", photos, "-o", output).stderr
    assert read(sidecar).shots[1].box.corners == (1, 2, 34, 46)
    assert "1 done" in _run("apply", output).stderr  # still to be cut
    assert open_image(sidecar.parent / "a.png.medium.png").size == (33, 44)


def test_a_box_set_by_hand_is_cropped_with_other_settings_before_apply(
    photos: Path, output: Path, sidecar: Path
) -> None:
    _edit(sidecar, _move_medium)
    _run("crop", photos, "-o", output, "--format", "webp", "--replace")
    assert open_image(sidecar.parent / "a.png.medium.webp").size == (33, 44)
    assert [shot.edited for shot in read(sidecar).shots] == [False, True, False]


def test_a_box_set_by_hand_stays_pending_while_another_shot_is_cropped(
    photos: Path, output: Path, sidecar: Path
) -> None:
    _edit(sidecar, _move_medium)
    (sidecar.parent / "a.png.close_up.png").unlink()
    assert "1 done" in _run("crop", photos, "-o", output, "--restore-rejected").stderr
    assert open_image(sidecar.parent / "a.png.medium.png").size != (33, 44)
    _run("apply", output)
    assert open_image(sidecar.parent / "a.png.medium.png").size == (33, 44)


@pytest.mark.parametrize("renamed", range(6))
def test_a_run_killed_at_any_rename_loses_nothing_a_person_set(
    photos: Path, output: Path, sidecar: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    _edit(sidecar, _move_medium)
    replace, count = Path.replace, 0

    def killed(self: Path, target: Path) -> Path:
        nonlocal count
        if target.parent == sidecar.parent:
            count += 1
            if count > renamed:
                raise SystemExit(99)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        CliRunner().invoke(cli, ["apply", str(sidecar)])
    assert read(sidecar).shots[1].box.corners == (1, 2, 34, 46)
    _run("apply", output)  # or the next `crop`, once the first rename was made
    _run("crop", photos, "-o", output)
    assert open_image(sidecar.parent / "a.png.medium.png").tobytes() == picture().crop((1, 2, 34, 46)).tobytes()
    assert all(shot.file is not None for shot in read(sidecar).shots)


def test_a_folder_is_searched_for_what_was_edited_and_deleted_crops_stay_away(output: Path, sidecar: Path) -> None:
    assert "0 done" in _run("apply", output).stderr
    _edit(sidecar, _move_medium)
    (output / "b.png.close_up.png").unlink()
    assert "1 done" in _run("apply", output).stderr
    assert not (output / "b.png.close_up.png").exists()
    assert "0 done" in _run("apply", output).stderr


def test_an_edited_caption_reaches_the_xmp_file(tmp_path: Path, photos: Path) -> None:
    output = tmp_path / "with-xmp"
    _run("crop", photos, "-o", output, "--xmp")
    path = output / "b.png.json"
    _edit(path, lambda document: document["shots"][0].update(caption="Tom & <Ana>"))
    _run("apply", path)
    assert "Tom &amp; &lt;Ana&gt;" in (output / "b.png.establishing.png.xmp").read_text("utf-8")


def test_dry_run_writes_nothing(photos: Path, output: Path, sidecar: Path) -> None:
    _edit(sidecar, _move_medium)
    before = _content(output)
    result = _run("apply", output, "-n")
    target = f"{output}/2026/a.png.{{establishing,medium,close_up}}.png"
    assert result.stdout == f"{photos}/2026/a.png -> {target} (the sidecar is applied)\n"
    assert _content(output) == before
    (line,) = _run("apply", output, "-n", "--json").stdout.splitlines()
    assert json.loads(line)["status"] == "planned"


def test_a_moved_library_is_found_by_its_tree(tmp_path: Path, photos: Path, sidecar: Path) -> None:
    moved = photos.rename(tmp_path / "moved")
    _edit(sidecar, _move_medium)
    assert "is not in a folder" not in _run("apply", sidecar, code=ExitCode.SOME_FAILED).stderr
    _run("apply", sidecar, "--photos", moved)
    assert read(sidecar).source.path == str(moved / "2026" / "a.png")


def test_another_photo_of_the_same_size_keeps_the_boxes_and_one_of_another_size_is_refused(
    photos: Path, sidecar: Path
) -> None:
    _edit(sidecar, _move_medium)
    write_photo(photos / "2026" / "a.png", picture().point(lambda value: 255 - value))
    _run("apply", sidecar)
    write_photo(photos / "2026" / "a.png", picture(60, 40))
    result = _run("apply", sidecar, code=ExitCode.SOME_FAILED)
    assert "the photo has another size than when its boxes were set by hand" in result.stderr


def test_a_second_run_at_once_is_refused(output: Path, sidecar: Path) -> None:
    with output_lock(output):
        _run("apply", sidecar, code=ExitCode.LOCKED)


def test_a_sidecar_outside_any_output_is_refused(tmp_path: Path, sidecar: Path) -> None:
    stray = tmp_path / "a.png.json"
    stray.write_bytes(sidecar.read_bytes())
    assert "not in an output folder of shotcrop" in _run("apply", stray, code=ExitCode.USAGE).stderr


_SECRET = picture(50, 50)


def _hostile_source(document: dict[str, Any], tmp_path: Path) -> None:
    document["source"]["path"] = str(write_photo(tmp_path / "private" / "a.png", _SECRET))


def _hostile_source_by_dots(document: dict[str, Any], tmp_path: Path) -> None:
    write_photo(tmp_path / "private" / "a.png", _SECRET)
    document["source"]["path"] = str(tmp_path / "photos" / ".." / "private" / "a.png")


def _hostile_file(name: str) -> Callable[[dict[str, Any], Path], None]:
    def change(document: dict[str, Any], tmp_path: Path) -> None:
        document["shots"][0]["file"] = name.replace("TMP", str(tmp_path))

    return change


@pytest.mark.parametrize(
    "change",
    [
        _hostile_file("../../stolen.png"),
        _hostile_file("TMP/stolen.png"),
        _hostile_file("x/../../../stolen.png"),
        _hostile_file("escape/stolen.png"),
        _hostile_file("./a.png"),
        _hostile_file(".shotcrop.lock"),
        _hostile_file(".hidden.png"),
        _hostile_file("b.png.json"),
        _hostile_file("run.sh"),
        _hostile_file("nul\0.png"),
        _hostile_file("a.png.medium.png"),
    ],
)
def test_a_hostile_sidecar_writes_nothing_outside_its_output(
    tmp_path: Path, output: Path, sidecar: Path, change: Callable[[dict[str, Any], Path], None]
) -> None:
    (output / "2026" / "escape").symlink_to(tmp_path)
    _edit(sidecar, lambda document: change(document, tmp_path))
    before = _content(tmp_path)
    assert "a.png.json" in _run("apply", sidecar, code=ExitCode.SOME_FAILED).stderr
    assert _content(tmp_path) == before


@pytest.mark.parametrize("change", [_hostile_source, _hostile_source_by_dots])
def test_a_hostile_sidecar_reads_nothing_outside_the_photos(
    tmp_path: Path, output: Path, sidecar: Path, change: Callable[[dict[str, Any], Path], None]
) -> None:
    _edit(sidecar, lambda document: change(document, tmp_path))
    _run("apply", sidecar)  # the photo at the mirrored place is taken instead
    assert read(sidecar).source.path == str(tmp_path / "photos" / "2026" / "a.png")
    (tmp_path / "photos" / "2026" / "a.png").unlink()
    _edit(sidecar, lambda document: change(document, tmp_path))
    _run("apply", sidecar, code=ExitCode.SOME_FAILED)


_IMPOSSIBLE_FOLDERS = ["x" * 5000, "loop", "\ud800", "2026/a.png.json"]
_IDS = ["too long", "loop of links", "no file name", "file"]


@pytest.mark.parametrize("name", [*_IMPOSSIBLE_FOLDERS, "\0"], ids=[*_IDS, "NUL"])
def test_an_impossible_path_of_a_photo_is_found_by_its_tree(photos: Path, output: Path, name: str) -> None:
    (photos / "loop").symlink_to("loop")
    sidecar = output / "b.png.json"
    _edit(sidecar, _move_medium)
    _edit(sidecar, lambda document: document["source"].update(path=f"{photos}/{name}/b.png"))
    assert "1 done" in _run("apply", output).stderr
    assert read(sidecar).source.path == str(photos / "b.png")


@pytest.mark.parametrize("name", _IMPOSSIBLE_FOLDERS, ids=_IDS)
def test_an_impossible_path_of_a_crop_fails_alone(output: Path, sidecar: Path, name: str) -> None:
    (output / "loop").symlink_to("loop")
    _edit(output / "b.png.json", lambda document: document["shots"][0].update(file=f"{name}/b.png"))
    _edit(sidecar, _move_medium)
    assert "1 done, 0 unchanged, 0 without people, 1 failed" in _run("apply", output, code=ExitCode.SOME_FAILED).stderr


@pytest.mark.parametrize("name", _IMPOSSIBLE_FOLDERS, ids=_IDS)
def test_an_impossible_path_of_a_crop_is_cropped_again(photos: Path, output: Path, name: str) -> None:
    (output / "loop").symlink_to("loop")
    sidecar = output / "b.png.json"
    _edit(sidecar, lambda document: document["shots"][0].update(file=f"{name}/b.png"))
    assert "1 done, 1 unchanged" in _run("crop", photos, "-o", output).stderr
    assert read(sidecar).shots[0].file == "b.png.establishing.png"


def test_links_among_the_photos_do_not_lead_out_of_their_folder(tmp_path: Path, photos: Path, sidecar: Path) -> None:
    secret = write_photo(tmp_path / "private" / "s.png", picture())
    photo = photos / "2026" / "a.png"
    photo.unlink()
    photo.symlink_to(secret)
    result = _run("apply", sidecar, code=ExitCode.SOME_FAILED)
    assert "is not in a folder that shotcrop may read" in result.stderr


def test_a_linked_sidecar_is_refused(tmp_path: Path, output: Path, sidecar: Path) -> None:
    stray = tmp_path / "c.png.json"
    stray.write_bytes(sidecar.read_bytes())
    link = output / "c.png.json"
    link.symlink_to(stray)
    _run("apply", link, code=ExitCode.USAGE)


def test_a_sidecar_must_be_named_after_its_photo(output: Path, sidecar: Path) -> None:
    renamed = sidecar.rename(sidecar.with_name("other.png.json"))
    assert "its name does not match its photo" in _run("apply", renamed, code=ExitCode.SOME_FAILED).stderr


def test_without_a_record_of_the_photos_folder_nothing_is_read(output: Path, photos: Path, sidecar: Path) -> None:
    (output / ROOTS_NAME).unlink()
    assert "--photos" in _run("apply", sidecar, code=ExitCode.SOME_FAILED).stderr
    _run("apply", sidecar, "--photos", photos)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d["shots"][1]["box"].update(width=-3), "shots[1].box.width: -3 is less than the minimum of 1"),
        (lambda d: d["shots"][1]["box"].update(x=100), "the box of medium is not inside the photo of 120 x 80 pixels"),
        (lambda d: d["shots"].pop(), "the document: "),
        (lambda d: d.update(extra=1), "'extra' was unexpected"),
        (lambda d: d["shots"][0].update(score=float("nan")), "NaN is not JSON"),
    ],
)
def test_a_wrong_edit_is_named_with_its_place_and_changes_nothing(
    output: Path, sidecar: Path, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    _edit(sidecar, change)
    before = _content(output)
    failure = _run("apply", sidecar, code=ExitCode.SOME_FAILED).stderr.splitlines()[-1]
    assert failure.startswith(f"failed: {sidecar}: not a sidecar of schema shotcrop/1: ")
    assert complaint in failure
    assert _content(output) == before


def test_failures_can_be_listed_and_end_the_run(tmp_path: Path, output: Path, sidecar: Path) -> None:
    sidecar.write_bytes(b"{}")
    listed = tmp_path / "failed.txt"
    _run("apply", sidecar, output / "b.png.json", "--failed-list", listed, "--fail-fast", code=ExitCode.SOME_FAILED)
    assert listed.read_bytes() == os.fsencode(f"{sidecar}\n")
    assert names_in(tmp_path) == ["failed.txt", "photos", "shots"]


@pytest.mark.parametrize("command", [["apply"], ["caption", "--captions", "rules"]], ids=" ".join)
def test_a_run_that_cannot_begin_has_no_summary(output: Path, command: list[str]) -> None:
    with output_lock(output):
        result = _run(*command, output, code=ExitCode.LOCKED)
    assert len(result.stderr.splitlines()) == 1 and "done" not in result.stderr
