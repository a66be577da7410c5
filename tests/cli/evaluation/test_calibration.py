from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import FIXED_BOXES, fixed_composition
from shotcrop_cli.errors import AnswerError
from shotcrop_cli.evaluation.calibration import (
    Bin,
    Doubtful,
    JudgedShot,
    by_score,
    calibration_error,
    doubtful,
    judged_shots,
)
from shotcrop_cli.shots import FULL_FRAME, SHOT_TYPES, NoSubject, ShotType

CLOSE_UP = ShotType.CLOSE_UP


def shots(*scores_and_ious: tuple[float, float]) -> list[JudgedShot]:
    return [JudgedShot(CLOSE_UP, score, iou) for score, iou in scores_and_ious]


def test_a_shot_is_right_from_half_an_overlap_on() -> None:
    assert [shot.right for shot in shots((0.9, 0.49), (0.1, 0.5))] == [False, True]


def test_every_shot_with_a_score_is_judged_by_its_own_expert_box() -> None:
    truth = fixed_composition()
    wide = replace(truth[CLOSE_UP], box=FULL_FRAME, score=0.2)
    answer = replace(truth, shots=(*truth.shots[:2], wide))
    judged = judged_shots([(truth, answer), (truth, NoSubject(0.9)), (truth, AnswerError("no answer"))])
    assert [shot.type for shot in judged] == [*SHOT_TYPES]
    assert [shot.score for shot in judged] == [0.9, 0.9, 0.2]
    assert [shot.iou for shot in judged] == pytest.approx([1.0, 1.0, FIXED_BOXES[CLOSE_UP].area])


def test_a_model_without_scores_is_not_judged() -> None:
    truth = fixed_composition()
    silent = replace(truth, shots=tuple(replace(shot, score=None) for shot in truth.shots))
    assert judged_shots([(truth, silent)]) == []
    assert by_score([]) == ()
    assert calibration_error([]) is None


def test_bins_hold_their_lower_border_and_the_last_one_both() -> None:
    bins = by_score(shots((0.0, 0.1), (0.2, 0.6), (0.99, 0.9), (1.0, 0.4)), count=5)
    assert [(one.low, one.high, one.n) for one in bins] == [(0.0, 0.2, 1), (0.2, 0.4, 1), (0.8, 1.0, 2)]
    assert bins[-1] == Bin(0.8, 1.0, 2, pytest.approx(0.995), 0.5, pytest.approx(0.65))


def test_a_score_that_is_the_share_of_right_shots_has_no_error() -> None:
    even = shots(*[(0.75, 0.9)] * 3, (0.75, 0.1), (0.0, 0.1))
    assert calibration_error(by_score(even)) == 0.0


def test_a_model_that_is_sure_and_wrong_has_the_greatest_error() -> None:
    assert calibration_error(by_score(shots((1.0, 0.0), (0.0, 1.0)))) == 1.0


def test_the_error_weighs_bins_by_their_shots() -> None:
    assert calibration_error(by_score(shots(*[(1.0, 0.9)] * 3, (0.5, 0.1)))) == pytest.approx(0.5 / 4)


def test_what_would_be_sent_to_review_is_counted() -> None:
    some = shots((0.2, 0.1), (0.49, 0.8), (0.5, 0.2), (0.9, 0.9))
    assert doubtful(some) == Doubtful(n=2, wrong=1, all_wrong=2)
    assert doubtful(some, 0.0) == Doubtful(n=0, wrong=0, all_wrong=2)


unit = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(unit, unit)), st.integers(1, 20))
def test_no_shot_is_lost_and_none_counts_twice(pairs: list[tuple[float, float]], count: int) -> None:
    bins = by_score(shots(*pairs), count)
    assert sum(one.n for one in bins) == len(pairs)
    assert all(one.low - 1e-9 <= one.score <= one.high + 1e-9 for one in bins)
    error = calibration_error(bins)
    assert error is None or 0.0 <= error <= 1.0 + 1e-9
