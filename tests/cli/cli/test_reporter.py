import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from shotcrop_cli.cli.console import Console
from shotcrop_cli.cli.reporter import ConsoleReporter, ReportOptions, summary
from shotcrop_cli.library.results import LowScore, PhotoResult, PhotoStatus, RunResult
from shotcrop_cli.shots import ShotType


def _run(seconds: float, provider: str, **counts: int) -> RunResult:
    by_status: Mapping[PhotoStatus, int] = {PhotoStatus(status): count for status, count in counts.items()}
    return RunResult(by_status, seconds=seconds, provider=provider)


def test_summary_reads_as_documented() -> None:
    assert summary(_run(251.7, "cuda:0", done=1204, unchanged=310, no_subject=2, failed=3)) == (
        "1204 done, 310 unchanged, 2 without people, 3 failed in 4 m 12 s (4.8 photos/s)"
    )


def test_a_run_without_photos_can_be_summed_up() -> None:
    assert summary(_run(0.0, "cpu")) == "0 done, 0 unchanged, 0 without people, 0 failed in 0.0 s"


def test_the_summary_counts_photos_to_review_on_request() -> None:
    photo = PhotoResult(Path("a.jpg"), PhotoStatus.DONE, low_scores=(LowScore(ShotType.MEDIUM, 0.2),))
    run = RunResult({PhotoStatus.DONE: 1}, to_review=(photo,))
    assert summary(run, reviews=True).endswith(" in 0.0 s, 1 to review")
    assert "review" not in summary(run)


