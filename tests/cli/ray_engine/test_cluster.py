"""`shotcrop crop --engine ray` on real clusters of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import picture, write_photo
from object_store import ENVIRONMENT, ObjectStore
from ray_cluster import two_nodes, workers_of
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
EXAMPLES = Path(__file__).parents[3] / "examples" / "photos"


@pytest.fixture(scope="module")
def cluster(server: ObjectStore) -> Iterator[Any]:
    """Return a cluster of two nodes, which find the S3 server of the module."""
    pytest.importorskip("ray", reason="the package ray is not installed")
    os.environ.update({**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url})  # workers do not get that of the driver
    with two_nodes() as cluster:
        yield cluster
    for name in (*ENVIRONMENT, "AWS_ENDPOINT_URL"):
        del os.environ[name]


@pytest.fixture
def library(photos: Path) -> Path:
    from PIL import Image

    for path in sorted(EXAMPLES.glob("*.jpg")):
        with Image.open(path) as image:
            for number in range(8):
                write_photo(photos / path.stem / f"{number}.jpg", image.resize((320 + number, 320)))
    write_photo(photos / "no one.png", picture())
    (photos / "bad.jpg").write_bytes(b"no photo")
    return photos


def _arguments(photos: object, output: object, cluster: Any, *more: str) -> list[str]:
    ray = ["--engine", "ray", "--ray-address", cluster.address, "--workers", "2"] if cluster else []
    return ["crop", str(photos), "-o", str(output), "--reproducible", *ray, *more]


def _process(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "shotcrop_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def _tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".shotcrop"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_two_nodes_give_the_tree_of_one_process(library: Path, tmp_path: Path, cluster: Any) -> None:
    local = CliRunner().invoke(cli, _arguments(library, tmp_path / "local", None, "--json"))
    run = _process(_arguments(library, tmp_path / "ray", cluster, "--json"))
    out, err = run.communicate(timeout=400)
    assert run.returncode == local.exit_code == ExitCode.SOME_FAILED, err
    assert _tree(tmp_path / "ray") == _tree(tmp_path / "local")

    def lines(text: str, root: str) -> list[str]:
        return sorted(text.replace(root, "OUT").splitlines())

    assert lines(out, str(tmp_path / "ray")) == lines(local.stdout, str(tmp_path / "local"))
    assert [line.split(" in ")[0] for line in err.splitlines() if " done, " in line] == [
        line.split(" in ")[0] for line in local.stderr.splitlines() if " done, " in line
    ]


def test_killed_workers_cost_nothing_but_time(library: Path, tmp_path: Path, cluster: Any) -> None:
    CliRunner().invoke(cli, _arguments(library, tmp_path / "local", None))
    run = _process(_arguments(library, tmp_path / "ray", cluster, "--json"))
    killed = 0
    while run.poll() is None and killed < 3:
        done = len(list((tmp_path / "ray").rglob("*.json")))
        if done >= 3 * (killed + 1) and (workers := workers_of(cluster)):
            os.kill(workers[0], signal.SIGKILL)
            killed += 1
        time.sleep(0.05)
    out, err = run.communicate(timeout=400)
    assert killed == 3 and run.returncode == ExitCode.SOME_FAILED, err
    assert _tree(tmp_path / "ray") == _tree(tmp_path / "local")
    sources = [json.loads(line)["source"] for line in out.splitlines()]
    assert len(sources) == len(set(sources)) == 26


def test_objects_are_cropped_on_two_nodes(library: Path, tmp_path: Path, store: ObjectStore, cluster: Any) -> None:
    store.upload(library, "photos")
    environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.url}
    for output, where in (("s3://shots/ray", cluster), ("s3://shots/local", None)):
        run = _process(_arguments("s3://photos", output, where), **environment)
        _, err = run.communicate(timeout=400)
        assert run.returncode == ExitCode.SOME_FAILED, err
    assert store.tree("shots", "ray") == store.tree("shots", "local")


def test_a_stopped_run_finishes_the_photos_it_has_begun(library: Path, tmp_path: Path, cluster: Any) -> None:
    run = _process(_arguments(library, tmp_path / "ray", cluster, "--json"))
    while len(list((tmp_path / "ray").rglob("*.json"))) < 3 and run.poll() is None:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=200)
    assert run.returncode == ExitCode.INTERRUPTED, err
    done = [line for line in map(json.loads, out.splitlines()) if line["status"] == "done"]
    assert len(done) == len([path for path in (tmp_path / "ray").rglob("*.jpg.json")])
    assert not list((tmp_path / "ray").rglob("*.tmp"))


def test_a_cluster_that_does_not_answer_is_an_error(library: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the package ray is not installed")
    run = _process(
        ["crop", str(library), "-o", str(tmp_path / "ray"), "--engine", "ray", "--ray-address", "ray://127.0.0.1:9"]
    )
    _, err = run.communicate(timeout=200)
    assert run.returncode == ExitCode.USAGE
    assert "--engine ray: ray://127.0.0.1:9 cannot be used: " in err
