from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import huggingface_hub
import pytest
from PIL import Image, features

from shotcrop_cli.checkup import examination, inference, machine, output, software
from shotcrop_cli.checkup.examination import examine
from shotcrop_cli.checkup.finding import Finding, Scope, State, exit_code, note, ok, problem
from shotcrop_cli.errors import AnswerError, ExitCode, ModelError
from shotcrop_cli.install_hint import EXTRAS, Installation
from shotcrop_cli.library.output_folder import LOCK_NAME, output_lock
from shotcrop_cli.model import load, session
from shotcrop_cli.model.resolve import embedded_models
from shotcrop_cli.shots import NoSubject

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def by_subject(findings: Iterator[Finding] | list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def problems(scope: Scope | None = None) -> dict[str, Finding]:
    return by_subject([finding for finding in examine(scope or Scope()) if finding.state is State.PROBLEM])


def only(monkeypatch: pytest.MonkeyPatch, *checks: object) -> None:
    monkeypatch.setattr(examination, "CHECKS", tuple((f"check {i}", check) for i, check in enumerate(checks)))


def altered(folder: Path) -> Path:
    shutil.copytree(embedded_models()["shotcrop-nano"], folder)
    with (folder / "detector.onnx").open("ab") as file:
        file.write(b" ")
    return folder


# The examination


def test_a_check_that_breaks_is_a_problem_itself_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_scope: Scope) -> Iterator[Finding]:
        yield ok("before", "seen")
        raise KeyError("surprise")

    only(monkeypatch, breaks, lambda _scope: iter([ok("after", "seen")]))
    before, broken, after = examine(Scope())
    assert (before.subject, after.subject) == ("before", "after")
    assert broken.found.startswith("KeyError: 'surprise' (test_checkup.py, line ")
    assert (broken.subject, broken.state, broken.exit_code) == ("check 0", State.PROBLEM, ExitCode.BUG)


def test_a_library_that_is_missing_is_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    codecs = problems()["codecs"]
    assert codecs.fix == "pip install --force-reinstall shotcrop-cli"


def test_one_cause_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_scope: Scope) -> Iterator[Finding]:
        raise ModelError("the model is gone", hint="fetch it")

    only(monkeypatch, breaks, breaks)
    (finding,) = examine(Scope())
    assert (finding.found, finding.fix, finding.exit_code) == ("the model is gone", "fetch it", ExitCode.MODEL)


def test_equal_findings_about_different_things_are_all_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, lambda _scope: iter([ok("this", "works"), ok("that", "works")]))
    assert len(list(examine(Scope()))) == 2


def test_the_first_problem_gives_the_exit_code() -> None:
    device, late = problem("a", "b", "", ExitCode.DEVICE), problem("c", "d", "", ExitCode.OUTPUT)
    assert exit_code([ok("a", "b"), note("a", "b"), device, late]) is ExitCode.DEVICE
    assert exit_code([ok("a", "b"), note("a", "b")]) is ExitCode.OK


# Software


def test_missing_libraries_are_a_problem_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"filelock", "tokenizers"}
    monkeypatch.setattr(software, "version", lambda name: None if name in lacking else "1.0")
    missing, present = software.libraries(Scope())
    assert (missing.state, missing.fix) == (State.PROBLEM, "pip install filelock tokenizers")
    assert present.found == "click 1.0, numpy 1.0, pillow 1.0, pillow-heif 1.0, huggingface-hub 1.0"


def test_codecs_that_pillow_lacks_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    (finding,) = software.codecs(Scope())
    assert (finding.state, finding.found) == (State.NOTE, "Pillow lacks AVIF")
    assert finding.fix == "pip install --force-reinstall pillow"


def test_missing_extras_are_noted_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "version", lambda _package: None)
    findings = list(software.extras(Scope()))
    assert {finding.state for finding in findings} == {State.NOTE}
    assert sorted(finding.fix for finding in findings) == sorted(
        f"pip install 'shotcrop-cli[{extra}]'" for extra in EXTRAS if extra not in ("cpu", "gpu")
    )


# Inference


