"""How a family of models is asked and how it answers. Training, rewards and evaluation share these contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from shotcrop_cli.captions.rules import verbalise
from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.large.answer import CoordSpace, parse, render, render_shot
from shotcrop_cli.model.large.prompts import instruction
from shotcrop_cli.model.nano import grammar
from shotcrop_cli.shots import (
    FACINGS,
    FULL_FRAME,
    NATIVE_SCALES,
    SETTINGS,
    SHOT_TYPES,
    Answer,
    Composition,
    Grounding,
    NoSubject,
    Reasoning,
    Shot,
)
from shotcrop_train.data.samples import Sample


@dataclass(frozen=True, slots=True)
class Target:
    """The answer that a model should write.

    Args:
        text: The whole answer.
        spans: For each shot, in their order, the characters [start, end) of its entry and its weight in the loss;
            empty for a photo without people.
    """

    text: str
    spans: tuple[tuple[int, int, float], ...]


class Contract(Protocol):
    """How one family of models is asked and answers."""

    @property
    def think(self) -> bool:
        """Whether an answer should hold a chain of thought."""
        ...

    def prompt(self, aspect: float | None) -> str:
        """Return the user's text for a photo of this width / height, None when it is unknown."""
        ...

    def has_targets(self, sample: Sample) -> bool:
        """Return whether a sample has everything that `write` needs."""
        ...

    def write(self, sample: Sample, captions: Sequence[str], size: tuple[int, int]) -> Target:
        """Write the answer that a model should learn from a sample.

        Args:
            sample: The photo's targets, relative to the image that the model sees.
            captions: One caption for each shot, empty when unknown.
            size: Width and height in pixels of the image that the processor gets.

        Raises:
            ValueError: `has_targets` returns False.
        """
        ...

    def read(self, text: str, size: tuple[int, int]) -> Answer:
        """Read an answer. If it cannot be read, return an `AnswerError`; do not raise it.

        Args:
            text: The answer without special tokens.
            size: Width and height in pixels of the image that the processor got.
        """
        ...


def _thought(grounding: Grounding) -> str:
    return grammar.write(grounding, [(None, "")] * len(SHOT_TYPES)).partition(grammar.SHOT_TOKENS[0])[0]


_NO_THOUGHT = _thought(Grounding())
_ANY_THOUGHT = _thought(Grounding(FULL_FRAME, FULL_FRAME, 1, SETTINGS[0], FACINGS[0], NATIVE_SCALES[0]))


@dataclass(frozen=True, slots=True)
class GrammarContract:
    """The compact model's grammar.

    Args:
        think: Whether the model learns the chain of thought. If not, its slots hold `<unk>`, which has no loss.
    """

    think: bool = True

    def prompt(self, aspect: float | None) -> str:
        """Return the aspect's token. The compact model needs no instruction, since it has only one task."""
        return grammar.aspect_token(aspect)

    def has_targets(self, sample: Sample) -> bool:
        """Return True: the grammar has a token for what is not known."""
        return True

    def write(self, sample: Sample, captions: Sequence[str], size: tuple[int, int]) -> Target:
        """Write a sample in the grammar. `size` has no effect."""
        grounding = sample.grounding if self.think or sample.grounding.people == 0 else Grounding()
        # Angle brackets would be read as control tokens.
        plain = [caption.replace("<", "").replace(">", "") for caption in captions]
        boxes = [shot.box for shot in sample.shots]
        text = grammar.write(grounding, list(zip(boxes, plain, strict=True)))
        if grounding.people == 0:
            return Target(text, ())
        borders = [*(text.index(token) for token in grammar.SHOT_TOKENS), len(text)]
        weights = (shot.weight for shot in sample.shots)
        spans = tuple((*border, weight) for border, weight in zip(pairwise(borders), weights, strict=True))
        return Target(text, spans)

    def read(self, text: str, size: tuple[int, int]) -> Answer:
        """Read an answer in the grammar, with or without a chain of thought."""
        text = text.strip()
        without_thought = text.startswith(_NO_THOUGHT)
        try:
            # The grammar's reader needs every slot filled: fill empty slots and clear them afterwards.
            answer = grammar.read(text.replace(_NO_THOUGHT, _ANY_THOUGHT, 1))
        except AnswerError as error:
            return error
        if without_thought and isinstance(answer, Composition):
            return replace(answer, reasoning=Reasoning(), grounding=None)
        return answer


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

    def prompt(self, aspect: float | None) -> str:
        """Return the instruction. It does not depend on the aspect, since photos keep their shape."""
        return instruction(self.space, think=self.think)

    def has_targets(self, sample: Sample) -> bool:
        """Return whether all three boxes are known, or there are no people."""
        return sample.grounding.people == 0 or all(shot.box is not None for shot in sample.shots)

    def write(self, sample: Sample, captions: Sequence[str], size: tuple[int, int]) -> Target:
        """Write a sample by the contract. A sample without reasoning in words gets sentences made of its grounding."""
        if sample.grounding.people == 0:
            return Target(render(NoSubject()), ())
        seen = self.seen(size)
        shots = []
        for kind, target, caption in zip(SHOT_TYPES, sample.shots, captions, strict=True):
            if target.box is None:
                raise ValueError(f"{sample.path}: the {kind} shot has no box, and an answer in words needs all three")
            shots.append(Shot(kind, target.box, caption))
        reasoning = sample.reasoning if sample.reasoning != Reasoning() else verbalise(sample.grounding)
        text = render(Composition(tuple(shots), reasoning), space=self.space, image_size=seen, think=self.think)
        answer = text.rindex("<answer>")
        spans = []
        for shot, target in zip(shots, sample.shots, strict=True):
            entry = render_shot(shot, space=self.space, image_size=seen)
            start = text.index(entry, answer)
            spans.append((start, start + len(entry), target.weight))
        return Target(text, tuple(spans))

    def read(self, text: str, size: tuple[int, int]) -> Answer:
        """Read an answer by the contract."""
        try:
            return parse(text, space=self.space, image_size=self.seen(size))
        except AnswerError as error:
            return error
