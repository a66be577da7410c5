from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from test_large_manifest import MANIFEST

from shotcrop_cli.cli.console import Console
from shotcrop_cli.model.bundle import WEIGHTS, Bundle
from shotcrop_cli.model.large import memory
from shotcrop_cli.model.large.manifest import Precision
from shotcrop_cli.model.large.memory import estimate, free_gpu_memory, free_memory, weigh
from shotcrop_cli.model.session import Device
from shotcrop_cli.resources import physical_memory


def test_a_photo_takes_what_its_cache_takes_and_some() -> None:
    needed = estimate(MANIFEST, 8_000_000_000, on_gpu=True)
    cache = 2 * 36 * 8 * 128 * 2 * (400 + 1024 + 512)  # keys and values of every layer, head and token, two bytes each
    assert cache < needed.photo < 3 * cache
    assert needed.weights == 8_000_000_000
    # From a few photos on the vision tower sees them in groups, whatever the batch.
    assert needed.total(200) - needed.total(199) == needed.photo
    assert needed.total(2) - needed.total(1) == needed.photo + 2 * needed.scores


def test_half_precision_is_widened_on_a_cpu() -> None:
    assert estimate(MANIFEST, 1000, on_gpu=False).weights == 2000
    assert estimate(replace(MANIFEST, precision=Precision.FP32), 1000, on_gpu=False).weights == 1000


def test_as_many_photos_as_fit_but_at_least_one() -> None:
    needed = estimate(MANIFEST, 8_000_000_000, on_gpu=True)
    assert needed.most(needed.total(5)) == 5
    assert needed.most(needed.total(6) - 1) == 5
    assert needed.most(0) == 1


class Told(Console):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def info(self, text: str) -> None:
        self.said.append(("info", text))

    def warn(self, text: str) -> None:
        self.said.append(("warn", text))


def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> tuple[int, list[tuple[str, str]]]:
    for name in WEIGHTS:
        (tmp_path / name).write_bytes(bytes(100))
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    with click.Context(click.Command("crop")), Told() as console:
        return weigh(Bundle(tmp_path, MANIFEST, {}), MANIFEST, Device("cpu")), console.said


def test_what_a_model_takes_and_what_is_free_is_said_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = estimate(MANIFEST, 300, on_gpu=False)
    most, said = tell(tmp_path, monkeypatch, needed.total(3))
    assert most == 3
    ((level, text),) = said
    assert level == "info"
    assert text.startswith("model qwen3-vl-4b takes about ")
    assert text.endswith(f"{needed.total(3) / 1e9:.1f} GB are free, enough for 3 at once")


def test_a_model_that_hardly_fits_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most, said = tell(tmp_path, monkeypatch, 1_000_000)
    assert most == 1
    ((level, text),) = said
    assert level == "warn"
    assert "only 1 MB are free" in text


def test_free_memory_is_some_and_less_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < free_memory() < physical_memory()
    monkeypatch.setattr(memory, "memory_limit", lambda: 1)
    assert free_memory() == 0


def test_without_a_gpu_nothing_is_known_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    assert free_gpu_memory(0) is None


def test_a_gpus_free_memory_is_asked_for_by_its_place_on_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    def bus(buffer: object, _length: int, _device: object) -> int:
        buffer.value = b"0000:0A:00.0"  # type: ignore[attr-defined]
        return 0

    driver = SimpleNamespace(cuInit=lambda _: 0, cuDeviceGet=lambda *_: 0, cuDeviceGetPCIBusId=bus)
    asked: list[str] = []

    def answer(command: list[str], **_options: object) -> SimpleNamespace:
        asked.extend(command)
        return SimpleNamespace(stdout="81000\n")

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _name: driver)
    monkeypatch.setattr(memory.subprocess, "run", answer)
    assert free_gpu_memory(1) == 81000 * 2**20
    assert "--id=0000:0A:00.0" in asked
