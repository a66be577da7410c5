import pytest

from shotcrop_cli.evaluation import composition_rules
from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Keypoint, Person, Point
from shotcrop_cli.evaluation.joint_cuts import BodyLine, Edge, JointCut, cuts_chin, joint_cuts
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, Grounding, Shot, ShotType

JOINTS = {
    Joint.NOSE: (0.5, 0.18), Joint.LEFT_EYE: (0.52, 0.16), Joint.RIGHT_EYE: (0.48, 0.16),
    Joint.LEFT_EAR: (0.54, 0.17), Joint.RIGHT_EAR: (0.46, 0.17),
    Joint.LEFT_SHOULDER: (0.58, 0.28), Joint.RIGHT_SHOULDER: (0.42, 0.28),
    Joint.LEFT_ELBOW: (0.62, 0.42), Joint.RIGHT_ELBOW: (0.38, 0.42),
    Joint.LEFT_WRIST: (0.63, 0.53), Joint.RIGHT_WRIST: (0.37, 0.53),
    Joint.LEFT_HIP: (0.55, 0.51), Joint.RIGHT_HIP: (0.45, 0.51),
    Joint.LEFT_KNEE: (0.55, 0.70), Joint.RIGHT_KNEE: (0.45, 0.70),
    Joint.LEFT_ANKLE: (0.55, 0.88), Joint.RIGHT_ANKLE: (0.45, 0.88),
}  # fmt: skip


def standing(confidence: float = 0.9) -> Person:
    return Person(Box(0.35, 0.1, 0.65, 0.9), 0.9, tuple(Keypoint(*JOINTS[joint], confidence) for joint in Joint))


HEAD = Box(0.45, 0.13, 0.55, 0.22)


def face(box: Box = HEAD, *, nose: float = 0.0, score: float = 0.9) -> Face:
    x, y = box.centre
    eyes = box.y0 + 0.4 * box.height
    return Face(
        box,
        score,
        (
            Point(x - 0.2 * box.width, eyes),
            Point(x + 0.2 * box.width, eyes),
            Point(x + nose * box.width, y),
            Point(x - 0.15 * box.width, y + 0.3 * box.height),
            Point(x + 0.15 * box.width, y + 0.3 * box.height),
        ),
    )


def composition(*boxes: Box, facing: str | None = None) -> Composition:
    shots = tuple(Shot(kind, box) for kind, box in zip(SHOT_TYPES, boxes, strict=True))
    return Composition(shots, grounding=Grounding(facing=facing))


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
    assert composition_rules.headroom(crop, lead) == pytest.approx((0.1 - composition_rules.HAIR * 0.1) / 0.4)
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


@pytest.mark.parametrize(
    ("bottom", "line"),
    [
        (0.25, BodyLine.NECK),
        (0.42, BodyLine.ELBOW),
        (0.52, BodyLine.HIP),
        (0.70, BodyLine.KNEE),
        (0.88, BodyLine.ANKLE),
    ],
)
def test_lower_edge_through_a_joint_is_found(bottom: float, line: BodyLine) -> None:
    cuts = joint_cuts(Box(0.1, 0.02, 0.9, bottom), standing(), 1.0)
    assert JointCut(line, Edge.BOTTOM) in cuts


@pytest.mark.parametrize("bottom", [0.35, 0.61, 0.79])
def test_cuts_at_chest_thigh_and_shin_are_good(bottom: float) -> None:
    assert joint_cuts(Box(0.1, 0.02, 0.9, bottom), standing(), 1.0) == ()


def test_edges_on_the_border_of_the_photo_cut_nothing() -> None:
    low = Person(Box(0.35, 0.2, 0.65, 1.0), 0.9, tuple(Keypoint(x, y + 0.12, 0.9) for x, y in JOINTS.values()))
    assert joint_cuts(Box(0.1, 0.1, 0.9, 1.0), low, 1.0) == ()
    assert joint_cuts(Box(0.1, 0.1, 0.9, 0.99), low, 1.0) == (JointCut(BodyLine.ANKLE, Edge.BOTTOM),)


