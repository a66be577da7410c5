"""Each command of docs/training.md and docs/annotating.md runs in a tiny form, in the order of the page.

The tiny form is the documented command with a few parts replaced and options added: random models, drawn photos, one
step. Names of folders stay, so that a command finds what those before it made.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from accelerate.commands.launch import launch_command_parser
from accelerate.utils.other import get_free_port
from click.testing import CliRunner
from torch.distributed.run import get_args_parser as distributed_parser

from documented_commands import DOCS, Tiny, commands, environment, read, run, tiny_of
from nano_recipes import RECIPE
from shotcrop_cli.main import cli
from shotcrop_train.composer.nano_recipe import is_nano, load_nano_recipe
from shotcrop_train.grpo import GrpoRecipe
from shotcrop_train.pipeline import load_pipeline, with_changes
from shotcrop_train.pseudo_label import PseudoLabelRecipe
from shotcrop_train.recipe import SftRecipe, load_recipe
from shotcrop_train.ssft import SsftRecipe
from training import vary_experts, write_dataset
from vlm import save_tiny_vlm

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = DOCS.parent
PORT = str(get_free_port())


def _settings(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield `--set KEY=VALUE` for each value of a recipe."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"--set {prefix}{name}={json.dumps(value, separators=(',', ':'))}"


def _nano() -> list[str]:
    """Return the small networks and few steps of the tests' recipe; the shipped one names the datasets."""
    recipe = tomllib.loads(RECIPE)
    recipe["detector"]["optimisation"]["processes"] = 1
    del recipe["family"], recipe["data"], recipe["detector"]["data"]["photos"], recipe["detector"]["data"]["empty"]
    return list(_settings(recipe))


NANO = _nano()
SMALL = ["--set model.max_pixels=0"]
SFT = ["--steps 1", "--set optimisation.batch_size=2", "--set model.micro_batch=1", *SMALL]
GRPO = ["--steps 1", *SMALL, *(f"--set optimisation.{key}" for key in ("photos=1", "group=2", "batch_size=2"))]
GRPO += ["--set optimisation.max_tokens=12", "--set reward.aesthetic=composition"]
CINEMA = [*GRPO, "--set reward.captions=words"]
LABELS = ["--limit 4", "--set criteria='[\"composition\"]'", "--set rule.accept=0.0", "--set rule.hard=0.0"]
WITHOUT_VLLM = {"engine=vllm": "engine=transformers"}
EIGHT = {"--num_processes 8 --mixed_precision bf16": "--num_processes 2 --multi_gpu --main_process_port 0"}
TWO = {"--num_processes 16": "--num_processes 2", "--mixed_precision bf16": "--multi_gpu", "10.0.0.1": "127.0.0.1"}
"""Without GPUs, `--multi_gpu` starts processes on the CPU."""
TRACKED = "tensorboard"
"""The tracker that the tests have."""

