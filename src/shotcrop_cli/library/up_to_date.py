"""Recognise up-to-date photos fast: by the times of their files, or by a few values of their sidecar."""

from __future__ import annotations

import hashlib
import json
import os.path
from collections.abc import Collection
from pathlib import Path

import msgspec

from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.library.atomic_write import NewFile, put_in_place
from shotcrop_cli.library.hand_work import XMP_SUFFIX
from shotcrop_cli.library.plan import Target, Wanted
from shotcrop_cli.shots import SHOT_TYPES, Box, PixelBox, ShotType
from shotcrop_cli.sidecar import SCHEMA_ID, SidecarStatus, are_as_written, iso_mtime

INDEX_NAME = ".shotcrop.index"
_FORMAT = "3"
_CHECKS = 2
"""Changes when sidecars that earlier versions found up to date have to be read again."""

PhotoStamp = tuple[int, int, int, int]
"""Of a photo: size in bytes, modification time and change time in nanoseconds, and inode number."""
SidecarStamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds of a sidecar."""
Stamp = tuple[PhotoStamp, SidecarStamp]
_ENTRY_LENGTH = 8
_UNKNOWN_SIDECAR = (None, None)
"""In place of a `SidecarStamp`: only the photo is known. It equals no stamp."""


class Index:
    """Remembers photos as earlier runs saw them, and which of their sidecars are up to date and need not be read.

    An entry is valid while the photo and its sidecar keep their stamps. The index is a cache: if it is missing or
    damaged, shotcrop reads every sidecar again, and cannot notice photos that changed under the same size and
    modification time.

    Args:
        root: The output folder.
        wanted: What this run would make. Of runs that made something else, only the stamps of the photos count.
        template: Text of the name template.
    """

    def __init__(self, root: Path, wanted: Wanted, template: str) -> None:
        self._root = root
        made_for = repr((_CHECKS, wanted.model_sha256, wanted.settings.hash, tuple(map(str, wanted.shots)), template))
        made_for += "" if wanted.is_ordinary else repr((wanted.subjects, wanted.sets))
        self._made_for = hashlib.sha256(made_for.encode()).hexdigest()
        self._entries: dict[str, list[object]]
        self._folders: dict[str, int]
        self._entries, self._folders = self._read()
        self._changed: set[str] = set()

    def find(self, path: str, stamp: Stamp, folder: str) -> bool | None:
        """Look up a sidecar.

        Args:
            path: Path of the sidecar below the output folder.
            stamp: Stamps of the photo and the sidecar.
            folder: Folder of the photo. A copy of the photo in another folder has no entry.

        Returns:
            Whether the photo shows no people, or None if there is no valid entry.
        """
        photo, sidecar = stamp
        entry = self._entries.get(path)
        if entry is None or entry[:7] != [*photo, *sidecar, self._folders.get(folder, -1)]:
            return None
        return entry[7:] == [True]

    def may_have_changed(self, path: str, photo: PhotoStamp, folder: str) -> bool:
        """Say whether a photo is another file, or changed, since an earlier run saw it with the same size and time.

        Args:
            path: As for `find`.
            photo: Its stamp now.
            folder: Folder of the photo.
        """
        entry = self._entries.get(path)
        return (
            entry is not None
            and entry[:2] == [*photo[:2]]
            and entry[6] == self._folders.get(folder, -1)
            and entry[2:4] != [*photo[2:]]
        )

    def add(self, path: str, stamp: Stamp, folder: str, *, no_subject: bool) -> None:
        """Remember that a sidecar is up to date; see `find`."""
        photo, sidecar = stamp
        self._put(path, [*photo, *sidecar], folder, no_subject=no_subject)

    def add_photo(self, path: str, photo: PhotoStamp, folder: str) -> None:
        """Remember a photo whose sidecar is not up to date; see `may_have_changed`."""
        self._put(path, [*photo, *_UNKNOWN_SIDECAR], folder, no_subject=False)

    def _put(self, path: str, stamps: list[object], folder: str, *, no_subject: bool) -> None:
        entry = [*stamps, self._folders.setdefault(folder, len(self._folders)), no_subject]
        if self._entries.get(path) != entry:
            self._entries[path] = entry
            self._changed.add(path)

    def save(self, *, merge: bool = False) -> None:
        """Write the index for the next run, if anything was added.

        Args:
            merge: Whether to keep what other runs have added since this one began. They must not write meanwhile.

        Raises:
            OutputError: The output cannot be written.
        """
        if self._changed:
            if merge:
                self._merge()
            document = {
                "format": _FORMAT,
                "made_for": self._made_for,
                "folders": [*self._folders],
                "photos": self._entries,
            }
            content = json.dumps(document, separators=(",", ":"))
            put_in_place([NewFile(self._root / INDEX_NAME, content.encode("ascii"))], root=self._root)
            self._changed.clear()

    def _merge(self) -> None:
        """Take the index as it is now, with the entries that this run changed."""
        names = [*self._folders]
        entries, folders = self._read()
        for path in self._changed:
            entry = self._entries[path]
            entries[path] = [*entry[:6], folders.setdefault(names[entry[6]], len(folders)), *entry[7:]]  # type: ignore[call-overload]
        self._entries, self._folders = entries, folders

    def _read(self) -> tuple[dict[str, list[object]], dict[str, int]]:
        try:
            document = json.loads((self._root / INDEX_NAME).read_bytes())
            if document["format"] != _FORMAT:
                return {}, {}
            folders = {folder: number for number, folder in enumerate(document["folders"])}
            entries = {path: entry for path, entry in document["photos"].items() if _is_entry(entry)}
            if document["made_for"] != self._made_for:
                for entry in entries.values():
                    entry[4:6] = _UNKNOWN_SIDECAR
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}, {}
        return entries, folders


def _is_entry(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == _ENTRY_LENGTH


_ANY = msgspec.Raw()
"""Stands for a value that does not matter here, and is not decoded."""


class _Source(msgspec.Struct):
    path: str
    size_bytes: int
    mtime: str
    width: int
    height: int


class _Model(msgspec.Struct):
    sha256: str


class _Settings(msgspec.Struct):
    hash: str


class _Written(msgspec.Struct):
    caption: str
    alt_text: str = ""
    caption_sha256: str | None = None
    alt_text_sha256: str | None = None


class _Shot(msgspec.Struct, forbid_unknown_fields=True):
    """A shot with all keys that it may have, so that a person's typo is noticed; see `_Summary`."""

    shot: ShotType
    box: PixelBox
    box_norm: tuple[float, float, float, float]
    file: str | None
    caption: str
    edited: bool
    model_box: msgspec.Raw = _ANY
    size: msgspec.Raw = _ANY
    score: msgspec.Raw = _ANY
    alt_text: str = ""
    language: msgspec.Raw = _ANY
    facts: msgspec.Raw = _ANY
    keywords: msgspec.Raw = _ANY
    text_edited: bool = False
    rejected: bool = False
    retouched: bool = False
    written: _Written | None = None
    replaced: msgspec.Raw = _ANY

    def is_as_written(self, source: _Source) -> bool:
        """Say whether its box and texts are those that shotcrop wrote. An invalid box is not."""
        try:
            is_moved = to_pixels(Box(*self.box_norm), source.width, source.height) != self.box
        except ValueError:
            return False
        if is_moved:
            return False
        written = self.written
        return written is None or are_as_written(
            self.caption,
            self.alt_text,
            (written.caption, written.alt_text),
            written.caption_sha256,
            written.alt_text_sha256,
        )


