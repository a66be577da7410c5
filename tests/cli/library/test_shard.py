import math
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import names_in
from shotcrop_cli.errors import LockedError
from shotcrop_cli.library.atomic_write import is_temporary
from shotcrop_cli.library.output_folder import LOCK_NAME, list_of_all_runs, open_output, output_lock
from shotcrop_cli.library.shard import Shard
from shotcrop_cli.library.shard_lock import Flock

_OWNED = ["2026/00/IMG_0000.jpg", "2026/00/IMG_0002.jpg", "2026/00/IMG_0008.jpg", "2026/00/IMG_0009.jpg"]
_NAMES = [PurePath(f"2026/{number // 100:02}/IMG_{number:04}.jpg") for number in range(1000)]


@given(st.text("abÄé/. ", min_size=1), st.integers(1, 50))
def test_each_photo_belongs_to_one_shard(name: str, count: int) -> None:
    owners = [number for number in range(1, count + 1) if Shard(number, count).owns(PurePath(name))]
    assert len(owners) == 1


@pytest.mark.parametrize("count", [2, 3, 8])
def test_shards_are_about_equal(count: int) -> None:
    sizes = Counter(
        next(number for number in range(1, count + 1) if Shard(number, count).owns(name)) for name in _NAMES
    )
    assert min(sizes.values()) > 0.7 * len(_NAMES) / count
    assert max(sizes.values()) < 1.3 * len(_NAMES) / count


def test_the_split_is_the_same_in_every_version() -> None:
    owned = [str(name) for name in _NAMES[:12] if Shard(1, 3).owns(name)]
    assert owned == _OWNED


@pytest.mark.parametrize(("one", "other"), [("Ana/a.JPG", "ana/A.jpg"), ("caf\u00e9.jpg", "cafe\u0301.jpg")])
def test_what_file_systems_change_does_not_matter(one: str, other: str) -> None:
    assert all(Shard(n, 7).owns(PurePath(one)) == Shard(n, 7).owns(PurePath(other)) for n in range(1, 8))


def test_names_that_are_no_utf8_belong_to_a_shard() -> None:
    assert [Shard(n, 2).owns(PurePath("\udcff.jpg")) for n in (1, 2)].count(True) == 1


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1 / 2", "1.0/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Shard.parse(text)


def test_a_shard_is_read_and_written_alike() -> None:
    assert Shard.parse("2/8") == Shard(2, 8)
    assert str(Shard(2, 8)) == "2/8"


# Locks


def test_shards_run_together_and_leave_only_the_lock(tmp_path: Path) -> None:
    with open_output(tmp_path, 0, shard=Shard(1, 2)), open_output(tmp_path, 0, shard=Shard(2, 2)):
        pass
    assert names_in(tmp_path) == [LOCK_NAME]


@pytest.mark.parametrize(
    ("first", "second"),
    [(Shard(1, 2), Shard(1, 2)), (Shard(1, 2), Shard(1, 3)), (Shard(1, 2), None), (None, Shard(1, 2))],
)
def test_runs_of_the_same_photos_exclude_each_other(tmp_path: Path, first: Shard | None, second: Shard | None) -> None:
    with open_output(tmp_path, 0, shard=first):
        with pytest.raises(LockedError), open_output(tmp_path, 0, shard=second):
            pass
        with pytest.raises(LockedError), output_lock(tmp_path):
            pass
    with open_output(tmp_path, 0, shard=second):
        pass
    assert names_in(tmp_path) == [LOCK_NAME]


def test_a_shard_waits_for_another_run(tmp_path: Path) -> None:
    let_go, waiting = threading.Event(), threading.Event()

    def hold() -> None:
        with open_output(tmp_path, 0):
            let_go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    while not (tmp_path / ".shotcrop.running").exists():
        time.sleep(0.01)

    def told() -> None:
        waiting.set()
        let_go.set()

    with open_output(tmp_path, math.inf, told, Shard(1, 2)):
        assert waiting.is_set()
    thread.join()


def test_a_lock_that_was_removed_while_somebody_waited_protects_nothing(tmp_path: Path) -> None:
    first, second = Flock(tmp_path / "lock"), Flock(tmp_path / "lock")
    assert first.try_lock()
    assert not second.try_lock()
    first.release(remove=True)
    assert second.try_lock()
    assert (tmp_path / "lock").exists()
    second.release()


_KILLED = """
import os, pathlib, sys
from shotcrop_cli.library.output_folder import open_output
from shotcrop_cli.library.shard import Shard
with open_output(pathlib.Path(sys.argv[1]), 0, shard=Shard.parse(sys.argv[2])):
    pathlib.Path(sys.argv[1], ".shotcrop-0123456789abcdef.tmp").touch()
    os.kill(os.getpid(), 9)
"""


def _kill_a_run(root: Path, shard: str) -> None:
    assert subprocess.run([sys.executable, "-c", _KILLED, str(root), shard], check=False).returncode == -9


def test_the_last_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    _kill_a_run(tmp_path, "1/2")
    with open_output(tmp_path, 0, shard=Shard(2, 2)):
        with open_output(tmp_path, 0, shard=Shard(1, 2)):
            pass
        assert any(map(is_temporary, names_in(tmp_path)))  # it might be one that the other run is writing
    assert names_in(tmp_path) == [LOCK_NAME]


@pytest.mark.parametrize("shard", [None, Shard(1, 3)])
def test_a_killed_run_locks_nothing(tmp_path: Path, shard: Shard | None) -> None:
    _kill_a_run(tmp_path, "1/2")
    with open_output(tmp_path, 0, shard=shard):
        pass
    with open_output(tmp_path, 0):
        pass
    assert names_in(tmp_path) == [LOCK_NAME]


def test_only_one_run_at_a_time_changes_a_list(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).touch()
    inside, most = 0, 0

    def change() -> None:
        nonlocal inside, most
        with list_of_all_runs(tmp_path, Shard(1, 2)):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=change) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert names_in(tmp_path) == [LOCK_NAME]
