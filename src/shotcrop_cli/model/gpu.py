"""The NVIDIA GPUs of this machine, in CUDA's own order: `--device cuda:N` counts them so.

The driver's library is asked itself, through the functions of its API named below: `nvidia-smi` and NVML count
otherwise and know nothing of CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import ctypes

_DRIVER = "libcuda.so.1"
_NAME_BYTES = 256


def gpu_names() -> tuple[str, ...]:
    """Return what each GPU is called, nothing where there is no driver or it does not work."""
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
