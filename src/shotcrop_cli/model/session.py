"""Open ONNX Runtime sessions and check which provider they really run on.

ONNX Runtime lists providers that do not work, and silently falls back to the CPU if one fails to load. This module asks
each session for its provider. If the user requested another one, that is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from shotcrop_cli import install_hint
from shotcrop_cli.errors import DeviceError, ModelError, ShotcropError
from shotcrop_cli.model.cache import cache_folder, make_engine_folder
from shotcrop_cli.model.gpu import gpu_names
from shotcrop_cli.model.tensorrt import TENSORRT, Engine

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_SUFFIX = "ExecutionProvider"
_ON_NVIDIA = ("cuda", "tensorrt", "nvtensorrtrtx")
"""Providers that run on an NVIDIA GPU, which `--device cuda:N` selects."""
_DRIVER_HINT = "check the NVIDIA driver, CUDA and cuDNN, or use --device cpu"
_CUDA_OPTIONS: dict[str, object] = {"arena_extend_strategy": "kSameAsRequested"}
"""The graphs of a model share a GPU. By default, each may take up to twice the memory that it needs."""
_OUT_OF_MEMORY = re.compile(
    r"out ?of ?memory|failed to allocate memory|smaller than requested bytes|alloc(ation)?_failed|bad_alloc",
    re.IGNORECASE,
)
"""How ONNX Runtime's arena, CUDA, cuBLAS, cuDNN, TensorRT and C++ report that memory ran out."""


class MemoryShortage(DeviceError):
    """A batch does not fit into the memory of the device; a smaller one may fit."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where to run.

    Args:
        kind: `auto`, `cpu` or `cuda`.
        index: Number of the GPU.
        providers: Names of execution providers in lower case, without the suffix `ExecutionProvider`, in order of
            preference; empty to choose by kind. The first one must be available.
    """

    kind: str
    index: int = 0
    providers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.kind == "cuda" else self.kind

    def without_tensorrt(self) -> Device:
        """Return the device without TensorRT, for a graph whose shapes are not known in advance."""
        return replace(self, providers=tuple(name for name in self.providers if name != short_name(TENSORRT)))


def parse_device(text: str) -> Device:
    """Parse `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: The text is none of these.
    """
    match = re.fullmatch(r"(auto|cpu)|(cuda)(?::(\d+))?", text.strip().lower())
    if match is None:
        raise DeviceError(f"unknown device '{text}'", hint="use auto, cpu, cuda or cuda:N")
    return Device(match[1] or match[2], int(match[3] or 0))


def parse_devices(text: str) -> tuple[Device, ...]:
    """Parse what `parse_device` parses, or several GPUs: `cuda:0,cuda:1`, or `cuda:all`.

    Raises:
        DeviceError: The text is none of these, names a device twice, or there is no GPU.
    """
    if text.strip().lower() == "cuda:all":
        count = len(gpu_names())
        if count == 0:
            raise DeviceError(f"device {text} is unavailable: there is no NVIDIA GPU", hint=_DRIVER_HINT)
        return tuple(Device("cuda", index) for index in range(count))
    devices = tuple(map(parse_device, text.split(",")))
    if len(devices) > 1 and any(device.kind != "cuda" for device in devices):
        raise DeviceError(f"devices '{text}' do not go together", hint="use several GPUs, or one device")
    if len(set(devices)) < len(devices):
        raise DeviceError(f"devices '{text}' name one twice", hint="name each GPU once")
    return devices


