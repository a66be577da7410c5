"""The types that every part shares: boxes, shots, compositions and the answers of a model.

Every `Box` is relative to the upright photo (EXIF orientation applied): x by its width, y by its height,
origin in the upper left corner, 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from shotcrop_cli.crop_facts import CropFacts
from shotcrop_cli.errors import AnswerError

if TYPE_CHECKING:
    from PIL import Image


class ShotType(str, Enum):
    """The three shot sizes of a triple, widest first."""

    ESTABLISHING = "establishing"
    MEDIUM = "medium"
    CLOSE_UP = "close_up"

    def __str__(self) -> str:
        return self.value


SHOT_TYPES: tuple[ShotType, ...] = tuple(ShotType)
MAIN = "main"
"""The person of a crop that shows the main subject."""
GROUP = "group"
"""The person of a crop that shows everybody who belongs together."""
DEFAULT_SET = "default"
"""The set of the crops that no ratio set asks for."""


class CropKey(str):
    """Which crop of a photo: the person it shows, the ratio set it belongs to, and the shot.

    A key is its own label: the shot with the person before it, unless that is `main`, and the set after it, unless that
    is `default`. So the key of an ordinary crop equals its `ShotType`, and `person2-medium-story` is another one.

    Args:
        shot: Which of the three shots.
        person: `main`, `person1`, `person2` and so on in the order of `Composition.people`, or `group`.
        set_name: Name of the ratio set.
    """

    shot: ShotType
    person: str
    set_name: str

    def __new__(cls, shot: ShotType, person: str = MAIN, set_name: str = DEFAULT_SET) -> CropKey:
        """Make a key."""
        before = "" if person == MAIN else f"{person}-"
        after = "" if set_name == DEFAULT_SET else f"-{set_name}"
        key = super().__new__(cls, f"{before}{shot.value}{after}")
        key.shot, key.person, key.set_name = shot, person, set_name
        return key

    def __getnewargs__(self) -> tuple[ShotType, str, str]:  # type: ignore[override]
        """Return what a copy in another process is made of."""
        return self.shot, self.person, self.set_name

    @classmethod
    def of(cls, key: CropKey | ShotType) -> CropKey:
        """Return the key of a crop; a `ShotType` stands for the ordinary crop of that shot."""
        return key if isinstance(key, CropKey) else cls(key)

    @property
    def is_ordinary(self) -> bool:
        """Whether it shows the main subject and belongs to no ratio set."""
        return self.person == MAIN and self.set_name == DEFAULT_SET


def person_key(number: int) -> str:
    """Return what a `CropKey` calls the person with a number, counted from 1."""
    return f"person{number}"


def person_number(person: str) -> int | None:
    """Return the number of a person of a `CropKey`, counted from 1; None for `main` and `group`."""
    number = person.removeprefix("person")
    return int(number) if number != person and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle, relative to the upright photo.

    Raises:
        ValueError: A side is not finite or outside 0..1, or the rectangle is empty.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(side) for side in self):
            raise ValueError(f"box sides must be finite: {tuple(self)}")
        if not (0.0 <= self.x0 < self.x1 <= 1.0 and 0.0 <= self.y0 < self.y1 <= 1.0):
            raise ValueError(f"box must have 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1: {tuple(self)}")

    def __iter__(self) -> Iterator[float]:
        return iter((self.x0, self.y0, self.x1, self.y1))

    @property
    def width(self) -> float:
        """Width as a share of the photo's width."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height as a share of the photo's height."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Area as a share of the photo's area."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y), relative to the photo."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


FULL_FRAME = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class PixelBox:
    """A rectangle in whole pixels of the upright photo: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """The (left, upper, right, lower) tuple that Pillow's crop takes."""
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass(frozen=True, slots=True)
class Shot:
    """One crop of a triple.

    Args:
        type: Which of the three sizes it is.
        box: Where it is cropped.
        caption: A description of the crop; empty when the model does not write captions.
        score: The model's confidence in the box, 0..1, or None when the model has none.
        alt_text: The description for somebody who cannot see the crop; empty when the model does not write it.
    """

    type: ShotType
    box: Box
    caption: str = ""
    score: float | None = None
    alt_text: str = ""


SETTINGS = ("indoor", "outdoor")
FACINGS = ("camera", "left", "right", "away", "down", "up")
NATIVE_SCALES = ("wide", "full", "medium", "close")
MANY_PEOPLE = 4
"""`Grounding.people` counts up to this: four stands for four or more."""


