"""Read the photos of an output in an object store from their sidecars, in the order of their names."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from shotcrop_cli import sidecar as sidecars
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.imaging.formats import format_of_name
from shotcrop_cli.library.name_template import is_inside
from shotcrop_cli.library.plan import SIDECAR_SUFFIX, with_rejections
from shotcrop_cli.sidecar import FIX_SIDECAR, Sidecar, fault
from shotcrop_cli.storage.interface import Storage
from shotcrop_cli.storage.location import UrlPath, open_storage

_READERS = 16
"""Sidecars that are read at the same time (our choice)."""
_AHEAD = 64
"""Sidecars that may wait to be used."""
_NEAR = 256
"""Names around a sidecar among which its crops are looked for. Others are looked up one by one."""


def recorded_objects(root: Path) -> Iterator[tuple[Path, Sidecar] | ShotcropError]:
    """Yield path and content of each sidecar, or why it cannot be read. Crops that somebody deleted are rejected in it.

    Args:
        root: URL of an output of `shotcrop crop`.

    Raises:
        StorageError: The store cannot be read.
    """
    storage = open_storage(root)
    waiting: deque[tuple[str, Future[Sidecar | ShotcropError | None]]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
        for name, near in _sidecars(storage):
            waiting.append((name, readers.submit(_read, storage, name, near)))
            if len(waiting) >= _AHEAD:
                yield from _result(root, *waiting.popleft())
        while waiting:
            yield from _result(root, *waiting.popleft())


def _result(
    root: Path, name: str, read: Future[Sidecar | ShotcropError | None]
) -> Iterator[tuple[Path, Sidecar] | ShotcropError]:
    record = read.result()
    if isinstance(record, ShotcropError):
        yield record
    elif record is not None:
        yield root / name, record


def _sidecars(storage: Storage) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the names of sidecars, each with the names around it in the listing."""
    names: deque[str] = deque(maxlen=2 * _NEAR)
    places: deque[tuple[int, str]] = deque()
    number = 0
    for number, entry in enumerate(storage.list(), 1):
        names.append(entry.name)
        if _is_sidecar(entry.name):
            places.append((number, entry.name))
        while places and number - places[0][0] >= _NEAR:
            yield places.popleft()[1], frozenset(names)
    yield from ((name, frozenset(names)) for _, name in places)


def _is_sidecar(name: str) -> bool:
    return name.endswith(SIDECAR_SUFFIX) and format_of_name(name.removesuffix(SIDECAR_SUFFIX)) is not None


def _read(storage: Storage, name: str, near: frozenset[str]) -> Sidecar | ShotcropError | None:
    try:
        record = sidecars.parse(storage.read(name).data)
    except FileNotFoundError:  # a run has removed it in the meantime
        return None
    except (ValueError, RecursionError) as error:
        return ShotcropError(f"{UrlPath(storage.url, name)}: {fault(error)}", hint=FIX_SIDECAR)
    folder = name.rpartition("/")[0]
    start = f"{folder}/" if folder else ""
    files = [shot.file for shot in record.all_crops if shot.file is not None and is_inside(shot.file)]
    photo = name.removesuffix(SIDECAR_SUFFIX)
    present = {
        file
        for file in files
        if start + file in near or (not f"{start}{file}".startswith(f"{photo}.") and storage.stat(start + file))
    }
    return with_rejections(record, present)
