from pathlib import Path

import pytest

from conftest import FIXED_BOXES
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.library.results import (
    LowScore,
    PhotoResult,
    PhotoStatus,
    Results,
    RunResult,
    duration,
    low_scores,
    recorded_low_scores,
)
from shotcrop_cli.shots import SHOT_TYPES, PixelBox, ShotType
from shotcrop_cli.sidecar import ShotRecord


def _results(**counts: int) -> RunResult:
    results = Results()
    for status, count in counts.items():
        for i in range(count):
            results.add(PhotoResult(Path(f"/photos/{i}.jpg"), PhotoStatus(status), reason="why"))
    return results.finish(2.0)


def test_photos_are_counted_by_status() -> None:
    result = _results(done=3, no_subject=1)
    assert result.counts == {PhotoStatus.DONE: 3, PhotoStatus.NO_SUBJECT: 1}
    assert result.photos_per_second == 2.0


def test_all_results_are_kept_on_request() -> None:
    results = Results(keep_all=True)
    photo = PhotoResult(Path("a.jpg"), PhotoStatus.DONE)
    results.add(photo)
    assert results.finish(0.0).photos == (photo,)
    assert _results(done=1).photos == ()


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
    assert _results(**counts).exit_code is code


def test_in_a_strict_run_a_photo_without_people_is_a_failure() -> None:
    results = Results(strict=True)
    assert results.add(PhotoResult(Path("a.jpg"), PhotoStatus.NO_SUBJECT))
    assert not results.add(PhotoResult(Path("b.jpg"), PhotoStatus.SKIPPED))
    assert results.finish(0.0).exit_code is ExitCode.SOME_FAILED


def test_failures_are_kept_with_their_reasons() -> None:
    assert [(str(r.source), r.reason) for r in _results(done=1, failed=1).failed] == [("/photos/0.jpg", "why")]


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


def test_only_scores_below_min_score_are_listed_for_review() -> None:
    shots = [record(shot, score) for shot, score in zip(SHOT_TYPES, (0.5, 0.4999, None), strict=True)]
    assert low_scores(shots, 0.5) == (LowScore(ShotType.MEDIUM, 0.4999),)
    assert low_scores(shots, None) == low_scores(shots, 0.0) == ()


def test_shots_without_a_crop_or_with_an_edited_box_are_never_listed_for_review() -> None:
    assert low_scores([record(ShotType.MEDIUM, 0.1, None), record(ShotType.CLOSE_UP, 0.1, edited=True)], 0.5) == ()


def test_a_score_is_judged_as_it_is_written() -> None:
    assert low_scores([record(ShotType.MEDIUM, 0.49999)], 0.5) == ()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"shots": [{"file": "a", "edited": false, "score": "x"}]}',
        '{"shots": [{"shot": "medium", "file": "a", "edited": false, "score": "0.1"}]}',
        f'{{"shots": [{{"shot": "medium", "file": "a", "edited": false, "score": -1{"0" * 400}}}]}}',
        "[",
    ],
)
def test_a_record_that_cannot_be_read_lists_nothing_for_review(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jpg.json"
    path.write_text(content)
    assert recorded_low_scores(path, 0.5) == recorded_low_scores(tmp_path / "missing", 0.5) == ()
