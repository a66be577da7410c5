from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePath

from shotcrop_cli.library.settling import FIRST_RETRY, LAST_RETRY, Settling
from shotcrop_cli.library.source import Folder, Source

PHOTO = Source(Folder(Path("/photos"), PurePath()), "a.jpg", 10, 1, 1, 1)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def look(settling: Settling, *photos: Source) -> list[str]:
    """Return the names of the photos that are ready, as one look at the folder asks for them."""
    ready = [photo.name for photo in photos if settling.is_ready(photo)]
    settling.end_look()
    return ready


def test_a_file_is_ready_when_it_has_not_changed_for_a_while() -> None:
    clock = Clock()
    settling = Settling(3.0, clock)
    assert look(settling, PHOTO) == []
    assert (settling.seconds_left(), settling.is_settling) == (3.0, True)
    clock.now = 2.0
    for name, value in {"size_bytes": 11, "mtime_ns": 2, "ctime_ns": 2, "inode": 2}.items():
        growing = replace(PHOTO, **{name: value})
        assert look(settling, growing) == []
        clock.now += 2.9
        assert look(settling, growing) == []
    clock.now += 0.2
    assert look(settling, growing) == ["a.jpg"]
    assert not settling.is_settling


def test_a_file_that_is_cropped_or_gone_is_forgotten() -> None:
    clock = Clock()
    settling = Settling(3.0, clock)
    look(settling, PHOTO, replace(PHOTO, name="b.jpg"))
    clock.now = 4.0
    assert look(settling, PHOTO) == ["a.jpg"]
    assert len(settling) == 1
    look(settling)
    assert (len(settling), settling.seconds_left()) == (0, None)


def test_a_photo_that_fails_is_tried_again_ever_more_seldom_or_when_it_changes() -> None:
    clock = Clock()
    settling = Settling(0.0, clock)
    look(settling, PHOTO)
    tried = []
    while clock.now < 3 * LAST_RETRY:
        if look(settling, PHOTO):
            tried.append(clock.now)
        clock.now += FIRST_RETRY / 4
    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert max(pauses) == LAST_RETRY
    changed = replace(PHOTO, size_bytes=11)
    look(settling, changed)
    assert look(settling, changed) == ["a.jpg"]
