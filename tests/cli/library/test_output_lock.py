import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shotcrop_cli.errors import LockedError, OutputError
from shotcrop_cli.library.output_folder import LOCK_NAME, output_lock


def test_the_output_folder_is_made_and_marked(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "shots"
    with output_lock(root):
        assert (root / LOCK_NAME).is_file()
    assert (root / LOCK_NAME).is_file()


def test_a_second_run_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    with output_lock(tmp_path), pytest.raises(LockedError, match="another run"), output_lock(tmp_path):
        pass
    with output_lock(tmp_path):
        pass


def test_a_run_that_waits_goes_on_when_the_other_ends(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from shotcrop_cli.library.output_folder import output_lock\n"
        "with output_lock(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        waited: list[str] = []

        def let_the_other_end() -> None:
            waited.append("once")
            other.stdin.close()

        with output_lock(tmp_path, wait=math.inf, on_wait=let_the_other_end):
            assert waited == ["once"]


def test_a_run_that_waited_in_vain_says_how_long(tmp_path: Path) -> None:
    with (
        output_lock(tmp_path),
        pytest.raises(LockedError, match=r"still works on this output folder after 0\.3 s"),
        output_lock(tmp_path, wait=0.3),
    ):
        pass


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from shotcrop_cli.library.output_folder import output_lock\n"
        "with output_lock(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, env=dict(os.environ))
    assert done.returncode == -9
    with output_lock(tmp_path):
        pass


def test_an_output_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(OutputError, match="file/shots: the output folder cannot be written"),
        output_lock(tmp_path / "file" / "shots"),
    ):
        pass
