from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from shotcrop_cli.errors import DeviceError, ExitCode, ModelError, ShotcropError
from shotcrop_cli.model import session
from shotcrop_cli.model.session import (
    CPU,
    CUDA,
    Device,
    Session,
    import_onnxruntime,
    open_session,
    parse_device,
    with_providers,
)


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


class FakeRuntime:
    """An ONNX Runtime that offers what it is told, and whose sessions use what they are told."""

    SessionOptions = SimpleNamespace

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
def test_a_gpu_that_was_asked_for_and_breaks_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, device: Device
) -> None:
    use(monkeypatch, FakeRuntime([CUDA, CPU], [CPU], breaks=True))
    with pytest.raises(DeviceError, match=r"cuda.* is unavailable: libcudnn\.so\.9: .* file \(check the NVIDIA driver"):
        open_session(Path("graph.onnx"), device)


def test_cuda_gets_the_gpu_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime([CUDA, CPU], [CUDA, CPU])
    use(monkeypatch, runtime)
    assert open_session(Path("graph.onnx"), Device("cuda", 2)).on_cuda
    assert runtime.asked == [(CUDA, {"device_id": 2}), CPU]


def test_cpu_never_asks_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FakeRuntime([CUDA, CPU], [CPU])
    use(monkeypatch, runtime)
    open_session(Path("graph.onnx"), Device("cpu"))
    assert runtime.asked == [CPU]


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"graph\.onnx cannot be loaded"):
        open_session(path, Device("cpu"))


@pytest.mark.parametrize("name", ["tensorrt", "TensorrtExecutionProvider"])
def test_providers_are_tried_in_the_order_they_are_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    tensorrt = "TensorrtExecutionProvider"
    runtime = FakeRuntime([tensorrt, CUDA, CPU], [tensorrt, CPU])
    use(monkeypatch, runtime)
    open_session(Path("graph.onnx"), with_providers(Device("cuda", 1), [name, "cpu"]))
    assert runtime.asked == [(tensorrt, {"device_id": 1}), CPU]


def test_a_named_provider_that_is_not_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_graph_that_the_named_cpu_cannot_load_is_an_error_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_session(tmp_path / "graph.onnx", with_providers(Device("auto"), ["cpu"]))


def test_a_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=r"not installed \(pip install 'shotcrop-cli\[cpu\]'"):
        import_onnxruntime()


def test_a_folder_that_a_runtime_left_behind_is_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(DeviceError, match="mere folder") as caught:
        import_onnxruntime()
    assert caught.value.hint == session.reinstalling()


@pytest.mark.parametrize("broken", ["import onnxruntime.capi", "raise ImportError('libstdc++ is too old')"])
def test_a_damaged_runtime_says_how_to_mend_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(broken)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    for name in [name for name in sys.modules if name.startswith("onnxruntime.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError, match="ONNX Runtime cannot be loaded: ") as caught:
        import_onnxruntime()
    assert caught.value.hint == session.reinstalling()


def test_a_gpu_that_fails_at_work_is_an_error_of_the_device() -> None:
    with pytest.raises(DeviceError, match=r"failed: out of memory .*--batch-size"), Session(None, CUDA).at_work():
        raise RuntimeError("out of memory")


def test_what_fails_on_the_cpu_is_no_error_of_the_device() -> None:
    with pytest.raises(RuntimeError, match="odd shape"), Session(None, CPU).at_work():
        raise RuntimeError("odd shape")
