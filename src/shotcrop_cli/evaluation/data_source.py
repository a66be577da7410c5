"""Open datasets by name: folders, parquet files and WebDataset shards, on this machine or on the Hugging Face hub.

A dataset `train` below a data folder is the first of these that is there:

1. the folder `train` with the photos and their `metadata.jsonl`,
2. parquet files or tar archives in the folder `train`,
3. `train.parquet`, `train-00000-of-00002.parquet`, `train-0001.tar` and the like, next to it or in the folder `data`.

The dataset `.` is the data folder itself. A data folder is a folder on this machine or a repository of the hub.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from shotcrop_cli.errors import OutputError, ShotcropError
from shotcrop_cli.evaluation.dataset import METADATA
from shotcrop_cli.evaluation.hub_data import HUB_DATA, HubData
from shotcrop_cli.evaluation.shards import PARQUET, TAR, FolderRows, ParquetShard, Shard, TarShard
from shotcrop_cli.model.cache import NO_FOLDER, cache_root

_UNPACKED = "datasets"
"""Folder of unpacked datasets below the cache."""
_OF = re.compile(r"(.*)-\d+-of-(\d+)\.\w+$")
"""The name of one of several shards, as `datasets` gives it."""


_END = 1 << 16
"""Bytes at the beginning and at the end of a shard that tell it from another one. Sizes of archives are rounded."""


@dataclass(frozen=True)
class LocalData:
    """A data folder on this machine; see `HubData` for what its methods do."""

    path: Path

    def label(self, name: str) -> str:
        """Return how messages name a dataset or a file."""
        return str(self.path / name)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, none if it cannot be listed."""
        try:
            return sorted(path.name for path in (self.path / folder).iterdir() if path.is_file())
        except OSError:
            return []

    def state(self, file: str) -> dict[str, Any]:
        """Return what tells a file from another one without reading all of it."""
        with self.open(file) as content:
            size = content.seek(0, 2)
            digest = hashlib.sha256()
            for start in (0, max(size - _END, 0)):
                content.seek(start)
                digest.update(content.read(_END))
        return {"bytes": size, "ends_sha256": digest.hexdigest()}

    def download(self, folder: str, files: Sequence[str] = ()) -> Path:
        """Return the data folder: everything is here already."""
        return self.path

    def open(self, file: str) -> BinaryIO:
        """Open a file."""
        return (self.path / file).open("rb")

    def pin(self) -> dict[str, str]:
        """Return nothing: hashes identify what is on this machine."""
        return {}


Data = Path | HubData
"""A data folder as a user names it."""


@dataclass(frozen=True)
class PhotoDataset:
    """A dataset, found but not yet read.

    Args:
        data: The data folder.
        name: Its name there.
        shards: Its files, for a dataset of shards; none for a folder with a `metadata.jsonl`.
    """

    data: LocalData | HubData
    name: str
    shards: tuple[str, ...]

    @property
    def label(self) -> str:
        """How messages and `run.json` name it."""
        return self.data.label(self.name)

    @cached_property
    def folder(self) -> Path:
        """The folder with all photos and `metadata.jsonl`. Shards are unpacked into the cache, once for each content.

        Raises:
            ShotcropError: It cannot be downloaded, or a shard or a row is damaged.
            OutputError: It cannot be unpacked.
        """
        root = self.data.download(self.name, self.shards)
        if not self.shards:
            return root / self.name
        return _unpack(self.label, self.parts(), self._hashes(root))

    def parts(self) -> list[Shard]:
        """Return the parts that are read one after the other, without downloading or unpacking anything."""
        if not self.shards:
            path = self.data.path / self.name if isinstance(self.data, LocalData) else Path(self.label)
            return [FolderRows(self.label, path, lambda file: self.data.open(str(PurePosixPath(self.name, file))))]
        return [self._shard(file) for file in self.shards]

    def _shard(self, file: str) -> Shard:
        label = self.data.label(file)
        if file.endswith(TAR):
            return TarShard(label, lambda: self.data.open(file))
        folder = (self.data.path / file).parent if isinstance(self.data, LocalData) else None
        return ParquetShard(label, lambda: self.data.open(file), folder)

    def facts(self, *, streaming: bool = False) -> dict[str, Any]:
        """Return what pins the rows that are read: hashes, and for the hub the commit.

        Args:
            streaming: Give sizes of shards, and hashes of both ends of those on this machine, since hashes of all bytes
                take long.
        """
        if streaming and self.shards:
            return {"shards": {file: self.data.state(file) for file in self.shards}} | self.data.pin()
        content = (self.folder / METADATA).read_bytes() if not streaming else self._metadata()
        rows = {"rows": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}
        shards = {"shards": self._hashes(self.data.download(self.name, self.shards))} if self.shards else {}
        return rows | shards | self.data.pin()

    def _metadata(self) -> bytes:
        with self.data.open(str(PurePosixPath(self.name, METADATA))) as file:
            return file.read()

    def _hashes(self, root: Path) -> dict[str, str]:
        paths = [root / file for file in self.shards]
        states = [path.stat() for path in paths]
        hashes = [_sha256(path, one.st_size, one.st_mtime_ns) for path, one in zip(paths, states, strict=True)]
        return dict(zip(self.shards, hashes, strict=True))


