"""A real Ray cluster of two nodes with one processor each on this machine, and the processes of it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
_START_SECONDS = 300.0
"""How long a node may take to start."""
_HELPERS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
"""Ports that the helpers of a node listen on."""


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Start a `ray.cluster_utils.Cluster`, and end it."""
    from shotcrop_cli.ray_engine.actors import import_ray

    import_ray()  # sets Ray's other limits for slow starts, which the processes of the cluster inherit
    from ray.cluster_utils import Cluster

    with _patience():
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, **_ports(), "include_dashboard": False})
    try:
        add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> None:
    """Add a machine to a cluster."""
    with _patience():
        cluster.add_node(wait=False, **NODE, **_ports())


def _ports() -> dict[str, int]:
    """Return free ports for the helpers of a node."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _HELPERS]
        return {name: listener.getsockname()[1] for name, listener in zip(_HELPERS, listeners, strict=True)}


@contextmanager
def _patience() -> Iterator[None]:
    """Let Ray wait longer for the processes of a node, for which it has limits without an option.

    A raylet ends itself if its helpers do not write their ports into files within 15 seconds. The ports are given, so
    they can be written before. Ray then waits 30 seconds for the raylet, but counts only how long it asked in vain.
    """
    from ray._private import node, services

    ask, start = services.get_node, node.Node.start_raylet

    def get_node(*arguments: Any) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return ask(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def start_raylet(self: Any, *arguments: Any, **more: Any) -> Any:
        for name in _HELPERS:
            path = Path(self.get_session_dir_path(), f"{name}_{self._node_id}")
            path.write_text(str(getattr(self._ray_params, name)))
        return start(self, *arguments, **more)

    services.get_node, node.Node.start_raylet = get_node, start_raylet
    try:
        yield
    finally:
        services.get_node, node.Node.start_raylet = ask, start


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
