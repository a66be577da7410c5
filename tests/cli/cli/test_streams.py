"""How lines fit a terminal. A pseudo-terminal stands in for one, at widths down to 60 columns."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from shotcrop_cli.cli import streams
from shotcrop_cli.cli.streams import fold

_BAR = """
import sys, time
from shotcrop_cli.cli.console import Console
console = Console()
try:
    with console.progress(100) as progress:
        time.sleep(0.5)  # the bar is drawn ten times a second at most
        progress.advance()
        time.sleep(60)
except KeyboardInterrupt:
    console.error("interrupted")
"""


def _width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(streams, "terminal_width", lambda _stream: columns)


def _rows(line: str, width: int) -> list[str]:
    """Return the rows of a line as a terminal shows them."""
    return [line[start : start + width].rstrip() for start in range(0, len(line), width)]


def test_a_line_breaks_between_words_and_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _width(monkeypatch, 20)
    folded = fold("photos/a.jpg: not an image. Fix: copy it again", sys.stderr, prefix="error: ")
    assert "\n" not in folded
    assert _rows(folded, 20) == ["error: photos/a.jpg:", "not an image. Fix:", "copy it again"]


def test_without_a_terminal_a_line_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    _width(monkeypatch, 0)
    assert fold("a  b " * 100, sys.stderr) == "a  b " * 100


def test_quoted_words_stay_together_so_that_commands_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    _width(monkeypatch, 24)
    folded = fold("""shotcrop sheet 'my best shots' -o "a b.jpg" for the dog's tail""", sys.stderr)
    assert "'my best shots'" in folded and '"a b.jpg"' in folded
    assert _rows(folded, 24) == ["shotcrop sheet", "'my best shots' -o", """"a b.jpg" for the dog's""", "tail"]


def test_rows_are_indented_less_where_a_long_word_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    _width(monkeypatch, 20)
    folded = fold("in /a/long/folder/x now", sys.stderr, prefix="ok       ", indent=9)
    assert _rows(folded, 20) == ["ok       in", "    /a/long/folder/x", f"{'':9}now"]


def test_wide_characters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    _width(monkeypatch, 10)
    assert fold("写真写 真写真", sys.stderr) == "写真写    真写真"


def test_a_word_longer_than_a_row_is_all_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    _width(monkeypatch, 10)
    assert _rows(fold("123456789012345 next word", sys.stderr), 10) == ["1234567890", "12345", "next word"]


def _screen(output: bytes, width: int) -> list[str]:
    """Return what a terminal shows after some output: carriage returns, line feeds and erased lines are obeyed."""
    rows, column = [[" "] * width], 0
    text = output.decode()
    while text:
        if text.startswith("\x1b[K"):
            rows[-1][column:] = [" "] * (width - column)
            text = text[3:]
            continue
        if text.startswith("\x1b["):
            text = text[text.index("m") + 1 :]
            continue
        character, text = text[0], text[1:]
        if character == "\r":
            column = 0
        elif character == "\n":
            rows.append([" "] * width)
        else:
            if column == width:
                rows.append([" "] * width)
                column = 0
            rows[-1][column] = character
            column += 1
    return ["".join(row).rstrip() for row in rows]


@pytest.mark.parametrize("width", [60, 200])
def test_ctrl_c_leaves_no_half_progress_bar(width: int) -> None:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    run = subprocess.Popen(
        [sys.executable, "-c", _BAR], stdin=child, stdout=child, stderr=child, start_new_session=True, env=environment
    )
    os.close(child)
    output = b""
    deadline = time.monotonic() + 60
    while b"1/100" not in output and time.monotonic() < deadline:
        if select.select([parent], [], [], 1.0)[0]:
            output += os.read(parent, 4096)
    output += b"^C"  # as a terminal echoes it
    run.send_signal(signal.SIGINT)
    while True:
        try:
            if not (more := os.read(parent, 4096)):
                break
        except OSError:  # the end, on Linux
            break
        output += more
    assert run.wait(30) == 0
    assert b"1/100" in output
    assert [row for row in _screen(output, width) if row] == ["error: interrupted"]


def test_a_terminal_has_a_width_and_a_file_has_none(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(child, "w") as terminal, (tmp_path / "file").open("w") as file:
        assert (streams.terminal_width(terminal), streams.terminal_width(file)) == (60, 0)
    os.close(parent)
