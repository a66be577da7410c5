"""The way of a camera over a photo: it rests on each shot, and moves from one to the next without a jerk.

All lengths are pixels of the upright photo, and need not be whole. Every view is inside the photo: those of the shots
are, and each one in between is a weighted mean of two of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shotcrop_cli.framing import Aspect, Framing, frame_shot
from shotcrop_cli.geometry import from_pixels
from shotcrop_cli.sidecar import Sidecar

REST = 0.5
"""How long the camera rests on each shot, in the time of one move (our choice)."""
_SAME_WIDTH = 1e-6
"""Views whose widths differ by a smaller share are equally wide."""


@dataclass(frozen=True, slots=True)
class View:
    """What the camera sees."""

    left: float
    top: float
    width: float
    height: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.left + self.width, self.top + self.height


def views(record: Sidecar, aspect: Aspect) -> tuple[View, ...]:
    """Return the views of the shots that no one rejected, the widest first.

    A view has the ratio exactly. It shows the whole shot if the photo allows that, and otherwise stays with the head.

    Args:
        record: The sidecar of the photo.
        aspect: Ratio of width to height.
    """
    width, height = record.source.width, record.source.height
    person = record.main_person
    boxes = [from_pixels(shot.box, width, height) for shot in record.shots]
    close_up = boxes[-1] if boxes else None
    found = []
    for shot, placed in zip(record.shots, boxes, strict=True):
        if shot.rejected or record.rejected:
            continue
        framing = Framing(aspects=((shot.shot, aspect),))
        box = frame_shot(shot.shot, placed, width, height, framing, person.body, person.head, close_up).box
        wide = min(float(box.width), box.height * aspect.width / aspect.height)
        tall = wide * aspect.height / aspect.width
        found.append(View(box.x + (box.width - wide) / 2, box.y + (box.height - tall) / 2, wide, tall))
    return tuple(found)


def journey(stops: Sequence[View], frames: int) -> Iterator[View]:
    """Yield what the camera sees in each frame. The first frame is the first stop, and the last frame the last one.

    Args:
        stops: At least one view. All have the same ratio.
        frames: Number of frames, at least 1.
    """
    moves = len(stops) - 1
    length = moves + REST * len(stops)
    for number in range(frames):
        time = length * number / max(1, frames - 1)
        leg = min(int(time / (1 + REST)), moves)
        share = min(max(time - leg * (1 + REST) - REST, 0.0), 1.0) if leg < moves else 0.0
        yield stops[leg] if share == 0.0 else between(stops[leg], stops[leg + 1], eased(share))


def eased(share: float) -> float:
    """Return how much of a move is done after a share of its time. Speed and acceleration begin and end at 0."""
    return share**3 * (share * (share * 6 - 15) + 10)


def between(first: View, second: View, share: float) -> View:
    """Return a view between two others, so that equal shares zoom by equal factors.

    Args:
        first: The view at 0.
        second: The view at 1, with the same ratio.
        share: How far the camera is on its way, 0 to 1.
    """
    weight = share
    if abs(second.width - first.width) > _SAME_WIDTH * first.width:
        width = first.width * (second.width / first.width) ** share
        weight = min(max((first.width - width) / (first.width - second.width), 0.0), 1.0)
    return View(
        first.left + (second.left - first.left) * weight,
        first.top + (second.top - first.top) * weight,
        first.width + (second.width - first.width) * weight,
        first.height + (second.height - first.height) * weight,
    )
