from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from conftest import FakeComposer, no_people, write_photo
from shotcrop_cli.errors import ExitCode
from shotcrop_cli.main import cli
from shotcrop_cli.shots import SHOT_TYPES

PAGE = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
pytestmark = pytest.mark.usefixtures("composer")


def run(*arguments: object, code: ExitCode = ExitCode.OK) -> Result:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def edit(sidecar: Path, change: dict[str, object], shot: int) -> None:
    document = json.loads(sidecar.read_bytes())
    document["shots"][shot].update(change)
    sidecar.write_text(json.dumps(document), "utf-8")


@pytest.fixture
def shots(photos: Path, output: Path, composer: FakeComposer) -> Path:
    """Return an output folder with two photos of people, one of which has a rejected shot, and one without people."""
    write_photo(photos / "2026" / "à la mer #1.jpg")
    write_photo(photos / "b.jpg")
    run("crop", photos, "-o", output)
    composer.answer = no_people
    write_photo(photos / "empty.jpg")
    run("crop", photos, "-o", output)
    edit(output / "b.jpg.json", {"rejected": True}, shot=1)
    edit(output / "2026" / "à la mer #1.jpg.json", {"alt_text": "A man by the sea.", "edited": True}, shot=1)
    edit(output / "b.jpg.json", {"score": None, "edited": True}, shot=2)
    return output


