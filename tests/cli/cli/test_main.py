import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from conftest import names_in, write_photo
from shotcrop_cli import __version__, main
from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.options import verbosity_options
from shotcrop_cli.errors import DeviceError, ExitCode, ModelError
from shotcrop_cli.main import COMMANDS, cli

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


@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_help_imports_no_command_and_nothing_heavy(option: str) -> None:
    loaded = _loaded_by(option)
    assert "shotcrop_cli.main" in loaded
    assert [name for name in loaded if name.startswith("shotcrop_cli.commands")] == []
    assert [name for name in loaded if name in _HEAVY] == []


def test_crop_help_imports_no_model() -> None:
    loaded = _loaded_by("crop", "--help")
    assert "shotcrop_cli.commands.crop" in loaded
    assert [name for name in loaded if name in ("torch", "transformers", "onnxruntime")] == []


def test_finding_the_model_imports_no_numpy() -> None:
    script = "import sys; from shotcrop_cli.model.load import find_model; find_model(); print('numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"


def test_help_lists_every_command() -> None:
    lines = CliRunner().invoke(cli, ["--help"], terminal_width=200).output.splitlines()
    for name, lazy in COMMANDS.items():
        line = next(i for i, line in enumerate(lines) if line.split()[:1] == [name] and line.endswith(lazy.short_help))
        titles = [text for text in lines[:line] if text.endswith(":")]
        assert titles[-1] == f"{lazy.section}:"


def test_version_is_the_packages() -> None:
    assert __version__ in CliRunner().invoke(cli, ["--version"]).output


def test_the_package_runs_as_a_module_as_launchers_start_it() -> None:
    command = [sys.executable, "-m", "shotcrop_cli", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == f"shotcrop, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message", "page"),
    [
        (["crpo"], "there is no command 'crpo'; did you mean 'crop'?", "shotcrop"),
        (["--foo"], "No such option '--foo'", "shotcrop"),
        (["sheet"], "Missing argument 'SHOTS_DIR'.", "shotcrop sheet"),
        (["crop", "a.jpg", "-o", "b", "--qualty", "9"], "No such option '--qualty'", "shotcrop crop"),
    ],
)
def test_a_usage_error_is_one_line_that_names_the_help_page(arguments: list[str], message: str, page: str) -> None:
    result = CliRunner().invoke(cli, arguments, prog_name="shotcrop")
    assert result.exit_code == ExitCode.USAGE
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert line.endswith(f" Fix: see {page} --help")


def test_without_a_command_the_help_page_is_printed() -> None:
    assert "Everyday commands:" in CliRunner().invoke(cli, []).output


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
            "error: m: no model. Fix: name a folder",
        ),
        (DeviceError("cuda: none"), ExitCode.DEVICE, "error: cuda: none"),
        (
            KeyboardInterrupt(),
            ExitCode.INTERRUPTED,
            "error: interrupted; to continue, run the same command again",
        ),
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
    assert line.startswith("error: unexpected KeyError: 'surprise'. Fix: report it with the traceback in ")
    kept = Path(line.partition("traceback in ")[2])
    assert "raise errors[0]" in kept.read_text(encoding="utf-8")
    kept.unlink()


def test_an_error_that_ends_the_run_is_in_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> None:
        with Console(log_file=tmp_path / "log", log_format="json") as console:
            console.info("at work")
            raise DeviceError("cuda: none")

    monkeypatch.setattr(main.ShotcropGroup, "get_command", lambda _self, _ctx, _name: command)
    result = CliRunner().invoke(cli, ["sheet"])
    assert result.exit_code == ExitCode.DEVICE
    assert result.stderr.splitlines() == ["at work", "error: cuda: none"]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [("info", "at work"), ("error", "cuda: none")]


def test_an_error_of_the_user_has_no_traceback(failing: list[BaseException]) -> None:
    failing.append(ModelError("m: no model", hint="name a folder"))
    result = CliRunner().invoke(cli, ["sheet", "--verbose"])
    assert result.exit_code == ExitCode.MODEL
    assert result.stderr.splitlines() == ["error: m: no model. Fix: name a folder"]


