"""A large model as a `Composer`. It takes photos of any size and aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.bundle import Bundle, read_tokenizer
from shotcrop_cli.model.large.answer import parse
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.large.memory import check_memory
from shotcrop_cli.model.large.network import LargeNetwork, VisualTokens, resolve_device
from shotcrop_cli.model.large.patches import Patches, fitted_size, make_patches
from shotcrop_cli.model.large.positions import Ids, PromptBatch, Row, prompt_of_pictures, prompt_row
from shotcrop_cli.model.large.prompts import texts_around
from shotcrop_cli.model.notices import Notices
from shotcrop_cli.model.session import Device
from shotcrop_cli.shots import Answer, ModelIdentity


class LargeComposer:
    """Answers photos with a large model.

    Args:
        bundle: The model folder.
        manifest: The model's sizes and settings.
        network: The loaded graphs.
        max_batch: Number of photos that fit into memory at once; larger batches are split.

    Raises:
        ModelError: The tokenizer cannot be read.
    """

    def __init__(self, bundle: Bundle, manifest: LargeManifest, network: LargeNetwork, max_batch: int) -> None:
        self.manifest, self.network, self.max_batch = manifest, network, max_batch
        self.tokenizer = read_tokenizer(bundle)
        self.prefix, self.suffix = self._encode(manifest.prompt.prefix), self._encode(manifest.prompt.suffix)
        self.thumbnail_size = (0, manifest.vision.long_side)
        self.identity = ModelIdentity(manifest.name, bundle.sha256, network.provider)

    @classmethod
    def load(cls, bundle: Bundle, device: Device, threads: int | None, notices: Notices) -> LargeComposer:
        """Load the model after saying how much memory it takes; see `shotcrop_cli.model.load.load_composer`."""
        manifest = bundle.manifest
        assert isinstance(manifest, LargeManifest)
        device = resolve_device(device, manifest)
        check = check_memory(bundle, manifest, device)
        (notices.info if check.fits else notices.warn)(check.text)
        return cls(bundle, manifest, LargeNetwork(bundle, manifest, device, threads), check.batch_size)

    def _encode(self, text: str) -> Ids:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch; see `shots.Composer`. The thumbnails keep their aspect ratio, so `aspects` is not needed."""
        answers: list[Answer] = []
        for first in range(0, len(thumbnails), self.max_batch):
            answers += self._compose(thumbnails[first : first + self.max_batch])
        return answers

    def _compose(self, images: Sequence[Image.Image]) -> list[Answer]:
        answers: list[Answer | None] = []
        photos: list[Patches] = []
        for image in images:
            try:
                photos.append(make_patches(image, self.manifest.vision))
                answers.append(None)
            except ValueError as error:
                answers.append(AnswerError(str(error)))
        written = iter(self.generate(photos) if photos else ())
        return [
            self._read(next(written), image.size) if answer is None else answer
            for answer, image in zip(answers, images, strict=True)
        ]

    def generate(self, photos: Sequence[Patches]) -> list[list[int]]:
        """Return the token ids of each photo's answer, with the end token unless the answer was cut off.

        Decoding is greedy and stops when every answer has ended. When half of a batch has ended, only the other half
        continues. So batches have few different sizes, and no photo waits long for the answer of another.
        """
        prompts = PromptBatch.from_rows([self.prompt(photo) for photo in photos])
        return self._generate(prompts, self.network.encode_photos(photos))

    def _generate(self, prompts: PromptBatch, pictures: Sequence[VisualTokens]) -> list[list[int]]:
        limit = min(
            self.manifest.prompt.answer_tokens, self.manifest.decoder.context - int(prompts.next_positions.max())
        )
        answers: list[list[int]] = [[] for _ in pictures]
        batch = np.arange(len(pictures))
        tokens = self.network.start(prompts, pictures)
        ended = np.zeros(len(pictures), dtype=np.bool_)
        for length in range(1, limit + 1):
            for number in np.flatnonzero(~ended):
                answers[batch[number]].append(int(tokens[number]))
            ended |= np.isin(tokens, self.manifest.prompt.end_tokens)
            if length == limit or ended.all():
                break
            half = len(batch) // 2
            if np.count_nonzero(~ended) <= half:
                rows = np.sort(np.argsort(ended, kind="stable")[:half])  # rows that continue, filled up with ended ones
                self.network.keep_rows(rows)
                batch, tokens, ended = batch[rows], tokens[rows], ended[rows]
            tokens = self.network.step(tokens)
        return answers

    def ask(self, question: str, pictures: Sequence[Image.Image]) -> str:
        """Return what the model answers to another question than that for crops. Only one thread may ask at a time.

        Args:
            question: The text after the pictures.
            pictures: Upright pictures of mode RGB, at least one.

        Raises:
            AnswerError: A picture is too elongated, there is no room for an answer, or it was cut off.
        """
        try:
            patches = [make_patches(picture, self.manifest.vision) for picture in pictures]
        except ValueError as error:
            raise AnswerError(str(error)) from error
        prompt = self.manifest.prompt
        texts = [self._encode(text) for text in texts_around(prompt, question, len(pictures))]
        grids = [one.grid for one in patches]
        row = prompt_of_pictures(texts, prompt.image_token, grids, self.manifest.vision)
        if row.next_position >= self.manifest.decoder.context:
            raise AnswerError(f"the question takes all {self.manifest.decoder.context} positions of the model")
        tokens = VisualTokens.joined(self.network.encode_photos(patches))
        (answer,) = self._generate(PromptBatch.from_rows([row]), [tokens])
        if answer[-1] not in prompt.end_tokens:
            raise AnswerError(f"the answer was cut off after {len(answer)} tokens")
        text: str = self.tokenizer.decode(answer[:-1])
        return text

    def prompt(self, photo: Patches) -> Row:
        """Return the prompt for a photo."""
        image_token = self.manifest.prompt.image_token
        return prompt_row(self.prefix, image_token, self.suffix, photo.grid, self.manifest.vision)

    def _read(self, tokens: Sequence[int], size: tuple[int, int]) -> Answer:
        """Parse an answer; return an error that says why if the text violates the output contract."""
        prompt = self.manifest.prompt
        if tokens[-1] not in prompt.end_tokens:
            return AnswerError(f"the answer was cut off after {len(tokens)} tokens")
        text: str = self.tokenizer.decode(tokens[:-1])
        try:
            return parse(text, space=prompt.coord_space, image_size=fitted_size(size, self.manifest.vision))
        except AnswerError as error:
            return error
