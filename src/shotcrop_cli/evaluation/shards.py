"""Read the rows of a dataset file by file: parquet files, WebDataset shards, and folders with a `metadata.jsonl`.

A file is read from its beginning to its end and never held in memory whole: an archive sample by sample, a parquet file
one group of rows at a time. The library `datasets` writes groups of at most 100 MB.

* A parquet file has a column of photos as the library `datasets` writes it, a struct of `bytes` and `path`. Its other
  columns are the fields of a row of `metadata.jsonl`.
* A WebDataset shard is a tar archive. For each sample it holds a photo and a `.json` with the row, one after the other
  and under one name.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from shotcrop_cli import install_hint
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.dataset import METADATA, Record, parse_row

PARQUET, TAR = ".parquet", ".tar"
BLOCK = tarfile.BLOCKSIZE
_PHOTOS = (".jpg", ".jpeg", ".png", ".webp")
_AT_ONCE = 8
"""Rows of a parquet file that become Python objects at a time."""
_READ_AT_ONCE = 1 << 20
"""Bytes of a parquet file that are read at a time."""
_TORN_HINT = "copy or download the file again"


@dataclass(frozen=True)
class ShardRow:
    """A row of a dataset.

    Args:
        number: Its place in its file, from 1.
        content: What a line of `metadata.jsonl` holds.
        record: The same, parsed. Its path names the photo in messages; only in a folder there is such a file.
        read: Returns the content of the photo's file.
    """

    number: int
    content: Mapping[str, Any]
    record: Record
    read: Callable[[], bytes]


class Shard(Protocol):
    """A part of a dataset that is read as a whole, row after row."""

    @property
    def name(self) -> str:
        """How messages name it."""

    def rows(self, first: int = 1, *, photos: bool = True) -> Iterator[ShardRow]:
        """Yield the rows.

        Args:
            first: Number of the first row.
            photos: Whether photos will be read, too. Without them it is faster.

        Raises:
            ShotcropError: The file or a row is damaged; the message names it.
        """

    def check(self) -> None:
        """Check the end of the file, which is missing if it was not copied whole.

        Raises:
            ShotcropError: The end is missing.
        """


@dataclass(frozen=True)
class FolderRows:
    """A folder with a `metadata.jsonl`.

    Args:
        name: How messages name it.
        folder: What the path of a row begins with.
        open: Opens a file of the folder.
    """

    name: str
    folder: Path
    open: Callable[[str], BinaryIO]

    def check(self) -> None:
        """See `Shard`; the end of a text cannot be missing unnoticed."""

    def rows(self, first: int = 1, *, photos: bool = True) -> Iterator[ShardRow]:
        """Yield the rows; see `Shard`."""
        with self.open(METADATA) as file:
            lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
            for number, line in lines:
                if number >= first:
                    yield self._row(number, line)

    def _row(self, number: int, line: bytes) -> ShardRow:
        with _naming(f"{self.name}/{METADATA}, line {number}"):
            content = json.loads(line.decode("utf-8-sig"))
            record = parse_row(self.folder, content)

        def read() -> bytes:
            with self.open(content["file_name"]) as photo:
                return photo.read()

        return ShardRow(number, content, record, read)


@dataclass(frozen=True)
class TarShard:
    """A WebDataset shard.

    Args:
        name: How messages name it.
        open: Opens it.
    """

    name: str
    open: Callable[[], BinaryIO]

    def check(self) -> None:
        """See `Shard`: a tar archive ends with a block of zeros."""
        with self.open() as file:
            self._check_end(file)

    def _check_end(self, file: BinaryIO) -> None:
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(size - BLOCK, 0))
        if size < BLOCK or any(file.read(BLOCK)):
            raise self._torn("its end is missing")
        file.seek(0)

    def rows(self, first: int = 1, *, photos: bool = True) -> Iterator[ShardRow]:
        """Yield the rows; see `Shard`."""
        with self.open() as file:
            self._check_end(file)
            try:
                with tarfile.open(fileobj=file, mode="r:") as archive:
                    samples = groupby(_members(archive), key=lambda member: _split(member.name)[0])
                    number = 0
                    for key, members in samples:
                        parts = {_split(member.name)[1]: member for member in members}
                        photo, words = _part(parts, _PHOTOS), _part(parts, (".json",))
                        if photo is None and words is None:
                            continue
                        number += 1
                        if number >= first:
                            yield self._row(archive, number, key, photo, words, photos=photos)
                    file.seek(archive.offset)  # A damaged header looks like the end to Python's reader.
                    rest = file.read(BLOCK)
            except (tarfile.TarError, EOFError) as error:
                raise self._torn(str(error)) from error
            if len(rest) < BLOCK or any(rest):
                raise self._torn(f"there is no readable file after row {number}")

    def _row(
        self,
        archive: tarfile.TarFile,
        number: int,
        key: str,
        photo: tarfile.TarInfo | None,
        words: tarfile.TarInfo | None,
        *,
        photos: bool,
    ) -> ShardRow:
        where = f"{self.name}, row {number} ({key})"
        if words is None:
            raise ShotcropError(f"{where}: it has no .json", hint="write the row's fields as a .json next to the photo")
        if photo is None:
            raise ShotcropError(f"{where}: it holds no photo", hint=f"add it as one of {', '.join(_PHOTOS)}")
        with _naming(where):
            content = json.loads(_content(archive, words))
            if isinstance(content, dict):
                content.setdefault("file_name", photo.name)
            record = parse_row(Path(self.name), content)
        data = _content(archive, photo) if photos else b""
        return ShardRow(number, content, record, lambda: data)

    def _torn(self, reason: str) -> ShotcropError:
        return ShotcropError(f"{self.name} cannot be read: {reason}", hint=_TORN_HINT)


@dataclass(frozen=True)
class ParquetShard:
    """A parquet file with photos, or with paths of photos on this machine.

    Args:
        name: How messages name it.
        open: Opens it.
        folder: Its folder on this machine, which paths of photos are relative to; None if it is elsewhere.
    """

    name: str
    open: Callable[[], BinaryIO]
    folder: Path | None = None

    def check(self) -> None:
        """See `Shard`: a parquet file ends with its table of contents."""
        with self.open() as file, self._parquet(file):
            pass

    def rows(self, first: int = 1, *, photos: bool = True) -> Iterator[ShardRow]:
        """Yield the rows; see `Shard`."""
        with self.open() as file, self._parquet(file) as table:
            from pyarrow import ArrowException

            image = self._image_column(table)
            words = [one for one in table.schema_arrow.names if one != image]
            sizes = [table.metadata.row_group(group).num_rows for group in range(table.metadata.num_row_groups)]
            group = number = 0
            while group < len(sizes) and number + sizes[group] < first:
                number, group = number + sizes[group], group + 1
            columns = [*words, image if photos else f"{image}.path"]
            try:
                for batch in table.iter_batches(_AT_ONCE, row_groups=list(range(group, len(sizes))), columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        if number >= first:
                            yield self._row(number, row, image, photos=photos)
            except (ArrowException, OSError) as error:
                raise self._torn(error) from error

    @contextmanager
    def _parquet(self, file: BinaryIO) -> Iterator[Any]:
        try:
            from pyarrow import ArrowException
            from pyarrow.parquet import ParquetFile
        except ModuleNotFoundError as error:
            raise ShotcropError(
                f"{self.name}: reading parquet needs the package '{error.name}'",
                hint=install_hint.add_extras("parquet"),
            ) from error
        try:
            table = ParquetFile(file, buffer_size=_READ_AT_ONCE, pre_buffer=False)
        except (ArrowException, OSError) as error:
            raise self._torn(error) from error
        with table:
            yield table

    def _image_column(self, table: Any) -> str:
        from pyarrow import types

        fields = [
            one.name
            for one in table.schema_arrow
            if types.is_struct(one.type) and {"bytes", "path"} <= {part.name for part in one.type}
        ]
        if not fields:
            raise ShotcropError(
                f"{self.name} has no image column",
                hint="write the photos into the file as `datasets` does: a column with their bytes and path",
            )
        return "image" if "image" in fields else str(fields[0])

    def _row(self, number: int, row: dict[str, Any], image: str, *, photos: bool) -> ShardRow:
        where, photo = f"{self.name}, row {number}", row.pop(image) or {}
        data, path = photo.get("bytes"), photo.get("path")
        read: Callable[[], bytes] = lambda: data or b""  # noqa: E731
        if photos and not data:
            file = None if self.folder is None or not path else self.folder / path
            if file is None or not file.is_file():
                named = f", and there is no file {path}" if path else ""
                raise ShotcropError(f"{where}: it holds no photo{named}", hint="write the photos into the parquet file")
            read = file.read_bytes
        content = _without_nulls(row)
        if "file_name" not in content:
            name = PurePosixPath(path or f"{PurePosixPath(self.name).stem}-{number:06}.jpg")
            content["file_name"] = name.name if name.is_absolute() else str(name)
        with _naming(where):
            record = parse_row(Path(self.name), content)
        return ShardRow(number, content, record, read)

    def _torn(self, error: Exception) -> ShotcropError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return ShotcropError(f"{self.name} cannot be read: {reason}", hint=_TORN_HINT)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say where a row is that cannot be parsed."""
    try:
        yield
    except (ValueError, OverflowError, RecursionError) as error:
        raise ShotcropError(f"{where}: {error}", hint="fix or delete that row") from error


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the files of an archive without keeping a list of them."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]
        if member.isfile() and not PurePosixPath(member.name).name.startswith("."):
            yield member


def _split(name: str) -> tuple[str, str]:
    """Split a file's name as WebDataset does, at the first dot after the folder."""
    folder, slash, file = name.rpartition("/")
    stem, dot, ending = file.partition(".")
    return folder + slash + stem, (dot + ending).lower()


def _part(parts: Mapping[str, tarfile.TarInfo], suffixes: tuple[str, ...]) -> tarfile.TarInfo | None:
    """Return the part of a sample with a suffix: the plain one, or else the only one such as `.seen.jpg`."""
    plain = [member for ending, member in parts.items() if ending in suffixes]
    found = plain or [member for ending, member in parts.items() if ending.endswith(suffixes)]
    return found[0] if len(found) == 1 or plain else None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    data = b"" if file is None else file.read()
    if len(data) < member.size:
        raise tarfile.ReadError(f"{member.name} is cut off")
    return data


def _without_nulls(value: Any) -> Any:
    """Leave out what a row does not give: in a table each row has every field of every other."""
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