def test_a_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = [
        "crop",
        str(tmp_path),
        "-o",
        str(tmp_path / "shots"),
        "-v",
        "--log-file",
        str(tmp_path / "file" / "log"),
    ]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == ExitCode.OUTPUT
    (line,) = result.stderr.splitlines()
    assert "the log cannot be written" in line


def test_verbose_shows_the_traceback_of_a_bug(failing: list[BaseException]) -> None:
    failing.append(KeyError("surprise"))
    result = CliRunner().invoke(cli, ["sheet", "-v"])
    assert "raise errors[0]" in result.stderr
    Path(result.stderr.partition("traceback in ")[2].splitlines()[0]).unlink()


def _start(script: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, **options)


def _run_main(body: str, *, redirect: str = "") -> subprocess.CompletedProcess[str]:
    """Run `shotcrop sheet` as a process of its own, its body replaced, its descriptors redirected as in a shell."""
    arguments = [sys.executable, "-c", _main_script(body)]
    command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def _main_script(body: str) -> str:
    return (
        "import os, subprocess, sys, time\n"
        "import click\n"
        "from shotcrop_cli import main\n"
        "from shotcrop_cli.cli.console import Console\n"
        "from shotcrop_cli.cli.streams import result\n"
        "@click.command()\n"
        "def command():\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\n"
        "main._load = lambda _name: command\n"
        "sys.argv = ['shotcrop', 'sheet']\n"
        "main.main()\n"
    )


_NOISY = """
    os.write(1, b"from C\\n")
    subprocess.run(["echo", "from a child"])
    result("a result")
"""


def test_libraries_and_child_processes_that_print_cannot_spoil_the_results() -> None:
    done = _run_main(_NOISY)
    assert done.stdout == "a result\n"
    assert done.stderr == "from C\nfrom a child\n"


def test_results_come_through_when_stderr_is_closed() -> None:
    done = _run_main(_NOISY + "    Console().warn('odd')", redirect="2>&-")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "a result\n")


@pytest.mark.parametrize("redirect", [">/dev/full", ">&-"])
def test_results_that_cannot_be_written_end_the_run_with_one_line(redirect: str) -> None:
    done = _run_main("result('a result')\nresult('another')", redirect=redirect)
    assert done.returncode == ExitCode.OUTPUT
    assert done.stderr.startswith("error: stdout: results cannot be written: ")
    assert done.stderr.count("\n") == 1


def test_output_of_others_that_cannot_be_written_is_found_at_the_end() -> None:
    done = _run_main("sys.stdout.write('a text')", redirect=">/dev/full")
    assert done.returncode == ExitCode.OUTPUT
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_a_run_whose_messages_cannot_be_written_goes_on() -> None:
    done = _run_main("Console().warn('odd')\nresult('a result')", redirect="2>/dev/full")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "a result\n")


