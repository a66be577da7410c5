import errno
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from camera_files import turned
from conftest import (
    FIXED_BOXES,
    FakeComposer,
    fixed_composition,
    jpeg_bytes,
    names_in,
    no_people,
    open_image,
    picture,
    rich_exif,
    write_photo,
)
from shotcrop_cli import CropOptions, RunResult, Selection
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.imaging import decode
from shotcrop_cli.library.output_folder import LOCK_NAME, ROOTS_NAME, output_lock
from shotcrop_cli.library.up_to_date import INDEX_NAME
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Person, Shot, ShotType
from shotcrop_cli.sidecar import read

pytestmark = pytest.mark.usefixtures("composer")


def _crop(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def _times(folder: Path) -> dict[str, int]:
    """Return the inode change times of all files, which programs cannot set back."""
    return {str(path): path.stat().st_ctime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_tree_is_mirrored_with_the_documented_names(photos: Path, output: Path) -> None:
    write_photo(photos / "2026" / "ana" / "IMG_1234.jpg")
    _crop(photos, "-o", output)
    assert names_in(output) == [INDEX_NAME, LOCK_NAME, ROOTS_NAME, "2026"]
    assert names_in(output / "2026" / "ana") == [
        "IMG_1234.jpg.close_up.jpg",
        "IMG_1234.jpg.establishing.jpg",
        "IMG_1234.jpg.json",
        "IMG_1234.jpg.medium.jpg",
    ]


def test_the_last_lines_sum_the_run_up_and_stdout_stays_empty(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    result = _crop(photos, "-o", output)
    lines = result.stderr.splitlines()
    assert lines[-2].startswith("1 done, 0 unchanged, 0 without people, 0 failed in ")
    assert lines[-2].endswith(" photos/s)")
    assert lines[-1] == f"3 crops in {output}/. Review: shotcrop sheet {output} -o sheet.jpg"
    assert len(lines) == 2
    assert result.stdout == ""


def test_a_second_run_does_nothing(photos: Path, output: Path, composer: FakeComposer) -> None:
    for name in ("a.jpg", "sub/b.png"):
        write_photo(photos / name)
    _crop(photos, "-o", output)
    before = _times(output)
    composer.seen.clear()
    assert "0 done, 2 unchanged" in _crop(photos, "-o", output).stderr
    assert composer.seen == []
    assert {name: time for name, time in _times(output).items() if ".shotcrop." not in name} == {
        name: time for name, time in before.items() if ".shotcrop." not in name
    }


def test_an_up_to_date_photo_is_not_even_opened(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    opened: list[str] = []
    watching = True
    # A hook stays for ever, so it has to end its work itself.
    sys.addaudithook(lambda event, values: opened.append(str(values[0])) if watching and event == "open" else None)
    assert "1 unchanged" in _crop(photos, "-o", output).stderr
    watching = False
    assert str(output / INDEX_NAME) in opened
    assert str(path) not in opened


def test_a_changed_photo_is_done_again(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.png")
    _crop(photos, "-o", output)
    write_photo(path, picture(60, 60))
    assert "1 done, 0 unchanged" in _crop(photos, "-o", output).stderr
    assert read(output / "a.png.json").source.width == 60


def test_a_touched_photo_is_recognised_and_its_new_time_kept(
    photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_photo(photos / "a.png")
    _crop(photos, "-o", output)
    os.utime(path, ns=(0, 1_000_000_000))
    assert "0 done, 1 unchanged" in _crop(photos, "-o", output).stderr
    assert read(output / "a.png.json").source.mtime == "1970-01-01T00:00:01.000000Z"


def test_another_model_does_everything_again(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    composer.sha256 = "cd" * 32
    assert "1 done" in _crop(photos, "-o", output).stderr
    assert read(output / "a.jpg.json").model.sha256 == "cd" * 32


def test_another_quality_does_everything_again(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    assert "1 done" in _crop(photos, "-o", output, "--quality", 50).stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_sidecar_that_may_not_be_read_is_not_replaced(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    (output / "a.jpg.json").chmod(0)
    result = _crop(photos, "-o", output, code=ExitCode.OUTPUT)
    assert "a.jpg.json: the sidecar cannot be read: Permission denied" in result.stderr


def test_a_sidecar_that_cannot_be_read_from_the_disk_is_not_replaced(
    photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    (output / INDEX_NAME).unlink(missing_ok=True)

    def broken(_descriptor: int, _size: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = _times(output)
    with monkeypatch.context() as patch:
        patch.setattr("shotcrop_cli.library.output_state.os.read", broken)
        result = _crop(photos, "-o", output, code=ExitCode.OUTPUT)
    assert "a.jpg.json: the sidecar cannot be read: Input/output error" in result.stderr
    assert {name for name, time in _times(output).items() if before[name] != time} <= {str(output / LOCK_NAME)}


def test_a_sidecar_saved_with_a_byte_order_mark_is_read(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    sidecar = output / "a.jpg.json"
    sidecar.write_bytes(b"\xef\xbb\xbf" + sidecar.read_bytes())
    assert "0 done, 1 unchanged" in _crop(photos, "-o", output).stderr


def test_overwrite_does_everything_again(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    assert "1 done, 0 unchanged" in _crop(photos, "-o", output, "--overwrite").stderr


def test_one_corrupt_file_fails_alone_and_is_tried_again(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    bad = photos / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 cut off")
    result = _crop(photos, "-o", output, code=ExitCode.SOME_FAILED)
    summary, failure, _next_step = result.stderr.splitlines()
    assert summary.startswith("1 done, 0 unchanged, 0 without people, 1 failed in ")
    assert failure.startswith(f"failed: {bad}: cannot be read as an image")
    write_photo(bad)
    assert "1 done, 1 unchanged, 0 without people, 0 failed" in _crop(photos, "-o", output).stderr


def test_a_photo_without_people_is_done_and_not_a_failure(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "a.jpg")
    composer.answer = no_people
    assert "0 done, 0 unchanged, 1 without people, 0 failed" in _crop(photos, "-o", output).stderr
    assert "0 done, 1 unchanged, 0 without people, 0 failed" in _crop(photos, "-o", output).stderr


def test_all_people_are_recorded_and_stay_when_crops_are_made_again(
    photos: Path, output: Path, composer: FakeComposer
) -> None:
    write_photo(photos / "a.jpg")
    shots = tuple(Shot(kind, box, score=0.5) for kind, box in FIXED_BOXES.items())
    people = (
        Person(FIXED_BOXES[ShotType.MEDIUM], FIXED_BOXES[ShotType.CLOSE_UP], None, 0.75, shots),
        Person(None, FIXED_BOXES[ShotType.CLOSE_UP], None, 0.25, shots),
    )
    composer.answer = lambda *_: replace(fixed_composition(), people=people)
    _crop(photos, "-o", output)
    assert read(output / "a.jpg.json").people == people
    composer.seen.clear()
    assert "1 done" in _crop(photos, "-o", output, "--quality", 50).stderr
    assert composer.seen == []
    assert read(output / "a.jpg.json").people == people


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_same_crops(photos: Path, output: Path, orientation: int) -> None:
    upright = write_photo(photos / "upright.png")
    exif = open_image(upright).getexif()
    exif[0x0112] = orientation
    write_photo(photos / "turned.png", turned(picture(), orientation), exif=exif.tobytes())
    _crop(photos, "-o", output)
    for shot in ("establishing", "medium", "close_up"):
        one, other = (open_image(output / f"{name}.png.{shot}.png") for name in ("upright", "turned"))
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert read(output / "turned.png.json").shots[0].box == read(output / "upright.png.json").shots[0].box


def test_output_inside_the_input_is_not_taken_for_input(photos: Path) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", photos / "shots")
    assert "0 done, 1 unchanged" in _crop(photos, "-o", photos / "shots").stderr
    assert "1 done, 0 unchanged" in _crop(photos, "-o", photos / "other").stderr


def test_dry_run_writes_nothing_and_says_what_it_would(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.heic.jpg")
    result = _crop(photos, "-o", output, "-n")
    assert not output.exists()
    assert result.stdout == (f"{path} -> {output}/a.heic.jpg.{{establishing,medium,close_up}}.jpg (new)\n")
    _crop(photos, "-o", output)
    before = _times(output)
    again = _crop(photos, "-o", output, "--dry-run")
    assert again.stdout == ""
    assert again.stderr.splitlines()[-1] == "dry run: 0 to do, 1 unchanged; nothing was written"
    assert _times(output) == before


def test_limit_goes_on_where_the_last_run_ended(photos: Path, output: Path) -> None:
    for i in range(5):
        write_photo(photos / f"{i}.jpg")
    assert "2 done, 0 unchanged" in _crop(photos, "-o", output, "--limit", 2).stderr
    assert "2 done, 2 unchanged" in _crop(photos, "-o", output, "--limit", 2).stderr


def test_a_limit_loads_no_model_for_photos_beyond_it(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)
    (output / "a.jpg.medium.jpg").unlink()
    write_photo(photos / "b.jpg")
    messages = _crop(photos, "-o", output, "--limit", 1, "--restore-rejected", "-v").stderr
    assert "1 done" in messages and "no model needed" in messages
    assert "b.jpg: to do" not in messages


def test_photos_that_fail_every_night_do_not_use_up_the_limit(photos: Path, output: Path) -> None:
    for i in range(7):
        write_photo(photos / f"{i}.jpg")
    for i in range(3):
        (photos / f"{i}.jpg").write_bytes(b"no picture")
    for count, done in ((2, 0), (2, 2), (0, 4)):
        result = _crop(photos, "-o", output, "--limit", 2, code=ExitCode.SOME_FAILED)
        assert f"{count} done, {done} unchanged, 0 without people, 3 failed" in result.stderr


def test_captions_for_asset_managers_go_with_the_option_unless_a_program_has_changed_them(
    photos: Path, output: Path
) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output, "--xmp")
    changed = output / "a.jpg.medium.jpg.xmp"
    changed.write_bytes(changed.read_bytes() + b"<!-- rated -->")
    _crop(photos, "-o", output)
    assert [name for name in names_in(output) if name.endswith(".xmp")] == [changed.name]


def test_the_defaults_of_the_command_are_those_of_the_api(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    asked: list[CropOptions] = []

    def crop_photos(options: CropOptions, _reporter: object) -> RunResult:
        asked.append(options)
        return RunResult({})

    monkeypatch.setattr("shotcrop_cli.commands.crop.crop_photos", crop_photos)
    _crop(photos, "-o", "shots")
    expected = CropOptions(photos=Selection((photos,)), output=Path("shots"), keep_results=False)
    assert asked == [expected]


def test_a_photo_without_people_is_named_in_every_run(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "sea.jpg")
    composer.answer = no_people
    for status in ("no_subject", "unchanged"):
        result = _crop(photos, "-o", output, "--json", "--verbose")
        (record,) = map(json.loads, result.stdout.splitlines())
        assert record["status"] == status
        assert any("sea.jpg" in line and "without people" in line for line in result.stderr.splitlines())
    assert record["reason"] == "without people"


def test_json_lines_on_stdout_hold_every_photo(photos: Path, output: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write_photo(photos / name)
    _crop(photos / "a.jpg", "-o", output)
    (photos / "c.jpg").write_bytes(b"")
    result = _crop(photos, "-o", output, "--json", code=ExitCode.SOME_FAILED)
    records = {Path(record["source"]).name: record for record in map(json.loads, result.stdout.splitlines())}
    assert {name: record["status"] for name, record in records.items()} == {
        "a.jpg": "unchanged",
        "b.jpg": "done",
        "c.jpg": "failed",
    }
    for name in ("a.jpg", "b.jpg"):
        assert all(Path(crop).is_file() for crop in records[name]["crops"])
        assert len(records[name]["crops"]) == 3
        assert Path(records[name]["sidecar"]).is_file()
    assert records["c.jpg"]["reason"].startswith("the file is empty")


def test_quiet_says_nothing_when_all_is_well_and_names_failures(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    assert _crop(photos, "-o", output, "-q").output == ""
    (photos / "b.jpg").write_bytes(b"")
    assert f"failed: {photos / 'b.jpg'}" in _crop(photos, "-o", output, "-q", code=ExitCode.SOME_FAILED).stderr


def test_verbose_names_every_photo_with_the_reason(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.jpg")
    stderr = _crop(photos, "-o", output, "-v").stderr
    assert f"{path}: to do, new" in stderr
    assert f"{path}: done" in stderr


def test_temporaries_of_a_killed_run_are_swept(photos: Path, output: Path) -> None:
    write_photo(photos / "sub" / "a.jpg")
    _crop(photos, "-o", output)
    (output / "sub" / ".shotcrop-0123456789abcdef.tmp").write_bytes(b"half a crop")
    (output / ".shotcrop.running").touch()
    _crop(photos, "-o", output)
    assert len(names_in(output / "sub")) == 4


def test_unwritable_output_is_named(photos: Path, tmp_path: Path) -> None:
    write_photo(photos / "a.jpg")
    (tmp_path / "file").write_bytes(b"")
    result = _crop(photos, "-o", tmp_path / "file" / "shots", code=ExitCode.OUTPUT)
    assert result.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/file/shots: the output folder cannot")


def test_a_second_run_at_once_is_refused(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    with output_lock(output):
        result = _crop(photos, "-o", output, code=ExitCode.LOCKED)
    assert "another run is still using this output folder" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.jpg", "-o", "shots"],
        ["."],
        ["-o", "shots"],
        [".", "-o", "shots", "--device", "tpu"],
        [".", "-o", "shots", "--batch-size", "0"],
        [".", "-o", "shots", "--quality", "101"],
        [".", "-o", "shots", "--shots", "panorama"],
        [".", "-o", "shots", "--aspect", "medium=0:1"],
        [".", "-o", "shots", "--aspect", "medium=1:1", "--aspect", "close_up=4:5"],
        [".", "-o", "shots", "--aspect", "medium=1:1,medium=4:5"],
        [".", "-o", "ftp://bucket/shots"],
        ["", "-o", "shots"],
        [".", "-o", ""],
        ["https://example.org/a.jpg", "-o", "shots"],
        [".", "-o", "shots", "--pad", "much"],
        [".", "-o", "shots", "--format", "bmp"],
        [".", "-o", "shots", "--metadata", "some"],
        [".", "-o", "shots", "--name-template", "../{name}.{shot}.{ext}"],
        [".", "-o", "shots", "--wait", "long"],
        [".", "-o", "shots", "--files-from", "missing.txt"],
        [".", "-o", "."],
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "rror: " in _crop(*arguments, code=ExitCode.USAGE).stderr
    assert names_in(tmp_path) == []


def test_photos_whose_names_collide_fail_alone_and_name_each_other(photos: Path, output: Path) -> None:
    for name in ("one/a.jpg", "one/b.jpg", "two/a.jpg", "two/c.jpg"):
        write_photo(photos / name)
    for options in (["--dry-run"], []):
        result = _crop(photos / "one", photos / "two", "-o", output, *options, code=ExitCode.SOME_FAILED)
        for one, other in (("one", "two"), ("two", "one")):
            failure = next(line for line in result.stderr.splitlines() if f"failed: {photos}/{one}/a.jpg: " in line)
            assert f"would write the same files below {output} as {photos}/{other}/a.jpg. Fix: rename" in failure
    assert "2 done, 0 unchanged, 0 without people, 2 failed" in result.stderr
    assert [name for name in names_in(output) if name.endswith(".json")] == ["b.jpg.json", "c.jpg.json"]


def test_a_folder_without_photos_is_worth_a_warning(tmp_path: Path, output: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "warning: no photos found" in _crop(tmp_path / "empty", "-o", output).stderr


def test_odd_file_names_pass_through(photos: Path, output: Path) -> None:
    names = ["new\nline.jpg", os.fsdecode(b"latin\xe9.jpg"), "sp ace 写真.jpg"]
    for name in names:
        write_photo(photos / "a.jpg").rename(photos / name)
    result = _crop(photos, "-o", output, "--json", "-v")
    assert {json.loads(line)["source"] for line in result.stdout.splitlines()} == {str(photos / name) for name in names}
    assert f"{photos}/new\\x0aline.jpg: done" in result.stderr
    assert len([name for name in names_in(output) if not name.startswith(".shotcrop")]) == 3 * 4


def test_options_have_environment_twins(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(photos / "a.jpg")
    monkeypatch.setenv("SHOTCROP_CROP_OUTPUT", str(output))
    monkeypatch.setenv("SHOTCROP_CROP_QUALITY", "50")
    _crop(photos)
    assert read(output / "a.jpg.json").settings.quality == 50


def test_large_pictures_do_not_litter_stderr(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(photos / "a.jpg")
    monkeypatch.setattr(decode.Image, "MAX_IMAGE_PIXELS", 9_000)  # Pillow warns from here, refuses from twice that
    assert "Warning" not in _crop(photos, "-o", output).stderr


def test_an_up_to_date_library_loads_no_model(photos: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(photos / "a.jpg")
    _crop(photos, "-o", output)

    def loaded(*_args: object, **_options: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(sys.modules["shotcrop_cli.model.load"], "load_composer", loaded)
    assert "no model needed" in _crop(photos, "-o", output, "-v").stderr
    (output / "a.jpg.medium.jpg").unlink()
    assert "1 done" in _crop(photos, "-o", output, "--quality", 80).stderr


def test_the_index_never_hides_a_change(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.png")
    for _ in range(3):  # the second run reads the sidecar, the third only stats it
        _crop(photos, "-o", output)
    (output / "a.png.medium.png").unlink()
    assert "1 rejected crop left out" in _crop(photos, "-o", output).stderr
    assert "1 done" in _crop(photos, "-o", output, "--restore-rejected").stderr
    _crop(photos, "-o", output)
    sidecar = output / "a.png.json"
    sidecar.write_bytes(sidecar.read_bytes().replace(b'"edited": false', b'"edited": true', 1))
    write_photo(path, picture(60, 40))
    assert "1 done" in _crop(photos, "-o", output, "--overwrite", "--overwrite-edited").stderr
    for _ in range(2):
        assert "1 unchanged" in _crop(photos, "-o", output).stderr
    write_photo(path, picture(60, 50))
    assert "1 done" in _crop(photos, "-o", output).stderr
    assert "1 done" in _crop(photos, "-o", output, "--quality", 80).stderr


def test_only_the_crops_that_a_setting_concerns_are_written_again(photos: Path, output: Path) -> None:
    write_photo(photos / "a.png")
    _crop(photos, "-o", output)
    before = _times(output)
    _crop(photos, "-o", output, "--aspect", "close_up=1:1", "--replace")
    changed = {Path(name).name for name, time in _times(output).items() if before.get(name) != time}
    assert changed - {LOCK_NAME} == {"a.png.close_up.png", "a.png.json"}
    width, height = open_image(output / "a.png.close_up.png").size
    assert width == height


def test_only_the_shots_asked_for_are_cropped_and_later_ones_need_no_model(
    photos: Path, output: Path, composer: FakeComposer
) -> None:
    write_photo(photos / "a.png")
    _crop(photos, "-o", output, "--shots", "close_up")
    assert [name for name in names_in(output) if name.startswith("a")] == ["a.png.close_up.png", "a.png.json"]
    record = read(output / "a.png.json")
    assert [shot.file is None for shot in record.shots] == [True, True, False]
    assert "1 unchanged" in _crop(photos, "-o", output, "--shots", "close_up").stderr
    composer.seen.clear()
    assert "1 done" in _crop(photos, "-o", output).stderr
    assert composer.seen == []
    assert len([name for name in names_in(output) if name.startswith("a")]) == 4
    assert "1 unchanged" in _crop(photos, "-o", output, "--shots", "close_up").stderr


def test_another_name_template_moves_the_crops(photos: Path, output: Path, composer: FakeComposer) -> None:
    write_photo(photos / "sub" / "a.png")
    _crop(photos, "-o", output, "--xmp")
    composer.seen.clear()
    _crop(photos, "-o", output, "--xmp", "--name-template", "{shot}/{stem}.{ext}", "--replace")
    assert names_in(output / "sub") == ["a.png.json", "close_up", "establishing", "medium"]
    assert names_in(output / "sub" / "medium") == ["a.png", "a.png.xmp"]
    assert composer.seen == []
    assert "1 unchanged" in _crop(photos, "-o", output, "--xmp", "--name-template", "{shot}/{stem}.{ext}").stderr


def test_an_altered_sidecar_cannot_make_a_later_run_remove_files_elsewhere(
    tmp_path: Path, photos: Path, output: Path
) -> None:
    write_photo(photos / "a.png")
    _crop(photos, "-o", output)
    (tmp_path / "precious.png").touch()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "precious.png").touch()
    (output / "link").symlink_to(tmp_path / "linked")
    path = output / "a.png.json"
    for name in ("../precious.png", str(tmp_path / "precious.png"), "link/precious.png"):
        document = json.loads(path.read_bytes())
        document["shots"][0]["file"] = name
        path.write_text(json.dumps(document), encoding="utf-8")
        _crop(photos, "-o", output)
        assert read(path).shots[0].file == "a.png.establishing.png"
    assert (tmp_path / "precious.png").exists()
    assert (tmp_path / "linked" / "precious.png").exists()


def test_xmp_files_carry_the_captions(photos: Path, output: Path) -> None:
    write_photo(photos / "a.png")
    _crop(photos, "-o", output, "--xmp")
    assert "the medium shot" in (output / "a.png.medium.png.xmp").read_text("utf-8")


def test_reproducible_runs_give_equal_files(tmp_path: Path, photos: Path, composer: FakeComposer) -> None:
    for name in ("a.jpg", "b.png"):
        write_photo(photos / name)
    trees = []
    for run in ("one", "two"):
        _crop(photos, "-o", tmp_path / run, "--reproducible", "-b", len(run))
        trees.append({path.name: path.read_bytes() for path in (tmp_path / run).iterdir()})
    assert trees[0] == trees[1]
    assert b"timing_ms" not in trees[0]["a.jpg.json"]
    assert set(composer.batches) == {1}  # what else is in a batch shows in the last digits of a model's answer


def test_in_strict_runs_a_photo_without_people_fails_each_time(
    photos: Path, output: Path, composer: FakeComposer
) -> None:
    path = write_photo(photos / "a.jpg")
    composer.answer = no_people
    for _ in range(2):
        result = _crop(photos, "-o", output, "--strict", code=ExitCode.SOME_FAILED)
        assert "0 unchanged, 1 without people, 0 failed" in result.stderr
        assert f"failed: {path}: no people found" in result.stderr
    _crop(photos, "-o", output)


def test_fail_fast_stops_at_the_first_failure(photos: Path, output: Path) -> None:
    (photos / "a").mkdir(parents=True)
    (photos / "a" / "bad.png").write_bytes(b"")
    for i in range(60):
        write_photo(photos / "b" / f"{i}.png")
    stderr = _crop(photos, "-o", output, "--fail-fast", "-b", 1, "-j", 1, code=ExitCode.SOME_FAILED).stderr
    assert "1 failed" in stderr
    assert "60 done" not in stderr


def test_what_failed_can_be_listed_and_done_alone(tmp_path: Path, photos: Path, output: Path) -> None:
    names = ["sub/new\nline.jpg", os.fsdecode(b"latin\xe9.jpg")]
    for name in names:
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(b"")
    write_photo(photos / "good.jpg")
    listed = tmp_path / "failed"
    _crop(photos, "-o", output, "--failed-list", listed, "-0", code=ExitCode.SOME_FAILED)
    assert sorted(listed.read_bytes().split(b"\0")) == sorted([b"", *(os.fsencode(photos / name) for name in names)])
    for name in names:
        write_photo(photos / "a.jpg").rename(photos / name)
    stderr = _crop(photos, "-o", output, "--files-from", listed, "-0").stderr
    assert "2 done, 0 unchanged" in stderr
    assert (output / "sub" / "new\nline.jpg.json").is_file()
    _crop(photos, "-o", output, "--failed-list", listed)
    assert listed.read_bytes() == b""


def test_programs_learn_what_was_skipped(photos: Path, output: Path) -> None:
    write_photo(photos / "a.jpg")
    os.mkfifo(photos / "pipe.jpg")
    records = [json.loads(line) for line in _crop(photos, "-o", output, "--json").stdout.splitlines()]
    assert {(Path(record["source"]).name, record["status"]) for record in records} == {
        ("a.jpg", "done"),
        ("pipe.jpg", "skipped"),
    }


def test_the_sidecar_records_the_lens_and_that_there_is_a_place_but_not_the_place(photos: Path, output: Path) -> None:
    path = write_photo(photos / "a.jpg", exif=rich_exif(jpeg_bytes(picture(16, 16))))
    assert path.read_bytes().count(b"secret") == 1
    _crop(photos, "-o", output)
    source = read(output / "a.jpg.json").source
    assert (source.camera, source.has_gps) == ("Canon EOS R5", True)
    assert b"secret" not in (output / "a.jpg.medium.jpg").read_bytes()


def test_a_limited_size_shrinks_the_crop_and_not_the_box(photos: Path, output: Path) -> None:
    write_photo(photos / "a.png")
    _crop(photos, "-o", output, "--max-size", 30)
    shot = read(output / "a.png.json").shots[0]
    assert (shot.box.width, shot.box.height) == (120, 64)
    assert shot.size is not None
    assert open_image(output / "a.png.establishing.png").size == (shot.size.width, shot.size.height) == (30, 16)


def test_what_framing_could_not_do_is_a_warning(photos: Path, output: Path) -> None:
    write_photo(photos / "a.png")
    _crop(photos, "-o", output, "--min-size", 5000)
    record = read(output / "a.png.json")
    assert any("close_up" in warning for warning in record.warnings)
