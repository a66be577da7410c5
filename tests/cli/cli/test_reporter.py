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
        "1204 done, 310 unchanged, 2 no subject, 3 failed in 4 m 12 s (4.8 img/s, cuda:0)"
    )


def test_a_run_without_photos_can_be_summed_up() -> None:
    assert summary(_run(0.0, "cpu")) == ("0 done, 0 unchanged, 0 no subject, 0 failed in 0.0 s (0.0 img/s, cpu)")


def test_the_summary_counts_photos_to_review_on_request() -> None:
    photo = PhotoResult(Path("a.jpg"), PhotoStatus.DONE, low_scores=(LowScore(ShotType.MEDIUM, 0.2),))
    run = RunResult({PhotoStatus.DONE: 1}, to_review=(photo,))
    assert summary(run, reviews=True).endswith(", no model needed), 1 to review")
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
