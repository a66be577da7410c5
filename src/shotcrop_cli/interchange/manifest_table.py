"""Write a manifest, the table of all crops: as CSV, as JSON Lines or as Parquet, row by row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, get_type_hints

from shotcrop_cli import install_hint
from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.interchange.crop_rows import COLUMNS, CropRow
from shotcrop_cli.library.atomic_write import check_can_write, written_whole

Rows = Iterable[CropRow]

_VALUES = attrgetter(*COLUMNS)
_FORMULA_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
"""Spreadsheets take a cell that begins like this for a formula. The last four are the full-width forms."""
_ROWS_PER_GROUP = 15_000
"""Rows of a Parquet file that are in memory at once: those of 5,000 photos."""


def check_manifest(path: Path) -> None:
    """Check that a manifest can be written, before the work and not after.

    Raises:
        ShotcropError: The suffix belongs to no format, or Parquet support is not installed.
        OutputError: Its folder cannot be written.
    """
    if path.suffix.lower() not in _WRITERS:
        raise ShotcropError(f"{path}: shotcrop cannot write a manifest of this type", hint=f"use {SUFFIXES}")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise ShotcropError(f"{path}: Parquet support is not installed", hint=install_hint.add_extras("parquet"))
    check_can_write(path)


def write_manifest(path: Path, rows: Rows) -> int:
    """Write a manifest in the format of its suffix and return the number of its rows.

    The file gets its name when it is complete. Only a part of the rows is in memory at a time.

    Raises:
        OutputError: It cannot be written.
    """
    count = 0

    def counted() -> Iterator[CropRow]:
        nonlocal count
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the last one is returned
            yield row

    with written_whole(path) as file:
        _WRITERS[path.suffix.lower()](file, counted())
    return count


def _write_csv(file: BinaryIO, rows: Rows) -> None:
    # With a byte order mark, by which spreadsheets recognise UTF-8.
    text = io.TextIOWrapper(file, "utf-8-sig", errors="backslashreplace", newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows(map(_cell, _VALUES(row)) for row in rows)
    text.flush()
    text.detach()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _not_a_formula(value) if isinstance(value, str) else value


def _not_a_formula(text: str) -> str:
    """Put a `'` before a text that a spreadsheet would take for a formula."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA_STARTS else text


def _write_json_lines(file: BinaryIO, rows: Rows) -> None:
    for row in rows:
        line = json.dumps(dict(zip(COLUMNS, _VALUES(row), strict=True)), ensure_ascii=False)
        # File names that are not UTF-8 have lone surrogates here, which JSON can write as ASCII escapes.
        file.write(line.encode("utf-8", "backslashreplace") + b"\n")


def _write_parquet(file: BinaryIO, rows: Rows) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    types: dict[Any, Any] = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    hints = get_type_hints(CropRow)
    schema = pyarrow.schema([_field(pyarrow, types, name, hints[name]) for name in COLUMNS])
    waiting = iter(rows)
    with ParquetWriter(file, schema) as table:
        while group := [tuple(map(_storable, _VALUES(row))) for row in islice(waiting, _ROWS_PER_GROUP)]:
            columns = [
                pyarrow.array(values, field.type)
                for values, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            table.write_table(pyarrow.table(columns, schema=schema))


def _field(pyarrow: Any, types: dict[Any, Any], name: str, hint: Any) -> Any:
    kinds = [kind for kind in getattr(hint, "__args__", (hint,)) if kind is not type(None)]
    return pyarrow.field(name, types[kinds[0]], nullable=hint is not kinds[0])


def _storable(value: object) -> object:
    """Escape what is not Unicode in the name of a file."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


_WRITERS: dict[str, Callable[[BinaryIO, Rows], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
SUFFIXES = ".csv, .jsonl or .parquet"
