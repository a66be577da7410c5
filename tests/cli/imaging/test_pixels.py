import numpy as np
import pytest
from PIL import Image

from shotcrop_cli.imaging.pixels import memory_bytes

pytestmark = pytest.mark.skipif(not hasattr(Image.core, "get_stats"), reason="this Pillow does not count its memory")


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F"])
def test_memory_bytes_match_pillow(mode: str) -> None:
    width, height = 512, 64 * 1024
    before = _blocks()
    pixels = Image.new(mode, (width, height))
    taken = (_blocks() - before) * Image.core.get_block_size()
    assert memory_bytes(pixels) == pytest.approx(taken, rel=0.3)


def _blocks() -> int:
    counted = Image.core.get_stats()
    return counted["allocated_blocks"] + counted["reused_blocks"] - counted["freed_blocks"]


def test_memory_bytes_of_deep_gray_match_its_array() -> None:
    values = np.zeros((30, 40), np.uint16)
    assert memory_bytes(Image.fromarray(values)) == values.nbytes
