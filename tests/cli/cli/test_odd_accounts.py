"""Accounts without a home folder or passwd entry, and folders that they may not enter, as services have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import write_photo
from shotcrop_cli.cli import config
from shotcrop_cli.errors import NO_CURRENT_FOLDER, ExitCode, ModelError
from shotcrop_cli.library.discover import discover
from shotcrop_cli.library.selection import Selection
from shotcrop_cli.main import cli
from shotcrop_cli.model.cache import NO_FOLDER, cache_folder, cache_root, recall_batch_size, remember_batch_size
from shotcrop_cli.model.resolve import resolve_model

_ROOT = Path(__file__).parents[3]
_TESTS = _ROOT / "tests"
_NOBODY = 12345
"""Number of an account without passwd entry."""
_CROP = f"""
import os
import sys
from types import SimpleNamespace
sys.path[:0] = [{str(_ROOT / "src")!r}, {str(_TESTS)!r}]
from conftest import FakeComposer
fake = FakeComposer()
sys.modules["shotcrop_cli.model.load"] = SimpleNamespace(
    find_model=lambda _model, *, offline: fake, load_composer=lambda _bundle, _device, **_options: fake
)
# here
from shotcrop_cli.main import main
sys.argv[0] = "shotcrop"
main()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that every account may enter and write to, with the photo `in/a.jpg`."""
    folder = Path(tempfile.mkdtemp(prefix="shotcrop-test-"))
    folder.chmod(0o777)
    write_photo(folder / "in" / "a.jpg")
    yield folder
    shutil.rmtree(folder)


def _shotcrop(
    *arguments: object, cwd: Path, home: Path | None = None, strange: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run shotcrop in a folder without any environment but HOME, on request as an account that nobody knows."""
    command = [sys.executable, "-c", _CROP, *map(str, arguments)]
    if strange:
        command = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *command]
    environment = {"PATH": os.environ["PATH"], **({} if home is None else {"HOME": str(home)})}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None or not os.access(_ROOT, os.X_OK),
    reason="needs root and setpriv to become another account",
)


@needs_root
@pytest.mark.parametrize("home", [None, "locked/me"])
def test_an_account_without_home_or_passwd_entry_crops(place: Path, home: str | None) -> None:
    (place / "locked").mkdir(mode=0o000)
    done = _shotcrop(
        "crop", place / "in", "-o", place / "out", "-v", cwd=place, home=home and place / home, strange=True
    )
    assert (done.returncode, "1 done" in done.stderr) == (0, True), done.stderr
    said = "no home folder" if home is None else "config.toml: cannot read the configuration: Permission denied"
    assert said in done.stderr.splitlines()[0]
    quiet = _shotcrop("crop", place / "in", "-o", place / "out", cwd=place, home=home and place / home, strange=True)
    assert said not in quiet.stderr


@needs_root
def test_a_current_folder_that_may_not_be_entered_does_not_matter(place: Path) -> None:
    (place / "mine").mkdir(mode=0o700)
    (place / "mine" / "shotcrop.toml").write_text("[crop]\nquality = 'no number'\n")
    # The shell enters the folder as root, and shotcrop starts there as another account.
    done = _shotcrop("crop", place / "in", "-o", place / "out", "-v", cwd=place / "mine", strange=True)
    assert (done.returncode, "1 done" in done.stderr) == (0, True), done.stderr
    assert "shotcrop.toml: cannot read the configuration: Permission denied; shotcrop runs without it" in done.stderr


def _without_folder(place: Path, *arguments: str, names: str = "") -> subprocess.CompletedProcess[str]:
    """Run shotcrop in a folder that is deleted as it starts."""
    (place / "gone").mkdir()
    command = [sys.executable, "-c", _CROP.replace("# here", "os.rmdir(os.getcwd())"), *arguments]
    return subprocess.run(command, cwd=place / "gone", input=names, capture_output=True, text=True, timeout=60)


def test_a_deleted_current_folder_matters_only_to_relative_paths(place: Path) -> None:
    done = _without_folder(place, "crop", str(place / "in"), "-o", str(place / "out"))
    assert (done.returncode, "1 done" in done.stderr) == (0, True), done.stderr
    for arguments in (["crop", "in", "-o", str(place / "out")], ["crop", "in", "-v", "-o", "out"]):
        done = _without_folder(place, *arguments)
        assert done.returncode == ExitCode.USAGE
        assert done.stderr.startswith(f"error: in: {NO_CURRENT_FOLDER}. Fix: ")
        assert done.stderr.count("\n") == 1
    names = f"{place}/in/a.jpg\nb.jpg\n"
    done = _without_folder(place, "crop", "--files-from", "-", "-o", str(place / "other"), names=names)
    assert done.returncode == ExitCode.SOME_FAILED
    assert "1 done" in done.stderr
    assert f"failed: b.jpg: {NO_CURRENT_FOLDER}" in done.stderr


def test_doctor_runs_in_a_deleted_folder(place: Path) -> None:
    done = _without_folder(place, "doctor", "-o", "out")
    _, found, fix = done.stdout.partition(f"problem  output            {NO_CURRENT_FOLDER}\n")
    assert found
    assert fix.lstrip().startswith("Fix: change to a folder that exists\n")


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_names: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_config_path", fail)
    monkeypatch.setattr("platformdirs.user_cache_path", fail)


@pytest.mark.usefixtures("no_home", "composer")
def test_without_a_home_folder_there_is_no_configuration(place: Path) -> None:
    assert config.user_file() is None
    result = CliRunner().invoke(cli, ["crop", str(place / "in"), "-o", str(place / "out"), "-v"])
    assert result.exit_code == ExitCode.OK
    assert result.stderr.startswith("this account has no home folder, so there is no configuration of its own\n")


@pytest.mark.usefixtures("no_home")
def test_without_a_home_folder_nothing_is_kept() -> None:
    assert cache_root() == NO_FOLDER
    folder = cache_folder("ab" * 32, "1.30.0", "H100")
    remember_batch_size(folder, 8)
    assert recall_batch_size(folder) is None
    assert not folder.exists()


def test_a_home_that_stays_a_tilde_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda _name: Path("~/.config/shotcrop"))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: Path("~/.cache/shotcrop"))
    assert (config.user_file(), cache_root()) == (None, NO_FOLDER)


def test_a_model_of_a_hub_needs_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")
    with pytest.raises(ModelError, match="no home folder") as caught:
        resolve_model("org/model", offline=True)
    assert "HF_HOME" in caught.value.hint


def test_the_api_says_that_the_current_folder_is_gone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "gone").mkdir()
    monkeypatch.chdir(place / "gone")
    (place / "gone").rmdir()
    with pytest.raises(Exception, match=NO_CURRENT_FOLDER):
        discover(Selection((Path("in"),)), place / "out")
