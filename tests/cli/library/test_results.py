from pathlib import Path

import pytest

from conftest import FIXED_BOXES
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.results import Doubt, PhotoResult, PhotoStatus, Tally, doubts, doubts_on_record, duration
from shotcrop_cli.shots import SHOT_TYPES, PixelBox, ShotType
from shotcrop_cli.sidecar import ShotRecord


def _tally(**counts: int) -> Tally:
    tally = Tally()
    for status, count in counts.items():
        for i in range(count):
            tally.add(PhotoResult(Path(f"/photos/{i}.jpg"), PhotoStatus(status), reason="why"))
    return tally


def test_summary_reads_as_documented() -> None:
    tally = _tally(done=1204, unchanged=310, no_subject=2, failed=3)
    assert tally.summary(251.7, "cuda:0") == (
        "1204 done, 310 unchanged, 2 no subject, 3 failed in 4 m 12 s (4.8 img/s, cuda:0)"
    )


def test_a_run_without_photos_can_be_summed_up() -> None:
    assert _tally().summary(0.0, "cpu") == ("0 done, 0 unchanged, 0 no subject, 0 failed in 0.0 s (0.0 img/s, cpu)")


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({}, ExitCode.OK),
        ({"done": 1, "unchanged": 1}, ExitCode.OK),
        ({"no_subject": 1}, ExitCode.OK),
        ({"done": 9, "failed": 1}, ExitCode.SOME_FAILED),
    ],
)
def test_only_failures_change_the_exit_code(counts: dict[str, int], code: ExitCode) -> None:
    assert _tally(**counts).exit_code is code


def test_strictly_a_photo_of_nobody_is_a_failure() -> None:
    tally = Tally(strict=True)
    assert tally.add(PhotoResult(Path("a.jpg"), PhotoStatus.NO_SUBJECT))
    assert not tally.add(PhotoResult(Path("b.jpg"), PhotoStatus.SKIPPED))
    assert tally.exit_code is ExitCode.SOME_FAILED


def test_failures_are_kept_with_their_reasons() -> None:
    assert [(str(r.source), r.reason) for r in _tally(done=1, failed=1).failures] == [("/photos/0.jpg", "why")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 m 00 s"),
        (252, "4 m 12 s"),
        (3599.7, "1 h 00 m"),
        (7440, "2 h 04 m"),
    ],
)
def test_durations_show_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def record(shot: ShotType, score: float | None, file: str | None = "a.jpg", *, edited: bool = False) -> ShotRecord:
    box = FIXED_BOXES[shot]
    return ShotRecord(shot, PixelBox(0, 0, 1, 1), box, box, file, None, score=score, edited=edited)


def test_only_scores_below_the_least_accepted_one_are_doubtful() -> None:
    shots = [record(shot, score) for shot, score in zip(SHOT_TYPES, (0.5, 0.4999, None), strict=True)]
    assert doubts(shots, 0.5) == (Doubt(ShotType.MEDIUM, 0.4999),)
    assert doubts(shots, None) == doubts(shots, 0.0) == ()


def test_what_was_not_cut_or_was_set_by_a_person_is_never_doubtful() -> None:
    assert doubts([record(ShotType.MEDIUM, 0.1, None), record(ShotType.CLOSE_UP, 0.1, edited=True)], 0.5) == ()


def test_a_score_is_judged_as_it_is_written() -> None:
    assert doubts([record(ShotType.MEDIUM, 0.49999)], 0.5) == ()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"shots": [{"file": "a", "edited": false, "score": "x"}]}', "["])
def test_a_record_that_cannot_be_read_raises_no_doubt(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jpg.json"
    path.write_text(content)
    assert doubts_on_record(path, 0.5) == doubts_on_record(tmp_path / "missing", 0.5) == ()
