"""Each exit code, provoked through the command line; those of signals and pipes by real processes in test_main.py."""

import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from conftest import FakeComposer, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.output_folder import output_lock
from shotcrop_cli.main import cli
from shotcrop_cli.model import session
from shotcrop_cli.runs import run

BY_PROCESSES = {ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.BROKEN_PIPE}


def _all_is_well(_folder: Path, _monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return []


def _a_photo_is_damaged(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (folder / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    return []


def _an_option_is_wrong(_folder: Path, _monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return ["--quality", "0"]


def _the_model_is_unknown(_folder: Path, _monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return ["--model", "shotcrop-giant"]


def _the_device_is_missing(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(session, "CUDA", "NoSuchProvider")
    return ["--device", "cuda"]


def _the_output_is_a_file(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (folder / "shots").touch()
    return []


def _another_run_is_at_work(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lock = output_lock(folder / "shots")
    lock.__enter__()
    _HELD.append(lock)
    return []


def _there_are_no_photos(_folder: Path, _monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return ["--include", "*.png", "--fail-if-empty"]


def _the_time_is_over(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    clock = count(0.0, 1.0)
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    return ["--max-time", "1s"]


def _the_program_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def broken(_bundle: object, _device: str, **_options: object) -> FakeComposer:
        raise ZeroDivisionError

    module = SimpleNamespace(find_model=lambda _model, *, offline: FakeComposer(), load_composer=broken)
    monkeypatch.setitem(sys.modules, "shotcrop_cli.model.load", module)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # where the traceback is kept
    return []


_HELD: list[object] = []
PROVOKED: dict[ExitCode, Callable[[Path, pytest.MonkeyPatch], list[str]]] = {
    ExitCode.OK: _all_is_well,
    ExitCode.SOME_FAILED: _a_photo_is_damaged,
    ExitCode.USAGE: _an_option_is_wrong,
    ExitCode.MODEL: _the_model_is_unknown,
    ExitCode.DEVICE: _the_device_is_missing,
    ExitCode.OUTPUT: _the_output_is_a_file,
    ExitCode.LOCKED: _another_run_is_at_work,
    ExitCode.EMPTY: _there_are_no_photos,
    ExitCode.UNFINISHED: _the_time_is_over,
    ExitCode.BUG: _the_program_is_wrong,
}


@pytest.mark.parametrize("code", PROVOKED, ids=lambda code: code.name)
def test_each_exit_code_is_what_the_table_says(code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    arguments = PROVOKED[code](tmp_path, monkeypatch)
    try:
        result = CliRunner().invoke(cli, ["crop", f"{tmp_path}/photos", "-o", f"{tmp_path}/shots", *arguments])
    finally:
        while _HELD:
            _HELD.pop().__exit__(None, None, None)  # type: ignore[attr-defined]
    assert result.exit_code == code, result.output
    assert code in (ExitCode.OK, ExitCode.SOME_FAILED, ExitCode.UNFINISHED) or "rror: " in result.stderr


@pytest.mark.usefixtures("composer")
def test_learning_from_too_few_corrections_has_a_code_of_its_own(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    CliRunner().invoke(cli, ["crop", f"{tmp_path}/photos", "-o", f"{tmp_path}/shots"])
    result = CliRunner().invoke(cli, ["learn", f"{tmp_path}/shots", "-o", f"{tmp_path}/style"])
    assert result.exit_code == ExitCode.NOT_BETTER, result.output
    assert "error: 0 photos with a box that you moved" in result.stderr


def test_no_exit_code_is_left_out() -> None:
    assert set(ExitCode) == set(PROVOKED) | BY_PROCESSES | {ExitCode.NOT_BETTER}
