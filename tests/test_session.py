from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from shotcrop_cli.errors import DeviceError, ExitCode, ModelError
from shotcrop_cli.model import session
from shotcrop_cli.model.bundle import HASHED_FILES
from shotcrop_cli.model.resolve import embedded_models, resolve_model
from shotcrop_cli.model.session import CPU, CUDA, Device, open_session, parse_device, with_providers


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

    def __init__(self, offered: list[str], used: list[str]) -> None:
        self.offered, self.used, self.asked = offered, used, []

    def get_available_providers(self) -> list[str]:
        return self.offered

    def InferenceSession(self, path: str, options: object, providers: list[object]) -> SimpleNamespace:
        self.asked = providers
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


def test_the_default_model_is_embedded() -> None:
    assert "shotcrop-nano" in embedded_models()
    assert resolve_model(None) == embedded_models()["shotcrop-nano"]


def test_an_unknown_model_lists_the_embedded_ones() -> None:
    with pytest.raises(ModelError, match="embedded model: shotcrop-nano") as caught:
        resolve_model("shotcrop-giant")
    assert caught.value.exit_code == ExitCode.MODEL


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


@pytest.mark.parametrize(("device", "provider"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_device_and_providers_that_contradict_each_other_are_refused(device: str, provider: str) -> None:
    with pytest.raises(DeviceError, match="contradict"):
        with_providers(parse_device(device), [provider])


def test_a_hub_id_is_fetched_with_the_files_of_a_model_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def download(repo: str, **options: object) -> str:
        asked.append((repo, options))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve_model("ana/portraits@v2", offline=True) == tmp_path
    ((repo, options),) = asked
    assert (repo, options["revision"], options["local_files_only"]) == ("ana/portraits", "v2", True)
    assert set(HASHED_FILES) < set(options["allow_patterns"])


def test_offline_a_model_that_was_never_fetched_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="model ana/portraits is not on this machine"):
        resolve_model("ana/portraits", offline=True)


def test_a_hub_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_repo: str, **_options: object) -> str:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError, match=r"model ana/portraits cannot be had: no route \(check"):
        resolve_model("ana/portraits")


def test_a_mistyped_name_is_guessed() -> None:
    with pytest.raises(ModelError, match="did you mean 'shotcrop-nano'"):
        resolve_model("shotcrop-nono")
