import re
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shotcrop_cli.crop_settings import CropSettings, XmpMode
from shotcrop_cli.framing import Aspect, Framing
from shotcrop_cli.imaging.formats import JPEG, PNG, CropFormat, Format
from shotcrop_cli.imaging.metadata.policy import MetadataPolicy
from shotcrop_cli.library.hand_work import KEEP_ALL, Allowed
from shotcrop_cli.library.name_template import NameTemplate
from shotcrop_cli.library.output_names import Plan, plan
from shotcrop_cli.library.plan import Action, Target, Task, Wanted, decide, with_rejections
from shotcrop_cli.library.source import Folder, Source
from shotcrop_cli.shots import SHOT_TYPES, ModelIdentity, PixelBox, ShotType
from shotcrop_cli.sidecar import Sidecar, SidecarStatus, Written, iso_mtime
from sidecar_examples import example

_OUT = Path("/shots")


def _source(relative: str, size: int = 10, mtime_ns: int = 1_000_000) -> Source:
    path = PurePath(relative)
    return Source(Folder(Path("/photos", path.parent), path.parent), path.name, size, mtime_ns)


def _named(*arguments: Any, **options: Any) -> tuple[Target, ...]:
    planned = plan(*arguments, **options)
    assert planned.refused == ()
    return planned.targets


def _refused(planned: Plan) -> dict[str, list[str]]:
    """Return the photos that were refused, each with those that its reason names."""
    return {
        str(ignored.source.path): [name.rstrip(",.") for name in re.findall(r"/photos/\S+", ignored.reason)]
        for ignored in planned.refused
    }


