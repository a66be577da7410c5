"""A base in torch as a `Composer`: the same interface as at run time, for evaluation, proposals and rewards."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from shotcrop_cli.shots import Answer, ModelIdentity
from shotcrop_train.text_base import TextBase

ANSWER_TOKENS = 512
"""No answer by the contract is longer: three sentences, three captions and three boxes take about 300 tokens."""


class TorchComposer:
    """Answers photos with a base, greedily.

    Args:
        base: The base; it stays on its device and in its mode, training or not.
        batch_size: Photos per batch.
        answer_tokens: Longest answer in words, in tokens.
    """

    def __init__(self, base: TextBase, batch_size: int = 16, answer_tokens: int = ANSWER_TOKENS) -> None:
        self.base, self.batch_size, self.answer_tokens = base, batch_size, answer_tokens

    @property
    def identity(self) -> ModelIdentity:
        """Name and device; a model in training has no hash."""
        return ModelIdentity(self.base.model.name_or_path, "", f"torch:{self.base.model.device}")

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """(0, 0), any size: photos keep their shape."""
        return 0, 0

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float | None]) -> list[Answer]:
        """Answer photos; see `shotcrop_cli.shots.Composer`. An aspect is None when it is unknown."""
        model = self.base.model
        training = model.training
        model.eval()
        try:
            answers: list[Answer] = []
            for first in range(0, len(thumbnails), self.batch_size):
                part = slice(first, first + self.batch_size)
                answers += self.base.answer(thumbnails[part], aspects[part], self.answer_tokens)
        finally:
            model.train(training)
        return answers
