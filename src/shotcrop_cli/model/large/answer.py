"""The output contract of ShotCrop models that write text: parse an answer, and render one for training.

Models learn this form, which `render` writes:

    <think>
    scene: ...
    subject: ...
    story: ...
    </think>
    <answer>{"establishing": {"bbox_2d": [x0, y0, x1, y1], "caption": "..."},
    "medium": {...}, "close_up": {...}}</answer>

A photo without people gets `<answer>{"no_subject": true}</answer>`. In `CoordSpace.LOCATION` a box is a text of
four location tokens, `"bbox_2d": "<loc_0><loc_12><loc_255><loc_240>"`.

`parse` also accepts variants that large models write. The opening `<think>` may be missing, because some chat templates
put it into the prompt. The answer may be in one code fence or be bare JSON. `bbox` and `box` mean `bbox_2d`;
`close-up`, `closeup` and `Close Up` mean `close_up`. Tags may replace JSON; closing shot tags are optional:

    <establishing><bbox>[x0, y0, x1, y1]</bbox> caption</establishing>
    <medium><bbox>[x0, y0, x1, y1]</bbox> caption</medium>
    <close_up><bbox>[x0, y0, x1, y1]</bbox> caption</close_up>

Text around a tagged or fenced answer is ignored. Everything else raises `AnswerError`: nothing is repaired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NoReturn

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.geometry import PERMILLE, from_pixels, to_pixels
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, NoSubject, PixelBox, Reasoning, Shot, ShotType

LOCATION_BINS = 256
"""Number of location tokens; the bins divide each side of a photo evenly."""
LOCATION_TOKENS = tuple(f"<loc_{index}>" for index in range(LOCATION_BINS))

NO_SUBJECT = "no_subject"
_BOX_KEYS = ("bbox_2d", "bbox", "box")
_SHOT_NAMES = {kind.value.replace("_", ""): kind for kind in SHOT_TYPES}

# None of these may scan a run of spaces twice: a failing model writes thousands of them.
_LABEL = re.compile(r"(?:\A|(?<=\n)|(?<=\s\s))(scene|subject|story)[ \t]{0,3}:", re.IGNORECASE)
_FENCE = re.compile(r"```(?:json)?(.*?)```", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(/?)([a-z][a-z_ -]{0,20})>", re.IGNORECASE)
_LOCATIONS = re.compile(r"\s*".join([r"<loc_(\d{1,4})>"] * 4))
_BBOX = re.compile(r"\s*<bbox(?:_2d)?>\s*(\[.*?\])\s*</bbox(?:_2d)?>(.*)", re.IGNORECASE | re.DOTALL)


class CoordSpace(str, Enum):
    """The integer coordinates in which a model writes boxes."""

    PERMILLE = "permille"
    """0 to 1000 relative to the image: the contract, and the published format of Qwen3-VL."""
    ABSOLUTE = "absolute"
    """Pixels of the resized image that the model saw: the published format of Qwen2.5-VL."""
    LOCATION = "location"
    """`LOCATION_TOKENS`, added to the vocabulary of a model: our own format."""

    def __str__(self) -> str:
        return self.value

    def steps(self, image_size: tuple[int, int] | None) -> tuple[int, int]:
        """Return the largest x and y of this space.

        Args:
            image_size: Width and height in pixels of the image that the model saw; needed for `ABSOLUTE`.

        Raises:
            ValueError: The size is needed, but missing or empty.
        """
        if self is CoordSpace.PERMILLE:
            return PERMILLE, PERMILLE
        if self is CoordSpace.LOCATION:
            return LOCATION_BINS - 1, LOCATION_BINS - 1
        if image_size is None or min(image_size) < 1:
            raise ValueError(f"absolute coordinates need the size of the resized image, not {image_size}")
        return image_size


def parse(
    text: str, *, space: CoordSpace = CoordSpace.PERMILLE, image_size: tuple[int, int] | None = None
) -> Composition | NoSubject:
    """Parse a model's answer.

    White space in captions and sentences is collapsed. Text in `<think>` without a label is allowed and ignored. A
    missing sentence or caption is empty.

    Args:
        text: The full text of the model, without special tokens.
        space: The coordinates of its boxes.
        image_size: Width and height of the image that the model saw, for `CoordSpace.ABSOLUTE`.

    Returns:
        The three shots with reasoning but without grounding and scores, which the contract does not contain; or
        `NoSubject` for a photo without people. Boxes are relative to the photo, 0 to 1.

    Raises:
        AnswerError: The text violates the contract; the message says in one line why.
        ValueError: `image_size` is needed, but missing.
    """
    steps = space.steps(image_size)
    if not _encodable(text):
        raise AnswerError("the answer is not valid Unicode")
    reasoning, body = _split(text)
    entries = _read_json(body) if body.startswith(("{", "[")) else _read_tags(body)
    if entries is None:
        return NoSubject()
    missing = [str(kind) for kind in SHOT_TYPES if kind not in entries]
    if missing:
        raise AnswerError(f"the answer lacks {', '.join(missing)}")
    return Composition(tuple(_shot(kind, *entries[kind], space, steps) for kind in SHOT_TYPES), reasoning)


def render(
    answer: Composition | NoSubject,
    *,
    space: CoordSpace = CoordSpace.PERMILLE,
    image_size: tuple[int, int] | None = None,
    think: bool = True,
    captions: bool = True,
) -> str:
    """Write an answer in the form of the contract. `parse` returns it with boxes rounded to the coordinate space.

    Scores and grounding are left out. Runs of white space become one space.

    Args:
        answer: The three shots, or `NoSubject`, which is written without reasoning.
        space: The coordinates of the boxes.
        image_size: Width and height of the image that the model saw, for `CoordSpace.ABSOLUTE`.
        think: Whether to write the reasoning.
        captions: Whether to write the captions.

    Raises:
        ValueError: `image_size` is needed, but missing.
    """
    if isinstance(answer, NoSubject):
        return f'<answer>{{"{NO_SUBJECT}": true}}</answer>'
    shots = ", ".join(render_shot(shot, space=space, image_size=image_size, caption=captions) for shot in answer.shots)
    lines = [*_thought(answer.reasoning)] if think else []
    return "\n".join([*lines, f"<answer>{{{shots}}}</answer>"])


def render_shot(
    shot: Shot,
    *,
    space: CoordSpace = CoordSpace.PERMILLE,
    image_size: tuple[int, int] | None = None,
    caption: bool = True,
) -> str:
    """Write one shot's entry in the answer's JSON, `"medium": {"bbox_2d": [...], "caption": "..."}`.

    Without `caption`, the entry has the box alone.

    Raises:
        ValueError: `image_size` is needed, but missing.
    """
    sides = list(to_pixels(shot.box, *space.steps(image_size)).corners)
    box = "".join(LOCATION_TOKENS[side] for side in sides) if space is CoordSpace.LOCATION else sides
    if not caption:
        return f'"{shot.type}": {{"bbox_2d": {json.dumps(box)}}}'
    # Without angle brackets, no caption can be mistaken for a tag.
    words = json.dumps(_one_line(shot.caption), ensure_ascii=False).replace("<", "\\u003c")
    return f'"{shot.type}": {{"bbox_2d": {json.dumps(box)}, "caption": {words}}}'


def _thought(reasoning: Reasoning) -> Iterator[str]:
    sentences = {"scene": reasoning.scene, "subject": reasoning.subject, "story": reasoning.story}
    yield "<think>"
    yield from (f"{label}: {_one_line(words)}" for label, words in sentences.items() if words.strip())
    yield "</think>"


def _split(text: str) -> tuple[Reasoning, str]:
    """Split the text into the reasoning and the body of the answer."""
    thought, closing, rest = text.rpartition("</think>")
    if not closing and "<think>" in text:
        raise AnswerError("<think> is never closed: the answer was cut off")
    before, opening, inner = thought.partition("<think>")
    if opening and before.strip():
        raise AnswerError("there is text before <think>")
    reasoning = _reasoning(inner if opening else thought)

    if "<answer>" in rest or "</answer>" in rest:
        if rest.count("<answer>") != 1 or rest.count("</answer>") != 1:
            raise AnswerError("there must be one <answer> and one </answer>")
        _, _, rest = rest.partition("<answer>")
        rest, closing, _ = rest.partition("</answer>")
        if not closing:
            raise AnswerError("</answer> comes before <answer>")
    if "```" in rest and not rest.lstrip().startswith("{"):
        if rest.count("```") != 2:
            raise AnswerError("there must be exactly one closed code fence")
        (rest,) = _FENCE.findall(rest)
    return reasoning, rest.strip()


def _reasoning(thought: str) -> Reasoning:
    """Parse the labelled sentences. A label is at the start of the text or of a line, or follows two spaces."""
    parts = _LABEL.split(thought.strip())
    labels = [label.lower() for label in parts[1::2]]
    sentences = dict(zip(labels, (_one_line(words) for words in parts[2::2]), strict=True))
    if len(sentences) != len(labels):
        raise AnswerError("a label in <think> is given twice")
    return Reasoning(**sentences)


_Entry = tuple[object, str]
"""A shot as the model wrote it: the unchecked box, and the caption."""


def _read_json(body: str) -> dict[ShotType, _Entry] | None:
    """Parse the entries of the shots; None if the answer says that there are no people."""
    try:
        answer = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the answer is not JSON: {_brief(str(error))}") from None
    if not isinstance(answer, dict):
        raise AnswerError("the answer must be a JSON object with one entry per shot")
    if NO_SUBJECT in answer:
        if answer != {NO_SUBJECT: True} or answer[NO_SUBJECT] is not True:
            raise AnswerError(f"{NO_SUBJECT} must be true and stand alone")
        return None
    entries: dict[ShotType, _Entry] = {}
    for name, value in answer.items():
        kind = shot_type(name)
        if kind in entries:
            raise AnswerError(f"{kind} is given twice")
        entries[kind] = _json_entry(kind, value)
    return entries


def _json_entry(kind: ShotType, value: object) -> _Entry:
    if not isinstance(value, dict):
        raise AnswerError(f"{kind} must be a JSON object")
    keys = [key for key in value if key in _BOX_KEYS]
    if len(keys) != 1:
        raise AnswerError(f"{kind} must have one box under bbox_2d, it has {len(keys)}")
    unknown = [key for key in value if key not in (*_BOX_KEYS, "caption")]
    if unknown:
        raise AnswerError(f"{kind} has an unknown key: {_brief(unknown[0])}")
    caption = value.get("caption", "")
    if not isinstance(caption, str) or not _encodable(caption):
        raise AnswerError(f"{kind} must have text as its caption")
    return value[keys[0]], caption


def _read_tags(body: str) -> dict[ShotType, _Entry]:
    """Parse `<shot><bbox>[...]</bbox> caption`. A shot ends at its closing tag, at the next shot or at the end."""
    entries: dict[ShotType, _Entry] = {}
    tags = [tag for tag in _TAG.finditer(body) if not tag[2].lower().startswith("bbox")]
    if not tags:
        raise AnswerError(f"there is neither JSON nor a tagged shot in the answer: {_brief(body)}")
    if body[: tags[0].start()].strip():
        raise AnswerError(f"there is text before the first shot: {_brief(body)}")
    ends = [*(tag.start() for tag in tags[1:]), len(body)]
    last: ShotType | None = None
    for tag, end in zip(tags, ends, strict=True):
        kind, inside = shot_type(tag[2]), body[tag.end() : end]
        if tag[1]:
            if kind is not last or inside.strip():
                raise AnswerError(f"the closing tag of {kind} is misplaced")
            last = None
            continue
        if kind in entries:
            raise AnswerError(f"{kind} is given twice")
        match = _BBOX.fullmatch(inside)
        if match is None or "<" in match[2]:
            raise AnswerError(f"{kind} must be one <bbox>[x0, y0, x1, y1]</bbox> and a caption")
        try:
            sides = json.loads(match[1], parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise AnswerError(f"{kind} has a box that is no list of numbers: {_brief(match[1])}") from None
        entries[kind] = sides, match[2]
        last = kind
    return entries


def _shot(kind: ShotType, sides: object, caption: str, space: CoordSpace, steps: tuple[int, int]) -> Shot:
    if space is CoordSpace.LOCATION:
        sides = _bins(kind, sides)
    return Shot(kind, _box(kind, sides, steps), _one_line(caption))


def _bins(kind: ShotType, tokens: object) -> list[int]:
    """Return the bins of four location tokens."""
    match = _LOCATIONS.fullmatch(tokens) if isinstance(tokens, str) else None
    if match is None:
        raise AnswerError(f"{kind} must have a box of four location tokens, not {_brief(str(tokens))}")
    return [int(number) for number in match.groups()]


def _box(kind: ShotType, sides: object, steps: tuple[int, int]) -> Box:
    if not isinstance(sides, list) or len(sides) != 4 or any(isinstance(side, (list, dict)) for side in sides):
        raise AnswerError(f"{kind} must have a box of four numbers")
    shown = _brief(str(sides))
    x0, y0, x1, y1 = (_whole(kind, side, shown) for side in sides)
    if min(x0, x1) < 0 or min(y0, y1) < 0 or max(x0, x1) > steps[0] or max(y0, y1) > steps[1]:
        raise AnswerError(f"{kind} has a box outside 0..{steps[0]} by 0..{steps[1]}: {shown}")
    if x0 >= x1 or y0 >= y1:
        raise AnswerError(f"{kind} has an empty box or swapped corners: {shown}")
    return from_pixels(PixelBox(x0, y0, x1 - x0, y1 - y0), *steps)


def _whole(kind: ShotType, side: object, shown: str) -> int:
    """Return a whole number. 12.0 is accepted; 0.12 is not, because it may mean a fraction of the image."""
    if isinstance(side, float) and side.is_integer():
        return int(side)
    if isinstance(side, bool) or not isinstance(side, int):
        raise AnswerError(f"{kind} has a box with sides that are no whole numbers: {shown}")
    return side


def shot_type(name: str) -> ShotType:
    """Return the shot type for a name such as `close_up`, `close-up`, `closeup` or `Close Up`.

    Raises:
        AnswerError: No shot has this name.
    """
    kind = _SHOT_NAMES.get(re.sub(r"[\s_-]", "", name).lower())
    if kind is None:
        raise AnswerError(f"the answer has an unknown shot: {_brief(name)}")
    return kind


def _unique(pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key is given twice")
    return entries


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _encodable(words: str) -> bool:
    """Return whether a text can be encoded as UTF-8; a lone surrogate cannot."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def _brief(words: str) -> str:
    """Shorten a model's text to one printable line for an error message."""
    line = _one_line(ascii(words)[1:-1] if not words.isprintable() else words)
    return line if len(line) <= 80 else f"{line[:79]}…"
