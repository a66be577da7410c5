"""Stage 1 of the compact model's composer: learn from experts' triples where to crop, given what the detector sees.

The algorithm: let the trained detector look at every expert photo; list the possible main subjects of each scene; learn
which of them the expert's close-up shows (cross-entropy), where the expert's boxes are (generalised IoU and L1), how
far off the predicted edges are (Laplace likelihood) and the IoU that comes out. Scenes are mirrored and disturbed. A
composer that does without the detector's features also learns from the scenes that the teachers saw. Several networks
with different seeds become one ensemble.

    shotcrop train composer --config nano-composer --data DATA -o runs/composer --from runs/detector/final

Cross-validation over folds of the photos says how good that is; it never looks at `dev`. A run can be interrupted:
start it again with the same folder, and networks that are finished are not trained again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from shotcrop_cli.errors import ShotcropError
from shotcrop_cli.model.nano.candidates import KINDS, boxes_of, list_candidates
from shotcrop_cli.model.nano.composer import stack
from shotcrop_cli.model.nano.decoding import decode
from shotcrop_cli.model.nano.manifest import DecodingLimits
from shotcrop_cli.model.nano.scene import Floats, Indices, Scene, mirror_boxes
from shotcrop_cli.shots import SHOT_TYPES
from shotcrop_train.nano.composer_examples import Example, Examples, make_examples, stack_examples
from shotcrop_train.nano.composer_network import ComposerNetwork, ComposerOptions
from shotcrop_train.nano.detector_labels import LabelledPhoto, read_photos, scene_of_labels
from shotcrop_train.nano.detector_loss import generalised_iou
from shotcrop_train.nano.detector_network import DetectorNetwork
from shotcrop_train.runs import provenance
from shotcrop_train.runs.final_model import FINAL
from shotcrop_train.runs.run_log import LOG
from shotcrop_train.train_detector import append_log, load_detector

MEMBER = "composer-{}.safetensors"
"""Weights of the networks of an ensemble, with their options in the file's notes."""
MANY = 4
"""Photos with more candidates than this come in batches of their own, so that little is padded."""
FEWEST = 8
"""Fewest photos for such batches, and for a usual box of its own for each kind of candidate."""


@dataclass(frozen=True)
class ComposerData:
    """Which datasets below the data folder are used, and how.

    Args:
        experts: Datasets with expert triples.
        own: Examples of each photo from what the detector sees.
        teacher: Examples of each photo from what the teachers saw.
        folds: Folds of the cross-validation; 0 for none.
        side: Side in pixels of the squares that the detector sees.
    """

    experts: tuple[str, ...] = ()
    own: int = 6
    teacher: int = 2
    folds: int = 5
    side: int = 288


@dataclass(frozen=True)
class ComposerOptimisation:
    """How each network is trained.

    Args:
        steps: Optimiser steps.
        batch_size: Photos per step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
        max_grad_norm: Gradients longer than this are scaled down to it.
        networks: Networks of the ensemble.
        seed: Random seed of the first one.
        threads: Threads; 0 for torch's own choice.
    """

    steps: int = 1200
    batch_size: int = 40
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0
    networks: int = 5
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class ComposerLoss:
    """Weights of the loss.

    Args:
        subject: Which candidate is the main subject.
        box: Generalised IoU and L1 of the boxes.
        scale: Scales of the edges.
        quality: Expected IoU.
    """

    subject: float = 0.4
    box: float = 2.0
    scale: float = 0.1
    quality: float = 0.1


@dataclass(frozen=True)
class ComposerRecipe:
    """A run of the composer.

    Args:
        data: Its datasets.
        optimisation: How each network is trained.
        loss: Weights of the loss.
        pixels: Use the detector's features, not only its boxes.
        width: Width of the network.
        layers: Its transformer blocks.
        dropout: Dropout in training.
    """

    data: ComposerData = field(default_factory=ComposerData)
    optimisation: ComposerOptimisation = field(default_factory=ComposerOptimisation)
    loss: ComposerLoss = field(default_factory=ComposerLoss)
    pixels: bool = True
    width: int = 96
    layers: int = 2
    dropout: float = 0.15