def test_names_are_as_documented() -> None:
    (target,) = _named([_source("2026/ana/IMG_1234.jpg")], _OUT)
    assert [str(path) for path in (*target.crops(SHOT_TYPES), target.sidecar)] == [
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
    (target,) = _named([_source(name)], _OUT)
    assert target.crop_name(ShotType.MEDIUM) == f"{name}.medium{suffix}"


def test_photos_that_differ_by_extension_never_collide() -> None:
    targets = _named([_source("IMG_1.jpg"), _source("IMG_1.png"), _source("IMG_1.jpeg")], _OUT)
    outputs = [path for target in targets for path in (*target.crops(SHOT_TYPES), target.sidecar)]
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
def test_names_that_some_file_system_takes_for_one_are_refused_alone(one: str, other: str) -> None:
    planned = plan([_source(one), _source("between.jpg"), _source(other)], _OUT)
    assert [target.source.name for target in planned.targets] == ["between.jpg"]
    assert _refused(planned) == {f"/photos/{one}": [f"/photos/{other}"], f"/photos/{other}": [f"/photos/{one}"]}
    assert all("Fix: rename" in ignored.reason for ignored in planned.refused)


def test_a_name_that_many_photos_share_is_said_in_few_words() -> None:
    sources = [_source("ABCDEF.jpg"[:at] + "abcdef.jpg"[at:]) for at in range(6)]
    planned = plan([*sources, _source("other.jpg")], _OUT)
    assert len(planned.refused) == 6
    assert all(ignored.reason.count("/photos/") == 3 for ignored in planned.refused)
    assert all("and 2 more photos" in ignored.reason for ignored in planned.refused)


@given(st.sets(st.text("abcä.é ", min_size=1, max_size=6), max_size=20))
def test_no_two_photos_share_an_output(stems: set[str]) -> None:
    targets = _named([_source(f"{i}/{stem}.jpg") for i, stem in enumerate(sorted(stems))], _OUT)
    outputs = [path for target in targets for path in (*target.crops(SHOT_TYPES), target.sidecar)]
    assert len(set(outputs)) == 4 * len(stems)


@pytest.mark.parametrize("wanted", CropFormat)
def test_crops_are_of_the_format_that_is_asked_for(wanted: CropFormat) -> None:
    (target,) = _named([_source("a.png")], _OUT, crop_format=wanted)
    suffix = {"same": "png", "jpeg": "jpg", "tiff": "tif"}.get(str(wanted), str(wanted))
    assert target.crop_name(ShotType.MEDIUM) == f"a.png.medium.{suffix}"


def test_a_template_names_the_crops_and_never_the_sidecar() -> None:
    (target,) = _named([_source("2026/a.png")], _OUT, NameTemplate.parse("{shot}/{stem}.{ext}"))
    assert str(target.crops([ShotType.CLOSE_UP])[0]) == "/shots/2026/close_up/a.png"
    assert str(target.sidecar) == "/shots/2026/a.png.json"


def test_names_that_a_template_makes_equal_are_refused_alone() -> None:
    sources = [_source("a.jpg"), _source("A.jpeg"), _source("b.jpg")]
    planned = plan(sources, _OUT, NameTemplate.parse("{stem}-{shot}.{ext}"))
    assert [target.source.name for target in planned.targets] == ["b.jpg"]
    assert _refused(planned) == {"/photos/a.jpg": ["/photos/A.jpeg"], "/photos/A.jpeg": ["/photos/a.jpg"]}
    assert len(_named(sources, _OUT)) == 3


def test_a_photo_whose_name_would_leave_the_output_is_refused_alone() -> None:
    planned = plan([_source("...jpg"), _source("b.jpg")], _OUT, NameTemplate.parse("{shot}/{stem}"))
    assert [target.source.name for target in planned.targets] == ["b.jpg"]
    (refused,) = planned.refused
    assert "would lead out of the output folder" in refused.reason


@pytest.mark.parametrize("folder", ["a.jpg.json", "A.JPG.Medium.jpg", "a.jpg.close_up.jpg/deeper"])
def test_a_photo_whose_output_is_called_like_a_folder_is_refused_alone(folder: str) -> None:
    planned = plan([_source("a.jpg"), _source(f"{folder}/b.jpg")], _OUT)
    assert [target.source.name for target in planned.targets] == ["b.jpg"]
    (refused,) = planned.refused
    assert refused.source.path == Path("/photos/a.jpg")
    assert "that is a folder of other crops" in refused.reason


def test_a_folder_is_called_like_an_output_of_a_later_photo() -> None:
    planned = plan([_source("a.jpg"), _source("b.png"), _source("b.png.medium.png/c.jpg")], _OUT)
    assert [refused.source.name for refused in planned.refused] == ["b.png"]


def test_photos_that_only_seem_to_differ_by_their_extension_are_refused() -> None:
    sources = [_source("a.jpg"), _source("a.png"), _source("b.jpg"), _source("b.png"), _source("c.jpg")]
    asked: list[str] = []

    def content_format(source: Source) -> Format:
        asked.append(source.name)
        return PNG if source.name.startswith("a") else JPEG if source.name == "b.jpg" else PNG

    planned = plan(sources, _OUT, NameTemplate.parse("{stem}.{shot}.{ext}"), content_format=content_format)
    assert asked == ["a.jpg", "a.png", "b.jpg", "b.png"]
    assert _refused(planned) == {"/photos/a.jpg": ["/photos/a.png"], "/photos/a.png": ["/photos/a.jpg"]}
    assert [target.crop_name(ShotType.MEDIUM) for target in planned.targets] == [
        "b.medium.jpg",
        "b.medium.png",
        "c.medium.jpg",
    ]


def test_crops_get_the_extension_of_the_content() -> None:
    (target,) = _named([_source("a.jpg")], _OUT)
    assert target.for_format(PNG, CropFormat.SAME).crop_name(ShotType.MEDIUM) == "a.jpg.medium.png"
    assert target.for_format(PNG, CropFormat.WEBP).crop_name(ShotType.MEDIUM) == "a.jpg.medium.webp"
    assert target.for_format(None, CropFormat.SAME) == target


def _target(**changes: int) -> Target:
    return _named([_source("a.jpg", **changes)], _OUT)[0]


def _recorded(**changes: object) -> Sidecar:
    record = example()
    source = replace(record.source, size_bytes=10, mtime=iso_mtime(1_000_000), sha256="5" * 64)
    return replace(record, source=source, model=ModelIdentity("nano", "m", "cpu"), **changes)


def _with_shot(shot: ShotType, **changes: object) -> Sidecar:
    record = _recorded()
    return replace(record, shots=tuple(replace(one, **changes) if one.shot is shot else one for one in record.shots))


def _everything() -> set[str]:
    return {*_target().crop_names, _target().sidecar_name}


def _decide(
    record: Sidecar | None,
    target: Target | None = None,
    present: set[str] | None = None,
    digest: str | None = None,
    overwrite: bool = False,
    fault: str = "",
    allowed: Allowed = KEEP_ALL,
    **wanted: object,
) -> Task:
    def hash_source() -> str:
        assert digest is not None, "the source must not be hashed here"
        return digest

    there = _everything() if present is None else present
    return decide(
        target or _target(),
        None if record is None else with_rejections(record, there, allowed),
        there,
        replace(Wanted("m", CropSettings()), **wanted),
        hash_source,
        overwrite=overwrite,
        fault=fault,
        allowed=allowed,
    )


def _brief(task: Task) -> tuple[Action, str, tuple[ShotType, ...]]:
    return task.action, task.reason, task.shots


def test_what_is_done_is_left_alone_without_hashing() -> None:
    assert _brief(_decide(_recorded())) == (Action.SKIP, "unchanged", SHOT_TYPES)


def test_a_new_photo_is_composed() -> None:
    assert _brief(_decide(None, present=set())) == (Action.COMPOSE, "new", SHOT_TYPES)


def test_a_damaged_sidecar_is_refused() -> None:
    task = _decide(None, fault="not a sidecar: line 1 column 2")
    assert (task.action, task.is_due) == (Action.REFUSE, False)
    assert task.reason.startswith(f"{_target().sidecar}: not a sidecar: line 1 column 2. Fix: correct it, or delete it")


def test_another_model_makes_the_photo_composed() -> None:
    assert _brief(_decide(_recorded(), model_sha256="n")) == (Action.COMPOSE, "the model changed", SHOT_TYPES)


@pytest.mark.parametrize(
    "changes",
    [
        {"quality": 80},
        {"format": CropFormat.WEBP},
        {"metadata": MetadataPolicy.ALL},
        {"lossless": True},
    ],
    ids=str,
)
def test_another_setting_crops_again_without_the_model(changes: dict[str, object]) -> None:
    task = _decide(_recorded(), settings=CropSettings(**changes))
    assert _brief(task) == (Action.CROP, "the settings changed", SHOT_TYPES)


@pytest.mark.parametrize(
    "changes", [{"max_size": 500}, {"framing": Framing(pad=0.1)}, {"framing": Framing(min_size=800)}], ids=str
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_another_shape_or_size_replaces_finished_crops_on_request_only(
    changes: dict[str, object], overwrite: bool
) -> None:
    settings = CropSettings(**changes)
    task = _decide(_recorded(), settings=settings, overwrite=overwrite)
    assert (task.action, "shape or size: establishing, medium, close_up" in task.reason) == (Action.REFUSE, True)
    (option,) = ["--max-size"] if "max_size" in changes else ["--pad"] if settings.framing.pad else ["--min-size"]
    assert f"leave out {option} to keep them, or add --replace" in task.reason
    back = replace(_recorded(), settings=settings)
    given = {"--max-size": "--max-size 500", "--pad": "--pad 10%", "--min-size": "--min-size 800"}[option]
    assert f"add {given} to keep them, or add --replace" in _decide(back, overwrite=overwrite).reason
    assert _decide(_recorded(), settings=settings, overwrite=overwrite, allowed=Allowed(replace=True)).is_due
    unfinished = replace(_recorded(), shots=tuple(replace(shot, file=None) for shot in _recorded().shots))
    assert _decide(unfinished, settings=settings, overwrite=overwrite).is_due


def test_a_setting_of_one_shot_crops_only_that_shot_again() -> None:
    settings = CropSettings(framing=Framing(aspects=((ShotType.CLOSE_UP, Aspect(1, 1)),)))
    assert _brief(_decide(_recorded(), settings=settings, allowed=Allowed(replace=True))) == (
        Action.CROP,
        "the settings changed",
        (ShotType.CLOSE_UP,),
    )


@pytest.mark.parametrize("shot", SHOT_TYPES)
def test_a_deleted_crop_is_rejected_until_it_is_restored_without_the_model(shot: ShotType) -> None:
    present = _everything() - {_target().crop_name(shot)}
    task = _decide(_recorded(), present=present)
    assert (task.action, task.reason, task.rejected) == (Action.SKIP, "unchanged", (shot,))
    assert task.record is not None
    assert [one.file is None for one in task.record.shots] == [one is shot for one in SHOT_TYPES]
    for overwrite in (False, True):
        task = _decide(_recorded(), present=present, model_sha256="n", overwrite=overwrite)
        assert (task.action, shot in task.shots, task.rejected) == (Action.COMPOSE, False, (shot,))
    restored = _decide(_recorded(), present=present, allowed=Allowed(restore_rejected=True))
    assert _brief(restored) == (Action.CROP, f"{shot} is asked for", (shot,))


def test_a_deleted_crop_whose_box_or_caption_was_edited_since_is_wanted_again() -> None:
    crop = _target().crop_name(ShotType.MEDIUM)
    written = Written("what shotcrop wrote")
    for record in (
        _with_shot(ShotType.MEDIUM, box=PixelBox(1, 2, 3, 4), edited=True),
        _with_shot(ShotType.MEDIUM, written=written, edited=True),
    ):
        task = _decide(record, present=_everything() - {crop})
        assert _brief(task) == (Action.CROP, "medium is asked for", (ShotType.MEDIUM,))


@pytest.mark.parametrize(
    "changes", [{"model_sha256": "n"}, {"overwrite": True}, {"settings": CropSettings(quality=50)}]
)
def test_a_rejected_photo_is_left_out_whatever_changes(changes: dict[str, object]) -> None:
    record = _recorded(rejected=True)
    task = _decide(record, **changes)
    assert (_brief(task), task.rejected) == ((Action.SKIP, "rejected", ()), SHOT_TYPES)
    assert _decide(record, allowed=Allowed(restore_rejected=True), **changes).is_due


def test_another_photo_of_the_same_name_is_not_rejected() -> None:
    record = _recorded(rejected=True)
    record = replace(record, source=replace(record.source, path="/elsewhere/a.jpg"))
    assert _decide(record, _target(size=11)).needs_model
    assert not _decide(record).is_due  # the same content


def test_crops_of_shots_that_are_not_asked_for_keep_their_ratio() -> None:
    four_to_five = Framing(aspects=((ShotType.MEDIUM, Aspect(4, 5)),))
    record = _recorded(settings=CropSettings(framing=four_to_five))
    square = CropSettings(framing=Framing(aspects=((ShotType.CLOSE_UP, Aspect(1, 1)),)))
    task = _decide(record, settings=square, shots=(ShotType.CLOSE_UP,), allowed=Allowed(replace=True))
    assert task.shots == (ShotType.CLOSE_UP,)
    assert dict(task.settings.framing.aspects) == {ShotType.MEDIUM: Aspect(4, 5), ShotType.CLOSE_UP: Aspect(1, 1)}


def test_a_retouched_crop_is_no_reason_to_crop_again_until_that_is_asked_for() -> None:
    record = _with_shot(ShotType.MEDIUM, retouched=True)
    task = _decide(record, settings=CropSettings(quality=50))
    assert task.shots == (ShotType.ESTABLISHING, ShotType.CLOSE_UP)
    task = _decide(record, allowed=Allowed(overwrite_edited=True))
    assert _brief(task) == (
        Action.CROP,
        "a.jpg.medium.jpg was edited, and edited crops are overwritten on request",
        (ShotType.MEDIUM,),
    )


def test_a_missing_xmp_file_is_made_good() -> None:
    record = _recorded(settings=CropSettings(xmp=XmpMode.SIDECAR))
    there = _everything() | {f"{name}.xmp" for name in _target().crop_names[:2]}
    task = _decide(record, present=there, settings=CropSettings(xmp=XmpMode.SIDECAR))
    assert _brief(task) == (Action.CROP, f"{_target().crop_names[2]}.xmp is missing", (ShotType.CLOSE_UP,))


def test_a_shot_that_is_not_asked_for_is_not_missed() -> None:
    record = _with_shot(ShotType.ESTABLISHING, file=None, size=None)
    present = _everything() - {_target().crop_names[0]}
    assert not _decide(record, present=present, shots=(ShotType.MEDIUM,)).is_due
    task = _decide(record, present=present)
    assert _brief(task) == (Action.CROP, "establishing is asked for", (ShotType.ESTABLISHING,))


def test_shots_that_are_there_are_kept_up_to_date_even_if_not_asked_for() -> None:
    task = _decide(_recorded(), shots=(ShotType.MEDIUM,), model_sha256="n")
    assert _brief(task) == (Action.COMPOSE, "the model changed", SHOT_TYPES)


def test_another_name_template_crops_again() -> None:
    (target,) = _named([_source("a.jpg")], _OUT, NameTemplate("{stem}.{shot}.{ext}"))
    refused = _decide(_recorded(), target)
    assert refused.action is Action.REFUSE
    assert "would be deleted, because crops get other names: establishing, medium" in refused.reason
    allowed = Allowed(replace=True)
    assert _brief(_decide(_recorded(), target, allowed=allowed)) == (
        Action.CROP,
        "the name template changed",
        SHOT_TYPES,
    )


def test_another_size_makes_the_photo_composed_without_hashing() -> None:
    assert _brief(_decide(_recorded(), _target(size=11))) == (Action.COMPOSE, "the photo changed", SHOT_TYPES)


def test_another_time_asks_the_hash() -> None:
    target = _target(mtime_ns=2_000_000)
    assert _brief(_decide(_recorded(), target, digest="6" * 64)) == (Action.COMPOSE, "the photo changed", SHOT_TYPES)
    same = _decide(_recorded(), target, digest="5" * 64)
    assert _brief(same) == (Action.SKIP, "unchanged but for its time", SHOT_TYPES)


def test_a_photo_without_people_needs_no_crops() -> None:
    task = _decide(_recorded(status=SidecarStatus.NO_SUBJECT, shots=()), present={"a.jpg.json"})
    assert (*_brief(task), task.no_subject) == (Action.SKIP, "unchanged", (), True)


def test_what_was_set_by_hand_outlives_model_photo_and_overwrite() -> None:
    record = _with_shot(ShotType.MEDIUM, edited=True)
    assert not _decide(record, model_sha256="n").is_due
    assert _brief(_decide(record, _target(size=11))) == (Action.CROP, "the photo changed", SHOT_TYPES)
    assert _brief(_decide(record, overwrite=True)) == (Action.CROP, "overwritten on request", SHOT_TYPES)
    allowed = Allowed(overwrite_edited=True)
    assert not _decide(record, allowed=allowed).is_due
    task = _decide(record, overwrite=True, allowed=allowed)
    assert _brief(task) == (Action.COMPOSE, "overwritten on request", SHOT_TYPES)
