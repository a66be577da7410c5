import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from shotcrop_cli.remote.copies import CopiesFolder

_KILLED = """
import os, signal
from shotcrop_cli.remote.copies import CopiesFolder
folder = CopiesFolder()
(folder.path / "a.jpg").write_bytes(b"copy")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_copies_of_a_killed_process_are_removed_by_the_next_one(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED], check=False)
    (left,) = temporary.iterdir()
    with CopiesFolder() as folder:
        assert not left.exists()
        assert list(temporary.iterdir()) == [folder.parent]
    assert list(temporary.iterdir()) == []


def test_copies_in_use_and_other_folders_stay(temporary: Path) -> None:
    (temporary / "shotcrop-copies-of-mine").mkdir()
    with CopiesFolder() as first, CopiesFolder() as second:
        assert first.is_dir() and second.is_dir()
    assert [path.name for path in temporary.iterdir()] == ["shotcrop-copies-of-mine"]
