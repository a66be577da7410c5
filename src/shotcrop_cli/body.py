"""Proportions of the human body: what framing, scoring and training assume where nothing was measured.

Lengths are in heads, from the crown down, of an upright figure of 7.5 heads, the one that drawing manuals use.
"""

from __future__ import annotations

from shotcrop_cli.shots import NATIVE_SCALES

HEADS_TALL = 7.5
"""Height of an upright figure."""

NECK, SHOULDER_LINE, WAIST, HIP_LINE = 1.25, 1.5, 3.0, 4.0
"""Lines across the figure, in heads below the crown."""

NOSE = 0.65
"""The tip of the nose, in heads below the crown."""

NECK_ABOVE_SHOULDERS = (SHOULDER_LINE - NECK) / (SHOULDER_LINE - NOSE)
"""Where the neck is on the way from the shoulder line to the nose, 0..1."""

WAIST_ABOVE_HIPS = (HIP_LINE - WAIST) / (HIP_LINE - SHOULDER_LINE)
"""Where the waist is on the way from the hip line to the shoulder line, 0..1."""

HEAD_ASPECT = 0.78
"""Width / height of a head in pixels, hair top to chin. Our own estimate."""

HAIR_ABOVE_FACE = 0.3
"""Hair above a face detector's box, as a share of the box's height. Source: with this value the experts' median
headroom in medium shots is .10 of the crop's height, the middle of the range that film schools teach."""

CHIN_BELOW_FACE = 0.02
"""Chin below a face detector's box, as a share of the box's height. Our own estimate."""

SIDE_OF_FACE = 0.16
"""Head on either side of a face detector's box, ear to ear, as a share of the box's width. Our own estimate."""

FACE_ASPECT = 0.76
"""Width / height of a face detector's box in pixels. Our own estimate; the median of the training split is 0.81."""

SCALE_LIMITS = (0.07, 0.19, 0.42)
"""Heights of the main head, as shares of the photo's, between the native scales. Source: between the medians of the
experts' labels."""


def native_scale(head_height: float) -> str:
    """Return how a photo frames the main person, one of `shots.NATIVE_SCALES`.

    Args:
        head_height: Height of their head, as a share of the photo's.
    """
    return NATIVE_SCALES[sum(limit <= head_height for limit in SCALE_LIMITS)]
