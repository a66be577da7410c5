"""Copies of the files of the photos at hand, in a temporary folder, where the steps of a local run find them.

A photo, its sidecar and what else is there of it come here before the steps need them, and go as soon as the photo is
done. What the steps write goes to the store at once, in the order that `put_in_place` promises.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.library.atomic_write import Change, NewFile
from shotcrop_cli.library.hand_work import BACKUP_SUFFIX
from shotcrop_cli.library.plan import SIDECAR_SUFFIX, Target, Task, with_rejections
from shotcrop_cli.library.results import PhotoResult, PhotoStatus
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.sidecar import Sidecar
from shotcrop_cli.storage.interface import ABSENT, MTIME_KEY, PHOTO_TAG_KEY, Changed, Content, Denied, Entry, Storage
from shotcrop_cli.storage.local import nanoseconds, seconds
from shotcrop_cli.storage.location import UrlPath, is_url, open_storage

_BACKUP = re.compile(rf"{re.escape(BACKUP_SUFFIX)}(?:\.\d+)?")
NAME_CLASHES = (FileExistsError, NotADirectoryError, IsADirectoryError)
"""Errors if a store has two names that no folder can have together, such as `a` and `a/b`."""
_FINISHED = (PhotoStatus.DONE, PhotoStatus.UNCHANGED, PhotoStatus.NO_SUBJECT)
_HALF_MILLISECOND_NS = 500_000


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of photos.

    Args:
        storage: Where it is.
        copies: The folder for copies of its photos; that of the photos themselves on this machine.
    """

    storage: Storage
    copies: Path


@dataclass(frozen=True, slots=True)
class Package:
    """What another process has to know of the objects of a photo to crop it.

    Args:
        shown: The photo, as results name it.
        root: URL of the folder of photos; empty if they are on a disk that all machines share.
        photo: The photo in the listing; None if it is on a disk.
        folder: Where its files go, below the output.
        files: What the output has of it.
        sidecar: Content and time of its sidecar; None if it has none.
        former: Path of the photo in that content.
    """

    shown: Path
    root: str
    photo: Entry | None
    folder: str
    files: Mapping[str, Entry]
    sidecar: tuple[bytes, int] | None
    former: str


