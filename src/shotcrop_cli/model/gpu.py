"""Names and free memory of the NVIDIA GPUs of this machine, in CUDA's order, in which `--device cuda:N` counts them.

This module asks the driver's own library. `nvidia-smi` and NVML count GPUs in another order and ignore
CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import ctypes
import subprocess

_DRIVER = "libcuda.so.1"
_NAME_BYTES = 256
_BUS_BYTES = 32


def gpu_names() -> tuple[str, ...]:
    """Return the name of each GPU; empty if there is no working driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_name(driver, index) for index in range(count.value))


def _name(driver: ctypes.CDLL, index: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    if driver.cuDeviceGet(ctypes.byref(device), index) or driver.cuDeviceGetName(name, _NAME_BYTES, device):
        return f"GPU {index}"
    return name.value.decode("utf-8", "replace")


def free_gpu_memory(index: int) -> int | None:
    """Return the free bytes of a GPU's memory; None if they cannot be found out.

    `nvidia-smi` knows them. It gets the GPU's place on the PCI bus, because it counts GPUs in another order.

    Args:
        index: Number of the GPU in CUDA's order.
    """
    try:
        driver, device, bus = ctypes.CDLL(_DRIVER), ctypes.c_int(), ctypes.create_string_buffer(_BUS_BYTES)
        if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index):
            return None
        driver.cuDeviceGetPCIBusId(bus, len(bus), device)
        command = [
            "nvidia-smi",
            f"--id={bus.value.decode()}",
            "--query-gpu=memory.free",
            "--format=csv,noheader,nounits",
        ]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(answer.splitlines()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
