from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer
from gpu_host import Host, remembered_batch_sizes
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.model import session
from shotcrop_cli.model.session import CUDA


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shotcrop"


def warmup(*options: str) -> Result:
    return CliRunner().invoke(cli, ["warmup", *options], catch_exceptions=False)


def test_a_cpu_runs_the_batches_of_crop_and_keeps_nothing(composer: FakeComposer, cache: Path) -> None:
    result = warmup()
    assert result.exit_code == ExitCode.OK
    assert composer.batches == [8, 8, 1, 1]
    assert {image.size for image in composer.seen} == {composer.thumbnail_size}
    first, *rates, last = result.stdout.splitlines()
    assert first.startswith("model fake (abababababab) runs on cpu, loaded in ")
    assert [line.split(":")[0] for line in rates] == ["8 photos at once", "1 photo at once"]
    assert last == f"nothing new in {cache}"
    assert result.stderr == ""


def test_the_batch_size_that_makes_a_gpu_fastest_is_kept(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    Host(monkeypatch, "Gold")
    monkeypatch.setattr("shotcrop_cli.pipeline.batch_size.LARGEST_BATCH", 2)
    result = warmup("--device", "cuda")
    (size,) = remembered_batch_sizes(cache)
    assert f"\n{size} photo" in result.stdout
    (path,) = cache.glob("*/batch-size")
    assert result.stdout.splitlines()[-1] == f"built {path}"


def test_each_of_several_gpus_is_warmed_up(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    host = Host(monkeypatch, "Gold", "Silver")
    assert warmup("--device", "cuda:all", "-b", "4").exit_code == ExitCode.OK
    assert [composer.batches[0] for composer in host.composers.values()] == [4, 4]
    assert remembered_batch_sizes(cache) == []


def test_engines_that_were_built_are_named(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    host = Host(monkeypatch, "Gold")
    kept = session.device_cache_folder("ab" * 32, CUDA, 0)
    kept.mkdir(parents=True)
    (kept / "old.timing").touch()
    host.builds = kept / "vision_sm90.engine"
    result = warmup("--device", "cuda", "--providers", "tensorrt", "-b", "1")
    assert "building TensorRT engines, this takes minutes once" in result.stderr
    assert [line for line in result.stdout.splitlines() if line.startswith("built")] == [f"built {host.builds}"]


def test_a_device_that_cannot_be_had_is_an_error_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    Host(monkeypatch)
    result = warmup("--device", "cuda:all")
    assert (result.exit_code, result.stdout) == (ExitCode.DEVICE, "")


def test_a_model_that_does_not_fit_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    Host(monkeypatch, "Gold", largest=0)
    result = warmup("--device", "cuda", "-b", "1")
    assert "warning: no answer to a portrait: the model runs out of memory" in result.stderr