@pytest.mark.parametrize("body", ["result('a result')", "sys.stdout.write('a text'); sys.stdout.flush()"])
def test_a_reader_that_has_gone_ends_the_run_quietly(body: str) -> None:
    with _start(_main_script(f"while True:\n    {body}"), stdout=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.read(1)
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == ExitCode.BROKEN_PIPE


def test_a_reader_of_messages_that_has_gone_ends_no_run(tmp_path: Path) -> None:
    body = f"""
        for _ in range(1000):
            Console().info("a line")
            print("from a library", file=sys.stderr)
        open({str(tmp_path / "end")!r}, "w").close()
    """
    done = _run_main(body, redirect="2>&1 | head -n 1")
    assert (done.stdout, done.stderr) == ("a line\n", "")
    assert (tmp_path / "end").exists()


def test_a_reader_of_messages_and_results_that_has_gone_ends_the_run() -> None:
    done = _run_main("while True:\n    result('a result')", redirect="2>&1 | head -n 1")
    assert (done.stdout, done.stderr) == ("a result\n", "")


def test_a_progress_bar_on_a_terminal_that_is_gone_ends_no_run(tmp_path: Path) -> None:
    body = f"""
        import os, pty
        terminal, window = pty.openpty()
        os.dup2(window, 2)
        with Console().progress(3) as progress:
            os.close(terminal)  # the window is closed; writing now gives EIO
            os.close(window)
            for _ in range(3):
                time.sleep(0.2)
                progress.advance()
                Console().warn("odd")
        open({str(tmp_path / "end")!r}, "w").close()
    """
    assert _run_main(body).returncode == ExitCode.OK
    assert (tmp_path / "end").exists()


def test_a_run_whose_messages_nobody_reads_any_more_crops_all_photos(tmp_path: Path) -> None:
    with _start_slow_run(tmp_path, "-v") as run:
        assert run.stderr is not None
        run.stderr.readline()
        run.stderr.close()
        assert run.wait(timeout=60) == ExitCode.OK
    assert _whole_photos(tmp_path / "shots") == 100


def test_a_second_ctrl_c_ends_at_once() -> None:
    script = _main_script("""
        try:
            os.write(2, b"r"); time.sleep(60)
        finally:
            os.write(2, b"f"); time.sleep(60)
    """)
    with _start(script) as run:
        assert run.stderr is not None
        for state in "rf":
            assert run.stderr.read(1) == state
            run.send_signal(signal.SIGINT)
        assert run.wait(timeout=10) == -signal.SIGINT  # which a shell shows as 130


def test_ctrl_c_is_not_for_jobs_in_the_background() -> None:
    done = _run_main("import signal; os.kill(os.getpid(), signal.SIGINT); result('a result')", redirect="&\nwait $!")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "a result\n")


_SLOW_RUN = """
import sys, time
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from conftest import FakeComposer, fixed_composition

def slowly(_image, _aspect):
    time.sleep(0.05)
    return fixed_composition()

fake = FakeComposer(slowly)
sys.modules["shotcrop_cli.model.load"] = SimpleNamespace(
    find_model=lambda _model, *, offline: fake, load_composer=lambda _bundle, _device, **_options: fake
)
sys.argv = ["shotcrop", "crop", sys.argv[2], "-o", sys.argv[3], "-b", "1", *sys.argv[4:]]
from shotcrop_cli.main import main
main()
"""


def _start_slow_run(tmp_path: Path, *extra: str, **options: Any) -> subprocess.Popen[str]:
    for i in range(100):
        write_photo(tmp_path / "photos" / f"{i:02d}.png")
    arguments = [str(Path(__file__).parents[2]), str(tmp_path / "photos"), str(tmp_path / "shots"), *extra]
    return subprocess.Popen([sys.executable, "-c", _SLOW_RUN, *arguments], stderr=subprocess.PIPE, text=True, **options)


def _whole_photos(output: Path) -> int:
    """Return how many photos are done, having checked that each has its three crops and that nothing else is there."""
    names = [name for name in names_in(output) if not Path(name).name.startswith(".shotcrop")]
    sidecars = [name for name in names if name.endswith(".json")]
    assert len(names) == 4 * len(sidecars)
    return len(sidecars)


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
    done = _whole_photos(tmp_path / "shots")
    assert 0 < done < 100
    assert f"{done} done, " in stderr


def test_a_run_whose_reader_has_gone_leaves_only_whole_photos(tmp_path: Path) -> None:
    with _start_slow_run(tmp_path, "--json", stdout=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stderr is not None
        assert json.loads(run.stdout.readline())["status"] == "done"
        run.stdout.close()
        stderr = run.stderr.read()
    assert run.returncode == ExitCode.BROKEN_PIPE
    assert 0 < _whole_photos(tmp_path / "shots") < 100
    assert "Traceback" not in stderr and "Exception ignored" not in stderr


def test_a_run_whose_results_cannot_be_written_leaves_only_whole_photos(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, _start_slow_run(tmp_path, "--json", stdout=full) as run:
        _, stderr = run.communicate(timeout=30)
    assert run.returncode == ExitCode.OUTPUT
    assert "error: stdout: results cannot be written: No space left on device" in stderr
    assert _whole_photos(tmp_path / "shots") < 100