@pytest.mark.parametrize(
    ("runtime", "found"),
    [(None, "ONNX Runtime is not installed"), (ModuleType("onnxruntime"), "ONNX Runtime is an empty folder")],
)
def test_without_a_runtime_everything_else_is_checked(
    monkeypatch: pytest.MonkeyPatch, runtime: ModuleType | None, found: str
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    findings = list(examine(Scope()))
    (finding,) = [finding for finding in findings if finding.state is State.PROBLEM]
    assert finding.found.startswith(found)
    assert "pip install 'shotcrop-cli[cpu]'" in finding.fix
    assert finding.exit_code is ExitCode.DEVICE
    assert {"model", "memory", "configuration"} <= set(by_subject(findings))


@pytest.mark.parametrize(("gpu", "extra"), [(True, "gpu"), (False, "cpu")])
def test_two_variants_of_the_runtime_are_a_problem(monkeypatch: pytest.MonkeyPatch, gpu: bool, extra: str) -> None:
    monkeypatch.setattr(inference, "version", lambda _package: "1.0")
    monkeypatch.setattr(inference, "_NVIDIA_DRIVER", Path("/missing"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if gpu else None)
    both, runtime = inference.runtime(Scope())
    assert (both.state, both.exit_code) == (State.PROBLEM, ExitCode.DEVICE)
    assert both.fix == f"pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'shotcrop-cli[{extra}]'"
    assert runtime.found.endswith("from onnxruntime, onnxruntime-gpu")


def offering(monkeypatch: pytest.MonkeyPatch, *offered: str) -> None:
    real = session.import_onnxruntime()
    fake = SimpleNamespace(
        SessionOptions=real.SessionOptions,
        InferenceSession=real.InferenceSession,
        get_available_providers=lambda: list(offered),
    )
    monkeypatch.setattr(session, "import_onnxruntime", lambda: fake)


@pytest.mark.filterwarnings("ignore:Specified provider")  # it is what is tried here
def test_a_provider_that_is_listed_and_does_not_work_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, CUDA, CPU)
    found = by_subject(inference.providers(Scope()))
    assert (found["provider cuda"].state, found["provider cpu"].state) == (State.NOTE, State.OK)
    assert "does not work" in found["provider cuda"].found
    assert "check the NVIDIA driver" in found["provider cuda"].fix


def test_a_provider_that_sends_pictures_away_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, "AzureExecutionProvider", CPU)
    monkeypatch.setattr(inference, "_NVIDIA_DRIVER", Path("/missing"))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert set(by_subject(inference.providers(Scope()))) == {"provider cpu"}


def test_an_unused_gpu_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offering(monkeypatch, CPU)
    monkeypatch.setattr(inference, "_NVIDIA_DRIVER", tmp_path)
    gpu = by_subject(inference.providers(Scope()))["provider cuda"]
    assert gpu == note(
        "provider cuda",
        "there is an NVIDIA GPU, but ONNX Runtime uses only the CPU",
        Installation().switch_runtime("gpu"),
    )


def test_an_altered_model_is_found_out(tmp_path: Path) -> None:
    finding = problems(Scope(model=str(altered(tmp_path / "model"))))["model"]
    assert "detector.onnx is altered or damaged" in finding.found
    assert "shotcrop export-onnx" in finding.fix
    assert finding.exit_code is ExitCode.MODEL


def test_an_altered_model_that_came_with_shotcrop_is_installed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = altered(tmp_path / "shotcrop-nano")
    monkeypatch.setattr("shotcrop_cli.model.resolve.embedded_models", lambda: {"shotcrop-nano": model})
    found = problems()
    assert set(found) == {"model"}  # reported once, though no photo can be cropped
    assert found["model"].fix == "pip install --force-reinstall --no-deps shotcrop-cli"


def test_a_model_that_came_with_shotcrop_without_graphs_is_installed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = altered(tmp_path / "shotcrop-nano")
    for graph in model.glob("*.onnx"):
        graph.unlink()
    monkeypatch.setattr("shotcrop_cli.model.resolve.embedded_models", lambda: {"shotcrop-nano": model})
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        list(inference.providers(Scope()))
    assert caught.value.hint == "pip install --force-reinstall --no-deps shotcrop-cli"


def test_a_model_of_the_hub_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    finding = problems(Scope(model="ana/portraits"))["model"]
    assert finding.fix == "download it: hf download ana/portraits"


