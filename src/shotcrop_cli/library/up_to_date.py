"""Tell from the bytes of a sidecar, without parsing it, that its photo is up to date.

`Sidecar.to_bytes` spells every value in one way, and within a JSON string a quotation mark is always escaped, so that
`"mtime": "..."` in a sidecar can only be this key with this value. One that somebody laid out otherwise does not match
and is parsed.
"""

from __future__ import annotations

import hashlib
import json
import os.path
from collections.abc import Collection
from json.encoder import encode_basestring
from pathlib import Path

from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.plan import XMP_ENDING, Job, Wanted
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_cli.sidecar import SCHEMA_ID, iso_mtime

_NO_SUBJECT = b'  "status": "no_subject",\n'
_NO_FILE = b'"file": null'


class Glance:
    """Knows what the sidecars of up-to-date photos say.

    Args:
        wanted: What this run would make.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._shots = frozenset(wanted.shots)
        self._xmp = wanted.settings.xmp
        self._start = f'{{\n  "schema": "{SCHEMA_ID}",\n'.encode()
        self._model = f'"sha256": "{wanted.model_sha256}",\n    "provider": '.encode()
        self._settings = f'"settings": {{\n    "hash": "{wanted.settings.hash}",\n'.encode()

    def shows_nobody(self, content: bytes) -> bool:
        """Tell whether a sidecar says that the model saw nobody."""
        return content.startswith(_NO_SUBJECT, len(self._start))

    def is_current(self, content: bytes, job: Job, present: Collection[str]) -> bool:
        """Tell whether a photo is up to date; False where only parsing can tell.

        Args:
            content: The sidecar's.
            job: The photo and its files.
            present: Files that exist, as paths below the job's folder.
        """
        source = job.source
        made_from = (
            f'"path": {encode_basestring(os.path.join(source.folder.path, source.name))},\n    '  # noqa: PTH118
            f'"size_bytes": {source.size_bytes},\n    "mtime": "{iso_mtime(source.mtime_ns)}",'
        ).encode("utf-8", "backslashreplace")
        if not content.startswith(self._start):
            return False
        # Keys come in a fixed order, so that each is looked for behind the one before.
        place = len(self._start)
        for value in (made_from, self._model, self._settings):
            if (place := content.find(value, place)) < 0:
                return False
        if self.shows_nobody(content):
            return True
        found = 0
        for shot, file in zip(SHOT_TYPES, job.files, strict=True):
            cut = content.find(f'"file": {encode_basestring(file)},'.encode("utf-8", "backslashreplace"), place)
            if cut >= 0 and file in present and (not self._xmp or file + XMP_ENDING in present):
                found, place = found + 1, cut
            elif shot in self._shots:
                return False
        return found == len(SHOT_TYPES) or found + content.count(_NO_FILE) == len(SHOT_TYPES)


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
