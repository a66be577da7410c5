"""Kill workers, nodes and drivers of runs on Ray at random moments, and check what is left.

    PYTHONPATH=tests python -m benchmarks.reliability.ray_kills [--kills N] [--photos N] [--only PART]

The cluster has two nodes on this machine. The script prints a table, and exits with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.reliability.crop_runs import CropRun, Ended, crop, different, temporaries, torn, tree, unexpected
from benchmarks.reliability.finding import Finding, as_markdown
from benchmarks.reliability.undisturbed import Library, completed, make_library
from ray_cluster import add_node, raylet_of, raylets_below, two_nodes, workers_below, workers_of

SEED = 20261129
_KILLS_OF_A_RUN = 3
"""Processes that one run may lose. A photo that ended three workers alone would count as failed."""
_POLL_SECONDS = 0.1


def kill_workers(library: Library, output: Path, kills: int, rng: random.Random, cluster: Any) -> Finding:
    """Kill workers. The run has to end by itself as if nothing had happened."""

    def strike() -> bool:
        workers = workers_of(cluster)
        return bool(workers) and _kill(rng.choice(workers))

    return _survive("`kill -9` of Ray workers", library, output, kills, rng, cluster, strike)


def kill_nodes(library: Library, output: Path, kills: int, rng: random.Random, cluster: Any) -> Finding:
    """Kill the raylet of the node on which the driver is not, and add another node."""

    def strike() -> bool:
        node = cluster.list_all_nodes()[-1]
        if not workers_below([raylet_of(node)]):
            return False
        _kill(raylet_of(node))
        cluster.remove_node(node, allow_graceful=False)
        add_node(cluster)
        return True

    return _survive("`kill -9` of the raylet of a node", library, output, kills, rng, cluster, strike)


def _survive(
    what: str,
    library: Library,
    output: Path,
    kills: int,
    rng: random.Random,
    cluster: Any,
    strike: Callable[[], bool],
) -> Finding:
    """Strike at random moments of runs that have to end by themselves, with one record for each photo."""
    wrong: list[str] = []
    struck = runs = 0
    while struck < kills:
        run, left = _on_ray(library, output, cluster), min(_KILLS_OF_A_RUN, kills - struck)
        while run.is_running and left:
            time.sleep(rng.uniform(0, library.seconds))
            if run.is_running and strike():
                struck, left = struck + 1, left - 1
        ended, now = run.end(), tree(output)
        wrong += unexpected(ended, (0,)) + _records(ended, library) + different(now, library.reference)
        shutil.rmtree(output, ignore_errors=True)
        runs += 1
    found = (
        f"{runs} runs ended by themselves with exit code 0, one record for each photo, and a tree that equals that of "
        "an undisturbed run on one machine byte for byte"
    )
    return Finding(what, f"{struck} kills", found, tuple(wrong))


def kill_drivers(library: Library, output: Path, kills: int, rng: random.Random, cluster: Any) -> Finding:
    """Kill runs and the runs that resume them. Every other time the next one starts at once, next to old workers."""
    wrong: list[str] = []
    began = time.monotonic()
    wrong += unexpected(_on_ray(library, output, cluster).end(), (0,))
    seconds = time.monotonic() - began
    shutil.rmtree(output)
    killed = finished = 0
    while killed < kills:
        run = _on_ray(library, output, cluster)
        run.sleep_until(rng.uniform(0, seconds))
        run.send(signal.SIGKILL)
        ended = run.end()
        wrong += unexpected(ended, (0, 137))
        if ended.code == 0:
            finished += 1
            wrong += different(tree(output), library.reference)
            shutil.rmtree(output)
            continue
        killed += 1
        if killed % 2:
            _wait_for_workers(cluster)
            wrong += torn(tree(output), library.reference)
    _wait_for_workers(cluster)
    wrong += completed(library, output)
    shutil.rmtree(output)
    found = (
        "the workers ended, too; no file with a final name was half written; "
        f"{finished + 1} finished trees equal an undisturbed run's byte for byte"
    )
    what = "`kill -9` of the driver: each run resumed until done, then a new one"
    return Finding(what, f"{killed} kills", found, tuple(wrong))


def kill_own_raylets(library: Library, output: Path, kills: int, rng: random.Random, _cluster: Any) -> Finding:
    """Kill the raylet to which the driver is connected, which ends the run, unless its last photos are at hand."""
    wrong: list[str] = []
    codes: Counter[int] = Counter()
    struck = dirty = 0
    while struck < kills:
        run = crop(library.photos, output, "--json", "--engine", "ray", "--workers", "2")
        raylets: list[int] = []
        while run.is_running and not (raylets and workers_below(raylets)):
            time.sleep(_POLL_SECONDS)
            raylets = raylets_below(run.pid)
        time.sleep(rng.uniform(0, library.seconds))
        if run.is_running:
            _kill(raylets[0])
            struck += 1
        ended, now = run.end(), tree(output)
        codes[ended.code] += 1
        wrong += unexpected(ended, (0, 4)) + torn(now, library.reference)
        dirty += bool(temporaries(now))
        wrong += completed(library, output)
        shutil.rmtree(output)
    ends = ", ".join(f"{count} times {code}" for code, count in sorted(codes.items()))
    found = (
        f"the run ended with exit code {ends}; {dirty} left temporary files, which the next run removed; no file with "
        "a final name was half written; each next run completed the tree, equal byte for byte"
    )
    return Finding("`kill -9` of the raylet of the driver's own node", f"{struck} kills", found, tuple(wrong))


PARTS = {"worker": kill_workers, "node": kill_nodes, "driver": kill_drivers, "own-raylet": kill_own_raylets}


def _on_ray(library: Library, output: Path, cluster: Any) -> CropRun:
    ray = ("--engine", "ray", "--ray-address", cluster.address, "--workers", "2")
    return crop(library.photos, output, "--json", *ray)


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _wait_for_workers(cluster: Any) -> None:
    """Wait until the workers of a driver that was killed have ended."""
    while workers_of(cluster):
        time.sleep(_POLL_SECONDS)


def _records(ended: Ended, library: Library) -> Sequence[str]:
    """Return what is wrong with the records of a run: there has to be one for each photo."""
    photos = sum(name.endswith(".json") for name in library.reference)
    try:
        sources = Counter(record["source"] for record in ended.records)
    except ValueError as error:
        return [f"stdout has more than records: {error}"]
    doubled = [f"{source} has {count} records" for source, count in sources.items() if count > 1]
    return doubled if len(sources) == photos else [*doubled, f"{len(sources)} of {photos} photos have a record"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="kills of each kind")
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--only", action="append", choices=[*PARTS], help="run only this part; repeat for several")
    options = parser.parse_args()
    log, findings = Console(stderr=True), []
    with tempfile.TemporaryDirectory(prefix="shotcrop-ray-") as folder, two_nodes() as cluster:
        library = make_library(Path(folder), options.photos)
        log.print(f"{options.photos} photos, {library.seconds:.1f} s on one machine without Ray")
        for name in options.only or PARTS:
            began, rng = time.monotonic(), random.Random(f"{SEED} {name}")
            findings.append(PARTS[name](library, Path(folder, name), options.kills, rng, cluster))
            log.print(f"{name}: {findings[-1].row[1:]}, in {time.monotonic() - began:.0f} s", markup=False)
            for violation in findings[-1].violations:
                log.print(f"  {violation}", style="red", markup=False)
    print(as_markdown(findings), end="")
    return int(any(finding.violations for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
