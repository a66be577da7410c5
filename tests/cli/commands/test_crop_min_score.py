import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, fixed_composition, no_people, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.shots import Composition
from shotcrop_cli.sidecar import read

CLOSE_UP_SCORES_LOW = "close_up scores 0.3"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photo(tmp_path / "photos" / "a.jpg")
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def scores(composer: FakeComposer) -> None:
    """Let the model be sure of all but the close-up."""
    composer.answer = lambda _image, _aspect: scored(0.9, 0.8, 0.3)


def scored(*scores: float | None) -> Composition:
    whole = fixed_composition()
    shots = (replace(shot, score=score) for shot, score in zip(whole.shots, scores, strict=True))
    return replace(whole, shots=tuple(shots))


def crop(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def files(folder: Path) -> dict[str, int]:
    """Return the inode change times of crops and sidecars, which programs cannot set back."""
    return {path.name: path.stat().st_ctime_ns for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def test_a_photo_with_a_low_score_is_cropped_and_listed_and_not_a_failure(photos: Path, output: Path) -> None:
    result = crop(photos, "-o", output, "--min-score", 0.5)
    *_, summary, named, _next_step = result.stderr.splitlines()
    assert summary.startswith("1 done, 0 unchanged, 0 without people, 0 failed in ")
    assert summary.endswith(" photos/s), 1 to review")
    assert named == f"review: {photos / 'a.jpg'}: {CLOSE_UP_SCORES_LOW}"
    sidecar = read(output / "a.jpg.json")
    assert sidecar.warnings == (f"{CLOSE_UP_SCORES_LOW}, below 0.5",)
    assert all((output / shot.file).is_file() for shot in sidecar.shots if shot.file)


def test_without_min_score_nothing_is_listed_for_review(photos: Path, output: Path) -> None:
    stderr = crop(photos, "-o", output).stderr
    assert "review" not in stderr
    assert read(output / "a.jpg.json").warnings == ()


def test_a_photo_with_high_scores_needs_no_review(photos: Path, output: Path) -> None:
    assert crop(photos, "-o", output, "--min-score", 0.2).stderr.splitlines()[-2].endswith(", 0 to review")


def test_crops_without_scores_are_never_listed_for_review(photos: Path, output: Path, composer: FakeComposer) -> None:
    composer.answer = lambda _image, _aspect: scored(None, None, None)
    assert ", 0 to review" in crop(photos, "-o", output, "--min-score", 1).stderr


def test_a_photo_without_people_is_not_listed_for_review(photos: Path, output: Path, composer: FakeComposer) -> None:
    composer.answer = no_people
    for _ in range(2):
        assert ", 0 to review" in crop(photos, "-o", output, "--min-score", 1).stderr


def test_another_min_score_lists_other_photos_and_crops_nothing(
    photos: Path, output: Path, composer: FakeComposer, tmp_path: Path
) -> None:
    listed = tmp_path / "review.txt"
    path = photos / "a.jpg"
    crop(photos, "-o", output)
    before = files(output)
    composer.seen.clear()
    for least, named in ((0.2, []), (0.5, [path]), (0.85, [path]), (0.1, [])):
        stderr = crop(photos, "-o", output, "--min-score", least, "--review-list", listed).stderr
        assert "0 done, 1 unchanged, 0 without people, 0 failed" in stderr
        assert f", {len(named)} to review" in stderr
        assert listed.read_text().splitlines() == [str(path) for path in named]
    assert composer.seen == []
    assert files(output) == before


def test_the_review_list_is_fit_to_be_read_again(
    photos: Path, output: Path, tmp_path: Path, composer: FakeComposer
) -> None:
    odd = photos / "new\nline.jpg"
    write_photo(odd)
    (photos / "broken.jpg").write_bytes(b"")
    listed, failed = tmp_path / "review", tmp_path / "failed"
    lists = ("--review-list", listed, "--failed-list", failed, "-0")
    crop(photos, "-o", output, "--min-score", 0.5, *lists, code=ExitCode.SOME_FAILED)
    assert sorted(listed.read_bytes().split(b"\0")) == sorted([b"", os.fsencode(photos / "a.jpg"), os.fsencode(odd)])
    assert failed.read_bytes() == os.fsencode(photos / "broken.jpg") + b"\0"
    composer.answer = lambda _image, _aspect: scored(0.9, 0.9, 0.9)
    stderr = crop(photos, "-o", output, "--files-from", listed, "-0", "--overwrite", "--min-score", 0.5).stderr
    assert "2 done, 0 unchanged, 0 without people, 0 failed" in stderr
    assert ", 0 to review" in stderr
    assert read(output / "a.jpg.json").warnings == ()


def test_programs_learn_which_crop_needs_a_review(photos: Path, output: Path) -> None:
    for status in ("done", "unchanged"):
        (line,) = crop(photos, "-o", output, "--min-score", 0.85, "--json").stdout.splitlines()
        printed = json.loads(line)
        assert printed["status"] == status
        assert printed["review"] == [{"shot": "medium", "score": 0.8}, {"shot": "close_up", "score": 0.3}]
    assert json.loads(crop(photos, "-o", output, "--json").stdout)["review"] == []


def test_quiet_runs_only_write_the_review_list(photos: Path, output: Path, tmp_path: Path) -> None:
    listed = tmp_path / "review.txt"
    assert crop(photos, "-o", output, "-q", "--min-score", 0.5, "--review-list", listed).output == ""
    assert listed.read_text() == f"{photos / 'a.jpg'}\n"


def test_only_the_shots_that_are_cropped_count(photos: Path, output: Path) -> None:
    arguments = (photos, "-o", output, "--shots", "medium", "--min-score", 0.5)
    for _ in range(2):
        assert ", 0 to review" in crop(*arguments).stderr


def test_a_box_that_a_person_accepted_is_not_listed_any_more(photos: Path, output: Path) -> None:
    crop(photos, "-o", output, "--min-score", 0.5)
    sidecar = output / "a.jpg.json"
    document = json.loads(sidecar.read_text("utf-8"))
    document["shots"][2]["edited"] = True
    sidecar.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    stderr = crop(photos, "-o", output, "--min-score", 0.5).stderr
    assert "0 done, 1 unchanged" in stderr
    assert ", 0 to review" in stderr


def test_low_scores_are_listed_after_cropping_again(photos: Path, output: Path, composer: FakeComposer) -> None:
    crop(photos, "-o", output, "--min-score", 0.5)
    composer.seen.clear()
    assert ", 1 to review" in crop(photos, "-o", output, "--min-score", 0.4, "--quality", 80).stderr
    assert composer.seen == []
    assert read(output / "a.jpg.json").warnings == (f"{CLOSE_UP_SCORES_LOW}, below 0.4",)


def test_strange_scores_and_lists_are_refused(photos: Path, output: Path, tmp_path: Path) -> None:
    crop(photos, "-o", output, "--min-score", 1.5, code=ExitCode.USAGE)
    alone = crop(photos, "-o", output, "--review-list", tmp_path / "list", code=ExitCode.USAGE)
    assert "--review-list needs --min-score" in alone.stderr
    unwritable = tmp_path / "missing" / "list"
    refused = crop(photos, "-o", output, "--min-score", 0.5, "--review-list", unwritable, code=ExitCode.OUTPUT)
    assert "choose another --review-list" in refused.stderr


def test_min_score_can_be_set_in_a_configuration_file(photos: Path, output: Path, tmp_path: Path) -> None:
    config = tmp_path / "kept.toml"
    config.write_text("[crop]\nmin-score = 0.5\n")
    assert ", 1 to review" in crop(photos, "-o", output, "--config", config).stderr


def test_a_box_that_a_person_has_set_leaves_the_review(photos: Path, output: Path) -> None:
    crop(photos, "-o", output, "--min-score", 0.5)
    sidecar = output / "a.jpg.json"
    document = json.loads(sidecar.read_text("utf-8"))
    document["shots"][2]["box"]["width"] -= 1
    sidecar.write_text(json.dumps(document), "utf-8")
    assert CliRunner().invoke(cli, ["apply", str(sidecar)]).exit_code == ExitCode.OK
    assert read(sidecar).warnings == ()
    stderr = crop(photos, "-o", output, "--min-score", 0.5).stderr
    assert "0 done, 1 unchanged" in stderr
    assert ", 0 to review" in stderr
