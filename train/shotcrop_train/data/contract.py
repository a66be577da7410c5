"""How models are asked and how they answer. Training, rewards and evaluation share this contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from shotcrop_cli.captions.rules import verbalise
from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.large.answer import CoordSpace, parse, render, render_shot
from shotcrop_cli.model.large.prompts import instruction
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composition, NoSubject, Reasoning, Shot
from shotcrop_train.data.samples import Sample


@dataclass(frozen=True, slots=True)
class Parts:
    """What an answer holds beside boxes. A row asks only for what is known of its photo."""

    think: bool = True
    captions: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """The answer that a model should write.

    Args:
        text: The whole answer.
        spans: For each shot, in their order, the characters [start, end) of its entry and its weight in the loss;
            empty for a photo without people. Spans of weight 0 follow, where a caption or a sentence is unknown.
    """

    text: str
    spans: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class TextContract:
    """The output contract in words and JSON, for vision-language models.

    Args:
        space: How the model writes boxes.
        think: Whether it writes its reasoning first.
        seen: Maps the size of the image that the processor gets to the size that the model sees, width and height in
            pixels. Boxes in `CoordSpace.ABSOLUTE` are in pixels of the latter.
    """

    space: CoordSpace
    think: bool
    seen: Callable[[tuple[int, int]], tuple[int, int]]

    def prompt(self, aspect: float | None, parts: Parts = Parts()) -> str:
        """Return the instruction. It does not depend on the aspect, since photos keep their shape."""
        return instruction(self.space, think=self.think and parts.think, captions=parts.captions)

    def parts(self, sample: Sample) -> Parts:
        """Return what is known of a sample beside its boxes. Rows of a photo without people are asked for all."""
        if sample.grounding.people == 0:
            return Parts()
        return Parts(self.think and _thought(sample) != Reasoning(), any(any(shot.captions) for shot in sample.shots))

    def has_targets(self, sample: Sample) -> bool:
        """Return whether all three boxes are known, or there are no people."""
        return sample.grounding.people == 0 or all(shot.box is not None for shot in sample.shots)

    def write(self, sample: Sample, captions: Sequence[str], size: tuple[int, int]) -> Target:
        """Write a sample by the contract. A sample without reasoning in words gets sentences made of its grounding.

        Without any caption or sentence, the answer has no captions or no reasoning; see `parts`. Where only some are
        unknown, the model learns nothing from the characters in their place.
        """
        if sample.grounding.people == 0:
            return Target(render(NoSubject()), ())
        seen = self.seen(size)
        shots = []
        for kind, target, caption in zip(SHOT_TYPES, sample.shots, captions, strict=True):
            if target.box is None:
                raise ValueError(f"{sample.path}: the {kind} shot has no box, and an answer in words needs all three")
            shots.append(Shot(kind, target.box, caption))
        parts, reasoning = replace(self.parts(sample), captions=any(captions)), _thought(sample)
        text = render(
            Composition(tuple(shots), reasoning),
            space=self.space,
            image_size=seen,
            think=parts.think,
            captions=parts.captions,
        )
        answer = text.rindex("<answer>")
        spans = []
        for shot, target in zip(shots, sample.shots, strict=True):
            entry = render_shot(shot, space=self.space, image_size=seen, caption=parts.captions)
            start = text.index(entry, answer)
            spans.append((start, start + len(entry), target.weight))
        if parts.captions:
            places = zip(spans, shots, strict=True)
            spans += [(end - len(_NO_CAPTION), end, 0.0) for (_, end, _), shot in places if not shot.caption]
        if parts.think:
            spans += _unknown_sentences(text[:answer], reasoning)
        return Target(text, tuple(spans))

    def read(self, text: str, size: tuple[int, int]) -> Answer:
        """Read an answer by the contract."""
        try:
            return parse(text, space=self.space, image_size=self.seen(size))
        except AnswerError as error:
            return error

    def read_exactly(self, text: str, size: tuple[int, int], parts: Parts = Parts()) -> Answer:
        """Read an answer that holds the contract's form and nothing else, as it must to earn a reward.

        White space does not matter, and the opening `<think>` may be missing, because some chat templates write it.
        Text around the answer, text in `<think>` without a label, code fences and other spellings are errors.
        """
        answer = self.read(text, size)
        if isinstance(answer, AnswerError):
            return answer
        form = render(
            answer,
            space=self.space,
            image_size=self.seen(size),
            think=self.think and parts.think,
            captions=parts.captions,
        )
        # A second thought could be read as a part of the first one's last sentence.
        twice = max(text.count("<think>"), text.count("</think>")) > 1
        if twice or _bare(text) not in (_bare(form), _bare(form).removeprefix("<think>")):
            return AnswerError("the answer holds more than the contract asks for, or has another form")
        return answer


_NO_CAPTION = ', "caption": ""}'
"""How the entry of a shot without a caption ends."""


def _thought(sample: Sample) -> Reasoning:
    return sample.reasoning if sample.reasoning != Reasoning() else verbalise(sample.grounding)


def _unknown_sentences(thought: str, reasoning: Reasoning) -> Iterator[tuple[int, int, float]]:
    """Yield what stands where a sentence is unknown, the next label or the end: a model must not learn to leave it out.

    Args:
        thought: The text up to the answer.
        reasoning: The sentences.
    """
    known = {"scene": reasoning.scene, "subject": reasoning.subject, "story": reasoning.story}
    missing = False
    for label in (*known, ""):
        if label and not known[label].strip():
            missing = True
            continue
        if missing:
            mark = f"\n{label}:" if label else "\n</think>"
            start = thought.index(mark)
            yield start, start + len(mark), 0.0
        missing = False


def _bare(text: str) -> str:
    """Return a text without white space and without the escapes that JSON allows for letters."""

    def letter(match: re.Match[str]) -> str:
        return chr(int(match[1], 16))

    return "".join(re.sub(r"\\u([0-9a-fA-F]{4})", letter, text).split())
