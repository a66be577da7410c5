"""A standing person and a face, as detectors box them."""

from shotcrop_cli.evaluation.detections import Face, Joint, Keypoint, Person, Point
from shotcrop_cli.shots import Box

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
