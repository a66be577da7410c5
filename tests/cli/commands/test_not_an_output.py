"""A folder of photos that is named by mistake where an output folder belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import write_photo
from finished_shots import write_shots
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli

COMMANDS = (
    ["sheet", "photos", "-o", "sheet.png"],
    ["sheet", "photos", "-o", "sheet.png", "--set", "web"],
    ["sheet", "photos", "-o", "sheet.png", "--status", "done", "--layout", "story"],
    ["export", "photos", "--manifest", "crops.csv"],
    ["export", "shots", "photos", "--coco", "crops.json"],
    ["motion", "photos", "-o", "clips"],
    ["caption", "photos", "--captions", "rules"],
    ["apply", "photos"],
    ["prune", "photos"],
    ["review", "photos", "--static", "page"],
    ["learn", "photos", "-o", "style"],
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_gives_the_same_message_and_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shotcrop_cli.report.clip.find_ffmpeg", lambda: "ffmpeg")
    monkeypatch.setattr("shotcrop_cli.report.clip.check_encoder", lambda _program: None)
    write_shots(tmp_path / "shots", "b.png")
    write_photo(tmp_path / "photos" / "a.jpg")
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == ExitCode.USAGE, result.output
    assert result.stderr == (
        "error: photos: not in an output folder of shotcrop. "
        "Fix: name the folder that you gave to shotcrop crop as --output\n"
    )
    assert sorted(tmp_path.iterdir()) == before
