from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shotcrop_cli.checkup import examination, machine, software
from shotcrop_cli.checkup.finding import Finding, Scope, note, ok, problem
from shotcrop_cli.cli import streams
from shotcrop_cli.commands import doctor
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli

LONG_FIX = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'shotcrop-cli[cpu]'"
FINDINGS = (
    ok("Python", "3.11"),
    note("extra raw", "not installed, for reading RAW files", "pip install 'shotcrop-cli[raw]'"),
    problem("ONNX Runtime", "two variants overwrite each other " * 3, LONG_FIX, ExitCode.DEVICE),
    ok("configuration", "a\nline"),
)


def _doctor(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, ["doctor", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def four_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(examination, "CHECKS", (("all", lambda _scope: iter(FINDINGS)),))


def test_a_sound_machine_has_no_problem_and_crops_a_real_portrait(tmp_path: Path) -> None:
    found = {one["subject"]: one for one in json.loads(_doctor("--json", "-o", tmp_path / "shots").stdout)}
    assert found["one photo"]["found"].startswith("a portrait became 3 crops")
    assert found["provider cpu"] == {
        "subject": "provider cpu",
        "state": "ok",
        "found": "works",
        "fix": "",
        "exit_code": ExitCode.OK,
    }
    assert {finding["state"] for finding in found.values()} <= {"ok", "note"}
    assert list(tmp_path.iterdir()) == []


def test_everything_that_is_checked_is_documented(tmp_path: Path) -> None:
    page = Path(__file__).parents[3].joinpath("docs", "doctor.md").read_text("utf-8")
    _, table = page.split("| what |")
    named = {name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])}
    checked = {finding.subject for finding in examination.examine(Scope(output=tmp_path))}
    assert {re.sub(r"^(extra|provider) .*", r"\1 ...", subject) for subject in checked} <= named


@pytest.mark.usefixtures("four_findings")
def test_off_a_terminal_each_finding_and_each_fix_is_a_line() -> None:
    result = _doctor(code=ExitCode.DEVICE)
    lines = result.stdout.splitlines()
    assert lines[0] == "ok       Python            3.11"
    assert lines[2] == f"{'':27}Fix: pip install 'shotcrop-cli[raw]'"
    assert lines[4] == f"{'':27}Fix: {LONG_FIX}"
    assert lines[5] == r"ok       configuration     a\x0aline"
    assert lines[6:] == ["", "1 problem, 1 note."]
    assert "\x1b" not in result.output


@pytest.mark.usefixtures("four_findings")
def test_json_is_one_document_with_all_findings() -> None:
    documents = json.loads(_doctor("--json", code=ExitCode.DEVICE).stdout)
    assert [tuple(one) for one in documents] == [("subject", "state", "found", "fix", "exit_code")] * 4
    assert [one["exit_code"] for one in documents] == [0, 0, ExitCode.DEVICE, 0]


@pytest.mark.usefixtures("four_findings")
def test_on_a_terminal_words_wrap_in_their_column_and_commands_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    _terminal(monkeypatch, 80)
    text = _doctor(code=ExitCode.DEVICE).stdout
    assert "\x1b[32m\x1b[1mok" in text
    assert "\x1b[31m\x1b[1mproblem" in text
    lines = re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()
    (found,) = (line for line in lines if line.startswith("problem"))
    (fix,) = (line for line in lines if "Fix: pip uninstall" in line)
    for line, words in ((found, FINDINGS[2].found), (fix, f"Fix: {LONG_FIX}")):
        rows = [line[start : start + 80] for start in range(0, len(line), 80)]
        assert len(rows) > 1
        assert all(row[:27].strip() == "" for row in rows[1:])
        assert [word for row in rows for word in row[27:].split()] == words.split()


@pytest.mark.usefixtures("four_findings")
def test_on_a_narrow_terminal_the_text_is_below_its_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    _terminal(monkeypatch, 60)
    text = re.sub(r"\x1b\[[\d;]*m", "", _doctor(code=ExitCode.DEVICE).stdout)
    assert text.splitlines()[:2] == ["ok       Python", f"{'':9}3.11"]


def _terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    for module in (doctor, streams):
        monkeypatch.setattr(module, "terminal_width", lambda _stream: width)
    monkeypatch.setattr(doctor, "is_plain", lambda _stream: False)


def test_each_finding_is_printed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []

    def check(_scope: Scope) -> Iterator[Finding]:
        yield ok("first", "seen")
        assert printed == ["first"]
        yield ok("second", "seen")

    monkeypatch.setattr(examination, "CHECKS", (("all", check),))
    monkeypatch.setattr(doctor, "_print", lambda finding: printed.append(finding.subject))
    assert _doctor().stdout == "\nNo problems, no notes.\n"
    assert printed == ["first", "second"]


def test_the_options_reach_the_checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Scope] = []

    def check(scope: Scope) -> Iterator[Finding]:
        seen.append(scope)
        yield ok("scope", "seen")

    monkeypatch.setattr(examination, "CHECKS", (("all", check),))
    _doctor("-m", "ana/portraits", "--device", "cuda:1", "-o", tmp_path)
    assert seen == [Scope("ana/portraits", "cuda:1", tmp_path)]


@pytest.mark.usefixtures("four_findings")
def test_columns_that_are_asked_for_hold_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = _doctor(code=ExitCode.DEVICE).stdout.splitlines()
    assert lines[:2] == ["ok       Python", f"{'':9}3.11"]
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()).count(LONG_FIX) == 1
    monkeypatch.setenv("COLUMNS", "many")
    assert _doctor(code=ExitCode.DEVICE).stdout.splitlines()[0] == "ok       Python            3.11"


@pytest.mark.parametrize(
    ("text", "found", "fix"),
    [
        ("[crop", "the configuration is not TOML", "check the syntax"),
        ("output = 'x'", "'output' is outside of a table", "put it below [doctor]"),
        ("[crop]\nqualty = 1", "[crop] there is no key 'qualty'; did you mean 'quality'?", "correct this line"),
        ("[train.sft]\noutput = 1", "[train.sft] output: must be a text, not 1", "correct this line"),
        ("[train]\nsft = 1", "'sft' is not a table", "write [sft]"),
        ("[crpo]", "there is no table 'crpo'; did you mean 'crop'?", "correct this line, or delete it"),
    ],
)
def test_a_wrong_configuration_is_a_line_of_the_report(
    text: str, found: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = (("versions", software.versions), ("configuration", machine.configuration))
    monkeypatch.setattr(examination, "CHECKS", checks)
    monkeypatch.chdir(tmp_path)
    Path("shotcrop.toml").write_text(text, "utf-8")
    findings = json.loads(_doctor("--json", code=ExitCode.USAGE).stdout)
    assert [one["subject"] for one in findings] == ["shotcrop", "Python", "system", "configuration", "configuration"]
    assert findings[-1]["state"] == "problem" and findings[-1]["exit_code"] == ExitCode.USAGE
    assert found in findings[-1]["found"] and fix in findings[-1]["fix"]


def test_a_sound_configuration_of_other_commands_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "CHECKS", (("configuration", machine.configuration),))
    monkeypatch.chdir(tmp_path)
    tables = ('[crop]\npaths = "in"\nset = "story"', '[train.sft]\ndata = "data"', '[sets]\nstory = "9:16"')
    Path("shotcrop.toml").write_text("\n".join(tables), "utf-8")
    (finding,) = json.loads(_doctor("--json").stdout)
    assert finding["state"] == "ok"
