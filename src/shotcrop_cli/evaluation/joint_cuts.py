"""Cuts that hurt: edges of a crop through a joint or a chin.

Good cuts run mid-chest, waist, mid-thigh and mid-shin; never at neck, elbow, wrist, hip line, knee or ankle.
Edges on the photo's own border are excepted: the photographer cut there, not we.
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
"""Joints below are ignored [O]: pose models place joints that they do not see with less."""

JOINT_MARGIN = 0.04
"""An edge this close to a joint cuts it, as a share of the person's height [O]."""

CHIN_MARGIN = 0.05
"""An edge this far above the face's lower side, as a share of its height, spares the chin [O]."""

BORDER = 0.005
"""An edge this close to the photo's border lies on it [O]: the photographer cut there, not we."""


class Edge(str, Enum):
    """A side of a crop."""

    LEFT = "left"
    TOP = "top"
    RIGHT = "right"
    BOTTOM = "bottom"

    def __str__(self) -> str:
        return self.value


class BodyLine(str, Enum):
    """Where a crop must never cut a body."""

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

    Edges on the photo's own border are excepted.

    Args:
        crop: The shot.
        person: Usually the lead. The height of its box is the measure, so a body that the photo itself
            has cut is judged by what is left of it.
        photo_aspect: Width / height of the photo; distances are taken in photo heights.
        min_confidence: Joints below are ignored.

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
    """Yield the places that must not be cut, as far as the detector is sure of them."""
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
    """Return the edges that do not lie on the photo's border."""
    gaps = {Edge.LEFT: crop.x0, Edge.TOP: crop.y0, Edge.RIGHT: 1.0 - crop.x1, Edge.BOTTOM: 1.0 - crop.y1}
    return [edge for edge, gap in gaps.items() if gap > BORDER]


def _distance(crop: Box, edge: Edge, point: Point, photo_aspect: float) -> float:
    """Return how far a point lies from an edge in photo heights; infinite when it is not beside the edge."""
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
