"""ONNX Runtime sessions that say where they really run.

ONNX Runtime lists providers that do not work and silently falls back to the CPU when one of them fails to load. A
session here is therefore asked which provider it got, and an explicit request that was not met is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from shotcrop_cli.errors import DeviceError, ModelError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_ENDING = "ExecutionProvider"
_ON_NVIDIA = ("cuda", "tensorrt", "nvtensorrtrtx")
"""Providers that run on the GPU that `--device cuda:N` names."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where to run.

    Args:
        kind: `auto`, `cpu` or `cuda`.
        index: Which GPU.
        providers: Names of execution providers in lower case, without their common ending, by preference; empty to
            choose by kind. The first must be had.
    """

    kind: str
    index: int = 0
    providers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.kind == "cuda" else self.kind


def parse_device(text: str) -> Device:
    """Read `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: It is none of these.
    """
    match = re.fullmatch(r"(auto|cpu)|(cuda)(?::(\d+))?", text.strip().lower())
    if match is None:
        raise DeviceError(f"unknown device '{text}'", hint="use auto, cpu, cuda or cuda:N")
    return Device(match[1] or match[2], int(match[3] or 0))


def with_providers(device: Device, providers: Sequence[str]) -> Device:
    """Return a device that runs on certain providers only.

    Args:
        device: What `--device` asks for.
        providers: Such as `cuda` or `CUDAExecutionProvider`, by preference.

    Raises:
        DeviceError: The device asks for something else than the first of them.
    """
    if not providers:
        return device
    names = tuple(provider.strip().lower().removesuffix(_ENDING.lower()) for provider in providers)
    if (device.kind == "cpu" and names[0] != "cpu") or (device.kind == "cuda" and names[0] not in _ON_NVIDIA):
        raise DeviceError(
            f"--device {device} and --providers {','.join(providers)} contradict each other", hint="give one of them"
        )
    return Device(device.kind, device.index, names)


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime.

    Raises:
        DeviceError: It is not installed, or an uninstalled variant left an empty folder behind.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        onnxruntime = None
    if onnxruntime is None or getattr(onnxruntime, "InferenceSession", None) is None:
        raise DeviceError(
            "ONNX Runtime is not installed",
            hint="pip install 'shotcrop-cli[cpu]', or 'shotcrop-cli[gpu]' for NVIDIA GPUs, but not both",
        )
    module: ModuleType = onnxruntime
    return module


@dataclass(frozen=True)
class Session:
    """A loaded graph and the provider that runs it."""

    session: Any
    provider: str

    @property
    def on_cuda(self) -> bool:
        """Whether the graph runs on a GPU."""
        return self.provider == CUDA


def open_session(path: Path, device: Device, threads: int | None = None) -> Session:
    """Load a graph.

    Args:
        path: The `.onnx` file.
        device: Where to run; `auto` takes a GPU when one works.
        threads: Threads within an operator; None lets ONNX Runtime take one per physical core.

    Raises:
        DeviceError: The GPU was asked for and is not what the session got.
        ModelError: The graph cannot be loaded.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # a failed GPU is reported below, in our words
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    offered = runtime.get_available_providers()
    if device.providers:
        return _open(runtime, path, options, _named(device, offered), f"provider {device.providers[0]}")
    if device.kind == "cuda" and CUDA not in offered:
        raise DeviceError(
            f"device {device} is unavailable: this ONNX Runtime has no CUDA provider",
            hint="pip uninstall onnxruntime; pip install 'shotcrop-cli[gpu]'",
        )
    if device.kind == "cpu" or CUDA not in offered:
        return _open(runtime, path, options, [CPU])
    cuda = (CUDA, {"device_id": device.index})
    return _open(runtime, path, options, [cuda, CPU], f"device {device}" if device.kind == "cuda" else "")


def _named(device: Device, offered: Sequence[str]) -> list[Any]:
    """Return the providers that were named, as ONNX Runtime wants them."""
    known = {name.removesuffix(_ENDING).lower(): name for name in offered}
    for name in device.providers:
        if name not in known:
            raise DeviceError(
                f"provider {name} is unavailable: this ONNX Runtime has {', '.join(known)}",
                hint="install the variant of onnxruntime that has it, or name others",
            )
    return [
        (known[name], {"device_id": device.index}) if name in _ON_NVIDIA else known[name] for name in device.providers
    ]


def _open(runtime: ModuleType, path: Path, options: Any, providers: list[Any], demanded: str = "") -> Session:
    """Load a graph and see where it runs.

    Args:
        runtime: ONNX Runtime.
        path: The `.onnx` file.
        options: Of the session.
        providers: By preference, names or pairs of name and options.
        demanded: What the user insists on, in words; the first provider must be had then.

    Raises:
        DeviceError: It was not had.
        ModelError: The graph cannot be loaded.
    """
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if demanded:
            raise DeviceError(
                f"{demanded} is unavailable: {reason}", hint="check the driver, or use --device cpu"
            ) from error
        raise ModelError(f"{path} cannot be loaded: {reason}", hint="export the model again") from error
    provider = session.get_providers()[0]
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if demanded and provider != first:
        raise DeviceError(
            f"{demanded} is unavailable: ONNX Runtime fell back to {provider}",
            hint="check the NVIDIA driver, CUDA 13 and cuDNN 9, or use --device cpu",
        )
    return Session(session, provider)
