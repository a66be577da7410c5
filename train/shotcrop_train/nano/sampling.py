"""Sampling of the compact model within its grammar, for the rollouts of stage 3.

Left to itself at temperature 1 the model leaves its grammar in more than half of all answers: a slight chance at each
token adds up over eighty. At run time a mask prevents that (`shotcrop_cli.model.nano.generate`). The same mask holds
here, or the reward would be about slips that can never happen, and the loss reads the masked probabilities too, which
are those that the answers were sampled from [O].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from shotcrop_cli.model.nano.generate import MAX_CAPTION_TOKENS, caption_masks
from shotcrop_cli.model.nano.grammar import (
    BOX_SLOTS,
    END,
    LAYOUT,
    MIN_SIDE_BINS,
    PEOPLE,
    SLOT_TOKENS,
    THOUGHT,
    UNKNOWN,
    Slot,
    Vocabulary,
)
from shotcrop_train.nano.modelling import NanoForConditionalGeneration
from shotcrop_train.nano.processing import NanoProcessor
from shotcrop_train.nano.torch_network import vocabulary_of


class GrammarMask(LogitsProcessor):
    """Leaves each answer only the tokens that may follow what it has so far.

    Args:
        processor: Tokenizer and length of the prompt.
        think: Whether the model writes the chain of thought; `<unk>` stands in its place otherwise.
    """

    def __init__(self, processor: NanoProcessor, think: bool) -> None:
        self.vocabulary: Vocabulary = vocabulary_of(processor.tokenizer)
        # <|user|> <image>... <aspect_i> <|end|> <|assistant|>
        self.prompt, self.think = processor.num_image_tokens + 4, think
        pieces = [processor.tokenizer.decode([index]) for index in range(self.vocabulary.text_tokens)]
        self.text, self.start = (torch.from_numpy(mask) for mask in caption_masks(pieces))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take from the logits (N, vocabulary) what may not follow the ids (N, S)."""
        allowed = torch.stack([self.following(row) for row in input_ids[:, self.prompt :].tolist()])
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)

    def along(self, answers: Tensor, logits: Tensor) -> Tensor:
        """Take from logits (N, S, vocabulary) what may not stand at each place of the answers (N, S).

        A token that stands there is left in any case: behind an answer's end follows padding.
        """
        rows = answers.tolist()
        allowed = torch.stack([torch.stack([self.following(row[:k]) for k in range(len(row))]) for row in rows])
        allowed = allowed.to(logits.device).scatter(2, answers[..., None], True)
        return logits.masked_fill(~allowed, -torch.inf)

    def following(self, answer: Sequence[int]) -> Tensor:
        """Return which tokens of the vocabulary (boolean, vocabulary) may follow the beginning of an answer."""
        vocabulary, allowed = self.vocabulary, torch.zeros(len(self.vocabulary), dtype=torch.bool)
        place, said = self._place(answer)
        if place >= len(LAYOUT) or list(answer[:1]) == [vocabulary.id(PEOPLE[0])]:
            allowed[vocabulary.id(END)] = True
            return allowed
        slot = LAYOUT[place]
        if slot is Slot.TEXT:
            if said < MAX_CAPTION_TOKENS:
                allowed[: vocabulary.text_tokens] = self.text if said else self.start
            if said:
                allowed[vocabulary.id(SLOT_TOKENS[LAYOUT[place + 1]][0])] = True
        elif place < THOUGHT and not self.think and slot not in (Slot.LEAD, Slot.HEAD):
            allowed[vocabulary.id(UNKNOWN)] = True
        else:
            span = vocabulary.span(SLOT_TOKENS[slot])
            if slot in (Slot.X0, Slot.Y0):
                span = slice(span.start, span.stop - MIN_SIDE_BINS)
            elif slot in BOX_SLOTS:
                # Two tokens back stands the near side that this one is the far side of.
                span = slice(answer[-2] + MIN_SIDE_BINS, span.stop)
            allowed[span] = True
        return allowed

    def _place(self, answer: Sequence[int]) -> tuple[int, int]:
        """Return the slot that comes next, and how many tokens of a caption stand in it already."""
        place = said = 0
        for token in answer:
            if LAYOUT[min(place, len(LAYOUT) - 1)] is Slot.TEXT:
                if token < self.vocabulary.text_tokens:
                    said += 1
                    continue
                # The marker behind a caption ends its slot.
                place, said = place + 1, 0
            place += 1
        return place, said


def hold_to_grammar(model: NanoForConditionalGeneration, processor: NanoProcessor) -> GrammarMask:
    """Have a model's `generate` sample within its grammar from now on, and return the mask."""
    mask = GrammarMask(processor, model.config.think)
    model.generate = partial(model.generate, logits_processor=LogitsProcessorList([mask]))
    return mask
