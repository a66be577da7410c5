"""The example of docs/training.md that goes from photos through Label Studio to crops by a model of one's own.

The commands are those of the page. The model is a tiny random one, which learns the three photos by heart, so that its
crops show whether the corrections arrived. Label Studio's export is made from the tasks, in the form of a real one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from documented_commands import DOCS, Tiny, commands, environment, run, tiny_of
from shotcrop_cli.geometry import iou
from shotcrop_cli.shots import Box
from vlm import save_tiny_vlm

PHOTOS = DOCS.parent / "examples" / "photos"
REAL_EXPORT = Path(__file__).parent / "data" / "label_studio_1.23.json"
SKIPPED, LEARNED = "camera.jpg", ("astronaut.jpg", "commodore.jpg")
CORRECTED = (10.0, 0.0, 80.0, 85.0)
"""Left, upper edge, width and height of every corrected medium shot, in percent."""
CAPTION = "Somebody, corrected by hand"
BY_HEART = (
    *("--steps 200", "--set optimisation.batch_size=2", "--set model.micro_batch=2", "--set model.max_pixels=0"),
    *("--set model.lora_rank=0", "--set optimisation.learning_rate=5e-3", "--set model.gradient_checkpointing=false"),
    *(f"--set augmentation.{name}=0.0" for name in ("flip", "crop", "colour", "gray")),
    *("--set schedule.evaluate_every=1000", "--set schedule.save_every=1000"),
)
FORMS = (
    Tiny("-o shots$", says="3 done"),
    Tiny("--label-studio tasks.json", says="9 boxes of 3 photos"),
    Tiny("--label-studio export.json"),
    Tiny("check-data MINE/train", says="the model learns to reason from it"),
    Tiny("--gpu 24", says="fits a GPU with 24 GB"),
    Tiny("-o runs/mine", BY_HEART),
    Tiny("export-onnx runs/mine/final", ["--limit 2"], says="tokens equal"),
    Tiny("-o my-shots"),
)


def exported(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what Label Studio exports when somebody corrected the medium shots and skipped a photo."""
    annotated, skipped, _ = json.loads(REAL_EXPORT.read_text("utf-8"))
    made = []
    for number, task in enumerate(tasks, start=1):
        form = skipped if task["data"]["name"] == SKIPPED else annotated
        (annotation,) = form["annotations"]
        result = [] if form is skipped else [_corrected(region) for region in task["predictions"][0]["result"]]
        made.append(
            {**form, "data": task["data"], "predictions": [number], "annotations": [{**annotation, "result": result}]}
        )
    return made


def _corrected(region: dict[str, Any]) -> dict[str, Any]:
    if region["id"] != "medium":
        return region
    value = region["value"] | dict(zip(("x", "y", "width", "height"), CORRECTED, strict=True))
    return {**region, "value": value | ({"text": [CAPTION]} if region["type"] == "textarea" else {})}


@pytest.mark.slow
def test_corrections_in_label_studio_become_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(PHOTOS, tmp_path / "photos")
    save_tiny_vlm(tmp_path / "models" / "qwen3-vl-4b")
    env = environment(tmp_path)
    documented = commands(DOCS / "training.md", "From Label Studio to crops")
    assert len(documented) == len(FORMS)
    for command in documented:
        form = tiny_of(command, FORMS)
        assert form is not None, command
        done = run(form.form(command), tmp_path, env)
        if "-o my-shots" not in command:  # the skipped photo may fail there: the model has not learned it
            assert done.code == form.code and form.says in done.text, f"{command}\n{done.text[-3000:]}"
        if "tasks.json" in command:
            tasks = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
            (tmp_path / "export.json").write_text(json.dumps(exported(tasks)), "utf-8")
    x, y, width, height = (side / 100 for side in CORRECTED)
    for name in LEARNED:
        shots = json.loads((tmp_path / "my-shots" / f"{name}.json").read_text("utf-8"))["shots"]
        (medium,) = (shot for shot in shots if shot["shot"] == "medium")
        assert iou(Box(*medium["box_norm"]), Box(x, y, x + width, y + height)) > 0.95
        assert medium["caption"] == CAPTION