TRAINING = (
    Tiny("train-nano", instead={"make": f"make -f '{ROOT}/Makefile' VENV_TEST=venv"}),
    Tiny("-o shots --model runs/nano"),
    Tiny("eval DATA/dev --model"),
    Tiny("eval DATA/dev --checkpoint"),
    Tiny("-o runs/detector", NANO),
    Tiny("-o runs/sft", NANO),
    Tiny("-o runs/labels", NANO),
    Tiny("-o runs/ssft", NANO),
    Tiny("-o runs/grpo", NANO),
    Tiny("export-onnx runs/grpo model"),
    Tiny("quality.ablation", ["--config nano.toml", "--folds 2", "--variants geometry"], {"--seeds 3": "--seeds 1"}),
    Tiny("-o runs/local", SFT),
    Tiny("-o runs/hub", SFT, {"ORG/NAME@v1": "DATA"}),
    Tiny("-o runs/streamed", SFT, {"ORG/NAME@v1": "DATA"}),
    Tiny("-o runs/qwen/sft", [*SFT, "--set schedule.evaluate_every=1"]),
    Tiny("-o runs/qwen/labels", LABELS),
    Tiny("-o runs/qwen/ssft", SFT),
    Tiny("-o runs/qwen/grpo", GRPO),
    Tiny("-o shots$"),
    Tiny("--label-studio tasks.json"),
    Tiny("-o MINE/train", instead={"export.json": "tasks.json"}),  # as if every proposal was right
    Tiny("check-data MINE/train"),
    Tiny("--gpu 24", says="fits a GPU with 24 GB"),
    Tiny("-o runs/mine", SFT),
    Tiny("export-onnx runs/mine/final"),
    Tiny("-o my-shots", code=1),  # a random model writes no answers
    Tiny("-o runs/base", SFT),
    Tiny("train merge"),
    Tiny("-o runs/eight", SFT, EIGHT),
    Tiny("-o /shared", SFT, {"-o /": "-o ", "29500": PORT, **TWO}, beside={"--machine_rank 0": "--machine_rank 1"}),
    Tiny("accelerate-config fsdp2"),
    Tiny("-o runs/sharded", SFT, {"--num_processes 4": "--num_processes 2 --main_process_port 0"}),
    Tiny("-o runs/vllm ", CINEMA, WITHOUT_VLLM),
    Tiny("-o runs/vllm-server", CINEMA, WITHOUT_VLLM),
    Tiny("-o runs/vllm-two", CINEMA, WITHOUT_VLLM),
    Tiny("--gpu h100", says="fits h100"),
    Tiny("-o runs/rate", SFT, {"$rate": "1e-4"}),
    Tiny("-o runs/nano-slow", NANO),
    Tiny("-o runs/first-try", SFT, {"wandb": TRACKED}),
    Tiny("-o runs/tracked", CINEMA, {"--report-to mlflow": f"--report-to {TRACKED}"}),
    Tiny("train push"),
    Tiny("export-onnx ORG/NAME", instead={"ORG/NAME@v1": "runs/qwen/grpo/NAME"}),
    Tiny("--model ORG/NAME@v1", instead={"ORG/NAME@v1": "./large-model"}, code=1),
)

ANNOTATING = (
    Tiny("check-data DATASET"),
    Tiny("--label-studio export.json", instead={"-o DATASET": "-o labelled"}),
    Tiny("--answers answers.jsonl", instead={"-o DATASET": "-o answered"}),
    Tiny("--from-shots OUT", ["--reviewed"], {"-o DATASET": "-o reviewed"}),
)
FORMS = {"training": TRAINING, "annotating": ANNOTATING}


@pytest.mark.parametrize("page", FORMS)
def test_each_documented_command_has_one_tiny_form(page: str) -> None:
    documented, forms = commands(DOCS / f"{page}.md"), FORMS[page]
    assert documented
    assert [command for command in documented if tiny_of(command, forms) is None] == []
    assert [form.part for form in forms if not any(re.search(form.part, command) for command in documented)] == []


def _all_lines() -> Iterator[Any]:
    """Yield each documented command, and its tiny form."""
    for page, forms in FORMS.items():
        for command in commands(DOCS / f"{page}.md"):
            yield pytest.param(command, id=f"{page}: {command}")
            if (form := tiny_of(command, forms)) is not None:
                yield pytest.param(form.form(command), id=f"{page}, tiny: {command}")


@pytest.mark.parametrize("command", list(_all_lines()))
def test_each_command_has_options_and_settings_that_exist(command: str) -> None:
    _, words, _ = read(command.partition(" & ")[0].replace("$rate", "1e-4"))
    if words[:2] == ["accelerate", "launch"]:
        words = _launched(launch_command_parser(), words[2:])
    elif words[:3] == ["python", "-m", "torch.distributed.run"]:
        words = _launched(distributed_parser(), words[3:])
    if words[0] == "shotcrop":
        _check_settings(*_parsed(words[1:]))
    elif words[0] == "python":
        assert find_spec(words[2]) is not None
    else:
        assert words[0] == "make"


def _launched(parser: Any, words: list[str]) -> list[str]:
    """Return the command of ours that a launcher starts as a module."""
    given = parser.parse_args(words)
    assert given.module and given.training_script == "shotcrop_cli"
    return ["shotcrop", *given.training_script_args]


