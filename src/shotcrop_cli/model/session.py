"""ONNX Runtime sessions that say where they really run.

ONNX Runtime lists providers that do not work and silently falls back to the CPU when one of them fails to load. A
session here is therefore asked which provider it got, and an explicit request that was not met is an error.
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
from shotcrop_cli.model.cache import cache_folder, make_folder
from shotcrop_cli.model.gpu import gpu_names
from shotcrop_cli.model.tensorrt import TENSORRT, Engine

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_ENDING = "ExecutionProvider"
_ON_NVIDIA = ("cuda", "tensorrt", "nvtensorrtrtx")
"""Providers that run on the GPU that `--device cuda:N` names."""
_DRIVER = "check the NVIDIA driver, CUDA and cuDNN, or use --device cpu"
_CUDA_OPTIONS: dict[str, object] = {"arena_extend_strategy": "kSameAsRequested"}
"""The graphs of a model share a GPU, so none may take up to twice the memory that it needs, as by default."""
_OUT_OF_MEMORY = re.compile(
    r"out ?of ?memory|failed to allocate memory|smaller than requested bytes|alloc(ation)?_failed|bad_alloc",
    re.IGNORECASE,
)
"""How ONNX Runtime's arena, CUDA, cuBLAS, cuDNN, TensorRT and C++ say that there is no memory left."""


class MemoryShortage(DeviceError):
    """A batch does not fit into the memory of the device; a smaller one may."""


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

    def without_tensorrt(self) -> Device:
        """Return the device for a graph whose shapes are not known beforehand: it runs on the providers that follow."""
        return replace(self, providers=tuple(name for name in self.providers if name != short_name(TENSORRT)))


def parse_device(text: str) -> Device:
    """Read `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: It is none of these.
    """
    match = re.fullmatch(r"(auto|cpu)|(cuda)(?::(\d+))?", text.strip().lower())
    if match is None:
        raise DeviceError(f"unknown device '{text}'", hint="use auto, cpu, cuda or cuda:N")
    return Device(match[1] or match[2], int(match[3] or 0))


def parse_devices(text: str) -> tuple[Device, ...]:
    """Read what `parse_device` reads, or several GPUs: `cuda:0,cuda:1`, or `cuda:all`.

    Raises:
        DeviceError: It is none of these, a device is named twice, or there is no GPU.
    """
    if text.strip().lower() == "cuda:all":
        count = len(gpu_names())
        if count == 0:
            raise DeviceError(f"device {text} is unavailable: there is no NVIDIA GPU", hint=_DRIVER)
        return tuple(Device("cuda", index) for index in range(count))
    devices = tuple(map(parse_device, text.split(",")))
    if len(devices) > 1 and any(device.kind != "cuda" for device in devices):
        raise DeviceError(f"devices '{text}' do not go together", hint="use several GPUs, or one device")
    if len(set(devices)) < len(devices):
        raise DeviceError(f"devices '{text}' name one twice", hint="name each GPU once")
    return devices


def with_providers(device: Device, providers: Sequence[str]) -> Device:
    """Return a device that runs on certain providers only.

    Args:
        device: What `--device` asks for.
        providers: Such as `cuda` or `CUDAExecutionProvider`, by preference. TensorRT brings CUDA along for what it does
            not run itself.

    Raises:
        ShotcropError: The device asks for something else than the first of them.
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
    """Import ONNX Runtime, and keep it from calling home.

    From 1.29 on it reports what it runs to its maker and leaves an identifier in the cache folder, unless the
    environment forbids that before it is loaded. Photos are private matters, and so is when they are looked at.

    Raises:
        DeviceError: It is not installed, or damaged.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except Exception as error:  # whatever a library of another version runs into
        if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
            raise DeviceError(
                "ONNX Runtime is not installed", hint=f"{install_hint.add_extras('cpu')}, or [gpu] for NVIDIA GPUs"
            ) from error
        raise DeviceError(
            f"ONNX Runtime cannot be loaded: {_reason(error)}", hint=install_hint.switch_runtime("cpu")
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise DeviceError(
            "ONNX Runtime is only a folder that an uninstalled variant left behind",
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
    def at_work(self) -> Iterator[None]:
        """Run the graph within; a GPU that fails in the middle of a run is said to.

        Raises:
            MemoryShortage: Memory, of whatever device, is used up.
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
            raise DeviceError(f"{self.provider} failed: {_reason(error)}", hint=_DRIVER) from error


def kept_in(model: str, provider: str, index: int) -> Path:
    """Return the folder of what is kept between runs for a model on a device; it need not exist.

    Args:
        model: The model's hash.
        provider: Provider that runs it.
        index: Which GPU.
    """
    place = short_name(provider)
    if place in _ON_NVIDIA:
        names = gpu_names()
        place = names[index] if index < len(names) else f"cuda {index}"
    return cache_folder(model, import_onnxruntime().__version__, place)


def open_session(path: Path, device: Device, threads: int | None = None, *, engine: Engine | None = None) -> Session:
    """Load a graph.

    Args:
        path: The `.onnx` file.
        device: Where to run; `auto` takes a GPU when one works.
        threads: Threads within an operator; None lets ONNX Runtime take one per physical core.
        engine: What TensorRT, when it is named, builds; with None it builds as shapes come, and keeps nothing.

    Raises:
        DeviceError: What was asked for is not what the session got.
        ModelError: The graph cannot be loaded.
        OutputError: The engine cannot be kept.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    # Threads that wait for work by spinning take from the decoders what they win: a fifth of the processor time of a
    # run over photos of 12 megapixels on two cores [O].
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # a failed GPU is reported below, in our words
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    offered = runtime.get_available_providers()
    if device.providers:
        named = _named(device, offered, engine)
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
        return _open(runtime, path, options, [CPU])  # nobody insists on the GPU


def _named(device: Device, offered: Sequence[str], engine: Engine | None) -> list[Any]:
    """Return the providers that were named, as ONNX Runtime wants them."""
    known = {short_name(name): name for name in offered}
    named: list[Any] = []
    for name in device.providers:
        if name not in known:
            raise DeviceError(
                f"provider {name} is unavailable: this ONNX Runtime has {', '.join(known)}",
                hint="install the variant of onnxruntime that has it, or name others",
            )
        options: dict[str, object] = {}
        if known[name] == TENSORRT and engine is not None:
            folder = kept_in(engine.model, TENSORRT, device.index)
            make_folder(folder)
            options = engine.options(folder)
        elif known[name] == CUDA:
            options = _CUDA_OPTIONS
        named.append((known[name], {"device_id": device.index, **options}) if name in _ON_NVIDIA else known[name])
    return named


def _open(runtime: ModuleType, path: Path, options: Any, providers: list[Any], *, demanded: str = "") -> Session:
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
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    hint = _DRIVER if short_name(first) in _ON_NVIDIA else "check what it needs, or use --device cpu"
    try:
        # ONNX Runtime's own fallback would print to stdout, and move to the CPU in the middle of a run.
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
    """Return what `--providers` calls a provider."""
    return provider.strip().lower().removesuffix(_ENDING.lower())


def _reason(error: Exception) -> str:
    """Return the first line of what a library says."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
