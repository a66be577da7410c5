"""The compact model's language: its control tokens and the one order in which they may come.

An answer of `shotcrop-nano` is a fixed sequence of slots. The grounded chain of thought comes first, then the shots:

    <people_2> <outdoor> <facing_left> <scale_full>
    <lead> x0 y0 x1 y1 <head> x0 y0 x1 y1
    <establishing> x0 y0 x1 y1 caption <medium> x0 y0 x1 y1 caption <close_up> x0 y0 x1 y1 caption <|end|>

where each coordinate is one of `LOCATION_BINS` location tokens. A photo of nobody is `<people_0> <|end|>`. Training
writes this text, and the runtime masks each step to what its slot allows: every decoded answer is well-formed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from shotcrop_cli.captions.rules import verbalise
from shotcrop_cli.errors import AnswerError
from shotcrop_cli.geometry import clamp
from shotcrop_cli.model.large.answer import LOCATION_BINS, LOCATION_TOKENS
from shotcrop_cli.shots import (
    FACINGS,
    NATIVE_SCALES,
    SETTINGS,
    SHOT_TYPES,
    Box,
    Composition,
    Grounding,
    NoSubject,
    Shot,
)

PAD, USER, ASSISTANT, END, IMAGE = "<pad>", "<|user|>", "<|assistant|>", "<|end|>", "<image>"
SPECIAL_TOKENS = (PAD, USER, ASSISTANT, END, IMAGE)

UNKNOWN = "<unk>"
"""Stands where an annotation is missing; it never carries loss, and is never decoded."""

PEOPLE = tuple(f"<people_{count}>" for count in range(5))
"""Number of people, the last one standing for four or more."""
SETTING_TOKENS = tuple(f"<{name}>" for name in SETTINGS)
FACING_TOKENS = tuple(f"<facing_{name}>" for name in FACINGS)
SCALE_TOKENS = tuple(f"<scale_{name}>" for name in NATIVE_SCALES)
LEAD, HEAD = "<lead>", "<head>"
SHOT_TOKENS = tuple(f"<{shot_type}>" for shot_type in SHOT_TYPES)

ASPECT_BINS = 15
ASPECT = "<aspect>"
"""Placeholder in a prompt that the processor replaces by the token of the photo's aspect."""
ASPECT_TOKENS = tuple(f"<aspect_{index}>" for index in range(ASPECT_BINS))
ASPECT_UNKNOWN = "<aspect_unknown>"
ASPECT_STEP = 1.15
"""Ratio between neighbouring aspect bins [O]; the middle bin is square, the outer ones are about 2.7:1 and wider."""

CONTROL_TOKENS = (
    *SPECIAL_TOKENS,
    UNKNOWN,
    *ASPECT_TOKENS,
    ASPECT_UNKNOWN,
    *PEOPLE,
    *SETTING_TOKENS,
    *FACING_TOKENS,
    *SCALE_TOKENS,
    LEAD,
    HEAD,
    *SHOT_TOKENS,
    *LOCATION_TOKENS,
)
"""Every non-text token in the order of its id; they follow the text tokens of the vocabulary."""


class Slot(Enum):
    """What may stand at a place in the answer."""

    PEOPLE = "people"
    SETTING = "setting"
    FACING = "facing"
    SCALE = "scale"
    LEAD = "lead"
    HEAD = "head"
    X0 = "x0"
    Y0 = "y0"
    X1 = "x1"
    Y1 = "y1"
    ESTABLISHING = "establishing"
    MEDIUM = "medium"
    CLOSE_UP = "close_up"
    TEXT = "text"
    END = "end"


BOX_SLOTS = (Slot.X0, Slot.Y0, Slot.X1, Slot.Y1)
LAYOUT = (
    *(Slot.PEOPLE, Slot.SETTING, Slot.FACING, Slot.SCALE),
    *(Slot.LEAD, *BOX_SLOTS, Slot.HEAD, *BOX_SLOTS),
    *(Slot.ESTABLISHING, *BOX_SLOTS, Slot.TEXT),
    *(Slot.MEDIUM, *BOX_SLOTS, Slot.TEXT),
    *(Slot.CLOSE_UP, *BOX_SLOTS, Slot.TEXT),
    Slot.END,
)
"""The slots in order; TEXT holds one to many tokens, every other slot exactly one."""

THOUGHT = LAYOUT.index(Slot.ESTABLISHING)
"""How many slots the chain of thought takes."""

SLOT_TOKENS: dict[Slot, tuple[str, ...]] = {
    Slot.PEOPLE: PEOPLE,
    Slot.SETTING: SETTING_TOKENS,
    Slot.FACING: FACING_TOKENS,
    Slot.SCALE: SCALE_TOKENS,
    Slot.LEAD: (LEAD,),
    Slot.HEAD: (HEAD,),
    Slot.ESTABLISHING: SHOT_TOKENS[:1],
    Slot.MEDIUM: SHOT_TOKENS[1:2],
    Slot.CLOSE_UP: SHOT_TOKENS[2:],
    **dict.fromkeys(BOX_SLOTS, LOCATION_TOKENS),
    Slot.END: (END,),
}

MIN_SIDE_BINS = 4
"""No decoded box is narrower or lower than this many bins (1.6 % of the photo) [O]."""


