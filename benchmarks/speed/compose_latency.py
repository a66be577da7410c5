"""Measure how long the default model takes per photo, next to one full Pillow decode of a 12 MP JPEG.

Any tool that crops has to decode every photo. The model's time comes on top of that.

    python -m benchmarks.speed.compose_latency [MODEL]
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from shotcrop_cli.model.load import find_model, load_composer

PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))
TWELVE_MEGAPIXELS = (4000, 3000)
ROUNDS = 9
BATCHES = (1, 4, 16)


def median_ms(action: Callable[[], object]) -> float:
    """Return the median wall time of an action in milliseconds, after one warm-up round."""
    action()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def main(model: str | None) -> None:
    composer = load_composer(find_model(model), "cpu")
    buffer = io.BytesIO()
    with Image.open(PHOTOS[0]) as photo:
        photo.convert("RGB").resize(TWELVE_MEGAPIXELS).save(buffer, "JPEG", quality=92)

    def decode() -> None:
        with Image.open(io.BytesIO(buffer.getvalue())) as image:
            image.load()

    reference = median_ms(decode)
    table = Table(title=f"{composer.identity.id} on {composer.identity.provider}, median of {ROUNDS} rounds")
    for heading in ("what", "ms per photo", "decodes of 12 MP"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    table.add_row("Pillow, full decode of a 12 MP JPEG", f"{reference:.1f}", "1.00")
    opened = [Image.open(path).convert("RGB") for path in PHOTOS]
    for batch in BATCHES:
        photos = [opened[index % len(opened)] for index in range(batch)]
        thumbnails = [photo.resize(composer.thumbnail_size) for photo in photos]
        aspects = [photo.width / photo.height for photo in photos]
        each = median_ms(lambda images=thumbnails, shapes=aspects: composer.compose(images, shapes)) / batch
        table.add_row(f"composing, batch {batch}", f"{each:.1f}", f"{each / reference:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
