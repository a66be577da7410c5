import ctypes
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from shotcrop_cli.checkup import machine
from shotcrop_cli.checkup.finding import Scope
from shotcrop_cli.model import gpu
from shotcrop_cli.model.gpu import free_gpu_memory, gpu_names


class FakeDriver:
    """NVIDIA's driver library with the given GPUs; it cannot read a name of None."""

    def __init__(self, names: Sequence[bytes | None], *, works: bool = True) -> None:
        self.names, self.works = names, works

    def cuInit(self, flags: int) -> int:
        return 0 if self.works else 100  # CUDA_ERROR_NO_DEVICE

    def cuDeviceGetCount(self, count: object) -> int:
        count._obj.value = len(self.names)  # type: ignore[attr-defined]
        return 0

    def cuDeviceGet(self, device: object, index: int) -> int:
        device._obj.value = index  # type: ignore[attr-defined]
        return 0

    def cuDeviceGetName(self, buffer: ctypes.Array[ctypes.c_char], size: int, device: ctypes.c_int) -> int:
        name = self.names[device.value]
        if name is None:
            return 101
        buffer.value = name
        return 0


def install(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver) -> None:
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda _name: driver)


def test_gpu_names_come_from_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeDriver([b"Gold", None, b"Silver"]))
    assert gpu_names() == ("Gold", "GPU 1", "Silver")


def test_a_driver_that_does_not_work_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeDriver([b"Gold"], works=False))
    assert gpu_names() == ()


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_DRIVER", "no such library")
    assert gpu_names() == ()


def test_the_doctor_numbers_gpus_as_the_flag_does(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeDriver([b"Gold", b"Silver"]))
    (finding,) = machine.gpus(Scope())
    assert finding.found == "cuda:0 Gold, cuda:1 Silver"
    install(monkeypatch, FakeDriver([]))
    assert list(machine.gpus(Scope())) == []


def test_without_a_gpu_its_free_memory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr(gpu.ctypes, "CDLL", missing)
    assert free_gpu_memory(0) is None


def test_free_gpu_memory_is_queried_by_pci_bus_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def bus(buffer: object, _length: int, _device: object) -> int:
        buffer.value = b"0000:0A:00.0"  # type: ignore[attr-defined]
        return 0

    driver = SimpleNamespace(cuInit=lambda _: 0, cuDeviceGet=lambda *_: 0, cuDeviceGetPCIBusId=bus)
    asked: list[str] = []

    def answer(command: list[str], **_options: object) -> SimpleNamespace:
        asked.extend(command)
        return SimpleNamespace(stdout="81000\n")

    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda _name: driver)
    monkeypatch.setattr(gpu.subprocess, "run", answer)
    assert free_gpu_memory(1) == 81000 * 2**20
    assert "--id=0000:0A:00.0" in asked
