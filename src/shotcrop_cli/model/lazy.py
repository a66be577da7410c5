"""Load a model when the first photo needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, TypeVar

from PIL import Image

from shotcrop_cli.shots import Answer, Composer, ModelIdentity

Loaded = TypeVar("Loaded", bound=Composer)


class LazyComposer(Generic[Loaded]):
    """Loads a model at its first use, so that a run without new photos loads none.

    Args:
        load: Loads the model. The first use raises what it raises.
    """

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self.loaded = False

    @cached_property
    def composer(self) -> Loaded:
        """The model; the first access loads it."""
        composer = self._load()
        self.loaded = True
        return composer

    @property
    def identity(self) -> ModelIdentity:
        """See `shots.Composer`."""
        return self.composer.identity

    @property
    def thumbnail_size(self) -> tuple[int, int]:
        """See `shots.Composer`."""
        return self.composer.thumbnail_size

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        """Answer a batch; see `shots.Composer`."""
        return self.composer.compose(thumbnails, aspects)
