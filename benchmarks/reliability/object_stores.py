"""Kill runs over an object store at random moments: is anything lost, doubled or half written?

For kills of Ray workers, nodes and drivers on a disk, see ray_kills.py.

`PYTHONPATH=tests python -m benchmarks.reliability.object_stores [--store s3|gs|az] [--kills N] [--photos N]` prints a
table. It needs the extras of the store, ray and dev. The store is the server of moto, fake-gcs-server or Azurite, in a
process of its own, behind a proxy: most of them keep their objects in memory, so the proxy is killed and not the
server, which cuts every connection in the same way. For the last two servers, see tests/store_emulators.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import fsspec
from PIL import Image

from benchmarks.reliability.finding import Finding
from benchmarks.store_server import store_server
from ray_cluster import two_nodes, workers_of
from shotcrop_cli.errors import ExitCode
from store_emulators import azurite, fake_gcs, free_port

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "photos"
BUCKETS = ("photos", "shots")
STORES: Mapping[str, tuple[str, Callable[[Path], AbstractContextManager[dict[str, str]]]]] = {
    "s3": ("S3", lambda _folder: store_server(0)),
    "gs": ("Google Cloud Storage", lambda folder: fake_gcs(folder, BUCKETS)),
    "az": ("Azure", lambda folder: azurite(folder, BUCKETS)),
}
"""The name of each store and its server, which yields the environment that leads there."""
SEED = 20261129
Tree = dict[str, bytes]
_LEASE = ".shotcrop.lock"
_PHOTOS = "photos/trip"
_PROXY = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), reuse_port=True)
def pump(a, b):
    try:
        while data := a.recv(65536): b.sendall(data)
    except OSError: pass
    for end in (a, b):
        try: end.shutdown(socket.SHUT_RDWR)
        except OSError: pass
while True:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


class Store:
    """A store behind a proxy, which everything that reads the environment finds.

    Args:
        scheme: That of its URLs.
        environment: Leads to its server.
    """

    def __init__(self, scheme: str, environment: Mapping[str, str]) -> None:
        (server,) = re.findall(r"127\.0\.0\.1:(\d+)", " ".join(environment.values()))
        self._scheme = scheme
        self.name = STORES[scheme][0]
        self._ports = str(free_port()), server
        self._proxy = self._start_proxy()
        for name, value in environment.items():
            os.environ[name] = value.replace(f":{server}", f":{self._ports[0]}")
        os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # which asks Google for credentials
        self._files = fsspec.filesystem(scheme, use_listings_cache=False)

    def _start_proxy(self) -> subprocess.Popen[bytes]:
        """Let connections through."""
        proxy = subprocess.Popen([sys.executable, "-c", _PROXY, *self._ports])
        while proxy.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(self._ports[0])), 1):
                return proxy
            time.sleep(0.02)
        raise RuntimeError("the proxy has ended")

    def cut(self, seconds: float) -> None:
        """Cut all connections for a while."""
        self.close()
        time.sleep(seconds)
        self._proxy = self._start_proxy()

    def close(self) -> None:
        """End the proxy."""
        self._proxy.kill()
        self._proxy.wait()

    def upload(self, library: Path) -> None:
        """Store the photos that all runs crop."""
        for path in sorted(library.rglob("*.jpg")):
            self._files.pipe_file(f"{_PHOTOS}/{path.relative_to(library).as_posix()}", path.read_bytes())

    def start(self, output: str, *more: str) -> subprocess.Popen[str]:
        """Start to crop the photos."""
        places = f"{self._scheme}://{_PHOTOS}", "-o", f"{self._scheme}://shots/{output}"
        command = [sys.executable, "-m", "shotcrop_cli", "crop", *places, "--reproducible", "--json", *more]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def tree(self, output: str) -> Tree:
        """Return the objects of an output, but for leases."""
        start = f"shots/{output}/"
        names = [name for name in self._files.find(start) if _LEASE not in name]
        return {name.removeprefix(start): self._files.cat_file(name) for name in names}


def write_library(folder: Path, number: int) -> None:
    pictures = sorted(EXAMPLES.glob("*.jpg"))
    for at in range(number):
        path = folder / f"{at % 4}" / f"IMG_{at:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(pictures[at % len(pictures)]) as image:
            image.resize((320 + at, 320)).save(path, quality=90)


def finish(run: subprocess.Popen[str], timeout: float = 300.0) -> tuple[int, list[dict[str, Any]], str]:
    out, err = run.communicate(timeout=timeout)
    return run.returncode, [json.loads(line) for line in out.splitlines() if line.startswith("{")], err


def faults_of(part: dict[str, bytes], whole: Tree) -> Iterator[str]:
    """Yield what is wrong with a tree that a killed run left."""
    for name, data in part.items():
        if name not in whole:
            yield f"{name} should not exist"
        elif data != whole[name]:
            yield f"{name} is another one or half written"
        elif name.endswith(".json"):
            shots = json.loads(data)["shots"]
            folder = name.rpartition("/")[0]
            yield from (f"{name} names {s['file']}" for s in shots if f"{folder}/{s['file']}" not in part)


def faults_of_records(lines: list[dict[str, Any]], whole: Tree) -> Iterator[str]:
    """Yield what is wrong with the records of a run that ended by itself."""
    photos = len([name for name in whole if name.endswith(".json")])
    sources = [line["source"] for line in lines]
    if len(sources) != photos or len(set(sources)) != photos:
        yield f"{len(sources)} records of {len(set(sources))} photos, not of {photos}"


def kill_drivers(store: Store, whole: Tree, seconds: float, kills: int) -> Finding:
    """Kill new runs and the runs that resume them, and check every tree."""
    draw, wrong, killed, trees = random.Random(SEED), list[str](), 0, 0
    while killed < kills:
        run = store.start(f"driver-{trees}")
        try:
            run.wait(draw.uniform(0.0, seconds))
        except subprocess.TimeoutExpired:
            run.kill()
            killed += 1
        code, _, err = finish(run)
        part = store.tree(f"driver-{trees}")
        wrong += faults_of(part, whole)
        if code == 0:
            wrong += [] if part == whole else [f"driver-{trees} differs"]
            trees += 1
        elif code != -signal.SIGKILL:
            wrong.append(f"exit code {code}: {err[-200:]}")
    code, lines, err = finish(store.start(f"driver-{trees}"))
    if code != 0 or store.tree(f"driver-{trees}") != whole:
        wrong.append(f"the resumed tree differs, exit code {code}: {err[-200:]}")
    wrong += faults_of_records(lines, whole)
    found = f"no object was half written; {trees + 1} finished trees equal an undisturbed run's byte for byte"
    what = f"`kill -9` of a run on {store.name}, resumed until done, then a new one"
    return Finding(what, f"{killed} kills", found, tuple(wrong))


def cut_connections(store: Store, whole: Tree, seconds: float, kills: int) -> Finding:
    """Kill the proxy before the store again and again while runs work."""
    draw, wrong, killed, ended, runs = random.Random(SEED + 1), list[str](), 0, 0, 0
    while killed < kills:
        output = f"cut-{runs}"
        run = store.start(output)
        while run.poll() is None and killed < kills:
            time.sleep(draw.uniform(0.0, seconds / 3))
            store.cut(draw.uniform(0.2, 2.0))
            killed += 1
        code, _, err = finish(run)
        wrong += faults_of(store.tree(output), whole)
        while code == ExitCode.OUTPUT:
            ended += 1
            code, _, err = finish(store.start(output))
        if code != 0 or store.tree(output) != whole:
            wrong.append(f"{output} differs, exit code {code}: {err[-200:]}")
        runs += 1
    found = f"{runs} runs finished with equal trees, {ended} of them after exit code 5 and another run"
    what = f"All connections to {store.name} cut, back after 0.2 to 2 s"
    return Finding(what, f"{killed} cuts", found, tuple(wrong))


def lose_on_ray(
    store: Store, whole: Tree, kills: int, cluster: Any, what: str, strike: Callable[[random.Random], bool]
) -> Finding:
    """Strike while a run on a cluster works. It has to end by itself, with one record for each photo."""
    draw, wrong, done, runs = random.Random(SEED + 2), list[str](), 0, 0
    while done < kills:
        output = f"{what.split()[-1]}-{runs}"
        run = store.start(output, "--engine", "ray", "--ray-address", cluster.address, "--workers", "2")
        struck = 0
        while run.poll() is None and struck < 3 and done < kills:
            time.sleep(draw.uniform(0.3, 2.0))
            if strike(draw):
                struck += 1
                done += 1
        code, lines, err = finish(run, 600)
        if code != 0 or store.tree(output) != whole:
            wrong.append(f"{output} differs, exit code {code}: {err[-300:]}")
        wrong += faults_of_records(lines, whole)
        runs += 1
    found = f"{runs} runs ended by themselves with equal trees and one record for each photo"
    return Finding(what, f"{done} kills", found, tuple(wrong))


def tell(finding: Finding) -> None:
    print("| " + " | ".join(finding.row) + " |", flush=True)
    for fault in finding.violations:
        print(f"  {fault}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=list(STORES), default="s3")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--only", default="driver,cut,ray", help="parts, separated by commas")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_library(folder / "photos", options.photos)
        with STORES[options.store][1](folder) as environment:
            store = Store(options.store, environment)
            try:
                store.upload(folder / "photos")
                return check(store, options.only.split(","), options.kills)
            finally:
                store.close()


def check(store: Store, only: list[str], kills: int) -> int:
    """Disturb runs, tell what was found, and return the exit code."""
    began = time.monotonic()
    code, lines, err = finish(store.start("whole"))
    seconds = time.monotonic() - began
    if code != 0:
        print(err, file=sys.stderr)
        return 1
    whole = store.tree("whole")
    print(f"{len(lines)} photos, {len(whole)} objects, an undisturbed run takes {seconds:.1f} s", flush=True)
    parts: dict[str, Callable[[], Finding]] = {
        "driver": lambda: kill_drivers(store, whole, seconds, kills),
        "cut": lambda: cut_connections(store, whole, seconds, kills),
        "ray": lambda: _kill_ray_workers(store, whole, kills),
    }
    is_broken = False
    for name in only:
        finding = parts[name]()
        tell(finding)
        is_broken |= bool(finding.violations)
    return is_broken


def _kill_ray_workers(store: Store, whole: Tree, kills: int) -> Finding:
    with two_nodes() as cluster:

        def strike(draw: random.Random) -> bool:
            workers = workers_of(cluster)
            if workers:
                os.kill(draw.choice(workers), signal.SIGKILL)
            return bool(workers)

        return lose_on_ray(store, whole, kills, cluster, f"`kill -9` of Ray workers on {store.name}", strike)


if __name__ == "__main__":
    sys.exit(main())
