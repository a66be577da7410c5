"""An index of the sidecars in an output folder, to sort, filter and search 100,000 photos in little memory.

The index is a temporary SQLite database, which SQLite keeps in a few megabytes of memory and otherwise on the disk. It
is a view: whoever opens a photo reads its sidecar.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import msgspec

from shotcrop_cli.geometry import to_pixels
from shotcrop_cli.imaging.formats import format_of
from shotcrop_cli.library.plan import SIDECAR_SUFFIX
from shotcrop_cli.shots import DEFAULT_SET, MAIN, SHOT_TYPES, Box, CropKey, PixelBox, ShotType
from shotcrop_cli.sidecar import MAX_BYTES, are_as_written

NO_SCORE = 2.0
"""Sorts photos without a score behind all others."""
_PROMINENT = 0.4
"""Height of a body that counts as one of the people in a photo, as a share of the tallest one (our choice)."""
_PART_OF_MAIN = 0.05
"""Probability of being the main person that is enough without that height (our choice)."""
_BATCH = 500
"""Sidecars that become visible together while the folder is read."""
_SCHEMA = """
CREATE TABLE photos (
    id TEXT PRIMARY KEY, path BLOB NOT NULL, folder TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
    score REAL NOT NULL, score_establishing REAL NOT NULL, score_medium REAL NOT NULL, score_close_up REAL NOT NULL,
    people INTEGER NOT NULL, is_open INTEGER NOT NULL, is_edited INTEGER NOT NULL, rejected_shots INTEGER NOT NULL,
    is_rejected INTEGER NOT NULL, is_pending INTEGER NOT NULL, persons TEXT NOT NULL, sets TEXT NOT NULL,
    text TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE stamps (
    id TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime INTEGER NOT NULL, scan INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE cards (id TEXT PRIMARY KEY, card TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX by_score ON photos (score, folder, name);
CREATE INDEX by_establishing ON photos (score_establishing, folder, name);
CREATE INDEX by_medium ON photos (score_medium, folder, name);
CREATE INDEX by_close_up ON photos (score_close_up, folder, name);
CREATE INDEX by_name ON photos (folder, name);
"""
"""Cards are apart, so that a search reads little."""
_PRAGMAS = "PRAGMA cache_size = -32000; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
"""The database needs to survive nothing, so it is not made safe against crashes."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which photos to list. The default is all of them.

    Args:
        status: `done`, `no_subject` or `unreadable`; empty for any.
        state: `open` for photos with a crop that no one accepted or rejected, `edited`, `rejected` or `pending`; empty
            for any.
        below: Only photos with a lower score.
        shot: The shot that `below` and the order concern; empty for the worst of a photo.
        people: Number of people; `MANY_PEOPLE` stands for that many or more. None for any.
        person: Only photos with a crop of this person; see `CropKey`. Empty for any.
        set_name: Only photos with a crop of this ratio set; empty for any.
        folder: Only photos in this folder and those below it; empty for all.
        text: Only photos with this text in a caption, an alternative text or the name.
        by_name: Whether to sort by folder and name. Default: the lowest score first.
    """

    status: str = ""
    state: str = ""
    below: float | None = None
    shot: str = ""
    people: int | None = None
    person: str = ""
    set_name: str = ""
    folder: str = ""
    text: str = ""
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list: how many photos fit the filter, and the JSON text of each card."""

    total: int
    cards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the folder is read: the photos found so far, and whether that is all of them."""

    photos: int
    complete: bool


MANY_PEOPLE = 4
_STATES = {
    "open": "is_open = 1",
    "edited": "is_edited = 1",
    "rejected": "(is_rejected = 1 OR rejected_shots > 0)",
    "pending": "is_pending = 1",
}


class _Written(msgspec.Struct):
    caption: str
    alt_text: str = ""
    sha256: str | None = None
    caption_sha256: str | None = None
    alt_text_sha256: str | None = None


class _Decided(Protocol):
    @property
    def file(self) -> str | None: ...
    @property
    def edited(self) -> bool: ...
    @property
    def rejected(self) -> bool: ...
    @property
    def left_out(self) -> str: ...


class _Shot(msgspec.Struct):
    shot: str
    box: PixelBox
    box_norm: tuple[float, float, float, float]
    file: str | None
    caption: str = ""
    alt_text: str = ""
    score: float | None = None
    edited: bool = False
    rejected: bool = False
    left_out: str = ""
    written: _Written | None = None
    person: str = MAIN
    set: str = DEFAULT_SET


class _Person(msgspec.Struct):
    probability: float
    body: tuple[float, float, float, float] | None


class _Source(msgspec.Struct):
    width: int
    height: int
    sha256: str


class _Record(msgspec.Struct):
    status: str
    source: _Source
    shots: list[_Shot]
    people: list[_Person] = []
    more_crops: list[_Shot] = []
    rejected: bool = False


_DECODER = msgspec.json.Decoder(_Record)


class PhotoIndex:
    """The photos of an output folder. Threads may share it.

    Args:
        root: The output folder, resolved.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(_PRAGMAS + _SCHEMA)
        self._scanning = threading.Lock()
        self._scan = 0
        self._complete = False

    def close(self) -> None:
        """Give up the database."""
        with self._lock:
            self._database.close()

    @property
    def progress(self) -> Progress:
        """How far the folder is read."""
        return Progress(self._count(), self._complete)

    def scan(self) -> None:
        """Read the sidecars that are new or changed, and forget those that are gone."""
        with self._scanning:
            self._scan += 1
            rows: list[tuple[object, ...]] = []
            prefix = len(os.path.join(self._root, ""))  # noqa: PTH118 - strings are faster for 100,000 photos
            for path, folder_names, status in _sidecars(self._root):
                identity = _identity(path[prefix:])
                if self._is_current(identity, status):
                    continue
                if (row := self._row(identity, Path(path), folder_names, status)) is not None:
                    rows.append(row)
                if len(rows) >= _BATCH:
                    self._put(rows)
                    rows = []
            self._put(rows)
            with self._lock:
                gone = self._database.execute("SELECT id FROM stamps WHERE scan < ?", (self._scan,)).fetchall()
                self._delete([identity for (identity,) in gone])
            self._complete = True

    def update(self, path: Path) -> None:
        """Read one sidecar again, because somebody changed it."""
        identity = photo_id(self._root, path)
        try:
            names = frozenset(os.listdir(path.parent))  # noqa: PTH208 - names alone
            row = self._row(identity, path, names, os.lstat(path))
        except OSError:
            row = None
        if row is None:
            with self._lock:
                self._delete([identity])
        else:
            self._put([row])

    def path(self, identity: str) -> Path | None:
        """Return the sidecar of a photo; None if there is none. Only this leads from an address to a file."""
        with self._lock:
            row = self._database.execute("SELECT path FROM photos WHERE id = ?", (identity,)).fetchone()
        return None if row is None else self._root / os.fsdecode(row[0])

    def page(self, wanted: Filter, offset: int, limit: int) -> Page:
        """Return a part of the list."""
        where, values = _where(wanted)
        with self._lock:
            (total,) = self._database.execute(f"SELECT count(*) FROM photos {where}", values).fetchone()
            rows = self._database.execute(
                f"SELECT id FROM photos {where} ORDER BY {', '.join(_order(wanted))} LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ).fetchall()
            rows = [self._database.execute("SELECT card FROM cards WHERE id = ?", row).fetchone() for row in rows]
        return Page(total, tuple(card for (card,) in rows))

    def position(self, wanted: Filter, identity: str) -> int | None:
        """Return how many photos come before one in the list, whether or not it fits; None if it is unknown."""
        where, values = _where(wanted)
        columns = ", ".join(_order(wanted))
        with self._lock:
            row = self._database.execute(f"SELECT {columns} FROM photos WHERE id = ?", (identity,)).fetchone()
            if row is None:
                return None
            before = f"({columns}) < ({', '.join('?' * len(row))})"
            joined = f"{where} AND {before}" if where else f"WHERE {before}"
            (count,) = self._database.execute(f"SELECT count(*) FROM photos {joined}", (*values, *row)).fetchone()
        return int(count)

    def neighbour(self, wanted: Filter, identity: str, *, forward: bool) -> str | None:
        """Return the next or previous photo of the list, whether or not this one fits; None if there is none."""
        where, values = _where(wanted)
        order = _order(wanted)
        columns = ", ".join(order)
        sign, direction = (">", "ASC") if forward else ("<", "DESC")
        with self._lock:
            row = self._database.execute(f"SELECT {columns} FROM photos WHERE id = ?", (identity,)).fetchone()
            if row is None:
                return None
            beyond = f"({columns}) {sign} ({', '.join('?' * len(row))})"
            joined = f"{where} AND {beyond}" if where else f"WHERE {beyond}"
            found = self._database.execute(
                f"SELECT id FROM photos {joined} ORDER BY {', '.join(f'{name} {direction}' for name in order)} LIMIT 1",
                (*values, *row),
            ).fetchone()
        return None if found is None else str(found[0])

    def folders(self, limit: int) -> tuple[str, ...]:
        """Return the folders of the photos, sorted, at most `limit`."""
        with self._lock:
            rows = self._database.execute(
                "SELECT DISTINCT folder FROM photos WHERE folder != '' ORDER BY folder LIMIT ?", (limit,)
            ).fetchall()
        return tuple(folder for (folder,) in rows)

    def names(self, column: str) -> tuple[str, ...]:
        """Return the persons or ratio sets of crops other than the ordinary ones, sorted.

        Args:
            column: `persons` or `sets`.
        """
        assert column in ("persons", "sets")
        with self._lock:
            rows = self._database.execute(f"SELECT DISTINCT {column} FROM photos WHERE {column} != ''").fetchall()
        return tuple(sorted({name for (names,) in rows for name in names.split()} - {MAIN, DEFAULT_SET}))

    def pending(self) -> tuple[str, ...]:
        """Return the photos with edits that are not applied yet."""
        with self._lock:
            rows = self._database.execute("SELECT id FROM photos WHERE is_pending = 1 ORDER BY folder, name").fetchall()
        return tuple(identity for (identity,) in rows)

    def _count(self) -> int:
        with self._lock:
            (count,) = self._database.execute("SELECT count(*) FROM photos").fetchone()
        return int(count)

    def _is_current(self, identity: str, status: os.stat_result) -> bool:
        with self._lock:
            found = self._database.execute(
                "UPDATE stamps SET scan = ? WHERE id = ? AND size = ? AND mtime = ?",
                (self._scan, identity, status.st_size, status.st_mtime_ns),
            )
        return found.rowcount > 0

    def _delete(self, identities: Sequence[str]) -> None:
        for table in ("photos", "stamps", "cards"):
            self._database.executemany(f"DELETE FROM {table} WHERE id = ?", [(one,) for one in identities])

    def _row(
        self, identity: str, path: Path, names: frozenset[str], status: os.stat_result
    ) -> tuple[object, ...] | None:
        if not stat.S_ISREG(status.st_mode):
            return None
        relative = path.relative_to(self._root)
        name = text_of(relative.name.removesuffix(SIDECAR_SUFFIX))
        folder = "" if relative.parent == Path() else text_of(relative.parent.as_posix())
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            entry = _Entry.of(_DECODER.decode(content), path.parent, names)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            entry = _UNREADABLE
        card = {"id": identity, "name": name, "folder": folder, **entry.card}
        return (
            identity,
            os.fsencode(relative),
            folder,
            name,
            entry.status,
            *entry.scores,
            entry.people,
            entry.is_open,
            entry.is_edited,
            entry.rejected_shots,
            entry.is_rejected,
            entry.is_pending,
            entry.persons,
            entry.sets,
            f"{folder}/{name}\n{entry.text}".casefold(),
            status.st_size,
            status.st_mtime_ns,
            json.dumps(card, separators=(",", ":")),
        )

    def _put(self, rows: Sequence[tuple[object, ...]]) -> None:
        with self._lock:
            self._database.execute("BEGIN")
            photos = [row[:-3] for row in rows]
            self._database.executemany(f"INSERT OR REPLACE INTO photos VALUES ({', '.join('?' * 18)})", photos)
            stamps = [(row[0], *row[-3:-1], self._scan) for row in rows]
            self._database.executemany("INSERT OR REPLACE INTO stamps VALUES (?, ?, ?, ?)", stamps)
            cards = [(row[0], row[-1]) for row in rows]
            self._database.executemany("INSERT OR REPLACE INTO cards VALUES (?, ?)", cards)
            self._database.execute("COMMIT")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the index keeps of a sidecar."""

    status: str
    scores: tuple[float, float, float, float]
    people: int
    is_open: bool
    is_edited: bool
    rejected_shots: int
    is_rejected: bool
    is_pending: bool
    persons: str
    sets: str
    text: str
    card: dict[str, object]

    @classmethod
    def of(cls, record: _Record, folder: Path, names: frozenset[str]) -> _Entry:
        """Read what the index keeps.

        Raises:
            ValueError: A box is not valid.
        """
        source = record.source
        shots, texts = [], []
        scores = dict.fromkeys(map(str, SHOT_TYPES), NO_SCORE)
        is_open = is_edited = is_pending = False
        rejected_shots = 0
        due = [_is_due(shot, source) for shot in (*record.shots, *record.more_crops)]
        ordinary = record.shots if any(due[: len(record.shots)]) or are_asked(record.shots, record.more_crops) else []
        due = due[len(record.shots) - len(ordinary) :]
        for shot, is_due in zip((*ordinary, *record.more_crops), due, strict=True):
            has_file = shot.file is not None and _exists(shot.file, folder, names)
            rejected = shot.rejected or (shot.file is not None and not has_file and not is_due)
            edited = shot.edited or is_due
            is_edited |= edited
            rejected_shots += rejected
            is_open |= has_file and not edited and not rejected
            is_pending |= is_due and not rejected and not record.rejected and shot.file is not None
            if shot.score is not None and shot.file is not None and shot.shot in scores:
                scores[shot.shot] = min(scores[shot.shot], shot.score)
            texts += [shot.caption, shot.alt_text]
            box = shot.box
            shots.append(
                {
                    "key": str(CropKey(ShotType(shot.shot), shot.person, shot.set)),
                    "shot": shot.shot,
                    "person": shot.person,
                    "set": shot.set,
                    "box": [box.x, box.y, box.width, box.height],
                    "score": None if shot.file is None else shot.score,
                    "edited": edited,
                    "rejected": rejected,
                    "file": has_file,
                    "caption": shot.caption,
                    "version": "" if shot.written is None else (shot.written.sha256 or "")[:12],
                }
            )
        bodies = [(person.probability, person.body and Box(*person.body)) for person in record.people]
        people = len(prominent(bodies))
        card: dict[str, object] = {
            "status": record.status,
            "width": source.width,
            "height": source.height,
            "version": source.sha256[:12],
            "rejected": record.rejected,
            "pending": is_pending,
            "people": people,
            "shots": shots,
        }
        lowest = min(scores.values())
        card["score"] = None if lowest == NO_SCORE else lowest
        return cls(
            record.status,
            (lowest, *scores.values()),  # type: ignore[arg-type]
            people,
            is_open and not record.rejected,
            is_edited,
            rejected_shots,
            record.rejected,
            is_pending,
            _tokens(shot.person for shot in record.more_crops),
            _tokens(shot.set for shot in record.more_crops),
            "\n".join(texts),
            card,
        )


_UNREADABLE = _Entry(
    "unreadable", (NO_SCORE,) * 4, 0, False, False, 0, False, False, "", "", "", {"status": "unreadable", "shots": []}
)


def are_asked(ordinary: Iterable[_Decided], more: Iterable[_Decided]) -> bool:
    """Say whether somebody asked for the ordinary crops, or worked on them.

    Sidecars always have them. If a run is for ratio sets alone, none of the three has a file.

    Args:
        ordinary: The ordinary crops of a photo.
        more: Its crops of other people and ratio sets.
    """
    if any(crop.file is not None or crop.edited or crop.rejected for crop in ordinary):
        return True
    return not any(crop.file is not None or crop.left_out for crop in more)


def prominent(people: Sequence[tuple[float, Box | None]]) -> list[int]:
    """Return the places of the people whom a photo shows, without bystanders far away and false detections.

    Args:
        people: The probability of being the main person, and the body if it is known, the main person first.
    """
    tallest = max((body.height for _, body in people if body is not None), default=0.0)
    return [
        place
        for place, (probability, body) in enumerate(people)
        if place == 0 or probability >= _PART_OF_MAIN or (body is not None and body.height >= _PROMINENT * tallest)
    ]


def photo_id(root: Path, sidecar: Path) -> str:
    """Return what addresses call a photo: a hash of its path, the same in every run."""
    return _identity(str(sidecar.relative_to(root)))


def _identity(relative: str) -> str:
    return hashlib.sha256(os.fsencode(relative)).hexdigest()[:20]


def text_of(name: str) -> str:
    """Return a file name as text that every program can read; bytes that are not UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _is_due(shot: _Shot, source: _Source) -> bool:
    """Say whether somebody changed the texts or the box of a crop in the sidecar."""
    written = shot.written
    if written is not None and not are_as_written(
        shot.caption,
        shot.alt_text,
        (written.caption, written.alt_text),
        written.caption_sha256,
        written.alt_text_sha256,
    ):
        return True
    return to_pixels(Box(*shot.box_norm), source.width, source.height) != shot.box


def _tokens(names: Iterable[str]) -> str:
    """Return names between spaces, so that each can be found alone."""
    return "".join(f" {name} " for name in sorted(set(names)))


def _exists(name: str, folder: Path, names: frozenset[str]) -> bool:
    if "/" not in name:
        return name in names
    return os.path.isfile(folder / name)  # noqa: PTH113 - never raises


@lru_cache(maxsize=256)
def _is_photo_suffix(suffix: str) -> bool:
    return format_of(Path(f"photo{suffix}")) is not None


def _sidecars(root: Path) -> Iterator[tuple[str, frozenset[str], os.stat_result]]:
    """Yield the paths of sidecars below a folder, with the names next to each, without following links."""
    for parent, folders, found in os.walk(root):
        folders.sort()
        names = frozenset(found)
        for name in sorted(found):
            if name.startswith(".") or not name.endswith(SIDECAR_SUFFIX):
                continue
            if not _is_photo_suffix(os.path.splitext(name[: -len(SIDECAR_SUFFIX)])[1]):  # noqa: PTH122
                continue
            path = f"{parent}/{name}"
            try:
                status = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, names, status


def _order(wanted: Filter) -> tuple[str, ...]:
    if wanted.by_name:
        return ("folder", "name", "id")
    score = f"score_{wanted.shot}" if wanted.shot in map(str, SHOT_TYPES) else "score"
    return (score, "folder", "name", "id")


def _where(wanted: Filter) -> tuple[str, list[object]]:
    terms: list[str] = []
    values: list[object] = []

    def add(term: str, *more: object) -> None:
        terms.append(term)
        values.extend(more)

    if wanted.status:
        add("status = ?", wanted.status)
    if wanted.state in _STATES:
        add(_STATES[wanted.state])
    if wanted.below is not None:
        score = f"score_{wanted.shot}" if wanted.shot in map(str, SHOT_TYPES) else "score"
        add(f"{score} < ?", wanted.below)
    if wanted.people is not None:
        add("people >= ?" if wanted.people >= MANY_PEOPLE else "people = ?", wanted.people)
    for column, name in (("persons", wanted.person), ("sets", wanted.set_name)):
        if name:
            add(f"{column} LIKE ? ESCAPE '!'", f"% {_escaped(name)} %")
    if wanted.folder:
        add("(folder = ? OR folder LIKE ? ESCAPE '!')", wanted.folder, f"{_escaped(wanted.folder)}/%")
    for word in wanted.text.casefold().split():
        add("text LIKE ? ESCAPE '!'", f"%{_escaped(word)}%")
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), values


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
