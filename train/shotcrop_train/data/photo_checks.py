"""Check the photos of a dataset: each exists, opens, has the size that its row says, and is there only once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from PIL import Image

from shotcrop_cli.evaluation.dataset import METADATA
from shotcrop_train.data.samples import load_photo

Severity = Literal["error", "warning", "note"]
Remark = tuple[Severity, str]
"""A severity, and one line in an annotator's words."""


class PhotoChecks:
    """Checks one photo after the other for missing, damaged, wrongly sized and duplicate ones.

    Args:
        folder: The dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, int] = {}
        self.contents: dict[bytes, str] = {}
        self.hashes: dict[bytes, str] = {}

    def check(self, line: int, name: str, row: Mapping[str, Any]) -> Iterator[Remark]:
        """Check the photo of a row.

        Args:
            line: The row's line.
            name: Its `file_name`, empty when it has none.
            row: The row as read.
        """
        if not name:
            yield "error", "file_name, the photo's name, is missing"
            return
        if name in self.names:
            yield "error", f"this photo has a row already, line {self.names[name]}"
            return
        self.names[name] = line
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            yield "error", "file_name must be inside the dataset's folder"
            return
        path = self.folder / name
        if not path.is_file():
            yield "error", f"there is no such photo in {self.folder}"
            return
        try:
            content = sha256(path.read_bytes()).digest()
            image = load_photo(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            yield "error", f"the photo cannot be opened, export it again: {error}"
            return
        yield from _size(image, row)
        similar = _difference_hash(image)
        twin = self.contents.setdefault(content, name)
        if twin != name:
            yield "error", f"the photo is a copy of {twin}"
        elif similar is not None and self.hashes.setdefault(similar, name) != name:
            yield "warning", f"the photo looks like {self.hashes[similar]}: is it the same one?"

    def unnamed(self) -> Iterator[Remark]:
        """Report the photos in the folder that no row has named so far."""
        suffixes = Image.registered_extensions()
        named = {self.folder / name for name in self.names}
        found = (path for path in sorted(self.folder.rglob("*")) if path.suffix.lower() in suffixes)
        if left := [str(path.relative_to(self.folder)) for path in found if path not in named]:
            shown = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
            yield "warning", f"photos without a row in {METADATA}: {len(left)} ({shown})"


def _size(image: Image.Image, row: Mapping[str, Any]) -> Iterator[Remark]:
    written = (row.get("width"), row.get("height"))
    if written == image.size:
        return
    width, height = image.size
    turned = " (these are the sides of the upright photo)" if written == (height, width) else ""
    yield "error", f"width and height must be {width} and {height}{turned}, not {written[0]} and {written[1]}"


def _difference_hash(image: Image.Image) -> bytes | None:
    """Return 64 bits that say where a photo gets brighter to the right; None for an image of one tone."""
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    steps = np.diff(small, axis=1)
    return np.packbits(steps > 0).tobytes() if int(np.abs(steps).max()) > 8 else None
