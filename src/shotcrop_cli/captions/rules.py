"""What the compact model saw, put into words by rule: short and general, but nothing made up.

A claim is made only where it holds at least nine times in ten, a pose detector being the judge. Measured with the
model's own boxes, on the photos that it was trained on and on those held back:

    claim                 trained on     held back
    full length           161 of 161     17 of 17
    from mid-thigh up     84 of 89       9 of 9
    from the waist up     43 of 46       5 of 5
    head and shoulders    298 of 317     31 of 32
    just one person       58 of 60       13 of 14
    several people        173 of 174     17 of 17
    a group               34 of 34       6 of 6
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from enum import Enum

from shotcrop_cli.geometry import visible_share
from shotcrop_cli.shots import Box, Grounding, Reasoning

OUTDOORS, INDOORS, CHILD, BIKE, SNOW, WATER, GRASS = "outdoors", "indoors", "child", "bike", "snow", "water", "grass"
"""What a model's lexicon may tell; see `shotcrop_train.nano.lexicon`."""

PLACES = {SNOW: "in the snow", WATER: "in or by the water", GRASS: "on grass"}
"""Where somebody is said to be, the first of these that was told."""

SURE_OF_COMPANY = 0.9
"""From this probability on a photo is said to show just one person, several people, or a group [O]."""

HEAD_SHOWN = 0.9
"""A close-up that holds less than this share of the head is called a detail [O]."""

STANDING, SEEN_TO_THE_FEET, CUT_AT_THE_WAIST = 6.5, 6.0, 3.2
"""How many heads below the crown the box of a lead ends who stands upright, whose feet are to be seen though the knees
are bent, and whom the photo's lower border cuts no lower than the waist [O]. A figure has 7.5 heads, its waist at
three; spotted heads are a little too large rather than too small."""

THIGHS = (4.0, 5.0)
"""Between these, in heads below the crown, a crop's lower edge runs through the thighs of an upright figure [O]."""

WAIST = (1.7, 2.8)
"""The same for the waist of a figure that is seen no further [O]."""

SHOULDERS, SHOULDERS_STANDING = (1.3, 2.0), (1.3, 2.4)
"""The same for a crop to head and shoulders, of anybody and of an upright figure [O]."""

CUT = 0.03
"""A lead that ends this close to the photo's lower border is cut by it: spotted boxes tremble by about as much [O]."""

SLACK = 0.01
"""A part of a lead counts as inside a crop that ends this much before it [O]."""

STEADY = 0.8
"""Where the two looks' boxes of a shot agree less than by this IoU, no part of the body is named [O]: on held-back
photos 36 of 37 claims on shoulders and waists were right above it, 10 of 14 below."""

SMALL = 0.35
"""A lead lower than this share of a crop is small in it [O]."""


class Company(Enum):
    """How many people a photo is sure to show: nobody knows, just one, at least two, or at least three."""

    UNKNOWN = "the main person"
    PERSON = "a person"
    SEVERAL = "people"
    GROUP = "a group of people"

    @classmethod
    def of(cls, probabilities: Sequence[float]) -> Company:
        """Choose the one that says most of what the model is sure of.

        Args:
            probabilities: Of each number of people, in the order of `grammar.PEOPLE`.
        """
        if sum(probabilities[3:]) >= SURE_OF_COMPANY:
            return cls.GROUP
        if sum(probabilities[2:]) >= SURE_OF_COMPANY:
            return cls.SEVERAL
        return cls.PERSON if sum(probabilities[1:2]) >= SURE_OF_COMPANY else cls.UNKNOWN


def in_setting(grounding: Grounding, told: Set[str]) -> Grounding:
    """Take the setting from what a lexicon tells, if anything: it knows better than the decoder."""
    settings = [setting for word, setting in ((INDOORS, "indoor"), (OUTDOORS, "outdoor")) if word in told]
    return replace(grounding, setting=settings[0] if len(settings) == 1 else None)


