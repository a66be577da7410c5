import pytest

from detected_people import JOINTS, face, standing
from shotcrop_cli.evaluation.detections import Keypoint, Person
from shotcrop_cli.evaluation.joint_cuts import BodyLine, Edge, JointCut, cuts_chin, joint_cuts
from shotcrop_cli.shots import Box


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