class Staging:
    """Keeps copies of the files that are worked on.

    Args:
        folder: A temporary folder of this run.
        output: The output.
        wants_records: Whether results carry their sidecars.
    """

    def __init__(self, folder: Path, output: Storage, *, wants_records: bool = False) -> None:
        self.root = folder / "shots"
        self.root.mkdir()
        self.output = output
        self.check: Callable[[], None] = lambda: None
        self.not_deleted: list[str] = []
        self._folder, self._wants_records = folder, wants_records
        self._roots: list[Root] = []
        self._photos: dict[Path, Entry] = {}
        self._files: dict[Path, dict[str, Entry]] = {}  # by sidecar, what the output has of a photo
        self._tags: dict[str, str] = {}
        self._changed: set[Path] = set()

    def add_root(self, storage: Storage) -> Root:
        """Prepare to copy photos from a folder of an object store."""
        root = Root(storage, self._folder / "photos" / str(len(self._roots)))
        root.copies.mkdir(parents=True)
        self._roots.append(root)
        return root

    def source(self, root: Root, entry: Entry, folders: dict[str, Folder]) -> Source:
        """Return the photo that an entry of a listing is.

        Args:
            root: Its folder.
            entry: The entry.
            folders: The folders of photos so far, which they share.
        """
        parent, _, name = entry.name.rpartition("/")
        if (folder := folders.get(parent)) is None:
            folder = folders[parent] = Folder(root.copies / parent, PurePath(parent))
        source = Source(folder, name, entry.size_bytes, entry.mtime_ns)
        self._photos[source.path] = entry
        return source

    def expect(self, target: Target, files: Mapping[str, Entry]) -> None:
        """Take what the output has of a photo."""
        self._files[target.sidecar] = dict(files)
        for name, entry in files.items():
            self._tags[name] = entry.tag

    def names(self, target: Target) -> frozenset[str]:
        """Return the names that the output has of a photo, below the output."""
        return frozenset(self._files.get(target.sidecar, ()))

    def bring_sidecar(self, target: Target, content: Content | None = None) -> bool:
        """Copy the sidecar of a photo, and say whether the photo has to be compared by its content.

        A photo is copied, too, if it has the recorded size and any other sign of a change.

        Args:
            target: The photo.
            content: The sidecar, if it was read already.
        """
        name = self._name(target.sidecar)
        entry = self._files.get(target.sidecar, {}).get(name)
        if entry is None:
            return False
        try:
            content = content or self.output.read(name)
        except FileNotFoundError:  # the listing was old
            del self._files[target.sidecar][name]
            del self._tags[name]
            return False
        self._tags[name] = content.tag
        photo = self._photos.get(target.source.path)
        data = with_path(content.data, self.show(target.source.path), target.source.path)
        self._copy(target.sidecar, data, entry.mtime_ns)
        try:
            record = sidecars.parse(data)
        except (ShotcropError, ValueError, RecursionError):
            return False
        self._look_up(target, record)
        if photo is None:
            return False
        recorded = content.metadata.get(PHOTO_TAG_KEY, photo.tag)
        is_suspect = recorded != photo.tag or record.source.mtime != sidecars.iso_mtime(photo.mtime_ns)
        if is_suspect and record.source.size_bytes == photo.size_bytes:
            with suppress(PhotoError):  # decoding will say what is wrong
                self._bring_photo(target)
        return recorded != photo.tag

    def _look_up(self, target: Target, record: Sidecar) -> None:
        """List crops whose names do not start with that of their photo, so that they were not in the listing."""
        files, folder = self._files[target.sidecar], self._name(target.folder)
        for shot in record.all_crops:
            name = f"{folder}/{shot.file}" if folder else f"{shot.file}"
            if shot.file is None or shot.file.startswith(f"{target.source.name}.") or ".." in shot.file.split("/"):
                continue
            for entry in self.output.list(below=PurePath(name).with_suffix("").as_posix() + "."):
                files[entry.name], self._tags[entry.name] = entry, entry.tag

    def bring(self, target: Target) -> None:
        """Copy a photo and what the output has of it.

        Raises:
            PhotoError: The photo is gone, changed or may not be read.
        """
        self._bring_photo(target)
        for name, entry in self._files.get(target.sidecar, {}).items():
            path = self.root / name
            if path == target.sidecar or path.exists():
                continue
            if _BACKUP.search(PurePath(name).name):
                self._copy(path, b"", entry.mtime_ns)  # only its name matters
                continue
            try:
                content = self.output.read(name)
            except FileNotFoundError:
                self._tags.pop(name, None)
                continue
            self._tags[name] = content.tag
            self._copy(path, content.data, _mtime_ns(content, entry))

    def _bring_photo(self, target: Target) -> None:
        path = target.source.path
        if (entry := self._photos.get(path)) is None or path.exists():
            return
        root = self.root_of(path)
        assert root is not None
        shown = self.show(path)
        try:
            content = root.storage.read(path.relative_to(root.copies).as_posix(), entry.tag)
        except Changed:
            raise PhotoError(f"{shown}: the photo changed during the run", hint="run again") from None
        except FileNotFoundError:
            raise PhotoError(f"{shown}: cannot be read: it is gone", hint="check that it exists") from None
        except Denied:
            raise PhotoError(f"{shown}: cannot be read: access denied", hint="allow to read it") from None
        if len(content.data) != entry.size_bytes:
            raise PhotoError(f"{shown}: the photo changed during the run", hint="run again")
        self._copy(path, content.data, entry.mtime_ns)

    def retry(self, target: Target) -> bool:
        """Copy again what the output has of a photo, if a listing had not shown that; say whether to try again."""
        if target.sidecar not in self._changed:
            return False
        self._changed.discard(target.sidecar)
        files = self._files.setdefault(target.sidecar, {})
        folder = self._name(target.folder)
        for name in target.crop_names:
            whole = f"{folder}/{name}" if folder else name
            (self.root / whole).unlink(missing_ok=True)
            if (entry := self.output.stat(whole)) is None:
                files.pop(whole, None)
                self._tags.pop(whole, None)
            else:
                files[whole], self._tags[whole] = entry, entry.tag
        self.bring(target)
        return True

    def pack(self, task: Task) -> Package:
        """Return what another process has to know of a photo."""
        target = task.target
        path, photo, sidecar = target.source.path, self._photos.get(target.source.path), None
        root = self.root_of(path)
        if target.sidecar.exists():
            sidecar = target.sidecar.read_bytes(), target.sidecar.stat().st_mtime_ns
        return Package(
            self.show(path),
            "" if root is None else root.storage.url,
            photo,
            self._name(target.folder),
            {name: replace(entry, tag=self._tags[name]) for name, entry in self._files[target.sidecar].items()},
            sidecar,
            str(path),
        )

    def unpack(self, task: Task, package: Package) -> Task:
        """Return a task of another process with the paths of this one."""
        target, record = task.target, task.record
        source = target.source
        if package.photo is not None:
            known = next((root for root in self._roots if root.storage.url == package.root), None)
            root = known or self.add_root(open_storage(package.root))
            source = replace(
                self.source(root, package.photo, {}),
                folder=Folder(root.copies / source.relative.parent, source.folder.relative),
            )
        target = replace(target, source=source, folder=self.root / package.folder)
        self.expect(target, package.files)
        if package.sidecar is not None:
            data, mtime_ns = package.sidecar
            self._copy(target.sidecar, with_path(data, Path(package.former), source.path), mtime_ns)
        if record is not None and record.source.path == package.former:
            record = replace(record, source=replace(record.source, path=str(source.path)))
        return replace(task, target=target, record=record, stamp=None)

    def look_again(self, target: Target) -> None:
        """Take what the output has of a photo by now, and copy its sidecar."""
        start = self._name(target.sidecar).removesuffix(SIDECAR_SUFFIX) + "."
        for name in self._files.pop(target.sidecar, {}):
            (self.root / name).unlink(missing_ok=True)
            self._tags.pop(name, None)
        self.expect(target, {entry.name: entry for entry in self.output.list(below=start)})
        self.bring_sidecar(target)

    def release(self, target: Target) -> None:
        """Remove the copies of a photo that is done."""
        for name in (*self._files.pop(target.sidecar, ()), self._name(target.sidecar)):
            self._tags.pop(name, None)
            (self.root / name).unlink(missing_ok=True)
        if self._photos.pop(target.source.path, None) is not None:
            target.source.path.unlink(missing_ok=True)
        self._changed.discard(target.sidecar)

    def carry_out(self, change: Change) -> None:
        """Write to the output what `put_in_place` would write to a folder, in the same order.

        Raises:
            PhotoError: Somebody else wrote one of the objects.
            StorageError: The output cannot be written.
        """
        self.check()
        if isinstance(change.first, NewFile):
            self._write(change.first, change)
        elif change.first is not None:
            self._delete(change.first)
        new = {file.path for file in change.files}
        for path, backup in change.backups:
            self._write(NewFile(backup, path.read_bytes(), path.stat().st_mtime_ns), change)
            if path not in new:
                self._delete(path)
        for file in change.files[:-1]:
            self._write(file, change)
        for path in change.obsolete:
            self._delete(path)
        for file in change.files[-1:]:
            self._write(file, change)

    def _write(self, file: NewFile, change: Change) -> None:
        name, data = self._name(file.path), file.content
        metadata = {} if file.mtime_ns is None else {MTIME_KEY: seconds(file.mtime_ns)}
        sidecar = change.files[-1].path
        if SIDECAR_SUFFIX in file.path.suffixes:
            photo = path_in(data)
            data = data if photo is None else with_path(data, photo, self.show(photo))
            if photo is not None and (entry := self._photos.get(photo)) is not None:
                metadata[PHOTO_TAG_KEY] = entry.tag
        try:
            tag = self.output.write(name, data, self._tags.get(name, ABSENT), metadata)
        except Changed:
            # The answer to an earlier try may have been lost.
            try:
                there = self.output.read(name)
            except FileNotFoundError:
                there = Content(b"")
            if there.data != data:
                self._changed.add(sidecar)
                raise PhotoError(
                    f"{self.show(file.path)}: somebody wrote it while its photo was being cropped",
                    hint="run the same command again",
                ) from None
            tag = there.tag
        self._tags[name] = tag
        self._files.setdefault(sidecar, {})[name] = Entry(name, len(data), file.mtime_ns or 0, tag)
        if file.path.suffix == SIDECAR_SUFFIX:
            self._copy(file.path, file.content, None)

    def remove(self, path: Path) -> None:
        """Delete a file of the output and its copy. What may not be deleted stays, and is in `not_deleted`."""
        self._delete(path)
        path.unlink(missing_ok=True)

    def _delete(self, path: Path) -> None:
        name = self._name(path)
        try:
            self.output.delete(name)
        except Denied:
            self.not_deleted.append(str(self.show(path)))
        self._tags.pop(name, None)

    def take(
        self, path: Path, content: Content, entry: Entry, data: bytes | None = None, photo: Path | None = None
    ) -> None:
        """Copy a file of the output that was read.

        Args:
            path: Where its copy goes.
            content: The file.
            entry: The file in the listing.
            data: What the copy has instead of the content.
            photo: The copy of the photo, if the file is a sidecar.
        """
        self._tags[self._name(path)] = content.tag
        if photo is not None and (tag := content.metadata.get(PHOTO_TAG_KEY)):
            self._photos[photo] = Entry(photo.name, 0, 0, tag)
        self._copy(path, content.data if data is None else data, None if photo else _mtime_ns(content, entry))

    def place(self, path: Path, size: int, mtime_ns: int) -> None:
        """Make a file of a size that takes no space on most file systems, so that a command sees that one is there."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(size)
            os.utime(path, ns=(mtime_ns, mtime_ns))
        except NAME_CLASHES:
            return
        except OSError as error:
            raise self._no_space(path, error) from error

    def _no_space(self, path: Path, error: OSError) -> PhotoError:
        return PhotoError(
            f"{self.show(path)}: cannot be copied to {self._folder}: {error.strerror}",
            hint="set TMPDIR to a folder with more space",
        )

    def forget(self, path: Path) -> None:
        """Take note that the output has no such file."""
        self._tags.pop(self._name(path), None)

    def tag(self, path: Path) -> str | None:
        """Return the tag of a file that was copied; None if it was not."""
        return self._tags.get(self._name(path))

    def root_of(self, path: Path) -> Root | None:
        """Return the folder of photos that a path is the copy of something in; None if there is none."""
        return next((root for root in self._roots if path.is_relative_to(root.copies)), None)

    def _copy(self, path: Path, data: bytes, mtime_ns: int | None) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if mtime_ns is not None:
                os.utime(path, ns=(mtime_ns, mtime_ns))
        except OSError as error:
            raise self._no_space(path, error) from error

    def _name(self, path: Path) -> str:
        name = path.relative_to(self.root).as_posix()
        return "" if name == "." else name

    def show(self, path: Path) -> Path:
        """Return where the file really is of which this is a copy."""
        for copies, storage in self._places():
            if path.is_relative_to(copies):
                kind = UrlPath if is_url(storage.url) else Path
                return kind(storage.url, *path.relative_to(copies).parts)
        return path

    def show_text(self, text: str) -> str:
        """Return a message with the places where the files really are."""
        for copies, storage in self._places():
            text = text.replace(str(copies), storage.url)
        return text

    def _places(self) -> Iterable[tuple[Path, Storage]]:
        yield self.root, self.output
        yield from ((root.copies, root.storage) for root in self._roots)

    def copy_of(self, url: str) -> Path | None:
        """Return where the copy of a photo goes; None if it is in none of the folders of photos."""
        for root in self._roots:
            if url.startswith(f"{root.storage.url}/"):
                return root.copies / url[len(root.storage.url) + 1 :]
        return None

    def shown(self, photo: PhotoResult) -> PhotoResult:
        """Return a result with the places where the files really are, and with its sidecar if it still has a copy."""
        return replace(
            photo,
            source=self.show(photo.source),
            sidecar=None if photo.sidecar is None else self.show(photo.sidecar),
            crops=tuple(map(self.show, photo.crops)),
            kept=tuple(map(self.show, photo.kept)),
            former=None if photo.former is None else self.show(photo.former),
            backups=tuple(map(self.show, photo.backups)),
            reason=self.show_text(photo.reason),
            record=photo.record or self._record(photo),
        )

    def _record(self, photo: PhotoResult) -> Sidecar | None:
        path = photo.sidecar
        if not self._wants_records or path is None or photo.status not in _FINISHED or path not in self._files:
            return None
        try:
            record = sidecars.read(path)
        except (ShotcropError, OSError):
            return None
        folder = self._name(path.parent)
        return with_rejections(
            record, {name.removeprefix(f"{folder}/") if folder else name for name in self._files[path]}
        )

    def clear(self) -> None:
        """Forget everything but the roots, between two parts of a listing."""
        self._photos.clear()
        self._files.clear()
        self._tags.clear()
        for folder in (self.root, *(root.copies for root in self._roots)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)


def _mtime_ns(content: Content, entry: Entry) -> int:
    """Return the time of a crop, by which a run knows its own if there is no sidecar.

    An object without a recorded time is somebody else's. Stores count in seconds or milliseconds, so half a millisecond
    more is never the time of a photo, even of one that was stored at the same moment.
    """
    recorded = nanoseconds(content.metadata.get(MTIME_KEY, ""))
    return entry.mtime_ns + _HALF_MILLISECOND_NS if recorded is None else recorded


def path_in(data: bytes) -> Path | None:
    """Return the photo that a sidecar names; None if it is not one of ours."""
    try:
        return Path(json.loads(data)["source"]["path"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def with_path(data: bytes, old: Path, new: Path) -> bytes:
    """Replace the path of the photo in a sidecar, and leave every other byte as it is."""
    text = json.dumps(str(new), ensure_ascii=False).encode("utf-8", "backslashreplace")
    for ascii_only in (False, True):
        found = json.dumps(str(old), ensure_ascii=ascii_only).encode("utf-8", "backslashreplace")
        if found in data:
            return data.replace(found, text, 1)
    return data
