"""Write datasets as shards: parquet files as the library `datasets` does, and WebDataset archives."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shotcrop_cli.evaluation.dataset import read_lines


def rows_of(folder: Path) -> list[tuple[dict[str, Any], bytes]]:
    """Return the rows of a dataset folder and the contents of their photos."""
    rows = [json.loads(line) for _, line in read_lines(folder)]
    return [(row, (folder / row["file_name"]).read_bytes()) for row in rows]


def write_tars(folder: Path, pattern: str, shards: int) -> list[Path]:
    """Write a dataset folder as tar archives, by a pattern such as `DATA/train-{}.tar`."""
    rows, paths = rows_of(folder), [Path(pattern.format(number)) for number in range(shards)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tar(path, rows[number::shards])
    return paths


def write_tar(path: Path, rows: Sequence[tuple[dict[str, Any], bytes]]) -> None:
    """Write rows as one archive."""
    with tarfile.open(path, "w") as archive:
        for row, photo in rows:
            name = Path(row["file_name"])
            words = {key: value for key, value in row.items() if key != "file_name"}
            add(archive, str(name), photo)
            add(archive, str(name.with_suffix(".json")), json.dumps(words).encode())


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to an archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_parquets(folder: Path, pattern: str, shards: int, *, group: int = 4) -> list[Path]:
    """Write a dataset folder as parquet files with the photos in them; see `write_tars`."""
    import pyarrow
    from pyarrow import parquet

    rows, paths = rows_of(folder), [Path(pattern.format(number)) for number in range(shards)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = [
            {"image": {"bytes": photo, "path": row["file_name"]}} | {k: v for k, v in row.items() if k != "file_name"}
            for row, photo in rows[number::shards]
        ]
        names = dict.fromkeys(key for row in content for key in row)
        table = pyarrow.table({name: [row.get(name) for row in content] for name in names})
        parquet.write_table(table, path, row_group_size=group)
    return paths