def train(recipe: ComposerRecipe, data: Path, output: Path, start: str | Path) -> Path:
    """Train an ensemble and return the folder of its weights.

    Args:
        recipe: The run's recipe.
        data: Folder that holds the recipe's datasets.
        output: Run folder. It will hold figures of the cross-validation in `log.jsonl`, the result in `final`.
        start: Folder of a trained detector.

    Raises:
        Complete: The folder holds this run, and it is finished.
        ShotcropError: A dataset or the detector cannot be read.
    """
    folders = [data / name for name in recipe.data.experts]
    provenance.record(output, stage="composer", recipe=recipe, datasets=folders, start=start)
    plan = recipe.optimisation
    if plan.threads:
        torch.set_num_threads(plan.threads)
    photos = [photo for folder in folders for photo in read_photos(folder) if photo.triple is not None]
    scenes = detect_scenes(load_detector(Path(start)), photos, recipe.data.side)
    if not recipe.pixels:
        scenes = [without_pixels(scene) for scene in scenes]
    rng = np.random.default_rng(plan.seed)
    groups = [_examples(photo, scene, recipe, rng) for photo, scene in zip(photos, scenes, strict=True)]
    if not any(groups):
        raise ShotcropError("no people were detected in any expert photo", hint="train the detector for longer")
    for fold in range(recipe.data.folds):
        figures = validate(photos, scenes, groups, fold, recipe)
        append_log(output / LOG, 0, {"fold": fold, **figures})
    final = output / FINAL
    final.mkdir(parents=True, exist_ok=True)
    training = [group for group in groups if group]
    for number in range(plan.networks):
        path = final / MEMBER.format(number)
        if not path.is_file():
            save_composer(fit(training, recipe, plan.seed + number), path)
            append_log(output / LOG, (number + 1) * plan.steps, {"networks": number + 1})
    return final


def detect_scenes(detector: DetectorNetwork, photos: Sequence[LabelledPhoto], side: int) -> list[Scene]:
    """Return what a detector sees in photos, squashed to `side` pixels."""
    scenes = []
    for photo in photos:
        with Image.open(photo.path) as file:
            small = file.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            cells, _, feature_map, features = (one[0].numpy() for one in detector((pixels - 127) / 128))
        scenes.append(decode(cells, feature_map, features, side, photo.aspect, DecodingLimits()))
    return scenes


def without_pixels(scene: Scene) -> Scene:
    """Return a scene without the detector's features."""
    return replace(scene, person_features=scene.person_features[:, :0], photo_features=scene.photo_features[:0])


def fit(groups: Sequence[Sequence[Example]], recipe: ComposerRecipe, seed: int) -> ComposerNetwork:
    """Train one network.

    Args:
        groups: For each photo its examples, at least one.
        recipe: The run's recipe.
        seed: Seed of everything random.
    """
    torch.manual_seed(seed)
    rng, plan = np.random.default_rng(seed), recipe.optimisation
    data = stack_examples([example for group in groups for example in group])
    starts = np.cumsum([0, *(len(group) for group in groups)])
    options = ComposerOptions(
        features=data.features.shape[-1],
        person_features=data.pixels.shape[-1],
        photo_features=data.photo.shape[-1],
        width=recipe.width,
        layers=recipe.layers,
        dropout=recipe.dropout,
    )
    network = ComposerNetwork(options)
    plain = torch.tensor([place for start, end in pairwise(starts) for place in range(start, end)[:2]])
    set_usual(network, data.take(plain))
    optimizer = torch.optim.AdamW(
        network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.learning_rate, max(plan.steps, 20), pct_start=0.1)
    buckets = _buckets(data, starts)
    share = np.array([len(bucket) for bucket in buckets]) / len(groups)
    network.train()
    for _ in range(plan.steps):
        bucket = buckets[rng.choice(len(buckets), p=share)]
        chosen = rng.choice(bucket, min(plan.batch_size, len(bucket)), replace=False)
        part = data.take(torch.tensor([int(rng.integers(starts[photo], starts[photo + 1])) for photo in chosen]))
        loss = composer_loss(network(*part.inputs()), part, recipe.loss)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.max_grad_norm)
        optimizer.step()
        schedule.step()
    network.eval()
    return network


