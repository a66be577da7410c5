from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.quality.styles import HEADROOM, LARGEST_HEAD, TIGHTER, Trial, centred, roomy, row, tighter
from shotcrop_cli.learning.fitting import Gain

TRIPLE = np.array([[0.0, 0.0, 1.5, 1.0], [0.3, 0.1, 1.1, 0.9], [0.5, 0.15, 0.9, 0.55]])
HEAD, WIDTH = np.array([0.65, 0.2, 0.8, 0.35]), 1.5


def test_the_simulated_person_crops_close_ups_tighter_around_the_head() -> None:
    triple = tighter(TRIPLE.copy(), HEAD, WIDTH)
    assert_array_equal(triple[:2], TRIPLE[:2])
    assert triple[2, 3] - triple[2, 1] == pytest.approx(TIGHTER * 0.4)
    assert (triple[2, :2] < HEAD[:2]).all()
    assert (triple[2, 2:] > HEAD[2:]).all()
    large = np.array([0.55, 0.17, 0.85, 0.47])
    close = tighter(TRIPLE.copy(), large, WIDTH)[2]
    assert large[3] - large[1] == pytest.approx(LARGEST_HEAD * (close[3] - close[1]))


def test_the_simulated_person_centres_the_head() -> None:
    triple = centred(TRIPLE.copy(), HEAD, WIDTH)
    assert_allclose((triple[1:, 0] + triple[1:, 2]) / 2, 0.725)
    assert_array_equal(triple[:, 1::2], TRIPLE[:, 1::2])
    at_the_edge = centred(TRIPLE.copy(), np.array([0.05, 0.2, 0.2, 0.35]), WIDTH)
    assert at_the_edge[1, 0] >= 0
    assert at_the_edge[1, 2] - at_the_edge[1, 0] < 0.8


def test_the_simulated_person_gives_headroom_as_far_as_the_photo_reaches() -> None:
    head = np.array([0.65, 0.5, 0.8, 0.6])
    triple = roomy(np.array([TRIPLE[0], [0.3, 0.45, 1.1, 0.95], [0.5, 0.48, 0.9, 0.8]]), head, WIDTH)
    for shot, room in HEADROOM.items():
        assert (head[1] - triple[shot, 1]) / (triple[shot, 3] - triple[shot, 1]) == pytest.approx(room)
    assert roomy(TRIPLE.copy(), np.array([0.65, 0.05, 0.8, 0.2]), WIDTH)[1:, 1].min() == 0


def test_a_row_has_means_over_the_trials() -> None:
    def gain(difference: float) -> Gain:
        before = np.full((6, 3), 0.6)
        return Gain(before, before + difference)

    cells = row("a style", 20, [Trial(gain(0.1), gain(0.2)), Trial(gain(0.0), gain(0.0))])
    assert cells[:4] == ("a style", "20", "0.600 -> 0.700", "+0.100 to +0.100")
    assert cells[7:] == ("3 / 0", "0.600 -> 0.650", "1 of 2")
