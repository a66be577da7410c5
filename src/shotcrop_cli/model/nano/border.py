"""Outer edges that nearly reach the photo's border are put on it.

A mean of coordinates never quite arrives at 0 or 1, where experts put most outer edges. The sliver that is left out
shows nothing, but its edge cuts whatever the photographer had let the border cut: on 57 held-back photos the share of
shots with a cut joint fell from .40 to .30 and the mean IoU rose from .767 to .770. Close-ups gained neither, so they
stay as they are [O].
"""

from __future__ import annotations

from collections.abc import Sequence

from shotcrop_cli.shots import FULL_FRAME, Box

NEAR = 0.02
"""An edge this close to the border, in shares of the photo's side, goes to it: of .01 to .04 the best mean IoU [O]."""


def to_border(boxes: Sequence[Box]) -> list[Box]:
    """Put near edges of all shots but the tightest on the photo's border.

    A shot that would no longer be tighter than the wider one stays as it is.

    Args:
        boxes: The shots' boxes, widest first.
    """
    placed: list[Box] = []
    for box in boxes[:-1]:
        wide = Box(*(_placed(side, end) for side, end in zip(box, FULL_FRAME, strict=True)))
        placed.append(wide if not placed or wide.area < placed[-1].area else box)
    return [*placed, *boxes[-1:]]


def _placed(side: float, end: float) -> float:
    return end if abs(side - end) <= NEAR else side
