from pathlib import Path

import pytest

from shotcrop_cli.checkup import machine
from shotcrop_cli.checkup.finding import Scope
from shotcrop_cli.model.cache import cache_folder, cache_root, recall_batch_size, remember_batch_size


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shotcrop"


def test_the_cache_is_in_the_users_cache_folder(cache: Path) -> None:
    assert cache_root() == cache
    assert cache_folder("0123456789abcdef" * 4, "1.30.0", "NVIDIA H100 80GB HBM3") == (
        cache / "0123456789abcdef-onnxruntime-1.30.0-nvidia-h100-80gb-hbm3"
    )


def test_a_device_name_cannot_leave_the_cache_folder(cache: Path) -> None:
    assert cache_folder("ab" * 32, "1.30.0", "../../.evil/").parent == cache


@pytest.mark.parametrize(
    "other", [("cd" * 32, "1.30.0", "Gold"), ("ab" * 32, "1.31.0", "Gold"), ("ab" * 32, "1.30.0", "Silver")]
)
def test_another_model_runtime_or_device_has_another_folder(other: tuple[str, str, str]) -> None:
    assert cache_folder(*other) != cache_folder("ab" * 32, "1.30.0", "Gold")


def test_a_batch_size_is_remembered(cache: Path) -> None:
    folder = cache / "one"
    assert recall_batch_size(folder) is None
    for size in (32, 64):
        remember_batch_size(folder, size)
        assert recall_batch_size(folder) == size
    assert [path.name for path in folder.iterdir()] == ["batch-size"]


@pytest.mark.parametrize("content", [b"", b"0", b"-8", b"many", b"8 16", b"99999999", b"\xff\xfe"])
def test_a_damaged_batch_size_is_ignored(cache: Path, content: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / "batch-size").write_bytes(content)
    assert recall_batch_size(cache) is None


def test_an_unwritable_cache_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remember_batch_size(tmp_path / "file" / "folder", 8)
    assert recall_batch_size(tmp_path / "file" / "folder") is None


def test_doctor_names_the_cache_folder(cache: Path) -> None:
    assert [finding.found for finding in machine.device_cache(Scope())] == [f"{cache} (does not exist yet)"]
    remember_batch_size(cache, 8)
    assert [finding.found for finding in machine.device_cache(Scope())] == [str(cache)]
