"""Copies of the sidecars of an output in an object store, for commands that look at the whole output.

Each other object has an empty file of its size, so that commands see it. Crops and photos are copied when somebody
needs them, and those that no one needed for the longest time go again. What a command writes goes to the store at once.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from shotcrop_cli.errors import PhotoError, ShotcropError
from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.library.atomic_write import written_elsewhere
from shotcrop_cli.library.follow import remove_empty_folders
from shotcrop_cli.library.output_files import OutputFiles
from shotcrop_cli.library.output_folder import ROOTS_NAME
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.library.recrop import output_root
from shotcrop_cli.remote.apply_run import output_of
from shotcrop_cli.remote.copies import CopiesFolder
from shotcrop_cli.remote.crop_run import read_roots_of
from shotcrop_cli.remote.listing import is_file_name
from shotcrop_cli.remote.staging import NAME_CLASHES, Root, Staging, path_in, with_path
from shotcrop_cli.sidecar import Sidecar
from shotcrop_cli.storage.interface import Denied, Entry, Storage, StorageError
from shotcrop_cli.storage.location import UrlPath, canonical, is_url, open_storage

_READERS = 16
"""Sidecars that are read at the same time (our choice)."""
_AHEAD = 256
"""Sidecars that may wait to be copied."""
_COPIED_BYTES = 512 << 20
"""Bytes of crops and photos that are kept (our choice)."""


class Mirror(OutputFiles):
    """An output in an object store; see `OutputFiles`.

    Args:
        folder: A temporary folder.
        output: The output.
        photos: Folders and URLs to read photos from; empty for those that `crop` recorded.
    """

    def __init__(self, folder: Path, output: Storage, photos: Sequence[Path] = ()) -> None:
        self.staging = Staging(folder, output)
        self.root, self.place = self.staging.root, UrlPath(output.url) if is_url(output.url) else Path(output.url)
        self._output = output
        self._roots: dict[str, Root] = {}
        recorded = self._recorded()
        named = [str(path) for path in photos] or recorded
        self.photos = tuple(map(self._add_root, named))
        self._former = tuple(map(self._add_root, recorded))
        self._lock, self._bringing = threading.Lock(), threading.Lock()
        self._copied: OrderedDict[Path, int] = OrderedDict()
        self._names: dict[str, frozenset[str]] = {}

    def _add_root(self, named: str) -> Path:
        if not is_url(named):
            return Path(named).absolute()
        url = str(UrlPath(canonical(named)))
        if url not in self._roots:
            self._roots[url] = self.staging.add_root(open_storage(url))
        return self._roots[url].copies

    def _recorded(self) -> list[str]:
        try:
            return read_roots_of(self._output.read(ROOTS_NAME).data)
        except FileNotFoundError:
            return []

    @property
    def name(self) -> str:
        """See `OutputFiles.name`."""
        return self.place.name

    def load(self, below: str = "", wanted: Callable[[str], bool] = lambda _photo: True) -> None:
        """Take what the output has by now.

        Args:
            below: Only objects whose names start with this.
            wanted: Says by the name of a photo whether to copy its sidecar. Others are left out.
        """
        found: set[Path] = set()
        reading: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
            for entry in self._output.list(below=below):
                if not is_file_name(entry.name):
                    continue
                photo, path = entry.name.removesuffix(SIDECAR_SUFFIX), self.root / entry.name
                if not (is_sidecar := photo != entry.name and format_of_name(photo) is not None):
                    if not all(map(wanted, _photos_of(entry.name))):
                        continue
                    self._place(path, entry.size_bytes, entry.mtime_ns)
                elif wanted(photo) and self.staging.tag(path) != entry.tag:
                    reading.append(readers.submit(self._read, path, entry))
                if not is_sidecar or wanted(photo):
                    found.add(path)
                if len(reading) >= _AHEAD:
                    reading.popleft().result()
            for one in reading:
                one.result()
        if not below:
            self._remove_others(found)
            (self.root / ROOTS_NAME).write_text(json.dumps([str(path) for path in self._former]), "utf-8")

    def _remove_others(self, found: set[Path]) -> None:
        for folder, _, names in os.walk(self.root):
            for path in (Path(folder, name) for name in names):
                if path not in found:
                    path.unlink(missing_ok=True)
                    self.staging.forget(path)

    def refresh(self, sidecar: Path) -> None:
        """Take what the output has of one photo by now. Its crops are copied again when they are needed."""
        name = sidecar.relative_to(self.root).as_posix()
        start = name.removesuffix(SIDECAR_SUFFIX) + "."
        listed = {self.root / one.name: one for one in self._output.list(below=start) if is_file_name(one.name)}
        for path in sidecar.parent.glob("*") if sidecar.parent.is_dir() else ():
            if path.relative_to(self.root).as_posix().startswith(start) and path not in listed:
                self._drop(path)
        if sidecar not in listed:
            self._drop(sidecar)
        for path, entry in listed.items():
            if path == sidecar:
                self._read(path, entry)
            elif self.staging.tag(path) != entry.tag:
                self._drop(path)
                self._place(path, entry.size_bytes, entry.mtime_ns)

    def _drop(self, path: Path) -> None:
        with self._lock:
            self._copied.pop(path, None)
        path.unlink(missing_ok=True)
        self.staging.forget(path)

    def _place(self, path: Path, size: int, mtime_ns: int = 0) -> None:
        if not path.exists():
            self.staging.place(path, size, mtime_ns)

    def _read(self, path: Path, entry: Entry) -> None:
        try:
            content = self._output.read(entry.name)
        except FileNotFoundError:  # somebody removed it in the meantime
            path.unlink(missing_ok=True)
            return
        data, photo = content.data, None
        if (recorded := path_in(data)) is not None:
            photo = self.copy_of(recorded)
            data = with_path(data, UrlPath(recorded), photo)
        try:
            self.staging.take(path, content, entry, data, photo)
        except PhotoError as error:
            if not isinstance(error.__cause__, NAME_CLASHES):
                raise

    def copy_of(self, place: Path) -> Path:
        """See `OutputFiles.copy_of`. A place elsewhere stays as it is."""
        url = str(UrlPath(place))
        for start, root in self._roots.items():
            if url.startswith(f"{start}/"):
                return root.copies / url[len(start) + 1 :]
        return place

    def bring(self, path: Path) -> None:
        """See `OutputFiles.bring`."""
        with self._lock:
            if path in self._copied:
                self._copied.move_to_end(path)
                return
        root = self.staging.root_of(path)
        if root is None and not (path.is_relative_to(self.root) and path.is_file()):
            return
        with self._bringing:  # one after another, so that no file is read while it is written
            with self._lock:
                if path in self._copied:
                    return
            place = (self._output, self.root) if root is None else (root.storage, root.copies)
            self._fetch(path, *place, is_photo=root is not None)

    def _fetch(self, path: Path, storage: Storage, copies: Path, *, is_photo: bool) -> None:
        name = path.relative_to(copies).as_posix()
        try:
            content = storage.read(name)
        except (FileNotFoundError, Denied):
            path.unlink(missing_ok=True)
            return
        path.unlink(missing_ok=True)  # whoever reads the old file keeps it
        if is_photo:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.data)
        else:
            self.staging.take(path, content, Entry(name, len(content.data), 0, content.tag))
        with self._lock:
            self._copied[path] = len(content.data)
            dropped = []
            while sum(self._copied.values()) > _COPIED_BYTES and len(self._copied) > 1:
                dropped.append(self._copied.popitem(last=False))
        for old, size in dropped:
            old.unlink(missing_ok=True)
            if old.is_relative_to(self.root):
                self._place(old, size)

    def bring_photo(self, sidecar: Path, record: Sidecar) -> None:
        """See `OutputFiles.bring_photo`."""
        mirrored = sidecar.relative_to(self.root).as_posix().removesuffix(SIDECAR_SUFFIX)
        recorded = Path(record.source.path)
        for path in (recorded, *(root.copies / mirrored for root in self._roots.values())):
            self.bring(path)
            if path.is_file():
                return

    def writable(self) -> AbstractContextManager[None]:
        """See `OutputFiles.writable`."""
        return written_elsewhere(self.root, self.staging.carry_out)

    @contextmanager
    def hold(self, wait: float, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """See `OutputFiles.hold`."""
        with self._output.hold(wait, on_wait, None) as check:
            self.staging.check = check
            try:
                yield
            finally:
                self.staging.check = lambda: None

    def delete(self, path: Path) -> None:
        """See `OutputFiles.delete`."""
        try:
            self._output.delete(path.relative_to(self.root).as_posix())
        except Denied as error:
            raise PermissionError(13, "access denied", str(self.show(path))) from error
        self._drop(path)
        if not is_url(self._output.url):
            remove_empty_folders([self.show(path).parent], Path(self._output.url))

    def has_photo(self, path: str) -> bool:
        """See `OutputFiles.has_photo`. The names of each folder of photos are listed once."""
        root = self.staging.root_of(Path(path))
        if root is None:
            return super().has_photo(path)
        return Path(path).relative_to(root.copies).as_posix() in self.photo_names(root.storage)

    def load_orphans(self) -> None:
        """Take what the output has, without the sidecars of photos that exist."""
        self.load(wanted=lambda photo: not any(self.has_photo(f"{root}/{photo}") for root in self.photos))

    def photo_names(self, storage: Storage) -> frozenset[str]:
        """Return the names of the photos in a folder of a store."""
        if (names := self._names.get(storage.url)) is None:
            found = set()
            try:
                found = {entry.name for entry in storage.list() if format_of_name(entry.name) is not None}
            except StorageError:
                if any(self._roots[storage.url].copies == named for named in self.photos):
                    raise
            names = self._names[storage.url] = frozenset(found)  # a former bucket may be gone
        return names

    def may_be_unmounted(self, folder: Path, photo_root: Path) -> bool:
        """See `OutputFiles.may_be_unmounted`. A store has no empty folders, so all photos count."""
        root = self.staging.root_of(photo_root)
        return super().may_be_unmounted(folder, photo_root) if root is None else not self.photo_names(root.storage)

    def show(self, path: Path) -> Path:
        """See `OutputFiles.show`."""
        return self.staging.show(path)

    def show_text(self, text: str) -> str:
        """See `OutputFiles.show_text`."""
        return self.staging.show_text(text)


def _photos_of(name: str) -> Iterator[str]:
    """Yield the names that the photo of a crop may have."""
    folder, slash, last = name.rpartition("/")
    parts = last.split(".")
    for length in range(len(parts) - 1, 1, -1):
        if format_of_name(photo := folder + slash + ".".join(parts[:length])) is not None:
            yield photo


@contextmanager
def mirrored(place: Path, photos: Sequence[Path] = ()) -> Iterator[Mirror]:
    """Yield the files of an output in an object store, of which nothing is copied yet.

    Args:
        place: Its URL; or a folder of this machine whose photos are in a store.
        photos: Folders and URLs to read photos from; empty for those that `crop` recorded.

    Raises:
        ShotcropError: It is not a whole output of `shotcrop crop`.
    """
    output, name = output_of(place) if is_url(place) else (open_storage(output_root(place)), "")
    if name or (not is_url(place) and output_root(place) != place.resolve()):
        raise ShotcropError(f"{place}: a folder inside the output {output.url}", hint=f"name {output.url}")
    with CopiesFolder() as folder:
        yield Mirror(folder, output, photos)