def verbalise(grounding: Grounding) -> Reasoning:
    """Put a grounded chain of thought into words, saying nothing that it does not hold."""
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
        subject = ", ".join(part for part in (f"The lead is {where}", facing) if part)
    story = {
        "wide": "From the wide scene to the person in it, then to the face",
        "full": "From the whole figure in its place to the gesture, then to the face",
        "medium": "From the person and the surroundings to the upper body, then to the face",
        "close": "From a portrait that is already tight, step by step, to the face",
    }.get(grounding.native_scale or "", "")
    return Reasoning(*(f"{_capital(text)}." if text else "" for text in (scene, subject, story)))


def captions(
    grounding: Grounding, company: Company, told: Set[str], boxes: Sequence[Box], scores: Sequence[float]
) -> tuple[str, str, str]:
    """Caption the three shots with what the chain of thought holds.

    Args:
        grounding: The decoded chain of thought; the setting is None where the model is unsure.
        company: How many people there are at least.
        told: What the model's lexicon is sure of, of `PLACES`, `BIKE` and `CHILD`.
        boxes: The shots', widest first.
        scores: How far the model's looks agree on each of them, 0..1.
    """
    wide, middle, tight = boxes
    alone = "child" if CHILD in told else "person"
    lead = {
        Company.UNKNOWN: Company.UNKNOWN.value,
        Company.PERSON: f"the {alone}",
        Company.SEVERAL: "one of the people",
        Company.GROUP: "one of the group",
    }
    who = f"a {alone}" if company is Company.PERSON else company.value
    texts = (
        _establishing(grounding, company, who, told, wide),
        _medium(grounding, lead[company], middle, scores[1] >= STEADY),
        _close(grounding, lead[company], tight, scores[2] >= STEADY),
    )
    return _capital(texts[0]), _capital(texts[1]), _capital(texts[2])


def _establishing(grounding: Grounding, company: Company, who: str, told: Set[str], box: Box) -> str:
    place = next((words for word, words in PLACES.items() if word in told), _place(grounding))
    text = " ".join(part for part in (who, "with a bike" if BIKE in told else "", place) if part)
    one = company in (Company.UNKNOWN, Company.PERSON)
    if one and grounding.main_person is not None and grounding.main_person.height < SMALL * box.height:
        return f"{text}, small in the frame"
    if one and _shows_all(grounding, box):
        return f"{text}, full length"
    return text if place else f"{text} and the surroundings"


def _medium(grounding: Grounding, lead: str, box: Box, steady: bool) -> str:
    if not steady:
        return f"a closer view of {lead}"
    if _shows_all(grounding, box):
        return f"a closer view of {lead}, full length"
    end, edge = _below_crown(grounding.main_person, grounding), _below_crown(box, grounding)
    if end >= STANDING and _within(edge, THIGHS):
        return f"{lead} from mid-thigh up"
    cut = grounding.main_person is not None and grounding.main_person.y1 > 1.0 - CUT
    if cut and end < CUT_AT_THE_WAIST and _within(edge, WAIST):
        return f"{lead} from the waist up"
    return f"a closer view of {lead}"


def _close(grounding: Grounding, lead: str, box: Box, steady: bool) -> str:
    if grounding.head is None or visible_share(grounding.head, box) < HEAD_SHOWN:
        return f"a detail of {lead}"
    standing = _below_crown(grounding.main_person, grounding) >= STANDING
    if steady and _within(_below_crown(box, grounding), SHOULDERS_STANDING if standing else SHOULDERS):
        return f"head and shoulders of {lead}"
    return f"a close-up of {lead}"


def _place(grounding: Grounding) -> str:
    return {"indoor": "indoors", "outdoor": "outdoors"}.get(grounding.setting or "", "")


def _shows_all(grounding: Grounding, box: Box) -> bool:
    """Whether a crop shows the lead from the crown to the feet, as far as that is sure."""
    lead, head = grounding.main_person, grounding.head
    if lead is None or head is None or lead.y1 > 1.0 - CUT or _below_crown(lead, grounding) < SEEN_TO_THE_FEET:
        return False
    return box.y0 <= head.y0 + SLACK and lead.y1 - SLACK <= box.y1


def _below_crown(box: Box | None, grounding: Grounding) -> float:
    """Return how far a box's lower edge lies below the lead's crown, in heads; 0 where that is not known."""
    head = grounding.head
    return 0.0 if box is None or head is None else (box.y1 - head.y0) / head.height


def _within(value: float, span: tuple[float, float]) -> bool:
    return span[0] <= value < span[1]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
