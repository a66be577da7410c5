import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, write_photo
from shotcrop_cli.cli.photo_list import PhotoList
from shotcrop_cli.errors import ExitCode, OutputError
from shotcrop_cli.main import cli

pytestmark = pytest.mark.usefixtures("composer")


@pytest.fixture
def bad(photos: Path) -> Path:
    photos.mkdir()
    path = photos / "a.jpg"
    path.write_bytes(b"no picture")
    return path


def _crop(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["crop", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def _write(path: str, redirection: str) -> subprocess.CompletedProcess[str]:
    """Write a list in a process whose output goes where a shell sends it."""
    body = (
        "from pathlib import Path; from shotcrop_cli.cli.photo_list import PhotoList; "
        "from shotcrop_cli.cli.streams import keep_stdout_for_results, result; "
        f"keep_stdout_for_results(); one = PhotoList(Path('{path}'), '--failed-list', null=False); "
        "result('a result'); one.write([Path('a.jpg')])"
    )
    command = f'"{sys.executable}" -c "{body}" {redirection}'
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("option", ["--failed-list", "--review-list"])
def test_a_list_reaches_what_a_link_leads_to(tmp_path: Path, bad: Path, output: Path, option: str) -> None:
    target, link = tmp_path / "list.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    _crop(bad, "-o", output, option, link, "--min-score", "0.5", code=ExitCode.SOME_FAILED)
    assert link.is_symlink()
    assert target.read_text("utf-8") == (f"{bad}\n" if option == "--failed-list" else "")


def test_who_reads_a_pipe_gets_the_list_and_its_end(tmp_path: Path, bad: Path, output: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")), daemon=True)
    reader.start()
    _crop(bad, "-o", output, "--failed-list", pipe, code=ExitCode.SOME_FAILED)
    reader.join(10)
    assert read == [f"{bad}\n"]


@pytest.mark.parametrize("path", ["/dev/stderr", "/dev/fd/2"])
def test_a_log_goes_on_with_the_list(tmp_path: Path, path: str) -> None:
    log = tmp_path / "cron.log"
    log.write_text("earlier\n", "utf-8")
    assert _write(path, f"2>> '{log}'").returncode == 0
    assert log.read_text("utf-8") == "earlier\na.jpg\n"


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1"])
def test_stdout_gets_the_list_behind_the_results(path: str) -> None:
    done = _write(path, "")
    assert (done.stdout, done.stderr, done.returncode) == ("a result\na.jpg\n", "", 0)


def test_a_shell_may_read_the_list_with_a_program_of_its_own() -> None:
    done = _write("/dev/fd/9", "9> >(cat >&2)")
    assert (done.stdout, done.stderr, done.returncode) == ("a result\n", "a.jpg\n", 0)


def test_a_full_device_is_named() -> None:
    full = PhotoList(Path("/dev/full"), "--failed-list", null=True)
    with pytest.raises(OutputError, match="/dev/full: cannot write the list of photos: No space left on device"):
        full.write([Path("a.jpg")])


def test_a_list_that_cannot_be_written_is_known_before_the_work(
    tmp_path: Path, photos: Path, output: Path, composer: FakeComposer
) -> None:
    write_photo(photos / "a.jpg")
    result = _crop(photos, "-o", output, "--failed-list", tmp_path / "missing" / "list", code=ExitCode.OUTPUT)
    assert "choose another --failed-list" in result.stderr
    assert composer.seen == []


@pytest.mark.parametrize("option", ["--log-file", "--manifest", "--sheet", "--output"])
def test_a_dash_is_no_file(photos: Path, output: Path, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photos.mkdir()
    monkeypatch.chdir(photos)
    result = CliRunner().invoke(cli, ["crop", str(photos), "-o", str(output), option, "-"])
    assert result.exit_code == ExitCode.USAGE
    assert "- stands for standard input or output only where" in result.output
    assert not (photos / "-").exists()


@pytest.mark.parametrize("more", [["--json"], ["--no-people-list", "-"]], ids=" ".join)
def test_two_results_on_stdout_are_refused(photos: Path, output: Path, more: list[str]) -> None:
    result = CliRunner().invoke(cli, ["crop", str(photos), "-o", str(output), "--failed-list", "-", *more])
    assert result.exit_code == ExitCode.USAGE
    assert "would both write to stdout. Name a file for the list." in result.output
