"""Kill runs over an object store at random moments: is anything lost, doubled or half written?

For kills of Ray workers, nodes and drivers on a disk, see ray_kills.py.

`PYTHONPATH=tests python -m benchmarks.reliability.object_stores [--kills N] [--photos N]` prints a table. It needs the
extras s3, ray and dev. The store is the S3 server of moto, in a process of its own, behind a proxy: moto keeps its
objects in memory, so the proxy is killed and not the server, which cuts every connection in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
from PIL import Image

from benchmarks.reliability.finding import Finding
from object_store import ENVIRONMENT
from ray_cluster import two_nodes, workers_of
from shotcrop_cli.errors import ExitCode

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "photos"
PHOTOS = "s3://photos/trip"
SEED = 20261129
Tree = dict[str, bytes]
_LEASE = ".shotcrop.lock"
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Store:
    """An S3 server and its proxy."""

    def __init__(self) -> None:
        self._server_port, self._port = free_port(), free_port()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._server_port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.proxy = self.start_proxy()
        self.environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}"}
        os.environ.update(self.environment)
        session = botocore.session.Session()
        self.client = session.create_client("s3", endpoint_url=f"http://127.0.0.1:{self._server_port}")
        deadline = time.monotonic() + 60
        while True:
            try:
                for bucket in ("photos", "shots"):
                    self.client.create_bucket(Bucket=bucket)
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def start_proxy(self) -> subprocess.Popen[bytes]:
        """Let connections through."""
        return subprocess.Popen([sys.executable, "-c", _PROXY, str(self._port), str(self._server_port)])

    def kill_proxy(self, seconds: float) -> None:
        """Cut all connections for a while."""
        self.proxy.kill()
        self.proxy.wait()
        time.sleep(seconds)
        self.proxy = self.start_proxy()

    def tree(self, folder: str) -> Tree:
        """Return the objects of an output, but for leases."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="shots", Prefix=f"{folder}/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {
            key[len(folder) + 1 :]: self.client.get_object(Bucket="shots", Key=key)["Body"].read()
            for key in keys
            if _LEASE not in key
        }

    def close(self) -> None:
        """End the server."""
        self.proxy.kill()
        self._server.kill()


def write_library(folder: Path, number: int) -> None:
    pictures = sorted(EXAMPLES.glob("*.jpg"))
    for at in range(number):
        path = folder / f"{at % 4}" / f"IMG_{at:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(pictures[at % len(pictures)]) as image:
            image.resize((320 + at, 320)).save(path, quality=90)


def start(output: str, *more: str, photos: str = PHOTOS) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "shotcrop_cli", "crop", photos, "-o", output, "--reproducible", "--json", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


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


def kill_drivers(store: Store, whole: Tree, seconds: float, kills: int) -> Finding:
    """Kill new runs and the runs that resume them, and check every tree."""
    draw, wrong, killed, trees = random.Random(SEED), list[str](), 0, 0
    while killed < kills:
        run = start(f"s3://shots/driver-{trees}")
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
    code, _, err = finish(start(f"s3://shots/driver-{trees}"))
    if code != 0 or store.tree(f"driver-{trees}") != whole:
        wrong.append(f"the resumed tree differs, exit code {code}: {err[-200:]}")
    found = f"no object was half written; {trees + 1} finished trees equal an undisturbed run's byte for byte"
    return Finding(
        "`kill -9` of a run on S3, resumed until done, then a new one", f"{killed} kills", found, tuple(wrong)
    )


