"""Find edges of a crop that run through a joint or a chin.

An edge may run through mid-chest, waist, mid-thigh or mid-shin, but not through neck, elbow, wrist, hip line, knee or
ankle. Edges on the photo's own border do not count: the photographer chose them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from shotcrop_cli.body import NECK_ABOVE_SHOULDERS
from shotcrop_cli.evaluation.detections import Face, Joint, Person, Point
from shotcrop_cli.shots import Box

JOINT_CONFIDENCE = 0.3
"""Joints with a lower confidence are ignored: pose models give less to joints that they do not see."""

JOINT_MARGIN = 0.04
"""An edge this close to a joint cuts it, as a share of the person's height."""

CHIN_MARGIN = 0.05
"""An edge at most this far above the lower side of the face spares the chin, as a share of the face's height."""

BORDER = 0.005
"""An edge this close to the photo's border is on it, as a share of the photo's side."""


class Edge(str, Enum):
    """A side of a crop."""

    LEFT = "left"
    TOP = "top"
    RIGHT = "right"
    BOTTOM = "bottom"

    def __str__(self) -> str:
        return self.value


class BodyLine(str, Enum):
    """Lines of the body that an edge must not run through."""

    NECK = "neck"
    ELBOW = "elbow"
    WRIST = "wrist"
    HIP = "hip"
    KNEE = "knee"
    ANKLE = "ankle"

    def __str__(self) -> str:
        return self.value


_JOINTS: Mapping[BodyLine, tuple[Joint, Joint]] = {
    BodyLine.ELBOW: (Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW),
    BodyLine.WRIST: (Joint.LEFT_WRIST, Joint.RIGHT_WRIST),
    BodyLine.HIP: (Joint.LEFT_HIP, Joint.RIGHT_HIP),
    BodyLine.KNEE: (Joint.LEFT_KNEE, Joint.RIGHT_KNEE),
    BodyLine.ANKLE: (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE),
}


@dataclass(frozen=True, slots=True)
class JointCut:
    """An edge of a crop that cuts a joint."""

    line: BodyLine
    edge: Edge


def joint_cuts(
    crop: Box, person: Person, photo_aspect: float, *, min_confidence: float = JOINT_CONFIDENCE
) -> tuple[JointCut, ...]:
    """Find the joints that a crop cuts: an edge runs within `JOINT_MARGIN` of them.

    Edges on the photo's own border do not count.

    Args:
        crop: The shot.
        person: Usually the main person. Distances scale with the height of the box, so a body cut by the photo itself
            is judged by its visible part.
        photo_aspect: Width / height of the photo; distances are taken in photo heights.
        min_confidence: Joints with a lower confidence are ignored.

    Returns:
        Each pair of body line and edge once, in the order of `BodyLine`.
    """
    reach = JOINT_MARGIN * person.box.height
    cuts = {
        JointCut(line, edge): None
        for line, point in _body_points(person, min_confidence)
        for edge in _inner_edges(crop)
        if _distance(crop, edge, point, photo_aspect) <= reach
    }
    return tuple(cuts)


def _body_points(person: Person, min_confidence: float) -> Iterator[tuple[BodyLine, Point]]:
    """Yield the points that no edge may run through, as far as the detector is sure of them."""
    nose, left, right = (person.keypoints[joint] for joint in (Joint.NOSE, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER))
    if min(nose.confidence, left.confidence, right.confidence) >= min_confidence:
        x, y = (left.x + right.x) / 2, (left.y + right.y) / 2
        yield BodyLine.NECK, Point(x + NECK_ABOVE_SHOULDERS * (nose.x - x), y + NECK_ABOVE_SHOULDERS * (nose.y - y))
    for line, joints in _JOINTS.items():
        for joint in joints:
            point = person.keypoints[joint]
            if point.confidence >= min_confidence:
                yield line, Point(point.x, point.y)


def _inner_edges(crop: Box) -> list[Edge]:
    """Return the edges that are not on the photo's border."""
    gaps = {Edge.LEFT: crop.x0, Edge.TOP: crop.y0, Edge.RIGHT: 1.0 - crop.x1, Edge.BOTTOM: 1.0 - crop.y1}
    return [edge for edge, gap in gaps.items() if gap > BORDER]


def _distance(crop: Box, edge: Edge, point: Point, photo_aspect: float) -> float:
    """Return the distance of a point from an edge in photo heights; infinite when it is not beside the edge."""
    beside = crop.y0 <= point.y <= crop.y1 if edge in (Edge.LEFT, Edge.RIGHT) else crop.x0 <= point.x <= crop.x1
    if not beside:
        return math.inf
    if edge is Edge.LEFT:
        return abs(point.x - crop.x0) * photo_aspect
    if edge is Edge.RIGHT:
        return abs(point.x - crop.x1) * photo_aspect
    return abs(point.y - (crop.y0 if edge is Edge.TOP else crop.y1))


def cuts_chin(crop: Box, face: Face) -> bool:
    """Whether the crop's lower edge runs through the face. A cut hairline is fine, a cut chin is not."""
    beside = crop.x0 < face.box.centre[0] < crop.x1
    chin = face.box.y1 - CHIN_MARGIN * face.box.height
    return beside and face.box.y0 < crop.y1 < chin and Edge.BOTTOM in _inner_edges(crop)
