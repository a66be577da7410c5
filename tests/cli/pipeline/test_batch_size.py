from collections.abc import Callable

import pytest

from conftest import FakeComposer
from shotcrop_cli.model.multi_device import MultiDeviceComposer
from shotcrop_cli.model.session import Device
from shotcrop_cli.model.tensorrt import LARGEST_BATCH
from shotcrop_cli.pipeline.batch_size import BatchSize, choose_batch_size


def settle(batch_size: BatchSize, seconds: Callable[[int], float]) -> list[int]:
    """Return the sizes that are tried until the size is final, each once."""
    tried: list[int] = []
    while not batch_size.is_final:
        tried.append(batch_size.size)
        batch_size.observe(batch_size.size, seconds(batch_size.size))
    return list(dict.fromkeys(tried))


def test_a_given_size_stays() -> None:
    batch_size = BatchSize(8)
    assert batch_size.is_final
    assert not batch_size.is_automatic
    batch_size.observe(8, 1.0)
    assert batch_size.size == 8


def test_a_size_is_doubled_while_that_makes_the_model_faster() -> None:
    batch_size = BatchSize(1, 256)
    # So many photos are done at once in a second: a GPU that is full with 16.
    assert settle(batch_size, lambda size: max(1.0, size / 16)) == [1, 2, 4, 8, 16, 32]
    assert (batch_size.size, batch_size.is_automatic) == (16, True)


def test_a_size_stays_within_its_bound() -> None:
    batch_size = BatchSize(1, 20)
    assert settle(batch_size, lambda _size: 1.0) == [1, 2, 4, 8, 16]
    assert batch_size.size == 16


def test_a_size_that_runs_out_of_memory_is_given_up() -> None:
    batch_size = BatchSize(1, 256)
    # Eight at once do not fit, and are done as twice four after a failure.
    settle(batch_size, lambda size: 1.0 if size < 8 else size / 4 + 0.1)
    assert batch_size.size == 4


def test_the_first_batch_of_a_size_may_take_long() -> None:
    batch_size = BatchSize(1, 8)
    seen: set[int] = set()

    def seconds(size: int) -> float:
        first = size not in seen
        seen.add(size)
        return 60.0 if first else 1.0

    settle(batch_size, seconds)
    assert batch_size.size == 8


def test_a_batch_that_is_not_full_is_ignored() -> None:
    batch_size = BatchSize(4, 8)
    for _ in range(10):
        batch_size.observe(3, 1.0)
    assert (batch_size.size, batch_size.is_final) == (4, False)


def model_on(provider: str, devices: int = 1) -> MultiDeviceComposer:
    composers = [FakeComposer(provider=provider)] * devices
    return MultiDeviceComposer(composers, [Device("cuda", index) for index in range(devices)])


@pytest.mark.parametrize("provider", ["cpu", "CPUExecutionProvider"])
def test_a_cpu_gets_few_photos_at_once(provider: str) -> None:
    batch_size = choose_batch_size(model_on(provider), None)
    assert (batch_size.size, batch_size.is_automatic) == (8, False)


def test_a_run_that_needs_no_model_asks_none() -> None:
    assert choose_batch_size(None, None).size == 8
    assert choose_batch_size(None, 3).size == 3


def test_a_gpu_gets_as_many_as_make_it_faster() -> None:
    batch_size = choose_batch_size(model_on("CUDAExecutionProvider"), None)
    assert (batch_size.size, batch_size.is_automatic) == (1, True)
    settle(batch_size, lambda _size: 1.0)
    assert batch_size.size == LARGEST_BATCH


def test_each_of_several_gpus_gets_the_size_that_is_asked_for() -> None:
    assert choose_batch_size(model_on("CUDAExecutionProvider", 3), 10).size == 30
    assert choose_batch_size(model_on("CUDAExecutionProvider", 3), None).size == 3