def find_data(name: str | Path, *, offline: bool = False) -> Data:
    """Return a data folder by its path, or ORG/NAME or ORG/NAME@REVISION on the hub. A folder has precedence.

    Raises:
        ShotcropError: It is neither.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    hub = HUB_DATA.fullmatch(str(name))
    if hub is None or hub["dataset"]:
        raise ShotcropError(
            f"there is no folder {name}", hint="name a folder that holds datasets, or ORG/NAME[@REVISION] on the hub"
        )
    return HubData(hub["repository"], hub["revision"] or "", offline)


def find_dataset(name: str | Path, *, offline: bool = False) -> PhotoDataset:
    """Open one dataset by its path, or by ORG/NAME[/DATASET][@REVISION] on the hub. A path has precedence.

    Args:
        name: A folder, a shard, `DATA/train` for the shards `DATA/train-*`, or a name on the hub.
        offline: Whether to use only what was downloaded before.

    Raises:
        ShotcropError: There is no such dataset.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return open_dataset(path, ".")
    beside = LocalData(path.parent)
    if path.name and (path.is_file() or _shards(beside, path.name)):
        return open_dataset(path.parent, path.stem if path.is_file() else path.name)
    hub = HUB_DATA.fullmatch(str(name))
    if hub is None:
        raise ShotcropError(f"there is no dataset {name}", hint="name a folder, or ORG/NAME[/DATASET] on the hub")
    return open_dataset(HubData(hub["repository"], hub["revision"] or "", offline), hub["dataset"] or ".")


def open_dataset(data: Data, name: str) -> PhotoDataset:
    """Find a dataset by its name below a data folder.

    Raises:
        ShotcropError: There is none of this name, or shards are missing.
    """
    where: LocalData | HubData = LocalData(data) if isinstance(data, Path) else data
    names = where.names(name)
    if METADATA in names:
        return PhotoDataset(where, name, ())
    shards = _shards(where, name)
    label = where.label(name)
    if not shards:
        raise ShotcropError(
            f"{label} is not a dataset: it has no {METADATA} and no {PARQUET} or {TAR} files",
            hint=f"name a folder with photos and their {METADATA}, or shards",
        )
    if len({PurePosixPath(shard).suffix for shard in shards}) > 1:
        raise ShotcropError(f"{label} has {PARQUET} and {TAR} files", hint="keep files of one kind")
    for (stem, total), there in Counter(match.groups() for shard in shards if (match := _OF.match(shard))).items():
        if there != int(total):
            raise ShotcropError(
                f"{where.label(stem)}: {there} of {int(total)} shards are there", hint="copy or download the others"
            )
    return PhotoDataset(where, name, tuple(shards))


def open_datasets(data: Data, names: Sequence[str]) -> list[PhotoDataset]:
    """Find several datasets, each once; see `open_dataset`."""
    return [open_dataset(data, name) for name in dict.fromkeys(names)]


def _shards(data: LocalData | HubData, name: str) -> list[str]:
    """Return the shards of a dataset by their paths below the data folder."""
    inside = [str(PurePosixPath(name, file)) for file in data.names(name) if file.endswith((PARQUET, TAR))]
    if inside or name == ".":
        return inside
    path = PurePosixPath(name)
    pattern = re.compile(rf"{re.escape(path.name)}([-_.]\d[\w.-]*)?({re.escape(PARQUET)}|{re.escape(TAR)})")
    for folder in (path.parent, path.parent / "data"):
        if found := [str(folder / file) for file in data.names(str(folder)) if pattern.fullmatch(file)]:
            return found
    return []


@lru_cache
def _sha256(path: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _unpack(label: str, parts: Sequence[Shard], hashes: dict[str, str]) -> Path:
    """Write the photos and rows of shards into a folder of the cache, unless it is there already."""
    from filelock import FileLock

    if cache_root() == NO_FOLDER:
        raise OutputError(f"{label}: this account has no folder to unpack shards", hint="set XDG_CACHE_HOME to one")
    root = cache_root() / _UNPACKED
    key = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
    target = root / f"{re.sub(r'[^A-Za-z0-9]+', '-', label).strip('-')[-40:]}-{key[:16]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_dir():
                new = Path(f"{target}.new")
                shutil.rmtree(new, ignore_errors=True)
                _write(parts, new)
                new.replace(target)
    except OSError as error:
        raise OutputError(
            f"{label} cannot be unpacked into {root}: {error}",
            hint="free space there, set XDG_CACHE_HOME to a folder on a larger disk, or train with data.streaming",
        ) from error
    return target


def _write(parts: Sequence[Shard], folder: Path) -> None:
    folder.mkdir()
    with (folder / METADATA).open("w", encoding="utf-8") as file:
        for number, part in enumerate(parts):
            for row in part.rows():
                path = folder / _inside(row.content["file_name"])
                if path.exists():
                    path = folder / f"{number}-{row.number}" / path.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(row.read())
                name = path.relative_to(folder).as_posix()
                file.write(json.dumps({**row.content, "file_name": name}, ensure_ascii=False) + "\n")


def _inside(name: str) -> Path:
    """Return a photo's name as a path that stays in its folder."""
    path = PurePosixPath(name)
    return Path(*(part for part in path.parts if part not in ("..", path.anchor)))
