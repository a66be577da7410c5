"""A recipe of the compact model that trains within seconds on `training.write_dataset`, and its pipeline."""

from __future__ import annotations

from pathlib import Path

from training import vary_experts, write_dataset

RECIPE = """
family = "nano"

[data]
experts = ["experts"]
empty = ["empty"]
unlabelled = ["proposals"]

[detector]
width = 8
pretrained = false

[detector.data]
photos = ["experts", "proposals"]
empty = ["empty"]
folds = 4

[detector.optimisation]
steps = 4
batch_size = 4
side = 64
last_side = 64
warmup_steps = 1
freeze_stages = 0

[scenes]
side = 64

[scenes.decoding]
score = [0.0, 0.0, 0.5, 0.5, 0.5]
lonely = 0.0
most = 3

[composer]
width = 16
layers = 1
networks = 2
folds = 2

[sft.examples]
own = 2
teacher = 2

[sft.fitting]
steps = 6
batch_size = 8

[pseudo_label]
networks = 2
folds = 2
examples = 2
chunk = 4

[pseudo_label.rule]
accept = 0.0
hard = 0.0
margin = 0.9

[pseudo_label.fitting]
steps = 20
batch_size = 8

[ssft.examples]
own = 2
teacher = 0

[ssft.fitting]
steps = 4
batch_size = 8

[grpo]
steps = 2
photos = 4
group = 4
log_every = 1
"""
"""The detector learns next to nothing in four steps, so its thresholds let everything pass for people."""

PIPELINE = """
[[stages]]
name = "detector"
kind = "detector"
recipe = "{recipe}"

[[stages]]
name = "sft"
kind = "sft"
recipe = "{recipe}"
start = "detector"

[[stages]]
name = "labels"
kind = "pseudo-label"
recipe = "{recipe}"

[[stages]]
name = "ssft"
kind = "ssft"
recipe = "{recipe}"
start = "sft"
pseudo = "labels"

[[stages]]
name = "grpo"
kind = "grpo"
recipe = "{recipe}"
start = "ssft"
hard = "labels"

[[stages]]
name = "export"
kind = "export"
start = "grpo"
photos = "experts"
concepts = ["experts"]
"""


def write_nano_workshop(folder: Path) -> Path:
    """Write datasets below `data`, a `recipe.toml` and a `pipeline.toml`, and return the folder."""
    for kind, photos in (("experts", 24), ("proposals", 6), ("empty", 12)):
        write_dataset(folder / "data" / kind, photos, kind)
    vary_experts(folder / "data" / "experts")
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE, "utf-8")
    (folder / "pipeline.toml").write_text(PIPELINE.format(recipe=recipe.as_posix()), "utf-8")
    return folder
