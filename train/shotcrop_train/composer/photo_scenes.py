"""What detector and teachers see in photos. Each photo's scenes are kept in a file, so that no stage detects twice.

For a photo that a detector was trained on, its detections may be better than at run time. Where several detectors are
given, a photo is shown to one that has not learned from it (cross-fitting).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shotcrop_cli.model.nano.decoding import decode, person_features
from shotcrop_cli.model.nano.preprocess import squash
from shotcrop_cli.model.nano.scene import Floats, Scene
from shotcrop_train.composer.nano_recipe import SceneRecipe
from shotcrop_train.data.samples import load_photo
from shotcrop_train.nano.detector_labels import LabelledPhoto, scene_of_labels
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.nano.folds import Fold
from shotcrop_train.train_detector import held_out_fold, load_detector, weights_sha256

SCENES = "scenes"
"""Folder of the files, next to the run folders that share it."""


@dataclass(frozen=True, eq=False)
class SeenPhoto:
    """A photo with what is seen in it.

    Args:
        photo: The photo with its labels.
        own: What the detector sees in the photo, and in its mirror image, mirrored back.
        teacher: What the teachers saw, with the detector's features.
        tags: The detector's logits of its tags.
    """

    photo: LabelledPhoto
    own: tuple[Scene, ...]
    teacher: Scene
    tags: Floats

    def without_features(self) -> SeenPhoto:
        """Return the same without the detector's features."""
        return replace(self, own=tuple(map(without_features, self.own)), teacher=without_features(self.teacher))


@dataclass(frozen=True)
class Watcher:
    """A trained detector, ready to look at photos, and the fold of photos that it has not learned from."""

    network: DetectorNetwork
    sha256: str
    unseen: Fold

    @classmethod
    def load(cls, folder: Path) -> Watcher:
        """Read a detector; see `train_detector.load_detector`."""
        return cls(load_detector(folder), weights_sha256(folder), held_out_fold(folder))


def see(
    watchers: Sequence[Watcher], photos: Sequence[LabelledPhoto], recipe: SceneRecipe, cache: Path
) -> list[SeenPhoto]:
    """Return what is seen in photos.

    Args:
        watchers: Detectors; a photo is shown to the first one that has not learned from it, else to the first.
        photos: The photos.
        recipe: How they look.
        cache: Folder of the files with scenes.
    """
    cache.mkdir(parents=True, exist_ok=True)
    return [_see(_choose(watchers, photo.path), photo, recipe, cache) for photo in photos]


def without_features(scene: Scene) -> Scene:
    """Return a scene without the detector's features."""
    return replace(scene, person_features=scene.person_features[:, :0], photo_features=scene.photo_features[:0])


def _choose(watchers: Sequence[Watcher], photo: Path) -> Watcher:
    return next((one for one in watchers if one.unseen.holds(photo)), watchers[0])


def _see(watcher: Watcher, photo: LabelledPhoto, recipe: SceneRecipe, cache: Path) -> SeenPhoto:
    teacher = scene_of_labels(photo)
    path = cache / f"{_key(watcher, photo, teacher, recipe)}.npz"
    if (kept := _read(path)) is not None:
        own = tuple(_scene(kept, f"{number}.") for number in range(recipe.looks))
        features = {"person_features": kept["teacher"], "photo_features": own[0].photo_features}
        return SeenPhoto(photo, own, replace(teacher, **features), kept["tags"])
    seen: SeenPhoto = _look(watcher.network, photo, teacher, recipe)
    content: dict[str, Any] = {"tags": seen.tags, "teacher": seen.teacher.person_features}
    for number, scene in enumerate(seen.own):
        content |= {f"{number}.{one.name}": np.asarray(getattr(scene, one.name)) for one in fields(scene)}
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        np.savez(file, **content)
    new.replace(path)
    return seen


@torch.no_grad()
def _look(network: DetectorNetwork, photo: LabelledPhoto, teacher: Scene, recipe: SceneRecipe) -> SeenPhoto:
    """Show a photo to a detector."""
    pixels = np.asarray(squash(load_photo(photo.path), recipe.side))
    views = [pixels, pixels[:, ::-1]][: recipe.looks]
    batch = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float()
    cells, tags, maps, pooled = (one.numpy() for one in network((batch - 127) / 128))
    own = [
        decode(cells[view], maps[view], pooled[view], recipe.side, photo.aspect, recipe.decoding)
        for view in range(recipe.looks)
    ]
    own[1:] = [scene.mirror() for scene in own[1:]]
    features = person_features(maps[0], teacher.head, teacher.body)
    return SeenPhoto(photo, tuple(own), replace(teacher, person_features=features, photo_features=pooled[0]), tags[0])


def _key(watcher: Watcher, photo: LabelledPhoto, teacher: Scene, recipe: SceneRecipe) -> str:
    """Return a name for the scenes of a photo: it changes with everything that they depend on."""
    path = photo.path.resolve()
    facts = [
        str(path),
        path.stat().st_mtime_ns,
        photo.aspect,
        watcher.sha256,
        recipe.side,
        recipe.looks,
        asdict(recipe.decoding),
    ]
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(teacher.head.tobytes() + teacher.body.tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path) -> Mapping[str, Any] | None:
    """Read a file of scenes; None if there is none or it is damaged."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _scene(content: Mapping[str, Any], prefix: str) -> Scene:
    values = {one.name: content[f"{prefix}{one.name}"] for one in fields(Scene)}
    return Scene(**values | {"aspect": float(values["aspect"])})
