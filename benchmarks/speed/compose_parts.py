"""Measure the parts of a compact model of format shotcrop-nano/2: milliseconds of processor time per photo, one thread.

    python -m benchmarks.speed.compose_parts MODEL [PHOTOS]

MODEL is a model folder. PHOTOS is a folder of JPEG files, by default the examples; at most 80 of them are used, in
batches of 16. Each part is measured five times, and the best time counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from benchmarks.figures import Figures
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.shots import Composition

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"
MOST_PHOTOS, BATCH, ROUNDS = 80, 16, 5


class Stopwatch:
    """Adds up the processor time that calls of some functions take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, part: str, owner: Any, name: str) -> None:
        """Replace a function of an object by one that is timed."""
        function = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - start

        setattr(owner, name, timed)


class TimedGraph:
    """Stands for a session of ONNX Runtime, whose own methods cannot be replaced."""

    def __init__(self, session: Any) -> None:
        self.run: Callable[..., Any] = session.run


def measure(composer: NanoComposer, photos: Sequence[Image.Image]) -> tuple[dict[str, float], int]:
    """Return the milliseconds per photo of each part, and how many people were found."""
    watch = Stopwatch()
    for part, network in (("detector graph", composer.detector), ("composer graph", composer.network)):
        graph = TimedGraph(network.session.session)
        object.__setattr__(network.session, "session", graph)
        watch.watch(part, graph, "run")
    watch.watch("detect", composer.detector, "detect")
    watch.watch("propose", composer.network, "propose")
    watch.watch("compose", composer, "compose")
    thumbnails = [
        photo.resize(composer.thumbnail_size, Image.Resampling.BILINEAR, reducing_gap=2.0) for photo in photos
    ]
    aspects = [photo.width / photo.height for photo in photos]
    best: dict[str, float] = {}
    people = 0
    for _ in range(ROUNDS):
        watch.seconds.clear()
        answers = []
        for start in range(0, len(photos), BATCH):
            answers += composer.compose(thumbnails[start : start + BATCH], aspects[start : start + BATCH])
        people = sum(len(answer.people) for answer in answers if isinstance(answer, Composition))
        spent = watch.seconds
        parts = {
            "detector graph": spent["detector graph"],
            "decoding of boxes": spent["detect"] - spent["detector graph"],
            "candidates and their features": spent["propose"] - spent["composer graph"],
            "composer graph": spent["composer graph"],
            "refinement, reasoning, captions": spent["compose"] - spent["detect"] - spent["propose"],
            "all": spent["compose"],
        }
        for part, seconds in parts.items():
            best[part] = min(best.get(part, float("inf")), seconds * 1000 / len(photos))
    return best, people


def main(model: str, folder: str = str(EXAMPLES)) -> None:
    """Measure a model and print the table."""
    composer = load_composer(find_model(model), "cpu", threads=1)
    if not isinstance(composer, NanoComposer):
        sys.exit(f"{model} is not of format shotcrop-nano/2")
    paths = sorted(Path(folder).glob("*.jpg"))[:MOST_PHOTOS]
    if not paths:
        sys.exit(f"{folder} has no JPEG files")
    photos = [Image.open(path).convert("RGB") for path in paths]
    milliseconds, people = measure(composer, photos)
    Console().print(
        Figures(
            f"{len(photos)} photos with {people} people, batch {BATCH}, one thread, best of {ROUNDS} rounds",
            ("part", "ms per photo"),
            tuple((part, f"{value:.1f}") for part, value in milliseconds.items()),
        ).as_table()
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
