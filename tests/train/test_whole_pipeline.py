from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shotcrop_cli.commands.train import train_command
from training import vary_experts, write_dataset
from vlm import save_tiny_vlm

# Composition rules choose the labels: untrained models agree by chance, while the crops of the rules are good.
RECIPES = {
    "sft": """
        [data]
        experts = ["experts"]
        empty = ["empty"]
        shares = { expert = 0.9, empty = 0.1 }
        [model]
        max_pixels = 0
        [optimisation]
        steps = 9
        batch_size = 4
        [schedule]
        evaluate_every = 100
        """,
    "pseudo": """
        experts = ["experts"]
        unlabelled = ["proposals"]
        criteria = ["composition"]
        max_side = 96
        [rule]
        accept = 0.0
        hard = 0.0
        """,
    "ssft": """
        [data]
        experts = ["experts"]
        shares = { expert = 1.0 }
        [model]
        max_pixels = 0
        [optimisation]
        steps = 2
        batch_size = 4
        """,
    "grpo": """
        [data]
        experts = ["experts"]
        [model]
        max_pixels = 0
        [reward]
        preset = "paper"
        aesthetic = "composition"
        captions = "words"
        [optimisation]
        steps = 1
        photos = 1
        group = 4
        batch_size = 4
        max_tokens = 12
        """,
}
PIPELINE = """
    [[stages]]
    name = "cot"
    kind = "sft"
    recipe = "{folder}/sft.toml"
    start = "{folder}/tiny"
    steps = 2

    [[stages]]
    name = "labels"
    kind = "pseudo-label"
    recipe = "{folder}/pseudo.toml"
    proposers = ["cot", "{folder}/tiny", "rule-based"]
    limit = 5

    [[stages]]
    name = "ssft"
    kind = "ssft"
    recipe = "{folder}/ssft.toml"
    start = "cot"
    pseudo = "labels"

    [[stages]]
    name = "grpo"
    kind = "grpo"
    recipe = "{folder}/grpo.toml"
    start = "ssft"
    hard = "labels"
    """


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workshop")
    for kind, photos in (("experts", 24), ("proposals", 8), ("empty", 4)):
        write_dataset(folder / "data" / kind, photos, kind)
    vary_experts(folder / "data" / "experts")
    save_tiny_vlm(folder / "tiny")
    for name, text in RECIPES.items():
        (folder / f"{name}.toml").write_text(text, "utf-8")
    (folder / "pipeline.toml").write_text(PIPELINE.format(folder=folder), "utf-8")
    return folder


def _run(workshop: Path) -> Result:
    arguments = ["run", "--config", str(workshop / "pipeline.toml"), "--data", str(workshop / "data"), "--offline"]
    return CliRunner().invoke(train_command, [*arguments, "-o", str(workshop / "runs")], catch_exceptions=False)


def test_one_command_goes_through_all_stages_of_a_large_model_and_repeats_nothing(workshop: Path) -> None:
    first = _run(workshop)
    assert first.exit_code == 0
    names = ["cot", "labels", "ssft", "grpo"]
    results = first.stdout.splitlines()[-len(names) :]  # the trainers print, too, where nothing guards stdout
    assert [line.split(":")[0] for line in results] == names
    assert (workshop / "runs" / "grpo" / "final" / "model.safetensors").is_file()
    facts = {name: json.loads((workshop / "runs" / name / "run.json").read_text("utf-8")) for name in names}
    assert all("finished" in fact for fact in facts.values())
    assert facts["cot"]["recipe"]["optimisation"]["steps"] == 2
    assert len((workshop / "runs" / "labels" / "metadata.jsonl").read_text("utf-8").splitlines()) == 5
    assert facts["grpo"]["start"]["name"] == str(workshop / "runs" / "ssft" / "final")
    again = _run(workshop)
    assert again.stdout.splitlines() == results
    assert again.stderr.count("complete, kept") == len(names)
