from __future__ import annotations

import os
from pathlib import Path

import pytest

from shotcrop_cli import resources
from shotcrop_cli.resources import memory_limit, physical_memory, processor_quota, usable_memory, usable_processors


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the root of control groups, the process being in `a/b`."""
    (tmp_path / "own").write_text("0::/a/b\n")
    root = tmp_path / "cgroup"
    (root / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(resources, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(resources, "_CGROUPS", root)
    return root


def test_usable_processors_are_those_of_this_process() -> None:
    assert usable_processors() == len(os.sched_getaffinity(0))


def test_without_limits_there_are_none(groups: Path) -> None:
    (groups / "a" / "memory.max").write_text("max\n")
    (groups / "a" / "cpu.max").write_text("max 100000\n")
    assert (memory_limit(), processor_quota()) == (None, None)


def test_the_tightest_group_counts(groups: Path) -> None:
    (groups / "a" / "memory.max").write_text("1000\n")
    (groups / "a" / "b" / "memory.max").write_text("3000\n")
    (groups / "a" / "cpu.max").write_text("150000 100000\n")
    (groups / "a" / "b" / "cpu.max").write_text("max 100000\n")
    assert (memory_limit(), processor_quota()) == (1000, 1.5)


def test_a_container_has_its_limits_at_the_root(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/\n")
    (groups / "memory.max").write_text("2000\n")
    assert memory_limit() == 2000


@pytest.mark.parametrize("own", [None, "5:memory:/a\n"])
def test_other_systems_tell_of_no_limits(groups: Path, tmp_path: Path, own: str | None) -> None:
    (groups / "memory.max").write_text("2000\n")
    (tmp_path / "own").unlink()
    if own is not None:
        (tmp_path / "own").write_text(own)
    assert (memory_limit(), processor_quota()) == (None, None)


def test_there_is_more_memory_than_this_process_takes() -> None:
    assert physical_memory() > 1 << 28


@pytest.mark.parametrize(("limit", "usable"), [(None, 100), (60, 60), (140, 100)])
def test_usable_memory_is_what_there_is_within_the_limit(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, usable: int
) -> None:
    monkeypatch.setattr(resources, "physical_memory", lambda: 100)
    monkeypatch.setattr(resources, "memory_limit", lambda: limit)
    assert usable_memory() == usable
