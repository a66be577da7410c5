from dataclasses import replace
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.library.discover import Source
from shotcrop_cli.library.plan import Decision, Job, decide, plan
from shotcrop_cli.shots import ModelIdentity
from shotcrop_cli.sidecar import Sidecar, SidecarStatus, iso_mtime
from test_sidecar import example

_OUT = Path("/shots")


def _source(relative: str, size: int = 10, mtime_ns: int = 1_000_000) -> Source:
    return Source(Path("/photos") / relative, PurePath(relative), size, mtime_ns)


def test_names_are_as_documented() -> None:
    (job,) = plan([_source("2026/ana/IMG_1234.jpg")], _OUT)
    assert [str(path) for path in (*job.crops, job.sidecar)] == [
        "/shots/2026/ana/IMG_1234.jpg.establishing.jpg",
        "/shots/2026/ana/IMG_1234.jpg.medium.jpg",
        "/shots/2026/ana/IMG_1234.jpg.close_up.jpg",
        "/shots/2026/ana/IMG_1234.jpg.json",
    ]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.JPG", ".jpg"),
        ("a.jpeg", ".jpg"),
        ("a.png", ".png"),
        ("a.webp", ".webp"),
        ("a.TIFF", ".tif"),
        ("a.avif", ".avif"),
        ("a.heic", ".jpg"),
        ("a.gif", ".png"),
        ("a.bmp", ".png"),
    ],
)
def test_crops_are_of_the_photos_format_or_the_nearest(name: str, suffix: str) -> None:
    (job,) = plan([_source(name)], _OUT)
    assert job.suffix == suffix


def test_photos_that_differ_by_extension_never_collide() -> None:
    jobs = plan([_source("IMG_1.jpg"), _source("IMG_1.png"), _source("IMG_1.jpeg")], _OUT)
    outputs = [path for job in jobs for path in (*job.crops, job.sidecar)]
    assert len(set(outputs)) == len(outputs) == 12


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("IMG.jpg", "img.JPG"),
        ("Ana/a.jpg", "ana/a.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("ß.jpg", "SS.jpg"),
    ],
)
def test_names_that_some_file_system_takes_for_one_are_refused(one: str, other: str) -> None:
    with pytest.raises(ShotcropError, match="would be cut to the same files") as caught:
        plan([_source(one), _source("between.jpg"), _source(other)], _OUT)
    assert one in caught.value.message
    assert other in caught.value.message


@given(st.sets(st.text("abcä.é ", min_size=1, max_size=6), max_size=20))
def test_no_two_photos_share_an_output(stems: set[str]) -> None:
    jobs = plan([_source(f"{i}/{stem}.jpg") for i, stem in enumerate(sorted(stems))], _OUT)
    outputs = [path for job in jobs for path in (*job.crops, job.sidecar)]
    assert len(set(outputs)) == 4 * len(stems)


def _job() -> Job:
    return plan([_source("a.jpg")], _OUT)[0]


def _recorded(**changes: object) -> Sidecar:
    record = example()
    source = replace(record.source, size_bytes=10, mtime=iso_mtime(1_000_000), sha256="5" * 64)
    return replace(record, source=source, model=ModelIdentity("nano", "m", "cpu"), **changes)


def _everything() -> set[str]:
    return {path.name for path in (*_job().crops, _job().sidecar)}


def _decide(
    sidecar: Sidecar | None,
    job: Job | None = None,
    present: set[str] | None = None,
    model: str = "m",
    settings: str | None = None,
    digest: str | None = None,
) -> Decision:
    def hash_source() -> str:
        assert digest is not None, "the source must not be hashed here"
        return digest

    return decide(
        job or _job(),
        sidecar,
        _everything() if present is None else present,
        model_sha256=model,
        settings_hash=settings or _recorded().settings.hash,
        digest=hash_source,
    )


def test_what_is_done_is_left_alone_without_hashing() -> None:
    decision = _decide(_recorded())
    assert (decision.due, decision.crops) == (False, _job().crops)


def test_a_new_photo_is_due() -> None:
    assert _decide(None, present=set()) == Decision(True, "new")


def test_a_damaged_sidecar_makes_the_photo_due() -> None:
    assert _decide(None) == Decision(True, "the sidecar is damaged")


def test_another_model_or_setting_makes_the_photo_due() -> None:
    assert _decide(_recorded(), model="other") == Decision(True, "the model changed")
    assert _decide(_recorded(), settings="other") == Decision(True, "the settings changed")


@pytest.mark.parametrize("crop", [path.name for path in _job().crops])
def test_a_missing_crop_makes_the_photo_due(crop: str) -> None:
    assert _decide(_recorded(), present=_everything() - {crop}) == Decision(True, f"{crop} is missing")


def test_another_size_makes_the_photo_due_without_hashing() -> None:
    (job,) = plan([_source("a.jpg", size=11)], _OUT)
    assert _decide(_recorded(), job) == Decision(True, "the photo changed")


def test_another_time_asks_the_hash() -> None:
    (job,) = plan([_source("a.jpg", mtime_ns=2_000_000)], _OUT)
    assert _decide(_recorded(), job, digest="6" * 64) == Decision(True, "the photo changed")
    same = _decide(_recorded(), job, digest="5" * 64)
    assert (same.due, same.sha256) == (False, "5" * 64)


def test_a_photo_of_nobody_needs_no_crops() -> None:
    decision = _decide(_recorded(status=SidecarStatus.NO_SUBJECT, shots=()), present={"a.jpg.json"})
    assert (decision.due, decision.crops) == (False, ())
