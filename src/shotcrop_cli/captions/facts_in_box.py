"""What stays true of a crop if it has another box than the one that its facts are about.

Crops in the ratios of publications, those with an aspect and those that a person moved are wider or narrower than the
shot that the model proposed. The model does not look again: the recorded people say who came in and who is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shotcrop_cli.crop_facts import IN_CROP, SIMILAR_HEAD, CropFacts, Part, Who
from shotcrop_cli.geometry import iou, side_in, visible_share
from shotcrop_cli.shots import Box

SAME = 0.9
"""Boxes that overlap by this much (IoU) show the same: rounding and JPEG blocks move borders (our choice)."""
ENOUGH = 3
"""So many possible heads besides the main one are surely several people, if a wider crop surely shows several (our
choice: some of the recorded heads are none)."""
SHOULDERS = 0.75
"""A close-up that ends as low as the known one and has this share of its width shows its shoulder (our choice)."""
WHOLE = 0.97
"""A crop shows the whole figure if it holds this share of the body, whose box is not exact."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The people whom a photo may show, in relative boxes.

    Args:
        body: The body of whom the crop is about; None if unknown.
        head: Their head; None if unknown.
        others: The heads of all others.
        is_main: Whether the crop is about the main person.
    """

    body: Box | None
    head: Box | None
    others: Sequence[Box]
    is_main: bool = True


def facts_in_box(facts: CropFacts, known: Box, box: Box, shown: Shown) -> CropFacts:
    """Return what is surely true of a crop with another box. Nothing is added but that others may be there.

    Args:
        facts: What the crop with the known box shows.
        known: That box.
        box: The box of the crop.
        shown: The people in the photo.
    """
    if iou(known, box) >= SAME:
        return facts
    before, after = _heads_in(known, shown.others), _heads_in(box, shown.others)
    least = 0.0 if shown.head is None else SIMILAR_HEAD * shown.head.height
    similar = {number for number, head in enumerate(shown.others) if head.height >= least}
    body, who = shown.body, _who(facts.who, before & similar, after & similar)
    kept = replace(facts, who=Who.ONE if who is Who.MAIN and not shown.is_main else who)
    if before - after:
        kept = replace(kept, behind=None)
        if facts.who.is_several:
            kept = replace(kept, colour=None, another=None)  # they may be of somebody who is left out
    if visible_share(known, box) < SAME:
        kept = replace(kept, thing=None)
    if visible_share(box, known) < SAME:
        kept = replace(kept, background=None)
    if facts.part is Part.SHOULDERS and (box.y1 < known.y1 or box.width < SHOULDERS * known.width):
        kept = replace(kept, part=Part.HEAD)
    if facts.framing != "full" or body is None or visible_share(body, box) < WHOLE:
        kept = replace(kept, framing=None)
    if facts.side is not None and (body is None or side_in(body, box) != facts.side):
        kept = replace(kept, side=None)
    return kept


def _who(who: Who, before: frozenset[int], after: frozenset[int]) -> Who:
    """Return whom a crop shows, given the others (their numbers) in the known box and in this one."""
    if before == after or who in (Who.DOG, Who.UNSURE):
        return who
    if who.is_several and after >= before:
        return Who.PEOPLE if who is Who.TWO else who
    if who.is_several:
        return Who.PEOPLE if len(after) >= ENOUGH else Who.MAIN if after else Who.ONE
    return Who.MAIN if after - before and who is not Who.ONE else who


def _heads_in(box: Box, heads: Sequence[Box]) -> frozenset[int]:
    return frozenset(number for number, head in enumerate(heads) if visible_share(head, box) >= IN_CROP)
