"""Model folders of format shotcrop-nano/2 with real graphs: every command takes them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from benchmarks.speed import compose_parts
from conftest import picture, write_photo
from shotcrop_cli import Cropper
from shotcrop_cli.errors import ExitCode, ModelError
from shotcrop_cli.main import cli
from shotcrop_cli.model.load import find_model, load_composer
from shotcrop_cli.model.nano.composer import NanoComposer
from shotcrop_cli.model.nano.manifest import COMPOSER
from shotcrop_cli.shots import Composition
from shotcrop_cli.sidecar import SCHEMA_PATH, read
from tiny_nano import BODY, HEAD, write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [*map(str, arguments), "--device", "cpu"])
    assert result.exit_code == ExitCode.OK, result.output
    return result


def test_the_loader_chooses_the_class_by_the_format(model: Path) -> None:
    composer = load_composer(find_model(str(model)), "cpu", threads=1)
    assert isinstance(composer, NanoComposer)
    assert composer.identity.id == "tiny" and composer.identity.provider == "CPUExecutionProvider"
    answers = composer.compose([Image.new("RGB", (64, 64))] * 6, [1.5] * 6)
    assert all(isinstance(answer, Composition) and answer == answers[0] for answer in answers)


def test_crop_records_everybody(model: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    run("crop", tmp_path / "photos", "-o", tmp_path / "shots", "--model", model)
    record = read(tmp_path / "shots" / "a.jpg.json")
    (person,) = record.people
    assert person.body is not None and tuple(person.body) == pytest.approx(BODY, abs=1e-4)
    assert record.main_person.head is not None and tuple(record.main_person.head) == pytest.approx(HEAD, abs=1e-4)
    assert [shot.model_box for shot in record.shots] == [shot.box for shot in person.shots]
    assert record.reasoning.subject and all(shot.caption for shot in record.shots)


def test_people_stay_when_boxes_are_edited_by_hand_and_shots_are_cropped_again(model: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    sidecar, options = tmp_path / "shots" / "a.jpg.json", ("-o", tmp_path / "shots", "--model", model)
    run("crop", tmp_path / "photos", *options)
    people = read(sidecar).people
    document = json.loads(sidecar.read_text("utf-8"))
    by_hand = {"x": 10, "y": 12, "width": 60, "height": 40}
    document["shots"][1] |= {"box": by_hand, "edited": True}
    sidecar.write_text(json.dumps(document), "utf-8")
    assert CliRunner().invoke(cli, ["apply", str(sidecar)]).exit_code == ExitCode.OK
    run("crop", tmp_path / "photos", *options, "--quality", 80, "--aspect", "close_up=1:1", "--replace")
    document = json.loads(sidecar.read_text("utf-8"))
    jsonschema.validate(document, json.loads(SCHEMA_PATH.read_text("utf-8")))
    assert document["shots"][1]["box"] == by_hand and document["shots"][1]["edited"] is True
    assert document["settings"]["quality"] == 80 and read(sidecar).people == people and len(people) == 1
    with Image.open(tmp_path / "shots" / document["shots"][1]["file"]) as crop:
        assert crop.size == (60, 40)


def test_a_sidecar_of_an_earlier_version_is_valid_and_keeps_its_edits(model: Path, tmp_path: Path) -> None:
    """It holds no people; only a photo whose crops are due again gets them."""
    write_photo(tmp_path / "photos" / "a.jpg")
    sidecar, options = tmp_path / "shots" / "a.jpg.json", ("-o", tmp_path / "shots", "--model", model)
    run("crop", tmp_path / "photos", *options)
    document = json.loads(sidecar.read_text("utf-8"))
    del document["people"]
    document["model"] = {"id": "older", "sha256": "ab" * 32, "provider": "CPUExecutionProvider"}
    document["shots"][1]["edited"] = True
    jsonschema.validate(document, json.loads(SCHEMA_PATH.read_text("utf-8")))
    sidecar.write_text(json.dumps(document), "utf-8")
    edited = document["shots"][1]["box"]
    run("crop", tmp_path / "photos", *options, "--quality", 80)
    assert read(sidecar).shots[1].edited and json.loads(sidecar.read_text("utf-8"))["shots"][1]["box"] == edited
    run("crop", tmp_path / "photos", *options, "--overwrite", "--overwrite-edited")
    assert len(read(sidecar).people) == 1


def test_python_gets_everybody_with_crops(model: Path) -> None:
    (person,) = Cropper(model, device="cpu").crop(picture(300, 200)).people
    assert person.probability == pytest.approx(0.74)
    assert person.crops[1].image.size == (person.crops[1].box.width, person.crops[1].box.height)


def test_warmup_and_doctor_take_the_folder(model: Path) -> None:
    assert "photos/s" in run("warmup", "--model", model).output
    assert "unaltered" in run("doctor", "--model", model).output


def test_eval_scores_the_folder(model: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    shots = {
        name: {"box": box, "caption": "A person."}
        for name, box in {
            "establishing": [0, 50, 1000, 950],
            "medium": [200, 100, 800, 800],
            "close_up": [300, 150, 700, 500],
        }.items()
    }
    with Image.open(tmp_path / "a.jpg") as photo:
        width, height = photo.size
    row = {"file_name": "a.jpg", "width": width, "height": height, "annotation": {"people": 1, "shots": shots}}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row), "utf-8")
    result = run("eval", tmp_path, "--model", model, "--json")
    metrics = json.loads(result.stdout)["metrics"]
    (wide,) = (one["value"] for one in metrics if (one["name"], one["shot"]) == ("iou", "establishing"))
    assert wide > 0.9


def test_the_benchmark_measures_every_part(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_parts, "ROUNDS", 1)
    composer = load_composer(find_model(str(model)), "cpu", threads=1)
    assert isinstance(composer, NanoComposer)
    milliseconds, people = compose_parts.measure(composer, [picture(60, 40)] * 20)
    assert people == 20
    total = milliseconds.pop("all")
    assert all(value >= 0 for value in milliseconds.values()) and len(milliseconds) == 5
    assert sum(milliseconds.values()) == pytest.approx(total)


def test_a_graph_that_cannot_be_loaded_is_an_error_of_the_model(model: Path, tmp_path: Path) -> None:
    broken = write_tiny_model(tmp_path)
    bundle = find_model(str(broken))
    (broken / COMPOSER).write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"composer\.onnx cannot be loaded"):
        load_composer(bundle, "cpu")