def test_joints_of_low_confidence_and_beside_the_crop_are_ignored() -> None:
    crop = Box(0.1, 0.02, 0.9, 0.70)
    assert joint_cuts(crop, standing(confidence=0.2), 1.0) == ()
    assert joint_cuts(Box(0.7, 0.02, 0.9, 0.70), standing(), 1.0) == ()


def test_side_edges_are_measured_in_photo_heights() -> None:
    crop = Box(0.1, 0.02, 0.65, 0.61)  # .02 of the width right of the left wrist, .03 of the elbow
    assert JointCut(BodyLine.WRIST, Edge.RIGHT) in joint_cuts(crop, standing(), 1.0)
    assert joint_cuts(crop, standing(), 2.0) == ()


def test_a_cut_chin_is_found_and_a_cut_hairline_is_not() -> None:
    lead = face(Box(0.4, 0.3, 0.6, 0.5))
    assert cuts_chin(Box(0.2, 0.1, 0.8, 0.45), lead)
    assert not cuts_chin(Box(0.2, 0.35, 0.8, 0.8), lead)
    assert not cuts_chin(Box(0.7, 0.1, 0.9, 0.45), lead)
    assert not cuts_chin(Box(0.2, 0.1, 0.8, 1.0), face(Box(0.4, 0.9, 0.6, 1.0)))


def test_lead_face_is_the_one_that_the_close_up_holds() -> None:
    small, big = face(Box(0.1, 0.1, 0.2, 0.2)), face(Box(0.5, 0.1, 0.8, 0.5))
    both = Detections(faces=(small, big))
    assert composition_rules.lead_face(both, Box(0.05, 0.05, 0.3, 0.3)) is small
    assert composition_rules.lead_face(both, Box(0.0, 0.0, 1.0, 1.0)) is big
    assert composition_rules.lead_face(both, Box(0.0, 0.8, 0.2, 1.0)) is big
    assert composition_rules.lead_face(Detections(faces=(face(score=0.2),)), Box(0, 0, 1, 1)) is None


def test_lead_person_is_the_one_whose_nose_is_nearest_the_head() -> None:
    lead = standing()
    behind = Person(Box(0.3, 0.05, 0.7, 0.95), 0.9, tuple(Keypoint(0.35, 0.6, 0.9) for _ in Joint))
    detections = Detections(persons=(behind, lead))
    assert composition_rules.lead_person(detections, face().box) is lead
    assert composition_rules.lead_person(detections, Box(0.9, 0.0, 1.0, 0.04)) is None


def test_check_passes_a_crafted_triple() -> None:
    good = composition(Box(0, 0, 1, 1), Box(0.25, 0.06, 0.75, 0.44 + 0.17), Box(0.3, 0.09, 0.7, 0.34))
    detections = Detections((standing(),), (face(),))
    assert composition_rules.check(good, detections, 1.0) == ()


def test_check_names_each_breach_in_words() -> None:
    bad = composition(Box(0, 0, 1, 1), Box(0.25, 0.06, 0.75, 0.51), Box(0.44, 0.15, 0.95, 0.20), facing="left")
    findings = composition_rules.check(bad, Detections((standing(),), (face(),)), 1.0)
    rules = {(finding.shot, finding.rule) for finding in findings}
    assert (ShotType.MEDIUM, composition_rules.Rule.JOINT_CUT) in rules
    assert (ShotType.CLOSE_UP, composition_rules.Rule.CHIN_CUT) in rules
    assert (ShotType.CLOSE_UP, composition_rules.Rule.HEAD_SCALE) in rules
    assert (ShotType.CLOSE_UP, composition_rules.Rule.LEAD_ROOM) in rules
    assert all("\n" not in finding.message for finding in findings)
    assert any(finding.message == "the bottom edge cuts the lead at the hip" for finding in findings)


def test_check_is_silent_without_detections() -> None:
    triple = composition(Box(0, 0, 1, 1), Box(0.2, 0.2, 0.8, 0.8), Box(0.4, 0.4, 0.6, 0.6))
    assert composition_rules.check(triple, Detections(), 1.5) == ()
