"""A large model as a `Composer`: photos of any size in, compositions out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.answer import parse
from shotcrop_cli.model.bundle import Bundle, read_tokenizer
from shotcrop_cli.model.large.manifest import LargeManifest
from shotcrop_cli.model.large.network import LargeNetwork
from shotcrop_cli.model.large.patches import Patches, cut, fitted_size
from shotcrop_cli.model.large.positions import Ids, PromptBatch, Row, prompt_row
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

        Decoding is greedy and stops when every answer has ended.
        """
        prompts = PromptBatch.of([self.row(photo) for photo in photos])
        limit = min(
            self.manifest.prompt.answer_tokens, self.manifest.decoder.context - int(prompts.next_positions.max())
        )
        tokens = self.network.start(prompts, self.network.see(photos))
        steps = [tokens]
        ended = self._ends(tokens)
        while len(steps) < limit and not ended.all():
            tokens = self.network.step(tokens)
            steps.append(tokens)
            ended |= self._ends(tokens)
        return [self._until_end(answer) for answer in np.stack(steps, axis=1)]

    def row(self, photo: Patches) -> Row:
        """Return a photo's prompt."""
        prompt = self.manifest.prompt
        return prompt_row(self.prefix, prompt.image_token, self.suffix, photo.grid, self.manifest.vision)

    def _ends(self, tokens: Ids) -> NDArray[np.bool_]:
        return np.isin(tokens, self.manifest.prompt.end_tokens)

    def _until_end(self, tokens: Ids) -> list[int]:
        ends = np.flatnonzero(self._ends(tokens))
        return [int(token) for token in (tokens[: ends[0] + 1] if len(ends) else tokens)]

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
