"""A real Ray cluster of two nodes with one processor each on this machine, and the processes of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
_START_SECONDS = 300.0
"""How long a node may take to start. Ray allows 30 seconds, too few on a busy machine, and has no option for it."""


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Start a `ray.cluster_utils.Cluster`, and end it."""
    from shotcrop_cli.ray_engine.actors import import_ray

    import_ray()  # sets Ray's other limits for slow starts, which the processes of the cluster inherit
    from ray.cluster_utils import Cluster

    with _patience():
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> None:
    """Add a machine to a cluster."""
    with _patience():
        cluster.add_node(wait=False, **NODE)


@contextmanager
def _patience() -> Iterator[None]:
    """Let Ray wait longer until a node is known, because it counts only how long it asked in vain."""
    from ray._private import services

    ask = services.get_node

    def get_node(*arguments: Any) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return ask(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    services.get_node = get_node
    try:
        yield
    finally:
        services.get_node = ask


def raylet_of(node: Any) -> int:
    """Return the process of a node of a cluster."""
    return int(node.all_processes["raylet"][0].process.pid)


def raylets_below(driver: int) -> list[int]:
    """Return the raylets of the cluster that a process started for itself."""
    found = _processes()
    return [pid for pid in _below({driver}, found) if "/raylet/raylet " in found[pid][1]]


def workers_below(raylets: list[int]) -> list[int]:
    """Return the processes of `ray_engine.worker.Worker` on some nodes."""
    found = _processes()
    return [pid for pid in _below(set(raylets), found) if found[pid][1].startswith("ray::Worker")]


def workers_of(cluster: Any) -> list[int]:
    """Return the processes of `ray_engine.worker.Worker` on all nodes of a cluster, and on no other one."""
    return workers_below([raylet_of(node) for node in cluster.list_all_nodes()])


def _processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the command line of each process."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = (line.split(None, 2) for line in listed.stdout.splitlines())
    return {int(pid): (int(parent), command) for pid, parent, command in rows}


def _below(roots: set[int], found: dict[int, tuple[int, str]]) -> list[int]:
    """Return the processes that some processes started, and those that these started."""
    below: set[int] = set()
    while new := {pid for pid, (parent, _) in found.items() if parent in roots | below} - below:
        below |= new
    return sorted(below)
