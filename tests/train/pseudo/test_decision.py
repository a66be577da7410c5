from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.shots import ShotType
from shotcrop_train.pseudo.decision import (
    Accepted,
    Calibration,
    Hard,
    Rejected,
    Rule,
    Span,
    best_of,
    calibrate,
    decide,
    mean_score,
)

GOOD, FAIR, POOR = (0.9, 0.9, 0.9), (0.7, 0.7, 0.7), (0.5, 0.5, 0.5)

figure = st.floats(0.0, 1.0)
triples = st.lists(st.tuples(figure, figure, figure), min_size=1, max_size=4)


def test_strictly_best_on_every_criterion_and_at_least_the_threshold_is_accepted() -> None:
    assert decide([FAIR, GOOD]) == Accepted(1)
    assert decide([(0.85, 0.85, 0.85), FAIR]) == Accepted(0)
    assert decide([GOOD]) == Accepted(0)


def test_just_below_the_threshold_on_one_criterion_is_rejected() -> None:
    assert decide([(0.99, 0.99, 0.8499), POOR]) == Rejected()


def test_a_tie_on_one_criterion_is_rejected() -> None:
    assert decide([(0.95, 0.95, 0.9), GOOD]) == Rejected()


def test_best_on_two_criteria_of_three_is_rejected() -> None:
    assert decide([(0.99, 0.99, 0.9), (0.9, 0.9, 0.91)]) == Rejected()


def test_a_shot_is_hard_only_when_every_mean_is_below_the_limit() -> None:
    assert decide([POOR, (0.59, 0.59, 0.59)]) == Hard()
    assert decide([POOR, (0.6, 0.6, 0.6)]) == Rejected()
    assert decide([(1.0, 0.4, 0.39), POOR]) == Hard()


def test_an_unknown_score_is_neither_accepted_nor_hard() -> None:
    assert decide([(0.99, None, 0.99)]) == Rejected()
    assert decide([(0.1, None, 0.1)]) == Rejected()
    assert decide([]) == Rejected()


def test_known_scores_of_a_proposal_with_an_unknown_one_still_stand_against_others() -> None:
    assert decide([GOOD, (0.8, None, 0.8)]) == Accepted(0)
    assert decide([GOOD, (0.95, None, 0.1)]) == Rejected()


def test_a_margin_lets_ties_through_when_the_mean_is_the_highest() -> None:
    tied = [(0.95, 0.95, 0.9), GOOD]
    assert decide(tied, Rule(margin=0.05)) == Accepted(0)
    assert decide([(0.99, 0.99, 0.86), GOOD], Rule(margin=0.05)) == Accepted(0)
    assert decide([(0.99, 0.99, 0.85), GOOD], Rule(margin=0.04)) == Rejected()
    assert decide([GOOD, GOOD], Rule(margin=0.05)) == Rejected()


def test_a_margin_never_lowers_the_threshold() -> None:
    assert decide([(0.84, 0.99, 0.99), POOR], Rule(margin=0.2)) == Rejected()


def test_a_vetoed_proposal_is_not_accepted_and_still_counts_as_a_rival() -> None:
    assert decide([GOOD, FAIR], vetoed=[True, False]) == Rejected()
    assert decide([GOOD, (0.89, 0.89, 0.89)], vetoed=[True, False]) == Rejected()
    assert decide([GOOD, FAIR], vetoed=[False, True]) == Accepted(0)


@given(triples)
def test_the_decision_is_the_rule_as_it_is_written(scores: list[tuple[float, float, float]]) -> None:
    decision = decide(scores)
    accepted = [
        index
        for index, own in enumerate(scores)
        if all(score >= 0.85 for score in own)
        and all(own[k] > other[k] for number, other in enumerate(scores) if number != index for k in range(3))
    ]
    assert len(accepted) <= 1
    if accepted:
        assert decision == Accepted(accepted[0])
    elif all((mean_score(own) or 0.0) < 0.60 for own in scores):
        assert decision == Hard()
    else:
        assert decision == Rejected()


@given(triples, st.floats(0.0, 0.5))
def test_a_margin_accepts_whatever_the_strict_rule_accepts(
    scores: list[tuple[float, float, float]], margin: float
) -> None:
    strict = decide(scores)
    if isinstance(strict, Accepted):
        assert decide(scores, Rule(margin=margin)) == strict


@pytest.mark.parametrize("values", [{"accept": 0.5, "hard": 0.6}, {"accept": 1.1}, {"margin": -0.1}, {"margin": 1.0}])
def test_a_rule_that_contradicts_itself_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Rule(**values)


def test_the_best_of_what_was_not_accepted_has_the_highest_mean() -> None:
    assert best_of([POOR, GOOD, FAIR]) == 1
    assert best_of([(None, None, None), (0.1, None, None)]) == 1


def test_calibration_maps_percentiles_of_experts_to_the_unit_interval_per_shot() -> None:
    shot, other = ShotType.MEDIUM, ShotType.CLOSE_UP
    calibration = calibrate(
        {("clip", shot): [k / 100 for k in range(101)], ("clip", other): [k / 1000 for k in range(101)]}
    )
    assert calibration.map("clip", shot, 0.01) == pytest.approx(0.0)
    assert calibration.map("clip", shot, 0.99) == pytest.approx(1.0)
    assert calibration.map("clip", shot, 0.5) == pytest.approx(0.5)
    assert calibration.map("clip", other, 0.05) == pytest.approx(0.5)
    assert calibration.map("clip", shot, -3.0) == 0.0
    assert calibration.map("clip", shot, 3.0) == 1.0
    assert calibration.map("clip", shot, None) is None


def test_a_criterion_without_a_span_is_left_as_it_is() -> None:
    assert Calibration({("clip", ShotType.MEDIUM): Span(0.0, 0.1)}).map("mllm", ShotType.MEDIUM, 0.75) == 0.75


def test_too_few_or_equal_expert_crops_are_refused_by_criterion_and_shot() -> None:
    with pytest.raises(ShotcropError, match=r"'clip' scored only 3 expert crops of the medium shot"):
        calibrate({("clip", ShotType.MEDIUM): [0.1, 0.2, 0.3]})
    with pytest.raises(ShotcropError, match="same score"):
        calibrate({("clip", ShotType.MEDIUM): [0.1] * 20})
