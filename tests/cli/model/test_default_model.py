from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from conftest import names_in
from drawn_photos import (
    FACES,
    PHOTOS,
    Drawn,
    behind_a_visor,
    far_away,
    flat,
    from_behind,
    gradient,
    landscape,
    noise,
    side_by_side,
    tight,
)
from shotcrop_cli.evaluation.bootstrap import NESTED
from shotcrop_cli.geometry import ioa
from shotcrop_cli.model.bundle import EXPORT_RECORD, read_bundle
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.manifest import NanoManifest
from shotcrop_cli.model.resolve import resolve_model
from shotcrop_cli.shots import SHOT_TYPES, Answer, Box, Composer, Composition, NoSubject, ShotType
from shotcrop_cli.sidecar import SCHEMA_PATH

PEOPLED: dict[str, Callable[[], Drawn]] = {
    **{f"{name} far away left": partial(far_away, name, 0.3, (0.2, 0.4)) for name in FACES},
    **{f"{name} far away right": partial(far_away, name, 0.3, (0.6, 0.45)) for name in FACES},
    **{f"{name} a speck": partial(far_away, name, 0.06, (0.4, 0.6)) for name in FACES},
    **{f"{name} from behind": partial(from_behind, name) for name in FACES},
    **{f"{name} behind a visor": partial(behind_a_visor, name) for name in FACES},
    **{f"{name} tight": partial(tight, name, 0.7) for name in FACES},
    "two": partial(side_by_side, "astronaut.jpg", "camera.jpg"),
    "two others": partial(side_by_side, "commodore.jpg", "astronaut.jpg"),
    "three": partial(side_by_side, *FACES),
}
EMPTY: dict[str, Callable[[], Drawn]] = {
    "dusk": gradient,
    "upright dusk": partial(gradient, 600, 900),
    "black": partial(flat, 0),
    "white": partial(flat, 255),
    "grain": partial(noise, 800, 600),
    "clouds": partial(noise, 16, 12),
    "hills": landscape,
    "upright hills": partial(landscape, 500, 900),
    "panorama": partial(landscape, 2400, 600),
    "house": partial(landscape, house=True),
}


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the command as a user does, and check that it loads no training library."""
    output = tmp_path_factory.mktemp("shots")
    script = (
        "import sys; from shotcrop_cli.main import cli\n"
        f"cli(['crop', {str(PHOTOS)!r}, '-o', {str(output)!r}, '--device', 'cpu'], standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules), 'a training library was loaded'"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOTCROP")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 done, 0 unchanged, 0 without people, 0 failed" in done.stderr
    return output


def test_every_example_gets_three_crops_and_a_valid_sidecar(shots: Path) -> None:
    schema = json.loads(SCHEMA_PATH.read_text("utf-8"))
    for photo in sorted(PHOTOS.glob("*.jpg")):
        sidecar = json.loads((shots / f"{photo.name}.json").read_text("utf-8"))
        jsonschema.validate(sidecar, schema)
        assert sidecar["model"]["id"] == "shotcrop-nano"
        assert [shot["shot"] for shot in sidecar["shots"]] == [str(kind) for kind in SHOT_TYPES]
        for shot in sidecar["shots"]:
            with Image.open(shots / shot["file"]) as crop:
                assert crop.size == (shot["box"]["width"], shot["box"]["height"])
            assert shot["caption"][0].isupper()
        assert sidecar["reasoning"]["subject"]


def test_every_example_records_everybody_with_a_triple_of_their_own(shots: Path) -> None:
    for photo in sorted(PHOTOS.glob("*.jpg")):
        sidecar = json.loads((shots / f"{photo.name}.json").read_text("utf-8"))
        main, *others = sidecar["people"]
        assert main["body"] == sidecar["lead"]["body"] and main["head"] == sidecar["lead"]["head"]
        assert main["body"] is not None and main["head"] is not None
        assert ioa(Box(*main["head"]), FACES[photo.name]) > 0 or ioa(FACES[photo.name], Box(*main["head"])) > 0
        for person in (main, *others):
            assert 0.0 <= person["probability"] <= 1.0
            assert [shot["shot"] for shot in person["shots"]] == [str(kind) for kind in SHOT_TYPES]
            assert any(person[part] is not None for part in ("body", "head", "face"))


@pytest.mark.parametrize("name", sorted(FACES))
def test_no_crop_of_an_example_cuts_the_face(shots: Path, name: str) -> None:
    sidecar = json.loads((shots / f"{name}.json").read_text("utf-8"))
    boxes = {shot["shot"]: Box(*shot["box_norm"]) for shot in sidecar["shots"]}
    for box in boxes.values():
        assert ioa(FACES[name], box) > 0.97
    assert boxes["establishing"].area > boxes["medium"].area > boxes["close_up"].area


def test_the_embedded_model_is_complete_and_at_most_25_megabytes() -> None:
    folder = resolve_model(None)
    bundle = read_bundle(folder)
    assert isinstance(bundle.manifest, NanoManifest)
    assert {path.name for path in folder.iterdir()} == {*bundle.hashes, EXPORT_RECORD}
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 25_000_000


def test_a_batch_answers_like_its_photos_one_by_one() -> None:
    composer = load_composer(find_model(), "cpu")
    images = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]
    thumbnails = [image.resize(composer.thumbnail_size) for image in images]
    aspects = [image.width / image.height for image in images]
    for together, thumbnail, aspect in zip(composer.compose(thumbnails, aspects), thumbnails, aspects, strict=True):
        (alone,) = composer.compose([thumbnail], [aspect])
        assert isinstance(together, Composition) and isinstance(alone, Composition)
        for kind in ShotType:
            assert together[kind].caption == alone[kind].caption
            assert tuple(together[kind].box) == pytest.approx(tuple(alone[kind].box), abs=1e-3)


@pytest.fixture(scope="module")
def composer() -> Composer:
    return load_composer(find_model(), "cpu")


def ask(composer: Composer, drawn: Drawn) -> Answer:
    image = drawn.image
    (answer,) = composer.compose([image.resize(composer.thumbnail_size)], [image.width / image.height])
    return answer


def triple_of(composer: Composer, drawn: Drawn) -> Composition:
    answer = ask(composer, drawn)
    assert isinstance(answer, Composition), "nobody was seen"
    return answer


def holds(box: Box, face: Box) -> bool:
    """Return whether the middle of a face is inside a box."""
    x, y = face.centre
    return box.x0 < x < box.x1 and box.y0 < y < box.y1


@pytest.mark.parametrize("draw", [*PEOPLED.values(), *EMPTY.values()], ids=[*PEOPLED, *EMPTY])
def test_any_photo_gets_nested_boxes_that_shrink_or_none_at_all(composer: Composer, draw: Callable[[], Drawn]) -> None:
    answer = ask(composer, draw())
    if isinstance(answer, NoSubject):
        return
    assert isinstance(answer, Composition)
    wide, medium, tight_one = (shot.box for shot in answer.shots)  # a `Box` is always inside the frame
    assert wide.area > medium.area > tight_one.area
    assert min(ioa(medium, wide), ioa(tight_one, medium)) >= NESTED
    assert all(shot.score is not None and 0.0 <= shot.score <= 1.0 for shot in answer.shots)
    assert all(shot.caption for shot in answer.shots)


def test_nearly_all_drawn_photos_without_people_give_no_subject(composer: Composer) -> None:
    """Drawn photos are no photos, so a model may be wrong about one of them."""
    taken_for_people = [name for name, draw in EMPTY.items() if not isinstance(ask(composer, draw()), NoSubject)]
    assert len(taken_for_people) <= 1, taken_for_people


@pytest.mark.parametrize("name", ["black", "white", "dusk", "hills"])
def test_plain_photos_without_people_give_no_subject(composer: Composer, name: str) -> None:
    assert isinstance(ask(composer, EMPTY[name]()), NoSubject)


def test_the_sidecar_of_a_photo_without_people_has_no_shots_or_captions(tmp_path: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "shots"
    photos.mkdir()
    EMPTY["hills"]().image.save(photos / "hills.jpg")
    command = [sys.executable, "-m", "shotcrop_cli", "crop", str(photos), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "0 done, 0 unchanged, 1 without people, 0 failed" in done.stderr
    assert [name for name in names_in(output) if not name.startswith(".")] == ["hills.jpg.json"]
    sidecar = json.loads((output / "hills.jpg.json").read_text("utf-8"))
    assert (sidecar["status"], sidecar["shots"], set(sidecar["reasoning"].values())) == ("no_subject", [], {""})


@pytest.mark.parametrize("name", [name for name in PEOPLED if "far away" in name])
def test_a_person_with_a_head_of_a_twentieth_is_found(composer: Composer, name: str) -> None:
    drawn = PEOPLED[name]()
    (face,) = drawn.faces
    assert 0.03 < face.height < 0.09
    assert all(holds(shot.box, face) for shot in triple_of(composer, drawn).shots)


FACELESS = sorted(name for name in PEOPLED if "behind" in name)


@pytest.mark.parametrize("name", FACELESS)
def test_a_head_without_a_face_stays_in_all_shots(composer: Composer, name: str) -> None:
    drawn = PEOPLED[name]()
    (face,) = drawn.faces
    answer = ask(composer, drawn)
    assert isinstance(answer, NoSubject) or all(holds(shot.box, face) for shot in answer.shots)


def test_most_people_without_a_face_are_seen(composer: Composer) -> None:
    """One of these six may be taken for a photo without people: the coloured disc is hardly a visor."""
    unseen = [name for name in FACELESS if isinstance(ask(composer, PEOPLED[name]()), NoSubject)]
    assert len(unseen) <= 1, unseen


@pytest.mark.parametrize("name", ["two", "two others", "three"])
def test_group_photo_shots_keep_the_faces(composer: Composer, name: str) -> None:
    drawn = PEOPLED[name]()
    triple = triple_of(composer, drawn)
    assert all(holds(triple[ShotType.ESTABLISHING].box, face) for face in drawn.faces)
    assert any(holds(triple[ShotType.MEDIUM].box, face) for face in drawn.faces)


@pytest.mark.parametrize("name", [name for name in PEOPLED if "tight" in name])
def test_a_tight_portrait_is_hardly_tightened(composer: Composer, name: str) -> None:
    triple = triple_of(composer, PEOPLED[name]())
    assert triple[ShotType.MEDIUM].box.area > 0.7
    assert triple[ShotType.CLOSE_UP].box.area > 0.3


def test_a_run_sends_nothing_and_leaves_only_its_output(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "shotcrop_cli", "crop", str(PHOTOS), "-o", str(tmp_path / "shots"), "--limit", "1"]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "shots"]
    assert list((tmp_path / "home").iterdir()) == []
