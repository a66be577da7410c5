"""Two people who stand side by side, as detectors find them, and crops of the left one."""

from shotcrop_cli.evaluation.detections import Detections, Face, Joint, Keypoint, Person, Point
from shotcrop_cli.shots import Box

HEIGHTS = {
    **dict.fromkeys((Joint.NOSE, Joint.LEFT_EYE, Joint.RIGHT_EYE, Joint.LEFT_EAR, Joint.RIGHT_EAR), 0.15),
    **dict.fromkeys((Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER), 0.25),
    **dict.fromkeys((Joint.LEFT_HIP, Joint.RIGHT_HIP), 0.5),
    **dict.fromkeys((Joint.LEFT_KNEE, Joint.RIGHT_KNEE), 0.7),
    **dict.fromkeys((Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE), 0.88),
}


def upright(x: float, confidence: float = 0.9) -> Person:
    points = tuple(Keypoint(x, HEIGHTS.get(joint, 0.4), confidence) for joint in Joint)
    return Person(Box(x - 0.1, 0.1, x + 0.1, 0.9), 0.9, points)


def face(x: float) -> Face:
    return Face(Box(x - 0.03, 0.12, x + 0.03, 0.2), 0.9, (Point(x, 0.15),) * 5)


BOTH = Detections((upright(0.3), upright(0.7)), (face(0.3), face(0.7)))
TO_THE_THIGHS, TO_THE_CHEST, FEET = Box(0.15, 0.05, 0.45, 0.6), Box(0.2, 0.05, 0.4, 0.3), Box(0.2, 0.75, 0.4, 1.0)
