"""What the stages of the composer share: they see photos, train the networks one by one, and finish a checkpoint.

A stage can be interrupted. Start it again with the same folder: finished networks stay, and the one that was being
trained starts again from its own seed, so the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.evaluation.data_source import Data, open_dataset
from shotcrop_cli.model.nano.manifest import FORMAT, NanoManifest
from shotcrop_cli.model.nano.scene import Floats
from shotcrop_train.composer import calibration
from shotcrop_train.composer.held_out import measure
from shotcrop_train.composer.nano_checkpoint import MEMBER, Member, load_members, save_member, write_checkpoint
from shotcrop_train.composer.nano_recipe import Examples, NanoRecipe
from shotcrop_train.composer.photo_scenes import SCENES, SeenPhoto, Watcher, see
from shotcrop_train.nano.composer_examples import Example, make_examples
from shotcrop_train.nano.composer_network import ComposerNetwork
from shotcrop_train.nano.detector_labels import LabelledPhoto, read_photos
from shotcrop_train.nano.detector_network import TAGS
from shotcrop_train.nano.folds import Fold
from shotcrop_train.runs.curves import Panel, draw_curves
from shotcrop_train.runs.final_model import FINAL
from shotcrop_train.runs.run_log import LOG, read_log
from shotcrop_train.train_detector import CURVES, append_log

NAME = "shotcrop-nano"
CHECKPOINT_TABLES = ("data", "scenes", "composer", "presence", "refinement", "count")
"""Tables of the recipe that every stage's checkpoint depends on."""

Log = Callable[[int, dict[str, float]], object]
"""Writes figures of a step to the run's log."""
Wanted = Callable[[LabelledPhoto], bool]


