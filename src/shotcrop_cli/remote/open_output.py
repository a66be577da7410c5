"""Open an output for commands that look at all of it, wherever it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.storage.location import is_url


@contextmanager
def opened(place: Path, photos: Sequence[Path] = ()) -> Iterator[OutputFiles]:
    """Yield the files of an output: those of a folder, or a `Mirror` of one in an object store.

    Args:
        place: The folder or URL.
        photos: Folders and URLs to read photos from; empty for those that `crop` recorded.

    Raises:
        ShotcropError: The URL is not a whole output of `shotcrop crop`, or its store cannot be opened.
    """
    if not is_url(place):
        yield OutputFiles(place, tuple(photos))
        return
    from shotcrop_cli.remote.mirror import mirrored  # most commands work on folders

    with mirrored(place, photos) as files:
        yield files
