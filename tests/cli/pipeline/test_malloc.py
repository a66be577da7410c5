import ctypes
import platform
import subprocess
import sys

import pytest

from shotcrop_cli.pipeline.malloc import keep_freed_memory

_FAULTS = """
import resource
from PIL import Image
from shotcrop_cli.pipeline.malloc import keep_freed_memory
keep_freed_memory() if {kept} else None
for _ in range(3):
    Image.new("RGB", (6000, 4000), "white")
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    Image.new("RGB", (6000, 4000), "white")
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(*, kept: bool) -> int:
    command = [sys.executable, "-c", _FAULTS.format(kept=kept)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_of_photos_is_used_again() -> None:
    assert _faults(kept=True) < 100 < _faults(kept=False)


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def refuse(_name: None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    keep_freed_memory()