@torch.no_grad()
def set_usual(network: ComposerNetwork, data: Examples) -> None:
    """Set the standardisation of features and the usual boxes of each kind of candidate to those of the examples."""
    seen = data.known > 0
    count = seen.sum((0, 1)).clamp(min=1)
    mean = (data.features * seen).sum((0, 1)) / count
    network.mean.copy_(mean)
    network.spread.copy_((((data.features - mean) ** 2 * seen).sum((0, 1)) / count).sqrt() + 1e-2)
    subject = data.subject > 0.3
    if not subject.any():
        return
    scale = torch.stack([data.aspect, torch.ones_like(data.aspect)] * 2, -1)[:, None]
    for kind in range(KINDS):
        rows, places = (subject & (data.kind[..., kind] > 0)).nonzero(as_tuple=True)
        if len(rows) < FEWEST:
            rows, places = subject.nonzero(as_tuple=True)
        anchor = data.anchor[rows, places]
        middle = torch.cat([anchor[:, :2], anchor[:, :2]], -1)[:, None]
        relative = (data.triple[rows, 1:] * scale[rows] - middle) / anchor[:, 2, None, None]
        network.usual[kind] = torch.cat([data.triple[rows, :1], relative], 1).median(0).values


def photo_boxes(offsets: Tensor, anchor: Tensor, aspect: Tensor) -> Tensor:
    """Do for (N, k, 3, 4) what `candidates.boxes_of` does for one scene, but without clipping."""
    middle = torch.cat([anchor[..., :2], anchor[..., :2]], -1)[..., None, :]
    close = offsets[..., 1:, :] * anchor[..., 2, None, None] + middle
    scale = torch.stack([aspect, torch.ones_like(aspect)] * 2, -1)[:, None, None]
    return torch.cat([offsets[..., :1, :], close / scale], -2)


def composer_loss(answer: tuple[Tensor, ...], data: Examples, weights: ComposerLoss) -> Tensor:
    """Return the loss of the network's answer; only the boxes of main subjects count."""
    logits, offsets, scale, quality = answer
    subject = data.subject
    total = subject.sum().clamp(min=1e-3)
    choice = -(subject * logits.log_softmax(-1)).sum() / total
    boxes = photo_boxes(offsets, data.anchor, data.aspect)
    truth = data.triple[:, None].expand_as(boxes)
    giou, iou = generalised_iou(boxes, truth)
    error = (boxes - truth).abs()
    shape = (1 - giou).mean(-1) + 3.3 * error.mean((-1, -2))
    size = data.anchor[..., 2:]
    unit = torch.cat([torch.ones_like(size), size, size], -1)[..., None]
    laplace = ((error / unit).detach() * (-scale).exp() + scale).mean((-1, -2))
    truth_quality = iou.detach().clamp(0, 1)
    expected = functional.binary_cross_entropy_with_logits(quality, truth_quality, reduction="none").mean(-1)
    each = weights.box * shape + weights.scale * laplace + weights.quality * expected
    return weights.subject * choice + (subject * each).sum() / total