@dataclass(frozen=True, slots=True)
class Grounding:
    """The facts a model found before it composed: its chain of thought in figures.

    Args:
        main_person: Box of the person who carries the story.
        head: Box of the main person's head, hair top to chin.
        people: Number of people, up to `MANY_PEOPLE`.
        setting: One of `SETTINGS`.
        facing: The direction the main person's face points as the viewer sees it, one of `FACINGS`.
        native_scale: How the photo itself frames the main person, one of `NATIVE_SCALES`.
    """

    main_person: Box | None = None
    head: Box | None = None
    people: int | None = None
    setting: str | None = None
    facing: str | None = None
    native_scale: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The chain of thought in words, one short sentence each."""

    scene: str = ""
    subject: str = ""
    story: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A person in a photo, and the triple of shots that shows them.

    Args:
        body: The person as far as they are visible, None if unknown.
        head: Hair top to chin, None if unknown.
        face: The face, None if it is not visible or unknown.
        probability: Probability that this is the main person, or one of several who are the main subject together.
        shots: Exactly one shot of each type, in the order of `SHOT_TYPES`.
        name: Who it is, if the photo's metadata says so; otherwise None.
        confidence: How sure the model is that this is a person, 0..1, or None when it does not say.
        facts: What each shot surely shows; see `Composition`.

    Raises:
        AnswerError: A shot is missing, repeated or out of order.
    """

    body: Box | None
    head: Box | None
    face: Box | None
    probability: float
    shots: tuple[Shot, ...]
    name: str | None = None
    confidence: float | None = None
    facts: tuple[CropFacts, ...] = ()

    def __post_init__(self) -> None:
        _check_triple(self.shots)


@dataclass(frozen=True, slots=True)
class Composition:
    """A triple of shots with the reasoning that led to it.

    Args:
        shots: Exactly one shot of each type, in the order of `SHOT_TYPES`.
        reasoning: The chain of thought in words.
        grounding: The chain of thought in figures, None from models without one.
        people: Everybody in the photo, the main person first; empty from models that find the main person alone.
        facts: What each shot surely shows, from models that have their captions written by rule; otherwise empty.
        people_count: How many people the photo surely shows, up to `MANY_PEOPLE`; None if the model is not sure.

    Raises:
        AnswerError: A shot is missing, repeated or out of order.
    """

    shots: tuple[Shot, ...]
    reasoning: Reasoning = Reasoning()
    grounding: Grounding | None = None
    people: tuple[Person, ...] = ()
    facts: tuple[CropFacts, ...] = ()
    people_count: int | None = None

    def __post_init__(self) -> None:
        _check_triple(self.shots)

    def __getitem__(self, shot_type: ShotType) -> Shot:
        return self.shots[SHOT_TYPES.index(shot_type)]


def _check_triple(shots: Sequence[Shot]) -> None:
    if tuple(shot.type for shot in shots) != SHOT_TYPES:
        raise AnswerError(f"a triple needs {', '.join(SHOT_TYPES)} once each and in this order")


@dataclass(frozen=True, slots=True)
class NoSubject:
    """The model found no people in the photo; `score` is its confidence, 0..1."""

    score: float | None = None


Answer = Composition | NoSubject | AnswerError
"""A model's answer for one photo. An error is a value, so that one photo cannot end a batch."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that answered, and the execution provider it really ran on."""

    id: str
    sha256: str
    provider: str


class Composer(Protocol):
    """The one interface between the pipeline and any model."""

    @property
    def identity(self) -> ModelIdentity:
        """Name, content hash and execution provider of the loaded model."""
        ...

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """Width and height in pixels that `compose` wants its images squashed to.

        A width of 0 keeps the photo's shape; the height then is the most pixels of its longer side, 0 for the default.
        """
        ...

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch.

        Args:
            thumbnails: Upright sRGB images in mode RGB, squashed to `thumbnail_size`.
            aspects: Width / height of each upright photo before it was squashed.

        Returns:
            One answer per thumbnail, in order.
        """
        ...


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """What a captioner sees of a photo.

    Args:
        shots: The shots to describe, widest first.
        images: Their crops, each as a JPEG without metadata.
        photo: The whole photo, small, in the same form; None if the captioner may not see it.
        people: Number of people in the photo, up to `MANY_PEOPLE`; None if unknown.
    """

    shots: tuple[ShotType, ...]
    images: tuple[bytes, ...]
    photo: bytes | None = None
    people: int | None = None


@dataclass(frozen=True, slots=True)
class ShotText:
    """What a crop shows, for readers and for those who cannot see it."""

    caption: str
    alt_text: str = ""


@dataclass(frozen=True, slots=True)
class PhotoText:
    """The words for a photo: one `ShotText` per shot of the request, and a line that connects them."""

    shots: tuple[ShotText, ...]
    story: str = ""


class Captioner(Protocol):
    """The one interface between the photo library and whatever describes crops in words. Threads may share one."""

    def caption(self, request: CaptionRequest, problems: Sequence[str] = ()) -> PhotoText:
        """Describe the crops of a photo.

        Args:
            request: What to describe.
            problems: What was wrong with the first answer; empty when it asks for the first time.

        Raises:
            CaptionError: There is no answer, or it cannot be read.
        """
        ...
