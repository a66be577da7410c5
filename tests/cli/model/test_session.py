from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from shotcrop_cli.errors import DeviceError, ExitCode, ModelError, OutputError, ShotcropError
from shotcrop_cli.install_hint import Installation
from shotcrop_cli.model import session
from shotcrop_cli.model.session import (
    CPU,
    CUDA,
    Device,
    MemoryShortage,
    Session,
    device_cache_folder,
    import_onnxruntime,
    open_session,
    parse_device,
    parse_devices,
    with_providers,
)
from shotcrop_cli.model.tensorrt import LARGEST_BATCH, TENSORRT, Engine, Shapes


@pytest.mark.parametrize(
    ("text", "device"),
    [("auto", Device("auto")), ("CPU", Device("cpu")), ("cuda", Device("cuda", 0)), ("cuda:3", Device("cuda", 3))],
)
def test_devices_are_read(text: str, device: Device) -> None:
    assert parse_device(text) == device


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "", "cpu:1"])
def test_an_unknown_device_is_a_device_error(text: str) -> None:
    with pytest.raises(DeviceError, match="use auto, cpu, cuda") as caught:
        parse_device(text)
    assert caught.value.exit_code == ExitCode.DEVICE


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", (Device("auto"),)),
        ("cuda:1", (Device("cuda", 1),)),
        ("cuda:2,cuda", (Device("cuda", 2), Device("cuda", 0))),
        ("cuda:all", (Device("cuda", 0), Device("cuda", 1), Device("cuda", 2))),
    ],
)
def test_several_gpus_are_read(text: str, devices: tuple[Device, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "gpu_names", lambda: ("Gold", "Gold", "Silver"))
    assert parse_devices(text) == devices


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cuda:0,cpu", "do not go together"),
        ("cuda:0,auto", "do not go together"),
        ("cuda:0,cuda", "name one twice"),
        ("cuda:0,", "unknown device ''"),
        ("cuda:all", "cuda:all is unavailable: there is no NVIDIA GPU"),
    ],
)
def test_incompatible_devices_are_a_device_error(text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "gpu_names", lambda: ())
    with pytest.raises(DeviceError, match=why):
        parse_devices(text)


class Options(SimpleNamespace):
    """What a session is opened with."""

    def add_session_config_entry(self, name: str, value: str) -> None:
        setattr(self, name, value)


class FakeRuntime:
    """An ONNX Runtime with the given providers, whose sessions use the given ones."""

    SessionOptions = Options
    __version__ = "9.8.7"

    def __init__(self, offered: list[str], used: list[str], *, breaks: bool = False) -> None:
        self.offered, self.used, self.breaks = offered, used, breaks
        self.asked: list[object] = []

    def get_available_providers(self) -> list[str]:
        return self.offered

    def InferenceSession(
        self, path: str, options: object, providers: list[object], enable_fallback: int
    ) -> SimpleNamespace:
        assert not enable_fallback  # it would print to stdout
        self.asked = providers
        if self.breaks and providers != [CPU]:
            raise RuntimeError("libcudnn.so.9: cannot open shared object file\nand more")
        return SimpleNamespace(get_providers=lambda: self.used)


def use(monkeypatch: pytest.MonkeyPatch, runtime: FakeRuntime) -> None:
    monkeypatch.setattr(session, "import_onnxruntime", lambda: runtime)


def test_explicit_cuda_that_falls_back_to_the_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeRuntime([CUDA, CPU], [CPU]))
    with pytest.raises(DeviceError, match="fell back to CPUExecutionProvider"):
        open_session(Path("graph.onnx"), Device("cuda"))


def test_explicit_cuda_without_the_provider_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeRuntime([CPU], [CPU]))
    with pytest.raises(DeviceError, match=r"shotcrop-cli\[gpu\]"):
        open_session(Path("graph.onnx"), Device("cuda"))


def test_auto_reports_the_provider_it_really_got(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeRuntime([CUDA, CPU], [CPU]))
    assert open_session(Path("graph.onnx"), Device("auto")).provider == CPU


def test_auto_takes_the_cpu_when_the_gpu_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeRuntime([CUDA, CPU], [CPU], breaks=True))
    assert open_session(Path("graph.onnx"), Device("auto")).provider == CPU


