"""Criterion `mllm`: a vision-language model gives a crop four marks from 0 to 10 by a written rubric.

That such a model judges is in the paper's abstract. The paper's own rubric is not known to us: the items here are
second-hand, from a transcription of its text, and the words are ours. The score is the mean mark / 10 and needs no
calibration. An answer without all four marks gives no score.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import fmean

import torch
from PIL import Image

from shotcrop_cli.shots import Shot, ShotType
from shotcrop_train.checkpoints import load_base
from shotcrop_train.recipe import ModelRecipe
from shotcrop_train.scorers import Judged, ScorerRecipe
from shotcrop_train.text_base import TextBase

ITEMS = ("shot_type", "integrity", "composition", "story")
BEST = 10.0
ANSWER_TOKENS = 160
"""Enough for the four marks with some prose around them. Our own choice."""

MEANINGS = {
    ShotType.ESTABLISHING: "an establishing shot: it shows the place and how the people stand in it",
    ShotType.MEDIUM: "a medium shot: it shows the main person from above the head to the waist or thigh,"
    " and what they do",
    ShotType.CLOSE_UP: "a close-up: it shows the main person's head and shoulders,"
    " or the one detail that tells the story",
}

RUBRIC = """This picture was cut out of a photo to be {meaning}.{caption}
Judge it as a film editor would. Give each item a whole number from 0 (useless) to 10 (flawless):
shot_type: it has the framing of that shot, neither wider nor tighter.
integrity: the main person is whole where the shot needs it; no chin, hand or joint is cut, no other person is half in.
composition: headroom, room in front of the gaze, balance, no dead space and nothing that distracts.
story: it shows what matters, and would be understood in a sequence of three shots.
Answer with one JSON object and nothing else:
{{"shot_type": _, "integrity": _, "composition": _, "story": _}}"""

_NUMBER = r"(\d+(?:\.\d+)?)"
_MARK = re.compile(rf"{_NUMBER}(?:\s*/\s*{_NUMBER}|\s*out\s+of\s+{_NUMBER})?")
_LIST = re.compile(r"\[([^\[\]]*)\]")


def rubric(shot: Shot) -> str:
    """Return the question about a crop."""
    caption = f' It is described as: "{shot.caption}"' if shot.caption else ""
    return RUBRIC.format(meaning=MEANINGS[shot.type], caption=caption)


def read_marks(text: str) -> float | None:
    """Read a judge's answer.

    It understands JSON with prose around it, one item per line, fractions such as `8/10` or `4 out of 5`, and a bare
    list of four numbers in the rubric's order.

    Returns:
        The mean of the four marks, divided by the best mark, 0..1. None when a mark is missing or out of range.
    """
    text = text.rpartition("</think>")[2]
    marks = [_last(_marks_of(item, text)) for item in ITEMS]
    if all(mark is None for mark in marks):
        found = [_LIST.findall(text)[-1:], [text]]
        parts = next((one[0] for one in found if one), "").split(",")
        marks = [_mark(part.strip()) for part in parts] if len(parts) == len(ITEMS) else []
    known = [mark for mark in marks if mark is not None and 0.0 <= mark <= 1.0]
    return fmean(known) if len(known) == len(ITEMS) else None


def _marks_of(item: str, text: str) -> Iterator[float | None]:
    """Yield each mark given to an item: the item's name, punctuation, a number."""
    name = item.replace("_", r"[\s_-]*")
    for match in re.finditer(rf"\b{name}\b[\s\"'*_`]*[:=|-]?[\s\"'*_`(]*", text, re.IGNORECASE):
        number = _MARK.match(text, match.end())
        if number is not None:
            yield _share(number)


def _last(marks: Iterator[float | None]) -> float | None:
    """Return the last mark: a model that thinks aloud ends with its conclusion."""
    return next(reversed(list(marks)), None)


def _mark(text: str) -> float | None:
    number = _MARK.fullmatch(text)
    return None if number is None else _share(number)


def _share(number: re.Match[str]) -> float | None:
    best = float(number[2] or number[3] or BEST)
    return float(number[1]) / best if best > 0.0 else None


class MllmScorer:
    """Scores a crop by the marks of a vision-language model.

    Args:
        base: The model, with a chat template.
        batch_size: Crops per batch.
        max_pixels: Crops are shrunk to this many pixels.
    """

    name = "mllm"
    calibrated = False

    def __init__(self, base: TextBase, batch_size: int = 16, max_pixels: int = 1_048_576) -> None:
        self.model, self.processor = base.model.eval(), base.processor
        self.batch_size, self.max_pixels = batch_size, max_pixels

    def score(self, judged: Sequence[Judged]) -> list[float | None]:
        """Return mean marks, None for an answer without all four; see `Scorer`."""
        scores: list[float | None] = []
        for first in range(0, len(judged), self.batch_size):
            batch = judged[first : first + self.batch_size]
            images = [_within(one.photo.crop(one.shot.box), self.max_pixels) for one in batch]
            scores += map(read_marks, self._ask(images, [rubric(one.shot) for one in batch]))
        return scores

    @torch.inference_mode()
    def _ask(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[str]:
        chats = [
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
            for question in questions
        ]
        prompts = [
            self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats
        ]
        inputs = self.processor(
            images=[[image] for image in images],
            text=prompts,
            padding=True,
            padding_side="left",
            add_special_tokens=False,
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)
        written = self.model.generate(**inputs, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        fresh = written[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self.processor.tokenizer.batch_decode(fresh, skip_special_tokens=True)
        return texts


def _within(image: Image.Image, pixels: int) -> Image.Image:
    """Return an image with at most this many pixels."""
    scale = (pixels / (image.width * image.height)) ** 0.5
    if scale >= 1.0:
        return image
    return image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))


def load_mllm(settings: ScorerRecipe, *, offline: bool = False) -> MllmScorer:
    """Load the model that judges.

    Raises:
        ShotcropError: The model is missing.
    """
    base = load_base(settings.mllm, ModelRecipe(max_pixels=settings.max_pixels), offline=offline)
    return MllmScorer(base, settings.batch_size, settings.max_pixels)