def test_a_device_that_is_not_available_is_a_problem_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch, CPU)
    with pytest.raises(session.DeviceError, match="device cuda:0 is unavailable") as caught:
        list(inference.one_photo(Scope(device="cuda")))
    assert caught.value.hint == Installation().switch_runtime("gpu")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (NoSubject(0.9), "odd finds no people in a portrait"),
        (AnswerError("no JSON"), "odd gives no readable answer to a portrait: no JSON"),
    ],
)
def test_a_model_that_makes_nothing_of_the_portrait_is_a_problem(
    answer: object, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = SimpleNamespace(thumbnail_size=(64, 64), identity=SimpleNamespace(id="odd"), compose=lambda *_: [answer])
    monkeypatch.setattr(load, "load_composer", lambda _bundle, _device, **_options: odd)
    (finding,) = inference.one_photo(Scope())
    assert (finding.state, finding.exit_code) == (State.PROBLEM, ExitCode.MODEL)
    assert finding.found == found


def test_the_self_test_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (finding,) = inference.one_photo(Scope())
    assert finding.found.startswith("a portrait became 3 crops in ")
    assert list(tmp_path.iterdir()) == []


def test_the_portrait_is_small_and_carries_no_metadata() -> None:
    assert inference.PORTRAIT.stat().st_size <= 20_000
    with Image.open(inference.PORTRAIT) as image:
        assert (image.size, set(image.info) & {"exif", "xmp", "comment"}) == ((320, 320), set())


# The machine


def test_a_quota_of_processor_time_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_processors", lambda: 8)
    monkeypatch.setattr(machine, "processor_quota", lambda: 1.5)
    usable, quota = machine.processors(Scope())
    assert usable.found.startswith("8 of ")
    assert (quota.state, quota.fix) == (State.NOTE, "use --jobs 2")
    assert "the time of 1.5" in quota.found


@pytest.mark.parametrize(
    ("limit", "found"), [(2 * 10**9, "2.0 GB of 8.0 GB available, as the control group allows"), (None, "8.0 GB")]
)
def test_memory_is_what_the_control_group_leaves(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, found: str
) -> None:
    monkeypatch.setattr(machine, "physical_memory", lambda: 8 * 10**9)
    monkeypatch.setattr(machine, "memory_limit", lambda: limit)
    (finding,) = machine.memory(Scope())
    assert finding.found == found


def test_no_folder_for_temporary_files_is_one_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    (finding,) = problems().values()
    assert finding.fix.startswith("set TMPDIR ")
    assert finding.exit_code is ExitCode.OUTPUT


def test_configuration_names_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHOTCROP_CONFIG", str(tmp_path / "named.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shotcrop.toml").touch()
    (finding,) = machine.configuration(Scope())
    assert finding.found == (
        f"{tmp_path}/home/shotcrop/config.toml (not found), {tmp_path}/shotcrop.toml (found), "
        f"{tmp_path}/named.toml (not found)"
    )


def test_the_model_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    (finding,) = machine.model_cache(Scope())
    assert finding.found == f"{tmp_path}, HF_HUB_OFFLINE forbids downloads"


# The output


def test_without_an_output_there_is_nothing_to_look_at() -> None:
    assert list(output.output(Scope())) == []


def test_an_output_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    findings = by_subject(output.output(Scope(output=tmp_path / "new" / "shots")))
    assert findings["output"].found == f"{tmp_path}/new/shots can be created in {tmp_path}"
    assert findings["lock"].found == "works; no run has used it yet"
    assert {finding.state for finding in findings.values()} == {State.OK}
    assert list(tmp_path.iterdir()) == []


def test_an_output_of_an_earlier_run_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).touch()
    (tmp_path / "a.jpg").write_bytes(b"crop")
    findings = by_subject(output.output(Scope(output=tmp_path)))
    assert findings["output"].found == f"{tmp_path} is writable"
    assert findings["lock"].found == "no other run uses it"
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK_NAME, "a.jpg"]


def test_an_output_at_work_is_a_problem(tmp_path: Path) -> None:
    with output_lock(tmp_path):
        finding = problems(Scope(output=tmp_path))["output"]
    assert "another run" in finding.found
    assert finding.exit_code is ExitCode.LOCKED


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=5_000_000))
    finding = by_subject(output.output(Scope(output=tmp_path)))["space"]
    assert (finding.state, finding.exit_code) == (State.PROBLEM, ExitCode.OUTPUT)


@pytest.mark.parametrize(
    ("number", "below", "owner", "fix"),
    [
        (errno.EACCES, "", 0, "chmod u+rwx {root}"),
        (errno.EACCES, "", 1, 'sudo install -d -o "$USER" {root}'),
        (errno.EACCES, "/new", 1, 'sudo install -d -o "$USER" {root}/new'),
        (errno.EROFS, "", 0, "mount the disk of {root} with write access, or choose another --output"),
        (errno.ENOSPC, "", 0, "choose another --output"),
    ],
)
def test_an_output_that_cannot_be_written_to_says_how_to_fix_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, below: str, owner: int, fix: str
) -> None:
    def refuse(**_options: object) -> str:
        raise OSError(number, os.strerror(number))

    root = tmp_path / "shots"
    root.mkdir()
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    monkeypatch.setattr(os, "getuid", lambda: root.stat().st_uid + owner)
    with pytest.raises(output.OutputError, match=os.strerror(number)) as caught:
        list(output.output(Scope(output=Path(f"{root}{below}"))))
    assert caught.value.hint == fix.format(root=root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_is_opened_by_the_fix(tmp_path: Path) -> None:
    closed = tmp_path / "Ana's folder"
    closed.mkdir(mode=0)
    finding = problems(Scope(output=closed / "shots"))["output"]
    assert finding.found == f"{closed}: not writable: Permission denied"
    assert subprocess.run(finding.fix, shell=True, check=True).returncode == 0
    assert {one.state for one in output.output(Scope(output=closed / "shots"))} == {State.OK}


def test_files_that_cannot_be_replaced_are_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def keep_the_first(files: list[output.NewFile], *, root: Path) -> None:
        for file in files:
            if not file.path.exists():
                file.path.write_bytes(file.content)

    monkeypatch.setattr(output, "put_in_place", keep_the_first)
    finding = problems(Scope(output=tmp_path))["output"]
    assert "still has its old content" in finding.found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("upper_exists", "found"), [(True, "does not matter"), (False, "matters")])
def test_case_of_file_names_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, upper_exists: bool, found: str
) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: upper_exists if path.name == LOCK_NAME.upper() else exists(path))
    names = by_subject(output.output(Scope(output=tmp_path)))["file names"]
    assert names.found == f"upper or lower case {found}"
