from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from shotcrop_cli.geometry import ioa
from shotcrop_cli.model.bundle import read_bundle
from shotcrop_cli.model.composer import find_model, load_composer
from shotcrop_cli.model.resolve import resolve_model
from shotcrop_cli.shots import SHOT_TYPES, Box, Composition, ShotType
from shotcrop_cli.sidecar import SCHEMA_PATH

PHOTOS = Path(__file__).parent.parent / "examples" / "photos"
FACES = {
    "astronaut.jpg": Box(0.37, 0.17, 0.52, 0.36),
    "camera.jpg": Box(0.36, 0.24, 0.50, 0.37),
    "commodore.jpg": Box(0.36, 0.24, 0.66, 0.51),
}
"""The faces in the example photos, brow to chin, measured by eye."""


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
    assert "3 done, 0 unchanged, 0 no subject, 0 failed" in done.stderr
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


@pytest.mark.parametrize("name", sorted(FACES))
def test_no_example_is_beheaded(shots: Path, name: str) -> None:
    sidecar = json.loads((shots / f"{name}.json").read_text("utf-8"))
    boxes = {shot["shot"]: Box(*shot["box_norm"]) for shot in sidecar["shots"]}
    for box in boxes.values():
        assert ioa(FACES[name], box) > 0.97
    assert boxes["establishing"].area > boxes["medium"].area > boxes["close_up"].area


def test_the_embedded_model_is_whole_and_at_most_40_megabytes() -> None:
    folder = resolve_model(None)
    read_bundle(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 40_000_000


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


def test_a_run_tells_nobody_and_leaves_nothing_but_what_it_was_asked_for(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "shotcrop_cli", "crop", str(PHOTOS), "-o", str(tmp_path / "shots"), "--limit", "1"]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "shots"]
    assert list((tmp_path / "home").iterdir()) == []