@dataclass(frozen=True)
class ComposerRun:
    """A run of one stage.

    Args:
        recipe: The recipe.
        data: Data folder that holds its datasets.
        output: Run folder.
        detector: Folder of the detector.
        crossfit: Folders of further detectors, which have not learned from other folds.
    """

    recipe: NanoRecipe
    data: Data
    output: Path
    detector: Path
    crossfit: tuple[Path, ...] = ()

    @cached_property
    def watchers(self) -> list[Watcher]:
        """The detectors, ready to look at photos."""
        return [Watcher.load(folder) for folder in (self.detector, *self.crossfit)]

    def see(self, folders: Sequence[Path], wanted: Wanted = lambda _: True) -> list[SeenPhoto]:
        """Return what is seen in the wanted photos of some datasets."""
        photos = [photo for folder in folders for photo in read_photos(folder) if wanted(photo)]
        seen = see(self.watchers, photos, self.recipe.scenes, self.output.parent / SCENES)
        if self.recipe.scenes.teachers:
            seen = [replace(one, own=(one.teacher,)) for one in seen]
        return seen if self.recipe.composer.pixels else [one.without_features() for one in seen]

    def experts(self) -> list[SeenPhoto]:
        """Return the photos with expert triples.

        Raises:
            ShotcropError: There are none, or no people were detected in any.
        """
        seen = self.see(self.folders(self.recipe.data.experts), lambda photo: photo.triple is not None)
        if not any(len(one.own[0]) for one in seen):
            raise ShotcropError("no people were detected in any expert photo", hint="train the detector for longer")
        return seen

    def teaching(self, experts: Sequence[SeenPhoto]) -> list[SeenPhoto]:
        """Return the experts' photos to learn from, as many as the recipe says; figures are measured on all."""
        most = self.recipe.data.triples or len(experts)
        chosen = np.random.default_rng(0).permutation(len(experts))[:most]
        return [experts[index] for index in sorted(chosen)]

    def folders(self, names: Sequence[str]) -> list[Path]:
        """Return the folders of some datasets."""
        return [open_dataset(self.data, name).folder for name in names]

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Append figures to the run's log."""
        append_log(self.output / LOG, step, figures)

    def train(
        self, experts: Sequence[SeenPhoto], folds: Sequence[Fold], fit: Callable[[int, Fold, Log], ComposerNetwork]
    ) -> Path:
        """Train the networks and finish the checkpoint.

        Args:
            experts: Photos with expert triples.
            folds: The fold that each network must not learn from.
            fit: Trains the network of a number without a fold, and logs.

        Returns:
            The folder of the checkpoint.
        """
        final = self.output / FINAL
        final.mkdir(parents=True, exist_ok=True)
        fallback = usual_triple(experts)
        for number, fold in enumerate(folds):
            path = final / MEMBER.format(number)
            if path.is_file():
                continue

            def log(step: int, figures: dict[str, float], number: int = number) -> None:
                self.log(step, {"network": number, **figures})

            member = Member(fit(number, fold, log), fold)
            held = measure([member], experts, fallback, self.recipe.refinement)
            save_member(member, path)
            log(0, held.figures())
        self._finish(experts, fallback, final)
        return final

    def _finish(self, experts: Sequence[SeenPhoto], fallback: Floats, final: Path) -> None:
        """Calibrate the ensemble, log its figures, and write detector and manifest into the checkpoint."""
        recipe, members = self.recipe, load_members(final)
        held = measure(members, experts, fallback, recipe.refinement)
        people, empty = self._new_to_detector(experts, self.see(self.folders(recipe.data.empty)))
        presence, figures = calibration.fit_presence(people, empty, recipe.presence)
        self.log(0, {**held.figures(), **figures})
        options = members[0].network.options
        manifest = NanoManifest(
            format=FORMAT,
            name=NAME,
            image_size=recipe.scenes.side,
            features=options.features,
            person_features=options.person_features,
            photo_features=options.photo_features,
            tags=TAGS,
            decoding=recipe.scenes.decoding,
            refinement=recipe.refinement,
            presence=presence,
            count=recipe.count,
            score=calibration.fit_score(held),
            fallback=tuple(tuple(round(float(side), 4) for side in box) for box in fallback),
        )
        write_checkpoint(final, self.detector, manifest)
        draw_curves(self.output / LOG, self.output / CURVES, PANELS)

    def _new_to_detector(
        self, people: Sequence[SeenPhoto], empty: Sequence[SeenPhoto]
    ) -> tuple[Sequence[SeenPhoto], Sequence[SeenPhoto]]:
        """Return the photos of both kinds that the detector has not learned from; all if either kind has none."""
        fold = self.watchers[0].unseen
        new = [[one for one in photos if fold.holds(one.photo.path)] for photos in (people, empty)]
        return (new[0], new[1]) if all(new) else (people, empty)


PANELS = (Panel("loss and reward", ("loss", "reward")), Panel("IoU on photos not learned from", ("held_iou",)))


def fold_list(recipe: NanoRecipe) -> list[Fold]:
    """Return the fold that each network of the ensemble leaves out."""
    shape = recipe.composer
    return [Fold(number % max(shape.folds, 1), shape.folds) for number in range(shape.networks)]


def examples_of(photo: SeenPhoto, plan: Examples, rng: np.random.Generator) -> list[Example]:
    """Return the examples of a photo with a triple."""
    triple, accepted = photo.photo.triple, photo.photo.accepted
    assert triple is not None
    examples = make_examples(photo.own, triple, plan.own, rng, plan.own_strength, accepted)
    return examples + make_examples([photo.teacher], triple, plan.teacher, rng, plan.teacher_strength, accepted)


def figures_of(run: Path) -> dict[str, Any]:
    """Return the figures of a finished stage on photos that its networks had not learned from; empty for none."""
    lines = [
        line
        for line in read_log(run / LOG)
        if "network" not in line and ("held_iou" in line or "presence_kept" in line)
    ]
    return {name: value for name, value in lines[-1].items() if name not in ("time", "step")} if lines else {}


def usual_triple(photos: Sequence[SeenPhoto]) -> Floats:
    """Return the median (3, 4) of the triples of some photos, for photos in which no people are located."""
    median: Floats = np.median(np.stack([one.photo.triple for one in photos if one.photo.triple is not None]), 0)
    return median.astype(np.float32)
