"""A machine with GPUs that need not be there, and what the model runtime says and keeps on it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from conftest import FakeComposer
from shotcrop_cli.model import session
from shotcrop_cli.model.session import CUDA, MemoryShortage
from shotcrop_cli.shots import Answer


class RecordedNotices:
    """Keeps what the runtime tells the user."""

    def __init__(self) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []

    def info(self, text: str) -> None:
        self.infos.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Host:
    """A machine with GPUs on each of which a model can be loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *gpus: str, largest: int = 10_000) -> None:
        self.composers: dict[str, FakeComposer] = {}
        self.largest = largest
        self.asked: list[tuple[str, ...]] = []
        self.builds: Path | None = None
        monkeypatch.setattr(session, "gpu_names", lambda: gpus)
        module = SimpleNamespace(
            find_model=lambda _model, *, offline: SimpleNamespace(sha256="ab" * 32), load_composer=self.load
        )
        monkeypatch.setitem(sys.modules, "shotcrop_cli.model.load", module)

    def load(self, _bundle: object, device: str, *, providers: Sequence[str], notices: object) -> FakeComposer:
        self.asked.append(tuple(providers))
        if self.builds is not None:
            self.builds.touch()
        self.composers[device] = Limited(provider=CUDA, largest=self.largest)
        return self.composers[device]


class Limited(FakeComposer):
    """Runs out of memory with more photos than `largest`."""

    def __init__(self, *, provider: str, largest: int) -> None:
        super().__init__(provider=provider)
        self.largest = largest

    def compose(self, thumbnails: Sequence[Image.Image], aspects: Sequence[float]) -> list[Answer]:
        if len(thumbnails) > self.largest:
            raise MemoryShortage("out of memory")
        return super().compose(thumbnails, aspects)


def remembered_batch_sizes(cache: Path) -> list[str]:
    """Return the batch sizes that runs have kept below a cache folder."""
    return [path.read_text().strip() for path in sorted(cache.glob("*/batch-size"))]