def cut_connections(store: Store, whole: Tree, seconds: float, kills: int) -> Finding:
    """Kill the proxy before the store again and again while runs work."""
    draw, wrong, killed, ended, runs = random.Random(SEED + 1), list[str](), 0, 0, 0
    while killed < kills:
        output = f"cut-{runs}"
        run = start(f"s3://shots/{output}")
        while run.poll() is None and killed < kills:
            time.sleep(draw.uniform(0.0, seconds / 3))
            store.kill_proxy(draw.uniform(0.2, 2.0))
            killed += 1
        code, _, err = finish(run)
        wrong += faults_of(store.tree(output), whole)
        while code == ExitCode.OUTPUT:
            ended += 1
            code, _, err = finish(start(f"s3://shots/{output}"))
        if code != 0 or store.tree(output) != whole:
            wrong.append(f"{output} differs, exit code {code}: {err[-200:]}")
        runs += 1
    found = f"{runs} runs finished with equal trees, {ended} of them after exit code 5 and another run"
    return Finding("All connections to the store cut, back after 0.2 to 2 s", f"{killed} cuts", found, tuple(wrong))


def lose_on_ray(
    store: Store, whole: Tree, kills: int, cluster: Any, what: str, strike: Callable[[random.Random], bool]
) -> Finding:
    """Strike while a run on a cluster works. It has to end by itself, with one record for each photo."""
    draw, wrong, done, runs = random.Random(SEED + 2), list[str](), 0, 0
    photos = len([name for name in whole if name.endswith(".json")])
    while done < kills:
        output = f"{what.split()[-1]}-{runs}"
        run = start(f"s3://shots/{output}", "--engine", "ray", "--ray-address", cluster.address, "--workers", "2")
        struck = 0
        while run.poll() is None and struck < 3 and done < kills:
            time.sleep(draw.uniform(0.3, 2.0))
            if strike(draw):
                struck += 1
                done += 1
        code, lines, err = finish(run, 600)
        sources = [line["source"] for line in lines]
        if code != 0 or store.tree(output) != whole:
            wrong.append(f"{output} differs, exit code {code}: {err[-300:]}")
        if len(sources) != photos or len(set(sources)) != photos:
            wrong.append(f"{len(sources)} records of {len(set(sources))} photos, not of {photos}")
        runs += 1
    found = f"{runs} runs ended by themselves with equal trees and one record for each of {photos} photos"
    return Finding(what, f"{done} kills", found, tuple(wrong))


def tell(finding: Finding) -> None:
    print("| " + " | ".join(finding.row) + " |", flush=True)
    for fault in finding.violations:
        print(f"  {fault}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--only", default="driver,cut,ray", help="parts, separated by commas")
    options = parser.parse_args()
    only, store, findings = options.only.split(","), Store(), []
    try:
        with tempfile.TemporaryDirectory() as name:
            library = Path(name) / "photos"
            write_library(library, options.photos)
            for path in sorted(library.rglob("*.jpg")):
                key = f"trip/{path.relative_to(library).as_posix()}"
                store.client.put_object(Bucket="photos", Key=key, Body=path.read_bytes())
            began = time.monotonic()
            code, _, err = finish(start("s3://shots/whole"))
            seconds = time.monotonic() - began
            if code != 0:
                print(err, file=sys.stderr)
                return 1
            whole = store.tree("whole")
            print(
                f"{options.photos} photos, {len(whole)} objects, an undisturbed run takes {seconds:.1f} s", flush=True
            )
            if "driver" in only:
                findings.append(kill_drivers(store, whole, seconds, options.kills))
                tell(findings[-1])
            if "cut" in only:
                findings.append(cut_connections(store, whole, seconds, options.kills))
                tell(findings[-1])
            if "ray" in only:
                findings.append(_kill_ray_workers(store, whole, options.kills))
                tell(findings[-1])
    finally:
        store.close()
    return any(finding.violations for finding in findings)


def _kill_ray_workers(store: Store, whole: Tree, kills: int) -> Finding:
    with two_nodes() as cluster:

        def strike(draw: random.Random) -> bool:
            workers = workers_of(cluster)
            if workers:
                os.kill(draw.choice(workers), signal.SIGKILL)
            return bool(workers)

        return lose_on_ray(store, whole, kills, cluster, "`kill -9` of Ray workers on S3", strike)


if __name__ == "__main__":
    sys.exit(main())