def prompt(image_tokens: int, aspect: str = ASPECT) -> str:
    """Return the text that precedes every answer, with `image_tokens` places for the image features."""
    return f"{USER}{IMAGE * image_tokens}{aspect}{END}{ASSISTANT}"


def aspect_token(aspect: float | None) -> str:
    """Return the token for a photo's width / height, None when it is unknown."""
    if aspect is None:
        return ASPECT_UNKNOWN
    index = round(math.log(aspect) / math.log(ASPECT_STEP)) + ASPECT_BINS // 2
    return ASPECT_TOKENS[min(max(index, 0), ASPECT_BINS - 1)]


def location_bin(coordinate: float) -> int:
    """Return the bin whose centre, index / (LOCATION_BINS - 1), is nearest to a relative coordinate."""
    return round(min(max(coordinate, 0.0), 1.0) * (LOCATION_BINS - 1))


def location_tokens(box: Box) -> str:
    """Write a box as its four location tokens."""
    return "".join(LOCATION_TOKENS[location_bin(side)] for side in box)


def normalise_caption(caption: str) -> str:
    """Fold a caption to the form the compact model reads and writes: lower case, single spaces, no final full stop."""
    folded = re.sub(r"\s+([.,;:!?'])", r"\1", " ".join(caption.lower().split()))
    return folded.strip(" .")


def sentence(text: str) -> str:
    """Turn a normalised caption back into a sentence for people: a capital first letter, no full stop."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def write(grounding: Grounding, shots: Sequence[tuple[Box | None, str]], *, end: str = "") -> str:
    """Write an answer as the compact model's text, with `<unk>` for everything that is not known.

    Args:
        grounding: What is seen; `people == 0` gives the answer for a photo of nobody.
        shots: Box (or None) and caption (or "") for each of the three shots, in their order.
        end: Text after the answer, such as the end token.
    """
    if grounding.people == 0:
        return PEOPLE[0] + end

    def attribute(prefix: str, value: str | None) -> str:
        return UNKNOWN if value is None else f"<{prefix}{value}>"

    def box_text(box: Box | None) -> str:
        return UNKNOWN * 4 if box is None else location_tokens(box)

    parts = [
        UNKNOWN if grounding.people is None else PEOPLE[min(grounding.people, len(PEOPLE) - 1)],
        attribute("", grounding.setting),
        attribute("facing_", grounding.facing),
        attribute("scale_", grounding.native_scale),
        LEAD + box_text(grounding.main_person),
        HEAD + box_text(grounding.head),
    ]
    for token, (box, caption) in zip(SHOT_TOKENS, shots, strict=True):
        parts.append(token + box_text(box) + (f" {normalise_caption(caption)}" if caption else UNKNOWN))
    return "".join(parts) + end


_BOX_PATTERN = r"<loc_(\d+)>" * 4
_ANSWER_PATTERN = re.compile(
    rf"<people_([1-4])><({'|'.join(SETTINGS)})><facing_({'|'.join(FACINGS)})><scale_({'|'.join(NATIVE_SCALES)})>"
    rf"<lead>{_BOX_PATTERN}<head>{_BOX_PATTERN}"
    + "".join(rf"{re.escape(token)}{_BOX_PATTERN}([^<>]*)" for token in SHOT_TOKENS)
)


def read(text: str) -> Composition | NoSubject:
    """Read an answer in the compact model's text at the precision of whole bins.

    Raises:
        AnswerError: The text is not an answer, or a box in it is empty or has swapped corners.
    """
    text = text.removesuffix(END).strip()
    if text == PEOPLE[0]:
        return NoSubject()
    match = _ANSWER_PATTERN.fullmatch(text)
    if match is None:
        raise AnswerError("the answer does not follow the compact model's grammar")
    fields = iter(match.groups())
    people, setting, facing, scale = (next(fields) for _ in range(4))

    def box() -> Box:
        bins = [int(next(fields)) for _ in range(4)]
        try:
            return Box(*(index / (LOCATION_BINS - 1) for index in bins))
        except ValueError as error:
            raise AnswerError(f"the answer holds an impossible box: {error}") from None

    lead, head = box(), box()
    shots = tuple(Shot(shot_type, box(), sentence(next(fields))) for shot_type in SHOT_TYPES)
    grounding = Grounding(lead, head, int(people), setting, facing, scale)
    return Composition(shots, verbalise(grounding), grounding)


_PLACES = {token: place for place, token in enumerate(CONTROL_TOKENS)}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Where the tokens lie in a model's vocabulary: text ids first, then `CONTROL_TOKENS` in order.

    Args:
        text_tokens: Number of text tokens, and so the id of the first control token.
    """

    text_tokens: int

    def __len__(self) -> int:
        return self.text_tokens + len(CONTROL_TOKENS)

    def id(self, token: str) -> int:
        """Return the id of a control token."""
        return self.text_tokens + _PLACES[token]

    def span(self, tokens: Sequence[str]) -> slice:
        """Return the ids of a contiguous run of control tokens."""
        first = self.id(tokens[0])
        return slice(first, first + len(tokens))

    @property
    def locations(self) -> slice:
        """Ids of the location tokens, in the order of their bins."""
        return self.span(LOCATION_TOKENS)


def safe_box(sides: Sequence[float]) -> Box:
    """Return the valid box nearest to four decoded sides."""
    return clamp(*sides, min_side=MIN_SIDE_BINS / (LOCATION_BINS - 1))
