"""Captions and reasoning by rule, from the facts that the compact model found: short and general, nothing made up.

A rule is meant to make a claim only where it is right at least nine times in ten, judged by a pose detector. Measured
with the default model on 400 photos of its training and on the 79 of `dev`:

    claim                 training       dev
    full length           53 of 53       3 of 3
    three-quarter length  11 of 11       0 of 1
    head and shoulders    281 of 287     53 of 53
    several people        59 of 61       8 of 8
    a group               15 of 15       7 of 7
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from shotcrop_cli.geometry import visible_share
from shotcrop_cli.shots import Box, Grounding, Reasoning

HEAD_SHOWN = 0.9
"""A close-up that holds less than this share of the head is called a detail."""

STANDING, SEEN_TO_THE_FEET = 6.5, 6.0
"""Where the main person's box ends, in heads below the crown: of an upright figure, and of one whose feet are visible
though the knees are bent. Predicted heads are a little too large rather than too small. See `shotcrop_cli.body` for the
proportions."""

THIGHS = (4.0, 5.0)
"""A crop whose lower edge is in this range, in heads below the crown, ends at the thighs of an upright figure."""

SHOULDERS, SHOULDERS_STANDING = (1.3, 2.0), (1.3, 2.4)
"""The same for a crop to head and shoulders, of any figure and of an upright one."""

CUT = 0.03
"""The photo's lower border cuts a main person whose box ends this close to it: predicted boxes vary by as much."""

SLACK = 0.01
"""A crop holds a part of the main person that ends at most this far outside it."""

STEADY = 0.8
"""Lowest score of a shot for a claim about body parts. It was measured with an earlier model, as the agreement of two
answers: on held-out photos 36 of 37 claims on shoulders and waists were right above it, and 10 of 14 below."""

SMALL = 0.35
"""A main person lower than this share of a crop's height is small in it."""


class Company(Enum):
    """How many people a photo surely shows: unknown, just one, at least two, or at least three."""

    UNKNOWN = "the main person"
    PERSON = "a person"
    SEVERAL = "people"
    GROUP = "a group of people"


def verbalise(grounding: Grounding) -> Reasoning:
    """Put the facts of a grounding into words, and add nothing."""
    people = grounding.people or 0
    count = ("", "One person", "Two people", "Three people", "Four or more people")[min(people, 4)]
    scene = " ".join(part for part in (count, _place(grounding)) if part)
    subject = ""
    if grounding.main_person is not None:
        x = grounding.main_person.centre[0]
        # Thirds of the frame, the photographer's own grid.
        where = "left of centre" if x < 1 / 3 else "right of centre" if x > 2 / 3 else "in the centre"
        facing = {
            "camera": "facing the camera",
            "left": "facing left",
            "right": "facing right",
            "away": "turned away",
            "down": "looking down",
            "up": "looking up",
        }.get(grounding.facing or "", "")
        subject = ", ".join(part for part in (f"The main person is {where}", facing) if part)
    story = {
        "wide": "From the wide scene to the person in it, then to the face",
        "full": "From the whole figure in its place to the gesture, then to the face",
        "medium": "From the person and the surroundings to the upper body, then to the face",
        "close": "From a portrait that is already tight, step by step, to the face",
    }.get(grounding.native_scale or "", "")
    return Reasoning(*(f"{_capital(text)}." if text else "" for text in (scene, subject, story)))


def captions(
    grounding: Grounding, company: Company, boxes: Sequence[Box], scores: Sequence[float]
) -> tuple[str, str, str]:
    """Caption the three shots with the facts of a grounding.

    Args:
        grounding: The facts; the setting is None where the model is unsure.
        company: The number of people.
        boxes: The boxes of the shots, widest first.
        scores: The model's confidence in each box, 0..1.
    """
    wide, middle, tight = boxes
    subject = {
        Company.UNKNOWN: Company.UNKNOWN.value,
        Company.PERSON: "the person",
        Company.SEVERAL: "one of the people",
        Company.GROUP: "one of the group",
    }
    texts = (
        _establishing(grounding, company, wide),
        _medium(grounding, subject[company], middle, scores[1] >= STEADY),
        _close(grounding, subject[company], tight, scores[2] >= STEADY),
    )
    return _capital(texts[0]), _capital(texts[1]), _capital(texts[2])


def _establishing(grounding: Grounding, company: Company, box: Box) -> str:
    place = _place(grounding)
    text = f"{company.value} {place}".strip()
    one = company in (Company.UNKNOWN, Company.PERSON)
    if one and grounding.main_person is not None and grounding.main_person.height < SMALL * box.height:
        return f"{text}, small in the frame"
    if one and _shows_all(grounding, box):
        return f"{text}, full length"
    return text if place else f"{text} and the surroundings"


def _medium(grounding: Grounding, subject: str, box: Box, steady: bool) -> str:
    if not steady:
        return f"a closer view of {subject}"
    if _shows_all(grounding, box):
        return f"a closer view of {subject}, full length"
    end, edge = _below_crown(grounding.main_person, grounding), _below_crown(box, grounding)
    if end >= STANDING and _within(edge, THIGHS):
        return f"{subject}, three-quarter length"
    return f"a closer view of {subject}"


def _close(grounding: Grounding, subject: str, box: Box, steady: bool) -> str:
    if grounding.head is None or visible_share(grounding.head, box) < HEAD_SHOWN:
        return f"a detail of {subject}"
    standing = _below_crown(grounding.main_person, grounding) >= STANDING
    if steady and _within(_below_crown(box, grounding), SHOULDERS_STANDING if standing else SHOULDERS):
        return f"head and shoulders of {subject}"
    return f"a close-up of {subject}"


def _place(grounding: Grounding) -> str:
    return {"indoor": "indoors", "outdoor": "outdoors"}.get(grounding.setting or "", "")


def _shows_all(grounding: Grounding, box: Box) -> bool:
    """Whether a crop surely shows the main person from crown to feet."""
    person, head = grounding.main_person, grounding.head
    if person is None or head is None or person.y1 > 1.0 - CUT or _below_crown(person, grounding) < SEEN_TO_THE_FEET:
        return False
    return box.y0 <= head.y0 + SLACK and person.y1 - SLACK <= box.y1


def _below_crown(box: Box | None, grounding: Grounding) -> float:
    """Return how far a box's lower edge is below the main person's crown, in heads; 0 if unknown."""
    head = grounding.head
    return 0.0 if box is None or head is None else (box.y1 - head.y0) / head.height


def _within(value: float, span: tuple[float, float]) -> bool:
    return span[0] <= value < span[1]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
