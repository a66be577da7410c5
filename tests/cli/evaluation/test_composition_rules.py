import pytest

from detected_people import face
from shotcrop_cli.body import HAIR_ABOVE_FACE
from shotcrop_cli.evaluation import composition_rules
from shotcrop_cli.shots import Box, ShotType


@pytest.mark.parametrize(
    "bands", [composition_rules.HEAD_SCALE, composition_rules.HEADROOM, composition_rules.EYE_LINE]
)
def test_band_credit_is_full_inside_and_falls_to_the_hard_limits(bands: dict[ShotType, composition_rules.Band]) -> None:
    for band in bands.values():
        assert band.hard_low <= band.low < band.high <= band.hard_high
        assert band.credit(band.low) == band.credit(band.high) == 1.0
        assert band.credit(band.hard_high) == pytest.approx(0.0)
        assert band.credit((band.high + band.hard_high) / 2) == pytest.approx(0.5)
        assert band.credit(band.hard_high + 1.0) == band.credit(band.hard_low - 1.0) == 0.0


def test_head_scale_bands_are_those_of_the_method() -> None:
    assert composition_rules.HEAD_SCALE[ShotType.CLOSE_UP] == composition_rules.Band(0.35, 0.65, 0.25, 0.85)
    assert composition_rules.HEAD_SCALE[ShotType.MEDIUM] == composition_rules.Band(0.16, 0.30, 0.10, 0.36)
    assert composition_rules.HEAD_SCALE[ShotType.ESTABLISHING] == composition_rules.Band(0.0, 0.12, 0.0, 0.20)


def test_ratios_are_taken_in_crop_heights() -> None:
    crop, lead = Box(0.2, 0.2, 0.8, 0.6), face(Box(0.4, 0.3, 0.6, 0.4))
    assert composition_rules.head_scale(crop, lead) == pytest.approx(0.25)
    assert composition_rules.headroom(crop, lead) == pytest.approx((0.1 - HAIR_ABOVE_FACE * 0.1) / 0.4)
    assert composition_rules.eye_line(crop, lead) == pytest.approx(0.14 / 0.4)


def test_cut_hair_is_negative_headroom() -> None:
    assert composition_rules.headroom(Box(0.2, 0.31, 0.8, 0.6), face(Box(0.4, 0.3, 0.6, 0.4))) < 0.0


@pytest.mark.parametrize(("nose", "expected"), [(-0.15, "left"), (0.15, "right"), (0.02, "camera")])
def test_gaze_follows_the_nose(nose: float, expected: str) -> None:
    assert composition_rules.gaze(face(nose=nose)) == expected


def test_lead_room_is_the_free_width_in_front_of_the_gaze() -> None:
    crop, lead = Box(0.0, 0.0, 1.0, 1.0), face(Box(0.6, 0.1, 0.7, 0.2))
    assert composition_rules.lead_room(crop, lead, "left") == pytest.approx(2 / 3)
    assert composition_rules.lead_room(crop, lead, "right") == pytest.approx(1 / 3)
    assert composition_rules.lead_room(crop, lead, "camera") is None
    assert composition_rules.lead_room(Box(0.6, 0.1, 0.7, 0.2), lead, "left") is None
