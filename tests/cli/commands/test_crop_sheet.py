"""`shotcrop crop --sheet` draws the sheet of the output folder at the end of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, no_people, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli

PDF_PAGE = re.compile(rb"/Type /Page\b(?!s)")


def run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def two_photos(photos: Path, composer: FakeComposer) -> FakeComposer:
    write_photo(photos / "a.jpg")
    write_photo(photos / "b.jpg")
    return composer


def test_the_sheet_is_that_of_the_sheet_command(photos: Path, output: Path, tmp_path: Path) -> None:
    sheet, same = tmp_path / "crop.png", tmp_path / "sheet.png"
    assert f"sheet in {sheet}" in run("crop", photos, "-o", output, "--sheet", sheet).stderr
    run("sheet", output, "-o", same)
    assert sheet.read_bytes() == same.read_bytes()
    sheet.unlink()
    run("crop", photos, "-o", output, "--sheet", sheet, "--sheet-layout", "triptych")
    run("sheet", output, "-o", same, "--layout", "triptych")
    assert sheet.read_bytes() == same.read_bytes()


def test_one_configuration_file_makes_crops_a_table_and_a_story(photos: Path, output: Path, tmp_path: Path) -> None:
    pytest.importorskip("fpdf")
    config = tmp_path / "job" / "team.toml"
    config.parent.mkdir()
    config.write_text(
        f"[sets]\nstory = '9:16'\nfeed = '4:5'\n[crop]\noutput = '{output.as_posix()}'\nsubjects = 'all'\n"
        "set = ['default', 'story', 'feed']\nmanifest = 'captions.csv'\nsheet = 'story.pdf'\n",
        "utf-8",
    )
    run("crop", photos, "--config", config)
    assert len((config.parent / "captions.csv").read_text("utf-8-sig").splitlines()) == 1 + 2 * 9
    assert len(PDF_PAGE.findall((config.parent / "story.pdf").read_bytes())) == 2
    config.write_text(config.read_text("utf-8") + "sheet-layout = 'triptych'\n", "utf-8")
    run("crop", photos, "--config", config)
    assert len(PDF_PAGE.findall((config.parent / "story.pdf").read_bytes())) == 1


def test_nothing_else_is_on_stdout_and_quiet_runs_are_quiet(photos: Path, output: Path, tmp_path: Path) -> None:
    result = run("crop", photos, "-o", output, "--sheet", tmp_path / "a.jpg", "--json", "--quiet")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(Path(line["source"]).name for line in lines) == ["a.jpg", "b.jpg"]
    assert result.stderr == ""
    assert (tmp_path / "a.jpg").is_file()


def test_a_dry_run_says_what_it_would_draw(photos: Path, output: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "a.jpg"
    result = run("crop", photos, "-o", output, "--sheet", sheet, "--dry-run")
    assert f"would draw a sheet with the layout contact to {sheet}" in result.stderr
    assert not sheet.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--sheet", "a.gif"), ExitCode.USAGE, "a.gif: shotcrop cannot write this format. Fix: use .jpg"),
        (("--sheet", "s3://b/a.jpg"), ExitCode.USAGE, "s3://b/a.jpg: this has to be a local path"),
        (("--sheet", "a.jpg", "--no-images"), ExitCode.USAGE, "--sheet needs crops to show. Leave out --no-images"),
        (("--sheet", "a.jpg", "--watch"), ExitCode.USAGE, "--sheet is for single runs"),
        (("--sheet-layout", "story"), ExitCode.USAGE, "--sheet-layout needs --sheet."),
        (("--sheet", "photos/a.jpg/a.jpg"), ExitCode.OUTPUT, "photos/a.jpg/a.jpg: cannot be written"),
    ],
)
def test_what_cannot_be_drawn_ends_the_run_before_it_starts(
    arguments: tuple[str, ...],
    code: ExitCode,
    message: str,
    photos: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("crop", photos, "-o", output, *arguments, code=code)
    assert message in result.stderr
    assert not output.exists()


def test_a_missing_extra_ends_the_run_before_it_starts(
    photos: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shotcrop_cli.report.pdf.find_spec", lambda _name: None)
    result = run("crop", photos, "-o", output, "--sheet", tmp_path / "a.pdf", code=ExitCode.USAGE)
    assert "a.pdf: PDF support is not installed. Fix: pip install 'shotcrop-cli[pdf]'" in result.stderr
    assert not output.exists()


def test_without_crops_there_is_a_warning(photos: Path, output: Path, tmp_path: Path, two_photos: FakeComposer) -> None:
    two_photos.answer = no_people
    sheet = tmp_path / "a.jpg"
    result = run("crop", photos, "-o", output, "--sheet", sheet, "--sheet-layout", "story")
    assert f"{sheet} is not written: {output}: no photo in this folder has crops" in result.stderr
    assert not sheet.exists()
