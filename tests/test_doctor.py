import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from shotcrop_cli import checkup
from shotcrop_cli.checkup import Finding, Patient, State, examine, exit_code
from shotcrop_cli.errors import DeviceError, ExitCode
from shotcrop_cli.library.lock import output_lock
from shotcrop_cli.main import cli
from shotcrop_cli.model import session
from shotcrop_cli.model.resolve import embedded_models


def _doctor(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["doctor", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def _found(result: Result) -> dict[str, dict[str, str]]:
    return {finding["subject"]: finding for finding in json.loads(result.stdout)}


def test_a_sound_machine_has_no_problem_and_crops_a_real_portrait(tmp_path: Path) -> None:
    found = _found(_doctor("--json", "-o", tmp_path / "shots"))
    assert {"shotcrop", "Python", "libraries", "codecs", "ONNX Runtime", "model", "one photo"} <= set(found)
    assert found["one photo"]["found"].startswith("three crops of the portrait")
    assert found["CPUExecutionProvider"]["state"] == "ok"
    assert {finding["state"] for finding in found.values()} <= {"ok", "note"}
    assert list(tmp_path.iterdir()) == []


def test_people_get_a_table_without_colour_off_a_terminal() -> None:
    lines = _doctor().stdout.splitlines()
    assert lines[0].startswith("ok  ")
    assert not any("\x1b" in line for line in lines)


def test_an_altered_model_is_found_out(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(embedded_models()["shotcrop-nano"], model)
    with (model / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    found = _found(_doctor("--model", model, "--json", code=ExitCode.MODEL))
    assert "tokenizer.json was altered or is damaged" in found["model"]["found"]
    assert "shotcrop export-onnx" in found["model"]["remedy"]
    assert "one photo" not in found  # the same cause is told once


def test_a_device_that_cannot_be_had_is_a_problem_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CUDA", "NoSuchProvider")
    found = _found(_doctor("--device", "cuda", "--json", code=ExitCode.DEVICE))
    assert "pip install 'shotcrop-cli[gpu]'" in found["one photo"]["remedy"]


def test_a_missing_runtime_is_told_once_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise DeviceError("ONNX Runtime is not installed", hint="pip install 'shotcrop-cli[cpu]'")

    monkeypatch.setattr(session, "import_onnxruntime", missing)
    result = _doctor("--json", code=ExitCode.DEVICE)
    assert [one for one in json.loads(result.stdout) if one["found"] == "ONNX Runtime is not installed"] == [
        {
            "subject": "onnx runtime",
            "state": "problem",
            "found": "ONNX Runtime is not installed",
            "remedy": "pip install 'shotcrop-cli[cpu]'",
            "exit_code": ExitCode.DEVICE,
        }
    ]


def test_two_variants_of_the_runtime_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_version", lambda _package: "1.0")
    problems = [finding for finding in examine(Patient()) if finding.state is State.PROBLEM]
    assert [finding.subject for finding in problems] == ["ONNX Runtime"]
    assert problems[0].remedy.startswith("pip uninstall -y onnxruntime onnxruntime-gpu")


def test_a_provider_that_is_listed_and_does_not_work_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = session.import_onnxruntime()
    fake = SimpleNamespace(
        __version__="1.0",
        SessionOptions=runtime.SessionOptions,
        InferenceSession=runtime.InferenceSession,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(session, "import_onnxruntime", lambda: fake)
    (cuda,) = [one for one in checkup._providers(Patient()) if one.subject == "CUDAExecutionProvider"]
    assert (cuda.state, "not usable" in cuda.found) == (State.NOTE, True)


def test_missing_extras_are_noted_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "_version", lambda _package: None)
    remedies = [finding.remedy for finding in checkup._extras(Patient())]
    assert remedies == [f"pip install 'shotcrop-cli[{extra}]'" for extra in ("heif", "raw", "train")]


def test_an_output_at_work_is_a_problem(tmp_path: Path) -> None:
    with output_lock(tmp_path):
        found = _found(_doctor("-o", tmp_path, "--json", code=ExitCode.LOCKED))
    assert "another run" in found["output"]["found"]


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=5_000_000))
    found = _found(_doctor("-o", tmp_path, "--json", code=ExitCode.OUTPUT))
    assert found["space"]["state"] == "problem"


def test_a_check_that_breaks_is_a_problem_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def _broken(_patient: Patient) -> list[Finding]:
        raise KeyError("surprise")

    monkeypatch.setattr(checkup, "CHECKS", (_broken,))
    (finding,) = examine(Patient())
    assert (finding.subject, finding.found, finding.exit_code) == ("broken", "KeyError: 'surprise'", ExitCode.BUG)
    assert exit_code([finding]) is ExitCode.BUG
