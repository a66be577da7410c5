from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shotcrop_cli.geometry import flip, iou
from shotcrop_cli.model.nano.generate import Draft
from shotcrop_cli.model.nano.grammar import Slot
from shotcrop_cli.model.nano.mirror import merged, turned_back
from shotcrop_cli.shots import FACINGS, SETTINGS, Box

BOXES = (
    Box(0.2, 0.1, 0.5, 0.9),
    Box(0.3, 0.1, 0.4, 0.25),
    Box(0.0, 0.0, 0.9, 1.0),
    Box(0.15, 0.05, 0.6, 0.6),
    Box(0.25, 0.05, 0.45, 0.35),
)


def draft(facing: str = "left", shift: float = 0.0, confidence: float = 0.8) -> Draft:
    boxes = [Box(box.x0 + shift, box.y0, box.x1 + shift, box.y1) for box in BOXES]
    attributes = {Slot.PEOPLE: 1, Slot.SETTING: 1, Slot.FACING: FACINGS.index(facing), Slot.SCALE: 1}
    return Draft(
        np.zeros((2, 4), np.float32),
        attributes=attributes,
        confidences=dict.fromkeys(attributes, confidence),
        boxes=boxes,
        scores=[0.9] * 5,
        captions=[[1], [2], [3]],
        no_subject=0.1,
        done=True,
    )


def test_turning_an_answer_back_mirrors_boxes_and_facing() -> None:
    back = turned_back(draft("left"))
    assert back.boxes == [flip(box) for box in BOXES]
    assert FACINGS[back.attributes[Slot.FACING]] == "right"
    assert [FACINGS[turned_back(draft(one)).attributes[Slot.FACING]] for one in ("camera", "away", "up")] == [
        "camera",
        "away",
        "up",
    ]


def test_two_looks_that_agree_are_sure_and_change_nothing() -> None:
    both = merged(draft(), draft(), 0.5)
    assert both.boxes == list(BOXES)
    assert both.scores == pytest.approx([1.0] * 5)
    assert both.confidences == draft().confidences


def test_boxes_are_the_mean_of_both_looks_and_scores_their_overlap() -> None:
    one, other = draft(), draft(shift=0.04)
    both = merged(one, other, 0.5)
    assert [box.x0 for box in both.boxes] == pytest.approx([box.x0 + 0.02 for box in BOXES])
    assert both.scores == pytest.approx([iou(a, b) for a, b in zip(one.boxes, other.boxes, strict=True)])
    assert both.captions == one.captions


def test_an_attribute_on_which_the_looks_differ_is_half_as_sure() -> None:
    one, other = draft(confidence=0.6), draft(confidence=0.9)
    other.attributes[Slot.SETTING] = SETTINGS.index("indoor")
    for first, second in ((one, other), (other, one)):
        both = merged(first, second, 0.5)
        assert SETTINGS[both.attributes[Slot.SETTING]] == "indoor"
        assert both.confidences[Slot.SETTING] == pytest.approx(0.45)
        assert both.confidences[Slot.PEOPLE] == pytest.approx(0.75)


def test_looks_at_different_leads_are_not_averaged_to_a_place_between_them() -> None:
    one, other = draft(), draft(shift=0.1)
    surer = replace(other, scores=[0.95] * 5)
    assert iou(one.boxes[1], other.boxes[1]) == 0.0
    assert merged(one, surer, 0.5).boxes == surer.boxes
    assert merged(surer, one, 0.5).boxes == surer.boxes
    assert max(merged(one, surer, 0.5).scores[1:2]) == 0.0


def test_nobody_is_there_when_both_looks_together_say_so() -> None:
    def empty(probability: float) -> Draft:
        return Draft(np.zeros((2, 4), np.float32), no_subject=probability, empty=True, done=True)

    assert merged(empty(0.9), empty(0.7), 0.5).empty
    doubtful = merged(empty(0.6), draft(), 0.5)
    assert not doubtful.empty and doubtful.boxes == list(BOXES) and doubtful.scores == [0.0] * 5
    certain = merged(draft(), empty(0.95), 0.5)
    assert certain.empty and certain.no_subject == pytest.approx(0.525)
