"""What is known for sure about the content of a crop, as captions and alternative texts say it.

Each value is a key of `captions.rules`, which has the words for it. None and False mean unknown, not absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

COLOURS = ("dark", "light", "red", "orange", "yellow", "green", "blue", "purple", "pink")
"""Colours of clothes."""
BACKGROUNDS = ("dark", "light", "green", "blue")
FACINGS = ("camera", "left", "right", "away")
FRAMINGS = ("distance", "full", "three-quarter")
"""How much of the main person a crop shows: small in it, from head to feet, or down to the thighs."""
PLACES = (
    *("snow", "ice", "in water", "pool", "beach", "water", "rocks", "playground", "grass", "trees", "street"),
    *("outdoor", "indoor"),
)
"""Where the people are, the most telling first."""
THINGS = ("dog", "motorcycle", "bicycle", "skateboard", "boat", "ball")
"""Animals and objects, the most telling first."""
ACTIONS = ("climbing", "basketball", "tennis", "baseball")
SIDES = ("left", "right")
BEHIND = ("one", "several")
IN_CROP = 0.6
"""A crop shows somebody if it holds this share of the head."""
SIMILAR_HEAD = 0.6
"""Somebody whose head is lower than this share of the head that a crop is about is in the background. Source: 77 photos
of `train` with a largest other head from 0.5 to 0.6, looked at: two had a second subject of that size."""


class Who(str, Enum):
    """Whom a crop shows."""

    MAIN = "main"
    """The main person, and perhaps others."""
    PERSON = "person"
    """A person, and surely no one else of similar size."""
    ALONE = "alone"
    """A person, and surely no one else in the whole photo."""
    CHILD = "child"
    """The same, and it is a child."""
    ONE = "one"
    """One of several people whom a wider shot shows."""
    TWO = "two"
    """Exactly two people."""
    PEOPLE = "people"
    """At least two."""
    GROUP = "group"
    """At least three."""
    CROWD = "crowd"
    DOG = "dog"
    """A dog that the detector took for the main person."""
    UNSURE = "unsure"
    """Perhaps no person at all: an animal or an object may look like one."""

    @property
    def is_one(self) -> bool:
        """Whether it is a single person."""
        return self in (Who.MAIN, Who.PERSON, Who.ALONE, Who.CHILD, Who.ONE)

    @property
    def is_several(self) -> bool:
        """Whether it is more than one person."""
        return self in (Who.TWO, Who.PEOPLE, Who.GROUP, Who.CROWD)


class Part(str, Enum):
    """What a close-up shows of the main person."""

    FACE = "face"
    SHOULDERS = "shoulders"
    """Head and shoulders, the face hidden or unknown."""
    HEAD = "head"
    """The same, without shoulders that surely are in the crop."""
    DETAIL = "detail"


@dataclass(frozen=True, slots=True)
class CropFacts:
    """The facts about one crop.

    Args:
        who: Whom it shows.
        part: What a close-up shows of them; None for the wider shots.
        colour: The main person's clothes, or those of one of several people, one of `COLOURS`.
        thing: One of `THINGS`.
        action: One of `ACTIONS`.
        place: One of `PLACES`.
        facing: Where the main person's face points, as the viewer sees it, one of `FACINGS`.
        framing: One of `FRAMINGS`.
        background: Colour of what is behind a head, one of `BACKGROUNDS`.
        side: Where the main person is in the crop, one of `SIDES`; None in the middle.
        another: The clothes of another of several people, a different one of `COLOURS`.
        behind: How many people are in the background of a single one, one of `BEHIND`.
    """

    who: Who = Who.MAIN
    part: Part | None = None
    colour: str | None = None
    thing: str | None = None
    action: str | None = None
    place: str | None = None
    facing: str | None = None
    framing: str | None = None
    background: str | None = None
    side: str | None = None
    another: str | None = None
    behind: str | None = None


_VALUES = {
    "colour": COLOURS,
    "another": COLOURS,
    "thing": THINGS,
    "action": ACTIONS,
    "place": PLACES,
    "facing": FACINGS,
    "framing": FRAMINGS,
    "background": BACKGROUNDS,
    "side": SIDES,
    "behind": BEHIND,
}


def facts_document(facts: CropFacts) -> dict[str, str]:
    """Return the facts that are known, as sidecars have them."""
    values = ((one.name, getattr(facts, one.name)) for one in fields(facts))
    return {name: value.value if isinstance(value, Enum) else value for name, value in values if value is not None}


def read_facts(document: Mapping[str, object]) -> CropFacts | None:
    """Read the facts of a sidecar; None if it does not say whom the crop shows.

    Another version may know other facts. Those that this one has no words for count as unknown.
    """
    try:
        who = Who(document.get("who"))
        part = None if document.get("part") is None else Part(document["part"])
    except ValueError:
        return None
    known = {name: document[name] for name, values in _VALUES.items() if document.get(name) in values}
    return CropFacts(who, part, **known)  # type: ignore[arg-type]
