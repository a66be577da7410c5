"""The files of an output, for commands that look at all of it: in a folder, or as copies of objects of a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from shotcrop_cli.library.output_folder import open_output, read_roots
from shotcrop_cli.sidecar import Sidecar


class OutputFiles:
    """The files of an output folder of this machine, which are all at hand.

    `remote.mirror.Mirror` has copies of objects instead, and fetches them when they are needed.

    Args:
        root: The output folder.
        photos: Folders to read photos from; empty for those that `crop` recorded.

    Attributes:
        root: The folder that has the files or their copies.
        photos: Folders that have the photos or their copies.
        place: What users call the output: the folder, or the URL of the store.
    """

    def __init__(self, root: Path, photos: tuple[Path, ...] = ()) -> None:
        self.root, self.place = root, root
        self.photos = photos or read_roots(root)

    @property
    def name(self) -> str:
        """The last part of the place."""
        return self.place.resolve().name

    def load(self) -> None:
        """Take what the output has by now. Files and sidecars that are copied later stay as they are."""

    def refresh(self, sidecar: Path) -> None:
        """Take what the output has of one photo by now."""

    def bring(self, path: Path) -> None:
        """Copy a file of the output, or a photo, if it is not there yet and exists."""

    def bring_photo(self, sidecar: Path, record: Sidecar) -> None:
        """Copy the photo of a sidecar, if it is not there yet and exists."""

    def writable(self) -> AbstractContextManager[None]:
        """Let `put_in_place` change the output for as long as the context lasts."""
        return nullcontext()

    @contextmanager
    def hold(self, wait: float, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Let no other run work on the output; see `open_output`.

        Raises:
            LockedError: Another run works on it.
        """
        with open_output(self.root, wait, on_wait):
            yield

    def delete(self, path: Path) -> None:
        """Delete a file, if it exists.

        Raises:
            OSError: It cannot be deleted.
        """
        path.unlink(missing_ok=True)

    def has_photo(self, path: str) -> bool:
        """Say whether a photo is where a sidecar says."""
        return os.path.lexists(path)

    def may_be_unmounted(self, folder: Path, photo_root: Path) -> bool:
        """Say whether a folder of photos looks like the mount point of a disk that is not mounted."""
        while folder != photo_root and not folder.is_dir():
            folder = folder.parent
        try:
            with os.scandir(folder) as entries:
                return next(entries, None) is None
        except OSError:
            return True

    def load_orphans(self) -> None:
        """Take what the output has of photos that are gone."""

    def show(self, path: Path) -> Path:
        """Return the place of which a path is the copy."""
        return path

    def show_text(self, text: str) -> str:
        """Return a message with places instead of copies."""
        return text

    def copy_of(self, place: Path) -> Path:
        """Return the path of the copy of a place."""
        return place
