"""`train push`, and the way back through a stand-in of the hub's HTTP interface."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import hub_stand_in
import vlm
from conftest import write_photo
from hub_stand_in import TOKEN, Hub
from shotcrop_cli.errors import ModelError, OutputError
from shotcrop_train import sft
from shotcrop_train.recipe import DataRecipe, ModelRecipe, Optimisation, Schedule, SftRecipe, Tracking
from shotcrop_train.runs import provenance
from shotcrop_train.runs.model_repository import write_repository
from training import NO_AUGMENTATION, write_dataset

TESTS = Path(vlm.__file__).parent
NANO = TESTS.parent / "src" / "shotcrop_cli" / "weights" / "shotcrop-nano"
RECIPE = SftRecipe(
    data=DataRecipe(experts=("experts",), shares={"expert": 1.0}),
    optimisation=Optimisation(steps=1, batch_size=2, learning_rate=1e-2, warmup_steps=0),
    augmentation=NO_AUGMENTATION,
    schedule=Schedule(log_every=1, evaluate_every=1, save_every=9),
    model=ModelRecipe(max_pixels=0, lora_rank=4),
    tracking=Tracking(project="secret project"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of stage 1, whose base has a card."""
    root = tmp_path_factory.mktemp("run")
    write_dataset(root / "experts", 24, "experts")
    start = vlm.save_tiny_vlm(root / "start")
    (start / "README.md").write_text("---\nlicense: mit\n---\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "validate", lambda *_: {"held_iou": 0.625, "held_acc@0.5": 0.5})
        provenance.finish(root / "run", sft.train(RECIPE, root, root / "run", start))
    return root / "run"


def shotcrop(hub: Hub, home: Path, *arguments: object, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """Run shotcrop as a user of this hub does."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
    }
    if not token:
        del environment["HF_TOKEN"]
    # The tests' own module registers the processor of tiny models, if this process loads transformers at all.
    code = "import sys\nif 'export-onnx' in sys.argv: import vlm\nfrom shotcrop_cli.main import main\nmain()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_repository_is_complete_and_names_nothing_of_this_machine(run: Path, tmp_path: Path) -> None:
    folder = write_repository(run, "org/mine", tmp_path / "repo")
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "training.json", "model.safetensors", "config.json", "tokenizer.json"} <= names
    assert {"chat_template.jinja", "processor_config.json"} <= names and "training_args.bin" not in names
    card = (folder / "README.md").read_text("utf-8")
    for part in (
        "license: mit",
        "# mine",
        "stage `sft`",
        "experts: 24 rows",
        "| iou | 0.625 |",
        "export-onnx org/mine",
    ):
        assert part in card, part
    facts = json.loads((folder / "training.json").read_text("utf-8"))
    assert facts["recipe"]["optimisation"]["steps"] == 1 and facts["datasets"]["experts"]["rows"] == 24
    for file in ("README.md", "training.json", "config.json"):
        text = (folder / file).read_text("utf-8")
        assert str(run.parent) not in text and "secret project" not in text, file


def test_what_cannot_be_published_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no finished run"):
        write_repository(tmp_path, "org/mine", tmp_path / "repo")
    with pytest.raises(OutputError, match="not empty"):
        write_repository(run, "org/mine", run.parent / "start")
    provenance.record(tmp_path / "labels", stage="pseudo-label", recipe={}, datasets=[])
    provenance.finish(tmp_path / "labels", tmp_path / "labels")
    with pytest.raises(ModelError, match="holds no weights"):
        write_repository(tmp_path / "labels", "org/mine", tmp_path / "repo")


def test_an_adapter_names_its_base_on_the_hub_and_one_of_a_folder_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "validate", lambda *_: {"held_iou": 0.5})
    recipe = replace(RECIPE, model=replace(RECIPE.model, keep_adapter=True))
    kept = tmp_path / "kept"
    provenance.finish(kept, sft.train(recipe, run.parent, kept, run.parent / "start"))
    with pytest.raises(ModelError, match="a folder of this machine"):
        write_repository(kept, "org/mine", tmp_path / "refused")
    facts = json.loads((kept / "run.json").read_text("utf-8"))
    (kept / "run.json").write_text(json.dumps(facts | {"start": {"name": "Qwen/Base", "sha256": None}}), "utf-8")
    folder = write_repository(kept, "org/mine", tmp_path / "repo", licence="apache-2.0")
    assert json.loads((folder / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"] == "Qwen/Base"
    card = (folder / "README.md").read_text("utf-8")
    assert "base_model: Qwen/Base" in card and "library_name: peft" in card and "license: apache-2.0" in card


def test_a_large_model_reaches_the_hub_whole(run: Path, tmp_path: Path) -> None:
    with hub_stand_in.running() as hub:
        pushed = shotcrop(
            hub, tmp_path / "home", "train", "push", run, "org/tiny", "--folder", tmp_path / "r", "--private"
        )
        assert pushed.returncode == 0, pushed.stderr
        assert pushed.stdout.strip().endswith("org/tiny") and "models/org/tiny" in hub.private
        (files,) = hub.revisions["models/org/tiny"]
        assert files["model.safetensors"] == (run / "final" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_large_model_of_the_hub_is_exported_and_crops(run: Path, tmp_path: Path) -> None:
    photos = [write_photo(tmp_path / "photos" / f"{number}.jpg") for number in range(2)]
    with hub_stand_in.running() as hub:
        home, model = tmp_path / "home", tmp_path / "model"
        pushed = shotcrop(hub, home, "train", "push", run, "org/tiny", "--folder", tmp_path / "repo")
        assert pushed.returncode == 0, pushed.stderr
        hub.tags["models/org/tiny", "v1"] = 0
        hub.revisions["models/org/tiny"].append({})
        export = "export-onnx", "org/tiny@v1", model, "--photos", photos[0].parent, "--limit", "1"
        exported = shotcrop(hub, home, *export, "--answer-tokens", "16")
        assert exported.returncode == 0, exported.stderr
        assert (model / "model.json").is_file()
    cropped = shotcrop(hub, home, "crop", photos[0].parent, "-o", tmp_path / "shots", "--model", model, "--json")
    # A random model answers nothing that can be read, so each photo fails alone.
    assert cropped.returncode == 1, cropped.stderr
    lines = [json.loads(line) for line in cropped.stdout.splitlines()]
    assert [line["status"] for line in lines] == ["failed"] * 2, lines


def test_an_exported_model_is_taken_from_the_hub_by_crop_at_a_revision(tmp_path: Path) -> None:
    exported = tmp_path / "export"
    provenance.record(exported, stage="export", recipe={}, datasets=[])
    shutil.copytree(NANO, exported / "model")
    provenance.finish(exported, exported / "model")
    write_photo(tmp_path / "photos" / "a.jpg")
    with hub_stand_in.running() as hub:
        home = tmp_path / "home"
        unknown = shotcrop(hub, home, "train", "push", exported, "org/nano", token="")
        assert unknown.returncode == 0 and "not logged in" in unknown.stderr and "hf upload" in unknown.stderr
        assert hub.revisions == {}
        assert "shotcrop crop photos -o shots --model org/nano" in (exported / "nano" / "README.md").read_text("utf-8")
        shutil.rmtree(exported / "nano")
        pushed = shotcrop(hub, home, "train", "push", exported, "org/nano", "--licence", "apache-2.0")
        assert pushed.returncode == 0, pushed.stderr
        hub.tags[("models/org/nano", "v1")] = 0
        hub.revisions["models/org/nano"].append({})
        crop = "crop", tmp_path / "photos", "-o", tmp_path / "shots", "--model", "org/nano@v1"
        cropped = shotcrop(hub, home, *crop)
        assert cropped.returncode == 0, cropped.stderr
        assert (tmp_path / "shots" / "a.jpg.json").is_file()
