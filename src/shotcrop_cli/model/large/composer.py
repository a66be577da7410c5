"""A large model as a `Composer`: photos of any size in, compositions out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.bundle import Bundle, read_tokenizer
from shotcrop_cli.model.large.answer import parse
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.large.memory import check_memory
from shotcrop_cli.model.large.network import LargeNetwork, placed
from shotcrop_cli.model.large.patches import Patches, cut, fitted_size
from shotcrop_cli.model.large.positions import Ids, PromptBatch, Row, prompt_row
from shotcrop_cli.model.notices import Notices
from shotcrop_cli.model.session import Device
from shotcrop_cli.shots import Answer, ModelIdentity


class LargeComposer:
    """Answers photos with a large model.

    Args:
        bundle: The model folder.
        manifest: Its figures.
        network: Its graphs, loaded.
        most: Photos that fit in memory at once; larger batches are parted.

    Raises:
        ModelError: The tokenizer cannot be read.
    """

    def __init__(self, bundle: Bundle, manifest: LargeManifest, network: LargeNetwork, most: int) -> None:
        self.manifest, self.network, self.most = manifest, network, most
        self.tokenizer = read_tokenizer(bundle)
        self.prefix, self.suffix = self._ids(manifest.prompt.prefix), self._ids(manifest.prompt.suffix)
        self.thumbnail_size = (0, manifest.vision.long_side)
        self.identity = ModelIdentity(manifest.name, bundle.sha256, network.provider)

    @classmethod
    def load(cls, bundle: Bundle, device: Device, threads: int | None, notices: Notices) -> LargeComposer:
        """Load the model after saying how much memory it takes; see `shotcrop_cli.model.load.load_composer`."""
        manifest = bundle.manifest
        assert isinstance(manifest, LargeManifest)
        device = placed(device, manifest)
        check = check_memory(bundle, manifest, device)
        (notices.info if check.fits else notices.warn)(check.text)
        return cls(bundle, manifest, LargeNetwork(bundle, manifest, device, threads), check.batch_size)

    def _ids(self, text: str) -> Ids:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch; see `shots.Composer`. The photo's own shape tells its aspect."""
        answers: list[Answer] = []
        for first in range(0, len(thumbnails), self.most):
            answers += self._compose(thumbnails[first : first + self.most])
        return answers

    def _compose(self, images: Sequence[Image.Image]) -> list[Answer]:
        answers: list[Answer | None] = []
        photos: list[Patches] = []
        for image in images:
            try:
                photos.append(cut(image, self.manifest.vision))
                answers.append(None)
            except ValueError as error:
                answers.append(AnswerError(str(error)))
        written = iter(self.write(photos) if photos else ())
        return [
            self._read(next(written), image.size) if answer is None else answer
            for answer, image in zip(answers, images, strict=True)
        ]

    def write(self, photos: Sequence[Patches]) -> list[list[int]]:
        """Return each photo's answer as token ids, with the one that ends it unless it was cut off.

        Decoding is greedy and stops when every answer has ended. When half of a batch has ended, the other half goes on
        alone: batches come in few sizes, and no photo waits for long behind another's answer.
        """
        prompts = PromptBatch.of([self.row(photo) for photo in photos])
        limit = min(
            self.manifest.prompt.answer_tokens, self.manifest.decoder.context - int(prompts.next_positions.max())
        )
        answers: list[list[int]] = [[] for _ in photos]
        batch = np.arange(len(photos))
        tokens = self.network.start(prompts, self.network.see(photos))
        ended = np.zeros(len(photos), dtype=np.bool_)
        for length in range(1, limit + 1):
            for number in np.flatnonzero(~ended):
                answers[batch[number]].append(int(tokens[number]))
            ended |= np.isin(tokens, self.manifest.prompt.end_tokens)
            if length == limit or ended.all():
                break
            half = len(batch) // 2
            if np.count_nonzero(~ended) <= half:
                rows = np.sort(np.argsort(ended, kind="stable")[:half])  # those that go on, filled up with ended ones
                self.network.keep(rows)
                batch, tokens, ended = batch[rows], tokens[rows], ended[rows]
            tokens = self.network.step(tokens)
        return answers

    def row(self, photo: Patches) -> Row:
        """Return a photo's prompt."""
        prompt = self.manifest.prompt
        return prompt_row(self.prefix, prompt.image_token, self.suffix, photo.grid, self.manifest.vision)

    def _read(self, tokens: Sequence[int], size: tuple[int, int]) -> Answer:
        """Read an answer; what is none by the contract is an error that says why."""
        prompt = self.manifest.prompt
        if tokens[-1] not in prompt.end_tokens:
            return AnswerError(f"the answer was cut off after {len(tokens)} tokens")
        text: str = self.tokenizer.decode(tokens[:-1])
        try:
            return parse(text, space=prompt.coord_space, image_size=fitted_size(size, self.manifest.vision))
        except AnswerError as error:
            return error