@pytest.mark.parametrize("device", [Device("cuda"), Device("auto", providers=("cuda", "cpu"))])
def test_a_failing_requested_gpu_gives_a_one_line_error(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    use(monkeypatch, FakeRuntime([CUDA, CPU], [CPU], breaks=True))
    with pytest.raises(
        DeviceError, match=r"cuda.* is unavailable: libcudnn\.so\.9: .* file\. Fix: check the NVIDIA driver"
    ):
        open_session(Path("graph.onnx"), device)


def test_cuda_gets_the_gpu_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime([CUDA, CPU], [CUDA, CPU])
    use(monkeypatch, runtime)
    assert open_session(Path("graph.onnx"), Device("cuda", 2)).on_cuda
    assert runtime.asked == [(CUDA, {"device_id": 2, "arena_extend_strategy": "kSameAsRequested"}), CPU]


def test_cpu_never_asks_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime([CUDA, CPU], [CPU])
    use(monkeypatch, runtime)
    open_session(Path("graph.onnx"), Device("cpu"))
    assert runtime.asked == [CPU]


def test_an_invalid_graph_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"graph\.onnx cannot be loaded"):
        open_session(path, Device("cpu"))


@pytest.mark.parametrize("name", ["tensorrt", "TensorrtExecutionProvider"])
def test_providers_are_tried_in_the_order_they_are_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    runtime = FakeRuntime([TENSORRT, CUDA, CPU], [TENSORRT, CPU])
    use(monkeypatch, runtime)
    assert open_session(Path("graph.onnx"), with_providers(Device("cuda", 1), [name, "cuda", "cpu"])).on_cuda
    cuda = (CUDA, {"device_id": 1, "arena_extend_strategy": "kSameAsRequested"})
    assert runtime.asked == [(TENSORRT, {"device_id": 1}), cuda, CPU]


@pytest.mark.parametrize(
    ("named", "had"),
    [
        (["tensorrt"], ("tensorrt", "cuda")),
        (["tensorrt", "cpu"], ("tensorrt", "cuda", "cpu")),
        (["tensorrt", "cpu", "cuda"], ("tensorrt", "cpu", "cuda")),
        (["cuda", "tensorrt"], ("cuda", "tensorrt")),
    ],
)
def test_tensorrt_adds_cuda(named: list[str], had: tuple[str, ...]) -> None:
    assert with_providers(Device("auto"), named).providers == had


def test_a_graph_without_engine_skips_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime([TENSORRT, CUDA, CPU], [CPU])
    use(monkeypatch, runtime)
    device = with_providers(Device("cuda", 1), ["tensorrt"]).without_tensorrt()
    with pytest.raises(DeviceError, match="provider cuda is unavailable: ONNX Runtime fell back to CPUExecution"):
        open_session(Path("graph.onnx"), device)
    assert [name for name, _ in runtime.asked] == [CUDA]
    assert Device("cuda", 1).without_tensorrt() == Device("cuda", 1)


def test_tensorrt_options_have_every_shape_and_the_engine_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(session, "gpu_names", lambda: ("Gold", "Silver 80GB"))
    runtime = FakeRuntime([TENSORRT, CUDA, CPU], [TENSORRT, CUDA, CPU])
    use(monkeypatch, runtime)
    engine = Engine(
        "ab" * 32, (Shapes.per_photo("pixel_values", (3, 256, 256)), Shapes("past", (1, 0), (32, 70), (256, 99)))
    )
    open_session(Path("graph.onnx"), with_providers(Device("cuda", 1), ["tensorrt"]), engine=engine)
    folder = tmp_path / "shotcrop" / "abababababababab-onnxruntime-9.8.7-silver-80gb"
    assert folder.is_dir()
    assert runtime.asked[0] == (
        TENSORRT,
        {
            "device_id": 1,
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(folder),
            "trt_profile_min_shapes": "pixel_values:1x3x256x256,past:1x0",
            "trt_profile_opt_shapes": "pixel_values:32x3x256x256,past:32x70",
            "trt_profile_max_shapes": f"pixel_values:{LARGEST_BATCH}x3x256x256,past:256x99",
        },
    )


def test_other_providers_build_no_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runtime = FakeRuntime([TENSORRT, CUDA, CPU], [CUDA, CPU])
    use(monkeypatch, runtime)
    open_session(
        Path("graph.onnx"), Device("cuda"), engine=Engine("ab" * 32, (Shapes.per_photo("pixel_values", (3, 8, 8)),))
    )
    assert [one if isinstance(one, str) else one[0] for one in runtime.asked] == [CUDA, CPU]  # type: ignore[index]
    assert list(tmp_path.iterdir()) == []


