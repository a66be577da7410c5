from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import FakeComposer, fixed_composition
from gpu_host import RecordedNotices
from shotcrop_cli.errors import AnswerError, DeviceError
from shotcrop_cli.model.multi_device import MultiDeviceComposer
from shotcrop_cli.model.session import Device, MemoryShortage
from shotcrop_cli.model.tensorrt import LARGEST_BATCH
from shotcrop_cli.shots import Answer


@dataclass
class Cramped(FakeComposer):
    """Has memory for `memory` units; the aspect of a photo is the number of units that it takes."""

    memory: float = 4.0
    error: Exception = field(default_factory=lambda: MemoryShortage("out of memory"))
    tried: list[int] = field(default_factory=list)

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        self.tried.append(len(thumbnails))
        if sum(aspects) > self.memory:
            raise self.error
        return super().compose(thumbnails, aspects)


def images(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (2, 2), (index % 256, 0, 0)) for index in range(count)]


def on_one_device(composer: FakeComposer) -> tuple[MultiDeviceComposer, list[str]]:
    notices = RecordedNotices()
    return MultiDeviceComposer([composer], [Device("cuda")], notices), notices.infos


def test_batches_that_fit_are_not_split() -> None:
    model, infos = on_one_device(composer := Cramped())
    assert len(model.compose(images(4), [1.0] * 4)) == 4
    assert (composer.tried, infos) == ([4], [])
    assert model.compose([], []) == []


@pytest.mark.parametrize("error", [MemoryShortage("out of memory"), MemoryError()])
def test_a_batch_that_does_not_fit_is_halved_and_so_are_later_ones(error: Exception) -> None:
    model, infos = on_one_device(composer := Cramped(error=error))
    assert model.compose(images(16), [1.0] * 16) == [fixed_composition()] * 16
    assert composer.tried == [16, 8, 4, 4, 4, 4]
    assert infos == ["the model ran out of memory: it gets at most 4 photos at once from now on"]
    model.compose(images(8), [1.0] * 8)
    assert composer.tried[6:] == [4, 4]
    assert len(infos) == 1


def test_photos_are_answered_once_and_in_order() -> None:
    model, _ = on_one_device(composer := Cramped(memory=3.0))
    model.compose(images(10), [1.0] * 10)
    assert [image.getpixel((0, 0))[0] for image in composer.seen] == list(range(10))


def test_only_a_photo_that_does_not_fit_alone_fails() -> None:
    model, infos = on_one_device(composer := Cramped())
    answers = model.compose(images(4), [1.0, 9.0, 1.0, 1.0])
    assert [isinstance(answer, AnswerError) for answer in answers] == [False, True, False, False]
    assert "out of memory with this photo alone" in str(answers[1])
    composer.tried.clear()
    model.compose(images(4), [1.0] * 4)  # the others come together as before: that photo was to blame
    assert (composer.tried, infos) == ([4], [])


def test_other_device_failures_are_raised() -> None:
    model, _ = on_one_device(Cramped(error=DeviceError("the GPU fell off the bus")))
    with pytest.raises(DeviceError, match="fell off the bus"):
        model.compose(images(8), [1.0] * 8)


def test_no_batch_is_larger_than_the_engine_limit() -> None:
    model, infos = on_one_device(composer := FakeComposer())
    model.compose(images(LARGEST_BATCH + 1), [1.0] * (LARGEST_BATCH + 1))
    assert (composer.batches, infos) == ([LARGEST_BATCH, 1], [])


@given(st.lists(st.floats(0.1, 6.0), max_size=40), st.floats(1.0, 12.0))
def test_every_photo_that_fits_alone_is_answered(sizes: list[float], memory: float) -> None:
    model, _ = on_one_device(Cramped(memory=memory))
    answers = model.compose(images(len(sizes)), sizes)
    assert [isinstance(answer, AnswerError) for answer in answers] == [size > memory for size in sizes]


def test_identity_and_thumbnail_size_are_those_of_the_model() -> None:
    model, _ = on_one_device(composer := FakeComposer(thumbnail_size=(7, 5)))
    assert (model.identity, model.thumbnail_size) == (composer.identity, (7, 5))
