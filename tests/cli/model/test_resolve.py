from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from shotcrop_cli.errors import ExitCode, ModelError
from shotcrop_cli.model.bundle import HASHED_FILES
from shotcrop_cli.model.load import find_model
from shotcrop_cli.model.resolve import embedded_models, resolve_model


class Hub:
    """Returns or raises what it is given, and keeps the arguments of each call."""

    def __init__(self, answer: Path | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, object]]] = []

    def snapshot_download(self, repo: str, **options: object) -> str:
        self.asked.append((repo, options))
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


def use(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception, *, offline: bool = False) -> Hub:
    hub = Hub(answer)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    return hub


def nano() -> Path:
    return embedded_models()["shotcrop-nano"]


def test_the_default_model_is_embedded() -> None:
    assert resolve_model(None) == resolve_model("shotcrop-nano") == nano()


def test_a_folder_is_a_model() -> None:
    assert resolve_model(str(nano())) == nano()


def test_an_unknown_model_lists_the_embedded_ones() -> None:
    with pytest.raises(ModelError, match="embedded model: shotcrop-nano") as caught:
        resolve_model("portraits")
    assert caught.value.exit_code == ExitCode.MODEL
    assert "did you mean" not in caught.value.message


def test_a_mistyped_name_is_guessed() -> None:
    with pytest.raises(ModelError, match="did you mean 'shotcrop-nano'"):
        resolve_model("shotcrop-nono")


def test_only_model_files_are_downloaded_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = use(monkeypatch, nano())
    assert find_model("ana/portraits").sha256 == find_model().sha256
    ((repo, options),) = hub.asked
    assert (repo, options["revision"], options["local_files_only"]) == ("ana/portraits", None, False)
    assert options["allow_patterns"] == [*HASHED_FILES, "shotcrop_export.json"]


def test_a_revision_follows_the_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = use(monkeypatch, nano())
    resolve_model("ana/portraits@refs/pr/2")
    assert hub.asked[0][0] == "ana/portraits"
    assert hub.asked[0][1]["revision"] == "refs/pr/2"


@pytest.mark.parametrize(("flag", "variable"), [(True, False), (False, True)])
def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch, flag: bool, variable: bool) -> None:
    hub = use(monkeypatch, nano(), offline=variable)
    resolve_model("ana/portraits", offline=flag)
    assert hub.asked[0][1]["local_files_only"] is True


def test_a_folder_wins_over_a_hub_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = use(monkeypatch, nano())
    (tmp_path / "ana" / "portraits").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("ana/portraits") == Path("ana/portraits")
    assert hub.asked == []


@pytest.mark.parametrize("path", ["./portraits", "../portraits", "/models/portraits", "~/portraits", "a/b/c"])
def test_a_path_that_is_missing_is_no_hub_id(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    hub = use(monkeypatch, nano())
    with pytest.raises(ModelError, match="no model"):
        resolve_model(path)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "variable", "command"),
    [
        ("ana/portraits", False, "hf download ana/portraits"),
        ("ana/portraits@v2", True, "HF_HUB_OFFLINE=0 hf download ana/portraits --revision v2"),
    ],
)
def test_offline_a_model_that_was_never_downloaded_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, variable: bool, command: str
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", variable)
    with pytest.raises(ModelError, match=f"{name} is neither a folder nor a model that was downloaded") as caught:
        resolve_model(name, offline=not variable)
    assert caught.value.hint == f"download it: {command}"


def test_an_unreachable_hub_gives_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, LocalEntryNotFoundError("Got: ConnectError:\nno route"))
    with pytest.raises(ModelError, match="the hub cannot be reached") as caught:
        resolve_model("ana/portraits")
    assert "give a model folder" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_failing_hub_gives_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ConnectionError("the line broke\nin the middle"))
    with pytest.raises(
        ModelError, match=r"model ana/portraits cannot be downloaded: the line broke\. Fix: .*--offline"
    ):
        resolve_model("ana/portraits")


def test_a_hub_error_without_text_is_named_by_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, TimeoutError())
    with pytest.raises(ModelError, match="cannot be downloaded: TimeoutError"):
        resolve_model("ana/portraits")


def test_a_repository_without_a_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, tmp_path)
    with pytest.raises(ModelError, match=r"ana/chat is not a ShotCrop model: it has no model\.json"):
        resolve_model("ana/chat")


def test_finding_a_model_loads_none() -> None:
    code = (
        "import sys; from shotcrop_cli.model.load import find_model; find_model();"
        "print([name for name in ('onnxruntime', 'tokenizers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
