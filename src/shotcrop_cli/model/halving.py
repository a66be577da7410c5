"""A model that goes on with fewer photos at once when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from shotcrop_cli.errors import AnswerError
from shotcrop_cli.model.session import MemoryShortage
from shotcrop_cli.model.tensorrt import LARGEST_BATCH
from shotcrop_cli.shots import Answer, Composer, ModelIdentity


class Halving:
    """Hands a composer batches that fit into memory.

    Args:
        composer: The model.
        tell: Called with a line when batches become smaller.
    """

    def __init__(self, composer: Composer, tell: Callable[[str], None]) -> None:
        self._composer, self._tell = composer, tell
        self._limit = LARGEST_BATCH

    @property
    def identity(self) -> ModelIdentity:
        """See `shots.Composer`."""
        return self._composer.identity

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """See `shots.Composer`."""
        return self._composer.thumbnail_size

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch, in parts where need be; see `shots.Composer`.

        A photo that does not fit even alone gets an error for an answer. Then it was to blame, and the photos after it
        come in as large batches as before it.
        """
        answers: list[Answer] = []
        before = self._limit
        while (done := len(answers)) < len(thumbnails):
            size = min(self._limit, len(thumbnails) - done)
            part = slice(done, done + size)
            try:
                answers += self._composer.compose(thumbnails[part], aspects[part])
            except (MemoryShortage, MemoryError):
                if size > 1:
                    self._limit = size // 2
                    continue
                answers.append(
                    AnswerError("the model runs out of memory with this photo alone", hint="use --device cpu")
                )
                self._limit = before
        if self._limit < before:
            self._tell(f"the model ran out of memory: it gets at most {self._limit} photos at once from now on")
        return answers
