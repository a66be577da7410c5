import json
import os
from pathlib import Path

import pytest

from conftest import names_in
from shotcrop_cli.errors import OutputError
from shotcrop_cli.library.marks import ROOTS_NAME, recall_roots, remember_roots, sweep, work_mark

_TEMPORARY = ".shotcrop-0123456789abcdef.tmp"


def test_the_mark_lies_there_while_a_run_works(tmp_path: Path) -> None:
    with work_mark(tmp_path):
        assert names_in(tmp_path) == [".shotcrop.running"]
    assert names_in(tmp_path) == []


def test_temporaries_are_looked_for_only_after_a_killed_run(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / _TEMPORARY).touch()
    with work_mark(tmp_path):
        assert names_in(deep) == [_TEMPORARY]
    (tmp_path / ".shotcrop.running").touch()
    with work_mark(tmp_path):
        assert names_in(deep) == []


def test_a_sweep_takes_temporaries_alone(tmp_path: Path) -> None:
    for name in (_TEMPORARY, "a.jpg", ".shotcrop-notes.txt", "b.tmp"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert names_in(tmp_path) == [".shotcrop-notes.txt", "a.jpg", "b.tmp"]


def test_a_mark_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError), work_mark(tmp_path / "missing"):
        pass


def test_roots_add_up_and_survive_odd_names(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"/photos/\xff\n"))
    remember_roots(tmp_path, [Path("/a")])
    remember_roots(tmp_path, [odd, Path("/a")])
    assert recall_roots(tmp_path) == (Path("/a"), odd)


def test_the_whole_machine_is_no_root(tmp_path: Path) -> None:
    remember_roots(tmp_path, [Path("/")])
    assert recall_roots(tmp_path) == ()


def test_roots_that_are_known_are_not_written_again(tmp_path: Path) -> None:
    remember_roots(tmp_path, [Path("/a")])
    before = (tmp_path / ROOTS_NAME).stat().st_ctime_ns
    remember_roots(tmp_path, [Path("/a")])
    assert (tmp_path / ROOTS_NAME).stat().st_ctime_ns == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", json.dumps(["relative"]).encode()])
def test_nonsense_names_no_root(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ROOTS_NAME).write_bytes(content)
    assert recall_roots(tmp_path) == ()
