import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import names_in
from shotcrop_cli.errors import LockedError, OutputError
from shotcrop_cli.library.output_folder import (
    LOCK_NAME,
    ROOTS_NAME,
    OutputFolders,
    add_roots,
    note_kill,
    open_output,
    output_lock,
    read_roots,
    remove_temporaries,
    running_marker,
)
from shotcrop_cli.library.shard import Shard


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
        pytest.raises(LockedError, match=r"still using this output folder after 0\.3 s"),
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


_TEMPORARY = ".shotcrop-0123456789abcdef.tmp"


def test_the_marker_exists_while_a_run_works(tmp_path: Path) -> None:
    with running_marker(tmp_path):
        assert names_in(tmp_path) == [".shotcrop.running"]
    assert names_in(tmp_path) == []


def test_temporaries_are_searched_only_after_a_killed_run(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / _TEMPORARY).touch()
    with running_marker(tmp_path):
        assert names_in(deep) == [_TEMPORARY]
    (tmp_path / ".shotcrop.running").touch()
    with running_marker(tmp_path):
        assert names_in(deep) == []


@pytest.mark.parametrize("shard", [None, Shard(1, 2)])
def test_temporaries_of_a_killed_worker_are_removed_at_the_end_of_its_run(tmp_path: Path, shard: Shard | None) -> None:
    deep = tmp_path / "a"
    deep.mkdir()
    for kills in range(2):
        with open_output(tmp_path, 0.0, shard=shard):
            (deep / _TEMPORARY).touch()
            if kills:
                note_kill(tmp_path)
        assert names_in(deep) == ([] if kills else [_TEMPORARY])
    assert [name for name in names_in(tmp_path) if "running" in name] == []


def test_only_temporaries_are_removed(tmp_path: Path) -> None:
    for name in (_TEMPORARY, "a.jpg", ".shotcrop-notes.txt", "b.tmp"):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    assert names_in(tmp_path) == [".shotcrop-notes.txt", "a.jpg", "b.tmp"]


def test_a_marker_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError), running_marker(tmp_path / "missing"):
        pass


def test_roots_add_up_and_survive_odd_names(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"/photos/\xff\n"))
    add_roots(tmp_path, [Path("/a")])
    add_roots(tmp_path, [odd, Path("/a")])
    assert read_roots(tmp_path) == (Path("/a"), odd)


def test_the_whole_machine_is_no_root(tmp_path: Path) -> None:
    add_roots(tmp_path, [Path("/")])
    assert read_roots(tmp_path) == ()


def test_roots_that_are_known_are_not_written_again(tmp_path: Path) -> None:
    add_roots(tmp_path, [Path("/a")])
    before = (tmp_path / ROOTS_NAME).stat().st_ctime_ns
    add_roots(tmp_path, [Path("/a")])
    assert (tmp_path / ROOTS_NAME).stat().st_ctime_ns == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000, json.dumps(["relative"]).encode()])
def test_nonsense_names_no_root(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ROOTS_NAME).write_bytes(content)
    assert read_roots(tmp_path) == ()


def test_an_output_is_known_by_what_it_is_not_by_its_path(tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    (tmp_path / "alias").symlink_to(shots)
    crops = OutputFolders(shots)
    assert crops.is_own((tmp_path / "alias").stat())
    assert not crops.is_own(tmp_path.stat())


def test_everything_below_an_output_belongs_to_it(tmp_path: Path) -> None:
    deep = tmp_path / "shots" / "2026" / "ana"
    deep.mkdir(parents=True)
    crops = OutputFolders(tmp_path / "shots")
    assert crops.contain(str(deep))
    assert crops.contain(str(deep.parent.parent))
    assert not crops.contain(str(tmp_path))


def test_the_output_of_another_run_is_recognised_by_its_lock(tmp_path: Path) -> None:
    deep = tmp_path / "old" / "2026"
    deep.mkdir(parents=True)
    (tmp_path / "old" / LOCK_NAME).touch()
    assert OutputFolders(tmp_path / "new").contain(str(deep))


def test_an_output_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    crops = OutputFolders(tmp_path / "new")
    assert not crops.contain(str(tmp_path))
    assert not crops.contain("/")


@pytest.mark.parametrize("shard", [None, Shard(1, 2)])
@pytest.mark.parametrize("refused", [".shotcrop.lock", ".shotcrop.running"])
def test_a_folder_without_permission_to_write_is_named(
    tmp_path: Path, shard: Shard | None, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so the system's answer is imitated.
    with open_output(tmp_path, 0.0):
        pass
    real = os.open

    def denied(path: str | os.PathLike[str], *arguments: int, **options: int) -> int:
        if Path(path).name.startswith(refused):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(OutputError) as caught, open_output(tmp_path, 0.0, shard=shard):
        pass
    assert str(caught.value) == (
        f"{tmp_path}: the output folder cannot be written: Permission denied. "
        "Fix: give yourself permission to write there, or use another output folder"
    )
