"""A model that is loaded when the first photo needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from PIL import Image

from shotcrop_cli.shots import Answer, Composer, ModelIdentity


class LazyComposer:
    """Stands for a model, so that a run with nothing to compose loads none.

    Args:
        load: Loads the model; what it raises comes out of the first use.
    """

    def __init__(self, load: Callable[[], Composer]) -> None:
        self._load = load
        self.loaded = False

    @cached_property
    def _composer(self) -> Composer:
        composer = self._load()
        self.loaded = True
        return composer

    @property
    def identity(self) -> ModelIdentity:
        """See `shots.Composer`."""
        return self._composer.identity

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """See `shots.Composer`."""
        return self._composer.thumbnail_size

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch; see `shots.Composer`."""
        return self._composer.compose(thumbnails, aspects)