@pytest.mark.parametrize(
    ("crops", "shown"),
    [
        (["/shots/a.jpg.medium.jpg"], "/shots/a.jpg.medium.jpg"),
        (
            [f"/shots/m.jpg.{shot}.jpg" for shot in ShotType],
            "/shots/m.jpg.{establishing,medium,close_up}.jpg",
        ),
        (["/shots/a.jpg.medium.jpg", "/shots/a.jpg.close_up.jpg"], "/shots/a.jpg.{medium,close_up}.jpg"),
        (["/shots/medium/a.jpg", "/shots/close_up/a.jpg"], "/shots/{medium,close_up}/a.jpg"),
    ],
)
def test_a_planned_photo_is_one_line(crops: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    photo = PhotoResult(Path("/photos/a.jpg"), PhotoStatus.PLANNED, None, tuple(map(Path, crops)), "new")
    with CliRunner().isolation() as (stdout, *_):
        ConsoleReporter(ReportOptions(), Console()).photo(photo)
        assert stdout.getvalue().decode() == f"/photos/a.jpg -> {shown} (new)\n"


_FAILED = PhotoResult(Path("b.jpg"), PhotoStatus.FAILED, reason="b.jpg: truncated. Fix: copy it again")
_LOW = PhotoResult(Path("a.jpg"), PhotoStatus.DONE, low_scores=(LowScore(ShotType.MEDIUM, 0.2),))


@pytest.mark.parametrize(
    ("run", "options", "lines"),
    [
        (
            RunResult({PhotoStatus.DONE: 1}),
            ReportOptions(output=Path("my shots")),
            ["3 crops in my shots/. Review: shotcrop sheet 'my shots' -o sheet.jpg"],
        ),
        (
            RunResult({PhotoStatus.UNCHANGED: 1}),
            ReportOptions(output=Path("shots")),
            ["The crops in shots/ are up to date. Review: shotcrop sheet shots -o sheet.jpg"],
        ),
        (RunResult({PhotoStatus.DONE: 1}), ReportOptions(), []),
        (RunResult({PhotoStatus.NO_SUBJECT: 1}), ReportOptions(output=Path("shots")), []),
        (
            RunResult({PhotoStatus.PLANNED: 1}, dry_run=True),
            ReportOptions(output=Path("shots")),
            ["To do this, run the same command without --dry-run."],
        ),
        (RunResult({PhotoStatus.UNCHANGED: 1}, dry_run=True), ReportOptions(output=Path("shots")), []),
    ],
)
def test_the_last_line_says_where_the_crops_are_and_what_to_do_next(
    run: RunResult, options: ReportOptions, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = ConsoleReporter(options, Console())
    for _ in range(run.counts.get(PhotoStatus.DONE, 0)):
        reporter.photo(PhotoResult(Path("a.jpg"), PhotoStatus.DONE, crops=tuple(map(Path, "xyz"))))
    reporter.finish(run)
    assert capsys.readouterr().err.splitlines()[1:] == lines


def test_lists_are_named_below_the_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ReportOptions(failed_list=tmp_path / "failed.txt", review_list=tmp_path / "review.txt", reviews=True)
    reporter = ConsoleReporter(options, Console())
    reporter.start()
    reporter.finish(RunResult({PhotoStatus.FAILED: 1, PhotoStatus.DONE: 1}, (_FAILED,), (_LOW,)))
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"failed: b.jpg: {_FAILED.reason}",
        "review: a.jpg: medium scores 0.2",
        f"1 photo failed: see {tmp_path / 'failed.txt'}",
        f"1 photo to review: see {tmp_path / 'review.txt'}",
    ]
    assert (tmp_path / "failed.txt").read_text() == "b.jpg\n"


def test_the_provider_is_a_detail(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose, seen in ((False, False), (True, True)):
        ConsoleReporter(ReportOptions(), Console(verbose=verbose)).finish(_run(1.0, "cuda:0", done=1))
        assert ("cuda:0" in capsys.readouterr().err) is seen


def test_a_photo_without_people_is_named_with_verbose_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    photo = PhotoResult(Path("a.jpg"), PhotoStatus.NO_SUBJECT)
    with CliRunner().isolation() as (stdout, stderr, _):
        ConsoleReporter(ReportOptions(as_json=True), Console(verbose=True)).photo(photo)
        assert json.loads(stdout.getvalue())["status"] == "no_subject"
        assert stderr.getvalue().decode() == "a.jpg: without people\n"


def test_a_reason_that_photos_share_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [PhotoResult(Path(name), PhotoStatus.FAILED, reason=why) for name, why in ("ax", "by", "cx", "dx")]
    ConsoleReporter(ReportOptions(), Console()).finish(RunResult({PhotoStatus.FAILED: 4}, tuple(failed)))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "failed: a: x",
        "failed: c: for the same reason",
        "failed: d: for the same reason",
        "failed: b: y",
    ]


@pytest.mark.parametrize(
    ("failed", "left", "ending"),
    [
        (0, 0, "The crops in shots/ are up to date"),
        (1, 0, "2 other photos in shots/ are up to date"),
        (0, 3, "2 other photos in shots/ are up to date"),
    ],
)
def test_photos_that_failed_or_were_left_are_not_up_to_date(
    failed: int, left: int, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {PhotoStatus.UNCHANGED: 2, PhotoStatus.FAILED: failed}
    run = RunResult(counts, (_FAILED,) * failed, left=left)
    ConsoleReporter(ReportOptions(output=Path("shots")), Console()).finish(run)
    assert capsys.readouterr().err.splitlines()[-1].startswith(ending)
    run = RunResult({PhotoStatus.FAILED: 1}, (_FAILED,))
    ConsoleReporter(ReportOptions(output=Path("shots")), Console()).finish(run)
    assert "up to date" not in capsys.readouterr().err


def test_changed_options_are_counted_and_only_some_named(capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"xmp both to off": 5, "pad 0% to 5%": 2, "pad 0% to 6%": 1, "pad 0% to 7%": 1, "pad 0% to 8%": 1}
    ConsoleReporter(ReportOptions(), Console()).finish(RunResult({PhotoStatus.DONE: 10}, changes=changes))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "settings changed for 5 finished photos: xmp both to off",
        "settings changed for 2 finished photos: pad 0% to 5%",
        "settings changed for 1 finished photo: pad 0% to 6%",
        "settings changed for 2 more finished photos",
    ]


@pytest.mark.parametrize(("manifest", "where"), [(None, "--manifest FILE"), (Path("crops.csv"), "crops.csv")])
def test_a_manifest_that_was_asked_for_is_named(
    manifest: Path | None, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tuple(PhotoResult(Path(f"{n}.jpg"), PhotoStatus.DONE, small=("medium-web",)) for n in range(7))
    ConsoleReporter(ReportOptions(manifest=manifest), Console()).finish(RunResult({PhotoStatus.DONE: 7}, small=photos))
    assert f"small: crops of 2 more photos; {where} lists all\n" in capsys.readouterr().err
