"""The instruction for large models, which describes the output contract of `shotcrop_cli.model.large.answer`.

Training and runtime use the same text. A trained model depends on it word by word, so a change needs new training. The
compact model needs no instruction, because it has only one task.
"""

from __future__ import annotations

from collections.abc import Mapping

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.large.answer import LOCATION_BINS, CoordSpace
from shotcrop_cli.model.large.manifest import Prompt
from shotcrop_cli.shots import ShotType

DEFINITIONS: Mapping[ShotType, str] = {
    ShotType.ESTABLISHING: "the widest frame worth showing, the place and its people, without a dead or busy rim",
    ShotType.MEDIUM: "the lead person from above the head to the waist or mid-thigh, hands and action included",
    ShotType.CLOSE_UP: "the lead person's head and shoulders, the face whole, or the detail that carries the story",
}
"""What each shot shows, in one phrase."""

_BOXES: Mapping[CoordSpace, tuple[str, str]] = {
    CoordSpace.PERMILLE: (
        "[x0, y0, x1, y1]",
        "Boxes are whole numbers from 0 to 1000, x relative to the width and y to the height of the photo.",
    ),
    CoordSpace.ABSOLUTE: ("[x0, y0, x1, y1]", "Boxes are whole pixels of the photo."),
    CoordSpace.LOCATION: (
        '"x0 y0 x1 y1"',
        f"Boxes are four location tokens <loc_0> to <loc_{LOCATION_BINS - 1}> without spaces, x across the width and y "
        "down the height of the photo.",
    ),
}
"""For each coordinate space, the placeholder for a box in the pattern, and a description of the format."""

_THINK = (
    "First write <think>, then three lines of one short sentence each, then </think>. scene: the place and its light. "
    "subject: who leads, where in the frame, facing which way. story: what the three shots tell together.\n"
)


def instruction(space: CoordSpace = CoordSpace.PERMILLE, *, think: bool = True, captions: bool = True) -> str:
    """Return the user message that asks for an answer in the form of the contract.

    Args:
        space: The coordinates of the boxes.
        think: Whether the model writes its reasoning first.
        captions: Whether the model writes captions. Only training asks without them, where an expert's are unknown.
    """
    box, how = _BOXES[space]
    shots = "\n".join(f"{kind}: {meaning}." for kind, meaning in DEFINITIONS.items())
    caption = ', "caption": "..."' if captions else ""
    pattern = ", ".join(f'"{kind}": {{"bbox_2d": {box}{caption}}}' for kind in DEFINITIONS)
    about = " A caption is one sentence of 6 to 18 words about what its own box shows." if captions else ""
    return (
        f"Tell the story of the people in this photo in three shots, each a crop of it{' with a caption' * captions}.\n"
        f"{shots}\n"
        f"{_THINK if think else ''}"
        f"Answer with <answer>{{{pattern}}}</answer>.\n"
        f"{how}{about}\n"
        'If nobody is visible, write only <answer>{"no_subject": true}</answer>.'
    )


_PICTURE_START, _PICTURE_END = "<|vision_start|>", "<|vision_end|>"
"""Around the visual tokens of a picture. Source: the chat templates of Qwen2.5-VL and Qwen3-VL."""


def texts_around(prompt: Prompt, question: str, pictures: int) -> list[str]:
    """Return the texts before, between and after pictures, for another question in the chat template of a model.

    Args:
        prompt: The model's prompt for crops.
        question: The text that takes the place of the instruction.
        pictures: The number of pictures, at least one.

    Raises:
        AnswerError: The prompt does not have the form that `shotcrop export-onnx` writes.
    """
    asked = instruction(prompt.coord_space, think=prompt.think)
    before, found, after = prompt.suffix.partition(asked)
    if not found or not prompt.prefix.endswith(_PICTURE_START) or not before.startswith(_PICTURE_END):
        raise AnswerError("the model has another prompt than this version of shotcrop writes; export it again")
    return [prompt.prefix, *[_PICTURE_END + _PICTURE_START] * (pictures - 1), before + question + after]
