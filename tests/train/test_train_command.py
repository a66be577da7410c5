from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from shotcrop_cli.commands.train import train_command
from shotcrop_train import sft
from shotcrop_train.recipe import SftRecipe
from shotcrop_train.runs import provenance

COMMANDS = (
    *("sft", "pseudo-label", "ssft", "grpo", "detector", "run"),
    *("plan", "merge", "push", "accelerate-config", "check-data", "import-data"),
)


def test_every_stage_of_the_method_has_its_command() -> None:
    assert set(train_command.commands) == set(COMMANDS)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (
            "sft",
            (
                "--config",
                "--data",
                "--output",
                "--from",
                "--crossfit",
                "--steps",
                "--set",
                "--merge-adapter",
                "--offline",
            ),
        ),
        ("pseudo-label", ("--config", "--data", "--output", "--proposer", "--limit", "--set", "--offline")),
        ("ssft", ("--config", "--data", "--pseudo", "--output", "--from", "--steps", "--set", "--offline")),
        ("grpo", ("--config", "--data", "--output", "--from", "--hard", "--steps", "--set", "--offline")),
        ("detector", ("--config", "--data", "--output", "--start", "--fold", "--steps", "--set")),
        ("run", ("--config", "--data", "--output", "--start", "--set", "--offline")),
        ("plan", ("--config", "--from", "--gpu", "--gpus", "--shards", "--steps", "--set", "--offline")),
        ("merge", ("RUN", "OUTPUT", "--best", "--dtype", "--offline")),
        ("push", ("RUN", "ORG/NAME", "--best", "--licence", "--folder", "--private", "--no-upload")),
        ("accelerate-config", ("NAME", "fsdp2")),
        ("check-data", ("DATASET",)),
        ("import-data", ("--coco", "--answers", "--photos", "--output", "--coord-space")),
    ],
)
def test_the_help_of_each_command_names_its_flags(command: str, flags: tuple[str, ...]) -> None:
    result = CliRunner().invoke(train_command, [command, "--help"])
    assert result.exit_code == 0
    assert all(flag in result.output for flag in flags)


def test_help_loads_no_training_library() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom shotcrop_cli.commands.train import train_command\n"
        "for name in [[], *([name] for name in train_command.commands)]:\n"
        "    assert CliRunner().invoke(train_command, [*name, '--help']).exit_code == 0\n"
        "loaded = {'torch', 'transformers', 'trl', 'datasets', 'peft', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@dataclass
class Stage:
    """Stands for `sft.train`."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, recipe: SftRecipe, data: Path, output: Path, start: str | None, *, offline: bool) -> Path:
        provenance.record(output, stage="sft", recipe=recipe, datasets=[], start=start)
        self.calls.append((recipe.optimisation.steps, recipe.optimisation.learning_rate, data, output, start, offline))
        return output / "final"


def test_a_stage_is_marked_finished_and_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(sft, "train", stage)
    run = tmp_path / "run"
    arguments = [
        "sft",
        "--config",
        "qwen3-vl-sft",
        "--data",
        str(tmp_path),
        "-o",
        str(run),
        "--steps",
        "3",
        "--set",
        "optimisation.learning_rate=1e-5",
        "--offline",
    ]
    for _ in range(2):
        result = CliRunner().invoke(train_command, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        assert result.stdout == f"{run / 'final'}\n"
    assert stage.calls == [(3, 1e-5, tmp_path, run, None, True)]
    assert "is complete" in result.stderr
    assert (provenance.read(run) or {})["recipe"]["optimisation"]["learning_rate"] == 1e-5


def test_a_missing_training_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shotcrop_train", None)
    arguments = ["sft", "--config", "qwen3-vl-sft", "--data", str(tmp_path), "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(train_command, arguments)
    assert result.exception is not None
    assert "shotcrop_train" in str(result.exception)
    assert getattr(result.exception, "hint", "") == "pip install 'shotcrop-cli[train]'"
