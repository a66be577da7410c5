"""What each part of the compact model's training adds, by cross-validation over the experts' photos.

    python -m benchmarks.quality.ablation DATA --detector runs/detector/final --work runs/ablation --seeds 3

Every variant is a run of the product's own stages with as many networks as folds: network k leaves out fold k and is
measured there, so one run is one cross-validation. Runs that are complete are not repeated. `--variants` and
`--triples` choose what is run, `--config` the recipe whose values the variants start from. The table goes to standard
output. A row's figures are the mean over the seeds, on photos that were not learned from; `dev` is not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from shotcrop_train.composer import composer_grpo, composer_pseudo_label, composer_sft, composer_ssft
from shotcrop_train.composer.composer_run import figures_of
from shotcrop_train.composer.nano_recipe import NanoRecipe, load_nano_recipe
from shotcrop_train.pseudo.report import HARD
from shotcrop_train.runs import provenance

Figures = Mapping[str, float]
COLUMNS = ("held_plain_iou", "held_iou", "held_iou_establishing", "held_iou_medium", "held_iou_close_up")
HEADINGS = ("without refinement", "mean IoU", "establishing", "medium", "close-up")
CUTS = {"medium": "mediums that cut a head", "close_up": "close-ups"}
"""Shots whose cut heads are counted, without and with refinement, and the headings of these columns."""
SEED_STEP = 100
"""Seeds of an ensemble are consecutive, so those of different runs are this far apart."""


@dataclass(frozen=True)
class Workshop:
    """What all variants share.

    Args:
        recipe: The recipe that they start from.
        data: Folder of the datasets.
        detector: Folder of the detector.
        work: Folder of all runs.
        results: Figures of runs that are done, by their folder's name.
    """

    recipe: NanoRecipe
    data: Path
    detector: Path
    work: Path
    results: dict[str, Path] = field(default_factory=dict)

    def seeded(self, seed: int, **composer: Any) -> NanoRecipe:
        """Return the recipe with a seed of its own."""
        shape = replace(self.recipe.composer, seed=SEED_STEP * seed, **composer)
        return replace(self.recipe, composer=shape)

    def run(self, name: str, train: Callable[[Path], Path]) -> Path:
        """Run a stage in a folder of its own, unless it is complete, and return what it made."""
        if name not in self.results:
            try:
                made = train(self.work / name)
                provenance.finish(self.work / name, made)
            except provenance.Complete as complete:
                made = complete.result
            self.results[name] = made
        return self.results[name]

    def sft(self, name: str, recipe: NanoRecipe) -> Path:
        """Run stage 1."""
        return self.run(name, lambda output: composer_sft.train(recipe, self.data, output, self.detector))

    def labels(self) -> Path:
        """Run the first half of stage 2, once for all seeds."""
        return self.run("labels", lambda output: composer_pseudo_label.label(self.recipe, self.data, output))

    def first(self, seed: int, *, pixels: bool) -> Path:
        """Run stage 1 on all triples, with or without features from the detector."""
        return self.sft(f"{'pixels' if pixels else 'geometry'}-{seed}", self.seeded(seed, pixels=pixels))

    def ssft(self, seed: int) -> Path:
        """Run the second half of stage 2 on the stage 1 that the recipe asks for."""
        recipe, labels = self.seeded(seed), self.labels()
        start = self.first(seed, pixels=recipe.composer.pixels)
        return self.run(f"ssft-{seed}", lambda output: composer_ssft.train(recipe, self.data, labels, output, start))

    def grpo(self, seed: int, preset: str) -> Path:
        """Run stage 3 on stage 2."""
        recipe, start = self.seeded(seed), self.ssft(seed)
        plan = replace(recipe.grpo, reward=replace(recipe.grpo.reward, preset=preset))
        recipe, hard = replace(recipe, grpo=plan), self.labels() / HARD
        return self.run(
            f"grpo-{preset}-{seed}", lambda output: composer_grpo.train(recipe, self.data, output, start, hard)
        )

    def teachers(self, seed: int) -> Path:
        """Run stage 1 on the teachers' detections."""
        recipe = self.seeded(seed, pixels=False)
        return self.sft(f"teachers-{seed}", replace(recipe, scenes=replace(recipe.scenes, teachers=True)))

    def few(self, seed: int, triples: int) -> Path:
        """Run stage 1 on a number of triples."""
        recipe = self.seeded(seed)
        return self.sft(f"triples-{triples}-{seed}", replace(recipe, data=replace(recipe.data, triples=triples)))


VARIANTS: Mapping[str, tuple[str, Callable[[Workshop, int], Path]]] = {
    "teachers": ("teachers' detections, geometry only", Workshop.teachers),
    "geometry": (
        "own detections, geometry only",
        lambda shop, seed: shop.first(seed, pixels=False),
    ),
    "pixels": ("+ pixels", lambda shop, seed: shop.first(seed, pixels=True)),
    "ssft": ("+ SSFT", Workshop.ssft),
    "grpo-paper": ("+ GRPO-S, reward `paper`", lambda shop, seed: shop.grpo(seed, "paper")),
    "grpo-cinema": ("+ GRPO-S, reward `cinema`", lambda shop, seed: shop.grpo(seed, "cinema")),
}


def measure(shop: Workshop, seeds: int, variants: Sequence[str], triples: Sequence[int]) -> dict[str, list[Figures]]:
    """Run variants and return the figures of each seed by the title of the row."""
    rows: dict[str, list[Figures]] = {}
    for name in variants:
        title, run = VARIANTS[name]
        rows[title] = [figures_of(run(shop, seed).parent) for seed in range(seeds)]
    for count in triples:
        rows[f"stage 1 with {count} triples"] = [figures_of(shop.few(seed, count).parent) for seed in range(seeds)]
    return rows


def table(rows: Mapping[str, Sequence[Figures]]) -> str:
    """Return a Markdown table: the mean over the seeds, and the lowest and highest mean IoU of a seed."""
    lines = ["| variant | photos | " + " | ".join((*HEADINGS, *CUTS.values())) + " | seeds |"]
    lines.append("|---|---:|" + "---:|" * (len(HEADINGS) + len(CUTS)) + "---|")
    for title, seeds in rows.items():
        means = " | ".join(f"{fmean(one[column] for one in seeds):.4f}" for column in COLUMNS)
        for shot in CUTS:
            before, after = (fmean(one[f"held_{kind}_{shot}"] for one in seeds) for kind in ("plain_cuts", "cuts"))
            means += f" | {before:.0f} to {after:.0f}"
        spread = [one["held_iou"] for one in seeds]
        photos = round(fmean(one["held_photos"] for one in seeds))
        lines.append(f"| {title} | {photos} | {means} | {len(seeds)}: {min(spread):.4f} to {max(spread):.4f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the datasets")
    parser.add_argument("--detector", type=Path, required=True, help="folder 'final' of a trained detector")
    parser.add_argument("--work", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--config", default="nano", help="recipe that the variants start from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument(
        "--triples", nargs="*", type=int, default=[], help="numbers of triples, such as 150 300 600 1200"
    )
    given = parser.parse_args(arguments)
    recipe = load_nano_recipe(given.config)
    recipe = replace(recipe, composer=replace(recipe.composer, networks=given.folds, folds=given.folds))
    shop = Workshop(recipe, given.data, given.detector, given.work)
    print(table(measure(shop, given.seeds, given.variants, given.triples)))


if __name__ == "__main__":
    main()
