import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from shotcrop_cli.errors import ExitCode, ShotcropError
from shotcrop_cli.library.listing import read_list


def _names(tmp_path: Path, content: bytes, *, null: bool = False) -> list[bytes]:
    path = tmp_path / "list"
    path.write_bytes(content)
    return [os.fsencode(name) for name in read_list(str(path), null=null)]


def test_names_are_read_line_by_line(tmp_path: Path) -> None:
    assert _names(tmp_path, b"a.jpg\r\n\n  \nsub/b c.jpg\n\xff.jpg") == [b"a.jpg", b"sub/b c.jpg", b"\xff.jpg"]


def test_names_that_end_with_nul_keep_every_other_byte(tmp_path: Path) -> None:
    content = b"a\nb.jpg\0c\r\0\0\xfe\xff.jpg\0 d .jpg"
    assert _names(tmp_path, content, null=True) == [b"a\nb.jpg", b"c\r", b"\xfe\xff.jpg", b" d .jpg"]


def test_names_are_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a.jpg\0b.jpg\0")))
    assert read_list("-", null=True) == (Path("a.jpg"), Path("b.jpg"))


def test_an_empty_list_names_nothing(tmp_path: Path) -> None:
    assert _names(tmp_path, b"") == []


def test_a_list_with_nul_asks_for_the_flag(tmp_path: Path) -> None:
    with pytest.raises(ShotcropError, match="end with NUL") as caught:
        _names(tmp_path, b"a.jpg\0b.jpg\0")
    assert caught.value.hint == "add -0"


@pytest.mark.parametrize("name", ["gone", "."])
def test_a_list_that_cannot_be_read_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ShotcropError, match="the list of photos cannot be read") as caught:
        read_list(str(tmp_path / name), null=False)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "\n" not in caught.value.message
