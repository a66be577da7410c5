import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from conftest import names_in, write_photo
from shotcrop_cli import __version__, main
from shotcrop_cli.errors import DeviceError, ExitCode, ModelError
from shotcrop_cli.main import COMMANDS, cli
from shotcrop_cli.options import verbosity_options

_HEAVY = ("torch", "transformers", "onnxruntime", "tokenizers", "numpy", "PIL", "tqdm", "rich")


def _loaded_by(*arguments: str) -> list[str]:
    script = (
        "import sys\n"
        "from shotcrop_cli.main import cli\n"
        f"cli({list(arguments)!r}, standalone_mode=False)\n"
        "print('\\n'.join(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("flag", ["--help", "-h", "--version"])
def test_help_imports_no_command_and_nothing_heavy(flag: str) -> None:
    loaded = _loaded_by(flag)
    assert "shotcrop_cli.main" in loaded
    assert [name for name in loaded if name.startswith("shotcrop_cli.commands")] == []
    assert [name for name in loaded if name in _HEAVY] == []


def test_crop_help_imports_no_model() -> None:
    loaded = _loaded_by("crop", "--help")
    assert "shotcrop_cli.commands.crop" in loaded
    assert [name for name in loaded if name in ("torch", "transformers", "onnxruntime")] == []


def test_help_lists_every_command() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    for name, lazy in COMMANDS.items():
        assert name in output
        assert lazy.short_help in output


def test_version_is_the_packages() -> None:
    assert __version__ in CliRunner().invoke(cli, ["--version"]).output


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli, ["crpo"]).exit_code == ExitCode.USAGE


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Replace `sheet` by a command that raises what the test puts here."""
    errors: list[BaseException] = []

    @click.command()
    @verbosity_options
    def command(quiet: bool, verbose: bool) -> None:
        raise errors[0]

    monkeypatch.setattr(main.ShotcropGroup, "get_command", lambda _self, _ctx, _name: command)
    return errors


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            ModelError("m: no model", hint="name a folder"),
            ExitCode.MODEL,
            "error: m: no model (name a folder)",
        ),
        (DeviceError("cuda: none"), ExitCode.DEVICE, "error: cuda: none"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "error: interrupted"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    failing: list[BaseException], error: BaseException, code: ExitCode, line: str
) -> None:
    failing.append(error)
    result = CliRunner().invoke(cli, ["sheet"])
    assert result.exit_code == code
    assert result.stderr.splitlines() == [line]


def test_an_unforeseen_error_is_one_line_that_leads_to_the_traceback(failing: list[BaseException]) -> None:
    failing.append(KeyError("surprise"))
    result = CliRunner().invoke(cli, ["sheet"])
    assert result.exit_code == ExitCode.BUG
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: unforeseen KeyError: 'surprise' (traceback in ")
    kept = Path(line.partition("traceback in ")[2].partition(",")[0])
    assert "raise errors[0]" in kept.read_text(encoding="utf-8")
    kept.unlink()


def test_verbose_shows_the_traceback(failing: list[BaseException]) -> None:
    failing.append(KeyError("surprise"))
    result = CliRunner().invoke(cli, ["sheet", "-v"])
    assert "raise errors[0]" in result.stderr
    Path(result.stderr.partition("traceback in ")[2].partition(",")[0]).unlink()


_SLOW_RUN = """
import sys, time
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from conftest import FakeComposer, fixed_composition

def slowly(_image, _aspect):
    time.sleep(0.05)
    return fixed_composition()

fake = FakeComposer(slowly)
sys.modules["shotcrop_cli.model.composer"] = SimpleNamespace(load_composer=lambda model, device: fake)
sys.argv = ["shotcrop", "crop", sys.argv[2], "-o", sys.argv[3], "-b", "1"]
from shotcrop_cli.main import main
main()
"""


def _start_slow_run(tmp_path: Path) -> subprocess.Popen[str]:
    for i in range(100):
        write_photo(tmp_path / "photos" / f"{i:02d}.png")
    arguments = [str(Path(__file__).parent), str(tmp_path / "photos"), str(tmp_path / "shots")]
    return subprocess.Popen(
        [sys.executable, "-c", _SLOW_RUN, *arguments], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_a_stopped_run_leaves_only_whole_photos_and_goes_on_later(
    tmp_path: Path, number: signal.Signals, code: ExitCode
) -> None:
    with _start_slow_run(tmp_path) as run:
        while not list((tmp_path / "shots").glob("*.json")):
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(number)
        _, stderr = run.communicate(timeout=30)
    assert run.returncode == code
    names = [name for name in names_in(tmp_path / "shots") if name != ".shotcrop.lock"]
    sidecars = [name for name in names if name.endswith(".json")]
    assert 0 < len(sidecars) < 100
    assert len(names) == 4 * len(sidecars)
    assert f"{len(sidecars)} done, " in stderr