def validate(
    photos: Sequence[LabelledPhoto],
    scenes: Sequence[Scene],
    groups: Sequence[Sequence[Example]],
    fold: int,
    recipe: ComposerRecipe,
) -> dict[str, float]:
    """Train on all folds but one and return the mean IoU on that one, for each shot and over all.

    Args:
        photos: All photos with triples.
        scenes: What the detector sees in them.
        groups: Their examples.
        fold: Number of the fold that is held out.
        recipe: The run's recipe.
    """
    order = np.random.default_rng(0).permutation(len(photos)) % recipe.data.folds
    network = fit(
        [group for group, own in zip(groups, order, strict=True) if own != fold and group],
        recipe,
        recipe.optimisation.seed,
    )
    experts = [one.triple for one in photos if one.triple is not None]
    usual = np.median(np.stack(experts), 0)
    values = []
    for photo, scene, own in zip(photos, scenes, order, strict=True):
        if own == fold and photo.triple is not None:
            triple = compose(network, scene)
            wanted = torch.from_numpy(photo.triple)
            values.append(
                generalised_iou(torch.from_numpy(np.asarray(usual if triple is None else triple, np.float32)), wanted)[
                    1
                ]
            )
    means = torch.stack(values).mean(0)
    return {f"held_iou_{kind.value}": round(float(value), 4) for kind, value in zip(SHOT_TYPES, means, strict=True)} | {
        "held_iou": round(float(means.mean()), 4)
    }


@torch.no_grad()
def compose(network: ComposerNetwork, scene: Scene) -> Floats | None:
    """Return the triple (3, 4) of the most likely main subject, the mean over a scene and its mirror image."""
    views = [list_candidates(scene), list_candidates(scene.mirror())]
    known = [view for view in views if view is not None]
    if len(known) < len(views):
        return None
    inputs = {name: torch.from_numpy(value) for name, value in stack(known).items()}
    logits, offsets, _, _ = (one.numpy() for one in network(**inputs))
    k = len(known[0])
    main = int(np.mean(torch.from_numpy(logits[:, :k]).softmax(-1).numpy(), 0).argmax())
    boxes = boxes_of(offsets[0, :k], known[0]), mirror_boxes(boxes_of(offsets[1, :k], known[1]))
    triple: Floats = (boxes[0][main] + boxes[1][main]) / 2
    return triple


def save_composer(network: ComposerNetwork, path: Path) -> None:
    """Write a network's weights with its options."""
    new = path.with_suffix(".new")
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()},
        new,
        {"options": json.dumps(network.describe())},
    )
    new.replace(path)


def load_composers(folder: Path) -> list[ComposerNetwork]:
    """Read the networks of an ensemble, ready to run.

    Raises:
        ShotcropError: The folder holds none.
    """
    from safetensors import safe_open

    networks = []
    for path in sorted(folder.glob(MEMBER.format("*"))):
        with safe_open(path, "pt") as file:
            options = json.loads((file.metadata() or {})["options"])
        network = ComposerNetwork(ComposerOptions(**options))
        network.load_state_dict(load_file(path))
        networks.append(network.eval())
    if not networks:
        raise ShotcropError(
            f"{folder} holds no composer", hint="name the folder 'final' of a run of shotcrop train composer"
        )
    return networks


def _examples(photo: LabelledPhoto, scene: Scene, recipe: ComposerRecipe, rng: np.random.Generator) -> list[Example]:
    assert photo.triple is not None
    examples = make_examples([scene], photo.triple, recipe.data.own, rng, 0.6)
    if recipe.data.teacher and not recipe.pixels:  # The teachers' scenes come without features from the detector.
        examples += make_examples([scene_of_labels(photo)], photo.triple, recipe.data.teacher, rng)
    return examples


def _buckets(data: Examples, starts: Indices) -> list[Indices]:
    """Return the photos with few and those with many candidates; one list for all if either is short."""
    count = data.valid.sum(1).numpy()
    most = np.array([count[start:end].max() for start, end in pairwise(starts)])
    few, many = np.nonzero(most <= MANY)[0], np.nonzero(most > MANY)[0]
    return [few, many] if min(len(few), len(many)) >= FEWEST else [np.arange(len(most))]
