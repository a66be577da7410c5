import json
from dataclasses import replace
from pathlib import Path

from shotcrop_cli.crop_settings import CropSettings
from shotcrop_cli.framing import Aspect
from shotcrop_cli.library.recorded_crops import CropStatus, list_crops
from shotcrop_cli.ratio_sets import Fit, Ratio, RatioSet
from shotcrop_cli.shots import SHOT_TYPES, ShotType
from shotcrop_cli.sidecar import Sidecar, parse
from sidecar_examples import SCHEMA, example

STORY = RatioSet.of("story", dict.fromkeys(SHOT_TYPES, Ratio(Aspect(9, 16), (1080, 1920))))


def with_more_crops() -> Sidecar:
    record = example()
    medium = record.shots[1]
    more = (
        replace(medium, set_name="story", file="a.jpg.medium-story.jpg", padded=True),
        replace(medium, person="person2", file="a.jpg.person2-medium.jpg", rejected=True),
        replace(medium, person="person2", set_name="story", file=None, size=None, left_out="the heads do not fit"),
        replace(medium, person="group", file="../x.jpg"),
        replace(medium, person="person3", file="gone.jpg"),
    )
    pad = replace(STORY, fit=Fit.PAD, background="#ffffff", upscale=True)
    return replace(record, more_crops=more, settings=CropSettings(sets=(STORY, replace(pad, name="pad"))))


def test_sidecars_keep_the_crops_of_people_and_sets() -> None:
    record = with_more_crops()
    document = json.loads(record.to_bytes())
    SCHEMA.validate(document)
    assert parse(record.to_bytes()) == record
    assert [(one["person"], one["set"]) for one in document["more_crops"][:2]] == [
        ("main", "story"),
        ("person2", "default"),
    ]
    assert document["settings"]["sets"]["pad"] == {
        "ratios": dict.fromkeys(map(str, SHOT_TYPES), "9:16:1080x1920"),
        "upscale": True,
        "fit": "pad",
        "background": "#ffffff",
    }


def test_sidecars_without_people_and_sets_look_as_before() -> None:
    document = json.loads(example().to_bytes())
    assert "more_crops" not in document
    assert "sets" not in document["settings"]
    assert not {"person", "set", "left_out", "padded"} & document["shots"][0].keys()


def test_every_crop_is_listed_with_its_status(tmp_path: Path) -> None:
    record = with_more_crops()
    for name in ("a.jpg.establishing.jpg", "a.jpg.medium-story.jpg", "a.jpg.person2-medium.jpg"):
        (tmp_path / name).touch()
    crops = list_crops(record, tmp_path)
    assert [(str(crop.key), crop.status, crop.path and crop.path.name) for crop in crops] == [
        ("establishing", CropStatus.DONE, "a.jpg.establishing.jpg"),
        ("medium", CropStatus.DELETED, None),
        ("close_up", CropStatus.DELETED, None),
        ("medium-story", CropStatus.DONE, "a.jpg.medium-story.jpg"),
        ("person2-medium", CropStatus.REJECTED, "a.jpg.person2-medium.jpg"),
        ("person2-medium-story", CropStatus.LEFT_OUT, None),
        ("group-medium", CropStatus.NOT_MADE, None),
        ("person3-medium", CropStatus.DELETED, None),
    ]
    assert {crop.box for crop in crops} == {record.shots[0].box}
    rejected = list_crops(replace(record, rejected=True), tmp_path)
    assert {crop.status for crop in rejected} == {CropStatus.REJECTED}


def test_settings_tell_sets_apart() -> None:
    plain, with_set = CropSettings(), CropSettings(sets=(STORY,))
    wider = CropSettings(sets=(replace(STORY, ratios=((ShotType.MEDIUM, Ratio(Aspect(1, 1))),)),))
    assert len({plain.hash, with_set.hash, wider.hash}) == 3
    assert with_set.concerning(ShotType.MEDIUM) == plain.concerning(ShotType.MEDIUM)