def _parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the name of the command and its options."""
    context = click.Context(cli, info_name="shotcrop")
    while isinstance(group := context.command, click.Group):
        name, *words = words
        command = group.get_command(context, name)
        assert command is not None, f"there is no command {name}"
        context = click.Context(command, info_name=name, parent=context)
    given, left, _ = context.command.make_parser(context).parse_args(words)
    assert left == []
    return str(context.info_name), given


RECIPES_OF = {"sft": SftRecipe, "pseudo-label": PseudoLabelRecipe, "ssft": SsftRecipe, "grpo": GrpoRecipe}


def _check_settings(command: str, options: Mapping[str, Any]) -> None:
    """Read the recipe of a stage with the changes of `--set`; what does not exist is an error."""
    recipe, changes = options.get("recipe_name"), options.get("changes", ())
    if recipe is None:
        return
    if command == "run":
        with_changes(load_pipeline(recipe), changes)
    elif is_nano(recipe):
        load_nano_recipe(recipe, changes)
    else:
        load_recipe(recipe, RECIPES_OF.get(command, SftRecipe), changes)


def _prepare_training(folder: Path) -> None:
    """Write datasets, photos, tiny random models, and what `make` needs in place of an environment."""
    for name, photos, kind, seed in DATASETS:
        write_dataset(folder / "DATA" / name, photos, kind, seed)
    vary_experts(folder / "DATA" / "train")
    for name in ("qwen3-vl-4b", "BASE"):
        save_tiny_vlm(folder / "models" / name)
    shutil.copytree(ROOT / "examples" / "photos", folder / "photos")
    shipped = load_nano_recipe("nano").data
    names = {"experts": shipped.experts, "proposals": shipped.unlabelled, "empty": shipped.empty}
    recipe = RECIPE
    for tests, ours in names.items():
        recipe = recipe.replace(json.dumps(tests), json.dumps(ours[0]))
    (folder / "nano.toml").write_text(recipe, "utf-8")
    for name in ("pyproject.toml", "tests/constraints.txt", "venv/ready-to-test"):  # in the order of their age
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    program = folder / "venv" / "bin" / "shotcrop"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec python -m shotcrop_cli "$@" {" ".join(NANO)}\n', "utf-8")
    program.chmod(0o755)


DATASETS = (
    ("train", 24, "experts", 0),
    ("unlabelled", 6, "proposals", 0),
    ("no_person/train", 12, "empty", 0),
    ("dev", 6, "experts", 1),
    ("no_person/dev", 4, "empty", 1),
)


def _prepare_annotating(folder: Path) -> None:
    """Write a dataset, photos with crops, an export of Label Studio, and answers of a model."""
    write_dataset(folder / "DATASET", 4, "experts")
    photos = shutil.copytree(ROOT / "examples" / "photos", folder / "PHOTOS")
    for words in (["crop", "PHOTOS", "-o", "OUT"], ["export", "OUT", "--label-studio", "export.json"]):
        assert CliRunner().invoke(cli, words).exit_code == 0
    boxes = {"establishing": [0, 20, 1000, 960], "medium": [100, 100, 800, 800], "close_up": [300, 100, 600, 500]}
    answer = " ".join(f"<{shot}><bbox>{box}</bbox> The {shot}.</{shot}>" for shot, box in boxes.items())
    rows = [json.dumps({"file_name": path.name, "answer": answer}) + "\n" for path in photos.glob("*.jpg")]
    (folder / "answers.jsonl").write_text("".join(rows), "utf-8")


PREPARE = {"training": _prepare_training, "annotating": _prepare_annotating}


@pytest.mark.slow
@pytest.mark.parametrize("page", FORMS)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    PREPARE[page](tmp_path)
    failed = []
    for command in commands(DOCS / f"{page}.md"):
        form = tiny_of(command, FORMS[page])
        assert form is not None, command
        done = run(form.form(command), tmp_path, env)
        if done.code != form.code or form.says not in done.text:
            failed.append(f"{command}\nended with {done.code} instead of {form.code}:\n{done.text[-3000:]}")
    assert not failed, "\n\n".join(failed)