def with_providers(device: Device, providers: Sequence[str]) -> Device:
    """Return a device that uses only the given providers.

    Args:
        device: The device from `--device`.
        providers: Names such as `cuda` or `CUDAExecutionProvider`, in order of preference. With TensorRT, CUDA is added
            for what TensorRT does not run.

    Raises:
        ShotcropError: The device and the first provider contradict each other.
    """
    if not providers:
        return device
    names = tuple(map(short_name, providers))
    tensorrt, cuda = short_name(TENSORRT), short_name(CUDA)
    if tensorrt in names and cuda not in names:
        after = names.index(tensorrt) + 1
        names = (*names[:after], cuda, *names[after:])
    if (device.kind == "cpu" and names[0] != "cpu") or (device.kind == "cuda" and names[0] not in _ON_NVIDIA):
        raise ShotcropError(
            f"--device {device} and --providers {','.join(providers)} contradict each other", hint="give one of them"
        )
    return Device(device.kind, device.index, names)


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off.

    From version 1.29 on it reports its use to its maker and stores an identifier in the cache folder, unless the
    environment forbids that before the import. Photos are private, and so is the time when they are processed.

    Raises:
        DeviceError: ONNX Runtime is not installed, or damaged.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except Exception as error:  # a library of another version may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
            raise DeviceError(
                "ONNX Runtime is not installed", hint=f"{install_hint.add_extras('cpu')}, or [gpu] for NVIDIA GPUs"
            ) from error
        raise DeviceError(
            f"ONNX Runtime cannot be loaded: {_reason(error)}", hint=install_hint.switch_runtime("cpu")
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DeviceError(
            "ONNX Runtime is an empty folder that an uninstalled variant left",
            hint=install_hint.switch_runtime("cpu"),
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
        """Whether the graph runs on an NVIDIA GPU."""
        return short_name(self.provider) in _ON_NVIDIA

    @contextmanager
    def running(self) -> Iterator[None]:
        """Turn errors of a run inside this context into errors that name the device.

        Raises:
            MemoryShortage: The device is out of memory.
            DeviceError: A GPU fails for another reason.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
                raise MemoryShortage(
                    f"{self.provider} is out of memory: {_reason(error)}", hint="use a smaller --batch-size"
                ) from error
            if self.provider == CPU:
                raise
            raise DeviceError(f"{self.provider} failed: {_reason(error)}", hint=_DRIVER_HINT) from error


def device_cache_folder(model: str, provider: str, index: int) -> Path:
    """Return the folder of files that are kept for a model on a device; it need not exist.

    Args:
        model: The model's hash.
        provider: The provider that runs the model.
        index: Number of the GPU.
    """
    place = short_name(provider)
    if place in _ON_NVIDIA:
        names = gpu_names()
        place = names[index] if index < len(names) else f"cuda {index}"
    return cache_folder(model, import_onnxruntime().__version__, place)


def uses_cpu(device: Device) -> bool:
    """Return whether a session on a device will run on ONNX Runtime's own CPU provider, without opening one."""
    if device.providers:
        return device.providers[0] == short_name(CPU)
    offered = import_onnxruntime().get_available_providers()
    return device.kind == "cpu" or (device.kind == "auto" and CUDA not in offered)


def open_session(path: Path, device: Device, threads: int | None = None, *, engine: Engine | None = None) -> Session:
    """Load a graph.

    Args:
        path: The `.onnx` file.
        device: Where to run; `auto` uses a GPU if one works.
        threads: Threads within an operator; None lets ONNX Runtime use one per physical core.
        engine: The engine that TensorRT builds, if the device names it. With None, TensorRT builds engines as shapes
            come and keeps none.

    Raises:
        DeviceError: The session does not run on the requested device or provider.
        ModelError: The graph cannot be loaded.
        OutputError: The engine cannot be stored.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    # Threads that spin while they wait take processor time from the photo decoders: we measured a fifth of the time of
    # a run over photos of 12 MP on two cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # a failed GPU is reported below
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    offered = runtime.get_available_providers()
    if device.providers:
        named = _requested_providers(device, offered, engine)
        return _open(runtime, path, options, named, demanded=f"provider {device.providers[0]}")
    if device.kind == "cuda" and CUDA not in offered:
        raise DeviceError(
            f"device {device} is unavailable: this ONNX Runtime has no CUDA provider",
            hint=install_hint.switch_runtime("gpu"),
        )
    if device.kind == "cpu" or CUDA not in offered:
        return _open(runtime, path, options, [CPU])
    cuda = [(CUDA, {"device_id": device.index, **_CUDA_OPTIONS}), CPU]
    if device.kind == "cuda":
        return _open(runtime, path, options, cuda, demanded=f"device {device}")
    try:
        return _open(runtime, path, options, cuda)
    except ModelError:
        return _open(runtime, path, options, [CPU])  # the user did not request a GPU


def _requested_providers(device: Device, offered: Sequence[str], engine: Engine | None) -> list[Any]:
    """Return the requested providers in the form for ONNX Runtime."""
    known = {short_name(name): name for name in offered}
    named: list[Any] = []
    for name in device.providers:
        if name not in known:
            raise DeviceError(
                f"provider {name} is unavailable: this ONNX Runtime has {', '.join(known)}",
                hint="install the variant of onnxruntime that has it, or choose other --providers",
            )
        options: dict[str, object] = {}
        if known[name] == TENSORRT and engine is not None:
            folder = device_cache_folder(engine.model, TENSORRT, device.index)
            make_engine_folder(folder)
            options = engine.options(folder)
        elif known[name] == CUDA:
            options = _CUDA_OPTIONS
        named.append((known[name], {"device_id": device.index, **options}) if name in _ON_NVIDIA else known[name])
    return named


def _open(runtime: ModuleType, path: Path, options: Any, providers: list[Any], *, demanded: str = "") -> Session:
    """Load a graph and check which provider runs it.

    Args:
        runtime: ONNX Runtime.
        path: The `.onnx` file.
        options: Options of the session.
        providers: Names, or pairs of name and options, in order of preference.
        demanded: What the user requested, for messages. If it is given, the first provider must run the graph.

    Raises:
        DeviceError: The first provider does not run the graph.
        ModelError: The graph cannot be loaded.
    """
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    hint = _DRIVER_HINT if short_name(first) in _ON_NVIDIA else "check what it needs, or use --device cpu"
    try:
        # ONNX Runtime's own fallback would print to stdout and move to the CPU in the middle of a run.
        session = runtime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:
        if demanded and first != CPU:
            raise DeviceError(f"{demanded} is unavailable: {_reason(error)}", hint=hint) from error
        raise ModelError(f"{path} cannot be loaded: {_reason(error)}", hint="export the model again") from error
    provider = session.get_providers()[0]
    if demanded and provider != first:
        raise DeviceError(f"{demanded} is unavailable: ONNX Runtime fell back to {provider}", hint=hint)
    return Session(session, provider)


def short_name(provider: str) -> str:
    """Return the name of a provider as in `--providers`."""
    return provider.strip().lower().removesuffix(_SUFFIX.lower())


def _reason(error: Exception) -> str:
    """Return the first line of an error message."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
