"""How many processors and how much memory this process may use, with the limits of `taskset`, containers and systemd.

Linux publishes the limits of control groups in files, see its Documentation/admin-guide/cgroup-v2.rst. The limits of a
group and of all groups around it apply.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """Return the number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_quota() -> float | None:
    """Return the processor time that the control group grants, in processors; None without a limit."""
    shares = [text.split() for text in _limits("cpu.max")]
    quotas = [int(quota) / int(period) for quota, period in shares if quota != "max"]
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """Return the bytes of memory that the control group grants; None without a limit."""
    return min((int(text) for text in _limits("memory.max") if text != "max"), default=None)


def physical_memory() -> int:
    """Return the bytes of memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def usable_memory() -> int:
    """Return the most bytes of memory that this process may use."""
    return min(physical_memory(), memory_limit() or physical_memory())


def _limits(name: str) -> Iterator[str]:
    """Yield the content of a limit's files, for the process's own group and those around it."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:  # not Linux
        return
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:  # control groups of version 1
        return
    for folder in (_CGROUPS / own, *(_CGROUPS / own).parents):
        if not folder.is_relative_to(_CGROUPS):
            return
        try:
            yield (folder / name).read_text().strip()
        except OSError:  # the root has no limits, and a container does not see the groups around it
            continue