def test_a_coco_file_has_what_the_format_asks_for(shots: Path, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    result = run("export", shots, "--coco", path)
    assert result.stdout == f"{path}\n"
    assert f"5 boxes of 3 photos in {path}" in result.stderr
    coco: dict[str, Any] = json.loads(path.read_bytes())
    assert set(coco) == {"info", "licenses", "categories", "images", "annotations"}
    assert coco["categories"] == [{"id": number, "name": str(shot)} for number, shot in enumerate(SHOT_TYPES, start=1)]
    images = {image["id"]: image for image in coco["images"]}
    assert [image["file_name"] for image in images.values()] == ["b.jpg", "empty.jpg", "2026/à la mer #1.jpg"]
    numbers = [annotation["id"] for annotation in coco["annotations"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [images[one["image_id"]]["file_name"] for one in coco["annotations"]] == [
        *["b.jpg"] * 2,
        *["2026/à la mer #1.jpg"] * 3,
    ]
    for annotation in coco["annotations"]:
        image = images[annotation["image_id"]]
        record = json.loads((shots / f"{image['file_name']}.json").read_bytes())
        assert (image["width"], image["height"]) == (record["source"]["width"], record["source"]["height"])
        shot = record["shots"][annotation["category_id"] - 1]
        x, y, width, height = annotation["bbox"]
        assert {"x": x, "y": y, "width": width, "height": height} == shot["box"]
        assert all(type(number) is int for number in annotation["bbox"])
        assert 0 <= x < x + width <= image["width"] and 0 <= y < y + height <= image["height"]
        assert annotation["area"] == width * height
        (polygon,) = annotation["segmentation"]
        assert (min(polygon[::2]), min(polygon[1::2])) == (x, y)
        assert (max(polygon[::2]), max(polygon[1::2])) == (x + width, y + height)
        assert annotation["iscrowd"] == 0
        assert annotation["caption"] == shot["caption"]
        assert annotation.get("alt_text") == shot.get("alt_text")
        assert annotation.get("score") == shot["score"]
        assert annotation["attributes"] == {"edited": shot["edited"]}


def test_label_studio_gets_tasks_with_predictions(shots: Path, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    run("export", shots, "--label-studio", path)
    tasks = json.loads(path.read_bytes())
    assert [task["data"]["name"] for task in tasks] == ["b.jpg", "empty.jpg", "2026/à la mer #1.jpg"]
    assert tasks[1]["predictions"] == []
    assert tasks[2]["data"]["photo"] == "/data/local-files/?d=2026/%C3%A0%20la%20mer%20%231.jpg"
    for task in (tasks[0], tasks[2]):
        name = task["data"]["name"]
        assert unquote(task["data"]["photo"]).endswith(f"?d={name}")
        record = json.loads((shots / f"{name}.json").read_bytes())
        width, height = record["source"]["width"], record["source"]["height"]
        wanted = {shot["shot"]: shot for shot in record["shots"] if not shot["rejected"]}
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == record["model"]["id"]
        assert prediction["score"] == min(shot["score"] for shot in wanted.values() if shot["score"] is not None)
        boxes = [region for region in prediction["result"] if region["type"] == "rectanglelabels"]
        texts = [region for region in prediction["result"] if region["type"] == "textarea"]
        assert [region["id"] for region in boxes] == [region["id"] for region in texts] == list(wanted)
        for region, text in zip(boxes, texts, strict=True):
            value, shot = region["value"], wanted[region["id"]]
            assert value["rectanglelabels"] == [shot["shot"]]
            assert text["value"]["text"] == [shot["caption"]]
            assert (region["original_width"], region["original_height"]) == (width, height)
            pixels = [value["x"] * width, value["y"] * height, value["width"] * width, value["height"] * height]
            assert [round(number / 100, 6) for number in pixels] == list(shot["box"].values())
            assert region.get("score") == shot["score"]


def test_the_labelling_interface_of_the_docs_has_the_names_of_the_tasks(shots: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```xml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    view = ElementTree.fromstring(block)
    tags = {tag.get("name"): tag for tag in view if tag.get("name")}
    run("export", shots, "--label-studio", tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_bytes())
    for task in tasks:
        for region in [region for prediction in task["predictions"] for region in prediction["result"]]:
            tag = tags[region["from_name"]]
            assert tag.tag.lower() == region["type"]
            assert tag.get("toName") == region["to_name"]
            assert str(tags[region["to_name"]].get("value")).removeprefix("$") in task["data"]
    labels = [label.get("value") for label in view.iter("Label")]
    assert labels == list(map(str, SHOT_TYPES))


def test_photos_may_be_on_a_web_server(shots: Path, tmp_path: Path) -> None:
    run("export", shots, "--label-studio", tmp_path / "t.json", "--image-url", "https://example.org/p/")
    tasks = json.loads((tmp_path / "t.json").read_bytes())
    assert tasks[0]["data"]["photo"] == "https://example.org/p/b.jpg"


def test_several_files_come_from_one_command(shots: Path, tmp_path: Path) -> None:
    (shots / "b.jpg.json").write_text("{", "utf-8")
    result = run(
        *("export", shots, "--manifest", tmp_path / "a.csv", "--coco", tmp_path / "b.json"),
        *("--label-studio", tmp_path / "c.json"),
        code=ExitCode.SOME_FAILED,
    )
    assert [Path(line).name for line in result.stdout.splitlines()] == ["a.csv", "b.json", "c.json"]
    assert result.stderr.count("not a sidecar") == 1
    assert len(json.loads((tmp_path / "b.json").read_bytes())["images"]) == 2


def test_files_without_any_box_are_valid(photos: Path, output: Path, composer: FakeComposer, tmp_path: Path) -> None:
    composer.answer = no_people
    write_photo(photos / "a.jpg")
    run("crop", photos, "-o", output)
    run("export", output, "--coco", tmp_path / "b.json", "--label-studio", tmp_path / "c.json")
    assert json.loads((tmp_path / "b.json").read_bytes())["annotations"] == []
    assert len(json.loads((tmp_path / "c.json").read_bytes())) == 1


@pytest.mark.parametrize(("name", "fix"), [("a.txt", "end with .json"), ("b.jpg.json", "such as boxes.json")])
def test_no_sidecar_is_replaced(name: str, fix: str, shots: Path) -> None:
    before = (shots / "b.jpg.json").read_bytes()
    for kind in ("--coco", "--label-studio"):
        assert fix in run("export", shots, kind, shots / name, code=ExitCode.USAGE).stderr
    assert (shots / "b.jpg.json").read_bytes() == before
