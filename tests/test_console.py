import io
import sys

import pytest

from shotcrop_cli import console as module
from shotcrop_cli.console import Console, one_line


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    """Put a terminal in stderr's place, in the test itself since pytest captures anew for each phase."""
    fake = _Terminal()
    monkeypatch.setattr(sys, "stderr", fake)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return fake


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    Console().error("bad")
    assert terminal.getvalue() == "\x1b[31merror: \x1b[0mbad\n"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console()
    console.error("bad")
    with console.progress(1):
        console.warn("odd")
    assert "error: bad\n" in terminal.getvalue()
    assert "warning: odd\n" in terminal.getvalue()


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
    assert lines[0][:2] == "20"


def test_quiet_silences_all_but_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True, verbose=True)
    console.info("info")
    console.detail("detail")
    console.warn("odd")
    console.error("bad")
    assert capsys.readouterr() == ("", "warning: odd\nerror: bad\n")


def test_control_characters_cannot_forge_lines_or_colours() -> None:
    assert one_line("a\nb\x1b[31mc\x7f") == "a\\x0ab\\x1b[31mc\\x7f"
