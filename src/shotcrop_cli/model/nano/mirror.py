"""A second look: a person crops a photo and its mirror image alike, a model does not quite, so it is asked about both.

The mean of the two answers is better than either, and how far they agree tells how sure the model is: on 57 held-back
photos the agreement of the two close-ups correlated with the IoU with the expert's by .56 [O].
"""

from __future__ import annotations

from dataclasses import replace

from shotcrop_cli.geometry import flip, iou
from shotcrop_cli.model.nano.generate import Draft
from shotcrop_cli.model.nano.grammar import Slot
from shotcrop_cli.shots import FACINGS, Box

_HEAD = 1
"""Which of a draft's boxes is the lead's head; the shots follow it."""

_TURNED = tuple(FACINGS.index({"left": "right", "right": "left"}.get(facing, facing)) for facing in FACINGS)


def turned_back(draft: Draft) -> Draft:
    """Return an answer to a mirrored photo in the coordinates of the photo itself."""
    attributes = dict(draft.attributes)
    if Slot.FACING in attributes:
        attributes[Slot.FACING] = _TURNED[attributes[Slot.FACING]]
    return replace(draft, boxes=[flip(box) for box in draft.boxes], attributes=attributes)


def merged(draft: Draft, other: Draft, no_subject_threshold: float) -> Draft:
    """Merge the answers of two looks at one photo, both in its own coordinates.

    Where the two saw different leads, a mean would show neither: the answer of the surer one stands. Captions and the
    text are those of the first look. Each shot's score becomes the IoU of the two looks' boxes; an attribute on which
    they differ keeps half the surer one's confidence, since the other may have given it none.

    Args:
        draft: The first look's.
        other: The second look's.
        no_subject_threshold: From this mean probability of "nobody" on, the answer is that.
    """
    no_subject = (draft.no_subject + other.no_subject) / 2
    if draft.empty or other.empty:
        seen = [one for one in (draft, other) if not one.empty]
        if not seen or no_subject >= no_subject_threshold:
            return replace(draft if draft.empty else other, no_subject=no_subject)
        # What only one look sees has nothing that agrees with it.
        return replace(seen[0], no_subject=no_subject, scores=[0.0] * len(seen[0].scores))
    attributes, confidences = dict(draft.attributes), dict(draft.confidences)
    for slot, choice in other.attributes.items():
        if attributes.get(slot) == choice:
            confidences[slot] = (confidences[slot] + other.confidences[slot]) / 2
            continue
        if other.confidences[slot] > confidences.get(slot, 0.0):
            attributes[slot], confidences[slot] = choice, other.confidences[slot]
        confidences[slot] /= 2
    scores = [iou(a, b) for a, b in zip(draft.boxes, other.boxes, strict=True)]
    if iou(draft.boxes[_HEAD], other.boxes[_HEAD]) > 0.0:
        boxes = [_mean(a, b) for a, b in zip(draft.boxes, other.boxes, strict=True)]
    else:
        boxes = max((draft, other), key=lambda one: sum(one.scores)).boxes
    return replace(
        draft,
        boxes=list(boxes),
        scores=scores,
        attributes=attributes,
        confidences=confidences,
        no_subject=no_subject,
        company=tuple((p + q) / 2 for p, q in zip(draft.company, other.company, strict=True)),
    )


def _mean(a: Box, b: Box) -> Box:
    return Box(*((p + q) / 2 for p, q in zip(a, b, strict=True)))
