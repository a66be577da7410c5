"""A base in torch as a `Composer`: the same interface as the runtime's, for evaluation, proposals and rewards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from shotcrop_cli.captions.rules import verbalise
from shotcrop_cli.model.nano import grammar
from shotcrop_cli.model.nano.generate import Draft
from shotcrop_cli.model.nano.preprocess import pixel_values, squash
from shotcrop_cli.shots import SHOT_TYPES, Answer, Composition, ModelIdentity, NoSubject, Shot
from shotcrop_train.checkpoints import NANO, Base
from shotcrop_train.nano.network import TorchNetwork, decoder_of

ANSWER_TOKENS = 512
"""No answer by the contract is longer: three sentences, three captions and three boxes take about 300 tokens [O]."""


class TorchComposer:
    """Answers photos with a base, greedily.

    Args:
        base: The base; it is used where it is, and left in the mode, training or not, that it was in.
        batch_size: Photos that it sees at once.
        answer_tokens: Longest answer in words, in tokens.
    """

    def __init__(self, base: Base, batch_size: int = 16, answer_tokens: int = ANSWER_TOKENS) -> None:
        self.base, self.batch_size, self.answer_tokens = base, batch_size, answer_tokens

    @property
    def identity(self) -> ModelIdentity:
        """Name and device; a model in training has no hash."""
        return ModelIdentity(self.base.model.name_or_path, "", f"torch:{self.base.model.device}")

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """The compact model's square; (0, 0), any size, of other bases."""
        side = self.base.image_size or 0
        return side, side

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float | None]) -> list[Answer]:
        """Answer photos; see `shotcrop_cli.shots.Composer`. An aspect is None when it is unknown."""
        model = self.base.model
        answer = self._in_grammar if self.base.family == NANO else self._in_words
        training = model.training
        model.eval()
        try:
            answers: list[Answer] = []
            for first in range(0, len(thumbnails), self.batch_size):
                part = slice(first, first + self.batch_size)
                answers += answer(thumbnails[part], aspects[part])
        finally:
            model.train(training)
        return answers

    def _in_grammar(self, images: Sequence[Image.Image], aspects: Sequence[float | None]) -> list[Answer]:
        model, processor = self.base.model, self.base.processor
        size = model.config.image_size
        pixels = pixel_values(np.stack([np.asarray(squash(image, size)) for image in images]))
        prompts = [grammar.prompt(processor.num_image_tokens, self.base.contract.prompt(aspect)) for aspect in aspects]
        ids = np.array(processor.tokenizer(prompts)["input_ids"], dtype=np.int64)
        decoder = decoder_of(processor.tokenizer, model.config)
        return [self._answer(draft) for draft in decoder.decode(TorchNetwork(model), pixels, ids)]

    def _answer(self, draft: Draft) -> Answer:
        if draft.empty:
            return NoSubject(draft.no_subject)
        decode = self.base.processor.tokenizer.decode
        texts = [grammar.sentence(decode(caption)) for caption in draft.captions[: len(SHOT_TYPES)]]
        shots = tuple(map(Shot, SHOT_TYPES, draft.boxes[2:], texts, draft.scores[2:]))
        return Composition(shots, verbalise(draft.sure_grounding()), draft.grounding())

    @torch.inference_mode()
    def _in_words(self, images: Sequence[Image.Image], aspects: Sequence[float | None]) -> list[Answer]:
        model, processor, contract = self.base.model, self.base.processor, self.base.contract
        prompts = [
            processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": contract.prompt(aspect)}]}],
                add_generation_prompt=True,
                tokenize=False,
            )
            for aspect in aspects
        ]
        inputs = processor(
            images=[[image] for image in images],
            text=prompts,
            padding=True,
            padding_side="left",
            add_special_tokens=False,
            return_tensors="pt",
        ).to(model.device)
        ids = model.generate(**inputs, max_new_tokens=self.answer_tokens, do_sample=False)
        texts = processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [contract.read(text, image.size) for text, image in zip(texts, images, strict=True)]
