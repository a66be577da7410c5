"""The nouns everyone shares: boxes, shots, compositions and what a model may answer.

Every `Box` is relative to the upright photo (EXIF orientation applied): x by its width, y by its height,
origin in the upper left corner, 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

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


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle, relative to the upright photo.

    Raises:
        ValueError: A side is not finite, lies outside 0..1, or the rectangle is empty.
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
        box: Where it is cut.
        caption: What is seen inside the box; empty when the model does not write captions.
        score: The model's confidence in the box, 0..1, or None when it gives none.
    """

    type: ShotType
    box: Box
    caption: str = ""
    score: float | None = None


SETTINGS = ("indoor", "outdoor")
FACINGS = ("camera", "left", "right", "away", "down", "up")
NATIVE_SCALES = ("wide", "full", "medium", "close")


@dataclass(frozen=True, slots=True)
class Grounding:
    """What the compact model sees before it composes: its chain of thought in figures.

    Args:
        lead: Box of the person who carries the story.
        head: Box of the lead's head, hair top to chin.
        people: Number of people, 4 standing for four or more.
        setting: One of `SETTINGS`.
        facing: Where the lead's face points as the viewer sees it, one of `FACINGS`.
        native_scale: How the photo itself frames the lead, one of `NATIVE_SCALES`.
    """

    lead: Box | None = None
    head: Box | None = None
    people: int | None = None
    setting: str | None = None
    facing: str | None = None
    native_scale: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The chain of thought in words, each one short sentence."""

    scene: str = ""
    subject: str = ""
    story: str = ""


@dataclass(frozen=True, slots=True)
class Composition:
    """A triple of shots with the reasoning that led to it.

    Args:
        shots: Exactly one shot of each type, in the order of `SHOT_TYPES`.
        reasoning: The chain of thought in words.
        grounding: The chain of thought in figures, from models that give it.

    Raises:
        AnswerError: A shot is missing, doubled or out of order.
    """

    shots: tuple[Shot, ...]
    reasoning: Reasoning = Reasoning()
    grounding: Grounding | None = None

    def __post_init__(self) -> None:
        if tuple(shot.type for shot in self.shots) != SHOT_TYPES:
            raise AnswerError(f"a triple needs {', '.join(SHOT_TYPES)} once each and in this order")

    def __getitem__(self, shot_type: ShotType) -> Shot:
        return self.shots[SHOT_TYPES.index(shot_type)]


@dataclass(frozen=True, slots=True)
class NoSubject:
    """The model sees nobody in the photo; `score` is its confidence, 0..1."""

    score: float | None = None


Answer = Composition | NoSubject | AnswerError
"""What a model says of one photo. An error is a value, so that one photo cannot end a batch."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model answered, and where it really ran."""

    id: str
    sha256: str
    provider: str


class Composer(Protocol):
    """The one interface between the crop engine and any model."""

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
