import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import FakeComposer, fixed_composition, write_photo
from gpu_host import Host, RecordedNotices, remembered_batch_sizes
from shotcrop_cli.errors import AnswerError, DeviceError, ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.model.multi_device import MultiDeviceComposer, load_on_devices
from shotcrop_cli.model.session import CUDA, Device
from shotcrop_cli.shots import Answer
from shotcrop_cli.sidecar import read


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shotcrop"


def images(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (2, 2), (index, 0, 0)) for index in range(count)]


def crop(tmp_path: Path, count: int, *flags: str) -> Result:
    for index in range(count):
        write_photo(tmp_path / "photos" / f"{index:03d}.png")
    arguments = ["crop", str(tmp_path / "photos"), "-o", str(tmp_path / "shots"), "--overwrite", *flags]
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_a_single_device_answers_in_the_callers_thread() -> None:
    model = MultiDeviceComposer([composer := FakeComposer()], [Device("auto")])
    assert model.compose(images(3), [1.0] * 3) == [fixed_composition()] * 3
    assert composer.threads == {threading.current_thread().name}
    assert (model.identity, model.thumbnail_size) == (composer.identity, composer.thumbnail_size)


@pytest.mark.parametrize(("photos", "parts"), [(9, [3, 3, 3]), (10, [4, 4, 2]), (2, [1, 1]), (1, [1]), (0, [])])
def test_each_of_several_gpus_gets_an_equal_part_and_answers_come_in_order(photos: int, parts: list[int]) -> None:
    def number(image: Image.Image, _aspect: float) -> Answer:
        return AnswerError(str(image.getpixel((0, 0))[0]))

    composers = [FakeComposer(number) for _ in range(3)]
    model = MultiDeviceComposer(composers, [Device("cuda", index) for index in range(3)])
    answers = model.compose(images(photos), [1.0] * photos)
    assert [str(answer) for answer in answers] == [str(index) for index in range(photos)]
    assert [size for composer in composers for size in composer.batches] == parts


def test_gpus_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def meet(_image: Image.Image, _aspect: float) -> Answer:
        meeting.wait()
        return fixed_composition()

    model = MultiDeviceComposer([FakeComposer(meet), FakeComposer(meet)], [Device("cuda", 0), Device("cuda", 1)])
    assert model.compose(images(2), [1.0] * 2) == [fixed_composition()] * 2


def test_a_gpu_that_fails_fails_the_batch() -> None:
    def fail(_image: Image.Image, _aspect: float) -> Answer:
        raise DeviceError("the GPU fell off the bus")

    model = MultiDeviceComposer([FakeComposer(), FakeComposer(fail)], [Device("cuda", 0), Device("cuda", 1)])
    with pytest.raises(DeviceError, match="fell off the bus"):
        model.compose(images(4), [1.0] * 4)


def test_a_model_is_loaded_on_every_named_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "Gold", "Gold", "Silver")
    model = load_on_devices(SimpleNamespace(sha256="ab" * 32), "cuda:all", ["cuda"])  # type: ignore[arg-type]
    assert list(host.composers) == ["cuda:0", "cuda:1", "cuda:2"]
    assert host.asked == [("cuda",)] * 3
    assert str(model) == f"fake (abababababab) runs on {CUDA} of cuda:0, cuda:1, cuda:2"
    assert [folder.name.rsplit("-", 1)[1] for folder in model.cache_folders] == ["gold", "silver"]


@pytest.mark.parametrize(("provider", "said"), [("tensorrt", 1), ("TensorrtExecutionProvider", 1), ("cuda", 0)])
def test_building_an_engine_is_announced_once(
    monkeypatch: pytest.MonkeyPatch, cache: Path, provider: str, said: int
) -> None:
    Host(monkeypatch, "Gold")
    notices = RecordedNotices()
    bundle = SimpleNamespace(sha256="ab" * 32)
    model = load_on_devices(bundle, "cuda", [provider], notices)  # type: ignore[arg-type]
    assert len(notices.infos) == said
    (folder,) = model.cache_folders
    assert all(f"takes minutes once; they are kept in {folder}" in line for line in notices.infos)
    folder.mkdir(parents=True)
    (folder / "graph_sm90.engine").touch()
    load_on_devices(bundle, "cuda", [provider], notices)  # type: ignore[arg-type]
    assert len(notices.infos) == said


def test_crop_on_several_gpus_gives_the_same_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "Gold", "Gold")
    result = crop(tmp_path, 6, "--device", "cuda:0,cuda:1", "-b", "3")
    assert result.exit_code == ExitCode.OK
    assert "6 done" in result.stderr
    assert [composer.batches for composer in host.composers.values()] == [[3], [3]]
    assert read(tmp_path / "shots" / "000.png.json").model.provider == CUDA
    assert len(list((tmp_path / "shots").glob("*.png"))) == 18


def test_missing_gpus_are_a_device_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Host(monkeypatch)
    result = crop(tmp_path, 1, "--device", "cuda:all")
    assert result.exit_code == ExitCode.DEVICE
    assert "there is no NVIDIA GPU" in result.stderr


def test_crop_continues_with_smaller_batches_when_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(monkeypatch, "Gold", largest=2)
    result = crop(tmp_path, 8, "--device", "cuda", "-b", "8")
    assert result.exit_code == ExitCode.OK
    assert host.composers["cuda:0"].batches == [2, 2, 2, 2]
    assert "it gets at most 2 photos at once from now on" in result.stderr


def test_crop_fails_a_photo_that_does_not_fit_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Host(monkeypatch, "Gold", largest=0)
    result = crop(tmp_path, 2, "--device", "cuda")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "000.png: the model runs out of memory with this photo alone" in result.stderr
    assert "001.png: for the same reason" in result.stderr


def test_the_best_batch_size_of_a_gpu_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    host = Host(monkeypatch, "Gold")
    monkeypatch.setattr("shotcrop_cli.pipeline.batch_size.LARGEST_BATCH", 4)
    crop(tmp_path, 30, "--device", "cuda")
    batches = host.composers["cuda:0"].batches
    assert batches[:3] == [1, 1, 1]
    assert sum(batches) == 30
    (size,) = remembered_batch_sizes(cache)
    crop(tmp_path, 30, "--device", "cuda")
    assert set(host.composers["cuda:0"].batches[:-1]) == {int(size)}


def test_a_given_batch_size_is_not_changed_or_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    host = Host(monkeypatch, "Gold")
    crop(tmp_path, 12, "--device", "cuda", "-b", "5")
    assert host.composers["cuda:0"].batches == [5, 5, 2]
    crop(tmp_path, 3, "--device", "cuda", "--reproducible")
    assert host.composers["cuda:0"].batches == [1] * 12
    assert remembered_batch_sizes(cache) == []


@pytest.mark.parametrize(("provider", "batches"), [(CUDA, [4, 2]), ("CPUExecutionProvider", [1] * 6)])
def test_a_gpu_gets_full_batches_of_large_photos_where_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, composer: FakeComposer, provider: str, batches: list[int]
) -> None:
    composer.provider = provider
    monkeypatch.setattr("shotcrop_cli.pipeline.runner.BYTES_PER_WORKER", 1)
    monkeypatch.setattr("shotcrop_cli.runs.crop_work.usable_memory", lambda: 1 << 40)
    assert crop(tmp_path, 6, "-b", "4").exit_code == ExitCode.OK
    assert composer.batches == batches