class _Summary(msgspec.Struct, forbid_unknown_fields=True):
    """The few values of a sidecar that say whether its photo is up to date. Decoding skips all others."""

    schema: str
    status: str
    source: _Source
    model: _Model
    settings: _Settings
    shots: list[_Shot]
    more_crops: list[msgspec.Raw] = []
    rejected: bool = False
    lead: msgspec.Raw = _ANY
    people: msgspec.Raw = _ANY
    reasoning: msgspec.Raw = _ANY
    captions: msgspec.Raw = _ANY
    people_count: msgspec.Raw = _ANY
    warnings: msgspec.Raw = _ANY
    timing_ms: msgspec.Raw = _ANY
    shotcrop: msgspec.Raw = _ANY
    created: msgspec.Raw = _ANY


class UpToDateCheck:
    """Compares sidecars with what this run would make, without reading all of them.

    Args:
        wanted: What this run would make.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._settings_hash = wanted.settings.hash
        self._decoder = msgspec.json.Decoder(_Summary)

    def check(self, content: bytes, target: Target, present: Collection[str]) -> bool | None:
        """Say whether a photo is up to date, by the rules of `plan.decide`, which has the last word.

        Args:
            content: Content of the sidecar.
            target: The photo and its files.
            present: Files that exist, as paths below the target's folder.

        Returns:
            If the photo is up to date, whether it shows no people. None if only the whole sidecar can tell.
        """
        source = target.source
        try:
            summary = self._decoder.decode(content)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None  # not a sidecar, or one of a photo whose name is not UTF-8
        if (
            summary.schema != SCHEMA_ID
            or summary.source.size_bytes != source.size_bytes
            or summary.source.mtime != iso_mtime(source.mtime_ns)
            or summary.source.path != os.path.join(source.folder.path, source.name)  # noqa: PTH118 - 100,000 times
            or summary.model.sha256 != self._wanted.model_sha256
            or summary.settings.hash != self._settings_hash
            or summary.rejected
            or summary.more_crops
            or not self._wanted.is_ordinary
        ):
            return None
        if summary.status == SidecarStatus.NO_SUBJECT.value:
            return None if summary.shots else True
        if tuple(shot.shot for shot in summary.shots) != SHOT_TYPES:
            return None
        xmp = self._wanted.settings.xmp.has_files
        for shot, name in zip(summary.shots, target.crop_names, strict=True):
            if shot.rejected or shot.retouched or not shot.is_as_written(summary.source):
                return None
            if shot.file is None:
                if shot.shot in self._wanted.shots:
                    return None
            elif shot.file != name or name not in present or (xmp and name + XMP_SUFFIX not in present):
                return None
        return False
