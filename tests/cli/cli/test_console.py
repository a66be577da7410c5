import io
import json
import logging
import os
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.cli import console as module
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.log import formatter, one_line
from shotcrop_cli.cli.options import LOG_FORMATS
from shotcrop_cli.cli.streams import result
from shotcrop_cli.errors import OutputError


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    """Put a terminal in stderr's place, in the test itself since pytest replaces stderr in each phase."""
    fake = _Terminal()
    monkeypatch.setattr(sys, "stderr", fake)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return fake


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    Console().error("bad")
    assert terminal.getvalue() == "\x1b[31merror: \x1b[0mbad\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_neither_colour_nor_bar_where_they_are_not_wanted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    terminal = _terminal(monkeypatch)
    monkeypatch.setenv(name, value)
    console = Console()
    console.error("bad")
    with console.progress(1) as progress:
        console.warn("odd")
        progress.advance()
    assert terminal.getvalue() == "error: bad\nwarning: odd\n"


def test_a_terminal_shows_a_bar_and_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    console = Console()
    with console.progress(2) as progress:
        console.info("a line")
        progress.advance()
        progress.advance()
    assert "a line\n" in terminal.getvalue()
    assert "0/2" in terminal.getvalue()


@pytest.mark.parametrize("quiet", [False, True])
def test_no_bar_off_a_terminal(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Console(quiet=quiet).progress(2) as progress:
        progress.advance()
    assert capsys.readouterr() == ("", "")


def test_a_long_run_without_a_terminal_says_how_far_it_got(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PLAIN_PROGRESS_SECONDS", 0.0)
    with Console().progress(2) as progress:
        progress.advance()
        progress.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["1/2 photos", "2/2 photos"]
    assert datetime.fromisoformat(lines[0].split(" ", 1)[0]).tzinfo is not None


def test_quiet_silences_all_but_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True, verbose=True)
    console.info("info")
    console.detail("detail")
    console.warn("odd")
    console.error("bad")
    assert capsys.readouterr() == ("", "warning: odd\nerror: bad\n")


def test_verbose_says_what_becomes_of_a_photo(capsys: pytest.CaptureFixture[str]) -> None:
    Console(verbose=True).photo(Path("a.jpg"), "failed", "truncated")
    assert capsys.readouterr() == ("", "a.jpg: failed, truncated\n")


def test_no_name_forges_a_line_or_a_colour_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Console().info("a\nb\x1b[31mc")
    assert capsys.readouterr().err == "a\\x0ab\\x1b[31mc\n"


def test_without_a_log_file_stderr_has_the_format_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(log_format="json") as console:
        console.warn("odd")
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["message"]) == ("warning", "odd")


def test_json_on_a_terminal_has_no_bar_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    console = Console(log_format="json")
    with console.progress(1) as progress:
        console.info("a line")
        progress.advance()
    assert json.loads(terminal.getvalue())["message"] == "a line"


def test_the_log_has_everything_however_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "shotcrop.log"
    with Console(quiet=True, log_file=log) as console:
        console.info("info")
        console.detail("detail")
        console.photo(Path("a.jpg"), "done")
        console.always("summary")
        console.warn("odd")
        console.error("bad")
    lines = [line.split(" ", 1) for line in log.read_text("utf-8").splitlines()]
    assert all(datetime.fromisoformat(time).tzinfo is not None for time, _ in lines)
    assert [text for _, text in lines] == [
        "info: info",
        "detail: detail",
        "detail: a.jpg: done",
        "notice: summary",
        "warning: odd",
        "error: bad",
    ]
    assert capsys.readouterr().err == "summary\nwarning: odd\nerror: bad\n"


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with Console(quiet=True, log_file=tmp_path / "log") as console:
            console.info(text)
    assert [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["first", "second"]


def test_a_json_log_has_a_field_for_each_fact_of_a_photo(tmp_path: Path) -> None:
    with Console(log_file=tmp_path / "log", log_format="json") as console:
        console.photo(Path("a.jpg"), "failed", "truncated")
        console.photo(Path("b.jpg"), "done")
    failed, done = (json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines())
    assert datetime.fromisoformat(failed.pop("time")).tzinfo is not None
    assert failed == {
        "level": "detail",
        "message": "a.jpg: failed, truncated",
        "source": "a.jpg",
        "status": "failed",
        "reason": "truncated",
    }
    assert (done["message"], done["status"], done["reason"]) == ("b.jpg: done", "done", None)


def test_the_log_follows_rotation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Console(quiet=True, log_file=log) as console:
        console.info("before")
        log.rename(tmp_path / "log.1")
        console.info("after")
    assert (tmp_path / "log.1").read_text().endswith("info: before\n")
    assert log.read_text().endswith("info: after\n")
    assert "before" not in log.read_text()


def test_a_log_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"{tmp_path}: the log cannot be written: Is a directory"):
        Console(log_file=tmp_path).__enter__()


def test_a_log_lost_midway_is_warned_of_once_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs" / "log"
    with Console(quiet=True, log_file=log) as console:
        log.unlink()
        log.parent.rmdir()
        console.info("one")
        console.info("two")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {log}: cannot be written: ")


def test_a_full_disk_under_the_log_is_warned_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(quiet=True, log_file=Path("/dev/full")) as console:
        console.info("one")
        console.info("two")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_names_that_are_no_utf8_keep_their_bytes_in_a_text_log(tmp_path: Path) -> None:
    with Console(quiet=True, log_file=tmp_path / "log") as console:
        console.photo(Path(os.fsdecode(b"caf\xe9\n.jpg")), "done")
        console.info("a lone \ud800")
    first, second = (tmp_path / "log").read_bytes().splitlines()
    assert first.endswith(b"detail: caf\xe9\\x0a.jpg: done")
    assert second.endswith(b"info: a lone \\ud800")


def test_names_that_are_no_utf8_leave_a_json_log_valid(tmp_path: Path) -> None:
    source = Path(os.fsdecode(b"caf\xe9\n\xc3\xa9.jpg"))
    with Console(quiet=True, log_file=tmp_path / "log", log_format="json") as console:
        console.photo(source, "done")
    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert b"caf\\udce9\\n\xc3\xa9.jpg" in line
    assert json.loads(line.decode("utf-8"))["source"] == str(source)


@given(st.text(), st.sampled_from(LOG_FORMATS))
def test_no_text_takes_more_than_one_line_of_the_log(text: str, log_format: str) -> None:
    record = logging.LogRecord("shotcrop", logging.INFO, "", 0, text, None, None)
    line = formatter(log_format).format(record).encode("utf-8", "surrogateescape")
    assert b"\n" not in line and b"\r" not in line
    if log_format == "json":
        assert json.loads(line)["message"] == text


def test_results_are_utf8_whatever_the_name(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    result(os.fsdecode(b"caf\xe9 \xc3\xa9"))
    assert capfdbinary.readouterr().out == b"caf\\udce9 \xc3\xa9\n"


def test_control_characters_cannot_forge_lines_or_colours() -> None:
    assert one_line("a\nb\x1b[31mc\x7f\x85\u2028") == "a\\x0ab\\x1b[31mc\\x7f\\x85\\u2028"
