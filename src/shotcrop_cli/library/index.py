"""Which sidecars an earlier run has read and found up to date, so that this run need only stat them.

An entry holds while the photo and its sidecar keep size and modification time. The index is a cache: without it, or
with a damaged one, every sidecar is read again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.plan import Wanted

INDEX_NAME = ".shotcrop.index"
_FORMAT = "2"


Look = tuple[int, int, int, int]
"""Size in bytes and modification time in nanoseconds of a photo, then the same of its sidecar."""


class Index:
    """Entries by the sidecars' paths below the output folder.

    Args:
        root: The output folder.
        wanted: What this run would make; entries that were made for anything else do not count.
        template: What the crops are called.
    """

    def __init__(self, root: Path, wanted: Wanted, template: str) -> None:
        self._root = root
        made_for = repr((_FORMAT, wanted.model_sha256, wanted.settings.hash, tuple(map(str, wanted.shots)), template))
        self._made_for = hashlib.sha256(made_for.encode()).hexdigest()
        self._entries: dict[str, object]
        self._folders: dict[str, int]
        self._entries, self._folders = self._read()
        self._grew = False

    def recall(self, path: str, look: Look, folder: str) -> bool | None:
        """Tell whether the model saw nobody, where a sidecar was found up to date when it looked like this.

        Args:
            path: The sidecar's, below the output folder.
            look: Of the photo and the sidecar.
            folder: Where the photo lies: a copy elsewhere is looked at anew.

        Returns:
            None when nothing is known of it.
        """
        entry = self._entries.get(path)
        if not isinstance(entry, list) or entry[:5] != [*look, self._folders.get(folder, -1)]:
            return None
        return entry[5:] == [True]

    def add(self, path: str, look: Look, folder: str, *, nobody: bool) -> None:
        """Remember that a sidecar was found up to date; see `recall`."""
        self._entries[path] = [*look, self._folders.setdefault(folder, len(self._folders)), nobody]
        self._grew = True

    def save(self) -> None:
        """Keep what was added for the next run.

        Raises:
            OutputError: The output cannot be written.
        """
        if self._grew:
            document = {"made_for": self._made_for, "folders": [*self._folders], "photos": self._entries}
            content = json.dumps(document, separators=(",", ":"))
            put_in_place([NewFile(self._root / INDEX_NAME, content.encode("ascii"))], root=self._root)
            self._grew = False

    def _read(self) -> tuple[dict[str, object], dict[str, int]]:
        try:
            document = json.loads((self._root / INDEX_NAME).read_bytes())
            if document["made_for"] != self._made_for:
                return {}, {}
            entries = document["photos"]
            folders = {folder: number for number, folder in enumerate(document["folders"])}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}, {}
        return (entries, folders) if isinstance(entries, dict) else ({}, {})
