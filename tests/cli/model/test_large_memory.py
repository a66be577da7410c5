from dataclasses import replace
from pathlib import Path

import pytest

from gpu_host import RecordedNotices
from large_manifests import MANIFEST
from shotcrop_cli.errors import ModelError
from shotcrop_cli.model.bundle import WEIGHTS, Bundle
from shotcrop_cli.model.large import composer, memory
from shotcrop_cli.model.large.manifest import Precision
from shotcrop_cli.model.large.memory import MemoryCheck, check_memory, estimate, free_memory
from shotcrop_cli.model.load import load_composer
from shotcrop_cli.model.session import Device
from shotcrop_cli.model.tensorrt import LARGEST_BATCH
from shotcrop_cli.resources import physical_memory


def test_the_estimate_covers_the_cache_of_a_photo() -> None:
    needed = estimate(MANIFEST, 8_000_000_000, on_gpu=True)
    cache = 2 * 36 * 8 * 128 * 2 * (400 + 1024 + 512)  # keys and values of every layer, head and token, two bytes each
    assert cache < needed.photo < 3 * cache
    assert needed.weights == 8_000_000_000
    # From a few photos on the vision tower sees them in groups, whatever the batch.
    assert needed.total(200) - needed.total(199) == needed.photo
    assert needed.total(2) - needed.total(1) == needed.photo + 2 * needed.scores


def test_half_precision_weights_double_on_a_cpu() -> None:
    assert estimate(MANIFEST, 1000, on_gpu=False).weights == 2000
    assert estimate(replace(MANIFEST, precision=Precision.FP32), 1000, on_gpu=False).weights == 1000


def test_the_largest_batch_fits_and_is_at_least_one() -> None:
    needed = estimate(MANIFEST, 8_000_000_000, on_gpu=True)
    assert needed.max_batch(needed.total(5)) == 5
    assert needed.max_batch(needed.total(6) - 1) == 5
    assert needed.max_batch(0) == 1


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> MemoryCheck:
    for name in WEIGHTS:
        (tmp_path / name).write_bytes(bytes(100))
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    return check_memory(Bundle(tmp_path, MANIFEST, {}), MANIFEST, Device("cpu"))


def test_the_check_names_needed_and_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = estimate(MANIFEST, 300, on_gpu=False)
    found = check(tmp_path, monkeypatch, needed.total(3))
    assert (found.batch_size, found.fits) == (3, True)
    assert found.text.startswith("model qwen3-vl-4b takes about ")
    assert found.text.endswith(f"{needed.total(3) / 1e9:.1f} GB are free, enough for 3 at once")


def test_a_model_that_does_not_fit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(tmp_path, monkeypatch, 1_000_000)
    assert (found.batch_size, found.fits) == (1, False)
    assert "only 1 MB are free" in found.text


def test_unknown_free_memory_allows_the_largest_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_gpu_memory", lambda _index: None)
    for name in WEIGHTS:
        (tmp_path / name).write_bytes(bytes(100))
    found = check_memory(Bundle(tmp_path, MANIFEST, {}), MANIFEST, Device("cuda"))
    assert (found.batch_size, found.fits) == (LARGEST_BATCH, True)
    assert found.text.endswith("; how much is free is not known")


@pytest.mark.parametrize("fits", [True, False])
def test_the_user_is_told_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    notices = RecordedNotices()
    monkeypatch.setattr(composer, "check_memory", lambda *_: MemoryCheck(1, fits, "it takes 9 GB"))

    def load(*_args: object) -> None:
        assert (notices.infos, notices.warnings) == ((["it takes 9 GB"], []) if fits else ([], ["it takes 9 GB"]))
        raise ModelError("loaded")

    monkeypatch.setattr(composer, "LargeNetwork", load)
    with pytest.raises(ModelError, match="loaded"):
        load_composer(Bundle(tmp_path, MANIFEST, {}), "cpu", notices=notices)


def test_free_memory_is_below_physical_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < free_memory() < physical_memory()
    monkeypatch.setattr(memory, "memory_limit", lambda: 1)
    assert free_memory() == 0