def test_engines_that_cannot_be_stored_are_an_output_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shotcrop").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use(monkeypatch, FakeRuntime([TENSORRT, CUDA, CPU], [TENSORRT, CPU]))
    engine = Engine("ab" * 32, (Shapes.per_photo("pixel_values", (3, 8, 8)),))
    with pytest.raises(OutputError, match=r"engines cannot be stored: .*XDG_CACHE_HOME"):
        open_session(Path("graph.onnx"), with_providers(Device("auto"), ["tensorrt"]), engine=engine)


@pytest.mark.parametrize(
    ("provider", "index", "place"),
    [(CUDA, 0, "gold"), (TENSORRT, 0, "gold"), (CUDA, 5, "cuda-5"), ("OpenVINOExecutionProvider", 0, "openvino")],
)
def test_cache_folders_differ_by_model_runtime_and_device(
    monkeypatch: pytest.MonkeyPatch, provider: str, index: int, place: str
) -> None:
    monkeypatch.setattr(session, "gpu_names", lambda: ("Gold",))
    use(monkeypatch, FakeRuntime([], []))
    assert device_cache_folder("cd" * 32, provider, index).name == f"cdcdcdcdcdcdcdcd-onnxruntime-9.8.7-{place}"


def test_an_unavailable_requested_provider_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeRuntime([CUDA, CPU], [CPU]))
    with pytest.raises(DeviceError, match="provider cuda is unavailable: ONNX Runtime fell back to CPUExecution"):
        open_session(Path("graph.onnx"), with_providers(Device("auto"), ["cuda", "cpu"]))
    with pytest.raises(DeviceError, match="provider coreml is unavailable: this ONNX Runtime has cuda, cpu"):
        open_session(Path("graph.onnx"), with_providers(Device("auto"), ["coreml"]))


def test_a_provider_that_needs_no_gpu_gets_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = "OpenVINOExecutionProvider"
    runtime = FakeRuntime([openvino, CPU], [openvino, CPU])
    use(monkeypatch, runtime)
    assert open_session(Path("graph.onnx"), with_providers(Device("auto"), ["openvino", "cpu"])).provider == openvino
    assert runtime.asked == [openvino, CPU]


def test_without_providers_the_device_decides() -> None:
    assert with_providers(Device("cuda", 2), []) == Device("cuda", 2)


@pytest.mark.parametrize(("device", "provider"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda:1", "openvino")])
def test_device_and_providers_that_contradict_each_other_are_refused(device: str, provider: str) -> None:
    with pytest.raises(ShotcropError, match="contradict") as caught:
        with_providers(parse_device(device), [provider])
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_graph_that_the_cpu_cannot_load_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_session(tmp_path / "graph.onnx", with_providers(Device("auto"), ["cpu"]))


def test_a_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=r"not installed\. Fix: pip install 'shotcrop-cli\[cpu\]'"):
        import_onnxruntime()


def test_an_empty_runtime_folder_is_not_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(DeviceError, match="an empty folder") as caught:
        import_onnxruntime()
    assert caught.value.hint == Installation().switch_runtime("cpu")


@pytest.mark.parametrize("broken", ["import onnxruntime.capi", "raise ImportError('libstdc++ is too old')"])
def test_a_damaged_runtime_gives_an_error_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str
) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(broken)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    for name in [name for name in sys.modules if name.startswith("onnxruntime.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError, match="ONNX Runtime cannot be loaded: ") as caught:
        import_onnxruntime()
    assert caught.value.hint == Installation().switch_runtime("cpu")


def test_a_gpu_that_fails_in_a_run_is_a_device_error() -> None:
    failed = pytest.raises(DeviceError, match=r"failed: illegal access\. Fix: .*--device cpu")
    with failed as caught, Session(None, CUDA).running():
        raise RuntimeError("illegal access\nand more")
    assert not isinstance(caught.value, MemoryShortage)


@pytest.mark.parametrize("provider", [CUDA, CPU])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node.\n"
            "bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 939524096"
        ),
        RuntimeError("bfc_arena.cc: Available memory of 12 is smaller than requested bytes of 34"),
        RuntimeError("CUDA failure 2: out of memory"),
        RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("[TRT] [defaultAllocator.cpp] 1: Cuda Runtime (OutOfMemory)"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
    ],
    ids=lambda error: str(error)[:40],
)
def test_lack_of_memory_is_told_apart_from_other_failures(error: Exception, provider: str) -> None:
    with pytest.raises(MemoryShortage, match=r"is out of memory: .*--batch-size"), Session(None, provider).running():
        raise error


def test_a_failure_on_the_cpu_is_not_a_device_error() -> None:
    with pytest.raises(RuntimeError, match="odd shape"), Session(None, CPU).running():
        raise RuntimeError("odd shape")
