"""Search object stores for photos, in parts, so that a listing of any length takes little memory.

The listing of the photos and that of the output have the same order, so both are read side by side, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby

from shotcrop_cli.imaging.formats import HEIF, JPEG, RAW, format_of_name
from shotcrop_cli.library.ignored import NO_MEDIA, is_ignored_file, is_ignored_folder, is_photo_library
from shotcrop_cli.library.output_folder import LOCK_NAME
from shotcrop_cli.library.selection import Filter, Selection
from shotcrop_cli.storage.interface import Entry, Storage

PART_SIZE = 5_000
"""Photos that are planned at once (our choice: some megabytes)."""


@dataclass(slots=True)
class Part:
    """A part of a listing.

    Args:
        photos: The photos, in the order of the listing.
        files: By the name of a photo, what the output has of it, by name.
    """

    photos: list[Entry]
    files: dict[str, dict[str, Entry]] = field(default_factory=dict)


@dataclass(slots=True)
class PhotoSearch:
    """Takes the photos out of a listing, by the rules of a local search where they make sense.

    Args:
        selection: Which photos the user asked for.
        output: URL of the output, which is not searched.
        root: URL of the folder that is searched.

    Attributes:
        skipped: Names that look like photos but are not taken, and why.
    """

    selection: Selection
    output: str
    root: str
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _filter: Filter | None = None
    _folders: dict[str, bool] = field(default_factory=dict)
    _closed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        selection = self.selection
        if selection.includes or selection.excludes:
            self._filter = Filter(selection.includes, selection.excludes)
        if self.output.startswith(f"{self.root}/"):
            self._closed.append(self.output[len(self.root) + 1 :] + "/")

    def photos(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Yield the photos, without RAW files that are next to a JPEG or HEIC of the same name."""
        for _, group in groupby(filter(self._is_photo, entries), key=lambda entry: _stem(entry.name)):
            alike = list(group)
            pair = next((entry for entry in alike if format_of_name(_last(entry.name)) in (JPEG, HEIF)), None)
            for entry in alike:
                if pair is not None and format_of_name(_last(entry.name)) is RAW:
                    self.skipped.append((entry.name, f"the same photo as {_last(pair.name)}"))
                else:
                    yield entry

    def _is_photo(self, entry: Entry) -> bool:
        folder, _, name = entry.name.rpartition("/")
        if name in (LOCK_NAME, NO_MEDIA) and (folder or name == LOCK_NAME):
            self._closed.append(f"{folder}/" if folder else "")
            return False
        if format_of_name(name) is None or is_ignored_file(name) or (name[0] == "." and not self.selection.hidden):
            return False
        if any(entry.name.startswith(prefix) for prefix in self._closed) or (folder and not self.selection.recursive):
            return False
        if not self._is_open(folder):
            return False
        if not is_file_name(entry.name):
            self.skipped.append((entry.name, "its name has an empty part, `.` or `..`, which cannot be a file"))
            return False
        return self._filter is None or self._filter.accepts_photo(entry.name)

    def _is_open(self, folder: str) -> bool:
        if not folder:
            return True
        if (known := self._folders.get(folder)) is None:
            parent, _, name = folder.rpartition("/")
            known = (
                self._is_open(parent)
                and not is_photo_library(name)
                and not is_ignored_folder(name)
                and (self.selection.hidden or not name.startswith("."))
                and (self._filter is None or self._filter.accepts_folder(folder))
            )
            if len(self._folders) > PART_SIZE:
                self._folders.clear()
            self._folders[folder] = known
        return known


def parts(
    photos: Iterator[Entry],
    output: Storage,
    size: int = PART_SIZE,
    unclaimed: Callable[[Entry], None] | None = None,
) -> Iterator[Part]:
    """Yield photos with what the output has of each.

    Files belong to a photo if their names start with its name and a dot, as those by the default template do.

    Args:
        photos: The photos, in the order of their names.
        output: The output.
        size: How many photos a part has.
        unclaimed: Called with what the output has and that belongs to no photo.
    """
    written: Iterator[Entry] | None = None
    ahead: list[Entry] = []
    while chunk := _take(photos, size):
        part = Part(chunk, {entry.name: {} for entry in chunk})
        end = max(f"{entry.name}/".encode() for entry in chunk)  # "/" comes after the dot
        if written is None:
            written = output.list(start="" if unclaimed else chunk[0].name)
        waiting, ahead = ahead, []
        last = chunk[-1].name.encode()
        for entry in _until(waiting, written, end, ahead):
            if (photo := _photo_of(entry.name, part.files)) is not None:
                part.files[photo][entry.name] = entry
            elif entry.name.encode() > last:
                ahead.append(entry)  # perhaps of a photo of the next part
            elif unclaimed is not None:
                unclaimed(entry)
        yield part
    if unclaimed is not None:
        for entry in chain(ahead, output.list() if written is None else written):
            unclaimed(entry)


def _until(waiting: Sequence[Entry], written: Iterator[Entry], end: bytes, ahead: list[Entry]) -> Iterator[Entry]:
    yield from waiting
    if waiting and waiting[-1].name.encode() >= end:
        return
    for entry in written:
        if entry.name.encode() >= end:
            ahead.append(entry)
            return
        yield entry


def is_file_name(name: str) -> bool:
    """Say whether an object can be copied to a file of this name below a folder. Stores take any name."""
    return not {"", ".", ".."} & set(name.split("/"))


def _take(photos: Iterator[Entry], size: int) -> list[Entry]:
    chunk = []
    for entry in photos:
        chunk.append(entry)
        if len(chunk) == size:
            break
    return chunk


def _photo_of(name: str, photos: dict[str, dict[str, Entry]]) -> str | None:
    """Return the photo that a file of the output belongs to."""
    folder, slash, last = name.rpartition("/")
    parts = last.split(".")
    for length in range(len(parts) - 1, 0, -1):
        if (photo := folder + slash + ".".join(parts[:length])) in photos:
            return photo
    return None


def _stem(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.rpartition(".")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]
